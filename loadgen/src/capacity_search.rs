//! `din search`: the most devices with which a scenario meets its limits, or the value of another setting, by
//! trials whose number and load [`measure::search`] decides.
//!
//! A trial is a run: of the scenario's one phase with so many devices, which arrive within 2 s or, beyond a
//! thousand, 500 a second, and stay for the trial's length; or of the scenario as it stands with the setting
//! that its `[search]` names. It is bad when a threshold fails. A run that is INVALID says nothing and is done
//! again; where it is INVALID [`TRIES`] times in a row, the host cannot bring that load, and the search goes on
//! below it. All that is known is in `search.json` after each trial, from which a search that was broken off
//! goes on.
//!
//! `trial` is what is kept of a run, `result` what is said of a search at the terminal, and `page` on its
//! page.

mod page;
mod result;
mod trial;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use measure::search::{Goal, Search, Step};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::run_directory::unused;
use crate::scenario::{Find, Sought};

pub use page::study;
pub use trial::{Basis, Outcome, Seen, Trial};

/// The file's name in the directory of a search.
pub const FILE: &str = "search.json";
/// How often a trial is INVALID until the host is at its end.
pub const TRIES: usize = 3;
/// The version of the file's form.
const FORMAT: u32 = 2;

/// What is asked.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The scenario's file.
    pub scenario: String,
    /// Its text, its changes and whose gateway it is: a search of another one does not go on.
    pub text: String,
    /// What is varied.
    pub quantity: Quantity,
    /// What the search is after.
    pub goal: Goal,
    /// The value to begin with.
    pub estimate: u32,
    /// How long a trial is.
    pub trial: Duration,
    /// The first trial's seed; others count up from it.
    pub seed: u64,
    /// How long the search may go on, this time.
    pub budget: Duration,
    /// What a search of this is called with, for whoever does it again.
    pub command: String,
    /// The directory of all of it.
    pub out: PathBuf,
}

/// What is varied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantity {
    /// `devices`, or the key of another setting.
    pub name: String,
    /// What is written behind its number; empty for nothing.
    pub unit: String,
    /// The least and the most of it.
    pub range: (u32, u32),
    /// Whether less of it is harder, so that the fewest are looked for.
    pub fewest: bool,
}

impl Quantity {
    /// Devices, up to so many.
    pub fn devices(most: u32) -> Self {
        Self { name: "devices".to_owned(), unit: String::new(), range: (1, most), fewest: false }
    }

    /// How hard a value is, and which value is so hard: the same number, or the same as far from the other
    /// end.
    pub fn mirrored(&self, value: u32) -> u32 {
        if self.fewest { (self.range.0 + self.range.1).saturating_sub(value) } else { value }
    }

    /// A value as people read it.
    pub fn shown(&self, value: u32) -> String {
        match &self.name[..] {
            "devices" => format!("{value} devices"),
            name => format!("{name} {value}{}", self.unit),
        }
    }
}

impl From<&Sought> for Quantity {
    fn from(sought: &Sought) -> Self {
        Self {
            name: sought.vary.clone(),
            unit: sought.unit.clone(),
            range: sought.range,
            fewest: sought.find == Find::Fewest,
        }
    }
}

/// A search as it is kept.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Kept {
    format: u32,
    /// The scenario's file.
    pub scenario: String,
    text: String,
    /// What is varied.
    pub quantity: Quantity,
    trial_s: u64,
    /// What does it again.
    pub command: String,
    /// The version of Din that began it.
    pub din_version: String,
    /// What is the same for all trials; empty before the first.
    pub basis: Basis,
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
    /// What was brought is met, and the host cannot bring this value.
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

/// Between what the wanted value lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The hardest value that meets the limits; `None`: not even the easiest.
    pub met: Option<u32>,
    /// The easiest value that does not; `None`: even the hardest does.
    pub missed: Option<u32>,
}

impl Kept {
    /// Goes on where the search in the plan's directory was, or begins.
    ///
    /// # Errors
    /// When another search is kept there, or it cannot be read.
    fn of(plan: &Plan) -> anyhow::Result<Self> {
        let begun = Self {
            format: FORMAT,
            scenario: plan.scenario.clone(),
            text: plan.text.clone(),
            quantity: plan.quantity.clone(),
            trial_s: plan.trial.as_secs(),
            command: plan.command.clone(),
            din_version: env!("CARGO_PKG_VERSION").to_owned(),
            basis: Basis::default(),
            search: Search::new(plan.goal, plan.quantity.mirrored(plan.estimate)),
            trials: Vec::new(),
            invalid: 0,
        };
        let path = plan.out.join(FILE);
        if !path.exists() {
            return Ok(begun);
        }
        let kept = Self::read(&path)?;
        anyhow::ensure!(
            kept.text == begun.text
                && kept.trial_s == begun.trial_s
                && kept.quantity == begun.quantity
                && kept.search.is_after(&plan.goal),
            "{} is of another scenario, other changes, another gateway or another goal: name another --out",
            path.display()
        );
        Ok(kept)
    }

