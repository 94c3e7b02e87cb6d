//! `progress.json`: the state of a run that goes on, replaced each second and gone when the run is
//! over. What has happened so far is in `timeline.csv` beside it.

use serde::{Deserialize, Serialize};

/// The file's name in the run directory.
pub const FILE: &str = "progress.json";
/// The version of its form.
pub const FORMAT: u32 = 1;

/// The state of a run at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ProgressRecord {
    /// [`FORMAT`].
    pub format: u32,
    /// The scenario's name.
    pub scenario: String,
    /// Its title.
    pub title: String,
    /// The question it answers.
    pub question: String,
    /// The process that runs it.
    pub pid: u32,
    /// Since the start.
    pub elapsed_ms: f64,
    /// From the start to the end of the last phase.
    pub length_ms: f64,
    /// The phase that is under way.
    pub phase: String,
    /// All of them.
    pub phases: Vec<PhaseProgress>,
    /// Sessions that are open.
    pub devices: u32,
    /// The most that the scenario asks for.
    pub devices_most: u32,
    /// Frames sent in the last second.
    pub frames_sent: u64,
    /// Frames answered in the last second.
    pub frames_answered: u64,
    /// Frames sent so far and not answered, those under way included.
    pub unanswered: u64,
    /// Response latency of the last second: p50, p90, p99 and max; `null` without answers.
    pub latency_ms: Option<[f64; 4]>,
    /// Workers that took work; `null` when the gateway does not tell.
    pub workers: Option<u64>,
    /// How many were busy, on average over the last second.
    pub workers_busy: Option<f64>,
    /// 99th percentile of the queue delay of the last second.
    pub queue_delay_p99_ms: Option<f64>,
    /// The thresholds that are known second by second, so far.
    pub thresholds: Vec<ThresholdProgress>,
}

/// A phase and its time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PhaseProgress {
    /// Its name.
    pub name: String,
    /// Its start, from the start of the run.
    pub start_ms: f64,
    /// Its end.
    pub end_ms: f64,
    /// Its device target.
    pub devices: u32,
}

/// A threshold, as far as can be told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ThresholdProgress {
    /// As it was written.
    pub threshold: String,
    /// Whether it holds so far.
    pub state: ThresholdState,
    /// What was seen so far, in `unit`.
    pub observed: Option<f64>,
    /// The unit of `observed`.
    pub unit: String,
}

/// Whether a threshold holds so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ThresholdState {
    /// It would fail if the run ended now.
    Failing,
    /// A count that must still grow.
    NotYet,
    /// Nothing was seen yet.
    NoSamples,
    /// It holds.
    Ok,
}
