//! What each kind of player made of a run's arrivals, as `run.json` holds it.

use serde::{Deserialize, Serialize};

/// All devices together, by the player that they might have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlayersRecord {
    /// The firmware's: no buffer, no concealment. The metrics of the run are its.
    pub xiaozhi: PlayoutRecord,
    /// A jitter buffer of one depth, with concealment.
    pub fixed: PlayoutRecord,
    /// That depth.
    pub fixed_depth_ms: f64,
    /// A jitter buffer that adapts, with concealment: a good client.
    pub adaptive: PlayoutRecord,
    /// What the indicative opinion score is not.
    pub mos_limits: String,
}

/// What one kind of player made of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlayoutRecord {
    /// Frames that were sent.
    pub frames_sent: u64,
    /// Frames that were played.
    pub frames_played: u64,
    /// Frames that were not answered.
    pub frames_lost: u64,
    /// Frames whose answer came too late.
    pub frames_late: u64,
    /// Frames whose answer found no room.
    pub frames_overflow: u64,
    /// Original audio that was played.
    pub played_s: f64,
    /// Audible gaps in a minute; `null` when nothing was played, as for those that follow.
    pub stutter_per_minute: Option<f64>,
    /// Gaps of 150 ms and more in a minute.
    pub interruptions_per_minute: Option<f64>,
    /// Share of the output that was not original.
    pub concealed_percent: Option<f64>,
    /// Share of the frames that were not played.
    pub effective_loss_percent: Option<f64>,
    /// The longest gap.
    pub longest_gap_ms: f64,
}
