//! Looks after a run while it goes on: the end of calls, the gateway's life, Ctrl-C, and once a
//! second resources, what the gateway tells, timeline and progress.

use std::fmt;
use std::io;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

use measure::progress_record::{self, PhaseProgress, ProgressRecord};
use measure::{Metric, Statistic};
use platform::Clock;
use protocol::Moment;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use crate::baseline::Baseline;
use crate::collect::millis;
use crate::device::Fleet;
use crate::gateway_process::GatewayProcess;
use crate::histogram_log::HistogramLog;
use crate::in_flight::InFlight;
use crate::live::{Abort, Live, known_limit};
use crate::live_files::LiveFiles;
use crate::pool_account::{PoolAccount, PoolSecond};
use crate::progress::Progress;
use crate::resources::{HostBefore, Resources};
use crate::scenario::Scenario;
use crate::schedule::Schedule;
use crate::stagehand::{Stagehand, Step};
use crate::telemetry::{SOON, Telemetry};
use crate::timeline::{Row, Timeline};

/// How often the run looks at the gateway's process.
const TICK: Duration = Duration::from_millis(100);
/// How often everything else is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the media threads may take to hand over what they recorded; what comes later is in the
/// next second.
const HAND_OVER: Duration = Duration::from_millis(20);
/// How long calls may take to say goodbye after the load, beside the drain.
const FAREWELL: Duration = Duration::from_secs(15);

/// Why a run ended before its time.
#[derive(Clone, Debug, PartialEq)]
pub enum EndedEarly {
    /// Ctrl-C or SIGTERM, at this moment.
    Interrupted(Moment),
    /// The reference gateway ended by itself.
    GatewayExited {
        /// When it was noticed.
        at: Moment,
        /// How it ended.
        exit: String,
    },
    /// A threshold with `abort` was not kept.
    Aborted {
        /// The end of the second that broke it.
        at: Moment,
        /// Which, and what was seen.
        why: Abort,
    },
}

impl EndedEarly {
    /// When it was noticed.
    pub fn at(&self) -> Moment {
        match self {
            Self::Interrupted(at) | Self::GatewayExited { at, .. } | Self::Aborted { at, .. } => {
                *at
            }
        }
    }
}

impl fmt::Display for EndedEarly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted(at) => write!(f, "interrupted after {at}"),
            Self::GatewayExited { at, exit } => {
                write!(f, "the reference gateway ended after {at} ({exit})")
            }
            Self::Aborted { at, why: Abort { threshold, observed, unit } } => {
                write!(f, "ended after {at}: {threshold}; observed {observed:.3} {unit}")
            }
        }
    }
}

/// Looks after a run while it goes on.
pub struct Watch<'a> {
    fleet: &'a Fleet,
    scenario: &'a Scenario,
    schedule: &'a Schedule,
    resources: Resources,
    timeline: Timeline,
    gateway: Option<&'a mut GatewayProcess>,
    telemetry: Option<Telemetry>,
    account: PoolAccount,
    in_flight: InFlight,
    host: HostBefore,
    progress: &'a mut Progress,
    live: Live,
    looked: Moment,
    histograms: &'a mut HistogramLog,
    files: &'a mut LiveFiles,
    stagehand: Stagehand,
    sent_before: u64,
    awaited_before: u64,
    answered_before: u64,
}

/// What a watch looks after, and where it tells of it.
pub struct WatchParts<'a> {
    /// The devices.
    pub fleet: &'a Fleet,
    /// What was asked.
    pub scenario: &'a Scenario,
    /// What was decided.
    pub schedule: &'a Schedule,
    /// The gateway's process, if it is one of ours.
    pub gateway: Option<&'a mut GatewayProcess>,
    /// The run that thresholds compare with.
    pub baseline: Option<&'a Baseline>,
    /// Where progress is shown.
    pub progress: &'a mut Progress,
    /// Where each second's times are kept.
    pub histograms: &'a mut HistogramLog,
    /// Where others see it.
    pub files: &'a mut LiveFiles,
}

