//! What was measured and what it is worth.
//!
//! [`metric`] names every metric and its unit; [`recorder`] collects samples in bounded memory;
//! [`validity`] judges whether a run may be believed; [`record`] is the run record, `run.json`.
//! [`balance`] and [`scaling`] judge a pool: how evenly it shared its work, how it followed its load.
//! Nothing here knows a socket, a clock or another crate of ours.

pub mod balance;
pub mod gateway_record;
pub mod metric;
pub mod record;
pub mod recorder;
pub mod scaling;
pub mod validity;

pub use metric::{Metric, Quantity};
pub use recorder::{Distribution, Statistic};
