//! The queues between dispatch and workers: one for each worker, and one for all.
//!
//! No thread and no clock: [`crate::pool`] puts a lock and threads around this, the simulator in
//! `dispatch/simulation.rs` a virtual clock. Queues keep the room that they once needed, so that a
//! frame in steady state costs no allocation.

use std::collections::VecDeque;
use std::iter;
use std::time::Duration;

use protocol::Moment;

use crate::dispatch::{
    Choice, Dispatch, Dispatcher, InHand, PoolView, Standing, WorkEstimate, WorkerView,
};

/// Power-of-two's choices are random but repeat from run to run.
const SEED: u64 = 1;

/// What a session without history is expected to take is what frames take on the whole: slowly
/// moving, so that one odd frame does not change it.
const POOL_WEIGHT: u32 = 64;

/// What a frame is expected to take before any was measured: about what `echo` takes. Only that
/// it is the same for all matters.
const FIRST_GUESS: Duration = Duration::from_micros(350);

/// Activations that wait for their worker, or for any; `T` is the session.
#[derive(Debug)]
pub(crate) struct RunQueues<T> {
    dispatcher: Dispatcher,
    /// A worker, and its queue at the same index below; there may be more than serve.
    workers: Vec<WorkerView>,
    own: Vec<VecDeque<Waiting<T>>>,
    central: VecDeque<Waiting<T>>,
    /// The policy sees only so many workers, from the first on.
    serving: usize,
    /// Activations in all queues.
    waiting: usize,
    /// Work of a frame of any session.
    usual: WorkEstimate,
}

#[derive(Debug)]
struct Waiting<T> {
    session: T,
    /// When the frame arrived that is to be run.
    since: Moment,
    expected: Duration,
}

impl<T> RunQueues<T> {
    /// Queues for up to `workers` workers, all of which serve.
    pub(crate) fn new(dispatch: Dispatch, workers: usize) -> Self {
        Self {
            dispatcher: Dispatcher::new(dispatch, SEED),
            workers: vec![WorkerView::default(); workers],
            own: iter::repeat_with(VecDeque::new).take(workers).collect(),
            central: VecDeque::new(),
            serving: workers,
            waiting: 0,
            usual: WorkEstimate::new(POOL_WEIGHT),
        }
    }

    /// Puts `session`, which has just become active or is so again, at the tail of the queue that
    /// the policy chooses; tells which. The frame to be run has waited since `since`.
    pub(crate) fn submit(
        &mut self,
        session: T,
        standing: &mut Standing,
        since: Moment,
        now: Moment,
    ) -> Choice {
        let expected = standing.expected().or(self.usual.mean()).unwrap_or(FIRST_GUESS);
        let view = PoolView { now, workers: &self.workers[..self.serving] };
        let choice = self.dispatcher.choose(&view, &standing.activation());
        let waiting = Waiting { session, since, expected };
        self.waiting += 1;
        match choice {
            Choice::Central => self.central.push_back(waiting),
            Choice::Worker(worker) => {
                standing.placed(worker);
                self.own[worker].push_back(waiting);
                self.workers[worker].queued += 1;
                self.workers[worker].queued_work += expected;
            }
        }
        choice
    }

    /// Hands `worker`, which has nothing in hand, the session whose frame it is to run next.
    pub(crate) fn begin(&mut self, worker: usize, now: Moment) -> Option<T> {
        let view = &mut self.workers[worker];
        let Waiting { session, expected, .. } = match self.own[worker].pop_front() {
            Some(waiting) => {
                view.queued -= 1;
                view.queued_work -= waiting.expected;
                waiting
            }
            None => self.central.pop_front()?,
        };
        self.waiting -= 1;
        view.in_hand = Some(InHand { since: now, expected });
        Some(session)
    }

    /// `worker` is done with the frame in hand, which was the session's with this `standing`.
    pub(crate) fn finish(&mut self, worker: usize, standing: &mut Standing, now: Moment) {
        let in_hand = self.workers[worker].in_hand.take().expect("it was given a session");
        let took = now.since(in_hand.since);
        standing.worked(took);
        self.usual.record(took);
    }

    /// From here on the first `serving` workers, at least one, are given work. Hands back what
    /// waits for others, each with the arrival of its frame: it is to be submitted again.
    pub(crate) fn serve_with(&mut self, serving: usize) -> Vec<(T, Moment)> {
        assert!((1..=self.workers.len()).contains(&serving), "of {} workers", self.workers.len());
        self.serving = serving;
        let mut back = Vec::new();
        for (own, view) in self.own.iter_mut().zip(&mut self.workers).skip(serving) {
            back.extend(own.drain(..).map(|waiting| (waiting.session, waiting.since)));
            (view.queued, view.queued_work) = (0, Duration::ZERO);
        }
        self.waiting -= back.len();
        back
    }

