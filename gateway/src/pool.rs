//! Worker threads that run sessions, one frame at a time.
//!
//! The pool knows nothing of audio. It is given an [`Activity`] when that has work, and runs one
//! piece of it; if more waits, the activity is dispatched anew, so that all get their turn. As an
//! activity is never in the queues twice ([`crate::mailbox`]), its work is done in order, one piece
//! at a time, on whichever worker the policy ([`crate::dispatch`]) chooses.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fmt, io, iter};

use platform::Clock;
use protocol::Moment;
use serde::Deserialize;

use crate::dispatch::{Choice, Dispatch, Standing};
use crate::duration_text;
use crate::mailbox::Next;
use crate::run_queues::RunQueues;

/// How many workers there are, and how they stop.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolSettings {
    /// Codec worker threads, 1 to 256; 2. More than there are cores adds nothing but switching.
    pub workers: usize,
    /// How frames get their worker; `central-queue`. The others are there to be compared with it:
    /// with them, frames wait for one worker while another may be idle.
    pub dispatch: Dispatch,
    /// How long a stopping gateway goes on with frames already accepted; 1 s. What is left then is
    /// dropped and counted.
    #[serde(deserialize_with = "duration_text::deserialize")]
    pub drain: Duration,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self { workers: 2, dispatch: Dispatch::default(), drain: Duration::from_secs(1) }
    }
}

/// How long a worker may take to notice that a drain was given up; it is left behind after that.
const GIVE_UP_GRACE: Duration = Duration::from_secs(1);

/// Something with work waiting, run by one worker at a time.
pub(crate) trait Activity: Send + Sync + 'static {
    /// What a worker lends to every activity that it runs: buffers, sockets, counters.
    type Desk;

    /// Does one piece of work.
    fn run_one(&self, desk: &mut Self::Desk);

    /// Tells whether more work waits, after each piece.
    fn settle(&self) -> Next;

    /// The piece of work panicked and is lost.
    fn panicked(&self);

    /// What dispatch remembers of it; only the pool looks at it, and never for long.
    fn standing(&self) -> &Mutex<Standing>;
}

/// The activities that wait for a worker, and the workers that wait for one.
pub(crate) struct RunQueue<A> {
    state: Mutex<State<A>>,
    clock: Clock,
    /// For each worker: work came for it, or the phase changed.
    bells: Vec<Condvar>,
    worker_left: Condvar,
}

struct State<A> {
    queues: RunQueues<Arc<A>>,
    phase: Phase,
    workers: usize,
    /// Since when each worker sleeps, unless it was woken: waking costs a system call, and a worker
    /// that is awake looks at its queue anyway.
    asleep: Vec<Option<Moment>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Workers leave when nothing waits.
    Draining,
    /// Workers leave at once.
    GivenUp,
}

/// An activity whose work of the moment is done.
struct Done<A> {
    activity: Arc<A>,
    at: Moment,
    next: Next,
}

impl<A> State<A> {
    /// Who has to be woken for what was put into the queue of `choice`: with the central queue,
    /// whoever has slept longest, so that all get to work.
    fn sleeper_for(&mut self, choice: Choice) -> Option<usize> {
        let sleeper = match choice {
            Choice::Worker(worker) => worker,
            Choice::Central => {
                let sleepers = self.asleep.iter().enumerate();
                let since = sleepers.filter_map(|(worker, since)| Some((worker, (*since)?)));
                since.min_by_key(|(_, since)| *since)?.0
            }
        };
        self.asleep[sleeper].take().map(|_| sleeper)
    }
}

impl<A: Activity> RunQueue<A> {
    fn new(workers: usize, dispatch: Dispatch, clock: Clock) -> Self {
        Self {
            state: Mutex::new(State {
                queues: RunQueues::new(dispatch, workers),
                phase: Phase::Serving,
                workers,
                asleep: vec![None; workers],
            }),
            clock,
            bells: iter::repeat_with(Condvar::new).take(workers).collect(),
            worker_left: Condvar::new(),
        }
    }

    /// Dispatches an activity that has become active.
    pub(crate) fn submit(&self, activity: &Arc<A>) {
        let mut state = self.state();
        let choice = self.dispatch(&mut state, activity);
        let sleeper = state.sleeper_for(choice);
        drop(state);
        if let Some(worker) = sleeper {
            self.bells[worker].notify_one();
        }
    }

    fn dispatch(&self, state: &mut State<A>, activity: &Arc<A>) -> Choice {
        let mut standing = standing(&**activity);
        state.queues.submit(Arc::clone(activity), &mut standing, self.clock.now())
    }

