//! Worker threads that run sessions, one frame at a time.
//!
//! The pool knows nothing of audio. It is given an [`Activity`] when that has work, and runs one
//! piece of it; if more waits, the activity goes to the tail of the queue, so that all get their
//! turn. As an activity is never in the queue twice ([`crate::mailbox`]), its work is done in
//! order, one piece at a time, on whichever worker is free.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use std::{fmt, io};

use serde::Deserialize;

use crate::duration_text;
use crate::mailbox::Next;

/// How many workers there are, and how they stop.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PoolSettings {
    /// Codec worker threads, 1 to 256; 2. More than there are cores adds nothing but switching.
    pub workers: usize,
    /// How long a stopping gateway goes on with frames already accepted; 1 s. What is left then is
    /// dropped and counted.
    #[serde(deserialize_with = "duration_text::deserialize")]
    pub drain: Duration,
}

impl Default for PoolSettings {
    fn default() -> Self {
        Self { workers: 2, drain: Duration::from_secs(1) }
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
}

/// The activities that wait for a worker, in the order in which they will be run.
pub(crate) struct RunQueue<A> {
    state: Mutex<State<A>>,
    /// Work came, or the phase changed.
    changed: Condvar,
    worker_left: Condvar,
}

struct State<A> {
    waiting: VecDeque<Arc<A>>,
    phase: Phase,
    workers: usize,
    /// Workers that wait for work; when there are none, nobody needs to be woken.
    idle: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Serving,
    /// Workers leave when nothing waits.
    Draining,
    /// Workers leave at once.
    GivenUp,
}

impl<A> RunQueue<A> {
    fn new(workers: usize) -> Self {
        Self {
            state: Mutex::new(State {
                waiting: VecDeque::new(),
                phase: Phase::Serving,
                workers,
                idle: 0,
            }),
            changed: Condvar::new(),
            worker_left: Condvar::new(),
        }
    }

    /// Puts an activity that has become active at the tail.
    pub(crate) fn submit(&self, activity: Arc<A>) {
        let mut state = self.state();
        state.waiting.push_back(activity);
        let somebody_sleeps = state.idle > 0;
        drop(state);
        // Waking costs a system call, and a busy worker looks at the queue anyway.
        if somebody_sleeps {
            self.changed.notify_one();
        }
    }

    /// Puts back what a worker has not finished and gives it what is next, once there is something;
    /// `None` when the worker has to leave.
    fn next(&self, unfinished: Option<Arc<A>>) -> Option<Arc<A>> {
        let mut state = self.state();
        state.waiting.extend(unfinished);
        loop {
            if state.phase == Phase::GivenUp {
                return None;
            }
            if let Some(activity) = state.waiting.pop_front() {
                return Some(activity);
            }
            if state.phase == Phase::Draining {
                return None;
            }
            state.idle += 1;
            state = self.changed.wait(state).expect("no worker panics while it holds the queue");
            state.idle -= 1;
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
        self.changed.notify_all();
        let wait = self.worker_left.wait_timeout_while(state, limit, |state| state.workers > 0);
        wait.expect("no worker panics while it holds the queue").0.workers
    }

    fn state(&self) -> MutexGuard<'_, State<A>> {
        self.state.lock().expect("no worker panics while it holds the queue")
    }
}

impl<A> fmt::Debug for RunQueue<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunQueue").finish_non_exhaustive()
    }
}

