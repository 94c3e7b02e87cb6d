//! A limit on a metric: `"burst.response_latency.p99" = "< 40ms"`.
//!
//! ```toml
//! "response_latency.p99"                      = "< 40ms"          # the whole run
//! "burst.response_latency.p99"                = "< 2x calm"       # a phase, against another
//! "within 5s of burst.response_latency.p99"   = "< 80ms"          # the time after an event
//! "gateway_rss.max"                           = "< 110% baseline" # against an earlier run
//! ```
//!
//! `key.rs` reads what is limited, `limit.rs` what it may be, `table.rs` the form with more to say.

mod key;
mod limit;
mod table;

use std::fmt;
use std::time::Duration;

use measure::{Metric, Statistic};

use super::action::Action;
use super::duration::shown;
use super::phase::Phase;
pub use limit::{Comparison, Limit, Reference};
pub(super) use table::{ThresholdTable, Written};

/// The longest sliding window.
const MAX_OVER: Duration = Duration::from_mins(1);

/// A limit that a run must keep.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// The part of the run that it is about.
    pub scope: Scope,
    /// What is limited.
    pub metric: Metric,
    /// Which number of a distribution; `None` for counts.
    pub statistic: Option<Statistic>,
    /// How the number must compare.
    pub comparison: Comparison,
    /// With what.
    pub limit: Limit,
    /// The limit as it was written.
    pub text: String,
    /// Each window of this length must hold, moved on by a second each; `None`: the scope as a
    /// whole.
    pub over: Option<Duration>,
    /// From this long after the scope's start on, the run ends as soon as the limit is not kept;
    /// `None`: it never ends for it.
    pub abort_after: Option<Duration>,
    /// Not being kept is shown, and fails nothing.
    pub warn: bool,
    /// The line of its key in the scenario file, from 1; `None` where no line has it.
    pub line: Option<u32>,
}

/// The part of a run that a limit is about, by the planned instants of frames.
#[derive(Clone, Debug, PartialEq)]
pub enum Scope {
    /// All of it.
    Run,
    /// The phase of this name.
    Phase(String),
    /// The time after an event.
    Within(Window),
}

/// The time after the start of a phase, or after an action.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    /// How much of it.
    pub span: Duration,
    /// The phase, or the action of this name.
    pub of: String,
    /// The event, from the start of the run.
    pub start: Duration,
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "within {} of {}", shown(self.span), self.of)
    }
}

/// What makes no threshold: where, why, and what to do.
#[derive(Debug, PartialEq)]
pub(super) struct ThresholdError {
    pub(super) place: ErrorPlace,
    pub(super) message: String,
    pub(super) help: String,
}

/// The part of a threshold that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ErrorPlace {
    Key,
    Limit,
    Over,
    After,
}

impl ErrorPlace {
    fn error(self, message: impl Into<String>, help: impl Into<String>) -> ThresholdError {
        ThresholdError { place: self, message: message.into(), help: help.into() }
    }
}

impl Threshold {
    /// A limit on a metric of the whole run, kept or failed by a plain number.
    pub fn plain(
        metric: Metric,
        statistic: Option<Statistic>,
        comparison: Comparison,
        number: f64,
        text: &str,
    ) -> Self {
        Self {
            scope: Scope::Run,
            metric,
            statistic,
            comparison,
            limit: Limit::Number(number),
            text: text.to_owned(),
            over: None,
            abort_after: None,
            warn: false,
            line: None,
        }
    }

    /// Reads `[scope.]metric[.statistic]` and what is said of it, in a run of `phases` in which
    /// `actions` are done.
    pub(super) fn parse(
        key: &str,
        table: &ThresholdTable,
        phases: &[Phase],
        actions: &[Action],
    ) -> Result<Self, ThresholdError> {
        let key::Key { scope, metric, statistic } = key::parse(key, phases, actions)?;
        let text = table.limit.trim().to_owned();
        let (comparison, limit) = limit::parse(&text, metric, phases)?;
        let threshold = Self {
            scope,
            metric,
            statistic,
            comparison,
            limit,
            text,
            over: table.over,
            abort_after: table.abort.then(|| table.after.unwrap_or_default()),
            warn: table.warn,
            line: None,
        };
        threshold.check(table, phases)?;
        Ok(threshold)
    }

