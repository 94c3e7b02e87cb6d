//! A pool on a virtual clock: the queues, policies and mailboxes of the gateway, with workers that
//! take exactly as long as they are told.
//!
//! At one instant frames are finished before others arrive, lowest worker first.

mod oracles;
mod poisson;
mod properties;

use std::iter;
use std::time::Duration;

use protocol::Moment;

use super::{Choice, Dispatch, Standing};
use crate::mailbox::{Mailbox, Next, Posted};
use crate::run_queues::RunQueues;

/// A frame of the load.
#[derive(Clone, Copy, Debug)]
struct Frame {
    at: Moment,
    session: usize,
    work: Duration,
}

/// What became of a frame.
#[derive(Clone, Copy, Debug)]
struct Served {
    /// Its place among all frames, in order of arrival.
    number: usize,
    frame: Frame,
    worker: usize,
    began: Moment,
    ended: Moment,
}

impl Served {
    fn wait(&self) -> Duration {
        self.began.since(self.frame.at)
    }

    fn sojourn(&self) -> Duration {
        self.ended.since(self.frame.at)
    }
}

#[derive(Debug)]
struct Session {
    mailbox: Mailbox<(usize, Frame)>,
    standing: Standing,
    in_hand: bool,
}

#[derive(Debug)]
struct World {
    queues: RunQueues<usize>,
    sessions: Vec<Session>,
    /// What each worker runs.
    workers: Vec<Option<Served>>,
    arrived: usize,
}

impl World {
    fn new(dispatch: Dispatch, workers: usize, sessions: usize) -> Self {
        let session = |key| Session {
            mailbox: Mailbox::new(usize::MAX),
            standing: Standing::new(key),
            in_hand: false,
        };
        Self {
            queues: RunQueues::new(dispatch, workers),
            sessions: (0..).map(session).take(sessions).collect(),
            workers: vec![None; workers],
            arrived: 0,
        }
    }

    /// The sessions have worked before, and took this long for every frame.
    fn with_known_work(mut self, work: impl Fn(usize) -> Duration) -> Self {
        for (number, session) in self.sessions.iter_mut().enumerate() {
            session.standing.worked(work(number));
        }
        self
    }

    /// Runs `frames`, which are in order, to the end.
    fn run(mut self, frames: impl IntoIterator<Item = Frame>, mut served: impl FnMut(Served)) {
        for frame in frames {
            iter::from_fn(|| self.finish_one(frame.at)).for_each(&mut served);
            self.arrive(frame);
        }
        iter::from_fn(|| self.finish_one(Moment::from_nanos(u64::MAX))).for_each(&mut served);
        assert!(self.sessions.iter().all(|session| session.mailbox.is_idle()));
    }

    fn arrive(&mut self, frame: Frame) {
        let Session { mailbox, standing, .. } = &mut self.sessions[frame.session];
        let posted = mailbox.post(frame.at, (self.arrived, frame));
        self.arrived += 1;
        if posted == Posted::Activate {
            let choice = self.queues.submit(frame.session, standing, frame.at, frame.at);
            self.wake(choice, frame.at);
        }
    }

    /// Has an idle worker look at the queue of `choice`.
    fn wake(&mut self, choice: Choice, now: Moment) {
        let idle = match choice {
            Choice::Worker(worker) => self.workers[worker].is_none().then_some(worker),
            Choice::Central => self.workers.iter().position(Option::is_none),
        };
        if let Some(worker) = idle {
            self.begin(worker, now);
        }
    }

    fn begin(&mut self, worker: usize, now: Moment) {
        let Some(number) = self.queues.begin(worker, now) else { return };
        let session = &mut self.sessions[number];
        assert!(!session.in_hand, "session {number} is on two workers");
        session.in_hand = true;
        let (_, (number, frame)) = session.mailbox.take().expect("activated without work");
        let ended = now + frame.work;
        self.workers[worker] = Some(Served { number, frame, worker, began: now, ended });
    }

    /// Goes on to the next frame that ends, if that is not after `until`.
    fn finish_one(&mut self, until: Moment) -> Option<Served> {
        let served = self.next_to_end()?;
        let (session, now) = (served.frame.session, served.ended);
        if now > until {
            return None;
        }
        self.workers[served.worker] = None;
        let Session { mailbox, standing, in_hand } = &mut self.sessions[session];
        *in_hand = false;
        self.queues.finish(served.worker, standing, now);
        let again = match mailbox.settle() {
            Next::Again { since } => Some(self.queues.submit(session, standing, since, now)),
            Next::Idle => None,
        };
        self.begin(served.worker, now);
        if let Some(choice) = again {
            self.wake(choice, now);
        }
        Some(served)
    }

    /// Of the frames in hand, the one that ends first.
    fn next_to_end(&self) -> Option<Served> {
        // A plain loop: in a debug build half the time of a simulation goes by here.
        let mut next: Option<&Served> = None;
        for served in self.workers.iter().flatten() {
            if next.is_none_or(|next| served.ended < next.ended) {
                next = Some(served);
            }
        }
        next.copied()
    }
}
