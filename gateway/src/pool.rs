//! Worker threads that run sessions, one frame at a time.
//!
//! The pool knows nothing of audio. It is given an [`Activity`] when that has work, and runs one
//! piece of it; if more waits, the activity is dispatched anew, so that all get their turn. As an
//! activity is never in the queues twice ([`crate::mailbox`]), its work is done in order, one piece
//! at a time, on whichever worker the policy ([`crate::dispatch`]) chooses. Workers can be added
//! and taken away at any time; no work is lost by it.

mod run_queue;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fmt, io};

use platform::Clock;
use protocol::Moment;
use serde::Deserialize;

use crate::dispatch::{Dispatch, Standing};
use crate::duration_text;
use crate::mailbox::Next;

use run_queue::{Done, Phase};
pub use run_queue::{QueueView, RunQueue, WorkerState};

/// How many workers there are, and how they stop.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolSettings {
    /// Codec worker threads, 1 to 256; 2. More than there are cores adds nothing but switching. An
    /// autoscaled pool has a minimum and a maximum instead.
    pub workers: usize,
    /// How frames get their worker; `central-queue`. The others are there to be compared with it:
    /// with them, frames wait for one worker while another may be idle.
    pub dispatch: Dispatch,
    /// How long a frame may wait for a worker, up to 1 m; left out: as long as it takes. One that
    /// waited longer is dropped when its turn comes, and counted with its device and its wait.
    /// Production had 50 ms, then 150 ms.
    #[serde(deserialize_with = "duration_text::optional::deserialize")]
    pub worker_timeout: Option<Duration>,
    /// How long a stopping gateway goes on with frames already accepted; 1 s. What is left then is
    /// dropped and counted.
    #[serde(deserialize_with = "duration_text::deserialize")]
    pub drain: Duration,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self {
            workers: 2,
            dispatch: Dispatch::default(),
            worker_timeout: None,
            drain: Duration::from_secs(1),
        }
    }
}

/// How long a worker may take to notice that a drain was given up; it is left behind after that.
const GIVE_UP_GRACE: Duration = Duration::from_secs(1);

/// Something with work waiting, run by one worker at a time.
pub trait Activity: Send + Sync + 'static {
    /// What a worker lends to every activity that it runs: buffers, sockets, counters.
    type Desk;

    /// Does one piece of work; the worker has it since `began`.
    fn run_one(&self, desk: &mut Self::Desk, began: Moment);

    /// Tells whether more work waits, after each piece.
    fn settle(&self) -> Next;

    /// The piece of work panicked and is lost.
    fn panicked(&self);

    /// What dispatch remembers of it; only the pool looks at it, and never for long.
    fn standing(&self) -> &Mutex<Standing>;
}

/// Workers around their queues, as many as are wanted at the time.
pub struct Pool<A: Activity> {
    queue: Arc<RunQueue<A>>,
    clock: Clock,
    make_desk: MakeDesk<A>,
    /// Of each worker that there may be, its last thread.
    threads: Mutex<Vec<Option<JoinHandle<()>>>>,
}

/// Makes the desk of the worker with this number.
type MakeDesk<A> = Arc<dyn Fn(usize) -> <A as Activity>::Desk + Send + Sync>;

impl<A: Activity> Pool<A> {
    /// Starts `workers` threads, of up to `most`, each with a desk of its own; a worker that panics
    /// is given a fresh one.
    ///
    /// # Errors
    /// When the system refuses a thread; those started before have left by then.
    pub fn start(
        workers: usize,
        most: usize,
        dispatch: Dispatch,
        clock: Clock,
        make_desk: impl Fn(usize) -> A::Desk + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let queue = Arc::new(RunQueue::new(workers, most, dispatch, clock));
        let threads = Mutex::new((0..most).map(|_| None).collect());
        let pool = Self { queue, clock, make_desk: Arc::new(make_desk), threads };
        match pool.start_threads(&(0..workers).collect::<Vec<_>>()) {
            Ok(()) => Ok(pool),
            Err(error) => {
                pool.drain(Duration::ZERO);
                Err(error)
            }
        }
    }

    /// Where activities are submitted.
    pub fn queue(&self) -> &Arc<RunQueue<A>> {
        &self.queue
    }

    /// Makes the pool one of `target` workers, at least one and at most as many as it was made for.
    /// New ones serve as soon as their threads have arrived. The newest go first, each when it has
    /// finished what it has in hand; what waits for them goes to others.
    ///
    /// # Errors
    /// When the system refuses a thread: the pool is then as large as it could be made.
    pub fn resize(&self, target: usize) -> io::Result<()> {
        self.start_threads(&self.queue.resize(target))
    }

    fn start_threads(&self, workers: &[usize]) -> io::Result<()> {
        let mut threads = self.threads();
        for (nth, &worker) in workers.iter().enumerate() {
            // One that served here before has left the queue and is ending, if it has not.
            if let Some(before) = threads[worker].take() {
                join(before);
            }
            let (queue, make_desk) = (Arc::clone(&self.queue), Arc::clone(&self.make_desk));
            let clock = self.clock;
            let thread = thread::Builder::new()
                .name(format!("worker-{worker}"))
                .spawn(move || work(worker, &queue, clock, &*make_desk));
            match thread {
                Ok(thread) => threads[worker] = Some(thread),
                Err(error) => {
                    self.queue.not_started(&workers[nth..]);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Lets the workers finish what waits, for `limit` at most, and ends them. Returns how many
    /// were still busy with one piece of work a second after that; these are left behind.
    pub fn drain(self, limit: Duration) -> usize {
        let mut busy = self.queue.dismiss(Phase::Draining, limit);
        if busy > 0 {
            busy = self.queue.dismiss(Phase::GivenUp, GIVE_UP_GRACE);
        }
        if busy == 0 {
            self.threads().drain(..).flatten().for_each(join);
        }
        busy
    }

    fn threads(&self) -> MutexGuard<'_, Vec<Option<JoinHandle<()>>>> {
        self.threads.lock().expect("nothing panics while it holds the threads")
    }
}

fn join(thread: JoinHandle<()>) {
    thread.join().expect("workers catch the panics of their work");
}

fn work<A: Activity>(
    worker: usize,
    queue: &RunQueue<A>,
    clock: Clock,
    make_desk: &(dyn Fn(usize) -> A::Desk + Send + Sync),
) {
    let mut desk = make_desk(worker);
    let mut done = None;
    while let Some((activity, began)) = queue.next(worker, done.take()) {
        // The desk is replaced after a panic, and activities expect one in the middle of a piece.
        if catch_unwind(AssertUnwindSafe(|| activity.run_one(&mut desk, began))).is_err() {
            activity.panicked();
            desk = make_desk(worker);
        }
        let (at, next) = (clock.now(), activity.settle());
        done = Some(Done { activity, at, next });
    }
}

impl<A: Activity> fmt::Debug for Pool<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("queue", &self.queue).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
