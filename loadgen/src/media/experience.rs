//! What the person with the device would have experienced of one call: jitter, loss, playout.
//!
//! Fed with every answer in the order of arrival; constant memory. The media time of an answer is
//! that of the frame it answers, so a gateway that delays cannot hide it in its own timestamps.

use std::time::Duration;

use measure::jitter::{Ipdv, Rfc3550, StreamJitter};
use measure::loss::{FrameFates, LossRuns};
use measure::playout::{Adaptive, Fixed, Playout, Xiaozhi};
use measure::{Distribution, Quantity};
use protocol::Moment;

/// The depth of the fixed jitter buffer that is simulated beside the firmware's player: what
/// telephony starts with.
pub const FIXED_DEPTH: Duration = Duration::from_millis(120);

/// The account of one call.
pub(super) struct Experience {
    frame: Duration,
    jitter: StreamJitter,
    fates: FrameFates,
    xiaozhi: Xiaozhi,
    fixed: Fixed,
    adaptive: Adaptive,
}

/// What came out of one call.
#[derive(Clone, Debug)]
pub struct Experienced {
    /// Interarrival jitter; `None` for fewer than two answers.
    pub rfc3550: Option<Rfc3550>,
    /// Standard deviation of the gaps from those that were due.
    pub interarrival_sigma: Option<Duration>,
    /// Frames not answered, in rows.
    pub loss: LossRuns,
    /// What the firmware plays.
    pub xiaozhi: Playout,
    /// What a jitter buffer of [`FIXED_DEPTH`] plays.
    pub fixed: Playout,
    /// What a good client plays.
    pub adaptive: Playout,
}

impl Experience {
    /// Of a call with frames of this duration.
    pub(super) fn new(frame: Duration) -> Self {
        Self {
            frame,
            jitter: StreamJitter::new(),
            fates: FrameFates::new(),
            xiaozhi: Xiaozhi::new(frame),
            fixed: Fixed::new(frame, FIXED_DEPTH),
            adaptive: Adaptive::new(frame),
        }
    }

    /// The answer to `frame` arrived; returns its difference in delay to the one before, if it is
    /// the `first` answer to that frame.
    pub(super) fn arrived(&mut self, frame: u64, at: Moment, first: bool) -> Option<Ipdv> {
        let at = at.since_start();
        self.xiaozhi.arrived(frame, at);
        self.fixed.arrived(frame, at);
        self.adaptive.arrived(frame, at);
        if !first {
            return None;
        }
        self.fates.arrived(frame);
        let media = self.frame * u32::try_from(frame).unwrap_or(u32::MAX);
        self.jitter.arrived(media, at)
    }

    /// The call is over, with so many frames sent; the delay variation of its packets goes to `pdv`.
    pub(super) fn finish(self, frames_sent: u64, pdv: &mut Distribution) -> Experienced {
        debug_assert_eq!(pdv.quantity(), Quantity::Time);
        self.jitter.pour_pdv_into(pdv);
        Experienced {
            rfc3550: self.jitter.rfc3550(),
            interarrival_sigma: self.jitter.interarrival_sigma(),
            loss: self.fates.finish(frames_sent),
            xiaozhi: self.xiaozhi.finish(frames_sent),
            fixed: self.fixed.finish(frames_sent),
            adaptive: self.adaptive.finish(frames_sent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: Duration = Duration::from_millis(60);

    #[test]
    fn an_answer_counts_once_for_jitter_and_loss_and_each_time_for_the_player() {
        let mut experience = Experience::new(FRAME);
        let at = |frame: u64, late_ms: u64| Moment::from_millis(frame * 60 + late_ms);
        for (frame, late_ms, first) in
            [(0, 0, true), (1, 10, true), (1, 12, false), (2, 0, true), (4, 10, true)]
        {
            let ipdv = experience.arrived(frame, at(frame, late_ms), first);
            assert_eq!(ipdv.is_some(), first && frame > 0, "{frame}");
        }
        let mut pdv = Distribution::new(Quantity::Time);
        let heard = experience.finish(6, &mut pdv);
        assert_eq!(pdv.count(), 4);
        assert_eq!((heard.loss.lost(), heard.loss.runs(), heard.loss.longest_run()), (2, 2, 1));
        // Three differences of 10 ms: 10 (1 − (15/16)³).
        let jitter = heard.rfc3550.unwrap().last.as_secs_f64() * 1e3;
        assert!((jitter - 1.760).abs() < 1e-3, "{jitter} ms");
        for player in [&heard.xiaozhi, &heard.fixed, &heard.adaptive] {
            assert_eq!((player.frames_sent, player.frames_played, player.frames_lost), (6, 4, 2));
            assert_eq!(player.frames_duplicate, 1);
        }
    }
}
