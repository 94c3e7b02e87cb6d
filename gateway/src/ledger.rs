//! What each worker notes about the frames that it ran: one ledger each, so that none waits for
//! another.
//!
//! A frame costs one lock that nobody else wants, and no allocation. Ledgers outlive the threads:
//! a worker that comes back goes on with the one of its number.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use platform::Clock;
use protocol::{MediaTimestamp, Moment, Ssrc};

use crate::autoscale::Tally;
use crate::telemetry::TimeHistogram;

/// The ledger of one worker.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Ledger(Mutex<Pages>);

#[derive(Debug, Default)]
struct Pages {
    /// Since the autoscaler looked.
    tally: Tally,
    totals: Totals,
    /// Since when it has the frame in its hands.
    in_hand: Option<Moment>,
    passages: Option<Passages>,
}

/// What a worker has done since the gateway started.
#[derive(Clone, Debug, Default)]
pub(crate) struct Totals {
    /// Frames run.
    pub(crate) frames: u64,
    /// How long it had them in its hands.
    pub(crate) busy: Duration,
    /// From arrival to the worker taking the frame; of those too late to be run, too.
    pub(crate) queue_delay: TimeHistogram,
    pub(crate) work: TimeHistogram,
    /// Both together.
    pub(crate) latency: TimeHistogram,
}

/// The way of one frame through the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passage {
    pub(crate) ssrc: Ssrc,
    pub(crate) timestamp: MediaTimestamp,
    /// The kernel received it.
    pub(crate) arrived: Moment,
    /// A worker took it.
    pub(crate) began: Moment,
    /// Its answer was ready to be sent; where there is none, as `ended`.
    pub(crate) ready: Moment,
    /// The worker was done with it.
    pub(crate) ended: Moment,
}

/// Passages kept for whoever reads them all.
#[derive(Debug, Default)]
struct Passages {
    kept: Vec<Passage>,
    /// For want of room.
    left_out: u64,
}

/// Passages kept between two readings: a second of 16,000 frames of one worker.
const KEPT: usize = 1 << 14;

impl Ledger {
    /// The worker has taken a frame that it will run.
    pub(crate) fn took(&self, began: Moment) {
        let mut pages = self.pages();
        // One that it panicked with was in its hands until now.
        if let Some(before) = pages.in_hand.replace(began) {
            pages.totals.busy += began.since(before);
        }
    }

    /// The worker has run a frame.
    pub(crate) fn ran(&self, passage: Passage) {
        let Passage { arrived, began, ended, .. } = passage;
        let (waited, worked) = (began.since(arrived), ended.since(began));
        let mut pages = self.pages();
        pages.tally.taken(waited);
        pages.tally.finished(worked, waited + worked);
        pages.in_hand = None;
        let totals = &mut pages.totals;
        totals.frames += 1;
        totals.busy += worked;
        totals.queue_delay.record(waited);
        totals.work.record(worked);
        totals.latency.record(waited + worked);
        pages.keep(passage);
    }

    /// The worker took a frame that had waited too long: `ready` and `ended` are when it began.
    pub(crate) fn timed_out(&self, passage: Passage) {
        let waited = passage.began.since(passage.arrived);
        let mut pages = self.pages();
        pages.tally.taken(waited);
        pages.totals.queue_delay.record(waited);
        pages.keep(passage);
    }

    /// Moves what has happened since the last time to the end of `tally`.
    pub(crate) fn take_tally(&self, tally: &mut Tally) {
        self.pages().tally.drain_into(tally);
    }

    /// What it has done until `now`, with what it is doing.
    pub(crate) fn totals(&self, now: Moment) -> Totals {
        let pages = self.pages();
        let mut totals = pages.totals.clone();
        totals.busy += pages.in_hand.map_or(Duration::ZERO, |began| now.since(began));
        totals
    }

