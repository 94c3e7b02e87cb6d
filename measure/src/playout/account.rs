//! One stream's account: what was played when, and so where its listener heard a gap.

use std::time::Duration;

use super::Playout;
use super::depths::Depths;

/// From this length on a run is a stutter, when the player conceals nothing.
pub const STUTTER_FROM: Duration = Duration::from_millis(40);
/// From this length on a run is a stutter, when the player conceals it.
pub const CONCEALED_STUTTER_FROM: Duration = Duration::from_millis(60);
/// Stutters with less than this between them are one.
pub const MERGED_BELOW: Duration = Duration::from_millis(100);
/// From this length on a run is an interruption.
pub const INTERRUPTION_FROM: Duration = Duration::from_millis(150);

/// What every player keeps of its stream.
#[derive(Clone, Debug)]
pub(super) struct Account {
    frame: Duration,
    conceals: bool,
    /// The first arrival: which frame, and when.
    first: Option<(u64, Duration)>,
    /// The last frame played; means something once one was.
    last_played: u64,
    pub(super) played: u32,
    pub(super) late: u32,
    pub(super) duplicate: u32,
    pub(super) overflow: u32,
    loss_runs: u32,
    stutters: u32,
    interruptions: u32,
    /// Output between frames: paused or concealed.
    filled: Duration,
    longest_gap: Duration,
    /// Where the last stutter ended.
    stutter_end: Option<Duration>,
    depths: Depths,
}

impl Account {
    /// # Panics
    /// For a frame of no length.
    pub(super) const fn new(frame: Duration, conceals: bool) -> Self {
        assert!(!frame.is_zero(), "a frame lasts for some time");
        Self {
            frame,
            conceals,
            first: None,
            last_played: 0,
            played: 0,
            late: 0,
            duplicate: 0,
            overflow: 0,
            loss_runs: 0,
            stutters: 0,
            interruptions: 0,
            filled: Duration::ZERO,
            longest_gap: Duration::ZERO,
            stutter_end: None,
            depths: Depths::new(),
        }
    }

    pub(super) fn frame(&self) -> Duration {
        self.frame
    }

    /// The length of so many frames.
    pub(super) fn span(&self, frames: u64) -> Duration {
        // Divisions of 128 bits cost more than all the rest of a player.
        Duration::from_nanos(self.frame_nanos().saturating_mul(frames))
    }

    /// The first arrival: which frame, and when.
    pub(super) fn first(&self) -> Option<(u64, Duration)> {
        self.first
    }

    /// A frame arrived for the first time.
    pub(super) fn arrived(&mut self, frame: u64, at: Duration) {
        self.first.get_or_insert((frame, at));
        let behind = u64::try_from(self.behind_ns(frame, at)).unwrap_or(0);
        self.depths.record(behind);
    }

    /// How far this instant is behind the one that the first arrival foretold for the frame: its
    /// transit time less that of the first. Below 0 when it is ahead.
    pub(super) fn behind_ns(&self, frame: u64, at: Duration) -> i64 {
        let (first, first_at) = self.first.unwrap_or((frame, at));
        let nanos = |span: Duration| i128::from(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
        let media = (i128::from(frame) - i128::from(first)) * i128::from(self.frame_nanos());
        let behind = nanos(at) - nanos(first_at) - media;
        i64::try_from(behind).unwrap_or(if behind < 0 { i64::MIN } else { i64::MAX })
    }

    fn frame_nanos(&self) -> u64 {
        u64::try_from(self.frame.as_nanos()).unwrap_or(u64::MAX)
    }

    /// A frame is played from `starts` on, when the output before it ended at `ended`.
    pub(super) fn plays(&mut self, frame: u64, ended: Duration, starts: Duration) {
        let missing = if self.played > 0 { frame - self.last_played - 1 } else { frame };
        self.loss_runs += u32::from(missing > 0);
        if self.played > 0 {
            self.gap(ended, starts, missing);
        }
        self.played += 1;
        self.last_played = frame;
    }

    /// The stream is over, and its output ended at `ended`.
    pub(super) fn finish(mut self, frames_sent: u64, ended: Duration) -> Playout {
        let heard = if self.played > 0 { self.last_played + 1 } else { 0 };
        let missing = frames_sent.saturating_sub(heard);
        self.loss_runs += u32::from(missing > 0);
        if self.played > 0 {
            self.gap(ended, ended + self.span(missing), missing);
        }
        let [played, late, overflow] = [self.played, self.late, self.overflow].map(u64::from);
        let (paused, concealed) = if self.conceals {
            (Duration::ZERO, self.filled)
        } else {
            (self.filled, Duration::ZERO)
        };
        Playout {
            frames_sent,
            frames_played: played,
            frames_lost: frames_sent.saturating_sub(played + late + overflow),
            frames_late: late,
            frames_duplicate: self.duplicate.into(),
            frames_overflow: overflow,
            loss_runs: self.loss_runs.into(),
            played: self.span(played),
            paused,
            concealed,
            stutters: self.stutters.into(),
            interruptions: self.interruptions.into(),
            longest_gap: self.longest_gap,
            depths: self.depths.counts(),
        }
    }

    /// Between two frames lie this stretch of output and so many frames that were skipped.
    fn gap(&mut self, starts: Duration, ends: Duration, skipped: u64) {
        if skipped == 0 && ends <= starts {
            // Frame after frame, as nearly always: nothing below would change.
            return;
        }
        let filled = ends.saturating_sub(starts);
        self.filled += filled;
        let length = filled.max(self.span(skipped));
        self.longest_gap = self.longest_gap.max(length);
        self.interruptions += u32::from(length >= INTERRUPTION_FROM);
        if length >= if self.conceals { CONCEALED_STUTTER_FROM } else { STUTTER_FROM } {
            let merged = self
                .stutter_end
                .is_some_and(|previous| starts.saturating_sub(previous) < MERGED_BELOW);
            self.stutters += u32::from(!merged);
            self.stutter_end = Some(ends);
        }
    }
}
