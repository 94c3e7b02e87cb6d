//! What is noted of every answer, of all calls together: by phase, and since the last hand-over.
//!
//! Belongs to the thread that reads. Nothing here waits, locks or allocates, and nothing grows with
//! the number of answers: `benches/benches/recording.rs` has its price, `loadgen/tests/allocation.rs`
//! keeps it free of allocations.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use measure::{Distribution, Metric, Quantity};
use protocol::Moment;

use super::call::Call;
use super::downlink::What;
use super::interval::{Interval, IntervalRecorder};
use crate::schedule::PhaseTimes;

/// The times of each interval, in the order of [`Interval::times`].
pub const ANSWER_TIMES: [Metric; 3] =
    [Metric::ResponseLatency, Metric::ServiceLatency, Metric::ReceiveLag];

/// Answers to frames that were due within one phase.
#[derive(Clone, Debug)]
pub struct PhaseArrivals {
    /// From planned instant to the kernel receiving the answer.
    pub response_latency: Distribution,
    /// From the send call to the kernel receiving the answer.
    pub service_latency: Distribution,
    /// From the kernel receiving the answer to this thread reading it.
    pub receive_lag: Distribution,
    /// Counts, each under its metric.
    pub counts: Vec<(Metric, u64)>,
}

/// Notes answers.
pub struct AnswerRecorder {
    phases: PhaseTimes,
    arrivals: Vec<PhaseArrivals>,
    counts: Vec<Counts>,
    ipdv: Distribution,
    interval: IntervalRecorder<3>,
    answered: Arc<AtomicU64>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    received: u64,
    speech: u64,
    reordered: u64,
    duplicate: u64,
    unmatched: u64,
    undecipherable: u64,
    wrong_duration: u64,
}

/// When a datagram was what.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// When the frame that it answers was planned; its arrival, where it answers none.
    pub planned: Moment,
    /// When the kernel received it.
    pub at: Moment,
    /// When it was read.
    pub read: Moment,
}

impl PhaseArrivals {
    fn new() -> Self {
        let times = || Distribution::new(Quantity::Time);
        Self {
            response_latency: times(),
            service_latency: times(),
            receive_lag: times(),
            counts: Vec::new(),
        }
    }
}

impl AnswerRecorder {
    /// Nothing noted; frames answered are counted in `answered` as well, which nobody else writes.
    pub fn new(
        phases: PhaseTimes,
        interval: IntervalRecorder<3>,
        answered: Arc<AtomicU64>,
    ) -> Self {
        Self {
            arrivals: (0..phases.count()).map(|_| PhaseArrivals::new()).collect(),
            counts: vec![Counts::default(); phases.count()],
            ipdv: Distribution::new(Quantity::Time),
            interval,
            answered,
            phases,
        }
    }

    /// Notes a datagram that `call` received.
    #[inline]
    pub fn note(&mut self, what: &What, times: Times, call: &Call) {
        let phase = self.phases.phase_at(times.planned);
        let counts = &mut self.counts[phase];
        match *what {
            What::Foreign => counts.unmatched += 1,
            What::Again => counts.duplicate += 1,
            What::Speech { reordered, ipdv } => {
                counts.speech += 1;
                counts.reordered += u64::from(reordered);
                if let Some(ipdv) = ipdv {
                    self.ipdv.record(nanos(ipdv.magnitude()));
                }
                let lag = nanos(times.read.since(times.at));
                self.arrivals[phase].receive_lag.record(lag);
                self.interval.record([None, None, Some(lag)]);
            }
            What::Answer { frame, reordered, ipdv } => {
                counts.received += 1;
                counts.reordered += u64::from(reordered);
                if let Some(ipdv) = ipdv {
                    self.ipdv.record(nanos(ipdv.magnitude()));
                }
                let latency = times.at.since(times.planned);
                let service = call.send_lag(frame).map(|lag| nanos(latency.saturating_sub(lag)));
                let (response, lag) = (nanos(latency), nanos(times.read.since(times.at)));
                let arrivals = &mut self.arrivals[phase];
                arrivals.response_latency.record(response);
                arrivals.receive_lag.record(lag);
                if let Some(service) = service {
                    arrivals.service_latency.record(service);
                }
                self.interval.record([Some(response), service, Some(lag)]);
                let answered = self.answered.load(Ordering::Relaxed);
                self.answered.store(answered + 1, Ordering::Relaxed);
            }
        }
    }

    /// Notes an answer to a frame planned then that is no Opus packet.
    pub fn undecipherable(&mut self, planned: Moment) {
        self.counts[self.phases.phase_at(planned)].undecipherable += 1;
    }

    /// Notes an answer to a frame planned then that holds more or less audio than was agreed.
    pub fn wrong_duration(&mut self, planned: Moment) {
        self.counts[self.phases.phase_at(planned)].wrong_duration += 1;
    }

    /// Hands over what was noted until `now`, if somebody has asked.
    #[inline]
    pub fn hand_over(&mut self, now: Moment) {
        self.interval.hand_over(now);
    }

    /// The phases, the differences in delay between neighbours, and what was not handed over.
    pub fn finish(mut self, now: Moment) -> (Vec<PhaseArrivals>, Distribution, Interval<3>) {
        for (arrivals, counts) in self.arrivals.iter_mut().zip(&self.counts) {
            arrivals.counts = vec![
                (Metric::FramesReceived, counts.received),
                (Metric::SpeechReceived, counts.speech),
                (Metric::FramesReordered, counts.reordered),
                (Metric::FramesDuplicate, counts.duplicate),
                (Metric::FramesUnmatched, counts.unmatched),
                (Metric::Undecipherable, counts.undecipherable),
                (Metric::WrongDuration, counts.wrong_duration),
            ];
        }
        (self.arrivals, self.ipdv, self.interval.finish(now))
    }
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}
