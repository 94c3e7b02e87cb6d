//! Numbers, spans, shares and sizes with their ranges, read and written the same way everywhere.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::duration::{Span, shown};

/// Units for the bounds of [`Within`], in microseconds.
pub(super) const MS: u64 = 1000;
pub(super) const SECOND: u64 = 1000 * MS;
pub(super) const MINUTE: u64 = 60 * SECOND;
pub(super) const HOUR: u64 = 60 * MINUTE;

/// Reads a whole number within `allowed`, or says what was seen and what is allowed.
pub(super) fn whole<'de, D: Deserializer<'de>>(
    deserializer: D,
    what: &str,
    allowed: RangeInclusive<i64>,
) -> Result<i64, D::Error> {
    let seen = i64::deserialize(deserializer)?;
    if allowed.contains(&seen) {
        return Ok(seen);
    }
    let (least, most) = (allowed.start(), allowed.end());
    Err(de::Error::custom(format!("{seen} {what}: allowed are {least} to {most}")))
}

/// Where random choices come from: a whole number of 0 or more, of any size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Seed(pub(super) u64);

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        whole(deserializer, "as seed", 0..=i64::MAX).map(|seed| Self(seed.unsigned_abs()))
    }
}

/// A whole number from `LEAST` to `MOST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Whole<const LEAST: u32, const MOST: u32>(u32);

impl<const LEAST: u32, const MOST: u32> Whole<LEAST, MOST> {
    pub(super) fn get(self) -> u32 {
        self.0
    }
}

impl<const LEAST: u32, const MOST: u32> Default for Whole<LEAST, MOST> {
    /// The least.
    fn default() -> Self {
        Self(LEAST)
    }
}

impl<'de, const LEAST: u32, const MOST: u32> Deserialize<'de> for Whole<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seen = whole(deserializer, "is out of range", LEAST.into()..=MOST.into())?;
        Ok(Self(u32::try_from(seen).expect("the allowed range lies within u32")))
    }
}

/// A span of time from `LEAST` to `MOST` microseconds: a whole number of them, as the gateway reads no
/// other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Within<const LEAST: u64, const MOST: u64>(Duration);

impl<const LEAST: u64, const MOST: u64> Within<LEAST, MOST> {
    pub(super) fn get(self) -> Duration {
        self.0
    }

    /// So many seconds, which must lie within the bounds.
    pub(super) const fn of_seconds(seconds: u64) -> Self {
        assert!(seconds * SECOND >= LEAST && seconds * SECOND <= MOST);
        Self(Duration::from_secs(seconds))
    }
}

impl<const LEAST: u64, const MOST: u64> fmt::Display for Within<LEAST, MOST> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(self.0))
    }
}

impl<const LEAST: u64, const MOST: u64> Serialize for Within<LEAST, MOST> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, const LEAST: u64, const MOST: u64> Deserialize<'de> for Within<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Span(span) = Span::deserialize(deserializer)?;
        let (least, most) = (Duration::from_micros(LEAST), Duration::from_micros(MOST));
        if !(least..=most).contains(&span) {
            let (seen, least, most) = (shown(span), shown(least), shown(most));
            let message = format!("{seen} is out of range: allowed are {least} to {most}");
            return Err(de::Error::custom(message));
        }
        if span.subsec_nanos() % 1000 != 0 {
            let message = format!("{}: write whole microseconds", shown(span));
            return Err(de::Error::custom(message));
        }
        Ok(Self(span))
    }
}

/// A share of all that there are, from 0 % to 100 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Share {
    percent: f64,
}

impl Share {
    pub(super) const NONE: Self = Self { percent: 0.0 };

    /// From 0 to 1.
    pub(super) fn ratio(self) -> f64 {
        self.percent / 100.0
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let percent: f64 = text.trim().strip_suffix('%')?.trim_end().parse().ok()?;
        // The sign of -0 is lost on the way.
        (0.0..=100.0).contains(&percent).then_some(Self { percent: percent.abs() })
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.percent)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Share;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a share with its percent sign in quotes, for example \"5%\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Share, E> {
                let wrong = || {
                    E::custom(format!(
                        "share `{text}`: write a number and a percent sign, \"0%\" to \"100%\""
                    ))
                };
                Share::parse(text).ok_or_else(wrong)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// How far a clock may be off, 0 to 1,000 millionths.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PartsPerMillion(f64);

impl PartsPerMillion {
    /// As a share of the time.
    pub fn ratio(self) -> f64 {
        self.0 / 1e6
    }
}

impl fmt::Display for PartsPerMillion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ppm", self.0)
    }
}

impl<'de> Deserialize<'de> for PartsPerMillion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let parts = text.trim().strip_suffix("ppm").and_then(|parts| parts.trim().parse().ok());
        parts.filter(|parts| (0.0..=1000.0).contains(parts)).map(|parts: f64| Self(parts.abs())).ok_or_else(|| {
            de::Error::custom(format!(
                "clock drift `{text}`: write parts per million, \"0ppm\" to \"1000ppm\"; crystals have about 50"
            ))
        })
    }
}

/// An amount of memory, at most 16 MiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    bytes: u64,
}

impl Memory {
    /// Smallest first.
    const UNITS: [(&str, u64); 3] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20)];
    const MOST: u64 = 16 << 20;

    fn parse(text: &str) -> Option<Self> {
        let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at(unit_at);
        let (_, factor) = Self::UNITS.iter().find(|(name, _)| *name == unit.trim())?;
        let bytes = number.parse::<u64>().ok()?.checked_mul(*factor)?;
        (bytes <= Self::MOST).then_some(Self { bytes })
    }
}

impl fmt::Display for Memory {
    /// In the largest unit that keeps it whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |factor: u64| self.bytes >= factor && self.bytes.is_multiple_of(factor);
        let largest = Self::UNITS.iter().rev().find(|(_, factor)| fits(*factor));
        let (unit, factor) = largest.unwrap_or(&Self::UNITS[0]);
        write!(f, "{}{unit}", self.bytes / factor)
    }
}

impl Serialize for Memory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Memory {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Memory;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an amount of memory with its unit in quotes, for example \"4KiB\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Memory, E> {
                let wrong = || {
                    E::custom(format!(
                        "amount of memory `{text}`: write a whole number and one of B, KiB, MiB, \
                         at most \"16MiB\""
                    ))
                };
                Memory::parse(text).ok_or_else(wrong)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_a_percent_sign_and_a_range() {
        for (text, shown) in
            [("5%", "5%"), ("0.1%", "0.1%"), ("100 %", "100%"), ("0%", "0%"), ("-0%", "0%")]
        {
            assert_eq!(Share::parse(text).map(|share| share.to_string()).as_deref(), Some(shown));
        }
        for text in ["", "%", "5", "0.05", "101%", "-1%", "NaN%", "inf%", "5%%", "five%"] {
            assert_eq!(Share::parse(text), None, "{text}");
        }
        assert!((Share { percent: 25.0 }.ratio() - 0.25).abs() < 1e-9);
    }

    #[test]
    fn memory_is_a_whole_number_of_a_unit() {
        for (text, shown) in [
            ("512B", "512B"),
            ("4096B", "4KiB"),
            ("4 KiB", "4KiB"),
            ("16MiB", "16MiB"),
            ("0KiB", "0B"),
        ] {
            assert_eq!(
                Memory::parse(text).map(|amount| amount.to_string()).as_deref(),
                Some(shown)
            );
        }
        for text in ["", "4", "4kB", "1.5MiB", "-1B", "17MiB", "99999999999999999999MiB", "KiB"] {
            assert_eq!(Memory::parse(text), None, "{text}");
        }
    }
}