    /// Activations that wait, in whatever queue.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting
    }

    /// For each worker that serves, what it has queued and in hand.
    pub(crate) fn pending(&self) -> impl Iterator<Item = usize> {
        self.workers[..self.serving].iter().map(WorkerView::pending)
    }

    /// When the frame arrived that has waited longest of those whose turn it is.
    pub(crate) fn oldest(&self) -> Option<Moment> {
        let queues = self.own.iter().chain(iter::once(&self.central));
        queues.flatten().map(|waiting| waiting.since).min()
    }

    /// From here on, what waits and what comes is for whoever is free: so that workers can leave
    /// one by one and nothing is left behind.
    pub(crate) fn gather(&mut self) {
        self.dispatcher = Dispatcher::new(Dispatch::CentralQueue, SEED);
        for (own, view) in self.own.iter_mut().zip(&mut self.workers) {
            self.central.append(own);
            (view.queued, view.queued_work) = (0, Duration::ZERO);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment::START;

    #[test]
    fn a_worker_takes_what_is_its_own_in_order_and_nothing_else() {
        let mut queues = RunQueues::new(Dispatch::RoundRobin, 2);
        let mut standing = Standing::new(0);
        for session in ['a', 'b', 'c'] {
            let _ = queues.submit(session, &mut standing, START, START);
        }
        assert_eq!(queues.begin(0, START), Some('a'));
        queues.finish(0, &mut standing, START);
        assert_eq!((queues.begin(0, START), queues.begin(1, START)), (Some('c'), Some('b')));
        assert!(queues.workers.iter().all(|worker| worker.pending() == 1));
    }

    #[test]
    fn a_session_without_history_is_expected_to_be_like_the_others() {
        let mut queues = RunQueues::new(Dispatch::LeastWork, 1);
        let expected = |queues: &RunQueues<char>| queues.workers[0].queued_work;
        let mut known = Standing::new(1);
        let _ = queues.submit('a', &mut known, START, START);
        assert_eq!(expected(&queues), FIRST_GUESS);
        assert_eq!(queues.begin(0, START), Some('a'));
        queues.finish(0, &mut known, Moment::from_millis(20));
        let _ = queues.submit('b', &mut Standing::new(2), START, START);
        assert_eq!(expected(&queues), Duration::from_millis(20));
    }

    #[test]
    fn workers_that_do_not_serve_are_given_nothing_and_lose_what_waits() {
        let mut queues = RunQueues::new(Dispatch::RoundRobin, 4);
        let at = Moment::from_millis;
        for session in 0..8 {
            let _ = queues.submit(session, &mut Standing::new(session), at(session), at(9));
        }
        assert_eq!(queues.begin(3, at(9)), Some(3), "a frame in hand is finished");
        assert_eq!(queues.serve_with(2), [(2, at(2)), (6, at(6)), (7, at(7))]);
        assert_eq!((queues.waiting(), queues.oldest()), (4, Some(at(0))));
        assert_eq!(queues.pending().collect::<Vec<_>>(), [2, 2]);
        for session in [2, 6, 7] {
            let choice = queues.submit(session, &mut Standing::new(session), at(session), at(9));
            assert!(matches!(choice, Choice::Worker(0 | 1)), "{choice:?}");
        }
        queues.finish(3, &mut Standing::new(3), at(10));
        assert_eq!(queues.waiting(), 7);
        assert_eq!(queues.serve_with(4), [], "those that come back have nothing yet");
        assert_eq!(queues.pending().sum::<usize>(), 7);
    }

    #[test]
    fn what_was_gathered_is_for_anybody() {
        let mut queues = RunQueues::new(Dispatch::LeastPending, 3);
        let mut standing = Standing::new(0);
        for session in 0..6 {
            let _ = queues.submit(session, &mut standing, START, START);
        }
        queues.gather();
        assert_eq!(queues.submit(6, &mut standing, START, START), Choice::Central);
        let mut taken = Vec::new();
        while let Some(session) = queues.begin(2, START) {
            queues.finish(2, &mut standing, START);
            taken.push(session);
        }
        taken.sort_unstable();
        assert_eq!(taken, [0, 1, 2, 3, 4, 5, 6]);
    }
}
