//! How deep a buffer would have had to be: arrivals by their delay, in 120 bytes.

use std::time::Duration;

/// How many classes of delay there are: one up to each edge, and one beyond the last.
pub(super) const BUCKETS: usize = EDGES.len() + 1;

/// The classes' upper edges, which belong to them: 10 ms apart up to 80 ms, then four an octave.
pub(super) const EDGES: [Duration; 29] = edges();

const fn edges() -> [Duration; 29] {
    let mut edges = [Duration::ZERO; 29];
    let (mut millis, mut step, mut n) = (0, 10, 1);
    while n < edges.len() {
        millis += step;
        edges[n] = Duration::from_millis(millis);
        if millis == 8 * step {
            step *= 2;
        }
        n += 1;
    }
    edges
}

/// The same in nanoseconds, as arrivals are sorted in.
const EDGES_NS: [u64; 29] = {
    let mut nanos = [0; 29];
    let mut n = 0;
    while n < nanos.len() {
        nanos[n] = EDGES[n].as_secs() * 1_000_000_000 + EDGES[n].subsec_nanos() as u64;
        n += 1;
    }
    nanos
};

/// Arrivals of one stream by how far they were behind the schedule that the first one set.
#[derive(Clone, Debug)]
pub(super) struct Depths([u32; BUCKETS]);

impl Depths {
    pub(super) const fn new() -> Self {
        Self([0; BUCKETS])
    }

    /// Counts an arrival so many nanoseconds behind; zero for those ahead.
    pub(super) fn record(&mut self, behind_ns: u64) {
        self.0[EDGES_NS.partition_point(|edge| *edge < behind_ns)] += 1;
    }

    /// The counts, wide enough to be added up over devices.
    pub(super) fn counts(&self) -> [u64; BUCKETS] {
        self.0.map(u64::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_fine_where_buffers_are_chosen() {
        let millis: Vec<_> = EDGES.iter().map(Duration::as_millis).collect();
        assert_eq!(millis[..13], [0, 10, 20, 30, 40, 50, 60, 70, 80, 100, 120, 140, 160]);
        assert_eq!(millis[25..], [1600, 1920, 2240, 2560]);
        for pair in millis[8..].windows(2) {
            assert!(pair[1] * 4 <= pair[0] * 5, "{pair:?}");
        }
    }

    #[test]
    fn an_edge_belongs_to_the_class_below() {
        let mut depths = Depths::new();
        for behind in [0, 1, 10_000, 10_001, 2_560_000, 2_560_001] {
            depths.record(behind * 1000);
        }
        let counts = depths.counts();
        assert_eq!((counts[0], counts[1], counts[2], counts[28], counts[29]), (1, 2, 1, 1, 1));
    }
}
