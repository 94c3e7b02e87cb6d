//! Counts transits so that their distance from the shortest one is known, though that may come last.
//!
//! The buckets are a grid on the transit itself, not on a distance from a guessed origin. The first
//! 52 lie from the shortest transit up and are 200 µs wide; then come 12 levels of 26 buckets, each
//! level twice as wide as the one before. Every bucket begins at a multiple of its width, so two
//! neighbours of one level are exactly one bucket of the next. When a new shortest transit moves the
//! levels down, counts move only to wider buckets that contain theirs whole: errors do not add up,
//! however often that happens. (Log-linear buckets around the first transit would be coarse just
//! where the shortest lies, if the first packet was slow.)
//!
//! With w = 200 µs, level k ≥ 1 begins at least (50·2^(k−1) + 1)·w above the first bucket's lower
//! edge and so more than 50·2^(k−1)·w above the shortest transit; half a bucket is 2^(k−1)·w: 2 % at
//! most. The first buckets are off by half of 200 µs. The last level ends at least 40.96 s up;
//! longer transits are counted in its last bucket.

use std::iter;

const WIDTH_NS: i64 = 200_000;
const LEVELS: u32 = 13;
const FIRST_LEVEL: u32 = 52;
const OTHER_LEVEL: u32 = 26;
const BUCKETS: usize = (FIRST_LEVEL + (LEVELS - 1) * OTHER_LEVEL) as usize;

/// The transits of one stream, in 1,500 bytes.
#[derive(Clone, Debug)]
pub(super) struct Transits {
    /// The first bucket begins at this multiple of [`WIDTH_NS`].
    base: i64,
    min_ns: i64,
    max_ns: i64,
    /// Four thousand million packets a bucket: a call of years.
    buckets: [u32; BUCKETS],
}

impl Default for Transits {
    fn default() -> Self {
        Self { base: 0, min_ns: i64::MAX, max_ns: i64::MIN, buckets: [0; BUCKETS] }
    }
}

impl Transits {
    pub(super) fn add(&mut self, transit_ns: i64) {
        let unit = transit_ns.div_euclid(WIDTH_NS);
        if self.is_empty() {
            self.base = unit;
        } else if unit < self.base {
            self.lower_base(unit);
        }
        self.min_ns = self.min_ns.min(transit_ns);
        self.max_ns = self.max_ns.max(transit_ns);
        self.buckets[bucket_of(self.base, unit)] += 1;
    }

    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().copied().map(u64::from).sum()
    }

    /// Each bucket in use, from the shortest transit on: how far above that, in ns, and how many.
    pub(super) fn above_min(&self) -> impl Iterator<Item = (u64, u64)> {
        self.used().map(|(start, width, count)| {
            let middle_ns = start * WIDTH_NS + width * WIDTH_NS / 2;
            let within = middle_ns.clamp(self.min_ns, self.max_ns);
            (within.abs_diff(self.min_ns), u64::from(count))
        })
    }

    /// How far above the shortest transit, in ns, this share of transits does not exceed.
    pub(super) fn above_min_quantile(&self, share: f64) -> Option<u64> {
        let (mut seen, all) = (0, self.count());
        let reached = self.above_min().find(|(_, count)| {
            seen += count;
            seen as f64 / all as f64 >= share
        });
        reached.map(|(above_ns, _)| above_ns)
    }

    fn is_empty(&self) -> bool {
        self.min_ns > self.max_ns
    }

    fn lower_base(&mut self, base: i64) {
        let mut lowered = [0; BUCKETS];
        for (start, _, count) in self.used() {
            lowered[bucket_of(base, start)] += count;
        }
        (self.base, self.buckets) = (base, lowered);
    }

    /// Start and width, in units of [`WIDTH_NS`], and count of each bucket in use, ascending.
    fn used(&self) -> impl Iterator<Item = (i64, i64, u32)> {
        let buckets = levels(self.base).flat_map(|level| {
            let starts =
                iter::successors(Some(level.start), move |start| Some(start + level.width));
            let starts = starts.take_while(move |start| *start < level.end);
            starts.zip(&self.buckets[level.first..]).map(move |(at, n)| (at, level.width, *n))
        });
        buckets.filter(|(.., count)| *count > 0)
    }
}

/// Buckets of one width; places and widths in units of [`WIDTH_NS`].
struct Level {
    /// The number of its first bucket.
    first: usize,
    start: i64,
    /// Where the next level begins, at a multiple of its width: a bucket may be left over.
    end: i64,
    width: i64,
}

