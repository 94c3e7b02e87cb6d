//! What the gateway told, put together: samples of each phase, a row of the timeline each second,
//! and one record at the end.
//!
//! Counts and sums of the gateway run from its start, so what happened in a second is the
//! difference between two readings, over the time between them by the gateway's own clock.
//!
//! Memory does not grow with the run: distributions by phase, two readings, and the frames whose
//! answer is still under way, 131,072 at most and each for one more reading only.

mod decomposition;

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use measure::balance::{Balance, SCORED_FROM_LOAD, Windows};
use measure::gateway_record::{
    BalanceRecord, CoverageRecord, GatewayRecord, ScalingEventRecord, ScalingRecord, WorkerRecord,
};
use measure::record::Measurements;
use measure::{Distribution, Metric, Quantity, Statistic};
use platform::Clock;
use protocol::Moment;

use crate::media::call::Journey;
use crate::media::call_registry::CallRegistry;
use crate::schedule::PhaseTimes;
use crate::telemetry::{Passage, Reading, ScalingEvent, Status, Worker};
use decomposition::{Decomposition, Parts};

/// Readings closer together than this make no second.
const SHORTEST_WINDOW: Duration = Duration::from_millis(500);

/// The account of one run.
#[derive(Debug)]
pub struct PoolAccount {
    clock: Clock,
    phases: PhaseTimes,
    first: Option<Status>,
    last: Option<Status>,
    /// The first and the last reading of each gateway before a restart.
    earlier: Vec<(Status, Status)>,
    last_phase: Option<usize>,
    /// The most workers seen serving.
    most: u64,
    measured: BTreeMap<usize, Measurements>,
    /// What the last reading told.
    second: Measurements,
    /// Busy time of each worker, for windows in which the same ones served all the time.
    windows: Windows,
    /// Frames whose answer had not come when the gateway told of them.
    under_way: Vec<Passage>,
    decomposition: Decomposition,
    coverage: CoverageRecord,
}

/// Frames that are kept for the next reading: as many as a gateway hands out at most.
const MOST_UNDER_WAY: usize = 1 << 17;

/// Frames between two looks at who else waits for this thread: half a millisecond.
const AT_ONCE: usize = 1024;

/// What is known of the pool at the end of a second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PoolSecond {
    /// Workers that took work.
    pub serving: u64,
    /// Workers on their way.
    pub starting: u64,
    /// Workers that were leaving.
    pub draining: u64,
    /// What they did in the second; `None` for the first.
    pub span: Option<Span>,
    /// Production's load.
    pub load_percent: f64,
    /// Frames accepted and not yet done with.
    pub pending: u64,
    /// Median queue delay of the frames since the second before; `None` when there were none.
    pub queue_delay_p50_ms: Option<f64>,
    /// 99th percentile.
    pub queue_delay_p99_ms: Option<f64>,
    /// The largest.
    pub queue_delay_max_ms: Option<f64>,
}

/// What workers did between two readings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Span {
    /// How many were busy, on average.
    pub busy: f64,
    /// Share of the time in which one was idle while work waited for another, 0 to 1.
    pub idle_while_waiting: f64,
    /// Jain's index of their busy times; `None` when they had not enough to do, or changed.
    pub balance: Option<f64>,
}

impl PoolAccount {
    /// An account before anything was told.
    pub fn new(clock: Clock, phases: PhaseTimes) -> Self {
        Self {
            clock,
            phases,
            first: None,
            last: None,
            earlier: Vec::new(),
            last_phase: None,
            most: 0,
            measured: BTreeMap::new(),
            second: Measurements::new(),
            windows: Windows::new(Duration::from_secs(1)),
            under_way: Vec::new(),
            decomposition: Decomposition::default(),
            coverage: CoverageRecord::default(),
        }
    }

    /// The gateway did not tell.
    pub fn missed(&mut self) {
        self.coverage.unread += 1;
        self.coverage.to_the_end = false;
        self.second = Measurements::new();
    }

