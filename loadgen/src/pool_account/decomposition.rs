//! Splits the way of a frame into its parts: generator, network, queue, work, return.
//!
//! ```text
//!  planned ──▶ sent ──▶ arrived ──▶ taken ──▶ done ──▶ answered
//!         generator   up       queue     work     back
//! ```
//! Planned, sent and answered are ours, arrived, taken and done the gateway's; both read
//! `CLOCK_MONOTONIC` of one host, and both place kernel stamps on it. The parts add up to the
//! response latency by construction; what is checked is that none is below zero, by more than the
//! clocks may disagree.

use std::time::Duration;

use measure::gateway_record::DecompositionRecord;
use protocol::Moment;

use crate::media::call::Journey;
use crate::telemetry::Passage;

/// What two clocks of one host may disagree by: the brackets in which both measure the wall clock.
const UNCERTAINTY_NS: i128 = 50_000;

/// The parts of one frame's way, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    pub(super) generator: u64,
    /// May be below zero by what two clocks disagree.
    pub(super) up: i64,
    pub(super) queue: u64,
    pub(super) work: u64,
    /// As `up`.
    pub(super) back: i64,
    pub(super) whole: u64,
    /// A part was below zero, by more than can be.
    contradiction: bool,
}

/// Sums of the parts of many frames.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Decomposition {
    frames: u64,
    contradictions: u64,
    generator: u128,
    up: i128,
    queue: u128,
    work: u128,
    back: i128,
    whole: u128,
}

impl Parts {
    /// `None` while the end of the way is not known, or its beginning not any more.
    pub(super) fn of(passage: &Passage, arrived: Moment, journey: &Journey) -> Option<Self> {
        let (generator, whole) = (journey.send_lag?, journey.latency?);
        let worked = passage.worked?;
        let at = |moment: Moment| i128::from(moment.as_nanos());
        let sent = at(journey.planned + generator);
        let done = at(arrived + passage.queued + worked);
        let (up, back) = (at(arrived) - sent, at(journey.planned + whole) - done);
        Some(Self {
            generator: nanos(generator),
            up: signed(up),
            queue: nanos(passage.queued),
            work: nanos(worked),
            back: signed(back),
            whole: nanos(whole),
            contradiction: up.min(back) < -UNCERTAINTY_NS,
        })
    }
}

impl Decomposition {
    pub(super) fn add(&mut self, parts: &Parts) {
        self.frames += 1;
        self.contradictions += u64::from(parts.contradiction);
        self.generator += u128::from(parts.generator);
        self.up += i128::from(parts.up);
        self.queue += u128::from(parts.queue);
        self.work += u128::from(parts.work);
        self.back += i128::from(parts.back);
        self.whole += u128::from(parts.whole);
    }

    pub(super) fn record(&self) -> Option<DecompositionRecord> {
        // Four decimals of a millisecond, as everywhere in the record.
        let rounded = |sum: f64| (sum / self.frames as f64 / 100.0).round() / 1e4;
        let (mean, signed) = (|sum: u128| rounded(sum as f64), |sum: i128| rounded(sum as f64));
        (self.frames > 0).then(|| DecompositionRecord {
            frames: self.frames,
            generator_ms: mean(self.generator),
            up_ms: signed(self.up),
            queue_ms: mean(self.queue),
            work_ms: mean(self.work),
            back_ms: signed(self.back),
            whole_ms: mean(self.whole),
            contradictions: self.contradictions,
        })
    }
}

fn signed(nanos: i128) -> i64 {
    i64::try_from(nanos).unwrap_or(i64::MAX)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::{MediaTimestamp, Ssrc};

    fn us(micros: u64) -> Duration {
        Duration::from_micros(micros)
    }

    fn passage(queued: u64, worked: u64) -> Passage {
        Passage {
            ssrc: Ssrc::new(1),
            timestamp: MediaTimestamp::from_millis(60),
            arrived: Duration::ZERO,
            queued: us(queued),
            worked: Some(us(worked)),
        }
    }

    /// Planned after a second, sent 100 µs late and answered 1 ms after the plan.
    fn journey() -> Journey {
        let planned = Moment::from_millis(1000);
        Journey { planned, send_lag: Some(us(100)), latency: Some(us(1000)) }
    }

    #[test]
    fn the_parts_add_up_to_the_whole() {
        let arrived = Moment::from_millis(1000) + us(130);
        let parts = Parts::of(&passage(200, 300), arrived, &journey()).unwrap();
        let ours = [parts.generator, parts.queue, parts.work];
        assert_eq!(ours, [100_000, 200_000, 300_000]);
        assert_eq!((parts.up, parts.back, parts.whole), (30_000, 370_000, 1_000_000));
        let mut sums = Decomposition::default();
        assert_eq!(sums.record(), None);
        (0..3).for_each(|_| sums.add(&parts));
        let record = sums.record().unwrap();
        assert_eq!((record.frames, record.contradictions), (3, 0));
        let sum = record.generator_ms + record.up_ms + record.queue_ms + record.work_ms;
        assert!((sum + record.back_ms - record.whole_ms).abs() < 1e-9, "{record:?}");
    }

    #[test]
    fn a_way_that_is_not_known_to_its_end_is_not_split() {
        let arrived = Moment::from_millis(1001);
        for unknown in
            [Journey { send_lag: None, ..journey() }, Journey { latency: None, ..journey() }]
        {
            assert_eq!(Parts::of(&passage(0, 0), arrived, &unknown), None);
        }
    }

    #[test]
    fn a_frame_that_arrives_before_it_was_sent_contradicts() {
        let contradicts = |arrived_us: u64, worked: u64| {
            let arrived = Moment::from_millis(1000) + us(arrived_us);
            Parts::of(&passage(0, worked), arrived, &journey()).unwrap().contradiction
        };
        assert!(!contradicts(100, 10));
        assert!(!contradicts(60, 10), "within what the clocks can be off");
        assert!(contradicts(40, 10), "60 µs before it was sent");
        assert!(contradicts(130, 950), "answered before it was done");
    }
}
