//! A good client: an adaptive jitter buffer with concealment, in the manner of WebRTC's `NetEq`.
//!
//! Frames play one after the other. When the next one is not there its place is concealed until it
//! comes, which lengthens the delay; a later frame that waits plays once those missing before it
//! have been concealed, and they are late when they come then. While the delay is below or above
//! what [`target`](Adaptive::target) asks for, each frame is stretched or shortened, inaudibly, by
//! up to a tenth; shortened only as far as the newest packet waits. The first frame plays 80 ms after its
//! arrival, as the target then is; with more than [`BUFFER_FRAMES`] waiting all are thrown away.
//!
//! Sources: WebRTC `decision_logic.h` (stretching by about 100 ms a second) and `.cc` (limits of the
//! delay), `neteq.h` (200 packets). Simplified: `NetEq` stretches by whole pitch periods, filters the
//! level of its buffer, and holds packets back after a long concealment.

use std::ops::Range;
use std::time::Duration;

use super::account::Account;
use super::target::Target;
use super::window::Window;
use super::{Fate, Playout};

/// How many frames the buffer holds.
pub const BUFFER_FRAMES: u64 = 200;

/// Frames are stretched below 3/4 of the target, and below what it exceeds this by.
const STRETCHED_BELOW: Duration = Duration::from_millis(85);
/// Frames are shortened above the target, and this above the limit of stretching.
const TOLERANCE: Duration = Duration::from_millis(20);
/// The largest change of a frame's length, as a part of it.
const CHANGED_PART: u32 = 10;

/// A player with an adaptive buffer; below 2 KiB.
#[derive(Clone, Debug)]
pub struct Adaptive {
    account: Account,
    target: Target,
    /// What arrived: from `next` on it waits, before it tells late packets from duplicates.
    seen: Window<16>,
    next: u64,
    /// When the last frame played ends.
    ends: Duration,
    /// The last arrival.
    now: Duration,
    /// How far the last arrival was behind the first one's schedule.
    newest_behind_ns: i64,
}

impl Adaptive {
    /// A player before its first packet.
    ///
    /// # Panics
    /// For a frame of no length.
    pub const fn new(frame: Duration) -> Self {
        Self {
            account: Account::new(frame, true),
            target: Target::new(),
            seen: Window::new(),
            next: 0,
            ends: Duration::ZERO,
            now: Duration::ZERO,
            newest_behind_ns: 0,
        }
    }

    /// A packet of this frame arrived; packets come in the order of their arrival.
    pub fn arrived(&mut self, frame: u64, at: Duration) -> Fate {
        self.play_until(at);
        if self.account.first().is_none() {
            (self.next, self.ends) = (frame, at + self.target.delay());
        } else if frame >= self.next.saturating_add(BUFFER_FRAMES) {
            self.flush(frame);
        }
        if !self.seen.insert(frame) {
            self.account.duplicate += 1;
            return Fate::Duplicate;
        }
        self.account.arrived(frame, at);
        self.newest_behind_ns = self.account.behind_ns(frame, at);
        self.target.arrived(self.newest_behind_ns, at);
        if frame < self.next {
            self.account.late += 1;
            return Fate::Late;
        }
        Fate::Kept
    }

    /// By how much the player would now like to be behind the best packet.
    pub fn target(&self) -> Duration {
        self.target.delay()
    }

    /// The account after so many frames were sent.
    pub fn finish(mut self, frames_sent: u64) -> Playout {
        self.play_until(Duration::MAX);
        self.account.finish(frames_sent, self.ends)
    }

    /// Plays what starts before `until`, the time of the next arrival.
    fn play_until(&mut self, until: Duration) {
        while let Some(frame) = self.to_come().find(|frame| self.seen.has(*frame)) {
            // What waits since the last arrival may have had to be waited for.
            let concealed = self.account.span(frame - self.next);
            let starts = self.now.max(self.ends + concealed);
            if starts >= until {
                break;
            }
            self.account.plays(frame, self.ends, starts);
            self.ends = starts + self.length(frame, starts);
            self.next = frame + 1;
        }
        self.now = until;
    }

    /// From the next frame to the newest that arrived.
    fn to_come(&self) -> Range<u64> {
        self.next..self.seen.newest().map_or(0, |newest| newest.saturating_add(1))
    }

    /// How long a frame lasts that starts at this instant.
    fn length(&self, frame: u64, starts: Duration) -> Duration {
        let (length, target) = (self.account.frame(), self.target.delay());
        let delay = self.target.relative(self.account.behind_ns(frame, starts));
        let low = (target * 3 / 4).max(target.saturating_sub(STRETCHED_BELOW));
        let most = length / CHANGED_PART;
        if delay < low {
            length + most.min(target.saturating_sub(delay))
        } else if delay >= target.max(low + TOLERANCE) {
            let waits = delay.saturating_sub(self.target.relative(self.newest_behind_ns));
            length.saturating_sub(most.min(delay.saturating_sub(target)).min(waits))
        } else {
            length
        }
    }