/// A fixed number of workers around one queue.
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
        make_desk: impl Fn() -> A::Desk + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let mut pool = Self { queue: Arc::new(RunQueue::new(workers)), threads: Vec::new() };
        for index in 0..workers {
            let (queue, make_desk) = (Arc::clone(&pool.queue), make_desk.clone());
            let thread = thread::Builder::new()
                .name(format!("worker-{index}"))
                .spawn(move || work(&queue, &make_desk));
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

fn work<A: Activity>(queue: &RunQueue<A>, make_desk: &impl Fn() -> A::Desk) {
    let mut desk = make_desk();
    let mut unfinished = None;
    while let Some(activity) = queue.next(unfinished.take()) {
        // The desk is replaced after a panic, and activities expect one in the middle of a piece.
        if catch_unwind(AssertUnwindSafe(|| activity.run_one(&mut desk))).is_err() {
            activity.panicked();
            desk = make_desk();
        }
        unfinished = match activity.settle() {
            Next::Again => Some(activity),
            Next::Idle => None,
        };
    }
    queue.leave();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::{Mailbox, Posted};
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};

    /// How long a test waits for what must happen; never reached when all is well.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// Numbered pieces of work. Each tells when it begins and, if the line has a gate, ends only
    /// when it is let through.
    struct Line {
        name: char,
        mailbox: Mutex<Mailbox<u32>>,
        begun: Sender<(char, u32)>,
        gate: Option<Mutex<Receiver<()>>>,
        done: Mutex<Vec<u32>>,
        in_hand: AtomicBool,
        panics: AtomicUsize,
    }

    impl Line {
        fn new(name: char, begun: &Sender<(char, u32)>, gate: Option<Receiver<()>>) -> Arc<Self> {
            Arc::new(Self {
                name,
                mailbox: Mutex::new(Mailbox::new(1000)),
                begun: begun.clone(),
                gate: gate.map(Mutex::new),
                done: Mutex::default(),
                in_hand: AtomicBool::new(false),
                panics: AtomicUsize::new(0),
            })
        }

        fn post(self: &Arc<Self>, queue: &RunQueue<Line>, pieces: impl Iterator<Item = u32>) {
            for piece in pieces {
                if self.mailbox.lock().unwrap().post(piece) == Posted::Activate {
                    queue.submit(Arc::clone(self));
                }
            }
        }
    }

    /// The piece of work that panics.
    const BAD: u32 = 666;

    impl Activity for Line {
        type Desk = ();

        fn run_one(&self, (): &mut ()) {
            assert!(!self.in_hand.swap(true, Ordering::SeqCst), "{} is on two workers", self.name);
            let piece = self.mailbox.lock().unwrap().take().expect("activated without work");
            self.begun.send((self.name, piece)).unwrap();
            if let Some(gate) = &self.gate {
                gate.lock().unwrap().recv().unwrap();
            }
            self.in_hand.store(false, Ordering::SeqCst);
            assert!(piece != BAD);
            self.done.lock().unwrap().push(piece);
        }

        fn settle(&self) -> Next {
            self.mailbox.lock().unwrap().settle()
        }

        fn panicked(&self) {
            self.panics.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn pool(workers: usize) -> Pool<Line> {
        Pool::start(workers, || ()).unwrap()
    }

    #[test]
    fn a_slow_session_keeps_its_order_and_its_worker_and_delays_nobody_else() {
        let (pool, (begun, begins)) = (pool(2), channel());
        let (let_through, gate) = channel();
        let slow = Line::new('s', &begun, Some(gate));
        slow.post(&pool.queue(), 0..3);
        assert_eq!(begins.recv_timeout(PATIENCE), Ok(('s', 0)), "one worker is held from here on");

        // The other worker serves the other sessions to the end, in turns, and never the slow one.
        let quick = ['a', 'b', 'c'].map(|name| Line::new(name, &begun, None));
        for line in &quick {
            line.post(&pool.queue(), 0..50);
        }
        let mut seen = Vec::new();
        while seen.len() < 150 {
            seen.push(begins.recv_timeout(PATIENCE).unwrap());
        }
        assert!(seen.iter().all(|(name, _)| *name != 's'), "{seen:?}");

        for _ in 0..3 {
            let_through.send(()).unwrap();
        }
        assert_eq!(pool.drain(PATIENCE), 0);
        assert_eq!(*slow.done.lock().unwrap(), [0, 1, 2]);
        for line in &quick {
            assert!(line.done.lock().unwrap().iter().copied().eq(0..50), "{}", line.name);
        }
    }

    #[test]
    fn sessions_take_turns() {
        let (pool, (begun, begins)) = (pool(1), channel());
        let (let_through, gate) = channel();
        let first = Line::new('f', &begun, Some(gate));
        first.post(&pool.queue(), 0..1);
        assert_eq!(begins.recv_timeout(PATIENCE), Ok(('f', 0)));
        for name in ['a', 'b'] {
            Line::new(name, &begun, None).post(&pool.queue(), 0..2);
        }
        let_through.send(()).unwrap();
        assert_eq!(pool.drain(PATIENCE), 0);
        let order: Vec<_> = begins.try_iter().collect();
        assert_eq!(order, [('a', 0), ('b', 0), ('a', 1), ('b', 1)]);
    }

    #[test]
    fn a_panic_loses_one_piece_of_work_and_neither_the_session_nor_the_worker() {
        let (pool, (begun, _begins)) = (pool(1), channel());
        let line = Line::new('a', &begun, None);
        line.post(&pool.queue(), [1, BAD, 2].into_iter());
        assert_eq!(pool.drain(PATIENCE), 0);
        assert_eq!(*line.done.lock().unwrap(), [1, 2]);
        assert_eq!(line.panics.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_drain_that_is_given_up_leaves_work_undone() {
        let (pool, (begun, begins)) = (pool(1), channel());
        let (let_through, gate) = channel();
        let line = Line::new('s', &begun, Some(gate));
        line.post(&pool.queue(), 0..3);
        assert_eq!(begins.recv_timeout(PATIENCE), Ok(('s', 0)));
        let queue = pool.queue();
        let drain = thread::spawn(move || pool.drain(Duration::ZERO));
        while queue.state().phase != Phase::GivenUp {
            thread::yield_now();
        }
        let_through.send(()).unwrap();
        assert_eq!(drain.join().unwrap(), 0);
        assert_eq!(*line.done.lock().unwrap(), [0]);
        assert_eq!(line.mailbox.lock().unwrap().close().count(), 2);
    }
}
