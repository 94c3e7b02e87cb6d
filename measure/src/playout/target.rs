//! How long a good client would hold packets back: the target delay of WebRTC's `NetEq`.
//!
//! A packet's delay counts from the best one of the last 2,000 ms. The largest of each 500 ms goes
//! into a histogram of 20 ms classes that forgets exponentially; the target is the upper edge of the
//! class at its 0.95 quantile. Source: WebRTC `delay_manager.h` (configuration),
//! `underrun_optimizer.cc`, `histogram.cc`, `relative_arrival_delay_tracker.cc`.
//!
//! Absent: the second optimiser, which weighs reordered packets against 20 ms per percent of loss.

use std::time::Duration;

const CLASSES: usize = 100;
const CLASS: Duration = Duration::from_millis(20);
const QUANTILE: f64 = 0.95;
const FORGET: f64 = 0.983;
/// The n-th sample at first weighs this many n-ths, until forgetting is that slow.
const START_FORGET_WEIGHT: f64 = 2.0;
const RESAMPLE: Duration = Duration::from_millis(500);
const START: Duration = Duration::from_millis(80);

/// The target delay, and what it is learned from.
#[derive(Clone, Debug)]
pub(super) struct Target {
    best: Best,
    since: Option<Duration>,
    largest: Duration,
    shares: [f64; CLASSES],
    samples: u32,
    delay: Duration,
}

impl Target {
    pub(super) const fn new() -> Self {
        Self {
            best: Best { slots_ns: [i64::MAX; SLOTS], newest: 0, least_ns: i64::MAX },
            since: None,
            largest: Duration::ZERO,
            shares: halving(),
            samples: 0,
            delay: START,
        }
    }

    /// How long the best packet should be held back.
    pub(super) fn delay(&self) -> Duration {
        self.delay
    }

    /// A packet arrived, this far behind the first one's schedule.
    pub(super) fn arrived(&mut self, behind_ns: i64, at: Duration) {
        self.best.record(behind_ns, at);
        let since = *self.since.get_or_insert(at);
        if at.saturating_sub(since) > RESAMPLE {
            self.learn(self.largest);
            self.since = Some(at);
            self.largest = Duration::ZERO;
        }
        self.largest = self.largest.max(self.relative(behind_ns));
    }

    /// How far an instant is behind the best packet's schedule, given how far it is behind the
    /// first one's; zero when it is ahead.
    pub(super) fn relative(&self, behind_ns: i64) -> Duration {
        let relative = behind_ns.saturating_sub(self.best.least());
        Duration::from_nanos(u64::try_from(relative).unwrap_or(0))
    }

    fn learn(&mut self, delay: Duration) {
        let class = usize::try_from(delay.as_nanos() / CLASS.as_nanos()).unwrap_or(CLASSES);
        if class < CLASSES {
            let share = START_FORGET_WEIGHT / f64::from(self.samples + 1);
            let forget = (1.0 - share).clamp(0.0, FORGET);
            for share in &mut self.shares {
                *share *= forget;
            }
            self.shares[class] += 1.0 - forget;
            self.samples += 1;
        }
        let mut above = 1.0;
        let mut classes = 0;
        for share in self.shares {
            classes += 1;
            above -= share;
            if above <= 1.0 - QUANTILE {
                break;
            }
        }
        self.delay = CLASS * classes;
    }
}

/// What the shares are before the first sample, which then counts alone: a half, a quarter, …
const fn halving() -> [f64; CLASSES] {
    let mut shares = [0.5; CLASSES];
    let mut n = 1;
    while n < CLASSES {
        shares[n] = shares[n - 1] / 2.0;
        n += 1;
    }
    shares
}

const SLOT_NANOS: u32 = 100_000_000;
const SLOTS_A_SECOND: u64 = 10;
const SLOTS: usize = 20;

/// The best packet of the last 1,900 to 2,000 ms, to a slot of 100 ms.
#[derive(Clone, Debug)]
struct Best {
    /// The least delay that arrived in each slot, which is the newest one's number modulo 20.
    slots_ns: [i64; SLOTS],
    newest: u64,
    /// The least of all slots: asked for more often than it changes.
    least_ns: i64,
}

impl Best {
    fn record(&mut self, behind_ns: i64, at: Duration) {
        // Whole slots: no division of 128 bits.
        let slot = at.as_secs() * SLOTS_A_SECOND + u64::from(at.subsec_nanos() / SLOT_NANOS);
        for emptied in (self.newest + 1..=slot).rev().take(SLOTS) {
            self.slots_ns[Self::index(emptied)] = i64::MAX;
        }
        self.newest = self.newest.max(slot);
        let least = &mut self.slots_ns[Self::index(slot)];
        *least = behind_ns.min(*least);
        self.least_ns = self.slots_ns.into_iter().min().expect("there are slots");
    }

    fn least(&self) -> i64 {
        self.least_ns
    }

    fn index(slot: u64) -> usize {
        usize::try_from(slot % SLOTS as u64).expect("less than SLOTS")
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::ms;
    use super::*;

    /// A target that was told of packets 60 ms apart with these delays.
    fn after(delays_ms: impl IntoIterator<Item = i64>) -> Target {
        let mut target = Target::new();
        for (n, delay_ms) in (0..).zip(delays_ms) {
            let at = ms(1_000 + 60 * n) + Duration::from_millis(delay_ms.unsigned_abs());
            target.arrived(delay_ms * 1_000_000, at);
        }
        target
    }

    #[test]
    fn it_starts_at_80_ms_and_learns_after_500() {
        assert_eq!(after([0; 9]).delay(), ms(80));
        assert_eq!(after([0; 10]).delay(), ms(20));
    }

    #[test]
    fn the_target_is_the_upper_edge_of_the_largest_delay_s_class() {
        for (jitter_ms, target_ms) in [(0, 20), (19, 20), (20, 40), (100, 120), (1_999, 2_000)] {
            let jittery = (0..100).map(|n| if n % 4 == 3 { jitter_ms } else { 0 });
            assert_eq!(after(jittery).delay(), ms(target_ms), "{jitter_ms}");
        }
    }

    #[test]
    fn delays_beyond_the_last_class_are_not_learned() {
        let mut target = Target::new();
        for (delay_ms, target_ms) in [(2_000, 100), (1_999, 2_000), (10, 20), (2_000, 20)] {
            target.learn(ms(delay_ms));
            assert_eq!(target.delay(), ms(target_ms), "{delay_ms}");
        }
    }

    #[test]
    fn a_twentieth_of_bad_intervals_is_ignored_and_more_is_not() {
        for (every, target_ms) in [(30, 20), (10, 120)] {
            let mut target = Target::new();
            for n in 1..=3_000 {
                target.learn(if n % every == 0 { ms(110) } else { ms(0) });
            }
            // Of n intervals since a bad one 0.983ⁿ remains: look just before the next.
            target.learn(ms(0));
            assert_eq!(target.delay(), ms(target_ms), "{every}");
        }
    }

    #[test]
    fn the_best_packet_is_forgotten_after_two_seconds() {
        let mut best = Best { slots_ns: [i64::MAX; SLOTS], newest: 0, least_ns: i64::MAX };
        best.record(-7, ms(5_000));
        best.record(9, ms(6_999));
        assert_eq!(best.least(), -7);
        best.record(9, ms(7_000));
        assert_eq!(best.least(), 9);
        best.record(3, ms(3_600_000));
        assert_eq!(best.least(), 3);
    }
}