    /// Throws away all that waits; this frame is the next.
    fn flush(&mut self, frame: u64) {
        let lost = self.to_come().filter(|frame| self.seen.has(*frame)).count();
        self.account.overflow += u32::try_from(lost).expect("a window of frames");
        self.next = frame;
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{FRAME, delayed, ms, reference_stream, steady};
    use super::*;

    fn fed(arrivals: &[(u64, Duration)]) -> Adaptive {
        let mut player = Adaptive::new(FRAME);
        for &(frame, at) in arrivals {
            player.arrived(frame, at);
        }
        player
    }

    #[test]
    fn a_steady_stream_is_faultless() {
        let playout = fed(&steady(0..1_000)).finish(1_000);
        assert_eq!((playout.frames_played, playout.output()), (1_000, ms(60_000)));
        assert_eq!((playout.stutters, playout.concealed), (0, ms(0)));
    }

    #[test]
    fn reference_stream_conceals_what_80_ms_do_not_cover() {
        // 6 is due at 460 and comes at 500 ms; it is waited for and played.
        let playout = fed(&reference_stream()).finish(10);
        assert_eq!((playout.frames_played, playout.frames_late), (10, 0));
        assert_eq!((playout.concealed, playout.stutters), (ms(40), 0));
    }

    #[test]
    fn a_lost_frame_is_concealed_for_its_length_and_late_when_it_comes_then() {
        // Its successor is due at 460 ms: until then it may come.
        for (late_at, late, lost) in [(None, 0, 1), (Some(460), 0, 0), (Some(461), 1, 0)] {
            let mut arrivals = steady((0..10).filter(|frame| *frame != 5));
            arrivals.extend(late_at.map(|at| (5, ms(at))));
            arrivals.sort_by_key(|(_, at)| *at);
            let playout = fed(&arrivals).finish(10);
            assert_eq!((playout.frames_late, playout.frames_lost), (late, lost));
            assert_eq!((playout.concealed, playout.stutters), (ms(60), 1), "{late_at:?}");
            assert_eq!(playout.frames_played, 10 - late - lost, "{late_at:?}");
        }
    }

    #[test]
    fn a_hole_longer_than_the_delay_is_an_interruption() {
        for (hole_ms, interruptions) in [(70, 0), (250, 1)] {
            let transits = (0..10).map(|n| if n < 4 { 20 } else { 20 + hole_ms });
            let playout = fed(&delayed(transits)).finish(10);
            assert_eq!(playout.interruptions, interruptions, "{hole_ms} ms");
            assert_eq!(playout.concealed, ms(hole_ms.saturating_sub(80)), "{hole_ms} ms");
        }
    }

    #[test]
    fn the_target_rises_with_jitter_and_falls_afterwards() {
        let transit = |n| if (100..600).contains(&n) && n % 7 == 0 { 170 } else { 20 };
        let arrivals = delayed((0..2_300).map(transit));
        let targets = [100, 600, 2_300].map(|n| fed(&arrivals[..n]).target());
        assert_eq!(targets, [ms(20), ms(160), ms(20)]);
    }

    #[test]
    fn the_delay_follows_the_target() {
        let transit = |n| if n >= 100 && n % 7 == 0 { 170 } else { 20 };
        let concealed = |frames: usize| {
            fed(&delayed((0..1_000).map(transit))[..frames]).finish(frames as u64).concealed
        };
        let (calm, learning, learned) = (concealed(100), concealed(300), concealed(1_000));
        assert_eq!(calm, ms(0));
        assert!(learning > calm && learned == learning, "{learning:?}, {learned:?}");
    }

    #[test]
    fn the_delay_falls_with_the_target() {
        // Jitter of 150 ms long ago, and now one frame that is 100 ms late.
        let transit = |n| match n {
            100..600 if n % 7 == 0 => 170,
            2_300 => 120,
            _ => 20,
        };
        let concealed = |frames| fed(&delayed((0..frames).map(transit))).finish(frames).concealed;
        let at_once = concealed(2_302).saturating_sub(concealed(2_300));
        assert!(at_once > ms(50) && at_once < ms(100), "{at_once:?}");
    }

    #[test]
    fn a_full_buffer_is_thrown_away() {
        // The first one plays after 80 ms: 200 wait at once, and one more is one too many.
        for (frames, overflow) in [(200, 0), (201, 200)] {
            let burst: Vec<_> = (0..frames).map(|frame| (frame, ms(20))).collect();
            let playout = fed(&burst).finish(frames);
            assert_eq!(playout.frames_overflow, overflow);
            assert_eq!(playout.frames_played, frames - overflow);
        }
    }

    #[test]
    fn a_late_packet_after_the_end_makes_no_gap() {
        let mut arrivals = steady((0..10).filter(|frame| *frame != 5));
        arrivals.extend([(9, ms(60_000)), (5, ms(90_000))]);
        let playout = fed(&arrivals).finish(10);
        assert_eq!((playout.frames_late, playout.frames_duplicate), (1, 1));
        assert_eq!(playout.longest_gap(), ms(60));
    }

    #[test]
    fn it_stays_small() {
        assert!(size_of::<Adaptive>() <= 2_048, "{} bytes", size_of::<Adaptive>());
    }
}
