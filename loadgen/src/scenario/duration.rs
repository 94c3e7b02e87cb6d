//! Spans of time as people write them: `60ms`, `2.5s`, `3m`, `1h`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// The units, largest last.
const UNITS: [(&str, f64); 5] =
    [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];

/// A span of time in a scenario file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) Duration);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Span;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a duration with its unit in quotes, for example \"500ms\", \"10s\" or \"5m\"",
                )
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Span, E> {
                parse(text).map(Span).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// Reads a number and its unit, with or without a space between.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let wrong = |why: &str| {
        Err(format!(
            "duration `{text}`: {why}; write a number and one of us, ms, s, m, h, for example \"500ms\""
        ))
    };
    let digits = text.trim().trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.trim()[digits.len()..].trim();
    let Some(&(_, seconds)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        return if unit.is_empty() { wrong("the unit is missing") } else { wrong("unknown unit") };
    };
    let Ok(number) = digits.trim().parse::<f64>() else {
        return wrong("not a number");
    };
    if number.is_sign_negative() && number != 0.0 {
        return wrong("a duration cannot be negative");
    }
    match Duration::try_from_secs_f64(number * seconds) {
        // Whole nanoseconds, so that 0.1 ms is 100 µs and not 100.000001 µs.
        Ok(span) if span <= super::MAX_SPAN => Ok(span),
        _ => wrong("the longest allowed is 24h"),
    }
}

/// Writes a span as [`parse`] reads it, in the largest unit that keeps it whole.
pub(crate) fn shown(span: Duration) -> String {
    match span.as_nanos() {
        nanos if nanos % 1_000_000_000 == 0 => format!("{}s", nanos / 1_000_000_000),
        nanos if nanos % 1_000_000 == 0 => format!("{}ms", nanos / 1_000_000),
        nanos if nanos % 1000 == 0 => format!("{}us", nanos / 1000),
        nanos => format!("{}us", nanos as f64 / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        for (text, span) in [
            ("60ms", Duration::from_millis(60)),
            ("2.5 s", Duration::from_millis(2500)),
            ("3m", Duration::from_mins(3)),
            ("1h", Duration::from_hours(1)),
            ("0s", Duration::ZERO),
            ("250us", Duration::from_micros(250)),
            ("1e3s", Duration::from_secs(1000)),
        ] {
            assert_eq!(parse(text), Ok(span), "{text}");
            assert_eq!(parse(&shown(span)), Ok(span), "{text}");
        }
        assert_eq!(shown(Duration::from_millis(2500)), "2500ms");
        assert_eq!(shown(Duration::from_secs(10)), "10s");
        assert_eq!(shown(Duration::from_millis(1001)), "1001ms", "and not 1000.9999999999999ms");
        assert_eq!(shown(Duration::from_nanos(1500)), "1.5us");
    }

    #[test]
    fn other_texts_are_refused_with_what_is_needed() {
        for (text, reason) in [
            ("10", "unit is missing"),
            ("", "unit is missing"),
            ("10 min", "unknown unit"),
            ("s", "not a number"),
            ("-1s", "cannot be negative"),
            ("NaNs", "unknown unit"),
            ("25h", "24h"),
            ("1e300h", "24h"),
            ("99999999999999999999h", "24h"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
