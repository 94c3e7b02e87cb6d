//! Times by their quantiles: `0% 1ms, 50% 2ms, 99% 20ms, 100% 60ms`. Between two of them the time grows
//! evenly with the share.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::duration_text;
use crate::share::Share;

/// The most of them.
const MOST: usize = 16;

/// Which share of all takes how long at most; 2 to 16 of them, from `0%` to `100%`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantiles {
    points: [(Share, Duration); MOST],
    count: usize,
}

/// A text that is none, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuantilesError(String);

impl fmt::Display for QuantilesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: write for example `0% 1ms, 50% 2ms, 99% 20ms, 100% 60ms`", self.0)
    }
}

impl Error for QuantilesError {}

impl Quantiles {
    /// The shortest and the longest time.
    pub(crate) fn range(&self) -> (Duration, Duration) {
        let points = self.points();
        (points[0].1, points[points.len() - 1].1)
    }

    /// The time that a share of all, 0 to 1, takes at most.
    pub(crate) fn at(&self, share: f64) -> Duration {
        let points = self.points();
        let after = points.partition_point(|(point, _)| point.ratio() <= share);
        let (Some(after), Some(before)) = (points.get(after), points.get(after.wrapping_sub(1)))
        else {
            return points[points.len() - 1].1;
        };
        let part = (share - before.0.ratio()) / (after.0.ratio() - before.0.ratio());
        before.1 + after.1.saturating_sub(before.1).mul_f64(part)
    }

    fn points(&self) -> &[(Share, Duration)] {
        &self.points[..self.count]
    }
}

impl FromStr for Quantiles {
    type Err = QuantilesError;

    fn from_str(text: &str) -> Result<Self, QuantilesError> {
        let wrong = |what: &str| QuantilesError(what.to_owned());
        let mut quantiles = Self { points: Default::default(), count: 0 };
        for part in text.split(',').map(str::trim) {
            let (share, time) = part
                .split_once(' ')
                .ok_or_else(|| wrong("a quantile is a share, a space and a time"))?;
            let share: Share = share.parse().map_err(|error| wrong(&format!("{error}")))?;
            let time =
                duration_text::parse(time.trim()).map_err(|error| wrong(&format!("{error}")))?;
            if let Some((before, shorter)) = quantiles.points().last()
                && (share <= *before || time < *shorter)
            {
                return Err(wrong("each share is above the one before, and no time is below"));
            }
            let place = quantiles.points.get_mut(quantiles.count);
            *place.ok_or_else(|| wrong("over 16 quantiles"))? = (share, time);
            quantiles.count += 1;
        }
        let ends = (quantiles.points().first(), quantiles.points().last());
        match ends {
            (Some((first, _)), Some((last, _))) if first.is_none() && last.ratio() >= 1.0 => {
                Ok(quantiles)
            }
            _ => Err(wrong("the first is of 0% and the last of 100%")),
        }
    }
}

impl fmt::Display for Quantiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (share, time)) in self.points().iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{share} {}", duration_text::to_text(*time))?;
        }
        Ok(())
    }
}

impl Serialize for Quantiles {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        into.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantiles {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_quantiles_times_grow_evenly() {
        let text = "0% 1ms, 50% 2ms, 99.9% 20ms, 100% 60ms";
        let quantiles: Quantiles = text.parse().unwrap();
        assert_eq!(quantiles.to_string(), text);
        for (share, millis) in [(0.0, 1.0), (0.25, 1.5), (0.5, 2.0), (0.999, 20.0), (0.9995, 40.0)]
        {
            let seen = quantiles.at(share).as_secs_f64() * 1e3;
            assert!((seen - millis).abs() < 1e-3, "{share}: {seen}");
        }
        assert_eq!(quantiles.range(), (Duration::from_millis(1), Duration::from_millis(60)));
    }

    #[test]
    fn what_is_none_is_told() {
        let many = (0..17).map(|n| format!("{}% 1ms", n * 6)).collect::<Vec<_>>().join(", ");
        for (text, says) in [
            ("", "a share, a space and a time"),
            ("0%", "a share, a space and a time"),
            ("0% 1ms", "the last of 100%"),
            ("10% 1ms, 100% 2ms", "the first is of 0%"),
            ("0% 1ms, 100% 2", "`2`: a duration"),
            ("0% 1ms, 101% 2ms", "`101%`: a share"),
            ("0% 1ms, 50% 3ms, 50% 4ms, 100% 5ms", "above the one before"),
            ("0% 4ms, 100% 3ms", "no time is below"),
            (&many, "over 16"),
        ] {
            let error = text.parse::<Quantiles>().unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
