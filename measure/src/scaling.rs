//! How well a pool's size followed its load.
//!
//! Demand is how many workers the load needs, supply how many serve; both are [`Steps`]. Sources:
//! Herbst et al., "Ready for Rain?", SPEC-RG-2016-01, and its implementation BUNGEE, for
//! [`Elasticity`]; the times after a step and the flaps are ours.

use std::time::Duration;

/// A number of workers over time, held from each step to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steps(Vec<(Duration, u32)>);

/// How well supply followed demand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Elasticity {
    /// Mean number of workers missing: Σ (d − s)⁺ Δt / T.
    pub accuracy_under: f64,
    /// Mean number of workers too many: Σ (s − d)⁺ Δt / T.
    pub accuracy_over: f64,
    /// Share of the time during which workers were missing.
    pub timeshare_under: f64,
    /// Share of the time during which there were too many.
    pub timeshare_over: f64,
    /// Σ |Δd|: a step of 3 workers counts 3.
    pub demand_steps: u32,
    /// Σ |Δs|.
    pub supply_steps: u32,
    /// (supply steps − demand steps) / T, per minute: above 0 for a nervous scaler, below 0 for a
    /// sluggish one.
    pub jitter_per_minute: f64,
    /// Worker-seconds spent: ∫ s dt.
    pub cost_worker_s: f64,
    /// Worker-seconds needed: ∫ d dt; over the cost, this is the efficiency.
    pub ideal_worker_s: f64,
}

impl Steps {
    /// A step function; `None` unless it has a value from the very start and its times ascend.
    pub fn new(steps: Vec<(Duration, u32)>) -> Option<Self> {
        let starts = steps.first().is_some_and(|(at, _)| at.is_zero());
        (starts && steps.is_sorted_by(|a, b| a.0 < b.0)).then_some(Self(steps))
    }

    /// The value at this time.
    pub fn at(&self, time: Duration) -> u32 {
        let next = self.0.partition_point(|(at, _)| *at <= time);
        self.0[next.max(1) - 1].1
    }

    /// The changes before `end`: when, from, to.
    fn changes(&self, end: Duration) -> impl Iterator<Item = (Duration, u32, u32)> {
        self.0
            .windows(2)
            .map(|pair| (pair[1].0, pair[0].1, pair[1].1))
            .filter(move |(at, from, to)| from != to && *at < end)
    }

    fn moved(&self, end: Duration) -> u32 {
        self.changes(end).map(|(_, from, to)| from.abs_diff(to)).sum()
    }
}

impl Elasticity {
    /// The scores from the start to `end`; `None` for no time.
    pub fn of(demand: &Steps, supply: &Steps, end: Duration) -> Option<Self> {
        if end.is_zero() {
            return None;
        }
        let (mut under, mut over, mut time_under, mut time_over) = (0.0, 0.0, 0.0, 0.0);
        let (mut cost, mut ideal) = (0.0, 0.0);
        for (span, d, s) in both(demand, supply, end) {
            let (span, d, s) = (span.as_secs_f64(), f64::from(d), f64::from(s));
            under += (d - s).max(0.0) * span;
            over += (s - d).max(0.0) * span;
            time_under += if d > s { span } else { 0.0 };
            time_over += if s > d { span } else { 0.0 };
            cost += s * span;
            ideal += d * span;
        }
        let total = end.as_secs_f64();
        let (demand_steps, supply_steps) = (demand.moved(end), supply.moved(end));
        Some(Self {
            accuracy_under: under / total,
            accuracy_over: over / total,
            timeshare_under: time_under / total,
            timeshare_over: time_over / total,
            demand_steps,
            supply_steps,
            jitter_per_minute: (f64::from(supply_steps) - f64::from(demand_steps)) / total * 60.0,
            cost_worker_s: cost,
            ideal_worker_s: ideal,
        })
    }
}

/// The spans up to `end` in which neither changes, each with demand and supply.
fn both(demand: &Steps, supply: &Steps, end: Duration) -> Vec<(Duration, u32, u32)> {
    let mut times: Vec<_> = demand.0.iter().chain(&supply.0).map(|(at, _)| *at).collect();
    times.retain(|at| *at < end);
    times.push(end);
    times.sort_unstable();
    let spans = times.windows(2).map(|pair| (pair[1].saturating_sub(pair[0]), pair[0]));
    spans.map(|(span, at)| (span, demand.at(at), supply.at(at))).collect()
}

/// `t_detect`: from a step of the load to the first scaling decision; `None` if there was none.
/// Decisions in ascending order.
pub fn time_to_detect(step: Duration, decisions: &[Duration]) -> Option<Duration> {
    decisions.iter().find(|at| **at >= step).map(|at| at.saturating_sub(step))
}

/// `t_ready`: from a step of the load to the first worker more that serves; `None` if none came.
pub fn time_to_ready(step: Duration, supply: &Steps) -> Option<Duration> {
    let mut changes = supply.changes(Duration::MAX);
    changes.find(|(at, from, to)| *at >= step && to > from).map(|(at, ..)| at.saturating_sub(step))
}

/// How long a limit must hold before a pool counts as recovered.
pub const RECOVERED_AFTER: Duration = Duration::from_secs(5);

/// `t_recover`: from a step of the load to the start of the first [`RECOVERED_AFTER`] in which the
/// limit held; `None` if that never came. Windows are given as start, in ascending order, and
/// whether the limit held; each lasts to the next one's start, the last to `end`.
pub fn time_to_recover(
    step: Duration,
    windows: &[(Duration, bool)],
    end: Duration,
) -> Option<Duration> {
    let mut held_from = None;
    for (index, &(start, held)) in windows.iter().enumerate() {
        let until = windows.get(index + 1).map_or(end, |next| next.0);
        if !held {
            held_from = None;
        } else if until > step {
            let from: Duration = *held_from.get_or_insert(start.max(step));
            if until.saturating_sub(from) >= RECOVERED_AFTER {
                return Some(from.saturating_sub(step));
            }
        }
    }
    None
}

/// Overshoot after a step: (max s − d) / d, with the demand right after the step and the largest
/// supply up to `end`; 0 when supply never exceeds it, `None` when nothing is demanded.
pub fn overshoot(step: Duration, end: Duration, demand: &Steps, supply: &Steps) -> Option<f64> {
    let needed = demand.at(step);
    let after = supply.changes(end).filter(|(at, ..)| *at >= step).map(|(.., to)| to);
    let most = after.fold(supply.at(step), u32::max);
    (needed > 0).then(|| f64::from(most.saturating_sub(needed)) / f64::from(needed))
}

/// Reversals further apart than this are no flaps.
pub const FLAP_WITHIN: Duration = Duration::from_secs(30);

/// Flaps: changes of supply against the direction of the change before, at most [`FLAP_WITHIN`]
/// after it, while the demand stayed as it was.
pub fn flaps(demand: &Steps, supply: &Steps, end: Duration) -> usize {
    let changes: Vec<_> = supply.changes(end).collect();
    let reversals = changes.windows(2).filter(|pair| {
        let ((before, from, to), (after, next_from, next_to)) = (pair[0], pair[1]);
        let demand_moved = demand.changes(end).any(|(at, ..)| at > before && at <= after);
        (to > from) != (next_to > next_from)
            && after.saturating_sub(before) <= FLAP_WITHIN
            && !demand_moved
    });
    reversals.count()
}

#[cfg(test)]
mod tests;
