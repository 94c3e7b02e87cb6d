//! What was measured and what it is worth.
//!
//! [`metric`] names every metric and its unit; [`recorder`] collects samples in bounded memory;
//! [`validity`] judges whether a run may be believed, [`noise_floor`] which limits a host can hold;
//! [`record`] is the run record, `run.json`, and [`interval_log`] the distributions second by
//! second, `histograms.hlog`.
//! [`jitter`], [`loss`] and [`reordering`] follow the answers of one call in constant memory.
//! [`balance`] and [`scaling`] judge a pool: how evenly it shared its work, how it followed its load.
//! [`playout`] is what a device would have played, and [`voice_quality`] what that is worth.
//! [`heard`] compares what was heard of an incident with what is heard when it is played again.
//! [`paired`] compares two settings by pairs of runs, [`search`] looks for the most load that is met.
//! Nothing here knows a socket, a clock or another crate of ours.

pub mod balance;
pub mod change_points;
pub mod gateway_record;
pub mod heard;
pub mod host;
pub mod interval_log;
pub mod jitter;
pub mod loss;
pub mod metric;
pub mod noise_floor;
pub mod paired;
pub mod per_device;
pub mod playout;
pub mod playout_record;
pub mod progress_record;
pub mod record;
pub mod recorder;
pub mod reordering;
pub mod scalability;
pub mod scaling;
pub mod search;
pub mod validity;
pub mod voice_quality;

pub use metric::{Metric, Quantity};
pub use recorder::{Distribution, Statistic};
