//! What was measured and what it is worth.
//!
//! [`metric`] names every metric and its unit; [`recorder`] collects samples in bounded memory;
//! [`validity`] judges whether a run may be believed; [`record`] is the run record, `run.json`.
//! Nothing here knows a socket, a clock or another crate of ours.

pub mod metric;
pub mod record;
pub mod recorder;
pub mod validity;

pub use metric::{Metric, Quantity};
pub use recorder::{Distribution, Statistic};
