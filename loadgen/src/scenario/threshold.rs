//! A limit on a metric: `"burst.response_latency.p99" = "< 40ms"`.

use std::fmt;

use measure::{Metric, Quantity, Statistic};

use super::duration;
use super::error::{nearest, suggestion};

/// A limit that a run must keep.
#[derive(Clone, Debug, PartialEq)]
pub struct Threshold {
    /// The phase that it is about; `None` for the whole run.
    pub phase: Option<String>,
    /// What is limited.
    pub metric: Metric,
    /// Which number of a distribution; `None` for counts.
    pub statistic: Option<Statistic>,
    /// How the number must compare.
    pub comparison: Comparison,
    /// With what, in shown units.
    pub limit: f64,
    /// The limit as it was written.
    pub text: String,
}

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
}

/// A key or a limit that makes no threshold.
#[derive(Debug, PartialEq)]
pub(super) struct ThresholdError {
    /// Whether the key is wrong, rather than the limit.
    pub(super) in_key: bool,
    pub(super) message: String,
    pub(super) help: String,
}

impl Threshold {
    /// Reads `[phase.]metric[.statistic]` and its limit.
    pub(super) fn parse(key: &str, limit: &str, phases: &[&str]) -> Result<Self, ThresholdError> {
        let (phase, rest) = match key.split_once('.') {
            Some((first, rest)) if phases.contains(&first) => (Some(first.to_owned()), rest),
            _ => (None, key),
        };
        let (metric, statistic) = subject(rest, phases)
            .map_err(|(message, help)| ThresholdError { in_key: true, message, help })?;
        if phase.is_some() && metric.is_whole_run_only() {
            let message = format!("`{}` is known for the whole run only", metric.name());
            let help = format!("write \"{}\" without the phase", metric.name());
            return Err(ThresholdError { in_key: true, message, help });
        }
        let (comparison, number) = compared(limit, metric.quantity()).map_err(|message| {
            let help = limit_help(metric.quantity());
            ThresholdError { in_key: false, message, help }
        })?;
        Ok(Self {
            phase,
            metric,
            statistic,
            comparison,
            limit: number,
            text: limit.trim().to_owned(),
        })
    }

