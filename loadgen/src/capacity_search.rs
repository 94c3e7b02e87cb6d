//! `din search`: the most devices with which a scenario meets its limits, by trials whose number and load
//! [`measure::search`] decides.
//!
//! A trial is a run of the scenario's one phase with so many devices: 2 s of ramp, then the trial's length.
//! It is bad when a threshold fails. A run that is INVALID says nothing and is done again; where it is
//! INVALID [`TRIES`] times in a row, the host cannot bring that load, and the search ends there. All that
//! is known is in `search.json` after each trial, from which a search that was broken off goes on.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use measure::record::{RunRecord, ThresholdRecord, Verdict};
use measure::search::{Account, Bracket, Goal, Search, Step};
use measure::validity::State;
use measure::{Metric, Statistic};
use serde::{Deserialize, Serialize};

use crate::compare::INCONCLUSIVE;
use crate::run_directory::unused;

/// The file's name in the directory of a search.
pub const FILE: &str = "search.json";
/// How often a trial is INVALID until the host is at its end.
pub const TRIES: usize = 3;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scenario's file.
    pub scenario: String,
    /// Its text and changes: a search of another one does not go on.
    pub text: String,
    /// What the search is after.
    pub goal: Goal,
    /// Devices to begin with.
    pub estimate: u32,
    /// How long a trial is.
    pub trial: Duration,
    /// The first trial's seed; others count up from it.
    pub seed: u64,
    /// How long the search may go on, this time.
    pub budget: Duration,
    /// The directory of all of it.
    pub out: PathBuf,
}

/// One trial that counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Devices.
    pub devices: u32,
    /// Whether every threshold held.
    pub good: bool,
    /// Those that failed.
    pub failed: Vec<String>,
    /// Response latency, p99, in ms.
    pub response_latency_p99_ms: Option<f64>,
    /// Effective loss in %.
    pub effective_loss_percent: Option<f64>,
    /// Processor time of the gateway, mean, in % of one core; `None` of a foreign one.
    pub gateway_cpu_percent: Option<f64>,
    /// Largest memory of the gateway, in MiB.
    pub gateway_rss_mib: Option<f64>,
    /// Processor time of the generator, mean, in % of one core.
    pub generator_cpu_percent: Option<f64>,
}

/// A search as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    format: u32,
    scenario: String,
    text: String,
    trial_s: u64,
    search: Search,
    /// Every trial that counts, in its order.
    pub trials: Vec<Trial>,
    /// Runs that were INVALID.
    pub invalid: usize,
}

/// Why a search ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The bracket is as narrow as was asked.
    Found,
    /// Its time was over.
    Budget,
    /// The host cannot bring so many devices.
    Host(u32),
    /// Somebody ended it.
    Interrupted,
}

/// What came of a search.
#[derive(Debug)]
pub struct Ended {
    /// All that is known.
    pub kept: Kept,
    /// Why it ended.
    pub end: End,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It counts.
    Counts(Trial),
    /// It says nothing.
    Invalid,
    /// Somebody ended it.
    Interrupted,
}

impl Outcome {
    /// Of a run with so many devices.
    pub fn of(devices: u32, record: &RunRecord) -> Self {
        match (record.exit_code, record.validity.state) {
            (130, _) => Self::Interrupted,
            (_, State::Invalid) => Self::Invalid,
            _ => Self::Counts(Trial::of(devices, record)),
        }
    }
}

impl Trial {
    fn of(devices: u32, record: &RunRecord) -> Self {
        let number =
            |metric: Metric, statistic| record.metrics.get(metric.name())?.number(statistic);
        let failed = record.thresholds.iter().filter(|one| !one.ok && !one.warn);
        Self {
            devices,
            good: record.verdict == Verdict::Pass,
            failed: failed.map(ThresholdRecord::subject).collect(),
            response_latency_p99_ms: number(
                Metric::ResponseLatency,
                Some(Statistic::Quantile(0.99)),
            ),
            effective_loss_percent: number(Metric::EffectiveLoss, None),
            gateway_cpu_percent: number(Metric::GatewayCpu, Some(Statistic::Mean)),
            gateway_rss_mib: number(Metric::GatewayRss, Some(Statistic::Max)),
            generator_cpu_percent: number(Metric::GeneratorCpu, Some(Statistic::Mean)),
        }
    }
}

