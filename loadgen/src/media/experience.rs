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
pub(crate) struct Experience {
    frame: Duration,
    jitter: StreamJitter,
    fates: FrameFates,
    players: Players,
    /// Of talkspurts that are over; endless streams have none.
    before: Option<Box<Before>>,
}

struct Players {
    xiaozhi: Xiaozhi,
    fixed: Fixed,
    adaptive: Adaptive,
}

#[derive(Default)]
struct Before {
    loss: LossRuns,
    xiaozhi: Playout,
    fixed: Playout,
    adaptive: Playout,
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
    pub(crate) fn new(frame: Duration) -> Self {
        Self {
            frame,
            jitter: StreamJitter::new(),
            fates: FrameFates::new(),
            players: Players::new(frame),
            before: None,
        }
    }

    /// The answer to `frame` arrived; returns its difference in delay to the one before, if it is
    /// the `first` answer to that frame.
    pub(crate) fn arrived(&mut self, frame: u64, at: Moment, first: bool) -> Option<Ipdv> {
        let at = at.since_start();
        self.players.xiaozhi.arrived(frame, at);
        self.players.fixed.arrived(frame, at);
        self.players.adaptive.arrived(frame, at);
        if !first {
            return None;
        }
        self.fates.arrived(frame);
        let media = self.frame * u32::try_from(frame).unwrap_or(u32::MAX);
        self.jitter.arrived(media, at)
    }

    /// A talkspurt of so many frames is over, and another will begin with frame 0; the silence between
    /// them is nobody's fault. The delay variation of its packets goes to `pdv`.
    pub(crate) fn pause(&mut self, frames: u64, pdv: &mut Distribution) {
        let players = std::mem::replace(&mut self.players, Players::new(self.frame));
        let fates = std::mem::take(&mut self.fates);
        self.jitter.pause(pdv);
        self.before.get_or_insert_default().add(fates, players, frames);
    }

    /// The call is over, with so many frames sent since the last pause; the delay variation of its packets goes to `pdv`.
    pub(crate) fn finish(self, frames_sent: u64, pdv: &mut Distribution) -> Experienced {
        debug_assert_eq!(pdv.quantity(), Quantity::Time);
        self.jitter.pour_pdv_into(pdv);
        let mut all = self.before.unwrap_or_default();
        all.add(self.fates, self.players, frames_sent);
        let Before { loss, xiaozhi, fixed, adaptive } = *all;
        Experienced {
            rfc3550: self.jitter.rfc3550(),
            interarrival_sigma: self.jitter.interarrival_sigma(),
            loss,
            xiaozhi,
            fixed,
            adaptive,
        }
    }
}

impl Players {
    fn new(frame: Duration) -> Self {
        Self {
            xiaozhi: Xiaozhi::new(frame),
            fixed: Fixed::new(frame, FIXED_DEPTH),
            adaptive: Adaptive::new(frame),
        }
    }
}

impl Before {
    /// Adds a talkspurt of so many frames.
    fn add(&mut self, fates: FrameFates, players: Players, frames: u64) {
        self.loss.merge(&fates.finish(frames));
        self.xiaozhi.merge(&players.xiaozhi.finish(frames));
        self.fixed.merge(&players.fixed.finish(frames));
        self.adaptive.merge(&players.adaptive.finish(frames));
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

    /// Two speeches of ten frames, 30 s apart, the second one lacking a frame and 100 ms slower.
    #[test]
    fn a_pause_between_talkspurts_is_no_gap_and_no_jitter() {
        let mut experience = Experience::new(FRAME);
        let mut pdv = Distribution::new(Quantity::Time);
        for frame in 0..10 {
            experience.arrived(frame, Moment::from_millis(1000 + frame * 60), true);
        }
        experience.pause(10, &mut pdv);
        for frame in (0..10).filter(|frame| *frame != 4) {
            let ipdv = experience.arrived(frame, Moment::from_millis(31_100 + frame * 60), true);
            assert_eq!(ipdv.is_some(), frame > 0, "the first is compared with none");
        }
        let heard = experience.finish(10, &mut pdv);
        assert_eq!((pdv.count(), pdv.statistic(measure::Statistic::Max)), (19, Some(0.0)));
        assert_eq!(heard.rfc3550.unwrap().max, Duration::ZERO);
        assert_eq!((heard.loss.total(), heard.loss.lost()), (20, 1));
        let player = heard.xiaozhi;
        assert_eq!((player.frames_played, player.stutters, player.interruptions), (19, 1, 0));
        assert_eq!(player.longest_gap(), FRAME);
    }
}
