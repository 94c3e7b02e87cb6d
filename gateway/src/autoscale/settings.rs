//! How the number of workers is decided.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::TICK;
use crate::duration_text;

/// How many workers there may be and what decides.
///
/// ```toml
/// policy = "queue-delay"
/// min = 2
/// max = 8
/// window = "10s"
/// ```
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AutoscaleSettings {
    /// What decides: `fixed`, `production`, `production-extreme` or `queue-delay`; `queue-delay`.
    pub policy: Policy,
    /// The fewest workers, 1 to 256; 2. A pool starts with them. With `fixed`, `pool.workers`
    /// counts instead.
    pub min: usize,
    /// The most workers, `min` to 256; 8, for `production-extreme` 6. Ask [`max`](Self::max).
    pub max: Option<usize>,
    /// Time between two checks, 100 ms to 1 h; `production` 10 s, `production-extreme` 5 s,
    /// `queue-delay` 100 ms, over which the smallest queue delay is taken.
    #[serde(deserialize_with = "duration_text::optional::deserialize")]
    pub check: Option<Duration>,
    /// Least time from any change to one upwards, 0 to 1 h; `production` 30 s,
    /// `production-extreme` 5 s, `queue-delay` 0.
    #[serde(deserialize_with = "duration_text::optional::deserialize")]
    pub up_cooldown: Option<Duration>,
    /// Least time from any change to one downwards, 0 to 1 h; `production` 60 s,
    /// `production-extreme` 15 s, `queue-delay` 1 s, so that a falling load is followed in steps
    /// of more than one worker.
    #[serde(deserialize_with = "duration_text::optional::deserialize")]
    pub down_cooldown: Option<Duration>,
    /// `queue-delay`: the pool keeps what was called for at any time in this window, and never
    /// shrinks less than this after it grew; 100 ms to 1 h; 10 s.
    #[serde(deserialize_with = "duration_text::deserialize")]
    pub window: Duration,
    /// `queue-delay`: a pool shrinks only to what would also carry this much more than the
    /// window's peak, in percent, 0 to 100; 10. 0 lets a load just at a worker's limit flap.
    pub hysteresis_percent: u32,
    /// `queue-delay`: how busy workers should be, ρ*, in percent, 10 to 100; 70. The higher, the
    /// fewer workers and the longer the queues.
    pub utilisation_percent: u32,
    /// `queue-delay`: a queue whose smallest delay stays above this never emptied, and calls for
    /// more workers at once; 1 ms to 10 s; 5 ms.
    #[serde(deserialize_with = "duration_text::deserialize")]
    pub standing_delay: Duration,
    /// `queue-delay`: time constant of the moving averages of rate and work, 100 ms to 1 h; 1 s.
    #[serde(deserialize_with = "duration_text::deserialize")]
    pub smoothing: Duration,
}

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Policy {
    /// Nothing: the pool keeps its size.
    Fixed,
    /// The production gateway's rules, with their defects.
    Production,
    /// The same with the settings of its "extreme" test.
    ProductionExtreme,
    /// As many workers as the work needs that arrives, and more when the queue stands.
    QueueDelay,
}

impl Policy {
    /// All there are.
    pub const ALL: [Policy; 4] =
        [Self::Fixed, Self::Production, Self::ProductionExtreme, Self::QueueDelay];
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fixed => "fixed",
            Self::Production => "production",
            Self::ProductionExtreme => "production-extreme",
            Self::QueueDelay => "queue-delay",
        })
    }
}

/// A name that no policy has; carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPolicy(String);

impl fmt::Display for UnknownPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Policy::ALL.map(|policy| policy.to_string()).join(", ");
        write!(f, "`{}` is no autoscaler: there are {names}", self.0)
    }
}

impl Error for UnknownPolicy {}

impl FromStr for Policy {
    type Err = UnknownPolicy;

    fn from_str(name: &str) -> Result<Self, UnknownPolicy> {
        Self::ALL
            .into_iter()
            .find(|policy| policy.to_string() == name)
            .ok_or_else(|| UnknownPolicy(name.to_owned()))
    }
}

/// Settings that no autoscaler can run with.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AutoscaleError {
    /// A number is out of its range.
    OutOfRange {
        /// The key.
        key: &'static str,
        /// What was set.
        seen: usize,
        /// The least and the most that may be set.
        allowed: (usize, usize),
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
}

impl fmt::Display for AutoscaleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { key, seen, allowed: (least, most) } => {
                write!(f, "{key} is {seen}: allowed are {least} to {most}")
            }
            Self::TimeOutOfRange { key, seen, allowed: (least, most) } => {
                write!(f, "{key} is {seen:?}: allowed are {least:?} to {most:?}")
            }
        }
    }
}

impl Error for AutoscaleError {}

impl Default for AutoscaleSettings {
    fn default() -> Self {
        Self {
            policy: Policy::QueueDelay,
            min: 2,
            max: None,
            check: None,
            up_cooldown: None,
            down_cooldown: None,
            window: Duration::from_secs(10),
            hysteresis_percent: 10,
            utilisation_percent: 70,
            standing_delay: Duration::from_millis(5),
            smoothing: Duration::from_secs(1),
        }
    }
}