impl Kept {
    /// Goes on where the search in the plan's directory was, or begins.
    ///
    /// # Errors
    /// When another search is kept there, or it cannot be read.
    fn of(plan: &Plan) -> anyhow::Result<Self> {
        let path = plan.out.join(FILE);
        let begun = Self {
            format: 1,
            scenario: plan.scenario.clone(),
            text: plan.text.clone(),
            trial_s: plan.trial.as_secs(),
            search: Search::new(plan.goal, plan.estimate),
            trials: Vec::new(),
            invalid: 0,
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(begun),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        let kept: Self = serde_json::from_str(&text)
            .with_context(|| format!("{} is no search of this Din", path.display()))?;
        anyhow::ensure!(
            kept.text == begun.text
                && kept.trial_s == begun.trial_s
                && kept.search.is_after(&plan.goal),
            "{} is of another scenario, other changes or another goal: name another --out",
            path.display()
        );
        Ok(kept)
    }

    fn write(&self, out: &Path) -> anyhow::Result<()> {
        let path = out.join(FILE);
        let partial = out.join(format!("{FILE}.partial"));
        let json = serde_json::to_string_pretty(self).context("cannot write the search")?;
        let written = fs::write(&partial, json + "\n").and_then(|()| fs::rename(&partial, &path));
        written.with_context(|| format!("cannot write {}", path.display()))
    }
}

/// Searches; `run` does one run with so many devices and a seed, into a directory.
///
/// # Errors
/// What `run` says, or when what is known cannot be kept.
pub fn search(
    plan: &Plan,
    mut run: impl FnMut(u32, u64, &Path) -> anyhow::Result<Outcome>,
    mut told: impl FnMut(&str),
) -> anyhow::Result<Ended> {
    let began = Instant::now();
    fs::create_dir_all(&plan.out).with_context(|| format!("cannot make {}", plan.out.display()))?;
    let mut kept = Kept::of(plan)?;
    if !kept.trials.is_empty() {
        told(&format!("going on after {} trials", kept.trials.len()));
    }
    let mut invalid_in_a_row = 0;
    let end = loop {
        let devices = match kept.search.next() {
            Step::Done(_) => break End::Found,
            Step::Trial(devices) => devices,
        };
        if began.elapsed() >= plan.budget {
            break End::Budget;
        }
        let number = kept.trials.len() + kept.invalid + 1;
        let seed = plan.seed.wrapping_add(kept.trials.len() as u64);
        // An interrupted trial has left its directory.
        let out = unused(&plan.out.join(format!("trial-{number:03}-{devices}")));
        let trial = match run(devices, seed, &out)? {
            Outcome::Counts(trial) => trial,
            Outcome::Interrupted => break End::Interrupted,
            Outcome::Invalid => {
                kept.invalid += 1;
                kept.write(&plan.out)?;
                invalid_in_a_row += 1;
                told(&format!("{devices:>6} devices  INVALID: not the planned load"));
                if invalid_in_a_row == TRIES {
                    break End::Host(devices);
                }
                continue;
            }
        };
        invalid_in_a_row = 0;
        kept.search.trial(devices, plan.trial.as_secs_f64(), trial.good);
        told(&line(&trial));
        kept.trials.push(trial);
        kept.write(&plan.out)?;
    };
    Ok(Ended { kept, end })
}

fn line(trial: &Trial) -> String {
    let verdict =
        if trial.good { "good".to_owned() } else { format!("bad: {}", trial.failed.join(", ")) };
    let latency = trial.response_latency_p99_ms.map_or("-".to_owned(), |ms| format!("{ms:.1}"));
    format!("{:>6} devices  p99 {latency} ms  {verdict}", trial.devices)
}

impl Ended {
    /// 0 with a bracket, 1 when not even the least load is met, 4 when it is not known, 130 when somebody
    /// ended it.
    pub fn exit_code(&self) -> u8 {
        match (self.end, self.kept.search.bracket()) {
            (End::Interrupted, _) => 130,
            (End::Found, Bracket { lower: None, .. }) => 1,
            (End::Found, Bracket { lower: Some(_), upper: Some(_) }) => 0,
            _ => INCONCLUSIVE,
        }
    }

