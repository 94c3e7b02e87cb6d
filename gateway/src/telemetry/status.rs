//! Everything that a gateway tells about itself, at one instant; its form is that of `/status`.
//!
//! Metrics, log block and JSON are all made from this, so they cannot disagree. Counts and sums run
//! since the gateway started; whoever wants a rate takes two of them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::autoscale::{Policy, Saw};
use crate::backend::Backend;
use crate::burn::BurnRule;
use crate::counters::CountersSnapshot;
use crate::dispatch::Dispatch;
use crate::faults::FaultSettings;
use crate::pool::WorkerState;

/// A gateway at one instant.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Status {
    /// The gateway's version.
    pub(crate) version: &'static str,
    /// When it started, in seconds since 1970 (UTC).
    pub(crate) started_at_unix_s: u64,
    /// When it started, on `CLOCK_MONOTONIC`: times since the start can so be placed on the clocks
    /// of other processes of the host.
    pub(crate) started_at_monotonic_ns: u64,
    /// Time since then.
    pub(crate) uptime_s: f64,
    pub(crate) backend: BackendStatus,
    pub(crate) pool: PoolStatus,
    pub(crate) scaling: ScalingStatus,
    /// From the kernel receiving a frame to a worker taking it.
    pub(crate) queue_delay: Histogram,
    /// For how long workers had frames in their hands.
    pub(crate) work: Histogram,
    /// Both together.
    pub(crate) latency: Histogram,
    /// The newest frames that waited longer than `worker_timeout`, oldest first.
    pub(crate) timeouts: Vec<Timeout>,
    /// Processor time and memory; `None` before the first sample.
    pub(crate) process: Option<ProcessStatus>,
    /// Audio sessions open now.
    pub(crate) sessions_live: u64,
    pub(crate) faults: FaultsStatus,
    pub(crate) counters: CountersSnapshot,
}

/// What is done with audio.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BackendStatus {
    pub(crate) kind: Backend,
    pub(crate) complexity: u8,
    /// How long after its frame an answer leaves, in turns; empty when it is not held back.
    pub(crate) delay_ms: Vec<f64>,
    /// Extra work per frame; empty when there is none.
    pub(crate) burn: Vec<BurnRule>,
}

/// The workers and what they have to do.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PoolStatus {
    pub(crate) dispatch: Dispatch,
    /// Workers that take work.
    pub(crate) serving: usize,
    /// Workers on their way.
    pub(crate) starting: usize,
    /// Workers that finish what they have and leave.
    pub(crate) draining: usize,
    /// Frames accepted and not yet done with.
    pub(crate) pending: u64,
    /// Production's load: mean pending per worker, those starting included, over 5, in percent.
    pub(crate) load_percent: f64,
    /// How long, altogether, some worker was idle while work waited for another.
    pub(crate) idle_while_waiting_s: f64,
    /// Every worker there ever was, by number.
    pub(crate) workers: Vec<WorkerStatus>,
}

/// One worker.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct WorkerStatus {
    pub(crate) worker: usize,
    pub(crate) state: WorkerState,
    /// Sessions in its own queue and its hands.
    pub(crate) pending: usize,
    /// Frames that it has run.
    pub(crate) frames: u64,
    /// How long it had frames in its hands.
    pub(crate) busy_s: f64,
    /// Processor time of its thread at the last sample; `None` where it has none now.
    pub(crate) cpu_s: Option<f64>,
}

/// How the number of workers is decided, and was.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ScalingStatus {
    pub(crate) policy: Policy,
    pub(crate) min: usize,
    pub(crate) max: usize,
    /// Decisions that changed the number, by reason.
    pub(crate) decisions: BTreeMap<&'static str, u64>,
    /// The newest of them, oldest first.
    pub(crate) events: Vec<ScalingEvent>,
}

/// A change of the number of workers.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ScalingEvent {
    /// Since the gateway started.
    pub(crate) at_s: f64,
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// For tools.
    pub(crate) reason: &'static str,
    /// For people.
    pub(crate) sentence: String,
    /// What the policy looked at.
    pub(crate) saw: Saw,
}

/// Times in fixed classes, as Prometheus has them.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Histogram {
    pub(crate) count: u64,
    pub(crate) sum_s: f64,
    pub(crate) max_s: f64,
    /// For each bound how many were not above it; all of them for the last, which has no bound.
    pub(crate) buckets: Vec<Bucket>,
}

/// How many were not above a bound.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Bucket {
    /// `None`: no bound.
    pub(crate) le_s: Option<f64>,
    pub(crate) count: u64,
}

/// A frame that waited too long and was dropped.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Timeout {
    /// Since the gateway started.
    pub(crate) at_s: f64,
    /// The device's MAC address.
    pub(crate) device: String,
    /// How long it had waited.
    pub(crate) waited_ms: f64,
}

/// The gateway's process, sampled each second.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct ProcessStatus {
    /// In the last second, in percent of one core.
    pub(crate) cpu_percent: f64,
    /// Over the last `samples`.
    pub(crate) cpu_percent_mean: f64,
    /// The largest of the last `samples`.
    pub(crate) cpu_percent_max: f64,
    /// How many seconds are remembered: up to 100.
    pub(crate) samples: usize,
    pub(crate) resident_bytes: u64,
    pub(crate) threads: u32,
}

/// What is made to go wrong.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FaultsStatus {
    /// Those that are switched on.
    pub(crate) configured: FaultSettings,
    /// Memory leaked on purpose.
    pub(crate) leaked_bytes: u64,
}
