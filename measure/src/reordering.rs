//! Which answers were overtaken, and by how much: the reordering metrics of RFC 4737.
//!
//! An arrival is reordered if its sequence number is below `NextExp`, the highest seen and one
//! (section 3); a gap that loss leaves is no reordering. Its extent is the distance, in arrivals, to
//! the earliest one with a higher number (section 4.2); a receiver that restores order holds at most
//! as many. It is n-reordered if all of the n arrivals right before it have higher numbers (section
//! 5): a receiver that takes n later packets for a sign of loss gives up on it.

use std::collections::VecDeque;

/// How many arrivals are remembered: an extent beyond is counted as this.
pub const WINDOW: usize = 64;

/// The largest n for which n-reordering is counted.
pub const MAX_DEGREE: usize = 8;

/// The reordering of one stream, in some 700 bytes.
#[derive(Clone, Debug, Default)]
pub struct Reordering {
    /// RFC 4737's `NextExp`.
    next_expected: u64,
    /// What `NextExp` was before the first arrival that is remembered.
    next_expected_before: u64,
    /// Sequence numbers of the last [`WINDOW`] arrivals, the latest at the back.
    recent: VecDeque<u64>,
    counts: ReorderingCounts,
}

/// A reordered arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reordered {
    /// Distance in arrivals to the earliest one with a higher sequence number; [`WINDOW`] if more.
    pub extent: usize,
    /// Whether the extent is more than [`WINDOW`].
    pub is_beyond_window: bool,
    /// The largest n for which it is n-reordered, up to [`WINDOW`]; 0 when the arrival right before
    /// has a lower sequence number.
    pub degree: usize,
}

/// Counts of the reordering of one stream, or of many pooled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReorderingCounts {
    /// All arrivals.
    pub arrivals: u64,
    /// Those that were reordered.
    pub reordered: u64,
    /// The largest extent; [`WINDOW`] if any was beyond.
    pub max_extent: usize,
    /// Extents that were larger than [`WINDOW`].
    pub beyond_window: u64,
    /// At n − 1: arrivals that were n-reordered.
    n_reordered: [u64; MAX_DEGREE],
}

impl Reordering {
    /// A stream of which nothing has arrived.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the sequence number of the next arrival, which is no duplicate; tells of it if it is
    /// reordered.
    pub fn arrived(&mut self, sequence: u64) -> Option<Reordered> {
        let reordered = (sequence < self.next_expected).then(|| self.look_back(sequence));
        self.counts.add(reordered);
        self.next_expected = self.next_expected.max(sequence.saturating_add(1));
        if self.recent.len() == WINDOW
            && let Some(forgotten) = self.recent.pop_front()
        {
            self.next_expected_before = self.next_expected_before.max(forgotten.saturating_add(1));
        }
        self.recent.push_back(sequence);
        reordered
    }

    /// What was counted so far.
    pub const fn counts(&self) -> &ReorderingCounts {
        &self.counts
    }

    fn look_back(&self, sequence: u64) -> Reordered {
        let is_higher = |recent: &&u64| **recent > sequence;
        let is_beyond_window = sequence < self.next_expected_before;
        let lower_first = self.recent.iter().take_while(|recent| !is_higher(recent)).count();
        Reordered {
            extent: if is_beyond_window { WINDOW } else { self.recent.len() - lower_first },
            is_beyond_window,
            degree: self.recent.iter().rev().take_while(is_higher).count(),
        }
    }
}

impl ReorderingCounts {
    /// Adds the counts of another stream.
    pub fn merge(&mut self, other: &ReorderingCounts) {
        self.arrivals += other.arrivals;
        self.reordered += other.reordered;
        self.beyond_window += other.beyond_window;
        self.max_extent = self.max_extent.max(other.max_extent);
        for (count, more) in self.n_reordered.iter_mut().zip(other.n_reordered) {
            *count += more;
        }
    }

    /// The share of arrivals that was reordered (section 4.1), between 0 and 1; `None` without any.
    pub fn ratio(&self) -> Option<f64> {
        (self.arrivals > 0).then(|| self.reordered as f64 / self.arrivals as f64)
    }

    /// How many arrivals were n-reordered; `None` unless n is from 1 to [`MAX_DEGREE`].
    pub fn n_reordered(&self, n: usize) -> Option<u64> {
        self.n_reordered.get(n.checked_sub(1)?).copied()
    }