    /// As people read it, ending in a line break.
    pub fn text(&self) -> String {
        let Kept { search, trials, invalid, scenario, .. } = &self.kept;
        let bracket = search.bracket();
        let mut out = String::new();
        let shown = |devices: Option<u32>, none: &str| {
            devices.map_or_else(|| none.to_owned(), |devices| devices.to_string())
        };
        // Writing to a String does not fail.
        let _ = writeln!(
            out,
            "capacity   {} to {} devices of {scenario}",
            shown(bracket.lower, "none"),
            shown(bracket.upper, "more")
        );
        let why = match self.end {
            End::Found => String::new(),
            End::Budget => {
                "its time was over: the bracket is not as narrow as was asked".to_owned()
            }
            End::Host(devices) => format!(
                "this host cannot bring {devices} devices: {TRIES} runs in a row were INVALID"
            ),
            End::Interrupted => "interrupted: the same command goes on from here".to_owned(),
        };
        if !why.is_empty() {
            let _ = writeln!(out, "           {why}");
        }
        for (label, devices) in [("met", bracket.lower), ("too much", bracket.upper)] {
            let Some(devices) = devices else { continue };
            let Account { good_s, bad_s } =
                search.accounts().get(&devices).copied().unwrap_or_default();
            let _ = writeln!(
                out,
                "{label:<10} {devices} devices: {good_s:.0} s of trials good, {bad_s:.0} s bad"
            );
        }
        if let Some(limit) = bracket.upper.and_then(|upper| limiting(trials, upper)) {
            let _ = writeln!(out, "limit      {limit}");
        }
        if let Some(lower) = bracket.lower {
            write_headroom(&mut out, trials, lower);
        }
        let _ = writeln!(out, "trials     {} that count, {invalid} INVALID", trials.len());
        write_curve(&mut out, trials);
        out
    }
}

/// The threshold that most of the bad trials at a load failed.
fn limiting(trials: &[Trial], devices: u32) -> Option<String> {
    let bad: Vec<&Trial> =
        trials.iter().filter(|trial| trial.devices == devices && !trial.good).collect();
    let all = bad.iter().flat_map(|trial| &trial.failed);
    let failed_in =
        |name: &str| bad.iter().filter(|trial| trial.failed.iter().any(|one| one == name)).count();
    let most = all.max_by_key(|name| failed_in(name))?;
    Some(format!("{most}, in {} of {} bad trials", failed_in(most), bad.len()))
}

fn mean(trials: &[&Trial], of: fn(&Trial) -> Option<f64>) -> Option<f64> {
    let numbers: Vec<f64> = trials.iter().filter_map(|trial| of(trial)).collect();
    (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
}

fn write_headroom(out: &mut String, trials: &[Trial], devices: u32) {
    let there: Vec<&Trial> = trials.iter().filter(|trial| trial.devices == devices).collect();
    let cpu = mean(&there, |trial| trial.gateway_cpu_percent);
    let memory = mean(&there, |trial| trial.gateway_rss_mib);
    let (Some(cpu), Some(memory)) = (cpu, memory) else { return };
    let of = |per: f64| f64::from(devices) / per.max(1e-9);
    // Writing to a String does not fail.
    let _ = writeln!(
        out,
        "gateway    {cpu:.0} % of one core and {memory:.0} MiB at {devices} devices: {:.0} devices a core, \
         {:.0} a GiB",
        of(cpu / 100.0),
        of(memory / 1024.0)
    );
}

fn write_curve(out: &mut String, trials: &[Trial]) {
    let mut loads: Vec<u32> = trials.iter().map(|trial| trial.devices).collect();
    loads.sort_unstable();
    loads.dedup();
    // Writing to a String does not fail.
    let _ = writeln!(
        out,
        "\n{:>8}{:>8}{:>12}{:>8}{:>14}{:>12}{:>16}",
        "devices", "trials", "p99 (ms)", "loss %", "gateway CPU %", "MiB", "generator CPU %"
    );
    for load in loads {
        let there: Vec<&Trial> = trials.iter().filter(|trial| trial.devices == load).collect();
        let shown = |of: fn(&Trial) -> Option<f64>, digits: usize| {
            mean(&there, of).map_or("-".to_owned(), |number| format!("{number:.digits$}"))
        };
        let good = there.iter().filter(|trial| trial.good).count();
        let _ = writeln!(
            out,
            "{load:>8}{:>8}{:>12}{:>8}{:>14}{:>12}{:>16}",
            format!("{good}/{}", there.len()),
            shown(|trial| trial.response_latency_p99_ms, 1),
            shown(|trial| trial.effective_loss_percent, 2),
            shown(|trial| trial.gateway_cpu_percent, 0),
            shown(|trial| trial.gateway_rss_mib, 0),
            shown(|trial| trial.generator_cpu_percent, 0),
        );
    }
}

#[cfg(test)]
mod tests;