    /// Adds what the gateway told in `phase`; `calls` are those of the run so far. A hundred thousand frames take
    /// 50 ms, in which devices want to connect and others to hang up on the same thread: it lets them.
    pub async fn add(
        &mut self,
        reading: Reading,
        phase: usize,
        calls: &CallRegistry,
    ) -> PoolSecond {
        self.coverage.to_the_end = true;
        self.second = Measurements::new();
        let Reading { status, passages, left_out } = reading;
        self.coverage.readings += 1;
        self.coverage.frames_left_out += left_out;
        let mut queue_delay = Distribution::new(Quantity::Time);
        for passage in mem::take(&mut self.under_way) {
            if let Some(journey) = calls.journey(passage.ssrc, passage.timestamp) {
                self.complete(&passage, &journey);
            }
        }
        for some in passages.chunks(AT_ONCE) {
            for passage in some {
                queue_delay.record(nanos(passage.queued));
                self.pass(*passage, calls);
            }
            tokio::task::yield_now().await;
        }
        self.notice_restart(&status);
        // A second across two phases belongs to neither.
        let same_phase = self.last_phase.replace(phase) == Some(phase);
        let before = self.last.take().filter(|_| same_phase);
        let span = before.and_then(|before| self.span(&before, &status, phase));
        let pool = &status.pool;
        self.sample(phase, Metric::Workers, pool.serving);
        self.sample(phase, Metric::GatewayLoad, thousandths(pool.load_percent));
        let second = PoolSecond {
            serving: pool.serving,
            starting: pool.starting,
            draining: pool.draining,
            span,
            load_percent: pool.load_percent,
            pending: pool.pending,
            queue_delay_p50_ms: queue_delay.statistic(Statistic::Quantile(0.5)),
            queue_delay_p99_ms: queue_delay.statistic(Statistic::Quantile(0.99)),
            queue_delay_max_ms: queue_delay.statistic(Statistic::Max),
        };
        self.most = self.most.max(pool.serving);
        self.first.get_or_insert_with(|| status.clone());
        self.last = Some(status);
        second
    }

    /// What the last reading told, whatever phase it belongs to; nothing when none came.
    pub fn last_second(&self) -> &Measurements {
        &self.second
    }

    fn sample(&mut self, phase: usize, metric: Metric, recorded: u64) {
        self.measured.entry(phase).or_default().sample(metric, recorded);
        self.second.sample(metric, recorded);
    }

    /// A frame counts in the phase in which it was planned. Its answer may still be on its way:
    /// then the rest of its way is looked up with the next reading.
    fn pass(&mut self, passage: Passage, calls: &CallRegistry) {
        let Some(journey) = calls.journey(passage.ssrc, passage.timestamp) else {
            self.coverage.frames_unmatched += 1;
            return;
        };
        self.coverage.frames += 1;
        let phase = self.phases.phase_at(journey.planned);
        self.sample(phase, Metric::GatewayQueueDelay, nanos(passage.queued));
        let Some(worked) = passage.worked else { return };
        self.sample(phase, Metric::GatewayWork, nanos(worked));
        if !self.complete(&passage, &journey) && self.under_way.len() < MOST_UNDER_WAY {
            self.under_way.push(passage);
        }
    }

    /// Splits the way of a frame into its parts, if it has come to its end.
    fn complete(&mut self, passage: &Passage, journey: &Journey) -> bool {
        let arrived = self.clock.from_monotonic(passage.arrived);
        let Some(parts) = Parts::of(passage, arrived, journey) else { return false };
        let measured = self.measured.entry(self.phases.phase_at(journey.planned)).or_default();
        measured.sample(Metric::PathUp, parts.up.max(0).unsigned_abs());
        measured.sample(Metric::PathBack, parts.back.max(0).unsigned_abs());
        self.decomposition.add(&parts);
        true
    }

    /// What happened between two readings.
    fn span(&mut self, before: &Status, now: &Status, phase: usize) -> Option<Span> {
        let length = Duration::try_from_secs_f64(now.uptime_s - before.uptime_s).ok()?;
        if length < SHORTEST_WINDOW {
            return None;
        }
        let share = |span_s: f64| (span_s / length.as_secs_f64()).max(0.0);
        let busy: f64 = busy_times(before, now, |_| true).iter().map(Duration::as_secs_f64).sum();
        let idle = now.pool.idle_while_waiting_s - before.pool.idle_while_waiting_s;
        self.sample(phase, Metric::WorkersBusy, thousandths(share(busy)));
        self.sample(phase, Metric::IdleWhileWaiting, thousandths(share(idle) * 100.0));
        let mut balance = None;
        let serving = |worker: &Worker| worker.state == "serving";
        let window = busy_times(before, now, serving);
        let steady = before.pool.serving == now.pool.serving
            && window.len() as u64 == now.pool.serving
            && now.pool.serving > 1;
        if steady {
            let load = share(busy) / now.pool.serving as f64;
            balance = Balance::of(&window).filter(|_| load > SCORED_FROM_LOAD).map(|one| one.jain);
            if let Some(jain) = balance {
                self.sample(phase, Metric::WorkerBalance, thousandths(jain));
            }
            self.windows.add(&window);
        }
        Some(Span { busy: share(busy), idle_while_waiting: share(idle).min(1.0), balance })
    }

    /// Samples by phase, and the record; `None` when the gateway told nothing at all.
    pub fn finish(self) -> (BTreeMap<usize, Measurements>, Option<GatewayRecord>) {
        let record = self.record();
        (self.measured, record)
    }

