//! The production gateway's rules, exactly, defects included.
//!
//! Source: `checkAndScale` in branch `mqtt-workers` of Craftech360-projects/xiaozhi-esp32-server,
//! October 2025. Two defects are kept so that they
//! can be shown: pending work is read at one instant per check, so that bursts between checks are
//! never seen; and the largest latency is that of the last 100 frames however old they are, so that
//! one slow frame before a silence keeps its effect for ever. Processor time is in percent of one
//! core, as `process.cpuUsage` gives it there, whatever the number of workers.

use std::time::Duration;

use protocol::Moment;

use super::Bounds;
use super::decision::{Decision, Direction, Reason, Saw, millis};
use super::settings::{AutoscaleSettings, Policy};
use super::view::{PoolView, Tally};

/// Pending frames per worker that make a load of 100 %.
const FULL_LOAD_PENDING: f64 = 5.0;

/// Grow when any of these is exceeded.
#[derive(Clone, Copy, Debug)]
struct GrowAbove {
    load: f64,
    cpu_percent: f64,
    latency: Duration,
    pending_per_worker: usize,
}

const PRODUCTION: GrowAbove = GrowAbove {
    load: 0.7,
    cpu_percent: 60.0,
    latency: Duration::from_millis(50),
    pending_per_worker: 3,
};

/// The "extreme" test changes nothing about latency.
const EXTREME: GrowAbove =
    GrowAbove { load: 0.5, cpu_percent: 40.0, pending_per_worker: 2, ..PRODUCTION };

/// Shrink when all of these are undercut and nothing is pending.
const SHRINK_BELOW_LOAD: f64 = 0.3;
const SHRINK_BELOW_CPU_PERCENT: f64 = 30.0;
const SHRINK_BELOW_LATENCY: Duration = Duration::from_millis(10);

/// Production's policy and what it remembers.
#[derive(Clone, Debug)]
pub(super) struct Production {
    bounds: Bounds,
    grow_above: GrowAbove,
    check: Duration,
    up_cooldown: Duration,
    down_cooldown: Duration,
    /// The last 100 samples of each kind, for ever.
    samples: Tally,
    next_check: Option<Moment>,
    last_change: Option<Moment>,
}

impl Production {
    pub(super) fn new(settings: &AutoscaleSettings, bounds: Bounds) -> Self {
        let extreme = settings.policy == Policy::ProductionExtreme;
        Self {
            bounds,
            grow_above: if extreme { EXTREME } else { PRODUCTION },
            check: settings.check_interval(),
            up_cooldown: settings.up_cooldown(),
            down_cooldown: settings.down_cooldown(),
            samples: Tally::default(),
            next_check: None,
            last_change: None,
        }
    }

    pub(super) fn decide(&mut self, now: Moment, view: &PoolView) -> Decision {
        self.samples.absorb(&view.since);
        // A timer's first tick comes one interval after its start.
        let due = *self.next_check.get_or_insert(now + self.check);
        if now < due {
            return Decision::hold(view, Reason::NotDue);
        }
        self.next_check = Some(now + self.check);

        let active = view.active();
        let (reason, direction) = self.judge(view);
        let (target, cooldown) = match direction {
            None => (active, Duration::ZERO),
            Some(Direction::Up) => (active + 1, self.up_cooldown),
            Some(Direction::Down) => (active - 1, self.down_cooldown),
        };
        let since_change = self.last_change.map_or(Duration::MAX, |last| now.since(last));
        let (target, reason) = match cooldown.checked_sub(since_change) {
            Some(left) if !left.is_zero() => (active, Reason::CoolingDown { left }),
            _ => (target, reason),
        };
        if target != active {
            self.last_change = Some(now);
        }
        Decision { from: active, target, reason, saw: self.saw(view) }
    }

    /// What the rules say, cool-downs aside.
    fn judge(&self, view: &PoolView) -> (Reason, Option<Direction>) {
        let active = view.active();
        match self.to_grow(view) {
            Some(_) if active >= self.bounds.max => (Reason::AtMaximum, None),
            Some(reason) => (reason, Some(Direction::Up)),
            None if self.may_shrink(view) && active > self.bounds.min => {
                (Reason::Idle, Some(Direction::Down))
            }
            None => (Reason::Steady, None),
        }
    }

    /// The first rule that calls for more.
    fn to_grow(&self, view: &PoolView) -> Option<Reason> {
        let limit = self.grow_above;
        let (load, cpu, latency) = (load(view), self.cpu_percent(), self.latency_max());
        let pending_limit = limit.pending_per_worker * view.active();
        if load > limit.load {
            let (percent, limit_percent) = (load * 100.0, limit.load * 100.0);
            Some(Reason::Load { percent, limit_percent })
        } else if cpu > limit.cpu_percent {
            Some(Reason::Cpu { percent: cpu, limit_percent: limit.cpu_percent })
        } else if latency > limit.latency {
            Some(Reason::Latency { max: latency, limit: limit.latency })
        } else if view.pending() > pending_limit {
            Some(Reason::Pending { frames: view.pending(), limit: pending_limit })
        } else {
            None
        }
    }

