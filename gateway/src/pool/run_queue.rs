//! The queues of a pool behind a lock, the workers that wait at them, and which of these serve.
//!
//! ```text
//! Gone ──resize──▶ Starting ──its thread arrives──▶ Serving
//!  ▲                  │                              │  ▲
//!  └──its thread leaves── Draining ◀──────resize──────┘  │
//!                            └──resize, before it left───┘
//! ```
//! Workers of the pool are the first ones by number: the newest leave first. Policies see those
//! that serve, from the first to the last before one that does not yet.

use std::fmt;
use std::iter;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use measure::balance::IdleWhileWaiting;
use platform::Clock;
use protocol::Moment;
use serde::Serialize;

use super::Activity;
use crate::dispatch::{Choice, Dispatch, Standing};
use crate::mailbox::Next;
use crate::run_queues::RunQueues;

/// The activities that wait for a worker, and the workers that wait for one.
pub struct RunQueue<A> {
    state: Mutex<State<A>>,
    clock: Clock,
    /// For each worker: work came for it, or it has to leave.
    bells: Vec<Condvar>,
    worker_left: Condvar,
}

struct State<A> {
    queues: RunQueues<Arc<A>>,
    phase: Phase,
    /// One for each worker that there may be.
    slots: Vec<Slot>,
    /// Threads that have not left, those included that have yet to arrive.
    threads: usize,
    asleep: usize,
    /// Workers that were woken and have not looked yet.
    woken: usize,
    idle_while_waiting: IdleWhileWaiting,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    state: WorkerState,
    rest: Rest,
}

/// What a worker is to its pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WorkerState {
    /// Not there (any more).
    Gone,
    /// On its way.
    Starting,
    /// Takes work.
    Serving,
    /// Finishes what it has in hand and leaves.
    Draining,
}

/// Waking costs a system call, and a worker that is awake looks at its queue anyway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Awake,
    AsleepSince(Moment),
    Woken,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Serving,
    /// Workers leave when nothing waits.
    Draining,
    /// Workers leave at once.
    GivenUp,
}

/// An activity whose work of the moment is done.
pub(super) struct Done<A> {
    pub(super) activity: Arc<A>,
    pub(super) at: Moment,
    pub(super) next: Next,
}

/// A pool at one instant.
#[derive(Clone, Debug)]
pub struct QueueView {
    /// Each worker that there may be.
    pub workers: Vec<WorkerState>,
    /// For each worker that policies see, what it has queued and in hand.
    pub pending: Vec<usize>,
    /// How long the frame has waited that has waited longest of those whose turn it is.
    pub oldest_wait: Duration,
    /// How long, altogether, some worker was idle while work waited for another.
    pub idle_while_waiting: Duration,
}

impl QueueView {
    /// Workers in this state.
    pub fn count(&self, state: WorkerState) -> usize {
        self.workers.iter().filter(|worker| **worker == state).count()
    }
}

impl<A> State<A> {
    /// Shows policies the workers that serve; hands back what waited for others.
    fn serve(&mut self) -> Vec<(Arc<A>, Moment)> {
        let serving = |slot: &&Slot| slot.state == WorkerState::Serving;
        self.queues.serve_with(self.slots.iter().take_while(serving).count())
    }

    /// Who has to be woken for what was put into the queue of `choice`: with the central queue,
    /// whoever has slept longest, so that all get to work.
    fn sleeper_for(&mut self, choice: Choice) -> Option<usize> {
        let sleeper = match choice {
            Choice::Worker(worker) => worker,
            Choice::Central => {
                let since = |slot: &Slot| match slot.rest {
                    Rest::AsleepSince(since) => Some(since),
                    Rest::Awake | Rest::Woken => None,
                };
                let sleepers = self.slots.iter().enumerate();
                let since = sleepers.filter_map(|(worker, slot)| Some((worker, since(slot)?)));
                since.min_by_key(|(_, since)| *since)?.0
            }
        };
        self.wake(sleeper).then_some(sleeper)
    }

