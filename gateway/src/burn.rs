//! Work on purpose: how much longer the frames of a device take, and taking that long.
//!
//! ```toml
//! [[burn]]
//! kind = "cpu"
//! distribution = "bimodal"
//! time = "2ms"
//! long = "20ms"
//! long_share = "10%"
//! every = 4
//! ```
//! How long a frame takes depends on the device's number and the frame's alone, so that the same
//! load meets the same work on every run, whichever worker does it and when.

use std::error::Error;
use std::fmt;
use std::hint::black_box;
use std::time::Duration;

use platform::{Clock, thread_cpu_time};
use serde::{Deserialize, Serialize};

use crate::duration_text;
use crate::quantiles::Quantiles;
use crate::share::{Purpose, Share, draw, mix, uniform};

/// Extra work for each frame of some devices; of several rules, the first that applies counts.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BurnRule {
    /// How the worker spends the time; has no default.
    pub kind: BurnKind,
    /// How the times of the frames differ; `fixed`.
    #[serde(default, skip_serializing_if = "Distribution::is_fixed")]
    pub distribution: Distribution,
    /// `fixed`: the time of every frame; `bimodal`: of a short one; `exponential`: of a mean one;
    /// 1 µs to 10 s; needed but for `quantiles`. Whatever the backend takes comes on top.
    #[serde(default, with = "duration_text", skip_serializing_if = "Duration::is_zero")]
    pub time: Duration,
    /// `quantiles`, which needs it: the times of the frames, 1 µs to 10 s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantiles: Option<Quantiles>,
    /// `bimodal`, which needs it: the time of a long frame, `time` to 10 s.
    #[serde(default, with = "duration_text::optional", skip_serializing_if = "Option::is_none")]
    pub long: Option<Duration>,
    /// `bimodal`, which needs it: the share of frames that are long, 0 % to 100 %.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub long_share: Option<Share>,
    /// The rule is for devices whose number leaves [`offset`](Self::offset) when divided by this,
    /// 1 or more; 1, which is all devices.
    #[serde(default = "all_devices", skip_serializing_if = "is_all_devices")]
    pub every: u32,
    /// See [`every`](Self::every), which it is less than; 0.
    #[serde(default, skip_serializing_if = "is_first")]
    pub offset: u32,
}

/// How a worker spends the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BurnKind {
    /// Calculating: the time is processor time of the worker's own, however long that takes.
    Cpu,
    /// Waiting, as for a remote service: the worker is occupied, a processor is not.
    Wait,
}

/// How the times of frames differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Distribution {
    /// Not at all.
    #[default]
    Fixed,
    /// Most are short, some long.
    Bimodal,
    /// Exponentially, so that the standard deviation is the mean. No frame takes more than 20
    /// times the mean, which one in 500 million would.
    Exponential,
    /// As they were somewhere else.
    Quantiles,
}

/// A rule that cannot be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BurnError {
    /// A number is out of its range.
    OutOfRange {
        /// The key.
        key: &'static str,
        /// What was set.
        seen: u32,
        /// The least and the most that may be set.
        allowed: (u32, u32),
    },
    /// A time is out of its range.
    TimeOutOfRange {
        /// The key.
        key: &'static str,
        /// What was set.
        seen: Duration,
        /// The least and the most that may be set.
        allowed: (Duration, Duration),
    },
    /// A key is missing that the distribution needs; carries both.
    Needed(&'static str, Distribution),
    /// A key is set that means nothing but to another distribution; carries both.
    OnlyFor(&'static str, Distribution),
}

impl fmt::Display for BurnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { key, seen, allowed: (least, most) } => {
                write!(f, "{key} is {seen}: allowed are {least} to {most}")
            }
            Self::TimeOutOfRange { key, seen, allowed } => {
                let [seen, least, most] = [*seen, allowed.0, allowed.1].map(duration_text::to_text);
                write!(f, "{key} is {seen}: allowed are {least} to {most}")
            }
            Self::Needed(key, by) => write!(f, "{key} is missing: {by} needs it"),
            Self::OnlyFor(key, of) => {
                write!(f, "{key} is set: only the distribution {of} has it")
            }
        }
    }
}

impl Error for BurnError {}

impl BurnRule {
    const SHORTEST: Duration = Duration::from_micros(1);
    const LONGEST: Duration = Duration::from_secs(10);

