//! Times of the frames of one interval, handed from a thread that measures to one that writes.
//!
//! Two recorders go round between the two. The measuring thread fills one; when the other thread
//! has asked, it exchanges it for the empty one, in between frames. That is a load of a flag for
//! each round of its loop and two moves of a pointer a second: no lock, no allocation, no clearing.
//! Every sample is in exactly one interval, also when the other thread is late: then the interval
//! is longer, and says so.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use measure::{Distribution, Quantity};
use protocol::Moment;

/// What was recorded of `N` times between two moments of the run.
#[derive(Clone, Debug)]
pub struct Interval<const N: usize> {
    /// When recording began.
    pub start: Moment,
    /// When it ended: the start of the interval after it.
    pub end: Moment,
    /// One distribution for each of the times.
    pub times: [Distribution; N],
}

impl<const N: usize> Interval<N> {
    /// An interval that begins and ends at `start`, with nothing in it.
    pub fn empty(start: Moment) -> Self {
        let times = std::array::from_fn(|_| Distribution::new(Quantity::Time));
        Self { start, end: start, times }
    }
}

/// The end of the thread that measures.
pub struct IntervalRecorder<const N: usize> {
    current: Box<Interval<N>>,
    asked: Arc<AtomicBool>,
    full: SyncSender<Box<Interval<N>>>,
    empty: Receiver<Box<Interval<N>>>,
}

/// The end of the thread that asks.
pub struct Intervals<const N: usize> {
    asked: Arc<AtomicBool>,
    /// Never wanted by the thread that measures.
    channels: Mutex<Channels<N>>,
}

struct Channels<const N: usize> {
    full: Receiver<Box<Interval<N>>>,
    empty: SyncSender<Box<Interval<N>>>,
}

/// Both ends; recording begins with the run.
pub fn intervals<const N: usize>() -> (IntervalRecorder<N>, Intervals<N>) {
    let asked = Arc::new(AtomicBool::new(false));
    // There are two recorders, so neither channel is ever full.
    let (full, taken) = sync_channel(2);
    let (given_back, empty) = sync_channel(2);
    given_back
        .try_send(Box::new(Interval::empty(Moment::START)))
        .expect("an empty channel has room");
    let current = Box::new(Interval::empty(Moment::START));
    let recorder = IntervalRecorder { current, asked: Arc::clone(&asked), full, empty };
    let channels = Mutex::new(Channels { full: taken, empty: given_back });
    (recorder, Intervals { asked, channels })
}

impl<const N: usize> IntervalRecorder<N> {
    /// Adds a sample to each of the times that has one, in nanoseconds.
    #[inline]
    pub fn record(&mut self, nanos: [Option<u64>; N]) {
        for (times, nanos) in self.current.times.iter_mut().zip(nanos) {
            if let Some(nanos) = nanos {
                times.record(nanos);
            }
        }
    }

    /// Hands over what was recorded until `now`, if that was asked for and the interval before has
    /// come back.
    #[inline]
    pub fn hand_over(&mut self, now: Moment) {
        if !self.asked.load(Ordering::Relaxed) {
            return;
        }
        let Ok(mut empty) = self.empty.try_recv() else { return };
        self.asked.store(false, Ordering::Relaxed);
        empty.start = now;
        self.current.end = now;
        // Fails when nobody is left to take it; then nobody wants it.
        let _ = self.full.try_send(mem::replace(&mut self.current, empty));
    }

    /// What was recorded until `now` and not handed over.
    pub fn finish(mut self, now: Moment) -> Interval<N> {
        self.current.end = now;
        *self.current
    }
}

impl<const N: usize> Intervals<N> {
    /// Asks for what was recorded so far; it comes within one round of the other thread's loop.
    pub fn ask(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Shows an interval that was handed over to `read`; tells whether there was one.
    pub fn take(&self, read: impl FnOnce(&Interval<N>)) -> bool {
        let channels = self.channels.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(mut interval) = channels.full.try_recv() else { return false };
        read(&interval);
        interval.times.iter_mut().for_each(Distribution::clear);
        // Fails when the other thread has ended; then nobody needs it.
        let _ = channels.empty.try_send(interval);
        true
    }

    /// What nobody has taken, in order, when the other thread has ended with `last`.
    pub(super) fn left(self, last: Interval<N>) -> Vec<Interval<N>> {
        let channels = self.channels.into_inner().unwrap_or_else(PoisonError::into_inner);
        channels.full.try_iter().map(|interval| *interval).chain([last]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    fn taken(intervals: &Intervals<2>) -> Option<(Moment, Moment, [u64; 2])> {
        let mut seen = None;
        intervals.take(|interval| {
            let counts = interval.times.each_ref().map(Distribution::count);
            seen = Some((interval.start, interval.end, counts));
        });
        seen
    }

    #[test]
    fn every_sample_is_in_one_interval_and_intervals_meet() {
        let (mut recorder, intervals) = intervals();
        recorder.record([Some(MS), None]);
        recorder.hand_over(at(500));
        assert_eq!(taken(&intervals), None, "nobody asked");
        intervals.ask();
        recorder.hand_over(at(1000));
        recorder.record([Some(MS), Some(MS)]);
        assert_eq!(taken(&intervals), Some((at(0), at(1000), [1, 0])));
        assert_eq!(taken(&intervals), None, "it comes once");
        intervals.ask();
        recorder.hand_over(at(2100));
        assert_eq!(taken(&intervals), Some((at(1000), at(2100), [1, 1])));
        recorder.record([None, Some(MS)]);
        let rest = recorder.finish(at(2500));
        assert_eq!((rest.start, rest.end), (at(2100), at(2500)));
        assert_eq!(rest.times.each_ref().map(Distribution::count), [0, 1]);
    }

    #[test]
    fn what_was_handed_over_and_not_taken_is_left_before_the_last() {
        let (mut recorder, intervals) = intervals();
        recorder.record([Some(MS), None]);
        intervals.ask();
        recorder.hand_over(at(1000));
        let left = intervals.left(recorder.finish(at(1500)));
        let seen = left.iter().map(|one| (one.start, one.end, one.times[0].count()));
        assert_eq!(seen.collect::<Vec<_>>(), [(at(0), at(1000), 1), (at(1000), at(1500), 0)]);
    }

    #[test]
    fn a_reader_that_is_late_gets_a_longer_interval_and_loses_nothing() {
        let (mut recorder, intervals) = intervals();
        for second in 1..=3 {
            recorder.record([Some(MS), None]);
            intervals.ask();
            recorder.hand_over(at(1000 * second));
        }
        assert_eq!(taken(&intervals), Some((at(0), at(1000), [1, 0])));
        recorder.hand_over(at(3100));
        assert_eq!(taken(&intervals), Some((at(1000), at(3100), [2, 0])));
    }

    #[test]
    fn recording_goes_on_when_nobody_is_left_to_ask() {
        let (mut recorder, intervals) = intervals::<2>();
        intervals.ask();
        drop(intervals);
        recorder.hand_over(at(1000));
        recorder.record([Some(MS), None]);
        assert_eq!(recorder.finish(at(2000)).times[0].count(), 1);
    }
}