    /// The metric and the statistic, as they stand in reports.
    pub fn subject(&self) -> String {
        match self.statistic {
            Some(statistic) => format!("{}.{statistic}", self.metric.name()),
            None => self.metric.name().to_owned(),
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.phase {
            Some(phase) => write!(f, "{phase}.{} {}", self.subject(), self.text),
            None => write!(f, "{} {}", self.subject(), self.text),
        }
    }
}

/// The metric and the statistic in a key; or a message and a help.
fn subject(key: &str, phases: &[&str]) -> Result<(Metric, Option<Statistic>), (String, String)> {
    if let Some(metric) = Metric::by_name(key) {
        return if metric.is_distribution() {
            Err((
                format!("`{key}` is a distribution: which number of it is limited?"),
                format!(
                    "write for example {key}.p99; there are min, mean, max and p50, p99, p999 and so on"
                ),
            ))
        } else {
            Ok((metric, None))
        };
    }
    let by_statistic = key
        .rsplit_once('.')
        .and_then(|(name, statistic)| Metric::by_name(name).map(|metric| (metric, statistic)));
    match by_statistic {
        Some((metric, statistic)) if metric.is_distribution() || metric.is_per_device() => {
            let mut allowed = vec!["min", "mean", "max", "p50", "p90", "p99", "p999"];
            if metric.is_per_device() {
                allowed.extend(["worst", "worst_1pct"]);
            }
            Statistic::parse(statistic)
                .filter(|_| metric.is_per_device() || !statistic.starts_with("worst"))
                .map(|statistic| (metric, Some(statistic)))
                .ok_or_else(|| {
                    (
                        format!("unknown statistic `{statistic}` of {}", metric.name()),
                        suggestion(statistic, &allowed),
                    )
                })
        }
        Some((metric, statistic)) => Err((
            format!("`{}` is a count and has no `{statistic}`", metric.name()),
            format!("write {} alone", metric.name()),
        )),
        None => Err(unknown(key, phases)),
    }
}

fn unknown(key: &str, phases: &[&str]) -> (String, String) {
    let names: Vec<&str> = Metric::ALL.iter().map(|metric| metric.name()).collect();
    // The name may be preceded by a phase and followed by a statistic: try the parts too.
    let parts = key.split('.').chain([key]);
    let near = parts.into_iter().find_map(|part| nearest(part, &names));
    let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
    let help = format!(
        "{near}a threshold is [phase.]metric[.statistic]; phases here: {}; metrics: {}",
        phases.join(", "),
        names.join(", ")
    );
    (format!("`{key}` names no metric"), help)
}

fn compared(text: &str, quantity: Quantity) -> Result<(Comparison, f64), String> {
    let text = text.trim();
    let found = Comparison::ALL.iter().find_map(|&(sign, comparison)| {
        text.strip_prefix(sign).map(|rest| (comparison, rest.trim()))
    });
    let (comparison, number) =
        found.ok_or_else(|| format!("limit `{text}` does not begin with <, <=, =, >= or >"))?;
    let number = match quantity {
        Quantity::Time => duration::parse(number)?.as_secs_f64() * 1e3,
        Quantity::CpuPercent | Quantity::Percent => with_unit(number, &[("%", 1.0)])?,
        Quantity::Memory => {
            with_unit(number, &[("KiB", 1.0 / 1024.0), ("MiB", 1.0), ("GiB", 1024.0)])?
        }
        Quantity::Number | Quantity::Whole | Quantity::Count => with_unit(number, &[("", 1.0)])?,
    };
    Ok((comparison, number))
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

fn limit_help(quantity: Quantity) -> String {
    match quantity {
        Quantity::Time => "write a comparison and a duration, for example \"< 40ms\"",
        Quantity::CpuPercent => {
            "write a comparison and percent of one core, for example \"< 150%\""
        }
        Quantity::Percent => "write a comparison and percent, for example \"<= 2%\"",
        Quantity::Number => "write a comparison and a plain number, for example \">= 0.9\"",
        Quantity::Memory => "write a comparison and KiB, MiB or GiB, for example \"< 200MiB\"",
        Quantity::Whole | Quantity::Count => {
            "write a comparison and a plain number, for example \"= 0\" or \"<= 10\""
        }
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(key: &str, limit: &str) -> Result<Threshold, ThresholdError> {
        Threshold::parse(key, limit, &["calm", "burst"])
    }

    #[test]
    fn keys_and_limits_are_read() {
        for (key, limit, shown, number) in [
            ("response_latency.p99", "< 40ms", "response_latency.p99 < 40ms", 40.0),
            ("burst.response_latency.p999", "<=1.5s", "burst.response_latency.p999 <=1.5s", 1500.0),
            ("frames_lost", "= 0", "frames_lost = 0", 0.0),
            ("calm.frames_lost", "<= 3", "calm.frames_lost <= 3", 3.0),
            ("integrity.decoded", ">= 100", "integrity.decoded >= 100", 100.0),
            ("gateway_cpu.mean", "< 150%", "gateway_cpu.mean < 150%", 150.0),
            ("gateway_rss.max", "< 1GiB", "gateway_rss.max < 1GiB", 1024.0),
        ] {
            let threshold = parse(key, limit).unwrap();
            assert_eq!((threshold.to_string().as_str(), threshold.limit), (shown, number));
        }
    }

    #[test]
    fn comparisons_hold_and_fail_at_their_edges() {
        use Comparison::{Above, AtLeast, AtMost, Below, Equal};
        for (comparison, below, equal, above) in [
            (Below, true, false, false),
            (AtMost, true, true, false),
            (Equal, false, true, false),
            (AtLeast, false, true, true),
            (Above, false, false, true),
        ] {
            let holds = [1.0, 2.0, 3.0].map(|observed| comparison.holds(observed, 2.0));
            assert_eq!(holds, [below, equal, above], "{comparison:?}");
            assert!(!comparison.holds(f64::NAN, 2.0));
        }
    }

    #[test]
    fn wrong_thresholds_say_what_to_write() {
        for (key, limit, in_key, message, help) in [
            (
                "respons_latency.p99",
                "< 40ms",
                true,
                "names no metric",
                "did you mean `response_latency`?",
            ),
            ("storm.frames_lost", "= 0", true, "names no metric", "phases here: calm, burst"),
            ("response_latency", "< 40ms", true, "which number", "response_latency.p99"),
            (
                "response_latency.p9x",
                "< 40ms",
                true,
                "unknown statistic `p9x`",
                "did you mean `p90`",
            ),
            ("frames_lost.p99", "= 0", true, "is a count", "frames_lost alone"),
            ("burst.integrity.decoded", "> 0", true, "whole run only", "\"integrity.decoded\""),
            ("send_lag.p100", "< 1ms", true, "unknown statistic `p100`", "max"),
            ("frames_lost", "0", false, "does not begin with", "= 0"),
            ("frames_lost", "< NaN", false, "not a number", "plain number"),
            ("frames_lost", "= -1", false, "not a number", "plain number"),
            ("frames_lost", "= 3ms", false, "has the unit `ms`", "plain number"),
            ("send_lag.p99", "< 40", false, "unit is missing", "40ms"),
            ("gateway_rss.max", "< 3MB", false, "has the unit `MB`", "MiB"),
        ] {
            let error = parse(key, limit).unwrap_err();
            assert_eq!(error.in_key, in_key, "{key}");
            assert!(error.message.contains(message), "{key}: {}", error.message);
            assert!(error.help.contains(help), "{key}: {}", error.help);
        }
    }
}
