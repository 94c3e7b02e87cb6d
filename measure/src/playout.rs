//! What a device would have played of the frames that arrived, and what its listener heard.
//!
//! Three players, fed in the order of arrival and of constant size: [`Xiaozhi`] is what the firmware
//! does and so the truth for these devices, [`Fixed`] a jitter buffer of one depth, [`Adaptive`] a
//! good client. Each has `arrived(frame, at)`, where frame n has the media time n × frame duration,
//! and `finish(frames_sent)`, after which what never arrived is lost.
//!
//! - A stream is continuous and begins with its first arrival; frames that it began without are
//!   lost, but nobody hears them missing. Frames missing at its end are heard as silence.
//! - A **run** of non-original output lies between two frames that were played: the pause or the
//!   concealment, or the audio that was skipped, whichever is longer. A skipped frame thus counts
//!   whether the player fell silent or jumped.
//! - A **stutter** is a run of [`STUTTER_FROM`], with concealment of [`CONCEALED_STUTTER_FROM`];
//!   stutters closer than [`MERGED_BELOW`] are one. An **interruption** is a run of
//!   [`INTERRUPTION_FROM`]; these are not merged.
//!
//! Silence in the audio itself is not looked at: a run there counts as much as one in speech.
//! Sources: 150 ms is `kInterruptionLenMs` of WebRTC's `statistics_calculator.cc`; the other limits
//! are ours.

mod account;
pub mod adaptive;
mod depths;
pub mod fixed;
#[cfg(test)]
mod fixtures;
mod target;
mod window;
pub mod xiaozhi;

use std::time::Duration;

pub use account::{CONCEALED_STUTTER_FROM, INTERRUPTION_FROM, MERGED_BELOW, STUTTER_FROM};
pub use adaptive::Adaptive;
pub use fixed::Fixed;
pub use xiaozhi::{Gaps, Xiaozhi};

use depths::{BUCKETS, EDGES};

/// What becomes of a packet that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is played, now or later.
    Kept,
    /// It came too late for its place: after its instant, or after a later frame was played.
    Late,
    /// Its frame had arrived before, or it is too old to tell.
    Duplicate,
    /// There was no room for it.
    Overflow,
}

/// What was played, of one stream or of several together.
///
/// `frames_sent` = played + lost + late + overflow; the output is `played` + `paused` + `concealed`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Playout {
    /// Frames that were sent to the device.
    pub frames_sent: u64,
    /// Frames that were played.
    pub frames_played: u64,
    /// Frames that never arrived.
    pub frames_lost: u64,
    /// Frames that arrived too late to be played; on the firmware, behind a later frame.
    pub frames_late: u64,
    /// Packets whose frame had arrived before; none of them is a loss.
    pub frames_duplicate: u64,
    /// Frames that found the player's queue full.
    pub frames_overflow: u64,
    /// Runs of consecutive frames that were not played.
    pub loss_runs: u64,
    /// Media time played.
    pub played: Duration,
    /// Silence between frames, of players without concealment.
    pub paused: Duration,
    /// Output made up between frames, of players with concealment.
    pub concealed: Duration,
    /// Audible stutters.
    pub stutters: u64,
    /// Interruptions.
    pub interruptions: u64,
    longest_gap: Duration,
    /// Arrivals by how far they were behind the first one's schedule.
    depths: [u64; BUCKETS],
}

impl Playout {
    /// Adds another stream, played by the same kind of player.
    pub fn merge(&mut self, other: &Playout) {
        self.frames_sent += other.frames_sent;
        self.frames_played += other.frames_played;
        self.frames_lost += other.frames_lost;
        self.frames_late += other.frames_late;
        self.frames_duplicate += other.frames_duplicate;
        self.frames_overflow += other.frames_overflow;
        self.loss_runs += other.loss_runs;
        self.played += other.played;
        self.paused += other.paused;
        self.concealed += other.concealed;
        self.stutters += other.stutters;
        self.interruptions += other.interruptions;
        self.longest_gap = self.longest_gap.max(other.longest_gap);
        for (sum, count) in self.depths.iter_mut().zip(other.depths) {
            *sum += count;
        }
    }

    /// The length of the output: from the first frame's beginning to the stream's end.
    pub fn output(&self) -> Duration {
        self.played + self.paused + self.concealed
    }

    /// Stutters per minute of output; `None` when nothing was played.
    pub fn stutter_per_minute(&self) -> Option<f64> {
        self.per_minute(self.stutters)
    }

    /// Interruptions per minute of output; `None` when nothing was played.
    pub fn interruptions_per_minute(&self) -> Option<f64> {
        self.per_minute(self.interruptions)
    }

    /// The share of the output that was not original, made up or silent, as W3C's
    /// `concealedSamples` / `totalSamplesReceived` has it; `None` when nothing was played.
    pub fn concealed_ratio(&self) -> Option<f64> {
        let output = self.output();
        (!output.is_zero()).then(|| (self.paused + self.concealed).div_duration_f64(output))
    }

    /// The longest run of non-original output, on any of the streams.
    pub fn longest_gap(&self) -> Duration {
        self.longest_gap
    }

    /// The share of frames sent that were not played: lost, late or without room; `None` when none
    /// was sent.
    pub fn effective_loss(&self) -> Option<f64> {
        (self.frames_sent > 0).then(|| self.missing() as f64 / self.frames_sent as f64)
    }

