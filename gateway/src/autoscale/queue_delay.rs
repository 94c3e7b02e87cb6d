//! As many workers as the work needs that arrives, and more when the queue stands.
//!
//! Feed-forward: by Little's law λ E\[S\] workers are busy on average, so that
//! k = ⌈λ E\[S\] / ρ*⌉ keep them as busy as is wanted; rate and work are moving averages.
//! Feedback: the *smallest* queue delay since the check before is above its limit only when the
//! queue never emptied (`CoDel`, RFC 8289); averages and maxima would also answer to bursts that
//! drain by themselves. A standing queue calls for the workers that the unsmoothed arrivals need;
//! for one more at least, unless some are or were just starting; for none once it gets shorter.
//!
//! Upwards at once. Downwards to what the window's peak called for, as Kubernetes' autoscaler
//! stabilises, with some hysteresis, and never less than a window after growing. Growing right
//! after shrinking is allowed: callers do not wait for a window.
//!
//! Work is measured as the time that a worker has a frame in its hands. Where workers compete for
//! cores this grows with their number, and the maximum is what stops the pool.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::Moment;

use super::decision::{Decision, Reason, Saw, millis};
use super::settings::AutoscaleSettings;
use super::view::{PoolView, Tally};
use super::{Bounds, TICK};

/// Fewer decayed frames than this tell nothing new about the work per frame.
const FRAMES_THAT_TELL: f64 = 1e-3;

/// What a real number of workers may exceed a whole one by and still be rounded down to it.
const ROUNDING: f64 = 1e-9;

/// The policy and what it remembers.
#[derive(Clone, Debug)]
pub(super) struct QueueDelay {
    bounds: Bounds,
    settings: AutoscaleSettings,
    /// Since the check before.
    gathered: Tally,
    last_check: Option<Moment>,
    last_up: Option<Moment>,
    last_change: Option<Moment>,
    load: MovingLoad,
    /// The smallest queue delay at the check before.
    standing_before: Duration,
    /// Whether workers were starting at the check before: nothing shows yet what they changed.
    starting_before: bool,
    recent: RecentPeak,
}

impl QueueDelay {
    pub(super) fn new(settings: &AutoscaleSettings, bounds: Bounds) -> Self {
        Self {
            bounds,
            settings: settings.clone(),
            gathered: Tally::default(),
            last_check: None,
            last_up: None,
            last_change: None,
            load: MovingLoad::default(),
            standing_before: Duration::ZERO,
            starting_before: false,
            recent: RecentPeak::default(),
        }
    }

    pub(super) fn decide(&mut self, now: Moment, view: &PoolView) -> Decision {
        let active = view.active();
        let Some(last) = self.last_check else {
            // What somebody started with counts as called for.
            self.last_check = Some(now);
            self.recent.add(now, active as f64, self.settings.window);
            return Decision::hold(view, Reason::NotDue);
        };
        self.gathered.absorb(&view.since);
        let span = now.since(last);
        // A tick may come a little early; waiting for the next would halve the pace.
        if span + TICK / 2 < self.settings.check_interval() {
            return Decision::hold(view, Reason::NotDue);
        }
        self.last_check = Some(now);
        let gathered = std::mem::take(&mut self.gathered);
        self.load.update(&gathered, span, self.settings.smoothing);

        let utilisation = f64::from(self.settings.utilisation_percent) / 100.0;
        let needed = self.load.busy_workers(self.load.arrivals_per_s) / utilisation;
        let needed_now = self.load.busy_workers(per_second(&gathered, span)) / utilisation;
        let standing = gathered.queue_delay_min().unwrap_or(view.oldest_wait);
        let shortening = standing < self.standing_before;
        self.standing_before = standing;
        let starting = view.starting > 0 || self.starting_before;
        self.starting_before = view.starting > 0;

        // A standing queue also counts as called for: what it called for is kept for a window.
        let stands = standing > self.settings.standing_delay;
        let pressed = match stands {
            false => 0,
            true if shortening => active,
            true if starting => whole(needed_now),
            true => whole(needed_now).max(active + 1),
        };
        self.recent.add(now, needed.max(pressed as f64), self.settings.window);
        let (target, reason) = if pressed > whole(needed) {
            let limit = self.settings.standing_delay;
            (pressed, Reason::QueueDelay { min: standing, limit })
        } else {
            (whole(needed), Reason::Demand { workers: needed })
        };
        let (target, reason) = if target > active {
            self.grow(now, active, target, reason)
        } else if stands && starting {
            (active, Reason::Starting)
        } else {
            self.shrink(now, active)
        };
        let saw = Saw {
            queue_delay_min_ms: Some(millis(standing)),
            arrivals_per_s: Some(self.load.arrivals_per_s),
            work_per_frame_ms: Some(self.load.work_per_frame_s * 1e3),
            workers_needed: Some(needed),
            ..Saw::at(view)
        };
        Decision { from: active, target, reason, saw }
    }

