//! The firmware's player: no buffer, no concealment, and a late packet is a lost packet.
//!
//! A packet plays at once, or behind those that wait; when none waits the speaker falls silent. Only
//! packets above the last one received are taken, and at most 40 wait: the newest is dropped when
//! there are more. A missing frame is skipped: silence if nothing waits, a jump if something does.
//! Source: 78/xiaozhi-esp32, `main/audio/audio_service.h` and `main/protocols/mqtt_protocol.cc`.
//!
//! Absent: decoding takes no time, and the two decoded frames that the firmware keeps ahead of its
//! speaker are none; it takes in up to 120 ms more of a burst than we do.

use std::time::Duration;

use super::account::{Account, STUTTER_FROM};
use super::window::Window;
use super::{Fate, Playout};

/// How many packets may wait (2,400 ms of 60 ms frames), besides the one that plays.
const QUEUE_PACKETS: u32 = 40;

/// What the firmware plays; below 300 bytes.
#[derive(Clone, Debug)]
pub struct Xiaozhi {
    account: Account,
    /// What arrived, played or not; tells late packets from duplicates.
    seen: Window<2>,
    speaker: Speaker,
}

impl Xiaozhi {
    /// A device before its first packet.
    ///
    /// # Panics
    /// For a frame of no length.
    pub const fn new(frame: Duration) -> Self {
        Self {
            account: Account::new(frame, false),
            seen: Window::new(),
            speaker: Speaker { silent_from: Duration::ZERO },
        }
    }

    /// A packet of this frame arrived; packets come in the order of their arrival.
    pub fn arrived(&mut self, frame: u64, at: Duration) -> Fate {
        let overtaken = self.seen.newest().is_some_and(|newest| frame < newest);
        if !self.seen.insert(frame) {
            self.account.duplicate += 1;
            return Fate::Duplicate;
        }
        self.account.arrived(frame, at);
        if overtaken {
            self.account.late += 1;
            return Fate::Late;
        }
        let Some((ended, starts)) = self.speaker.play(self.account.frame(), at) else {
            self.account.overflow += 1;
            return Fate::Overflow;
        };
        self.account.plays(frame, ended, starts);
        Fate::Kept
    }

    /// The account after so many frames were sent.
    pub fn finish(self, frames_sent: u64) -> Playout {
        self.account.finish(frames_sent, self.speaker.silent_from)
    }
}

/// The gaps in what is played of one stream, each as it ends: those that are heard as a stutter.
#[derive(Clone, Debug)]
pub struct Gaps(Xiaozhi);

impl Gaps {
    /// A device before its first packet.
    ///
    /// # Panics
    /// For a frame of no length.
    pub const fn new(frame: Duration) -> Self {
        Self(Xiaozhi::new(frame))
    }

    /// A packet of this frame arrived, in the order of arrival: how long the gap was that it ended, if
    /// it did.
    pub fn arrived(&mut self, frame: u64, at: Duration) -> Option<Duration> {
        let silent_from = self.0.speaker.silent_from;
        let gap = at.saturating_sub(silent_from);
        let kept = self.0.arrived(frame, at) == Fate::Kept;
        (kept && !silent_from.is_zero() && gap >= STUTTER_FROM).then_some(gap)
    }
}

/// Plays what it is given, one after the other.
#[derive(Clone, Debug)]
struct Speaker {
    /// When all that it was given has been played.
    silent_from: Duration,
}