    /// Notes that `worker` is woken; tells whether it slept.
    fn wake(&mut self, worker: usize) -> bool {
        let slept = matches!(self.slots[worker].rest, Rest::AsleepSince(_));
        if slept {
            self.slots[worker].rest = Rest::Woken;
            self.asleep -= 1;
            self.woken += 1;
        }
        slept
    }

    fn fall_asleep(&mut self, worker: usize, now: Moment) {
        self.slots[worker].rest = Rest::AsleepSince(now);
        self.asleep += 1;
        self.account(now);
    }

    fn wake_up(&mut self, worker: usize) {
        match self.slots[worker].rest {
            Rest::AsleepSince(_) => self.asleep -= 1,
            Rest::Woken => self.woken -= 1,
            Rest::Awake => {}
        }
        self.slots[worker].rest = Rest::Awake;
    }

    /// Whoever was woken has something to do and is idle no more.
    fn account(&mut self, now: Moment) {
        let waiting = self.queues.waiting().saturating_sub(self.woken);
        self.idle_while_waiting.changed(now.since_start(), self.asleep, waiting);
    }
}

impl<A: Activity> RunQueue<A> {
    /// Queues for up to `most` workers, the first `workers` of which serve.
    pub(super) fn new(workers: usize, most: usize, dispatch: Dispatch, clock: Clock) -> Self {
        let slot = |worker| {
            let state = if worker < workers { WorkerState::Serving } else { WorkerState::Gone };
            Slot { state, rest: Rest::Awake }
        };
        let mut state = State {
            queues: RunQueues::new(dispatch, most),
            phase: Phase::Serving,
            slots: (0..most).map(slot).collect(),
            threads: workers,
            asleep: 0,
            woken: 0,
            idle_while_waiting: IdleWhileWaiting::default(),
        };
        let nothing_yet = state.serve();
        assert!(nothing_yet.is_empty());
        Self {
            state: Mutex::new(state),
            clock,
            bells: iter::repeat_with(Condvar::new).take(most).collect(),
            worker_left: Condvar::new(),
        }
    }

    /// Dispatches an activity that has become active with work that came at `since`.
    pub fn submit(&self, activity: &Arc<A>, since: Moment) {
        let mut state = self.state();
        let now = self.clock.now();
        let choice = dispatch(&mut state, activity, since, now);
        let sleeper = state.sleeper_for(choice);
        state.account(now);
        drop(state);
        if let Some(worker) = sleeper {
            self.bells[worker].notify_one();
        }
    }

    /// Takes back what `worker` has done and gives it what is next, once there is something, with
    /// the moment from which it has it; `None` when it has to leave.
    pub(super) fn next(&self, worker: usize, done: Option<Done<A>>) -> Option<(Arc<A>, Moment)> {
        let mut state = self.state();
        if let Some(Done { activity, at, next }) = done {
            state.queues.finish(worker, &mut standing(&*activity), at);
            if let Next::Again { since } = next {
                match dispatch(&mut state, &activity, since, at) {
                    // This worker is about to look at the central queue itself, if it stays.
                    Choice::Central if state.slots[worker].state == WorkerState::Serving => {}
                    choice => self.ring_for(&mut state, choice),
                }
            }
        }
        if state.slots[worker].state == WorkerState::Starting {
            state.slots[worker].state = WorkerState::Serving;
            // When the pool ends, everything is for whoever is left.
            if state.phase == Phase::Serving {
                let nothing = state.serve();
                assert!(nothing.is_empty(), "one more worker takes nothing from the others");
            }
        }
        loop {
            let draining = state.slots[worker].state == WorkerState::Draining;
            if state.phase == Phase::GivenUp || draining && state.phase == Phase::Serving {
                break;
            }
            let now = self.clock.now();
            if let Some(activity) = state.queues.begin(worker, now) {
                state.account(now);
                return Some((activity, now));
            }
            if state.phase == Phase::Draining {
                break;
            }
            state.fall_asleep(worker, now);
            state =
                self.bells[worker].wait(state).expect("no worker panics while it holds the queue");
            state.wake_up(worker);
        }
        state.account(self.clock.now());
        state.slots[worker].state = WorkerState::Gone;
        state.threads -= 1;
        // It may have been woken for what is now left to others.
        self.ring_for_what_waits(&mut state);
        drop(state);
        self.worker_left.notify_all();
        None
    }

