//! What dispatch remembers of a session: where its last frame ran and how long its frames take.

use std::time::Duration;

use crate::dispatch::Activation;

/// How much of a new measurement goes into a session's estimate: an eighth, as TCP has it for
/// round trips (RFC 6298). A session that turns heavy is half known after five frames.
const SESSION_WEIGHT: u32 = 8;

/// The memory that dispatch has of one session.
#[derive(Debug)]
pub struct Standing {
    key: u64,
    last: Option<usize>,
    work: WorkEstimate,
}

impl Standing {
    /// Of a session that has done nothing yet; `key` tells it from others.
    pub fn new(key: u64) -> Self {
        Self { key, last: None, work: WorkEstimate::new(SESSION_WEIGHT) }
    }

    /// What the policy is told when the session becomes active.
    pub fn activation(&self) -> Activation {
        Activation { key: self.key, last: self.last }
    }

    /// Its next frame goes to `worker`.
    pub fn placed(&mut self, worker: usize) {
        self.last = Some(worker);
    }

    /// A frame of it took this long.
    pub fn worked(&mut self, took: Duration) {
        self.work.record(took);
    }

    /// How long its next frame will take; `None` before the first.
    pub fn expected(&self) -> Option<Duration> {
        self.work.mean()
    }
}

/// A moving average of work time: each measurement counts for less the older it gets.
#[derive(Clone, Copy, Debug)]
pub struct WorkEstimate {
    mean: Option<Duration>,
    weight: u32,
}

impl WorkEstimate {
    /// One in which a new measurement counts for 1/`weight`; the first one counts in full.
    pub const fn new(weight: u32) -> Self {
        Self { mean: None, weight }
    }

    /// A frame took this long.
    pub fn record(&mut self, took: Duration) {
        let mean = self.mean.unwrap_or(took);
        self.mean = Some((mean * (self.weight - 1) + took) / self.weight);
    }

    /// The average; `None` before the first measurement.
    pub fn mean(&self) -> Option<Duration> {
        self.mean
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_estimate_starts_with_the_first_measurement_and_follows() {
        let mut work = WorkEstimate::new(SESSION_WEIGHT);
        assert_eq!(work.mean(), None);
        work.record(Duration::from_millis(2));
        assert_eq!(work.mean(), Some(Duration::from_millis(2)));
        let mut after = |frames| {
            (0..frames).for_each(|_| work.record(Duration::from_millis(20)));
            work.mean().unwrap()
        };
        let half = Duration::from_millis(11);
        let (five, six) = (after(5), after(1));
        assert!(five < half && half < six, "{five:?}, {six:?}");
        assert!(after(40) > Duration::from_micros(19_900));
    }
}