    /// Takes back what `worker` has done and gives it what is next, once there is something;
    /// `None` when it has to leave.
    fn next(&self, worker: usize, done: Option<Done<A>>) -> Option<Arc<A>> {
        let mut state = self.state();
        if let Some(Done { activity, at, next }) = done {
            state.queues.finish(worker, &mut standing(&*activity), at);
            if next == Next::Again {
                match self.dispatch(&mut state, &activity) {
                    // This worker is about to look at the central queue itself.
                    Choice::Central => {}
                    choice @ Choice::Worker(_) => {
                        if let Some(other) = state.sleeper_for(choice) {
                            self.bells[other].notify_one();
                        }
                    }
                }
            }
        }
        loop {
            if state.phase == Phase::GivenUp {
                return None;
            }
            if let Some(activity) = state.queues.begin(worker, self.clock.now()) {
                return Some(activity);
            }
            if state.phase == Phase::Draining {
                return None;
            }
            state.asleep[worker] = Some(self.clock.now());
            state =
                self.bells[worker].wait(state).expect("no worker panics while it holds the queue");
            state.asleep[worker] = None;
        }
    }

    fn leave(&self) {
        self.state().workers -= 1;
        self.worker_left.notify_all();
    }

    /// Lets the workers leave and tells how many are still there after `limit`.
    fn dismiss(&self, phase: Phase, limit: Duration) -> usize {
        let mut state = self.state();
        state.phase = phase;
        // A worker that leaves must not leave a queue behind.
        state.queues.gather();
        self.bells.iter().for_each(Condvar::notify_all);
        let wait = self.worker_left.wait_timeout_while(state, limit, |state| state.workers > 0);
        wait.expect("no worker panics while it holds the queue").0.workers
    }

    fn state(&self) -> MutexGuard<'_, State<A>> {
        self.state.lock().expect("no worker panics while it holds the queue")
    }
}

fn standing<A: Activity>(activity: &A) -> MutexGuard<'_, Standing> {
    activity.standing().lock().expect("nothing panics while it holds a standing")
}

impl<A> fmt::Debug for RunQueue<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunQueue").finish_non_exhaustive()
    }
}

/// A fixed number of workers around their queues.
#[derive(Debug)]
pub(crate) struct Pool<A> {
    queue: Arc<RunQueue<A>>,
    threads: Vec<JoinHandle<()>>,
}

impl<A: Activity> Pool<A> {
    /// Starts `workers` threads, each with a desk of its own; a worker that panics is given a
    /// fresh one.
    ///
    /// # Errors
    /// When the system refuses a thread; those started before have left by then.
    pub(crate) fn start(
        workers: usize,
        dispatch: Dispatch,
        clock: Clock,
        make_desk: impl Fn() -> A::Desk + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let queue = Arc::new(RunQueue::new(workers, dispatch, clock));
        let mut pool = Self { queue, threads: Vec::new() };
        for index in 0..workers {
            let (queue, make_desk) = (Arc::clone(&pool.queue), make_desk.clone());
            let thread = thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || work(index, &queue, &make_desk));
            match thread {
                Ok(thread) => pool.threads.push(thread),
                Err(error) => {
                    pool.queue.state().workers = index;
                    pool.drain(Duration::ZERO);
                    return Err(error);
                }
            }
        }
        Ok(pool)
    }

    /// Where activities are submitted.
    pub(crate) fn queue(&self) -> Arc<RunQueue<A>> {
        Arc::clone(&self.queue)
    }

    /// Lets the workers finish what waits, for `limit` at most, and ends them. Returns how many
    /// were still busy with one piece of work a second after that; these are left behind.
    pub(crate) fn drain(self, limit: Duration) -> usize {
        let mut busy = self.queue.dismiss(Phase::Draining, limit);
        if busy > 0 {
            busy = self.queue.dismiss(Phase::GivenUp, GIVE_UP_GRACE);
        }
        if busy == 0 {
            for thread in self.threads {
                thread.join().expect("workers catch the panics of their work");
            }
        }
        busy
    }
}

fn work<A: Activity>(worker: usize, queue: &RunQueue<A>, make_desk: &impl Fn() -> A::Desk) {
    let mut desk = make_desk();
    let mut done = None;
    while let Some(activity) = queue.next(worker, done.take()) {
        // The desk is replaced after a panic, and activities expect one in the middle of a piece.
        if catch_unwind(AssertUnwindSafe(|| activity.run_one(&mut desk))).is_err() {
            activity.panicked();
            desk = make_desk();
        }
        let (at, next) = (queue.clock.now(), activity.settle());
        done = Some(Done { activity, at, next });
    }
    queue.leave();
}

#[cfg(test)]
mod tests;
