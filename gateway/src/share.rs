//! Shares, such as 1 % of all frames, and the draws that decide whom they strike.
//!
//! Nothing here is random or remembers anything: a draw is a hash of what it is for and of whom it
//! is about. Equal seeds therefore strike the same devices and frames, whichever threads ask, in
//! whatever order and however often.

use std::error::Error;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A part of a whole, written as a percentage from `0%` to `100%`; none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Share {
    /// 0 to 100: a decimal fraction divided by 100 would not always be written as it was read.
    percent: f64,
}

/// A text that is no share; carries it, shortened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownShare(String);

impl fmt::Display for UnknownShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}`: a share is a number of percent from 0% to 100%, for example `2.5%`",
            self.0
        )
    }
}

impl Error for UnknownShare {}

impl Share {
    /// Whether it strikes nobody.
    pub fn is_none(&self) -> bool {
        self.percent <= 0.0
    }

    /// From 0 to 1.
    pub(crate) fn ratio(self) -> f64 {
        self.percent / 100.0
    }

    /// Whether it strikes whoever drew this of all `u64`: `0%` never does, `100%` always.
    pub(crate) fn strikes(self, draw: u64) -> bool {
        uniform(draw) < self.ratio()
    }
}

impl FromStr for Share {
    type Err = UnknownShare;

    fn from_str(text: &str) -> Result<Self, UnknownShare> {
        // `f64` also reads signs, exponents, `inf` and `nan`.
        let plain = |number: &&str| number.bytes().all(|b| b.is_ascii_digit() || b == b'.');
        text.strip_suffix('%')
            .filter(plain)
            .and_then(|number| number.parse().ok())
            .filter(|percent| (0.0..=100.0).contains(percent))
            .map(|percent| Self { percent })
            .ok_or_else(|| UnknownShare(text.chars().take(40).collect()))
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.percent)
    }
}

impl Serialize for Share {
    fn serialize<S: Serializer>(&self, into: S) -> Result<S::Ok, S::Error> {
        into.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(de::Error::custom)
    }
}

/// What a draw decides; draws for different purposes are independent of each other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    WorkTime,
    WrongKey,
    ForeignAudio,
    KeystreamReuse,
    DroppedReply,
    DuplicatedReply,
    ReorderedReply,
    WorkerCrash,
    Think,
    Speak,
}

/// One of all `u64`, evenly, for the `number`th event of `device`: always the same one.
pub(crate) fn draw(seed: u64, purpose: Purpose, device: u32, number: u64) -> u64 {
    [purpose as u64, u64::from(device), number]
        .into_iter()
        .fold(mix(seed), |drawn, word| mix(drawn ^ word))
}

/// A draw as a number from 0 up to, but not including, 1: its upper 53 bits.
pub(crate) fn uniform(draw: u64) -> f64 {
    (draw >> 11) as f64 / (1_u64 << 53) as f64
}

/// One step of splitmix64: for different words different ones, without any likeness.
pub(crate) fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mixed = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: u32 = 100_000;

    fn share(text: &str) -> Share {
        text.parse().unwrap()
    }

    /// Of [`DRAWS`], as many are struck as `chance` says, within four standard deviations.
    fn struck(what: &str, chance: f64, draws: impl Fn(u32) -> bool) {
        let count = (0..DRAWS).filter(|n| draws(*n)).count() as f64;
        let expected = f64::from(DRAWS) * chance;
        let sigma = (expected * (1.0 - chance)).sqrt();
        assert!((count - expected).abs() <= 4.0 * sigma, "{what}: {count}, not {expected}");
    }

    #[test]
    fn shares_are_read_as_they_are_written() {
        for text in ["0%", "1%", "0.5%", "0.1%", "7%", "12.34%", "0.0001%", "100%"] {
            assert_eq!(share(text).to_string(), text);
            assert_eq!(serde_json::to_value(share(text)).unwrap(), text);
            assert_eq!(serde_json::from_value::<Share>(text.into()).unwrap(), share(text));
        }
        assert_eq!(share("0.50%"), share("0.5%"));
        assert_eq!(Share::default(), share("0%"));
        assert!(Share::default().is_none() && !share("0.0001%").is_none());
    }

    #[test]
    fn anything_else_is_refused_with_an_example() {
        let texts = ["", "%", ".%", "10", "0.1", "101%", "100.1%", "-1%", "+1%", "1 %", "1e1%"];
        for text in texts.into_iter().chain(["inf%", "nan%", "1.2.3%", "1%%"]) {
            let expected = format!(
                "`{text}`: a share is a number of percent from 0% to 100%, for example `2.5%`"
            );
            assert_eq!(text.parse::<Share>().unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn nothing_never_strikes_and_everything_always_does() {
        for draw in [0, 1, u64::MAX / 2, u64::MAX - 1, u64::MAX] {
            assert!(!share("0%").strikes(draw) && share("100%").strikes(draw), "{draw}");
        }
        let (below, half) = ((1 << 63) - 1, 1 << 63);
        assert!(share("50%").strikes(below) && !share("50%").strikes(half));
    }

    #[test]
    fn a_share_strikes_as_often_as_it_says_among_events_and_among_devices() {
        for (text, chance) in [("0.1%", 0.001), ("1%", 0.01), ("10%", 0.1), ("62.5%", 0.625)] {
            let share = share(text);
            for (seed, purpose) in
                [(0, Purpose::WrongKey), (1, Purpose::WorkTime), (u64::MAX, Purpose::WorkerCrash)]
            {
                struck(text, chance, |n| share.strikes(draw(seed, purpose, 7, u64::from(n))));
                struck(text, chance, |device| share.strikes(draw(seed, purpose, device, 0)));
            }
        }
    }

    #[test]
    fn purposes_seeds_and_devices_are_independent_of_each_other() {
        use Purpose::{DroppedReply, WorkTime, WrongKey};
        let share = share("10%");
        let first = |n: u32| share.strikes(draw(1, WrongKey, n, 0));
        let others: [(&str, &dyn Fn(u32) -> u64); 4] = [
            ("purposes", &|n| draw(1, DroppedReply, n, 0)),
            ("seeds", &|n| draw(2, WrongKey, n, 0)),
            ("devices", &|n| draw(1, WrongKey, n + 1, 0)),
            ("a purpose for a seed", &|n| draw(0, WorkTime, n, 0)),
        ];
        for (what, other) in others {
            struck(what, 0.01, |n| first(n) && share.strikes(other(n)));
        }
    }

    #[test]
    fn draws_stay_as_they_are() {
        // A run is told by its seed: changing these changes what every stored seed does.
        let draws = [
            draw(0, Purpose::WorkTime, 0, 0),
            draw(1, Purpose::WrongKey, 2, 3),
            draw(u64::MAX, Purpose::WorkerCrash, u32::MAX, u64::MAX),
        ];
        assert_eq!(draws, [0x2130_748A_AAC8_0268, 0x6B36_0221_EDD5_A20A, 0xC692_3B77_0D2A_E0F5]);
    }
}
