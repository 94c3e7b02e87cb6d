//! `din compare`: two settings, gateways or builds under the same load, run in pairs in the order A B B A,
//! and what can be said of B.
//!
//! Both runs of a pair have one seed, each pair another one. A run that is INVALID counts for nothing: its
//! pair is run again, up to [`TRIES`] times.

mod page;

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use measure::paired::{self, FEWEST_PAIRS, Finding, Paired};
use measure::record::{MetricMap, RunRecord};
use measure::validity::State;
use reports::study::cell;
use serde::Serialize;

use crate::judged::{JUDGED, Judged};

pub use page::study;

/// The file's name in the directory of a comparison.
pub const FILE: &str = "compare.json";
/// How often a pair is run at most.
pub const TRIES: usize = 3;
/// The exit code when not enough is known.
pub const INCONCLUSIVE: u8 = 4;

/// Which of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// What is.
    A,
    /// What may be.
    B,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "a",
            Self::B => "b",
        })
    }
}

/// What a comparison takes from a run.
#[derive(Clone, Debug)]
pub struct Trial {
    /// What was measured.
    pub metrics: MetricMap,
    /// What it is worth.
    pub validity: State,
    /// Whether somebody ended it.
    pub interrupted: bool,
}

impl From<RunRecord> for Trial {
    fn from(record: RunRecord) -> Self {
        let interrupted = record.exit_code == 130;
        Self { metrics: record.metrics, validity: record.validity.state, interrupted }
    }
}

/// What is asked.
pub struct Plan {
    /// Pairs of runs.
    pub pairs: usize,
    /// Differences up to this share do not matter.
    pub margin: f64,
    /// The name of the number that decides.
    pub decides: &'static str,
    /// The first pair's seed; others count up from it.
    pub seed: u64,
    /// The directory of all of it.
    pub out: PathBuf,
}

/// One number, compared.
#[derive(Clone, Debug, Serialize)]
pub struct Compared {
    /// Its name.
    pub name: String,
    /// Its unit.
    pub unit: String,
    /// Of both runs of each pair.
    pub pairs: Vec<(f64, f64)>,
    /// Geometric mean of B / A; what follows is without it where a number is not known.
    pub ratio: Option<f64>,
    /// The interval that holds it in 95 of 100 cases.
    pub interval: Option<(f64, f64)>,
    /// How often chance alone would have B so much lower, and so much higher.
    pub p: Option<(f64, f64)>,
    /// better, worse, same or inconclusive.
    pub finding: String,
    /// So many pairs more would probably tell.
    pub more_pairs: Option<usize>,
}

/// What came of it: `compare.json`.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Version of this format.
    pub format: u32,
    /// The scenario's file.
    pub scenario: String,
    /// What is different on either side, in words.
    pub sides: [String; 2],
    /// Pairs that count.
    pub pairs: usize,
    /// Runs that were INVALID and do not.
    pub invalid: usize,
    /// Differences up to this share do not matter.
    pub margin: f64,
    /// Whether somebody ended it before all pairs were run.
    pub interrupted: bool,
    /// Why a run could not be done, which ended it; what was found by then is kept.
    pub failed: Option<String>,
    /// Number by number; the first decides.
    pub numbers: Vec<Compared>,
}

/// Runs the pairs; `run` does one run of a side with a seed, into a directory.
///
/// # Errors
/// What `run` says of the first pair; once a pair is done, it is kept and told with what ended it.
pub fn compare<E: fmt::Display>(
    plan: &Plan,
    sides: [String; 2],
    scenario: &Path,
    mut run: impl FnMut(Side, u64, &Path) -> Result<Trial, E>,
    mut told: impl FnMut(&str),
) -> Result<Comparison, E> {
    let mut pairs: Vec<(Trial, Trial)> = Vec::new();
    let (mut invalid, mut interrupted, mut failed) = (0, false, None);
    'pairs: for pair in 0..plan.pairs {
        let seed = plan.seed.wrapping_add(pair as u64);
        // A B B A: whatever drifts is the same for both.
        let order = if pair % 2 == 0 { [Side::A, Side::B] } else { [Side::B, Side::A] };
        for attempt in 1..=TRIES {
            let mut trials = Vec::new();
            for side in order {
                let attempt =
                    if attempt == 1 { String::new() } else { format!("-again-{attempt}") };
                let name = format!("pair-{:02}-{side}{attempt}", pair + 1);
                let trial = match run(side, seed, &plan.out.join(name)) {
                    Ok(trial) => trial,
                    Err(error) if pairs.is_empty() => return Err(error),
                    Err(error) => {
                        // The whole chain of causes.
                        failed = Some(format!("{error:#}"));
                        break 'pairs;
                    }
                };
                interrupted = trial.interrupted;
                if interrupted {
                    break 'pairs;
                }
                trials.push(trial);
            }
            let bad = trials.iter().filter(|trial| trial.validity == State::Invalid).count();
            invalid += bad;
            if bad > 0 {
                told(&format!("pair {}: {bad} of its runs INVALID, again", pair + 1));
                continue;
            }
            let second = trials.pop();
            if let (Some(first), Some(second)) = (trials.pop(), second) {
                let ab = if order[0] == Side::A { (first, second) } else { (second, first) };
                told(&line(pair + 1, &ab, plan.decides));
                pairs.push(ab);
            }
            break;
        }
    }
    let mut judged: Vec<Judged> = JUDGED.to_vec();
    judged.sort_by_key(|judged| judged.name != plan.decides);
    let numbers = judged.iter().filter_map(|judged| judged.compared(&pairs, plan)).collect();
    Ok(Comparison {
        format: 1,
        scenario: scenario.display().to_string(),
        sides,
        pairs: pairs.len(),
        invalid,
        margin: plan.margin,
        interrupted,
        failed,
        numbers,
    })
}