    /// What the parts are to each other.
    fn check(&self, table: &ThresholdTable, phases: &[Phase]) -> Result<(), ThresholdError> {
        let name = self.metric.name();
        if let Limit::Times { of: Reference::Phase(reference), .. } = &self.limit {
            if self.metric.is_whole_run_only() {
                let message = format!("`{name}` is known for the whole run only, not for a phase");
                let help = "compare it with a plain limit or with `baseline`";
                return Err(ErrorPlace::Limit.error(message, help));
            }
            if self.scope == Scope::Phase(reference.clone()) {
                let message = format!("phase `{reference}` is compared with itself");
                return Err(ErrorPlace::Limit.error(message, "name another phase"));
            }
        }
        let length = self.scope.length(phases);
        if let Some(over) = self.over {
            if !self.metric.is_known_each_second() {
                return Err(ErrorPlace::Over.error(not_each_second(name), each_second()));
            }
            if over < Duration::from_secs(1) || over > MAX_OVER || over.subsec_nanos() != 0 {
                let message = format!("a window of {}", shown(over));
                let help = "a window is a whole number of seconds, \"1s\" to \"60s\"";
                return Err(ErrorPlace::Over.error(message, help));
            }
            if over > length {
                let message = format!(
                    "no window of {} fits into the {} it is about",
                    shown(over),
                    shown(length)
                );
                return Err(ErrorPlace::Over.error(message, "make it shorter, or the phase longer"));
            }
        }
        let Some(after) = self.abort_after else {
            if table.after.is_some() {
                let help = "write abort = true beside it, or leave `after` out";
                return Err(ErrorPlace::After.error("`after` says when `abort` begins", help));
            }
            return Ok(());
        };
        if !self.metric.is_known_each_second() {
            return Err(ErrorPlace::Key.error(not_each_second(name), each_second()));
        }
        if self.statistic.is_none() && self.comparison.is_lower_bound() {
            let message = format!(
                "`{name}` only grows: in mid-run it cannot be told that it stays too small"
            );
            return Err(
                ErrorPlace::Limit.error(message, "leave `abort` out, or write an upper limit")
            );
        }
        if after >= length {
            let message = format!(
                "`after` is {}, and what it is about takes {}",
                shown(after),
                shown(length)
            );
            return Err(ErrorPlace::After.error(message, "make it shorter"));
        }
        Ok(())
    }

    /// Whether `other` limits the same number.
    pub(super) fn is_about_the_same(&self, other: &Self) -> bool {
        self.scope == other.scope
            && self.metric == other.metric
            && self.statistic == other.statistic
    }

    /// The metric and the statistic, as they stand in reports.
    pub fn subject(&self) -> String {
        match self.statistic {
            Some(statistic) => format!("{}.{statistic}", self.metric.name()),
            None => self.metric.name().to_owned(),
        }
    }

    /// Whether it needs an earlier run to compare with.
    pub fn needs_baseline(&self) -> bool {
        matches!(self.limit, Limit::Times { of: Reference::Baseline, .. })
    }
}

fn not_each_second(name: &str) -> String {
    format!("`{name}` is known at the end of the run only: it can neither slide nor abort")
}

fn each_second() -> String {
    let known = Metric::ALL.iter().filter(|metric| metric.is_known_each_second());
    let names: Vec<_> = known.map(|metric| metric.name()).collect();
    format!("known each second are {}", names.join(", "))
}

impl Scope {
    /// How much of a run of `phases` it is.
    fn length(&self, phases: &[Phase]) -> Duration {
        match self {
            Self::Run => phases.iter().map(Phase::length).sum(),
            Self::Phase(name) => {
                let phase = phases.iter().find(|phase| phase.name == *name);
                phase.map(Phase::length).unwrap_or_default()
            }
            Self::Within(window) => window.span,
        }
    }
}

impl fmt::Display for Scope {
    /// What stands before the metric; nothing for the whole run.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Run => Ok(()),
            Self::Phase(name) => write!(f, "{name}."),
            Self::Within(window) => write!(f, "{window}."),
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{} {}", self.scope, self.subject(), self.text)?;
        if let Some(over) = self.over {
            write!(f, " over {}", shown(over))?;
        }
        match self.abort_after {
            Some(Duration::ZERO) => f.write_str(", or the run ends")?,
            Some(after) => write!(f, ", or the run ends (after {})", shown(after))?,
            None => {}
        }
        if self.warn { f.write_str(" (a warning)") } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests;