    /// Reads a search's file, or the one in a search's directory.
    ///
    /// # Errors
    /// When there is none, or it is none of this Din.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let path = if path.is_dir() { path.join(FILE) } else { path.to_owned() };
        let shown = path.display();
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => anyhow::anyhow!(
                "there is no {shown}: `din search SCENARIO --out DIR` leaves one in its directory"
            ),
            _ => anyhow::anyhow!("cannot read {shown}: {error}"),
        })?;
        let form: Value =
            serde_json::from_str(&text).with_context(|| format!("{shown} is no search"))?;
        let format = form.get("format").and_then(Value::as_u64);
        anyhow::ensure!(
            format == Some(FORMAT.into()),
            "{shown} has format {}, this Din reads {FORMAT}: search again",
            format.map_or("none".to_owned(), |format| format.to_string())
        );
        serde_json::from_value(form).with_context(|| format!("{shown} is no search of this Din"))
    }

    fn write(&self, out: &Path) -> anyhow::Result<()> {
        let path = out.join(FILE);
        let partial = out.join(format!("{FILE}.partial"));
        let json = serde_json::to_string_pretty(self).context("cannot write the search")?;
        let written = fs::write(&partial, json + "\n").and_then(|()| fs::rename(&partial, &path));
        written.with_context(|| format!("cannot write {}", path.display()))
    }

    /// Between what the wanted value lies, as far as is known.
    pub fn bounds(&self) -> Bounds {
        let bracket = self.search.bracket();
        let value = |load: u32| self.quantity.mirrored(load);
        Bounds { met: bracket.lower.map(value), missed: bracket.upper.map(value) }
    }

    /// The trials at a value.
    pub fn at(&self, value: u32) -> impl Iterator<Item = &Trial> {
        self.trials.iter().filter(move |trial| trial.value == value)
    }

    /// What was seen at a value, on average over its trials.
    pub fn mean_seen(&self, value: u32) -> Seen {
        Seen::mean(&self.at(value).collect::<Vec<_>>())
    }

    /// How sure a bound is, from 0 to 1.
    pub fn confidence(&self, value: u32) -> Option<f64> {
        self.search.confidence(self.quantity.mirrored(value), self.trial_s as f64)
    }
}

/// Searches; `run` does one run with a value and a seed, into a directory.
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
        let load = match kept.search.next() {
            Step::Done(_) => {
                let out_of_reach = kept.search.out_of_reach();
                break out_of_reach
                    .map_or(End::Found, |load| End::Host(plan.quantity.mirrored(load)));
            }
            Step::Trial(load) => load,
        };
        if began.elapsed() >= plan.budget {
            break End::Budget;
        }
        let value = plan.quantity.mirrored(load);
        let number = kept.trials.len() + kept.invalid + 1;
        let seed = plan.seed.wrapping_add(kept.trials.len() as u64);
        // An interrupted trial has left its directory.
        let out = unused(&plan.out.join(format!("trial-{number:03}-{value}")));
        let shown = plan.quantity.shown(value);
        match run(value, seed, &out)? {
            Outcome::Counts { trial, basis } => {
                invalid_in_a_row = 0;
                kept.search.trial(load, plan.trial.as_secs_f64(), trial.good);
                told(&format!("{shown:>16}  {trial}"));
                kept.trials.push(*trial);
                if kept.trials.len() == 1 {
                    kept.basis = basis;
                }
                kept.write(&plan.out)?;
            }
            Outcome::Interrupted => break End::Interrupted,
            Outcome::Invalid => {
                kept.invalid += 1;
                invalid_in_a_row += 1;
                told(&format!("{shown:>16}  INVALID: not the planned load"));
                if invalid_in_a_row == TRIES {
                    invalid_in_a_row = 0;
                    kept.search.cannot_be_brought(load);
                    told(&format!("{shown:>16}  cannot be brought by this host"));
                }
                kept.write(&plan.out)?;
            }
        }
    };
    Ok(Ended { kept, end })
}

#[cfg(test)]
mod tests;
