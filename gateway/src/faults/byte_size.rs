//! Amounts of memory as people write them in files: `512B`, `4KiB`, `1MiB`.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Each unit and its bytes, the largest first.
const UNITS: [(&str, usize); 3] = [("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// An amount of memory; none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize {
    bytes: usize,
}

/// A text that is no amount of memory; carries it, shortened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownByteSize(String);

impl fmt::Display for UnknownByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}`: an amount of memory is a whole number and one of B, KiB, MiB, for example `4KiB`",
            self.0
        )
    }
}

impl Error for UnknownByteSize {}

impl ByteSize {
    /// As many KiB.
    pub const fn from_kib(kib: usize) -> Self {
        Self { bytes: kib << 10 }
    }

    /// As many MiB.
    pub const fn from_mib(mib: usize) -> Self {
        Self { bytes: mib << 20 }
    }

    /// As a number of bytes.
    pub const fn bytes(self) -> usize {
        self.bytes
    }
}

impl FromStr for ByteSize {
    type Err = UnknownByteSize;

    fn from_str(text: &str) -> Result<Self, UnknownByteSize> {
        let unit_at = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(unit_at);
        let unit_bytes = UNITS.into_iter().find(|(name, _)| *name == unit).map(|(_, bytes)| bytes);
        let number: Option<usize> = number.parse().ok();
        number
            .zip(unit_bytes)
            .and_then(|(number, bytes)| number.checked_mul(bytes))
            .map(|bytes| Self { bytes })
            .ok_or_else(|| UnknownByteSize(text.chars().take(40).collect()))
    }
}

impl fmt::Display for ByteSize {
    /// In the largest unit that needs no fraction.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, unit): &(&str, usize)| self.bytes > 0 && self.bytes.is_multiple_of(*unit);
        let (name, unit) = UNITS.into_iter().find(whole).unwrap_or(("B", 1));
        write!(f, "{}{name}", self.bytes / unit)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        into.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_and_a_unit_are_an_amount_and_written_the_same() {
        for (text, bytes) in [
            ("0B", 0),
            ("512B", 512),
            ("4KiB", 4096),
            ("1MiB", 1_048_576),
            ("1025B", 1025),
            ("1536KiB", 1_572_864),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, text));
        }
        assert_eq!("1024B".parse(), Ok(ByteSize::from_kib(1)));
        assert_eq!("1024KiB".parse(), Ok(ByteSize::from_mib(1)));
    }

    #[test]
    fn anything_else_is_refused_with_an_example() {
        let too_many = format!("{}MiB", usize::MAX);
        for text in ["", "4", "KiB", "-1B", "1.5KiB", "4 KiB", "4kib", "4KB", "1GiB", &too_many] {
            let error = text.parse::<ByteSize>().unwrap_err().to_string();
            let expected = format!(
                "`{text}`: an amount of memory is a whole number and one of B, KiB, MiB, for \
                 example `4KiB`"
            );
            assert_eq!(error, expected);
        }
    }
}