    fn ring_for(&self, state: &mut State<A>, choice: Choice) {
        if let Some(worker) = state.sleeper_for(choice) {
            self.bells[worker].notify_one();
        }
    }

    /// Wakes a sleeper for each activation that waits: too many do no harm, too few would let one
    /// wait beside idle workers.
    fn ring_for_what_waits(&self, state: &mut State<A>) {
        for _ in 0..state.queues.waiting() {
            let Some(worker) = state.sleeper_for(Choice::Central) else { return };
            self.bells[worker].notify_one();
        }
    }

    /// Makes the pool one of `target` workers. Those that are too many finish what they have in
    /// hand; what waits for them goes to others. Returns those whose threads the caller has to
    /// start.
    pub(super) fn resize(&self, target: usize) -> Vec<usize> {
        let mut state = self.state();
        assert!((1..=state.slots.len()).contains(&target), "{target} of {}", state.slots.len());
        let mut to_start = Vec::new();
        for worker in 0..state.slots.len() {
            let wanted = worker < target;
            let next = match state.slots[worker].state {
                WorkerState::Gone if wanted => {
                    to_start.push(worker);
                    WorkerState::Starting
                }
                WorkerState::Draining if wanted => WorkerState::Serving,
                WorkerState::Starting | WorkerState::Serving if !wanted => {
                    state.wake(worker);
                    self.bells[worker].notify_one();
                    WorkerState::Draining
                }
                unchanged => unchanged,
            };
            state.slots[worker].state = next;
        }
        state.threads += to_start.len();
        let now = self.clock.now();
        for (activity, since) in state.serve() {
            let choice = dispatch(&mut state, &activity, since, now);
            self.ring_for(&mut state, choice);
        }
        self.ring_for_what_waits(&mut state);
        state.account(now);
        to_start
    }

    /// The threads of these workers could not be started.
    pub(super) fn not_started(&self, workers: &[usize]) {
        let mut state = self.state();
        for worker in workers {
            state.slots[*worker].state = WorkerState::Gone;
        }
        state.threads -= workers.len();
    }

    /// What the pool looks like.
    pub fn view(&self) -> QueueView {
        let state = self.state();
        let now = self.clock.now();
        QueueView {
            workers: state.slots.iter().map(|slot| slot.state).collect(),
            pending: state.queues.pending().collect(),
            oldest_wait: state.queues.oldest().map_or(Duration::ZERO, |since| now.since(since)),
            idle_while_waiting: state.idle_while_waiting.total(now.since_start()),
        }
    }

    /// Lets the workers leave and tells how many are still there after `limit`.
    pub(super) fn dismiss(&self, phase: Phase, limit: Duration) -> usize {
        let mut state = self.state();
        state.phase = phase;
        // A worker that leaves must not leave a queue behind.
        state.queues.gather();
        self.bells.iter().for_each(Condvar::notify_all);
        let wait = self.worker_left.wait_timeout_while(state, limit, |state| state.threads > 0);
        wait.expect("no worker panics while it holds the queue").0.threads
    }

    #[cfg(test)]
    pub(super) fn phase(&self) -> Phase {
        self.state().phase
    }

    #[cfg(test)]
    pub(super) fn asleep(&self) -> usize {
        self.state().asleep
    }

    fn state(&self) -> MutexGuard<'_, State<A>> {
        self.state.lock().expect("no worker panics while it holds the queue")
    }
}

fn dispatch<A: Activity>(
    state: &mut State<A>,
    activity: &Arc<A>,
    since: Moment,
    now: Moment,
) -> Choice {
    let mut standing = standing(&**activity);
    state.queues.submit(Arc::clone(activity), &mut standing, since, now)
}

fn standing<A: Activity>(activity: &A) -> MutexGuard<'_, Standing> {
    activity.standing().lock().expect("nothing panics while it holds a standing")
}

impl<A> fmt::Debug for RunQueue<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunQueue").finish_non_exhaustive()
    }
}
