//! An earlier run to compare with: `din run --baseline RUN_DIRECTORY`.

use std::fmt;
use std::path::{Path, PathBuf};

use measure::record::{MetricMap, RunRecord};
use reports::run_files::{RunFilesError, read_record};

use crate::scenario::{Scenario, Scope, Threshold};

/// The record of an earlier run, and where it was.
#[derive(Debug)]
pub struct Baseline {
    path: PathBuf,
    record: RunRecord,
}

/// A baseline that there is not, or that cannot be compared with.
#[derive(Debug)]
pub enum BaselineError {
    /// A threshold asks for one.
    Missing {
        /// The threshold.
        threshold: String,
    },
    /// Its record cannot be read.
    Record(RunFilesError),
    /// The run does not have the number that a threshold compares with.
    Lacks {
        /// The file.
        path: PathBuf,
        /// The threshold.
        threshold: String,
        /// The number.
        number: String,
    },
}

impl fmt::Display for BaselineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { threshold } => write!(
                f,
                "threshold {threshold}: it compares with an earlier run and none was given; add --baseline RUN_DIRECTORY"
            ),
            Self::Record(error) => write!(f, "the baseline {error}"),
            Self::Lacks { path, threshold, number } => write!(
                f,
                "threshold {threshold}: the baseline {} has no {number}; kept are min, mean, max, p50, p90, p99 and p999 of distributions, worst, worst_1pct, p50 and mean of devices, and observed numbers of its own thresholds",
                path.display()
            ),
        }
    }
}

impl std::error::Error for BaselineError {}

impl Baseline {
    /// Reads a run directory, or its `run.json`.
    ///
    /// # Errors
    /// [`BaselineError`] says what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, BaselineError> {
        let record = read_record(path).map_err(BaselineError::Record)?;
        Ok(Self { path: path.to_owned(), record })
    }

    /// What `threshold` is about, as it was in that run; `None` when it was not kept.
    pub fn value(&self, threshold: &Threshold) -> Option<f64> {
        let from =
            |metrics: &MetricMap| metrics.get(threshold.metric.name())?.number(threshold.statistic);
        match &threshold.scope {
            Scope::Run => from(&self.record.metrics),
            Scope::Phase(name) => {
                from(&self.record.phases.iter().find(|phase| phase.name == *name)?.metrics)
            }
            Scope::Within(window) => {
                let (metric, within) = (threshold.subject(), Some(window.to_string()));
                let same = |one: &&measure::record::ThresholdRecord| {
                    one.metric == metric && one.within == within && one.over_ms.is_none()
                };
                self.record.thresholds.iter().find(same)?.observed
            }
        }
    }
}

/// Whether every threshold that needs an earlier run finds its number there.
///
/// # Errors
/// [`BaselineError`] names the first one that does not.
pub fn check(scenario: &Scenario, baseline: Option<&Baseline>) -> Result<(), BaselineError> {
    for threshold in scenario.thresholds.iter().filter(|one| one.needs_baseline()) {
        let shown = || threshold.to_string();
        let Some(baseline) = baseline else {
            return Err(BaselineError::Missing { threshold: shown() });
        };
        if baseline.value(threshold).is_none() {
            return Err(BaselineError::Lacks {
                path: baseline.path.clone(),
                threshold: shown(),
                number: format!("{}{}", threshold.scope, threshold.subject()),
            });
        }
    }
    Ok(())
}