    fn add(&mut self, arrival: Option<Reordered>) {
        self.arrivals += 1;
        let Some(Reordered { extent, is_beyond_window, degree }) = arrival else { return };
        self.reordered += 1;
        self.beyond_window += u64::from(is_beyond_window);
        self.max_extent = self.max_extent.max(extent);
        // Who is n-reordered is so for every smaller n.
        self.n_reordered.iter_mut().take(degree).for_each(|count| *count += 1);
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// Those of the arrivals that were reordered, with extent and degree; and the counts.
    fn judged(arrivals: &[u64]) -> (Vec<(u64, usize, usize)>, ReorderingCounts) {
        let mut stream = Reordering::new();
        let judge = |s: &u64| stream.arrived(*s).map(|found| (*s, found.extent, found.degree));
        let found = arrivals.iter().filter_map(judge).collect();
        (found, *stream.counts())
    }

    #[test]
    fn four_that_overtake_three() {
        let (found, counts) = judged(&[1, 2, 3, 7, 8, 9, 10, 4, 5, 6, 11]);
        assert_eq!(found, [(4, 4, 4), (5, 5, 0), (6, 6, 0)]);
        assert_eq!(counts.ratio(), Some(3.0 / 11.0));
        assert_eq!((counts.max_extent, counts.beyond_window), (6, 0));
        assert_eq!([1, 4, 5, 8].map(|n| counts.n_reordered(n)), [1, 1, 0, 0].map(Some));
        assert_eq!([0, 9].map(|n| counts.n_reordered(n)), [None, None]);
    }

    #[test]
    fn of_the_playout_table_3_and_6_are_reordered() {
        // ts = 60 n, transits of 20 ms but 100 for the fourth and 140 for the seventh.
        let transits = [20, 20, 20, 100, 20, 20, 140, 20, 20, 20];
        let mut arrivals: Vec<(u64, u64)> =
            (0..).zip(transits).map(|(n, t)| (60 * n + t, n)).collect();
        arrivals.sort_unstable_by_key(|(at, n)| (*at, *n));
        let order: Vec<u64> = arrivals.into_iter().map(|(_, n)| n).collect();
        let (found, counts) = judged(&order);
        assert_eq!(found, [(3, 1, 1), (6, 1, 1)]);
        assert_eq!(counts.ratio(), Some(0.2));
    }

    #[test]
    fn loss_and_a_late_start_are_no_reordering() {
        let (found, counts) = judged(&[40, 41, 45, 46, 90]);
        assert_eq!((found, counts.ratio()), (vec![], Some(0.0)));
        assert_eq!(ReorderingCounts::default().ratio(), None);
    }

    #[test]
    fn each_packet_swapped_with_its_neighbour() {
        let (found, counts) = judged(&[1, 0, 3, 2, 5, 4]);
        assert_eq!(found, [(0, 1, 1), (2, 1, 1), (4, 1, 1)]);
        assert_eq!(counts.ratio(), Some(0.5));
    }

    #[test]
    fn beyond_the_window_an_extent_is_counted_as_the_window() {
        for (overtaking, extent, beyond) in [(63, 63, 0), (64, 64, 0), (65, 64, 1), (500, 64, 1)] {
            let arrivals: Vec<u64> = [0].into_iter().chain(2..2 + overtaking).chain([1]).collect();
            let (found, counts) = judged(&arrivals);
            assert_eq!(found, [(1, extent, extent)], "{overtaking} overtook");
            assert_eq!(counts.beyond_window, beyond, "{overtaking} overtook");
        }
        // The one that overtook may be out of the window while what is in it has lower numbers.
        let arrivals: Vec<u64> = [900].into_iter().chain(1..=70).collect();
        let (found, counts) = judged(&arrivals);
        assert_eq!((found[63], found[64], found[69]), ((64, 64, 0), (65, 64, 0), (70, 64, 0)));
        assert_eq!(counts.beyond_window, 6);
    }

    #[test]
    fn random_orders_meet_the_definitions() {
        for seed in 0..200 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut arrivals: Vec<u64> = (0..60).collect();
            for place in 1..arrivals.len() {
                arrivals.swap(place, random.random_range(place.saturating_sub(9)..=place));
            }
            // i − min {j < i: s(j) > s(i)}, and the n before i that are all higher.
            let defined = |i: usize| {
                let higher = |j: &usize| arrivals[*j] > arrivals[i];
                let first = (0..i).find(higher)?;
                Some((arrivals[i], i - first, (0..i).rev().take_while(higher).count()))
            };
            let expected: Vec<_> = (0..arrivals.len()).filter_map(defined).collect();
            assert!(!expected.is_empty());
            assert_eq!(judged(&arrivals).0, expected, "seed {seed}");
        }
    }

    #[test]
    fn streams_are_pooled() {
        let (_, mut pool) = judged(&[1, 2, 3, 7, 8, 9, 10, 4, 5, 6, 11]);
        pool.merge(&judged(&[1, 0]).1);
        assert_eq!((pool.arrivals, pool.reordered, pool.max_extent), (13, 4, 6));
        assert_eq!([1, 2].map(|n| pool.n_reordered(n)), [Some(2), Some(1)]);
    }
}
