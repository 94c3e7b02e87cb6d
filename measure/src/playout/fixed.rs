//! A jitter buffer of one depth, with concealment.
//!
//! Frame n plays at arr₀ + depth + (n − n₀) × frame, where n₀ is the first frame that arrived and
//! arr₀ its arrival; it is late when it arrives after that instant. Missing frames are concealed, so
//! the output never stops nor shifts. A frame more than [`BUFFER_FRAMES`] ahead is dropped.

use std::time::Duration;

use super::account::Account;
use super::window::Window;
use super::{Fate, Playout};

/// How many frames the buffer holds.
pub const BUFFER_FRAMES: u64 = 512;

/// A player with a fixed buffer; below 512 bytes.
#[derive(Clone, Debug)]
pub struct Fixed {
    depth: Duration,
    account: Account,
    /// What arrived: from the cursor on it waits, before it tells late packets from duplicates.
    seen: Window<16>,
    /// The next frame to be played, or to be concealed.
    cursor: u64,
    /// When the last frame played ended.
    ended: Duration,
}

impl Fixed {
    /// A player before its first packet.
    ///
    /// # Panics
    /// For a frame of no length.
    pub const fn new(frame: Duration, depth: Duration) -> Self {
        Self {
            depth,
            account: Account::new(frame, true),
            seen: Window::new(),
            cursor: 0,
            ended: Duration::ZERO,
        }
    }

    /// A packet of this frame arrived; packets come in the order of their arrival.
    pub fn arrived(&mut self, frame: u64, at: Duration) -> Fate {
        if self.account.first().is_none() {
            let earlier = self.depth.as_nanos() / self.account.frame().as_nanos();
            self.cursor = frame.saturating_sub(u64::try_from(earlier).unwrap_or(u64::MAX));
        }
        while let Some(due) = self.due(self.cursor).filter(|due| *due < at) {
            self.play_next(due);
        }
        if frame >= self.cursor.saturating_add(BUFFER_FRAMES) {
            self.account.overflow += 1;
            return Fate::Overflow;
        }
        if !self.seen.insert(frame) {
            self.account.duplicate += 1;
            return Fate::Duplicate;
        }
        self.account.arrived(frame, at);
        if frame < self.cursor {
            self.account.late += 1;
            return Fate::Late;
        }
        Fate::Kept
    }

    /// When a frame plays; `None` before the first arrival.
    pub fn due(&self, frame: u64) -> Option<Duration> {
        let (first, at) = self.account.first()?;
        let ahead = self.account.span(frame.saturating_sub(first));
        let before = self.account.span(first.saturating_sub(frame));
        Some((at + self.depth + ahead).saturating_sub(before))
    }

    /// The account after so many frames were sent.
    pub fn finish(mut self, frames_sent: u64) -> Playout {
        while self.seen.newest().is_some_and(|newest| self.cursor <= newest) {
            let Some(due) = self.due(self.cursor) else { break };
            self.play_next(due);
        }
        self.account.finish(frames_sent, self.ended)
    }

    fn play_next(&mut self, due: Duration) {
        if self.seen.has(self.cursor) {
            self.account.plays(self.cursor, self.ended, due);
            self.ended = due + self.account.frame();
        }
        self.cursor += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{FRAME, delayed, ms, reference_stream, steady};
    use super::*;

    fn played(arrivals: &[(u64, Duration)], depth: Duration, sent: u64) -> Playout {
        let mut player = Fixed::new(FRAME, depth);
        for &(frame, at) in arrivals {
            player.arrived(frame, at);
        }
        player.finish(sent)
    }

    #[test]
    fn reference_stream_is_late_by_what_the_depth_lacks() {
        for (depth_ms, expected) in
            [(60, &[(3, ms(20)), (6, ms(60))][..]), (80, &[(6, ms(40))]), (120, &[])]
        {
            let mut player = Fixed::new(FRAME, ms(depth_ms));
            let mut late = Vec::new();
            for (frame, at) in reference_stream() {
                if player.arrived(frame, at) == Fate::Late {
                    late.push((frame, at.abs_diff(player.due(frame).unwrap())));
                }
            }
            assert_eq!(late, expected, "{depth_ms} ms");
            let playout = player.finish(10);
            assert_eq!(playout.frames_late, expected.len() as u64, "{depth_ms} ms");
            assert_eq!(playout.concealed, FRAME * u32::try_from(late.len()).unwrap());
            assert_eq!((playout.output(), playout.frames_lost), (ms(600), 0), "{depth_ms} ms");
        }
    }

    #[test]
    fn the_sufficient_depth_suffices() {
        let stream = delayed((0..200).map(|n| 20 + n * 37 % 151));
        for late_share in [0.0, 0.01, 0.05, 0.25] {
            let depth = played(&stream, ms(0), 200).sufficient_depth(late_share).unwrap();
            let enough = played(&stream, depth, 200);
            assert!(enough.effective_loss().unwrap() <= late_share, "{late_share}: {enough:?}");
            // A quarter less, the resolution, does not.
            let less = played(&stream, depth.mul_f64(0.75), 200);
            assert!(less.effective_loss().unwrap() > late_share, "{late_share}: {less:?}");
        }
    }

    #[test]
    fn a_steady_stream_is_faultless() {
        let playout = played(&steady(0..100), ms(0), 100);
        assert_eq!((playout.frames_played, playout.output()), (100, ms(6_000)));
        assert_eq!((playout.stutters, playout.concealed), (0, ms(0)));
    }

    #[test]
    fn one_lost_frame_of_20_ms_is_concealed_and_one_of_60_ms_is_heard() {
        for (frame_ms, stutters) in [(20, 0), (60, 1)] {
            let mut player = Fixed::new(ms(frame_ms), ms(60));
            for frame in (0..10).filter(|frame| *frame != 5) {
                player.arrived(frame, ms(frame * frame_ms));
            }
            let playout = player.finish(10);
            assert_eq!((playout.frames_lost, playout.stutters), (1, stutters), "{frame_ms} ms");
            assert_eq!((playout.concealed, playout.paused), (ms(frame_ms), ms(0)));
        }
    }

    #[test]
    fn a_stream_that_begins_out_of_order_keeps_what_is_in_time() {
        // Frame 1 comes first, at 100 ms; frame 0 plays 60 ms before it.
        let arrivals = [(1, ms(100)), (0, ms(110)), (2, ms(160))];
        for (depth_ms, played_frames, late) in [(60, 2, 1), (70, 3, 0)] {
            let playout = played(&arrivals, ms(depth_ms), 3);
            assert_eq!((playout.frames_played, playout.frames_late), (played_frames, late));
            assert_eq!((playout.stutters, playout.concealed), (0, ms(0)), "{depth_ms} ms");
        }
    }

    #[test]
    fn duplicates_and_frames_far_ahead_change_nothing() {
        let mut player = Fixed::new(FRAME, ms(60));
        for (frame, at, fate) in [
            (0, 20, Fate::Kept),
            (0, 30, Fate::Duplicate),
            (512, 40, Fate::Overflow),
            (511, 40, Fate::Kept),
            (1, 145, Fate::Late),
            (1, 150, Fate::Duplicate),
        ] {
            assert_eq!(player.arrived(frame, ms(at)), fate, "{frame} at {at}");
        }
        let playout = player.finish(513);
        assert_eq!((playout.frames_played, playout.frames_lost), (2, 509));
        assert_eq!(playout.longest_gap(), ms(60 * 510));
        assert!(size_of::<Fixed>() <= 512, "{} bytes", size_of::<Fixed>());
    }
}