fn levels(base: i64) -> impl Iterator<Item = Level> {
    let mut next = (0, base);
    (0..LEVELS).map(move |level| {
        let (first, start) = next;
        let buckets = if level == 0 { FIRST_LEVEL } else { OTHER_LEVEL };
        let full = start + (i64::from(buckets) << level);
        let is_last = level + 1 == LEVELS;
        let end = if is_last { full } else { (full >> (level + 1)) << (level + 1) };
        next = (first + buckets as usize, end);
        Level { first, start, end, width: 1 << level }
    })
}

/// The number of the bucket for this unit, which is not below the base.
fn bucket_of(base: i64, unit: i64) -> usize {
    let level = levels(base).find(|level| unit < level.end);
    level.map_or(BUCKETS - 1, |level| {
        // Widths are powers of two.
        let above = usize::try_from((unit - level.start) >> level.width.trailing_zeros());
        level.first + above.expect("the base is the least unit")
    })
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// Whether every hundredth is within 2 % or 0.1 ms of the exact one.
    fn assert_exact_enough(name: &str, transits_ns: &[i64]) {
        let mut counted = Transits::default();
        for ns in transits_ns {
            counted.add(*ns);
        }
        assert_eq!(counted.count(), transits_ns.len() as u64, "{name}");
        let mut sorted = transits_ns.to_vec();
        sorted.sort_unstable();
        for percent in 1..=100 {
            let exact = sorted[(sorted.len() * percent).div_ceil(100) - 1].abs_diff(sorted[0]);
            let seen = counted.above_min_quantile(percent as f64 / 100.0).unwrap();
            let allowed = (exact / 50).max(100_000);
            assert!(
                seen.abs_diff(exact) <= allowed,
                "{name}, {percent} %: {seen} ns, not {exact} ± {allowed}"
            );
        }
    }

    #[test]
    fn every_quantile_is_within_the_promised_error() {
        for seed in 0..5 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut draw = |transit: fn(f64) -> f64| -> Vec<i64> {
                #[expect(clippy::cast_possible_truncation, reason = "seconds")]
                let ns = iter::repeat_with(|| (transit(random.random()) * 1e6) as i64);
                ns.take(1_000).collect()
            };
            // Milliseconds of a uniform number.
            assert_exact_enough("uniform to 3 ms", &draw(|u| 3.0 * u));
            assert_exact_enough("uniform to 500 ms, some negative", &draw(|u| 500.0 * u - 100.0));
            assert_exact_enough("exponential", &draw(|u| -20.0 * (1.0 - u).ln()));
            assert_exact_enough("10 µs to 40 s by decades", &draw(|u| 0.01 * 4e6_f64.powf(u)));
            let mut longest_first = draw(|u| 0.01 * 4e6_f64.powf(u));
            longest_first.sort_unstable_by_key(|ns| -ns);
            assert_exact_enough("each shorter than the one before", &longest_first);
        }
    }

    #[test]
    fn steady_drift_downwards_adds_no_errors() {
        let drift: Vec<_> = (0..5_000).map(|n| 30_000_000_000 - n * 297_001).collect();
        assert_exact_enough("1.5 s in 5,000 steps", &drift);
    }

    #[test]
    fn levels_nest_and_reach_40_s_from_any_base() {
        for base in -5_000..5_000 {
            let levels: Vec<_> = levels(base).collect();
            for pair in levels.windows(2) {
                assert_eq!(pair[0].end, pair[1].start);
                assert_eq!(pair[1].start % pair[1].width, 0, "from {base}");
            }
            assert!(levels.iter().all(|level| level.end - level.start <= level.width * 52));
            assert!((levels[12].end - base) * WIDTH_NS >= 40_960_000_000, "from {base}");
            assert_eq!(levels[12].first + 26, BUCKETS);
        }
    }

    #[test]
    fn beyond_the_last_level_transits_are_still_counted() {
        // The last level's place depends on the shortest transit.
        for shortest_ns in (0..50).map(|n| n * 211_000_000) {
            let mut counted = Transits::default();
            for hours in [1, 0, 2] {
                counted.add(shortest_ns + hours * 3_600_000_000_000);
            }
            assert_eq!(counted.count(), 3);
            let (above_ns, count) = counted.above_min().last().unwrap();
            assert!(above_ns > 40_000_000_000, "{shortest_ns}: {above_ns} ns");
            assert_eq!(count, 2, "{shortest_ns}");
        }
    }
}
