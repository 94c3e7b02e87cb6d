//! What a metric may be: `< 40ms`, `< 2x calm`, `<= 110% baseline`.

use measure::{Metric, Quantity};

use super::{ErrorPlace, ThresholdError};
use crate::scenario::duration;
use crate::scenario::error::suggestion;
use crate::scenario::phase::Phase;

/// How an observed number must compare with its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Below,
    /// `<=`
    AtMost,
    /// `=`
    Equal,
    /// `>=`
    AtLeast,
    /// `>`
    Above,
}

/// What an observed number is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Limit {
    /// A number in shown units.
    Number(f64),
    /// So many times what the same metric was elsewhere.
    Times {
        /// 1.1 for `110%`, 2 for `2x`.
        factor: f64,
        /// Elsewhere.
        of: Reference,
    },
}

/// Where else a metric is looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// In the phase of this name.
    Phase(String),
    /// In the same scope of an earlier run.
    Baseline,
}

impl Comparison {
    /// Longest first, so that `<=` is not read as `<`.
    const ALL: [(&str, Comparison); 5] = [
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("<", Self::Below),
        (">", Self::Above),
        ("=", Self::Equal),
    ];

    /// Whether `observed` compares so with `limit`.
    #[expect(clippy::float_cmp, reason = "`=` is for counts, which are whole numbers")]
    pub fn holds(self, observed: f64, limit: f64) -> bool {
        match self {
            Self::Below => observed < limit,
            Self::AtMost => observed <= limit,
            Self::Equal => observed == limit,
            Self::AtLeast => observed >= limit,
            Self::Above => observed > limit,
        }
    }

    /// Whether the number must be large enough, rather than small enough.
    pub fn is_lower_bound(self) -> bool {
        matches!(self, Self::AtLeast | Self::Above)
    }
}

/// Reads a limit on `metric`, in a run of `phases`.
pub(super) fn parse(
    text: &str,
    metric: Metric,
    phases: &[Phase],
) -> Result<(Comparison, Limit), ThresholdError> {
    let quantity = metric.quantity();
    let wrong = |message: String| ErrorPlace::Limit.error(message, help(quantity));
    let found = Comparison::ALL.iter().find_map(|&(sign, comparison)| {
        text.strip_prefix(sign).map(|rest| (comparison, rest.trim()))
    });
    let (comparison, rest) = found
        .ok_or_else(|| wrong(format!("limit `{text}` does not begin with <, <=, =, >= or >")))?;
    let multiple_of = rest.split_once(' ').filter(|(factor, _)| factor.ends_with(['x', '%']));
    if let Some((factor, of)) = multiple_of {
        let limit = multiple(text, comparison, factor, of.trim(), phases)?;
        return Ok((comparison, limit));
    }
    let number = match quantity {
        Quantity::Time => duration::parse(rest).map(|span| span.as_secs_f64() * 1e3),
        Quantity::CpuPercent | Quantity::Percent => with_unit(rest, &[("%", 1.0)]),
        Quantity::Memory => {
            with_unit(rest, &[("KiB", 1.0 / 1024.0), ("MiB", 1.0), ("GiB", 1024.0)])
        }
        Quantity::Number | Quantity::Whole | Quantity::Count => with_unit(rest, &[("", 1.0)]),
    };
    Ok((comparison, Limit::Number(number.map_err(wrong)?)))
}

/// A multiple of what the metric is in the phase `of`, or was in the baseline.
fn multiple(
    text: &str,
    comparison: Comparison,
    factor: &str,
    of: &str,
    phases: &[Phase],
) -> Result<Limit, ThresholdError> {
    let wrong =
        |why: String, help: &str| ErrorPlace::Limit.error(format!("limit `{text}`: {why}"), help);
    let names: Vec<&str> = phases.iter().map(|phase| phase.name.as_str()).collect();
    let reference = match of {
        "baseline" => Reference::Baseline,
        of if names.contains(&of) => Reference::Phase(of.to_owned()),
        of => {
            let help = suggestion(of, &[&names[..], &["baseline"]].concat());
            return Err(wrong(format!("`{of}` is no phase and not `baseline`"), &help));
        }
    };
    let Some(factor) = times(factor) else {
        let help = "write more than 0x and at most 1000x, for example 1.5x or 150%";
        return Err(wrong(format!("`{factor}` is no multiple"), help));
    };
    if comparison == Comparison::Equal {
        let why = "no measurement is exactly a multiple of another".to_owned();
        return Err(wrong(why, "write <, <=, >= or >"));
    }
    Ok(Limit::Times { factor, of: reference })
}

/// The factor in `2x` or `110%`; above 0 and at most 1,000.
fn times(text: &str) -> Option<f64> {
    let (number, scale) = match text.strip_suffix('x') {
        Some(number) => (number, 1.0),
        None => (text.strip_suffix('%')?, 100.0),
    };
    let factor = number.parse::<f64>().ok()? / scale;
    (factor > 0.0 && factor <= 1e3).then_some(factor)
}

fn with_unit(text: &str, units: &[(&str, f64)]) -> Result<f64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%').trim_end();
    let unit = text[digits.len()..].trim();
    let factor = units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| factor);
    let number = digits.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    match (number, factor) {
        (Some(number), Some(factor)) => Ok(number * factor),
        (None, _) => Err(format!("`{text}` is not a number of zero or more")),
        (_, None) => Err(format!("`{text}` has the unit `{unit}`")),
    }
}

fn help(quantity: Quantity) -> String {
    let plain = match quantity {
        Quantity::Time => "a duration, for example \"< 40ms\"",
        Quantity::CpuPercent => "percent of one core, for example \"< 150%\"",
        Quantity::Percent => "percent, for example \"<= 2%\"",
        Quantity::Number => "a plain number, for example \">= 0.9\"",
        Quantity::Memory => "KiB, MiB or GiB, for example \"< 200MiB\"",
        Quantity::Whole | Quantity::Count => "a plain number, for example \"= 0\" or \"<= 10\"",
    };
    format!(
        "write a comparison and {plain}; or a multiple of another phase or an earlier run: \
         \"< 2x calm\", \"< 110% baseline\""
    )
}