    /// A gateway that was restarted counts anew: what the one before has told is kept.
    fn notice_restart(&mut self, now: &Status) {
        let another = |last: &Status| last.started_at_monotonic_ns != now.started_at_monotonic_ns;
        if self.last.as_ref().is_some_and(another)
            && let (Some(first), Some(last)) = (self.first.take(), self.last.take())
        {
            self.earlier.push((first, last));
        }
    }

    fn record(&self) -> Option<GatewayRecord> {
        let current = (self.first.as_ref()?, self.last.as_ref()?);
        let lives: Vec<(&Status, &Status)> =
            self.earlier.iter().map(|(first, last)| (first, last)).chain([current]).collect();
        let (first, last) = (lives[0].0, current.1);
        let sum = |of: fn(&Status) -> u64| lives.iter().map(|(_, last)| of(last)).sum::<u64>();
        let gained = |of: fn(&Status) -> f64| {
            lives.iter().map(|(first, last)| of(last) - of(first)).sum::<f64>()
        };
        let timeouts = sum(|life| life.counters.dropped.worker_timeout);
        let balance = self.windows.finish();
        let ran = gained(|life| life.uptime_s);
        let idle = gained(|life| life.pool.idle_while_waiting_s);
        let frames_run = sum(|life| life.pool.workers.iter().map(|worker| worker.frames).sum());
        let events: Vec<ScalingEventRecord> = lives
            .iter()
            .flat_map(|(_, life)| life.scaling.events.iter().map(|event| self.event(life, event)))
            .collect();
        let CoverageRecord { frames, frames_left_out, frames_unmatched, .. } = self.coverage;
        let told = frames + frames_left_out + frames_unmatched;
        let frames_missing = (frames_run + timeouts).saturating_sub(told);
        let mut workers: BTreeMap<u64, (u64, f64)> = BTreeMap::new();
        for worker in lives.iter().flat_map(|(_, life)| &life.pool.workers) {
            let (frames, busy_s) = workers.entry(worker.worker).or_default();
            *frames += worker.frames;
            *busy_s += worker.busy_s;
        }
        let workers = workers.into_iter().map(|(worker, (frames, busy_s))| WorkerRecord {
            worker,
            frames,
            busy_ms: rounded(busy_s * 1e3),
        });
        Some(GatewayRecord {
            dispatch: last.pool.dispatch.clone(),
            scaling: ScalingRecord {
                policy: last.scaling.policy.clone(),
                min: last.scaling.min,
                max: last.scaling.max,
                at_start: first.pool.serving,
                most: events.iter().map(|event| event.to).fold(self.most, u64::max),
                at_end: last.pool.serving,
                changes: sum(|life| life.scaling.decisions.values().sum()),
                events,
            },
            burn: last.backend.burn.clone(),
            faults: last.faults.configured.clone(),
            frames_run,
            frames_encoded: sum(|life| life.counters.frames_encoded),
            worker_timeouts: timeouts,
            workers: workers.collect(),
            balance: balance.map(|balance| BalanceRecord {
                jain_min: rounded(balance.jain_min),
                jain_mean: rounded(balance.jain_mean),
                windows: balance.windows as u64,
            }),
            idle_while_waiting_percent: if ran > 0.0 { rounded(idle / ran * 100.0) } else { 0.0 },
            decomposition: self.decomposition.record(),
            coverage: CoverageRecord { frames_missing, ..self.coverage },
        })
    }

    /// What happened before the run began is placed at its start.
    fn event(&self, status: &Status, event: &ScalingEvent) -> ScalingEventRecord {
        let since = Duration::try_from_secs_f64(event.at_s).unwrap_or_default();
        let started = Duration::from_nanos(status.started_at_monotonic_ns);
        let at: Moment = self.clock.from_monotonic(started + since);
        ScalingEventRecord {
            at_ms: rounded(at.since_start().as_secs_f64() * 1e3),
            from: event.from,
            to: event.to,
            reason: event.reason.clone(),
            sentence: event.sentence.clone(),
            saw: event.saw.clone(),
        }
    }
}

/// For how long each worker had frames in its hands between two readings, of those that are
/// `wanted` at both.
fn busy_times(before: &Status, now: &Status, wanted: impl Fn(&Worker) -> bool) -> Vec<Duration> {
    let busy = |worker: &Worker| {
        let earlier = before.pool.workers.iter().find(|earlier| earlier.worker == worker.worker);
        let before_s = match earlier {
            Some(earlier) if wanted(earlier) => earlier.busy_s,
            Some(_) => return None,
            // A worker that was never there has done nothing.
            None => 0.0,
        };
        Duration::try_from_secs_f64(worker.busy_s - before_s).ok()
    };
    now.pool.workers.iter().filter(|worker| wanted(worker)).filter_map(busy).collect()
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "workers and shares are small and not negative; what is not saturates"
)]
fn thousandths(number: f64) -> u64 {
    (number * 1e3).round() as u64
}

/// Four decimals, as everywhere in the record.
fn rounded(number: f64) -> f64 {
    (number * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests;