    /// Writes the passages since the last time to `out`, 32 bytes each, and returns how many were
    /// left out. The first time there are none: nothing is kept until somebody reads.
    ///
    /// ```text
    /// offset  size  field      little endian
    /// 0       4     ssrc
    /// 4       4     timestamp  ms, as the device sent it
    /// 8       8     arrived    CLOCK_MONOTONIC, ns
    /// 16      8     queued     ns
    /// 24      8     worked     ns, until the answer was ready to be sent; all ones for a frame that
    ///                          waited too long and was not run
    /// ```
    pub(crate) fn write_passages(&self, clock: &Clock, out: &mut Vec<u8>) -> u64 {
        let next = Passages { kept: Vec::with_capacity(KEPT), left_out: 0 };
        let passages = self.pages().passages.replace(next).unwrap_or_default();
        for Passage { ssrc, timestamp, arrived, began, ready, .. } in passages.kept {
            out.extend(ssrc.get().to_le_bytes());
            out.extend(timestamp.as_millis().to_le_bytes());
            // Without sending: on loopback the other side has it before the call returns.
            let worked = if ready == began { Duration::MAX } else { ready.since(began) };
            for span in [clock.to_monotonic(arrived), began.since(arrived), worked] {
                out.extend(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX).to_le_bytes());
            }
        }
        passages.left_out
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().expect("nothing panics while it holds a ledger")
    }
}

impl Pages {
    fn keep(&mut self, passage: Passage) {
        if let Some(passages) = &mut self.passages {
            if passages.kept.len() < KEPT {
                passages.kept.push(passage);
            } else {
                passages.left_out += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passage(arrived_ms: u64) -> Passage {
        let at = |ms| Moment::from_millis(arrived_ms + ms);
        let (ssrc, timestamp) = (Ssrc::new(7), MediaTimestamp::from_millis(60));
        Passage { ssrc, timestamp, arrived: at(0), began: at(3), ready: at(5), ended: at(6) }
    }

    #[test]
    fn a_frame_run_is_in_every_account() {
        let ledger = Ledger::default();
        ledger.ran(passage(10));
        let late = passage(10);
        ledger.timed_out(Passage { began: late.arrived, ready: late.arrived, ..late });
        let (mut tally, totals) = (Tally::default(), ledger.totals(Moment::START));
        ledger.take_tally(&mut tally);
        assert_eq!((tally.frames_finished(), tally.work()), (1, Duration::from_millis(3)));
        assert_eq!(tally.queue_delay_min(), Some(Duration::ZERO), "also of the late");
        assert_eq!((totals.frames, totals.busy), (1, Duration::from_millis(3)));
        let counts = [&totals.queue_delay, &totals.work, &totals.latency].map(TimeHistogram::count);
        assert_eq!(counts, [2, 1, 1]);
    }

    #[test]
    fn a_worker_is_busy_with_what_it_has_in_hand_and_was_with_what_it_panicked() {
        let (ledger, at) = (Ledger::default(), Moment::from_millis);
        let busy_ms = |now| ledger.totals(at(now)).busy.as_millis();
        ledger.took(at(10));
        assert_eq!((busy_ms(10), busy_ms(14)), (0, 4));
        // It never said that it was done with that one.
        ledger.took(at(20));
        assert_eq!((busy_ms(20), busy_ms(25)), (10, 15));
        ledger.ran(passage(17));
        assert_eq!(busy_ms(99), 13, "3 ms more, and idle since");
    }

    #[test]
    fn a_frame_that_was_not_run_is_told_as_such() {
        let (ledger, clock, mut out) = (Ledger::default(), Clock::start(), Vec::new());
        ledger.write_passages(&clock, &mut out);
        let late = passage(10);
        ledger.timed_out(Passage { ready: late.began, ended: late.began, ..late });
        ledger.write_passages(&clock, &mut out);
        let word = |at: usize| u64::from_le_bytes(out[at..at + 8].try_into().unwrap());
        assert_eq!([word(16), word(24)], [3_000_000, u64::MAX]);
    }

    #[test]
    fn passages_are_kept_once_somebody_reads_and_up_to_a_bound() {
        let (ledger, clock, mut out) = (Ledger::default(), Clock::start(), Vec::new());
        ledger.ran(passage(1));
        assert_eq!((ledger.write_passages(&clock, &mut out), out.len()), (0, 0));
        for _ in 0..KEPT + 2 {
            ledger.ran(passage(10));
        }
        assert_eq!((ledger.write_passages(&clock, &mut out), out.len()), (2, KEPT * 32));
        let word = |at: usize| u64::from_le_bytes(out[at..at + 8].try_into().unwrap());
        assert_eq!(word(0), 60 << 32 | 7);
        let arrived = clock.to_monotonic(Moment::from_millis(10));
        assert_eq!(u128::from(word(8)), arrived.as_nanos());
        assert_eq!([word(16), word(24)], [3_000_000, 2_000_000]);
        ledger.ran(passage(10));
        out.clear();
        assert_eq!((ledger.write_passages(&clock, &mut out), out.len()), (0, 32));
    }
}