    /// Whether a gateway can follow this rule.
    ///
    /// # Errors
    /// [`BurnError`] names the key, what was set and what may be set.
    pub fn check(&self) -> Result<(), BurnError> {
        let (bimodal, quantiles) = (Distribution::Bimodal, Distribution::Quantiles);
        for (key, of, is_set) in [
            ("long", bimodal, self.long.is_some()),
            ("long_share", bimodal, self.long_share.is_some()),
            ("quantiles", quantiles, self.quantiles.is_some()),
        ] {
            match (self.distribution == of, is_set) {
                (true, false) => return Err(BurnError::Needed(key, of)),
                (false, true) => return Err(BurnError::OnlyFor(key, of)),
                _ => {}
            }
        }
        let whole = (Self::SHORTEST, Self::LONGEST);
        let times = match &self.quantiles {
            None => [
                ("time", self.time, whole),
                ("long", self.long.unwrap_or(self.time), (self.time, Self::LONGEST)),
            ],
            Some(quantiles) => {
                let (shortest, longest) = quantiles.range();
                [("quantiles", shortest, whole), ("quantiles", longest, whole)]
            }
        };
        for (key, seen, allowed) in times {
            if seen < allowed.0 || seen > allowed.1 {
                return Err(BurnError::TimeOutOfRange { key, seen, allowed });
            }
        }
        let numbers = [
            ("every", self.every, (1, u32::MAX)),
            ("offset", self.offset, (0, self.every.saturating_sub(1))),
        ];
        for (key, seen, allowed) in numbers {
            if seen < allowed.0 || seen > allowed.1 {
                return Err(BurnError::OutOfRange { key, seen, allowed });
            }
        }
        Ok(())
    }

    fn applies_to(&self, device: u32) -> bool {
        device % self.every == self.offset
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fixed => "fixed",
            Self::Bimodal => "bimodal",
            Self::Exponential => "exponential",
            Self::Quantiles => "quantiles",
        })
    }
}

impl Distribution {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
    fn is_fixed(&self) -> bool {
        *self == Self::Fixed
    }
}

fn all_devices() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_all_devices(every: &u32) -> bool {
    *every == all_devices()
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_first(offset: &u32) -> bool {
    *offset == 0
}

/// The extra work of one device's frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Burn {
    rule: BurnRule,
    device: u32,
}

impl Burn {
    /// Runs are to differ by their load alone: the extra work has no seed of its own.
    const SEED: u64 = 0;
    /// The longest exponential time, in means.
    const MOST_MEANS: f64 = 20.0;

    /// What the first of the checked `rules` that applies has for `device`, if one does.
    pub(crate) fn of(rules: &[BurnRule], device: u32) -> Option<Self> {
        let rule = *rules.iter().find(|rule| rule.applies_to(device))?;
        Some(Self { rule, device })
    }

    /// How much longer `frame` takes.
    pub(crate) fn time(&self, frame: u64) -> Duration {
        let BurnRule { distribution, time, long, long_share, quantiles, .. } = self.rule;
        let draw = || draw(Self::SEED, Purpose::WorkTime, self.device, frame);
        match distribution {
            Distribution::Fixed => time,
            Distribution::Bimodal => {
                let is_long = long_share.is_some_and(|share| share.strikes(draw()));
                long.filter(|_| is_long).unwrap_or(time)
            }
            Distribution::Exponential => {
                // The uniform number is less than 1: the logarithm is finite.
                let means = -(-uniform(draw())).ln_1p();
                time.mul_f64(means.min(Self::MOST_MEANS))
            }
            Distribution::Quantiles => {
                quantiles.map_or(time, |quantiles| quantiles.at(uniform(draw())))
            }
        }
    }

    /// Occupies the calling worker for the time of `frame`, or a little longer.
    pub(crate) fn perform(&self, frame: u64, clock: &Clock) {
        let time = self.time(frame);
        match self.rule.kind {
            BurnKind::Wait => clock.sleep_until(clock.now() + time),
            BurnKind::Cpu => calculate(time),
        }
    }
}

/// Calculates until the thread has used this much processor time.
fn calculate(time: Duration) {
    /// Steps between two readings of the thread's clock, each of which is a system call of up to a
    /// microsecond: a few microseconds' worth, so that most of the time is arithmetic.
    const STEPS: u64 = 1000;
    let start = thread_cpu_time();
    while thread_cpu_time().saturating_sub(start) < time {
        black_box((0..STEPS).fold(black_box(0), |word, step| mix(word ^ step)));
    }
}

#[cfg(test)]
mod tests;