impl AutoscaleSettings {
    /// The most workers: what was set, or the policy's default, and never fewer than the minimum
    /// that goes with a default.
    pub fn max(&self) -> usize {
        let default = if self.policy == Policy::ProductionExtreme { 6 } else { 8 };
        self.max.unwrap_or(default.max(self.min))
    }

    /// Time between two checks.
    pub fn check_interval(&self) -> Duration {
        self.check.unwrap_or(match self.policy {
            Policy::Production => Duration::from_secs(10),
            Policy::ProductionExtreme => Duration::from_secs(5),
            Policy::Fixed | Policy::QueueDelay => Duration::from_millis(100),
        })
    }

    /// Least time from any change to one upwards.
    pub fn up_cooldown(&self) -> Duration {
        self.up_cooldown.unwrap_or(match self.policy {
            Policy::Production => Duration::from_secs(30),
            Policy::ProductionExtreme => Duration::from_secs(5),
            Policy::Fixed | Policy::QueueDelay => Duration::ZERO,
        })
    }

    /// Least time from any change to one downwards.
    pub fn down_cooldown(&self) -> Duration {
        self.down_cooldown.unwrap_or(match self.policy {
            Policy::Production => Duration::from_mins(1),
            Policy::ProductionExtreme => Duration::from_secs(15),
            Policy::Fixed | Policy::QueueDelay => Duration::from_secs(1),
        })
    }

    /// Whether an autoscaler can run with these settings.
    ///
    /// # Errors
    /// [`AutoscaleError`] names the key, what was set and what may be set.
    pub fn check(&self) -> Result<(), AutoscaleError> {
        let numbers = [
            ("min", self.min, (1, 256)),
            ("max", self.max(), (self.min, 256)),
            ("hysteresis_percent", self.hysteresis_percent as usize, (0, 100)),
            ("utilisation_percent", self.utilisation_percent as usize, (10, 100)),
        ];
        for (key, seen, allowed) in numbers {
            if seen < allowed.0 || seen > allowed.1 {
                return Err(AutoscaleError::OutOfRange { key, seen, allowed });
            }
        }
        let (ms, hour) = (Duration::from_millis, Duration::from_hours(1));
        let times = [
            ("check", self.check_interval(), (TICK, hour)),
            ("up_cooldown", self.up_cooldown(), (Duration::ZERO, hour)),
            ("down_cooldown", self.down_cooldown(), (Duration::ZERO, hour)),
            ("window", self.window, (ms(100), hour)),
            ("standing_delay", self.standing_delay, (ms(1), Duration::from_secs(10))),
            ("smoothing", self.smoothing, (ms(100), hour)),
        ];
        for (key, seen, allowed) in times {
            if seen < allowed.0 || seen > allowed.1 {
                return Err(AutoscaleError::TimeOutOfRange { key, seen, allowed });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<AutoscaleSettings, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn each_policy_has_its_documented_defaults() {
        let s = Duration::from_secs;
        for (policy, max, check, up, down) in [
            ("fixed", 8, Duration::from_millis(100), s(0), s(1)),
            ("production", 8, s(10), s(30), s(60)),
            ("production-extreme", 6, s(5), s(5), s(15)),
            ("queue-delay", 8, Duration::from_millis(100), s(0), s(1)),
        ] {
            let settings = read(&format!("policy = \"{policy}\"")).unwrap();
            assert_eq!(settings.check(), Ok(()));
            assert_eq!((settings.min, settings.max()), (2, max), "{policy}");
            assert_eq!(settings.check_interval(), check, "{policy}");
            assert_eq!((settings.up_cooldown(), settings.down_cooldown()), (up, down), "{policy}");
        }
        assert_eq!(read("").unwrap(), AutoscaleSettings::default());
    }

    #[test]
    fn everything_can_be_set_and_nothing_else() {
        let settings = read(
            "policy = \"production\"\nmin = 1\nmax = 16\ncheck = \"1s\"\nup_cooldown = \"2s\"\n\
             down_cooldown = \"3s\"\nwindow = \"4s\"\nhysteresis_percent = 5\n\
             utilisation_percent = 80\nstanding_delay = \"20ms\"\nsmoothing = \"2s\"",
        )
        .unwrap();
        assert_eq!(settings.check(), Ok(()));
        assert_eq!((settings.max(), settings.check_interval()), (16, Duration::from_secs(1)));
        assert_eq!(settings.down_cooldown(), Duration::from_secs(3));
        let error = read("cooldown = \"1s\"").unwrap_err();
        assert!(error.contains("unknown field `cooldown`"), "{error}");
        let error = read("policy = \"magic\"").unwrap_err();
        assert!(error.contains("expected one of `fixed`, `production`"), "{error}");
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        for (text, expected) in [
            ("min = 0", "min is 0: allowed are 1 to 256"),
            ("min = 4\nmax = 3", "max is 3: allowed are 4 to 256"),
            ("max = 300", "max is 300: allowed are 2 to 256"),
            ("utilisation_percent = 0", "utilisation_percent is 0: allowed are 10 to 100"),
            ("check = \"1ms\"", "check is 1ms: allowed are 100ms to 3600s"),
            ("window = \"0s\"", "window is 0ns: allowed are 100ms to 3600s"),
        ] {
            assert_eq!(read(text).unwrap().check().unwrap_err().to_string(), expected, "{text}");
        }
        assert_eq!(read("min = 10").unwrap().check(), Ok(()), "the default maximum makes room");
    }
}