    fn grow(
        &mut self,
        now: Moment,
        active: usize,
        target: usize,
        reason: Reason,
    ) -> (usize, Reason) {
        if active >= self.bounds.max {
            return (active, Reason::AtMaximum);
        }
        let left = left(now, self.last_change, self.settings.up_cooldown());
        if !left.is_zero() {
            return (active, Reason::CoolingDown { left });
        }
        (self.last_up, self.last_change) = (Some(now), Some(now));
        (target.min(self.bounds.max), reason)
    }

    fn shrink(&mut self, now: Moment, active: usize) -> (usize, Reason) {
        let margin = 1.0 + f64::from(self.settings.hysteresis_percent) / 100.0;
        let peak = self.recent.peak();
        let target = whole(peak * margin).max(self.bounds.min);
        if target >= active {
            return (active, Reason::Steady);
        }
        let left = left(now, self.last_up, self.settings.window).max(left(
            now,
            self.last_change,
            self.settings.down_cooldown(),
        ));
        if !left.is_zero() {
            return (active, Reason::CoolingDown { left });
        }
        self.last_change = Some(now);
        (target, Reason::RecentDemand { workers: peak })
    }
}

/// What of a pause is left that began at `since`.
fn left(now: Moment, since: Option<Moment>, pause: Duration) -> Duration {
    since.map_or(Duration::ZERO, |since| pause.saturating_sub(now.since(since)))
}

/// Rounds a number of workers up.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "never negative; what is too large saturates, and is bounded by the caller"
)]
fn whole(workers: f64) -> usize {
    (workers - ROUNDING).ceil() as usize
}

fn per_second(gathered: &Tally, span: Duration) -> f64 {
    gathered.frames_arrived() as f64 / span.as_secs_f64()
}

/// Moving averages of what arrives and what it costs, weighted by e^(−age / smoothing).
#[derive(Clone, Debug, Default)]
struct MovingLoad {
    arrivals_per_s: f64,
    /// The last known one while nothing is finished.
    work_per_frame_s: f64,
    /// Frames finished, decayed.
    frames: f64,
    /// Their work, decayed alike.
    work_s: f64,
}

impl MovingLoad {
    fn update(&mut self, gathered: &Tally, span: Duration, smoothing: Duration) {
        let keep = (-span.div_duration_f64(smoothing)).exp();
        let rate = per_second(gathered, span);
        self.arrivals_per_s = self.arrivals_per_s * keep + rate * (1.0 - keep);
        self.frames = self.frames * keep + gathered.frames_finished() as f64;
        self.work_s = self.work_s * keep + gathered.work().as_secs_f64();
        if self.frames > FRAMES_THAT_TELL {
            self.work_per_frame_s = self.work_s / self.frames;
        }
    }

    /// Little's law.
    fn busy_workers(&self, arrivals_per_s: f64) -> f64 {
        arrivals_per_s * self.work_per_frame_s
    }
}

/// The largest of the values added within a window. Holds only those that nothing later exceeds,
/// so at most one for each check in the window.
#[derive(Clone, Debug, Default)]
struct RecentPeak(VecDeque<(Moment, f64)>);

