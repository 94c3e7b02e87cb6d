//! The turns of all devices: by segment of the run, and since the last second.

use measure::Metric;
use measure::record::Measurements;

use crate::conversation::Turn;
use crate::schedule::PhaseTimes;

/// Takes down every turn that is over. Grows by nothing: distributions and counts.
#[derive(Debug)]
pub struct TurnBook {
    times: PhaseTimes,
    segments: Vec<Measurements>,
    second: Measurements,
}

impl TurnBook {
    /// An empty one for a run in these segments.
    pub fn new(times: PhaseTimes) -> Self {
        let segments = vec![Measurements::new(); times.count()];
        Self { times, segments, second: Measurements::new() }
    }

    /// A turn is over. It belongs to the segment in which its listening was to end.
    pub fn note(&mut self, turn: &Turn) {
        let segment = &mut self.segments[self.times.phase_at(turn.planned)];
        for measured in [segment, &mut self.second] {
            add(measured, turn);
        }
    }

    /// What was noted since this was called before.
    pub fn take_second(&mut self) -> Measurements {
        std::mem::take(&mut self.second)
    }

    /// Everything, by segment.
    pub fn segments(&self) -> &[Measurements] {
        &self.segments
    }
}

fn add(measured: &mut Measurements, turn: &Turn) {
    let nanos = |span: std::time::Duration| u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
    measured.count(Metric::Turns, 1);
    measured.count(Metric::TurnsAnswered, u64::from(turn.latency.is_some()));
    measured.count(Metric::TurnsUnanswered, u64::from(turn.latency.is_none()));
    measured.sample(Metric::TurnLag, nanos(turn.lag));
    if let Some(latency) = turn.latency {
        measured.sample(Metric::TurnLatency, nanos(latency));
    }
    if let Some(barge_in) = turn.barge_in {
        measured.sample(Metric::BargeIn, nanos(barge_in));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Phase;
    use protocol::Moment;
    use std::time::Duration;

    #[test]
    fn turns_are_counted_where_their_listening_was_to_end_and_once_a_second() {
        let second = Duration::from_secs(1);
        let phase = |name| Phase::plain(name, 1, Duration::ZERO, second);
        let mut book = TurnBook::new(PhaseTimes::new(&[phase("a"), phase("b")]));
        let turn = |millis, latency, barge_in| Turn {
            planned: Moment::from_millis(millis),
            lag: Duration::from_millis(1),
            latency,
            barge_in,
        };
        book.note(&turn(500, Some(second), None));
        book.note(&turn(1500, Some(second), Some(Duration::ZERO)));
        book.note(&turn(1600, None, None));
        let counts = |measured: &Measurements| {
            let counted = |metric| measured.counted(metric).unwrap_or(0);
            let samples = |metric| measured.sampled(metric).map_or(0, measure::Distribution::count);
            let turns =
                [Metric::Turns, Metric::TurnsAnswered, Metric::TurnsUnanswered].map(counted);
            (turns, samples(Metric::TurnLatency), samples(Metric::BargeIn))
        };
        assert_eq!(counts(&book.segments()[0]), ([1, 1, 0], 1, 0));
        assert_eq!(counts(&book.segments()[1]), ([2, 1, 1], 1, 1));
        assert_eq!(counts(&book.take_second()), ([3, 2, 1], 2, 1));
        assert_eq!(counts(&book.take_second()), ([0, 0, 0], 0, 0));
    }
}
