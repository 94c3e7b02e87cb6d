//! A pool on a virtual clock, for the policies: workers around a central queue, seeded load.
//!
//! Workers take time to start; a worker that is to leave finishes the frame in its hands. Nothing
//! here waits: hours pass in milliseconds.

mod load;
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use protocol::Moment;

use self::load::Frame;
use super::{AutoscaleSettings, Autoscaler, Decision, Direction, PoolView, TICK, Tally};

/// How the pool is and what is done with it.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    pub(super) settings: AutoscaleSettings,
    /// Workers that serve at the start.
    pub(super) workers: usize,
    /// From a decision to the first frame that the new worker can take.
    pub(super) start_up: Duration,
    pub(super) end: Duration,
}

/// What came out.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// Every decision that was not to stay.
    pub(super) changes: Vec<(Moment, Decision)>,
    /// Workers active and draining after each decision, if that changed.
    pub(super) supply: Vec<(Moment, usize, usize)>,
    /// When each frame arrived and how long it waited, in the order in which they were taken.
    pub(super) waits: Vec<(Moment, Duration)>,
    pub(super) finished: usize,
    /// Frames that a worker finished after it was told to leave.
    pub(super) finished_by_leavers: usize,
    /// Busy time of all workers.
    pub(super) work: Duration,
}

impl Outcome {
    pub(super) fn active_at_the_end(&self) -> usize {
        self.supply.last().expect("the first decision is always recorded").1
    }

    /// The changes, as moments and directions.
    pub(super) fn directions(&self) -> Vec<(Moment, Direction)> {
        let direction = |decision: &Decision| decision.direction().expect("only changes are kept");
        self.changes.iter().map(|(at, decision)| (*at, direction(decision))).collect()
    }
}

#[derive(Debug)]
struct Worker {
    state: State,
    leaving: bool,
}

#[derive(Debug)]
enum State {
    Starting { until: Moment },
    Idle,
    Busy { until: Moment, frame: Frame },
}

struct World {
    now: Moment,
    start_up: Duration,
    autoscaler: Autoscaler,
    workers: Vec<Worker>,
    queue: VecDeque<Frame>,
    tally: Tally,
    busy_this_second: Duration,
    outcome: Outcome,
}

/// Runs a load, given in the order of arrival.
pub(super) fn run(setup: &Setup, load: &[Frame]) -> Outcome {
    let worker = || Worker { state: State::Idle, leaving: false };
    let mut world = World {
        now: Moment::START,
        start_up: setup.start_up,
        autoscaler: Autoscaler::new(&setup.settings),
        workers: (0..setup.workers).map(|_| worker()).collect(),
        queue: VecDeque::new(),
        tally: Tally::default(),
        busy_this_second: Duration::ZERO,
        outcome: Outcome::default(),
    };
    let (mut tick, mut second) = (Moment::START, Moment::from_millis(1000));
    let mut load = load.iter().copied().peekable();
    // At one instant: workers first, then arrivals, then those who look at it all.
    loop {
        let arrival = load.peek().map(|frame| frame.arrives);
        let worker = world.workers.iter().filter_map(Worker::until).min();
        let next = [Some(tick), Some(second), arrival, worker].into_iter().flatten().min();
        world.now = next.expect("ticks never end");
        if world.now.since_start() > setup.end {
            return world.outcome;
        }
        if worker == Some(world.now) {
            world.advance_workers();
        } else if let Some(frame) = load.next_if(|frame| frame.arrives == world.now) {
            world.tally.arrived(1);
            world.queue.push_back(frame);
        } else if second == world.now {
            world.tally.cpu(world.busy_this_second.as_secs_f64() * 100.0);
            world.busy_this_second = Duration::ZERO;
            second += Duration::from_secs(1);
        } else {
            world.decide();
            tick += TICK;
        }
        world.hand_out();
    }
}

impl Worker {
    fn until(&self) -> Option<Moment> {
        match self.state {
            State::Starting { until } | State::Busy { until, .. } => Some(until),
            State::Idle => None,
        }
    }
}

impl World {
    fn advance_workers(&mut self) {
        for worker in &mut self.workers {
            if worker.until() != Some(self.now) {
                continue;
            }
            if let State::Busy { frame, .. } = std::mem::replace(&mut worker.state, State::Idle) {
                self.tally.finished(frame.work, self.now.since(frame.arrives));
                self.busy_this_second += frame.work;
                self.outcome.work += frame.work;
                self.outcome.finished += 1;
                self.outcome.finished_by_leavers += usize::from(worker.leaving);
            }
        }
        self.let_leavers_go();
    }

    /// Gives what waits to whoever is idle.
    fn hand_out(&mut self) {
        let idle = |worker: &&mut Worker| matches!(worker.state, State::Idle) && !worker.leaving;
        for worker in self.workers.iter_mut().filter(idle) {
            let Some(frame) = self.queue.pop_front() else { return };
            let wait = self.now.since(frame.arrives);
            self.tally.taken(wait);
            self.outcome.waits.push((frame.arrives, wait));
            worker.state = State::Busy { until: self.now + frame.work, frame };
        }
    }

    fn decide(&mut self) {
        let view = self.view();
        let decision = self.autoscaler.decide(self.now, &view);
        assert_eq!(decision.from, view.active());
        let until = self.now + self.start_up;
        for _ in decision.from..decision.target {
            self.workers.push(Worker { state: State::Starting { until }, leaving: false });
        }
        // The newest leave first.
        let staying = self.workers.iter_mut().rev().filter(|worker| !worker.leaving);
        for worker in staying.take(decision.from.saturating_sub(decision.target)) {
            worker.leaving = true;
        }
        self.let_leavers_go();
        let draining = self.workers.iter().filter(|worker| worker.leaving).count();
        let supply = (decision.target, draining);
        if self.outcome.supply.last().is_none_or(|last| (last.1, last.2) != supply) {
            self.outcome.supply.push((self.now, supply.0, supply.1));
        }
        if decision.direction().is_some() {
            self.outcome.changes.push((self.now, decision));
        }
    }

    fn let_leavers_go(&mut self) {
        self.workers.retain(|worker| !worker.leaving || matches!(worker.state, State::Busy { .. }));
    }

    fn view(&mut self) -> PoolView {
        let (mut view, mut pending) = (PoolView::default(), Vec::new());
        for worker in &self.workers {
            match (&worker.state, worker.leaving) {
                (_, true) => view.draining += 1,
                (State::Starting { .. }, false) => view.starting += 1,
                (state, false) => {
                    view.serving += 1;
                    pending.push(usize::from(matches!(state, State::Busy { .. })));
                }
            }
        }
        let oldest = self.queue.front().map(|frame| self.now.since(frame.arrives));
        PoolView {
            pending,
            waiting: self.queue.len(),
            oldest_wait: oldest.unwrap_or_default(),
            since: std::mem::take(&mut self.tally),
            ..view
        }
    }
}