    /// The mean length of a run of missing frames over the mean length that random loss of the same
    /// share p would give, 1 / (1 − p): G.107's `BurstR`. `None` without loss, and when nothing was
    /// played. Runs are within a stream; below 1 for losses that avoid each other.
    pub fn burst_ratio(&self) -> Option<f64> {
        let loss = self.effective_loss()?;
        (self.loss_runs > 0 && self.frames_played > 0)
            .then(|| self.missing() as f64 / self.loss_runs as f64 * (1.0 - loss))
    }

    /// The depth of a fixed buffer with which at most this share of the arrived frames would have
    /// been late; [`Fixed`] of that depth agrees.
    ///
    /// It is rounded up to 10 ms below 80 ms and to at most 25 % above. `None` when nothing arrived
    /// and when 2.56 s would not have sufficed.
    pub fn sufficient_depth(&self, late_share: f64) -> Option<Duration> {
        let arrived: u64 = self.depths.iter().sum();
        let mut late = arrived;
        EDGES.iter().zip(&self.depths).find_map(|(edge, count)| {
            late -= count;
            (arrived > 0 && late as f64 / arrived as f64 <= late_share).then_some(*edge)
        })
    }

    fn missing(&self) -> u64 {
        self.frames_lost + self.frames_late + self.frames_overflow
    }

    fn per_minute(&self, events: u64) -> Option<f64> {
        let minutes = self.output().as_secs_f64() / 60.0;
        (minutes > 0.0).then(|| events as f64 / minutes)
    }
}

#[cfg(test)]
mod tests {
    use super::fixtures::{FRAME, ms, steady};
    use super::*;

    /// The playout of a steady stream of these frames out of so many sent.
    fn heard(frames: impl IntoIterator<Item = u64>, sent: u64) -> Playout {
        let mut player = Xiaozhi::new(FRAME);
        for (frame, at) in steady(frames) {
            player.arrived(frame, at);
        }
        player.finish(sent)
    }

    #[test]
    fn without_a_stream_there_is_no_number() {
        let nothing = heard([], 0);
        assert_eq!(nothing, Playout::default());
        assert_eq!(nothing.effective_loss(), None);
        let unheard = heard([], 100);
        assert_eq!((unheard.frames_lost, unheard.effective_loss()), (100, Some(1.0)));
        assert_eq!(unheard.stutter_per_minute(), None);
        assert_eq!(unheard.concealed_ratio(), None);
        assert_eq!(unheard.burst_ratio(), None);
        assert_eq!(unheard.sufficient_depth(1.0), None);
    }

    #[test]
    fn rates_count_per_minute_of_output() {
        // 30 s with a hole of four frames.
        let playout = heard((0..500).filter(|frame| !(100..104).contains(frame)), 500);
        assert_eq!(playout.output(), Duration::from_secs(30));
        assert_eq!(playout.stutter_per_minute(), Some(2.0));
        assert_eq!(playout.interruptions_per_minute(), Some(2.0));
        assert_eq!(playout.longest_gap(), ms(240));
        assert_eq!(playout.concealed_ratio(), Some(0.008));
        assert_eq!(playout.effective_loss(), Some(0.008));
    }

    #[test]
    fn merging_pools_the_streams() {
        let mut pool = heard((0..10).filter(|frame| *frame != 4), 10);
        pool.merge(&heard(0..30, 30));
        assert_eq!((pool.frames_sent, pool.frames_played, pool.frames_lost), (40, 39, 1));
        assert_eq!((pool.output(), pool.longest_gap()), (ms(2_400), ms(60)));
        assert_eq!((pool.stutters, pool.effective_loss()), (1, Some(0.025)));
        assert_eq!(pool.sufficient_depth(0.0), Some(ms(0)));
        assert_eq!(pool.depths.iter().sum::<u64>(), 39);
    }

    #[test]
    fn streams_may_be_numbered_from_anywhere() {
        for first in [0, 1, 1 << 40] {
            let arrivals = || (0..100).filter(|n| *n != 50).map(|n| (first + n, ms(20 + 60 * n)));
            let (mut firmware, mut fixed) = (Xiaozhi::new(FRAME), Fixed::new(FRAME, ms(60)));
            let mut adaptive = Adaptive::new(FRAME);
            for (frame, at) in arrivals() {
                firmware.arrived(frame, at);
                fixed.arrived(frame, at);
                adaptive.arrived(frame, at);
            }
            let sent = first + 100;
            for playout in [firmware.finish(sent), fixed.finish(sent), adaptive.finish(sent)] {
                assert_eq!((playout.frames_played, playout.stutters), (99, 1), "{first}");
                assert_eq!((playout.frames_lost, playout.output()), (first + 1, ms(6_000)));
            }
        }
    }

    #[test]
    fn burst_ratio_is_1_for_random_loss() {
        // A two-state Markov chain has 1 / (p + q); deterministic stand-ins with its mean lengths:
        // runs of q⁻¹ lost after p⁻¹ received.
        for (received, lost, expected) in [(4, 4, 2.0), (9, 1, 0.9), (6, 2, 1.5)] {
            let period = received + lost;
            let frames = (0..period * 100).filter(|frame| frame % period < received);
            let seen = heard(frames, period * 100).burst_ratio().unwrap();
            assert!((seen - expected).abs() < 1e-9, "{received}/{lost}: {seen}");
        }
    }
}
