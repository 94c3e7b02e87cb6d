//! Who can tell everything about a gateway: knows all its parts and asks them when it is asked.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use protocol::Moment;

use super::histogram::TimeHistogram;
use super::http_io::Source;
use super::status::{
    BackendStatus, FaultsStatus, PoolStatus, ScalingEvent, ScalingStatus, Status, Timeout,
    WorkerStatus,
};
use super::vitals::Vitals;
use crate::autoscale::AutoscaleSettings;
use crate::common::{Common, TimedOut};
use crate::dispatch::Dispatch;
use crate::ledger::{Ledger, Totals};
use crate::media_session::MediaSession;
use crate::pool::{QueueView, RunQueue, WorkerState};
use crate::scaling_io::{Change, ScalingLog};
use crate::sessions::Sessions;

/// Pending frames per worker that make a load of 100 %: production's number.
const FULL_LOAD_PENDING: f64 = 5.0;

/// All parts of a gateway that have something to tell.
#[derive(Debug)]
pub(crate) struct Observer {
    pub(crate) common: Arc<Common>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) queue: Arc<RunQueue<MediaSession>>,
    /// One for each worker that there may be.
    pub(crate) ledgers: Vec<Arc<Ledger>>,
    pub(crate) scaling: ScalingLog,
    pub(crate) vitals: Mutex<Vitals>,
    pub(crate) dispatch: Dispatch,
    pub(crate) autoscale: AutoscaleSettings,
    pub(crate) started: SystemTime,
}

impl Source for Observer {
    fn status(&self) -> Status {
        let Common { clock, counters, backend, burn, timeouts, .. } = &*self.common;
        let now = clock.now();
        let totals: Vec<Totals> = self.ledgers.iter().map(|ledger| ledger.totals(now)).collect();
        let together = |of: fn(&Totals) -> &TimeHistogram| {
            let mut all = TimeHistogram::default();
            for totals in &totals {
                all.absorb(of(totals));
            }
            all.to_status()
        };
        let counters = counters.snapshot();
        let leaked = counters.memory_leaked;
        Status {
            version: env!("CARGO_PKG_VERSION"),
            started_at_unix_s: self.started.duration_since(UNIX_EPOCH).map_or(0, |t| t.as_secs()),
            started_at_monotonic_ns: nanos(clock.to_monotonic(Moment::START)),
            uptime_s: seconds(now),
            backend: BackendStatus {
                kind: backend.kind,
                complexity: backend.complexity.get(),
                delay_ms: backend.delay.iter().copied().map(millis).collect(),
                burn: burn.clone(),
            },
            pool: self.pool(&self.queue.view(), &totals),
            scaling: ScalingStatus {
                policy: self.autoscale.policy,
                min: self.autoscale.min,
                max: self.autoscale.max(),
                decisions: self.scaling.by_reason(),
                events: self.scaling.newest().into_iter().map(ScalingEvent::from).collect(),
            },
            queue_delay: together(|totals| &totals.queue_delay),
            work: together(|totals| &totals.work),
            latency: together(|totals| &totals.latency),
            timeouts: timeouts.list().into_iter().map(Timeout::from).collect(),
            process: self.vitals.lock().expect("nothing panics while it holds the vitals").status(),
            sessions_live: self.sessions.live().len() as u64,
            faults: FaultsStatus {
                configured: self.common.faults().settings().clone(),
                leaked_bytes: leaked,
            },
            counters,
        }
    }

    fn frames(&self) -> Vec<u8> {
        // First of all how many are missing.
        let mut out = vec![0; size_of::<u64>()];
        let write = |ledger: &Arc<Ledger>| ledger.write_passages(&self.common.clock, &mut out);
        let left_out: u64 = self.ledgers.iter().map(write).sum();
        out[..size_of::<u64>()].copy_from_slice(&left_out.to_le_bytes());
        out
    }
}

impl Observer {
    fn pool(&self, queue: &QueueView, totals: &[Totals]) -> PoolStatus {
        let vitals = self.vitals.lock().expect("nothing panics while it holds the vitals");
        let serving = queue.pending.len();
        let active = queue.count(WorkerState::Starting) + queue.count(WorkerState::Serving);
        let pending = self.common.counters.pending();
        let workers = queue.workers.iter().zip(totals).enumerate();
        let workers = workers
            .filter(|(_, (state, totals))| **state != WorkerState::Gone || totals.frames > 0);
        let workers = workers.map(|(worker, (state, totals))| WorkerStatus {
            worker,
            state: *state,
            pending: queue.pending.get(worker).copied().unwrap_or(0),
            frames: totals.frames,
            busy_s: totals.busy.as_secs_f64(),
            cpu_s: vitals.worker_cpu(worker).map(|cpu| cpu.as_secs_f64()),
        });
        PoolStatus {
            dispatch: self.dispatch,
            serving,
            starting: active - serving,
            draining: queue.count(WorkerState::Draining),
            pending,
            load_percent: pending as f64 / active as f64 / FULL_LOAD_PENDING * 100.0,
            idle_while_waiting_s: queue.idle_while_waiting.as_secs_f64(),
            workers: workers.collect(),
        }
    }
}

impl From<Change> for ScalingEvent {
    fn from(change: Change) -> Self {
        let Change { at, from, to, reason, sentence, saw } = change;
        Self { at_s: seconds(at), from, to, reason, sentence, saw }
    }
}

impl From<TimedOut> for Timeout {
    fn from(timed_out: TimedOut) -> Self {
        let TimedOut { at, device, waited } = timed_out;
        Self { at_s: seconds(at), device: device.to_string(), waited_ms: millis(waited) }
    }
}

fn seconds(at: Moment) -> f64 {
    at.since_start().as_secs_f64()
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}