    fn may_shrink(&self, view: &PoolView) -> bool {
        load(view) < SHRINK_BELOW_LOAD
            && self.cpu_percent() < SHRINK_BELOW_CPU_PERCENT
            && self.latency_max() < SHRINK_BELOW_LATENCY
            && view.pending() == 0
    }

    /// No samples count as 0, as there.
    fn cpu_percent(&self) -> f64 {
        self.samples.cpu_percent_mean().unwrap_or(0.0)
    }

    fn latency_max(&self) -> Duration {
        self.samples.latency_max().unwrap_or_default()
    }

    fn saw(&self, view: &PoolView) -> Saw {
        Saw {
            load_percent: Some(load(view) * 100.0),
            cpu_percent: self.samples.cpu_percent_mean(),
            latency_max_ms: self.samples.latency_max().map(millis),
            ..Saw::at(view)
        }
    }
}

/// Mean pending per worker, over 5, at this instant.
fn load(view: &PoolView) -> f64 {
    view.pending() as f64 / view.active().max(1) as f64 / FULL_LOAD_PENDING
}

#[cfg(test)]
mod tests {
    use super::super::Autoscaler;
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    struct Seen {
        waiting: usize,
        cpu: f64,
        latency: Duration,
    }

    /// What the policy's first check says of a pool of `serving` that looks like this.
    fn first_check(policy: Policy, serving: usize, seen: &Seen) -> Decision {
        let settings = AutoscaleSettings { policy, ..AutoscaleSettings::default() };
        let mut autoscaler = Autoscaler::new(&settings);
        let mut view = PoolView { serving, ..PoolView::default() };
        assert_eq!(autoscaler.decide(Moment::START, &view).reason, Reason::NotDue);
        view.waiting = seen.waiting;
        view.since.cpu(seen.cpu);
        view.since.finished(ms(1), seen.latency);
        autoscaler.decide(Moment::START + settings.check_interval(), &view)
    }

    #[test]
    fn each_limit_is_where_production_has_it() {
        use Policy::{Production, ProductionExtreme};
        for (policy, serving, waiting, cpu, latency, target, code) in [
            // 15 pending are more than 3 × 4, and a load of only 75 %: load is asked first.
            (Production, 4, 15, 0.0, 0, 5, "load"),
            // At 3 × workers the load is 60 %: the pending rule comes first by one frame.
            (Production, 4, 12, 0.0, 0, 4, "steady"),
            (Production, 4, 13, 0.0, 0, 5, "pending"),
            (Production, 4, 0, 60.1, 0, 5, "cpu"),
            (Production, 4, 0, 60.0, 0, 4, "steady"),
            (Production, 4, 0, 0.0, 51, 5, "latency"),
            (Production, 4, 0, 0.0, 50, 4, "steady"),
            (Production, 8, 0, 0.0, 51, 8, "at-maximum"),
            (Production, 4, 0, 29.9, 9, 3, "idle"),
            (Production, 2, 0, 29.9, 9, 2, "steady"),
            (Production, 4, 0, 30.0, 9, 4, "steady"),
            (Production, 4, 0, 29.9, 10, 4, "steady"),
            (Production, 4, 1, 29.9, 9, 4, "steady"),
            (ProductionExtreme, 4, 11, 0.0, 0, 5, "load"),
            (ProductionExtreme, 4, 9, 0.0, 0, 5, "pending"),
            (ProductionExtreme, 4, 0, 40.1, 0, 5, "cpu"),
            (ProductionExtreme, 6, 100, 0.0, 0, 6, "at-maximum"),
        ] {
            let seen = Seen { waiting, cpu, latency: ms(latency) };
            let decision = first_check(policy, serving, &seen);
            let what = format!("{policy:?} {serving} {waiting} {cpu} {latency}: {decision}");
            assert_eq!((decision.target, decision.reason.code()), (target, code), "{what}");
        }
    }

    #[test]
    fn a_change_waits_for_the_cool_down_of_its_direction() {
        for (policy, check, up, down) in
            [(Policy::Production, 10, 30, 60), (Policy::ProductionExtreme, 5, 5, 15)]
        {
            let settings = AutoscaleSettings { policy, ..AutoscaleSettings::default() };
            let mut autoscaler = Autoscaler::new(&settings);
            let mut view = PoolView { serving: 2, waiting: 99, ..PoolView::default() };
            let mut changes = Vec::new();
            for second in 0..=400 {
                view.waiting = if second < 100 { 99 } else { 0 };
                let decision = autoscaler.decide(Moment::from_millis(second * 1000), &view);
                view.serving = decision.target;
                if let Some(direction) = decision.direction() {
                    assert_eq!(decision.target.abs_diff(decision.from), 1);
                    changes.push((second, direction));
                }
            }
            assert_eq!(changes[0], (check, Direction::Up));
            for pair in changes.windows(2) {
                let cooldown = if pair[1].1 == Direction::Up { up } else { down };
                assert_eq!((pair[1].0 - pair[0].0).min(cooldown), cooldown, "{changes:?}");
            }
            assert_eq!(view.serving, 2, "{changes:?}");
        }
    }
}