impl<'a> Watch<'a> {
    /// A watch over the calls of a fleet.
    pub fn new(parts: WatchParts<'a>) -> Self {
        let WatchParts {
            fleet,
            scenario,
            schedule,
            gateway,
            baseline,
            progress,
            histograms,
            files,
        } = parts;
        let gateway_pid = gateway.as_ref().map(|gateway| gateway.pid());
        let telemetry = gateway.as_ref().and_then(|one| Telemetry::announced(&one.announced));
        Self {
            fleet,
            scenario,
            schedule,
            resources: Resources::new(fleet.clock, gateway_pid),
            timeline: Timeline::default(),
            gateway,
            telemetry,
            account: PoolAccount::new(fleet.clock, schedule.segments.clone()),
            in_flight: InFlight::default(),
            host: HostBefore::now(),
            progress,
            live: live(scenario, schedule, baseline),
            looked: Moment::START,
            histograms,
            files,
            stagehand: Stagehand::new(&scenario.actions, &scenario.gateway.faults),
            sent_before: 0,
            awaited_before: 0,
            answered_before: 0,
        }
    }

    /// Returns when every call has ended and the load is over; tells them to end before that when
    /// somebody interrupts or the gateway is gone.
    pub async fn until_over(
        &mut self,
        calls: &mut JoinSet<()>,
        stop: &watch::Sender<bool>,
        interrupt: &mut Interrupt,
    ) -> Option<EndedEarly> {
        let mut ended_early = None;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut look_due = self.fleet.clock.now() + LOOK_EVERY;
        let mut count_due = Instant::now() + InFlight::gap();
        // After this moment nobody is waited for.
        let mut patience = self.schedule.phases.end() + self.scenario.drain + FAREWELL;
        let mut calls_over = false;
        let mut gateway_gone = false;
        loop {
            // A phase without devices has its time too, as long as there is a gateway to watch.
            let load_over = self.fleet.clock.now() >= self.schedule.phases.end()
                || ended_early.is_some()
                || self.gateway.is_none();
            if calls_over && load_over {
                return ended_early;
            }
            let deed_due = self.stagehand.next(self.fleet.clock.now());
            tokio::select! {
                ended = calls.join_next(), if !calls_over => match ended {
                    Some(ended) => ended.expect("calls neither panic nor are aborted"),
                    None => calls_over = true,
                },
                _ = ticks.tick() => {
                    if gateway_gone {
                        // Every device has had a tick to see its connection end: its session was
                        // lost, and not cut short by us.
                        let _ = stop.send(true);
                    }
                    if self.fleet.clock.now() >= look_due {
                        look_due += LOOK_EVERY;
                        let abort = self.look().await;
                        if let (Some(why), None) = (abort, &ended_early) {
                            let ended = EndedEarly::Aborted { at: self.looked, why };
                            self.end(ended, &mut ended_early, &mut patience);
                            let _ = stop.send(true);
                        }
                    }
                    let now = self.fleet.clock.now();
                    let exit = self.gateway.as_mut().and_then(|gateway| gateway.exited());
                    let exit = exit.filter(|_| !self.stagehand.is_restarting());
                    if let (Some(exit), None) = (exit, &ended_early) {
                        let ended = EndedEarly::GatewayExited { at: now, exit: exit.to_string() };
                        self.end(ended, &mut ended_early, &mut patience);
                        gateway_gone = true;
                    }
                    if now >= patience {
                        return ended_early;
                    }
                }
                () = wait_until(self.fleet.clock, deed_due), if ended_early.is_none() => {
                    if let Some(why) = self.act() {
                        let at = self.fleet.clock.now();
                        let ended = EndedEarly::GatewayExited { at, exit: why };
                        self.end(ended, &mut ended_early, &mut patience);
                        gateway_gone = true;
                    }
                }
                () = sleep_until(count_due) => {
                    count_due = Instant::now() + InFlight::gap();
                    let answered = self.fleet.listener.answered();
                    self.in_flight.count(self.fleet.pacer.awaited().saturating_sub(answered));
                }
                () = interrupt.next() => {
                    let now = self.fleet.clock.now();
                    if matches!(ended_early, Some(EndedEarly::Interrupted(_))) {
                        // A second Ctrl-C waits for nobody, but what ran is still reported.
                        return ended_early;
                    }
                    self.end(EndedEarly::Interrupted(now), &mut ended_early, &mut patience);
                    // Fails only when every call has ended.
                    let _ = stop.send(true);
                }
            }
        }
    }

