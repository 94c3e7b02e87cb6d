//! What a scaling policy decided, why, and what it saw.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::view::PoolView;

/// The number of workers that there should be.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// Workers serving or starting when it was made.
    pub from: usize,
    /// Workers that should be serving or starting.
    pub target: usize,
    /// Why.
    pub reason: Reason,
    /// What the policy looked at.
    pub saw: Saw,
}

/// Which way the pool goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// More workers.
    Up,
    /// Fewer workers.
    Down,
}

/// Why a pool grows, shrinks or stays. [`code`](Self::code) is for tools, `Display` for people.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    /// Stays: the policy is `fixed`.
    Fixed,
    /// Stays: the policy only gathers until its next check.
    NotDue,
    /// Stays: nothing calls for a change.
    Steady,
    /// Stays: it would change, but a cool-down or window lasts on.
    CoolingDown {
        /// For how long.
        left: Duration,
    },
    /// Stays: it would grow, but may not.
    AtMaximum,
    /// Stays: the workers that would help are starting.
    Starting,
    /// Grows: mean pending per worker over 5 is above the limit, both in percent.
    Load {
        /// The load.
        percent: f64,
        /// Its limit.
        limit_percent: f64,
    },
    /// Grows: the mean processor time, in percent of one core, is above the limit.
    Cpu {
        /// The mean of the samples.
        percent: f64,
        /// Its limit.
        limit_percent: f64,
    },
    /// Grows: the largest latency is above the limit.
    Latency {
        /// The largest of the samples.
        max: Duration,
        /// Its limit.
        limit: Duration,
    },
    /// Grows: more frames are pending than the workers should have.
    Pending {
        /// How many are.
        frames: usize,
        /// How many may be.
        limit: usize,
    },
    /// Grows: work arrives for more workers.
    Demand {
        /// For how many, as a real number.
        workers: f64,
    },
    /// Grows: the queue never emptied.
    QueueDelay {
        /// The smallest queue delay.
        min: Duration,
        /// Its limit.
        limit: Duration,
    },
    /// Grows: fewer workers than the minimum.
    BelowMinimum,
    /// Shrinks: load, processor time and latency are low and nothing is pending.
    Idle,
    /// Shrinks: fewer workers would have been enough all through the window.
    RecentDemand {
        /// The most that were needed in the window, as a real number.
        workers: f64,
    },
    /// Shrinks: more workers than the maximum.
    AboveMaximum,
}

/// The numbers behind a decision, as records hold them; what a policy does not look at is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Saw {
    /// Workers that took work.
    pub serving: usize,
    /// Workers on their way.
    pub starting: usize,
    /// Workers that finished what they had.
    pub draining: usize,
    /// Frames accepted and not yet answered.
    pub pending: usize,
    /// How long the oldest waiting frame had waited.
    pub oldest_wait_ms: f64,
    /// Production's load: mean pending per worker over 5, in percent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub load_percent: Option<f64>,
    /// Mean processor time in percent of one core, over the last 100 samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_percent: Option<f64>,
    /// Largest latency of the last 100 samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_max_ms: Option<f64>,
    /// Smallest queue delay since the check before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_delay_min_ms: Option<f64>,
    /// Smoothed arrival rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub arrivals_per_s: Option<f64>,
    /// Smoothed work per frame.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub work_per_frame_ms: Option<f64>,
    /// Workers that rate and work call for, as a real number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workers_needed: Option<f64>,
}

impl Decision {
    /// All stays as it is.
    pub(super) fn hold(view: &PoolView, reason: Reason) -> Self {
        Self { from: view.active(), target: view.active(), reason, saw: Saw::at(view) }
    }

    /// Which way the pool has to go; `None` when it stays.
    pub fn direction(&self) -> Option<Direction> {
        match self.target {
            more if more > self.from => Some(Direction::Up),
            fewer if fewer < self.from => Some(Direction::Down),
            _ => None,
        }
    }
}

impl fmt::Display for Decision {
    /// A sentence: `2 to 3 workers: the largest latency is 54.0 ms, over 50.0 ms`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.direction() {
            Some(_) => write!(f, "{} to {} workers: {}", self.from, self.target, self.reason),
            None => write!(f, "{} workers stay: {}", self.from, self.reason),
        }
    }
}

impl Saw {
    pub(super) fn at(view: &PoolView) -> Self {
        Self {
            serving: view.serving,
            starting: view.starting,
            draining: view.draining,
            pending: view.pending(),
            oldest_wait_ms: millis(view.oldest_wait),
            ..Self::default()
        }
    }
}

pub(super) fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

impl Reason {
    /// The stable name in metrics and records.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::NotDue => "not-due",
            Self::Steady => "steady",
            Self::CoolingDown { .. } => "cooling-down",
            Self::AtMaximum => "at-maximum",
            Self::Starting => "starting",
            Self::Load { .. } => "load",
            Self::Cpu { .. } => "cpu",
            Self::Latency { .. } => "latency",
            Self::Pending { .. } => "pending",
            Self::Demand { .. } => "demand",
            Self::QueueDelay { .. } => "queue-delay",
            Self::BelowMinimum => "below-minimum",
            Self::Idle => "idle",
            Self::RecentDemand { .. } => "recent-demand",
            Self::AboveMaximum => "above-maximum",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fixed => f.write_str("their number is fixed"),
            Self::NotDue => f.write_str("the next check is not due"),
            Self::Steady => f.write_str("nothing calls for a change"),
            Self::CoolingDown { left } => {
                write!(f, "cooling down for another {:.1} s", left.as_secs_f64())
            }
            Self::AtMaximum => f.write_str("more are called for, but there is a maximum"),
            Self::Starting => f.write_str("more are starting"),
            Self::Load { percent, limit_percent } => {
                write!(f, "the load is {percent:.0} %, over {limit_percent:.0} %")
            }
            Self::Cpu { percent, limit_percent } => {
                write!(f, "the mean CPU is {percent:.1} %, over {limit_percent:.0} %")
            }
            Self::Latency { max, limit } => {
                let (max, limit) = (millis(*max), millis(*limit));
                write!(f, "the largest latency is {max:.1} ms, over {limit:.1} ms")
            }
            Self::Pending { frames, limit } => {
                write!(f, "{frames} frames are pending, over {limit}")
            }
            Self::Demand { workers } => write!(f, "work arrives for {workers:.2} workers"),
            Self::QueueDelay { min, limit } => {
                let (min, limit) = (millis(*min), millis(*limit));
                write!(f, "every frame waited at least {min:.1} ms, over {limit:.1} ms")
            }
            Self::BelowMinimum => f.write_str("there is a minimum"),
            Self::Idle => f.write_str("load, CPU and latency are low and nothing is pending"),
            Self::RecentDemand { workers } => {
                write!(f, "work has lately arrived for at most {workers:.2} workers")
            }
            Self::AboveMaximum => f.write_str("there is a maximum"),
        }
    }
}
