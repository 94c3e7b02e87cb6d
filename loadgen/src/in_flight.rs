//! Counts the frames under way now and then, for Little's law: on average there are rate × mean
//! latency of them, or some account is wrong.
//!
//! The moments are random, as frames are periodic: moments at a fixed distance would always see the
//! same part of the period.

use std::time::Duration;

use measure::validity::LittlesLaw;
use rand::RngExt;

/// The mean time between two counts.
const GAP: Duration = Duration::from_millis(20);
/// Fewer counts than this tell nothing.
const ENOUGH: u64 = 100;

/// The counts of one run.
#[derive(Clone, Copy, Debug, Default)]
pub struct InFlight {
    counts: u64,
    sum: f64,
    squares: f64,
}

impl InFlight {
    /// How long to wait until the next count: uniform, so that no period is favoured.
    pub fn gap() -> Duration {
        GAP.mul_f64(rand::rng().random_range(0.25..1.75))
    }

    /// So many frames are under way now.
    pub fn count(&mut self, frames: u64) {
        let frames = frames as f64;
        self.counts += 1;
        self.sum += frames;
        self.squares += frames * frames;
    }

    /// The law for `answered` frames in `span` that took `latency` each, on average, from their send
    /// call until their answer was read; `None` for too few counts.
    pub fn law(&self, answered: u64, span: Duration, latency: Duration) -> Option<LittlesLaw> {
        if self.counts < ENOUGH || span.is_zero() {
            return None;
        }
        let n = self.counts as f64;
        let mean = self.sum / n;
        let variance = (self.squares / n - mean * mean).max(0.0);
        // Counts closer together than a frame is under way see the same frames.
        let dependence = 1.0 + 2.0 * latency.div_duration_f64(GAP);
        Some(LittlesLaw {
            counted: mean,
            expected: answered as f64 * latency.div_duration_f64(span),
            standard_error: (variance / n * dependence).sqrt(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_at_random_moments_of_periodic_frames_meet_the_law() {
        // Ten devices, a frame each 60 ms, each 15 ms under way: 2.5 at any time.
        let (mut in_flight, mut at) = (InFlight::default(), Duration::ZERO);
        let span = Duration::from_mins(1);
        while at < span {
            let phases = (0..10).map(|device| Duration::from_millis(device * 6));
            let under_way = phases.filter(|phase| {
                let since = (at + Duration::from_millis(60)).saturating_sub(*phase);
                since.as_nanos() % 60_000_000 < 15_000_000
            });
            in_flight.count(under_way.count() as u64);
            at += InFlight::gap();
        }
        let law = in_flight.law(10_000, span, Duration::from_millis(15)).unwrap();
        assert!((law.expected - 2.5).abs() < 1e-9, "{law:?}");
        assert!((law.counted - law.expected).abs() < 4.0 * law.standard_error, "{law:?}");
        assert!(law.standard_error > 0.0 && law.standard_error < 0.1, "{law:?}");
        let lying = in_flight.law(10_000, span, Duration::from_millis(30)).unwrap();
        assert!((lying.counted - lying.expected).abs() > 4.0 * lying.standard_error);
    }

    #[test]
    fn too_few_counts_tell_nothing() {
        let mut in_flight = InFlight::default();
        (0..ENOUGH - 1).for_each(|_| in_flight.count(1));
        let law = |in_flight: InFlight| in_flight.law(1, GAP, GAP);
        assert_eq!(law(in_flight), None);
        in_flight.count(1);
        assert!(law(in_flight).is_some());
    }
}
