//! The one notion of time in the core crates.

use std::fmt;
use std::ops::{Add, AddAssign};
use std::time::Duration;

/// A point in time: nanoseconds since the run started (584 years fit).
///
/// Only an edge reads a clock; everything else is handed a `Moment`, so that tests can build one
/// and files can store one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(u64);

impl Moment {
    /// The start of the run.
    pub const START: Moment = Moment(0);

    /// The moment `nanos` nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// The moment `millis` milliseconds after the start.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Time since the start of the run.
    pub const fn since_start(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// Time from `earlier` to this moment; zero when `earlier` is the later one.
    pub const fn since(self, earlier: Moment) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This moment less `span`, not before the start.
    #[must_use]
    pub fn saturating_sub(self, span: Duration) -> Moment {
        Moment(self.0.saturating_sub(nanos(span)))
    }
}

/// `Duration` counts in `u128` nanoseconds; a run that outlives 584 years is not supported.
fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl From<Duration> for Moment {
    /// The moment this long after the start.
    fn from(since_start: Duration) -> Self {
        Self(nanos(since_start))
    }
}

impl Add<Duration> for Moment {
    type Output = Moment;

    fn add(self, span: Duration) -> Moment {
        Moment(self.0.saturating_add(nanos(span)))
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, span: Duration) {
        *self = *self + span;
    }
}

impl fmt::Display for Moment {
    /// Seconds with milliseconds: `12.345 s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3} s", self.since_start().as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_move_by_durations_and_saturate_at_the_start() {
        let later = Moment::START + Duration::from_millis(60);
        assert_eq!(later, Moment::from_millis(60));
        assert_eq!(later.since(Moment::START), Duration::from_millis(60));
        assert_eq!(Moment::START.since(later), Duration::ZERO);
        assert_eq!(later.saturating_sub(Duration::from_secs(1)), Moment::START);
        assert_eq!(later.to_string(), "0.060 s");
    }
}
