//! Decides how many workers there should be.
//!
//! A policy is pure: time and a [`PoolView`] go in, a [`Decision`] comes out; no thread, no clock,
//! no pool. Whoever drives it asks every [`TICK`], whatever the policy: each policy keeps its own
//! pace and only gathers in between. The pool does what is decided and shows the result in its
//! next view; a worker that could not be started is simply asked for again.
//!
//! Whatever the policy says, a count outside the bounds is put right first.

mod decision;
mod production;
mod queue_delay;
mod settings;
#[cfg(test)]
mod simulation;
mod view;

use std::time::Duration;

use protocol::Moment;

pub use decision::{Decision, Direction, Reason, Saw};
pub use settings::{AutoscaleError, AutoscaleSettings, Policy, UnknownPolicy};
pub use view::{PoolView, SAMPLES, Tally};

use production::Production;
use queue_delay::QueueDelay;

/// How often [`Autoscaler::decide`] is to be called.
pub const TICK: Duration = Duration::from_millis(100);

/// A policy at work, with what it remembers.
#[derive(Clone, Debug)]
pub struct Autoscaler {
    bounds: Bounds,
    policy: Working,
}

#[derive(Clone, Debug)]
enum Working {
    Fixed,
    Production(Production),
    QueueDelay(QueueDelay),
}

/// The fewest and the most workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    min: usize,
    max: usize,
}

impl Autoscaler {
    /// A policy that has seen nothing yet. The settings have been checked.
    pub fn new(settings: &AutoscaleSettings) -> Self {
        let bounds = Bounds { min: settings.min, max: settings.max() };
        let policy = match settings.policy {
            Policy::Fixed => Working::Fixed,
            Policy::Production | Policy::ProductionExtreme => {
                Working::Production(Production::new(settings, bounds))
            }
            Policy::QueueDelay => Working::QueueDelay(QueueDelay::new(settings, bounds)),
        };
        Self { bounds, policy }
    }

    /// How many workers there should be now. `now` never goes back from call to call.
    pub fn decide(&mut self, now: Moment, view: &PoolView) -> Decision {
        let decision = match &mut self.policy {
            Working::Fixed => Decision::hold(view, Reason::Fixed),
            Working::Production(policy) => policy.decide(now, view),
            Working::QueueDelay(policy) => policy.decide(now, view),
        };
        let Bounds { min, max } = self.bounds;
        match view.active() {
            few if few < min => Decision { target: min, reason: Reason::BelowMinimum, ..decision },
            many if many > max => {
                Decision { target: max, reason: Reason::AboveMaximum, ..decision }
            }
            _ => decision,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_puts_a_count_outside_its_bounds_right_at_once() {
        for policy in Policy::ALL {
            let settings = AutoscaleSettings { policy, ..AutoscaleSettings::default() };
            let max = settings.max();
            for (serving, target, reason) in
                [(0, 2, "below-minimum"), (1, 2, "below-minimum"), (9, max, "above-maximum")]
            {
                let view = PoolView { serving, ..PoolView::default() };
                let decision = Autoscaler::new(&settings).decide(Moment::START, &view);
                assert_eq!((decision.target, decision.reason.code()), (target, reason));
            }
        }
    }

    #[test]
    fn fixed_never_decides_anything() {
        let settings = AutoscaleSettings { policy: Policy::Fixed, ..AutoscaleSettings::default() };
        let view = PoolView { serving: 3, waiting: 1000, ..PoolView::default() };
        let decision = Autoscaler::new(&settings).decide(Moment::START, &view);
        assert_eq!(decision.direction(), None);
        assert_eq!(decision.to_string(), "3 workers stay: their number is fixed");
    }
}
