//! The frames of one session that wait for a worker, and whether a worker is on its way.
//!
//! ```text
//! Idle ──post──▶ Active (in the run queue once, or with one worker)
//!  ▲               │ settle: frames wait, so it goes to the tail of the queue
//!  └──settle───────┘ none wait
//! ```
//! That a session is activated only when it is idle is what keeps its frames in order and on one
//! worker at a time, whatever the pool does.

use std::collections::VecDeque;

use protocol::Moment;

/// A bounded queue that knows when its owner must be given to the pool.
#[derive(Debug)]
pub struct Mailbox<F> {
    /// Each with its arrival.
    waiting: VecDeque<(Moment, F)>,
    bound: usize,
    active: bool,
    closed: bool,
}

/// What the poster of a frame must do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Posted {
    /// Give the session to the pool.
    Activate,
    /// Nothing: the session is in the pool already.
    Waits,
}

/// What becomes of a session whose frame was run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// Frames wait, the oldest of them since then: it goes to the tail of the queue.
    Again {
        /// When that frame arrived.
        since: Moment,
    },
    /// None wait: it leaves the pool.
    Idle,
}

/// Why a mailbox takes no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRoom {
    /// As many frames wait as are allowed.
    Full,
    /// The session has ended.
    Closed,
}

impl<F> Mailbox<F> {
    /// An empty mailbox for up to `bound` frames. Room is made as it is needed, and kept.
    pub fn new(bound: usize) -> Self {
        Self { waiting: VecDeque::new(), bound, active: false, closed: false }
    }

    /// Whether a frame can be posted.
    ///
    /// # Errors
    /// Why not.
    pub fn room(&self) -> Result<(), NoRoom> {
        match self {
            Self { closed: true, .. } => Err(NoRoom::Closed),
            _ if self.waiting.len() >= self.bound => Err(NoRoom::Full),
            _ => Ok(()),
        }
    }

    /// Puts `frame` behind those that wait; the caller has made sure that there is
    /// [`room`](Self::room).
    pub fn post(&mut self, arrived: Moment, frame: F) -> Posted {
        self.waiting.push_back((arrived, frame));
        if std::mem::replace(&mut self.active, true) { Posted::Waits } else { Posted::Activate }
    }

    /// The oldest frame and its arrival, for the one worker that has the session.
    pub fn take(&mut self) -> Option<(Moment, F)> {
        self.waiting.pop_front()
    }

    /// The worker is done with the frame it took.
    pub fn settle(&mut self) -> Next {
        self.active = !self.waiting.is_empty();
        self.waiting.front().map_or(Next::Idle, |(since, _)| Next::Again { since: *since })
    }

    /// Whether nothing waits and no worker has the session.
    #[cfg(test)]
    pub fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.active
    }

    /// The session has ended: no frame is accepted any more, and those that wait are handed back.
    pub fn close(&mut self) -> impl Iterator<Item = F> {
        self.closed = true;
        self.waiting.drain(..).map(|(_, frame)| frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// When the frame with this number arrived.
    fn at(number: u64) -> Moment {
        Moment::from_millis(number)
    }

    fn post(mailbox: &mut Mailbox<u64>, number: u64) -> Posted {
        mailbox.post(at(number), number)
    }

    #[test]
    fn a_session_is_activated_only_when_it_is_idle() {
        let mut mailbox = Mailbox::new(8);
        assert_eq!(post(&mut mailbox, 1), Posted::Activate);
        assert_eq!(post(&mut mailbox, 2), Posted::Waits);
        assert_eq!(mailbox.take(), Some((at(1), 1)));
        assert_eq!(post(&mut mailbox, 3), Posted::Waits, "a worker has it");
        assert_eq!(mailbox.settle(), Next::Again { since: at(2) });
        assert_eq!(mailbox.take(), Some((at(2), 2)));
        assert_eq!(mailbox.settle(), Next::Again { since: at(3) });
        assert_eq!((mailbox.take(), mailbox.settle()), (Some((at(3), 3)), Next::Idle));
        assert_eq!(post(&mut mailbox, 4), Posted::Activate);
    }

    #[test]
    fn a_full_or_closed_mailbox_has_no_room() {
        let mut mailbox = Mailbox::new(1);
        assert_eq!(mailbox.room(), Ok(()));
        let _ = post(&mut mailbox, 1);
        assert_eq!(mailbox.room(), Err(NoRoom::Full));
        assert_eq!(mailbox.close().collect::<Vec<_>>(), [1]);
        assert_eq!(mailbox.room(), Err(NoRoom::Closed));
        assert_eq!((mailbox.take(), mailbox.settle()), (None, Next::Idle));
    }

    proptest! {
        /// Whatever the order of posts and runs: at most one activation is out, and none is
        /// missing while frames wait.
        #[test]
        fn an_activation_is_out_exactly_while_there_is_work(steps in proptest::collection::vec(any::<bool>(), 1..200)) {
            let (mut mailbox, mut activations, mut posted, mut run) = (Mailbox::new(200), 0, 0, 0);
            for step in steps {
                if step {
                    activations += u32::from(post(&mut mailbox, posted) == Posted::Activate);
                    posted += 1;
                } else if activations > 0 {
                    prop_assert_eq!(mailbox.take(), Some((at(run), run)));
                    run += 1;
                    activations -= u32::from(mailbox.settle() == Next::Idle);
                }
                prop_assert_eq!(activations, u32::from(run < posted));
            }
        }
    }
}
