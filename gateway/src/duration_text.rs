//! Durations as people write them in files and flags: `500ms`, `120s`, `2m`, `1h`.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

/// A text that is no duration; carries it, shortened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DurationTextError(String);

impl fmt::Display for DurationTextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}`: a duration is a whole number and one of ms, s, m, h, for example `120s`",
            self.0
        )
    }
}

impl Error for DurationTextError {}

/// Reads a whole number followed by its unit.
///
/// # Errors
/// [`DurationTextError`] for anything else, and for more than a `u64` of milliseconds.
pub fn parse(text: &str) -> Result<Duration, DurationTextError> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let unit_millis = match unit {
        "ms" => Some(1),
        "s" => Some(1000),
        "m" => Some(60 * 1000),
        "h" => Some(60 * 60 * 1000),
        _ => None,
    };
    let number: Option<u64> = number.parse().ok();
    number
        .zip(unit_millis)
        .and_then(|(number, millis)| number.checked_mul(millis))
        .map(Duration::from_millis)
        .ok_or_else(|| DurationTextError(text.chars().take(40).collect()))
}

/// For `#[serde(deserialize_with)]`.
///
/// # Errors
/// What [`parse`] says.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    parse(&String::deserialize(from)?).map_err(de::Error::custom)
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
    }

    #[test]
    fn anything_else_is_refused_with_an_example() {
        for text in ["", "s", "120", "-1s", "1.5s", "1 s", "1S", "1d", "99999999999999999999s"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{text}`: a duration is")), "{error}");
        }
    }
}
