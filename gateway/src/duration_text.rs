//! Durations as people write them in files and flags: `500ms`, `120s`, `2m`, `1h`, `50us`.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer, de};

/// Each unit and its microseconds, the longest first.
const UNITS: [(&str, u64); 5] =
    [("h", 3_600_000_000), ("m", 60_000_000), ("s", 1_000_000), ("ms", 1000), ("us", 1)];

/// A text that is no duration; carries it, shortened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurationTextError(String);

impl fmt::Display for DurationTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}`: a duration is a whole number and one of ms, s, m, h, us, for example `120s`",
            self.0
        )
    }
}

impl Error for DurationTextError {}

/// Reads a whole number followed by its unit.
///
/// # Errors
/// [`DurationTextError`] for anything else, and for more than a `u64` of microseconds.
pub fn parse(text: &str) -> Result<Duration, DurationTextError> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit_micros = UNITS.into_iter().find(|(name, _)| *name == unit).map(|(_, micros)| micros);
    let number: Option<u64> = number.parse().ok();
    number
        .zip(unit_micros)
        .and_then(|(number, micros)| number.checked_mul(micros))
        .map(Duration::from_micros)
        .ok_or_else(|| DurationTextError(text.chars().take(40).collect()))
}

/// The text that [`parse`] reads as `span`, in the longest unit that needs no fraction. What is
/// below a microsecond cannot be written and is left out.
pub fn to_text(span: Duration) -> String {
    let micros = span.as_micros();
    if micros == 0 {
        return "0s".to_owned();
    }
    let (unit, unit_micros) = UNITS
        .into_iter()
        .map(|(unit, unit_micros)| (unit, u128::from(unit_micros)))
        .find(|(_, unit_micros)| micros.is_multiple_of(*unit_micros))
        .expect("every number of microseconds is one");
    format!("{}{unit}", micros / unit_micros)
}

/// For `#[serde(deserialize_with)]`.
///
/// # Errors
/// What [`parse`] says.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(from)?).map_err(de::Error::custom)
}

/// For `#[serde(serialize_with)]`.
///
/// # Errors
/// What the serializer says.
pub(crate) fn serialize<S: Serializer>(span: &Duration, into: S) -> Result<S::Ok, S::Error> {
    into.serialize_str(&to_text(*span))
}

/// For `#[serde(with)]` of keys that may be left out: `default`, and skipped where there is none.
pub(crate) mod optional {
    use std::time::Duration;

    use serde::{Deserializer, Serializer};

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        super::deserialize(from).map(Some)
    }

    #[expect(clippy::ref_option, reason = "serde hands over a reference")]
    pub(crate) fn serialize<S: Serializer>(
        span: &Option<Duration>,
        into: S,
    ) -> Result<S::Ok, S::Error> {
        match span {
            Some(span) => super::serialize(span, into),
            None => into.serialize_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit_are_a_duration() {
        for (text, millis) in [("0s", 0), ("500ms", 500), ("120s", 120_000), ("2m", 120_000)] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse("1h"), Ok(Duration::from_hours(1)));
        assert_eq!(parse("50us"), Ok(Duration::from_micros(50)));
    }

    #[test]
    fn a_duration_is_written_in_the_longest_unit_that_fits() {
        for text in ["0s", "1us", "1500us", "200ms", "90s", "2m", "61m", "1h", "36h"] {
            assert_eq!(to_text(parse(text).unwrap()), text);
        }
        for (text, shorter) in [("120s", "2m"), ("1000us", "1ms"), ("0ms", "0s")] {
            assert_eq!(to_text(parse(text).unwrap()), shorter);
        }
        assert_eq!(to_text(Duration::from_nanos(1999)), "1us");
        let longest = format!("{}us", u64::MAX);
        assert_eq!(to_text(parse(&longest).unwrap()), longest);
    }

    #[test]
    fn anything_else_is_refused_with_an_example() {
        for text in
            ["", "s", "120", "-1s", "1.5s", "1 s", "1S", "1d", "1µs", "99999999999999999999s"]
        {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}`: a duration is")), "{error}");
        }
        assert_eq!(
            parse("120").unwrap_err().to_string(),
            "`120`: a duration is a whole number and one of ms, s, m, h, us, for example `120s`"
        );
    }
}
