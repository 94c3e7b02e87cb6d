//! What the reference gateway told about itself, as `run.json` holds it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The pool of a reference gateway and what it did in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GatewayRecord {
    /// How frames got their worker.
    pub dispatch: String,
    /// How many workers there were, and why.
    pub scaling: ScalingRecord,
    /// Extra work per frame, as it was configured; empty when there was none.
    pub burn: Value,
    /// The faults that were switched on.
    pub faults: Value,
    /// Frames that workers ran.
    pub frames_run: u64,
    /// Of these, frames that were decoded and encoded anew.
    pub frames_encoded: u64,
    /// Frames that waited longer for a worker than they may, and were dropped.
    pub worker_timeouts: u64,
    /// What each worker did.
    pub workers: Vec<WorkerRecord>,
    /// How evenly busy time was shared, by seconds; `null` when they never had enough to do.
    pub balance: Option<BalanceRecord>,
    /// Share of the time in which a worker was idle while work waited for another.
    pub idle_while_waiting_percent: f64,
    /// Where the response latency went; `null` when no frame's whole way is known.
    #[serde(default)]
    pub decomposition: Option<DecompositionRecord>,
    /// How much of all this is known.
    pub coverage: CoverageRecord,
}

/// Where the response latency went: means over the same frames, so that the parts add up to the
/// whole.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct DecompositionRecord {
    /// Frames whose whole way is known.
    pub frames: u64,
    /// From the planned instant to the send call.
    pub generator_ms: f64,
    /// From there to the gateway's kernel.
    pub up_ms: f64,
    /// Until a worker took it.
    pub queue_ms: f64,
    /// Until the worker was done.
    pub work_ms: f64,
    /// Until our kernel received the answer.
    pub back_ms: f64,
    /// From the planned instant to our kernel receiving the answer.
    pub whole_ms: f64,
    /// Frames of which a part was below zero by more than the clocks' uncertainty: the gateway's
    /// clock and ours do not agree.
    pub contradictions: u64,
}

/// How many workers there were, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScalingRecord {
    /// What decided: `fixed`, `production`, `production-extreme` or `queue-delay`.
    pub policy: String,
    /// The fewest workers.
    pub min: u64,
    /// The most workers.
    pub max: u64,
    /// Workers when the gateway was first looked at.
    pub at_start: u64,
    /// The most that there were at any look or change.
    pub most: u64,
    /// Workers when the gateway was last looked at: `coverage` tells whether that was the end.
    pub at_end: u64,
    /// How often the number was changed.
    pub changes: u64,
    /// The last 100 changes.
    pub events: Vec<ScalingEventRecord>,
}

/// A change of the number of workers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScalingEventRecord {
    /// When it was decided, from the start of the run.
    pub at_ms: f64,
    /// Workers before.
    pub from: u64,
    /// Workers after.
    pub to: u64,
    /// Why, for tools.
    pub reason: String,
    /// Why, for people.
    pub sentence: String,
    /// What the policy looked at.
    pub saw: Value,
}

/// What one worker did.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorkerRecord {
    /// Its number.
    pub worker: u64,
    /// Frames it ran.
    pub frames: u64,
    /// How long it had them in its hands.
    pub busy_ms: f64,
}

/// How evenly busy time was shared: Jain's index over windows of a second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BalanceRecord {
    /// The worst second.
    pub jain_min: f64,
    /// The mean over seconds.
    pub jain_mean: f64,
    /// Seconds with enough to do and a steady number of workers.
    pub windows: u64,
}

/// How much is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverageRecord {
    /// Times the gateway was asked and told.
    pub readings: u64,
    /// Times it was asked and did not tell in time.
    pub unread: u64,
    /// Whether the last time it was asked, after the load, it told.
    pub to_the_end: bool,
    /// Frames whose way through the gateway is known.
    pub frames: u64,
    /// Frames that the gateway had no room to remember.
    pub frames_left_out: u64,
    /// Frames that the gateway told of in answers that came too late to be read.
    pub frames_missing: u64,
    /// Frames that belong to no call of this run, or were none that it sent.
    pub frames_unmatched: u64,
}