    /// Does what is due to the gateway; says why when that was its end.
    fn act(&mut self) -> Option<String> {
        let gateway = self.gateway.as_mut()?;
        match self.stagehand.step(self.fleet.clock.now(), gateway) {
            Step::Done => None,
            Step::UpAgain => {
                self.resources.watch_gateway(gateway.pid());
                None
            }
            Step::NotUp(why) => Some(format!("it did not come up again: {why}")),
        }
    }

    fn end(
        &mut self,
        why: EndedEarly,
        ended_early: &mut Option<EndedEarly>,
        patience: &mut Moment,
    ) {
        self.progress
            .note(&format!("{why}; waiting for the last answers, then the report follows"));
        *ended_early = Some(why);
        *patience = self.fleet.clock.now() + self.scenario.drain + FAREWELL;
    }

    /// Once a second: resources, a row of the timeline, a line of progress, and whether a threshold
    /// ends the run.
    async fn look(&mut self) -> Option<Abort> {
        let pool = self.look_at_the_gateway(SOON).await;
        let now = self.fleet.clock.now();
        let phase = self.schedule.phases.phase_at(now);
        self.fleet.calls.forget(now);
        self.fleet.pacer.intervals().ask();
        self.fleet.listener.ask_interval();
        let (sent, answered) = (self.fleet.pacer.sent(), self.fleet.listener.answered());
        let awaited = self.fleet.pacer.awaited();
        let usage = self.resources.sample(self.schedule.segments.phase_at(now));
        self.log_intervals().await;
        let mut second = self.histograms.take();
        let latency = |statistic| second.sampled(Metric::ResponseLatency)?.statistic(statistic);
        let row = Row {
            at: now,
            phase: self.scenario.phases[phase].name.clone(),
            devices: self.fleet.open.load(Ordering::Relaxed),
            sent: sent - self.sent_before,
            awaited: awaited - self.awaited_before,
            answered: answered - self.answered_before,
            latency_p50_ms: latency(Statistic::Quantile(0.5)),
            latency_p99_ms: latency(Statistic::Quantile(0.99)),
            latency_max_ms: latency(Statistic::Max),
            usage,
            pool,
            lost: None,
            stutters: None,
        };
        let quantiles = [0.5, 0.9, 0.99].map(|share| latency(Statistic::Quantile(share)));
        let latency_ms = match (quantiles, row.latency_max_ms) {
            ([Some(p50), Some(p90), Some(p99)], Some(max)) => Some([p50, p90, p99, max]),
            _ => None,
        };
        second.count(Metric::FramesSent, row.sent);
        second.count(Metric::FramesReceived, row.answered);
        usage.add_to(&mut second);
        second.merge(self.account.last_second());
        second
            .merge(&self.fleet.turns.lock().unwrap_or_else(PoisonError::into_inner).take_second());
        (self.sent_before, self.answered_before) = (sent, answered);
        self.awaited_before = awaited;
        let from = std::mem::replace(&mut self.looked, now);
        let abort = self.live.second(from, now, &second);
        let progress = self.progress_at(&row, latency_ms);
        self.progress.show(&progress);
        self.files.second(&row, &progress);
        self.timeline.rows.push(row);
        abort
    }