fn line(number: usize, pair: &(Trial, Trial), decides: &str) -> String {
    let judged = JUDGED.iter().find(|judged| judged.name == decides).unwrap_or(&JUDGED[0]);
    let shown = |trial: &Trial| cell(judged.of(&trial.metrics), 3);
    let unit = judged.unit;
    format!("pair {number}: {} A {}, B {} {unit}", judged.name, shown(&pair.0), shown(&pair.1))
}

impl Judged {
    /// `None` where no run has it.
    fn compared(&self, pairs: &[(Trial, Trial)], plan: &Plan) -> Option<Compared> {
        let numbers: Vec<(f64, f64)> = pairs
            .iter()
            .filter_map(|(a, b)| Some((self.of(&a.metrics)?, self.of(&b.metrics)?)))
            .collect();
        if numbers.is_empty() && !pairs.is_empty() {
            return None;
        }
        let lifted: Vec<(f64, f64)> =
            numbers.iter().map(|(a, b)| (a + self.floor, b + self.floor)).collect();
        let known = numbers.len() == pairs.len();
        let paired = paired::compare(&lifted, self.better, plan.margin, plan.seed);
        let paired = paired.filter(|_| known);
        let (finding, more_pairs) = match paired.as_ref().map(|paired| paired.finding) {
            Some(Finding::Better) => ("better", None),
            Some(Finding::Worse) => ("worse", None),
            Some(Finding::Same) => ("same", None),
            Some(Finding::Inconclusive { more_pairs }) => ("inconclusive", more_pairs),
            None => ("inconclusive", None),
        };
        let of = |part: fn(&Paired) -> (f64, f64)| paired.as_ref().map(part);
        Some(Compared {
            name: self.name.to_owned(),
            unit: self.unit.to_owned(),
            pairs: numbers,
            ratio: paired.as_ref().map(|paired| paired.ratio),
            interval: of(|paired| paired.interval),
            p: of(|paired| paired.p),
            finding: finding.to_owned(),
            more_pairs,
        })
    }
}

impl Compared {
    /// Its name and unit.
    fn label(&self) -> String {
        format!("{} {}", self.name, self.unit).trim_end().to_owned()
    }

    /// The geometric means of both sides.
    fn means(&self) -> (f64, f64) {
        let mean = |side: fn(&(f64, f64)) -> f64| {
            let sum: f64 = self.pairs.iter().map(|pair| side(pair).max(1e-9).ln()).sum();
            (sum / self.pairs.len().max(1) as f64).exp()
        };
        (mean(|pair| pair.0), mean(|pair| pair.1))
    }

    fn shown_ratio(&self) -> String {
        cell(self.ratio, 3)
    }

    fn shown_interval(&self) -> String {
        self.interval.map_or("-".to_owned(), |(low, high)| format!("{low:.3}–{high:.3}"))
    }

    fn shown_p(&self) -> String {
        cell(self.p.map(|(low, high)| low.min(high)), 4)
    }
}

impl Comparison {
    /// 0 when B is better or the same, 1 when it is worse, 2 when a run could not be done, 4 when not enough is
    /// known, 130 when somebody interrupted it.
    pub fn exit_code(&self) -> u8 {
        match self.numbers.first().map(|decides| &decides.finding[..]) {
            _ if self.failed.is_some() => 2,
            _ if self.interrupted => 130,
            Some("better" | "same") => 0,
            Some("worse") => 1,
            _ => INCONCLUSIVE,
        }
    }

    /// What came of it, in one line.
    pub fn answer(&self) -> String {
        let Some(decides) = self.numbers.first() else { return "nothing was compared".to_owned() };
        let Compared { name, finding, .. } = decides;
        let more = match (&finding[..], decides.more_pairs) {
            ("inconclusive", Some(more)) => {
                format!(": about {more} pairs more would tell (--pairs {})", self.pairs + more)
            }
            ("inconclusive", None) => ": no number of pairs up to 500 would tell".to_owned(),
            _ => String::new(),
        };
        format!("B is {finding} by {name}{more}")
    }

    /// As people read it, ending in a line break.
    pub fn text(&self) -> String {
        let mut out = String::new();
        // Writing to a String does not fail.
        let _ = writeln!(out, "A  {}\nB  {}", self.sides[0], self.sides[1]);
        let _ = writeln!(
            out,
            "{} pairs of {}{}; differences up to {:.0} % do not matter\n",
            self.pairs,
            self.scenario,
            match self.invalid {
                0 => String::new(),
                invalid => format!(", {invalid} INVALID runs left out"),
            },
            self.margin * 100.0
        );
        let _ = writeln!(
            out,
            "{:<32}{:>10}{:>10}{:>8}  {:<14}{:>8}  B is",
            "geometric means", "A", "B", "B / A", "95 % interval", "p"
        );
        for one in &self.numbers {
            let (a, b) = one.means();
            let (label, ratio) = (one.label(), one.shown_ratio());
            let (interval, p) = (one.shown_interval(), one.shown_p());
            let finding = &one.finding;
            let _ = writeln!(
                out,
                "{label:<32}{a:>10.3}{b:>10.3}{ratio:>8}  {interval:<14}{p:>8}  {finding}"
            );
        }
        if !self.numbers.is_empty() {
            let _ = writeln!(out, "\n{}", self.answer());
        }
        if let Some(why) = &self.failed {
            let _ = writeln!(out, "it ended there, as a run could not be done: {why}");
        }
        if self.pairs < FEWEST_PAIRS {
            let _ = writeln!(out, "{FEWEST_PAIRS} pairs are the fewest that can tell a difference");
        }
        out
    }
}

#[cfg(test)]
mod tests;
