//! What is noted of every send, of all calls together: by phase, and since the last hand-over.
//!
//! Belongs to the thread that paces. Nothing here waits, locks or allocates, and nothing grows with
//! the number of frames: see `answer_record`, its counterpart.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use measure::{Distribution, Metric, Quantity};
use protocol::Moment;

use super::interval::{Interval, IntervalRecorder};
use crate::schedule::PhaseTimes;

/// Nothing before this moment counts towards the largest lag: caches and pages are still cold.
pub const WARM_UP: Duration = Duration::from_secs(1);

/// The times of each interval, in the order of [`Interval::times`].
pub const SEND_TIMES: [Metric; 1] = [Metric::SendLag];

/// What was sent of the frames due within one phase.
#[derive(Clone, Debug)]
pub struct PhaseSends {
    /// Frames handed to the kernel.
    pub sent: u64,
    /// Of these, frames that each have their answer: those of devices that never stop to speak.
    pub awaited: u64,
    /// Send calls refused because the gateway's port is closed.
    pub refused: u64,
    /// Frames that the kernel did not take for another reason.
    pub failed: u64,
    /// From planned instant to send call.
    pub send_lag: Distribution,
}

impl PhaseSends {
    fn new() -> Self {
        Self {
            sent: 0,
            awaited: 0,
            refused: 0,
            failed: 0,
            send_lag: Distribution::new(Quantity::Time),
        }
    }
}

/// Notes sends.
pub struct SendRecorder {
    phases: PhaseTimes,
    sends: Vec<PhaseSends>,
    largest_lag: Duration,
    interval: IntervalRecorder<1>,
    sent: Arc<AtomicU64>,
    awaited: Arc<AtomicU64>,
}

impl SendRecorder {
    /// Nothing noted; frames sent are counted in `sent` as well, and those that have their answer in
    /// `awaited`, which nobody else writes.
    pub fn new(
        phases: PhaseTimes,
        interval: IntervalRecorder<1>,
        sent: Arc<AtomicU64>,
        awaited: Arc<AtomicU64>,
    ) -> Self {
        let sends = (0..phases.count()).map(|_| PhaseSends::new()).collect();
        Self { phases, sends, largest_lag: Duration::ZERO, interval, sent, awaited }
    }

    /// The kernel took a frame that was due then, this much later; each may have its answer.
    #[inline]
    pub fn sent(&mut self, due: Moment, lag: Duration, awaited: bool) {
        let phase = self.phase(due);
        let nanos = u64::try_from(lag.as_nanos()).unwrap_or(u64::MAX);
        phase.sent += 1;
        phase.awaited += u64::from(awaited);
        phase.send_lag.record(nanos);
        self.interval.record([Some(nanos)]);
        let sent = self.sent.load(Ordering::Relaxed);
        self.sent.store(sent + 1, Ordering::Relaxed);
        let before = self.awaited.load(Ordering::Relaxed);
        self.awaited.store(before + u64::from(awaited), Ordering::Relaxed);
        if due >= Moment::START + WARM_UP {
            self.largest_lag = self.largest_lag.max(lag);
        }
    }

    /// The kernel told that the gateway's port is closed.
    pub fn refused(&mut self, due: Moment) {
        self.phase(due).refused += 1;
    }

    /// The kernel did not take a frame.
    pub fn failed(&mut self, due: Moment) {
        self.phase(due).failed += 1;
    }

    fn phase(&mut self, due: Moment) -> &mut PhaseSends {
        &mut self.sends[self.phases.phase_at(due)]
    }

    /// Hands over what was noted until `now`, if somebody has asked.
    #[inline]
    pub fn hand_over(&mut self, now: Moment) {
        self.interval.hand_over(now);
    }

    /// The phases, the largest lag after [`WARM_UP`], and what was not handed over.
    pub fn finish(self, now: Moment) -> (Vec<PhaseSends>, Duration, Interval<1>) {
        (self.sends, self.largest_lag, self.interval.finish(now))
    }
}