impl Speaker {
    /// Appends a frame: when the output before it ended and when it starts. `None` when too many
    /// wait.
    fn play(&mut self, frame: Duration, at: Duration) -> Option<(Duration, Duration)> {
        // One packet plays, of which some may be left; the others wait whole.
        let unplayed = self.silent_from.saturating_sub(at);
        (unplayed <= frame * QUEUE_PACKETS).then(|| {
            let ended = self.silent_from;
            let starts = ended.max(at);
            self.silent_from = starts + frame;
            (ended, starts)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{FRAME, delayed, ms, reference_stream, steady};
    use super::*;

    /// The playout, and the frames that met each fate but being kept.
    fn played(arrivals: &[(u64, Duration)], sent: u64) -> (Playout, Vec<(u64, Fate)>) {
        let mut player = Xiaozhi::new(FRAME);
        let fates = arrivals.iter().map(|&(frame, at)| (frame, player.arrived(frame, at)));
        let dropped = fates.filter(|(_, fate)| *fate != Fate::Kept).collect();
        (player.finish(sent), dropped)
    }

    /// The pauses between frames that a speaker plays as they come, in whatever order.
    fn pauses(arrivals: impl IntoIterator<Item = Duration>) -> Vec<Duration> {
        let mut speaker = Speaker { silent_from: ms(20) };
        let played = arrivals.into_iter().filter_map(|at| speaker.play(FRAME, at));
        let pauses = played.map(|(ended, starts)| starts.saturating_sub(ended));
        pauses.filter(|pause| !pause.is_zero()).collect()
    }

    #[test]
    fn reference_stream_loses_what_was_overtaken() {
        let (playout, dropped) = played(&reference_stream(), 10);
        assert_eq!(dropped, [(3, Fate::Late), (6, Fate::Late)]);
        assert_eq!((playout.frames_played, playout.frames_late, playout.frames_lost), (8, 2, 0));
        assert_eq!((playout.paused, playout.longest_gap()), (ms(120), ms(60)));
        assert_eq!((playout.stutters, playout.interruptions), (2, 0));
        assert_eq!(playout.effective_loss(), Some(0.2));
        for (late_share, depth) in [(0.0, 120), (0.1, 80), (0.2, 0)] {
            assert_eq!(playout.sufficient_depth(late_share), Some(ms(depth)), "{late_share}");
        }
    }

    #[test]
    fn gaps_are_those_that_the_account_counts() {
        let stream = reference_stream();
        let (playout, _) = played(&stream, 10);
        let gaps = |arrivals: &[(u64, Duration)]| -> Vec<Duration> {
            let mut gaps = Gaps::new(FRAME);
            arrivals.iter().filter_map(|&(frame, at)| gaps.arrived(frame, at)).collect()
        };
        let audible = gaps(&stream);
        assert_eq!(audible.len() as u64, playout.stutters);
        assert_eq!(audible.into_iter().max(), Some(playout.longest_gap()));
        assert_eq!(gaps(&steady(0..100)), []);
    }

    #[test]
    fn reference_stream_pauses() {
        let all = reference_stream();
        let in_order = all.iter().filter(|(frame, _)| ![3, 6].contains(frame));
        assert_eq!(pauses(in_order.map(|(_, at)| *at)), [ms(60), ms(60)]);
        // If reordering were accepted:
        assert_eq!(pauses(all.iter().map(|(_, at)| *at)), [ms(60)]);
    }

    #[test]
    fn a_steady_stream_is_faultless() {
        let (playout, dropped) = played(&steady(0..100), 100);
        assert_eq!(dropped, []);
        assert_eq!((playout.frames_played, playout.played), (100, ms(6_000)));
        assert_eq!(playout.output(), playout.played);
        assert_eq!((playout.stutters, playout.interruptions), (0, 0));
        assert_eq!((playout.longest_gap(), playout.loss_runs), (ms(0), 0));
        assert_eq!((playout.effective_loss(), playout.burst_ratio()), (Some(0.0), None));
    }

    #[test]
    fn one_lost_frame_is_one_stutter() {
        let (playout, _) = played(&steady((0..10).filter(|frame| *frame != 5)), 10);
        assert_eq!((playout.frames_lost, playout.stutters, playout.interruptions), (1, 1, 0));
        assert_eq!((playout.paused, playout.longest_gap()), (ms(60), ms(60)));
    }

    #[test]
    fn a_jump_is_heard_though_nothing_pauses() {
        // Everything at once, and one frame never.
        let burst: Vec<_> = [0, 1, 2, 4, 5].map(|frame| (frame, ms(20))).into();
        let (playout, _) = played(&burst, 6);
        assert_eq!((playout.stutters, playout.paused, playout.longest_gap()), (1, ms(0), ms(60)));
    }

    #[test]
    fn short_pauses_are_no_stutter() {
        for (delay_ms, stutters) in [(39, 0), (40, 1)] {
            let (playout, _) = played(&delayed([20, 20, 20 + delay_ms, 20 + delay_ms]), 4);
            assert_eq!((playout.paused, playout.stutters), (ms(delay_ms), stutters), "{delay_ms}");
        }
    }

    #[test]
    fn a_hole_of_200_ms_is_one_interruption() {
        let (playout, _) = played(&delayed([20, 20, 20, 220, 220, 220]), 6);
        assert_eq!((playout.interruptions, playout.stutters), (1, 1));
        assert_eq!((playout.longest_gap(), playout.frames_played), (ms(200), 6));
    }

    #[test]
    fn close_stutters_are_one() {
        for (lost, stutters) in [([3, 5], 1), ([3, 6], 2)] {
            let (playout, _) = played(&steady((0..10).filter(|frame| !lost.contains(frame))), 10);
            assert_eq!((playout.stutters, playout.loss_runs), (stutters, 2), "{lost:?}");
        }
    }

    #[test]
    fn a_burst_of_50_finds_room_for_41() {
        let burst: Vec<_> = (0..50).map(|frame| (frame, ms(20))).collect();
        let (playout, dropped) = played(&burst, 50);
        assert_eq!(dropped, (41..50).map(|frame| (frame, Fate::Overflow)).collect::<Vec<_>>());
        assert_eq!((playout.frames_overflow, playout.frames_lost), (9, 0));
        // The frame that follows has room again once one was played: 60 ms later, not before.
        for (after_ms, fate) in [(59, Fate::Overflow), (60, Fate::Kept)] {
            let mut arrivals = burst.clone();
            arrivals.push((50, ms(20 + after_ms)));
            let (_, dropped) = played(&arrivals, 51);
            assert_eq!(dropped.contains(&(50, fate)), fate == Fate::Overflow, "{after_ms}");
        }
    }

    #[test]
    fn duplicates_are_no_loss() {
        let mut arrivals = steady(0..5);
        arrivals.insert(3, (2, ms(150)));
        arrivals.push((4, ms(270)));
        arrivals.push((0, ms(280)));
        let (playout, dropped) = played(&arrivals, 5);
        assert_eq!(dropped, [2, 4, 0].map(|frame| (frame, Fate::Duplicate)));
        assert_eq!((playout.frames_duplicate, playout.frames_played), (3, 5));
        assert_eq!((playout.effective_loss(), playout.stutters), (Some(0.0), 0));
    }

    #[test]
    fn a_late_frame_that_comes_twice_is_late_once() {
        let mut arrivals = reference_stream();
        arrivals.push((3, ms(570)));
        let (playout, _) = played(&arrivals, 10);
        assert_eq!((playout.frames_late, playout.frames_duplicate), (2, 1));
    }

    #[test]
    fn a_stream_has_no_gap_before_its_first_frame_but_one_at_its_end() {
        let (playout, _) = played(&steady(10..20), 25);
        assert_eq!((playout.frames_lost, playout.loss_runs), (15, 2));
        assert_eq!((playout.stutters, playout.interruptions, playout.paused), (1, 1, ms(300)));
    }

    #[test]
    fn depths_count_from_the_first_arrival() {
        let (playout, _) = played(&[(10, ms(700)), (11, ms(790)), (12, ms(790))], 13);
        for (late_share, depth) in [(0.0, 30), (0.34, 0)] {
            assert_eq!(playout.sufficient_depth(late_share), Some(ms(depth)), "{late_share}");
        }
    }

    #[test]
    fn it_stays_small() {
        assert!(size_of::<Xiaozhi>() <= 300, "{} bytes", size_of::<Xiaozhi>());
    }
}
