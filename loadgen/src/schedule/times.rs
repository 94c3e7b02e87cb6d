//! The run's time in consecutive pieces.

use std::ops::Range;

use protocol::Moment;

use crate::scenario::Phase;

/// Consecutive pieces of the run's time: its phases, or what windows cut them into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseTimes {
    starts: Vec<Moment>,
    end: Moment,
}

impl PhaseTimes {
    /// The phases one after the other, from the start of the run.
    pub fn new(phases: &[Phase]) -> Self {
        let mut at = Moment::START;
        let mut starts = Vec::with_capacity(phases.len());
        for phase in phases {
            starts.push(at);
            at += phase.length();
        }
        Self { starts, end: at }
    }

    /// The same time in finer pieces: also cut at each of `moments` that lies within it.
    #[must_use]
    pub fn cut_at(&self, moments: impl IntoIterator<Item = Moment>) -> Self {
        let within = |at: &Moment| *at > self.starts[0] && *at < self.end;
        let mut starts = self.starts.clone();
        starts.extend(moments.into_iter().filter(within));
        starts.sort_unstable();
        starts.dedup();
        Self { starts, end: self.end }
    }

    /// The pieces that lie between `start` and `end`, which are cuts of it.
    pub fn between(&self, start: Moment, end: Moment) -> Range<usize> {
        let first = self.starts.partition_point(|&at| at < start);
        first..self.starts.partition_point(|&at| at < end).max(first)
    }

    /// Number of phases.
    pub fn count(&self) -> usize {
        self.starts.len()
    }

    /// The phase that `at` falls into; what is after the end belongs to the last.
    pub fn phase_at(&self, at: Moment) -> usize {
        self.starts.partition_point(|&start| start <= at).saturating_sub(1)
    }

    /// Start and end of phase `index`.
    pub fn bounds(&self, index: usize) -> (Moment, Moment) {
        let end = self.starts.get(index + 1).copied().unwrap_or(self.end);
        (self.starts[index], end)
    }

    /// The end of the last phase.
    pub fn end(&self) -> Moment {
        self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn phase(devices: u32, ramp_ms: u64, hold_ms: u64) -> Phase {
        let ms = Duration::from_millis;
        Phase::plain("test", devices, ms(ramp_ms), ms(hold_ms))
    }

    #[test]
    fn phases_are_found_by_moment() {
        let times = PhaseTimes::new(&[phase(1, 50, 50), phase(2, 0, 100)]);
        for (millis, index) in [(0, 0), (99, 0), (100, 1), (199, 1), (200, 1), (9999, 1)] {
            assert_eq!(times.phase_at(Moment::from_millis(millis)), index, "{millis} ms");
        }
        assert_eq!(times.bounds(1), (Moment::from_millis(100), Moment::from_millis(200)));
    }

    #[test]
    fn time_is_cut_into_finer_pieces_and_found_again() {
        let at = Moment::from_millis;
        let phases = PhaseTimes::new(&[phase(1, 0, 100), phase(2, 0, 200)]);
        // The start, the end, what lies outside and what is a cut already change nothing.
        let segments = phases.cut_at([at(150), at(100), at(0), at(300), at(900), at(150)]);
        let bounds: Vec<_> = (0..segments.count()).map(|index| segments.bounds(index)).collect();
        assert_eq!(bounds, [(at(0), at(100)), (at(100), at(150)), (at(150), at(300))]);
        for (start, end, pieces) in
            [(0, 100, 0..1), (100, 300, 1..3), (150, 300, 2..3), (100, 150, 1..2)]
        {
            assert_eq!(segments.between(at(start), at(end)), pieces, "{start} to {end}");
        }
        assert_eq!(segments.phase_at(at(149)), 1);
    }
}