    /// How far the run is.
    fn progress_at(&self, row: &Row, latency_ms: Option<[f64; 4]>) -> ProgressRecord {
        let (scenario, times) = (self.scenario, &self.schedule.phases);
        let phases = scenario.phases.iter().enumerate().map(|(index, phase)| {
            let (start, end) = times.bounds(index);
            PhaseProgress {
                name: phase.name.clone(),
                start_ms: millis(start.since_start()),
                end_ms: millis(end.since_start()),
                devices: phase.devices,
            }
        });
        ProgressRecord {
            format: progress_record::FORMAT,
            scenario: scenario.name.clone(),
            title: scenario.title.clone(),
            question: scenario.question.clone(),
            pid: std::process::id(),
            elapsed_ms: millis(row.at.since_start()),
            length_ms: millis(scenario.length()),
            phase: row.phase.clone(),
            phases: phases.collect(),
            devices: row.devices,
            devices_most: scenario.most_devices(),
            frames_sent: row.sent,
            frames_answered: row.answered,
            unanswered: self.awaited_before.saturating_sub(self.answered_before),
            latency_ms,
            workers: row.pool.as_ref().map(|pool| pool.serving),
            workers_busy: row.pool.as_ref().and_then(|pool| Some(pool.span?.busy)),
            queue_delay_p99_ms: row.pool.as_ref().and_then(|pool| pool.queue_delay_p99_ms),
            thresholds: self.live.so_far(),
        }
    }

    /// Writes what the media threads hand over, as they were asked to.
    async fn log_intervals(&mut self) {
        const LOOK_EVERY: Duration = Duration::from_millis(1);
        let until = Instant::now() + HAND_OVER;
        let (mut sent, mut answered) = (false, false);
        while !(sent && answered) && Instant::now() < until {
            let (pacer, listener) = (&self.fleet.pacer, &self.fleet.listener);
            sent |= pacer.intervals().take(|interval| self.histograms.sent(interval));
            answered |= listener.intervals().take(|interval| self.histograms.answered(interval));
            if !(sent && answered) {
                sleep(LOOK_EVERY).await;
            }
        }
    }

    /// Asks the gateway about itself, where there is something to ask.
    pub async fn look_at_the_gateway(&mut self, patience: Duration) -> Option<PoolSecond> {
        let reading = self.telemetry.as_mut()?.read(patience).await;
        let phase = self.schedule.segments.phase_at(self.fleet.clock.now());
        let Some(reading) = reading else {
            self.account.missed();
            return None;
        };
        Some(self.account.add(reading, phase, &self.fleet.calls).await)
    }

    /// What was seen.
    pub fn finish(self) -> Timeline {
        let (pool, gateway) = self.account.finish();
        Timeline {
            resources: self.resources.into_phases(),
            pool,
            gateway,
            in_flight: self.in_flight,
            host: self.host.until_now(),
            courses: self.live.finish(),
            actions: self.stagehand.finish(),
            ..self.timeline
        }
    }
}

/// Never, where nothing is due.
async fn wait_until(clock: Clock, due: Option<Moment>) {
    match due {
        Some(due) => sleep(due.since(clock.now())).await,
        None => std::future::pending().await,
    }
}

/// The thresholds of `scenario`, with the numbers that are known before its end.
fn live(scenario: &Scenario, schedule: &Schedule, baseline: Option<&Baseline>) -> Live {
    let names: Vec<&str> = scenario.phases.iter().map(|phase| phase.name.as_str()).collect();
    Live::new(&scenario.thresholds, &names, &schedule.phases, |threshold| {
        known_limit(threshold, baseline.and_then(|baseline| baseline.value(threshold)))
    })
}

/// Ctrl-C, or being asked to end.
pub struct Interrupt {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Interrupt {
    /// From now on signals do not end the process.
    ///
    /// # Errors
    /// When the operating system does not let signals be handled.
    pub fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