impl RecentPeak {
    fn add(&mut self, now: Moment, value: f64, window: Duration) {
        while self.0.back().is_some_and(|(_, smaller)| *smaller <= value) {
            self.0.pop_back();
        }
        self.0.push_back((now, value));
        while self.0.front().is_some_and(|(at, _)| now.since(*at) > window) {
            self.0.pop_front();
        }
    }

    fn peak(&self) -> f64 {
        self.0.front().map_or(0.0, |(_, value)| *value)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Autoscaler;
    use super::*;

    const TICK_MS: u64 = 100;

    /// Lets one tick pass in which this many frames of 10 ms arrived and were finished.
    fn tick(scaler: &mut Autoscaler, view: &mut PoolView, at_ms: u64, frames: usize) -> Decision {
        for _ in 0..frames {
            view.since.arrived(1);
            view.since.finished(Duration::from_millis(10), Duration::from_millis(10));
        }
        let decision = scaler.decide(Moment::from_millis(at_ms), view);
        *view = PoolView { serving: decision.target, ..PoolView::default() };
        decision
    }

    #[test]
    fn steady_work_gets_the_workers_that_littles_law_asks_for() {
        // 10 ms a frame, 0.7 busy: 28 frames in 100 ms need exactly 4 workers.
        for (frames, workers) in [(0, 2), (14, 2), (15, 3), (28, 4), (29, 5), (56, 8), (90, 8)] {
            let mut scaler = Autoscaler::new(&AutoscaleSettings::default());
            let mut view = PoolView { serving: 2, ..PoolView::default() };
            for step in 0..100 {
                tick(&mut scaler, &mut view, step * TICK_MS, frames);
            }
            assert_eq!(view.serving, workers, "{frames} frames a tick");
        }
    }

    #[test]
    fn a_standing_queue_is_answered_at_once_and_not_twice() {
        let mut scaler = Autoscaler::new(&AutoscaleSettings::default());
        let mut view = PoolView { serving: 2, ..PoolView::default() };
        tick(&mut scaler, &mut view, 0, 0);
        let mut standing = |at_ms, starting, delay_ms| {
            let mut view = PoolView { serving: 2, starting, ..PoolView::default() };
            view.since.taken(Duration::from_millis(delay_ms));
            view.since.taken(Duration::from_millis(delay_ms + 50));
            scaler.decide(Moment::from_millis(at_ms), &view)
        };
        assert_eq!(standing(100, 0, 5).reason.code(), "steady", "5 ms is the limit");
        let decision = standing(200, 0, 6);
        assert_eq!((decision.target, decision.reason.code()), (3, "queue-delay"));
        assert_eq!(
            decision.to_string(),
            "2 to 3 workers: every frame waited at least 6.0 ms, over 5.0 ms"
        );
        assert_eq!(standing(300, 1, 50).reason, Reason::Starting);
        assert_eq!(standing(400, 0, 40).direction(), None, "the queue gets shorter");
        assert_eq!(standing(500, 0, 40).target, 3);
    }

    #[test]
    fn what_nobody_takes_counts_as_well() {
        let mut scaler = Autoscaler::new(&AutoscaleSettings::default());
        let mut view = PoolView { serving: 2, ..PoolView::default() };
        tick(&mut scaler, &mut view, 0, 0);
        view.oldest_wait = Duration::from_millis(6);
        view.waiting = 1;
        assert_eq!(tick(&mut scaler, &mut view, 100, 0).reason.code(), "queue-delay");
    }

    #[test]
    fn a_load_just_below_the_limit_of_a_worker_does_not_shrink_the_pool() {
        // 26 frames need 3.71 workers; 10 % more would need 4.09: a pool of 5 keeps its fifth.
        let settle = |hysteresis_percent| {
            let settings = AutoscaleSettings { hysteresis_percent, ..AutoscaleSettings::default() };
            let mut scaler = Autoscaler::new(&settings);
            let mut view = PoolView { serving: 5, ..PoolView::default() };
            for step in 0..300 {
                tick(&mut scaler, &mut view, step * TICK_MS, 26);
            }
            view.serving
        };
        assert_eq!((settle(10), settle(0)), (5, 4));
    }
}
