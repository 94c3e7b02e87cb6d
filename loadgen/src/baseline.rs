//! Earlier runs to compare with: `din run --baseline RUN`, and `din baseline`, which keeps records in a
//! directory fit for git or the cache of a CI.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context;
use measure::host::{Host, differences, words};
use measure::noise_floor::Warning;
use measure::record::{MetricMap, RunRecord};
use measure::validity::State;
use reports::date::Utc;
use reports::run_files::{RunFilesError, read_record};

use crate::judged::JUDGED;
use crate::scenario::{Scenario, Scope, Threshold};

/// Where baselines are kept unless another directory is named.
pub const DIRECTORY: &str = "baselines";
/// What CI systems call the commit that is tested; ours first.
const COMMIT: [&str; 4] = ["DIN_COMMIT", "GITHUB_SHA", "CI_COMMIT_SHA", "GIT_COMMIT"];

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
                "threshold {threshold}: it compares with an earlier run and none was given; add --baseline RUN_DIRECTORY, or a name of `din baseline list`"
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
    /// Reads a run directory, its `run.json`, or the baseline of this name in [`DIRECTORY`].
    ///
    /// # Errors
    /// [`BaselineError`] says what is wrong with it.
    pub fn load(path: &Path) -> Result<Self, BaselineError> {
        let kept = file(Path::new(DIRECTORY), &path.display().to_string());
        let path = if !path.exists() && kept.exists() { &kept } else { path };
        let record = read_record(path).map_err(BaselineError::Record)?;
        Ok(Self { path: path.to_owned(), record })
    }

    /// A warning when it ran on a host of another fingerprint: its times say little here.
    pub fn is_of_another_host(&self, host: &Host) -> Option<Warning> {
        let differences = differences(host, &self.record.host);
        (!differences.is_empty()).then(|| Warning {
            rule: "baseline_host".to_owned(),
            threshold: None,
            limit_ms: None,
            floor_ms: None,
            samples: 0,
            text: format!(
                "the baseline {} ran on another host ({}): limits of times against it say little; run it anew \
                 here, or compare both builds with `din compare`",
                self.path.display(),
                differences.join("; ")
            ),
        })
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

/// The commit that is tested, as CI systems tell it in the environment.
pub fn commit(environment: impl Fn(&str) -> Option<String>) -> Option<String> {
    COMMIT.iter().find_map(|name| environment(name).filter(|commit| !commit.is_empty()))
}

/// The file of a baseline.
fn file(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.json"))
}

/// Keeps a run's record under a name, and returns the file.
///
/// # Errors
/// When the run cannot be read or says nothing, the name cannot be a file's, or is taken.
pub fn save(
    run: &Path,
    name: Option<&str>,
    commit: Option<String>,
    directory: &Path,
    replace: bool,
) -> anyhow::Result<PathBuf> {
    let mut record = read_record(run)?;
    anyhow::ensure!(
        record.validity.state != State::Invalid,
        "{} is INVALID and says nothing of its gateway: a baseline must be worth comparing with",
        run.display()
    );
    anyhow::ensure!(
        record.exit_code != 130,
        "{} was interrupted: a baseline must be a whole run",
        run.display()
    );
    record.commit = commit.or(record.commit);
    let name = name.unwrap_or(&record.scenario.name).to_owned();
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    anyhow::ensure!(
        !name.is_empty() && !name.starts_with('.') && name.chars().all(fits),
        "`{name}` cannot be the name of a baseline: letters, digits, `-`, `_` and `.` can"
    );
    let path = file(directory, &name);
    anyhow::ensure!(
        replace || !path.exists(),
        "{} is there already: name another with --as, or say --replace",
        path.display()
    );
    std::fs::create_dir_all(directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    let json = serde_json::to_string_pretty(&record).context("cannot write the record")?;
    let partial = directory.join(format!(".{name}.partial"));
    std::fs::write(&partial, json + "\n")
        .and_then(|()| std::fs::rename(&partial, &path))
        .with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// The baselines of a directory, by name; those that cannot be read with why.
///
/// # Errors
/// When the directory cannot be read.
pub fn all(directory: &Path) -> anyhow::Result<Vec<(String, Result<RunRecord, String>)>> {
    let files = std::fs::read_dir(directory).with_context(|| {
        format!("cannot list {}; `din baseline save RUN` makes it", directory.display())
    })?;
    let mut found = Vec::new();
    for file in files {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            found.push((name, read_record(&path).map_err(|error| error.to_string())));
        }
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

/// A line for each baseline.
///
/// # Errors
/// As [`all`].
pub fn list(directory: &Path) -> anyhow::Result<String> {
    let found = all(directory)?;
    anyhow::ensure!(
        !found.is_empty(),
        "there is no baseline in {}; `din baseline save RUN` keeps one",
        directory.display()
    );
    let width = found.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let mut out = String::new();
    for (name, record) in &found {
        // Writing to a String does not fail.
        let _ = match record {
            Ok(record) => writeln!(
                out,
                "{name:<width$}  {}  {:<7}  {:<10}  {}",
                day(record),
                record.validity.state.to_string(),
                short(record.commit.as_deref()),
                record.scenario.title
            ),
            Err(why) => writeln!(out, "{name:<width$}  cannot be read: {why}"),
        };
    }
    Ok(out)
}

/// What a baseline holds.
///
/// # Errors
/// When there is none of this name, or it cannot be read.
pub fn show(name: &str, directory: &Path) -> anyhow::Result<String> {
    let path = file(directory, name);
    if !path.exists() {
        let known: Vec<String> =
            all(directory).unwrap_or_default().into_iter().map(|(name, _)| name).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        anyhow::bail!(
            "there is no baseline `{name}` in {}: {}",
            directory.display(),
            crate::scenario::suggestion(name, &known)
        );
    }
    let record = read_record(&path)?;
    let mut out = String::new();
    // Writing to a String does not fail.
    let mut line = |label: &str, text: &str| {
        let _ = writeln!(out, "{label:<12} {text}");
    };
    line("baseline", &path.display().to_string());
    line("scenario", &format!("{}: {}", record.scenario.name, record.scenario.title));
    if !record.scenario.overrides.is_empty() {
        line("changed", &record.scenario.overrides.join(", "));
    }
    line(
        "run",
        &format!("{} UTC, {:.0} s, seed {}", day(&record), record.duration_ms / 1e3, record.seed),
    );
    line("commit", record.commit.as_deref().unwrap_or("not known: say --commit when you save"));
    line("host", &words(&record.host));
    line("validity", &record.validity.state.to_string());
    let held = record.thresholds.iter().filter(|one| one.ok).count();
    line("thresholds", &format!("{held} of {} held", record.thresholds.len()));
    for judged in JUDGED {
        if let Some(number) = judged.of(&record.metrics) {
            line("", format!("{:<24}{number:>12.3} {}", judged.name, judged.unit).trim_end());
        }
    }
    Ok(out)
}

fn day(record: &RunRecord) -> String {
    Utc::at_unix_s(record.started_at_unix_s).iso().replace('T', " ")
}

/// The first letters of a commit, as long as any.
pub(crate) fn short(commit: Option<&str>) -> String {
    let first = |commit: &str| commit.chars().take(10).collect();
    commit.map_or_else(|| "-".to_owned(), first)
}

#[cfg(test)]
mod tests;
