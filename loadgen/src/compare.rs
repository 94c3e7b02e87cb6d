//! `din compare`: two settings, gateways or builds under the same load, run in pairs in the order A B B A,
//! and what can be said of B.
//!
//! Both runs of a pair have one seed, each pair another one. A run that is INVALID counts for nothing: its
//! pair is run again, up to [`TRIES`] times.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use measure::paired::{self, Better, FEWEST_PAIRS, Finding, Paired};
use measure::record::{MetricMap, RunRecord};
use measure::validity::State;
use measure::{Metric, Statistic};
use serde::Serialize;

/// The file's name in the directory of a comparison.
pub const FILE: &str = "compare.json";
/// How often a pair is run at most.
pub const TRIES: usize = 3;
/// The exit code when not enough is known.
pub const INCONCLUSIVE: u8 = 4;

/// A number of a run that both sides are judged by.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Judged {
    metric: Metric,
    statistic: Option<Statistic>,
    name: &'static str,
    unit: &'static str,
    better: Better,
    /// Added to both, where 0 is a good number: of one event, or of what hosts add.
    floor: f64,
}

/// What is compared; the first decides.
const JUDGED: [Judged; 7] = [
    Judged {
        metric: Metric::ResponseLatency,
        statistic: Some(Statistic::Quantile(0.99)),
        name: "response_latency.p99",
        unit: "ms",
        better: Better::Lower,
        floor: 0.0,
    },
    Judged {
        metric: Metric::ResponseLatency,
        statistic: Some(Statistic::Quantile(0.5)),
        name: "response_latency.p50",
        unit: "ms",
        better: Better::Lower,
        floor: 0.0,
    },
    Judged {
        metric: Metric::Rfc3550Jitter,
        statistic: None,
        name: "rfc3550_jitter",
        unit: "ms",
        better: Better::Lower,
        floor: 0.1,
    },
    Judged {
        metric: Metric::EffectiveLoss,
        statistic: None,
        name: "effective_loss",
        unit: "%",
        better: Better::Lower,
        floor: 0.1,
    },
    Judged {
        metric: Metric::StutterPerMinute,
        statistic: None,
        name: "stutter_per_minute",
        unit: "",
        better: Better::Lower,
        floor: 0.1,
    },
    Judged {
        metric: Metric::GatewayCpu,
        statistic: Some(Statistic::Mean),
        name: "gateway_cpu.mean",
        unit: "% of one core",
        better: Better::Lower,
        floor: 0.5,
    },
    Judged {
        metric: Metric::GatewayRss,
        statistic: Some(Statistic::Max),
        name: "gateway_rss.max",
        unit: "MiB",
        better: Better::Lower,
        floor: 1.0,
    },
];

/// The names of what is compared, the one that decides first.
pub fn judged_names() -> Vec<&'static str> {
    JUDGED.iter().map(|judged| judged.name).collect()
}

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
    /// Number by number; the first decides.
    pub numbers: Vec<Compared>,
}

/// Runs the pairs; `run` does one run of a side with a seed, into a directory.
///
/// # Errors
/// What `run` says; pairs that were done are lost then but for their run directories.
pub fn compare<E>(
    plan: &Plan,
    sides: [String; 2],
    scenario: &Path,
    mut run: impl FnMut(Side, u64, &Path) -> Result<Trial, E>,
    mut told: impl FnMut(&str),
) -> Result<Comparison, E> {
    let mut pairs: Vec<(Trial, Trial)> = Vec::new();
    let (mut invalid, mut interrupted) = (0, false);
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
                let trial = run(side, seed, &plan.out.join(name))?;
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
        numbers,
    })
}

fn line(number: usize, pair: &(Trial, Trial), decides: &str) -> String {
    let judged = JUDGED.iter().find(|judged| judged.name == decides).unwrap_or(&JUDGED[0]);
    let shown = |trial| judged.of(trial).map_or("-".to_owned(), |number| format!("{number:.3}"));
    let unit = judged.unit;
    format!("pair {number}: {} A {}, B {} {unit}", judged.name, shown(&pair.0), shown(&pair.1))
}

impl Judged {
    fn of(&self, trial: &Trial) -> Option<f64> {
        trial.metrics.get(self.metric.name())?.number(self.statistic)
    }

    /// `None` where no run has it.
    fn compared(&self, pairs: &[(Trial, Trial)], plan: &Plan) -> Option<Compared> {
        let numbers: Vec<(f64, f64)> =
            pairs.iter().filter_map(|(a, b)| Some((self.of(a)?, self.of(b)?))).collect();
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

impl Comparison {
    /// 0 when B is better or the same, 1 when it is worse, 4 when not enough is known, 130 when somebody
    /// interrupted it.
    pub fn exit_code(&self) -> u8 {
        match self.numbers.first().map(|decides| &decides.finding[..]) {
            _ if self.interrupted => 130,
            Some("better" | "same") => 0,
            Some("worse") => 1,
            _ => INCONCLUSIVE,
        }
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
            let mean = |side: fn(&(f64, f64)) -> f64| {
                let sum: f64 = one.pairs.iter().map(|pair| side(pair).max(1e-9).ln()).sum();
                (sum / one.pairs.len().max(1) as f64).exp()
            };
            let (a, b) = (mean(|pair| pair.0), mean(|pair| pair.1));
            let ratio = one.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.3}"));
            let interval =
                one.interval.map_or("-".to_owned(), |(low, high)| format!("{low:.3}–{high:.3}"));
            let p = one.p.map_or("-".to_owned(), |(low, high)| format!("{:.4}", low.min(high)));
            let label = format!("{} {}", one.name, one.unit);
            let finding = &one.finding;
            let _ = writeln!(
                out,
                "{label:<32}{a:>10.3}{b:>10.3}{ratio:>8}  {interval:<14}{p:>8}  {finding}"
            );
        }
        if let Some(decides) = self.numbers.first() {
            let _ = write!(out, "\nB is {} by {}", decides.finding, decides.name);
            let _ = match (&decides.finding[..], decides.more_pairs) {
                ("inconclusive", Some(more)) => {
                    writeln!(
                        out,
                        ": about {more} pairs more would tell (--pairs {})",
                        self.pairs + more
                    )
                }
                ("inconclusive", None) => {
                    writeln!(out, ": no number of pairs up to 500 would tell")
                }
                _ => writeln!(out),
            };
        }
        if self.pairs < FEWEST_PAIRS {
            let _ = writeln!(out, "{FEWEST_PAIRS} pairs are the fewest that can tell a difference");
        }
        out
    }
}

#[cfg(test)]
mod tests;
