//! Who runs a session's next frame: a pure policy over a view of the pool.
//!
//! What is dispatched is an *activation*: the turn of a session to have one frame run. A session
//! has one activation at most ([`crate::mailbox`]), so a policy cannot break the order of its
//! frames, and frames behind the first are not counted as pending anywhere: they have no worker
//! yet. When a frame was run and more wait, the session is dispatched anew. Every frame is
//! therefore placed once, by what the pool looks like when its turn comes, as in the production
//! gateway, which dispatches requests.
//!
//! A policy knows no clock, thread or queue: it is told the time and what the workers have.

mod standing;

#[cfg(test)]
mod simulation;

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use protocol::Moment;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

pub use standing::{Standing, WorkEstimate};

/// The policy by which frames get their worker. ADR 6 compares them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dispatch {
    /// Workers in turns, whatever they have to do.
    RoundRobin,
    /// The worker with the fewest frames pending; the lowest number on a tie.
    LeastPending,
    /// The worker with the least work pending, by what the frames of each session took so far.
    LeastWork,
    /// Of two workers picked at random, the one with fewer frames pending.
    PowerOfTwo,
    /// One queue for all: whichever worker is free takes the frame that waits longest.
    #[default]
    CentralQueue,
    /// A session stays on the worker that its ssrc gave it.
    Sticky,
}

impl Dispatch {
    /// All policies, in the order in which they are documented.
    pub const ALL: [Self; 6] = [
        Self::RoundRobin,
        Self::LeastPending,
        Self::LeastWork,
        Self::PowerOfTwo,
        Self::CentralQueue,
        Self::Sticky,
    ];
}

impl fmt::Display for Dispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RoundRobin => "round-robin",
            Self::LeastPending => "least-pending",
            Self::LeastWork => "least-work",
            Self::PowerOfTwo => "power-of-two",
            Self::CentralQueue => "central-queue",
            Self::Sticky => "sticky",
        })
    }
}

/// A name that no policy has; carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownDispatch(String);

impl fmt::Display for UnknownDispatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Dispatch::ALL.map(|dispatch| dispatch.to_string()).join(", ");
        write!(f, "`{}` is no dispatch policy: there are {names}", self.0)
    }
}

impl Error for UnknownDispatch {}

impl FromStr for Dispatch {
    type Err = UnknownDispatch;

    fn from_str(name: &str) -> Result<Self, UnknownDispatch> {
        Self::ALL
            .into_iter()
            .find(|dispatch| dispatch.to_string() == name)
            .ok_or_else(|| UnknownDispatch(name.to_owned()))
    }
}

/// A session whose next frame needs a worker.
#[derive(Clone, Copy, Debug)]
pub struct Activation {
    /// What tells the session from others, the same for all its frames.
    pub key: u64,
    /// The worker of its frame before.
    pub last: Option<usize>,
}

/// What a policy sees.
#[derive(Clone, Copy, Debug)]
pub struct PoolView<'a> {
    /// The time.
    pub now: Moment,
    /// The workers that take new frames; at least one.
    pub workers: &'a [WorkerView],
}

/// What one worker has to do.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkerView {
    /// Activations in its queue.
    pub queued: usize,
    /// How long these are expected to take.
    pub queued_work: Duration,
    /// What it is doing.
    pub in_hand: Option<InHand>,
}

/// A frame that a worker runs.
#[derive(Clone, Copy, Debug)]
pub struct InHand {
    /// Since when.
    pub since: Moment,
    /// How long it is expected to take.
    pub expected: Duration,
}

impl WorkerView {
    /// Frames that it has not finished.
    pub fn pending(&self) -> usize {
        self.queued + usize::from(self.in_hand.is_some())
    }

    /// How long it is expected to need for what it has. A frame that takes longer than expected is
    /// taken to need as long again as it is late: a worker that hangs looks busier all the time.
    fn outstanding(&self, now: Moment) -> Duration {
        let rest = self.in_hand.map(|frame| now.since(frame.since).abs_diff(frame.expected));
        self.queued_work + rest.unwrap_or_default()
    }
}

/// Where an activation waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// In the queue of this worker.
    Worker(usize),
    /// In the queue of all.
    Central,
}

/// A policy and what it remembers.
#[derive(Debug)]
pub struct Dispatcher {
    dispatch: Dispatch,
    /// Whose turn it is, for round robin.
    turn: usize,
    /// For power-of-two.
    random: StdRng,
}

impl Dispatcher {
    /// Equal seeds choose alike, given equal views.
    pub fn new(dispatch: Dispatch, seed: u64) -> Self {
        Self { dispatch, turn: 0, random: StdRng::seed_from_u64(seed) }
    }

    /// Chooses the place of `activation`.
    pub fn choose(&mut self, view: &PoolView<'_>, activation: &Activation) -> Choice {
        let PoolView { now, workers } = *view;
        let pending = |&worker: &usize| workers[worker].pending();
        let all = 0..workers.len();
        let worker = match self.dispatch {
            Dispatch::CentralQueue => return Choice::Central,
            Dispatch::RoundRobin => self.take_turn(workers.len()),
            Dispatch::LeastPending => all.min_by_key(pending).expect("a pool has workers"),
            Dispatch::LeastWork => all
                .min_by_key(|worker| (workers[*worker].outstanding(now), pending(worker)))
                .expect("a pool has workers"),
            Dispatch::PowerOfTwo => {
                let pair = self.two_of(workers.len());
                pair.into_iter().min_by_key(pending).expect("two are not none")
            }
            Dispatch::Sticky => activation
                .last
                .filter(|worker| all.contains(worker))
                .unwrap_or_else(|| spread(activation.key, workers.len())),
        };
        Choice::Worker(worker)
    }

    fn take_turn(&mut self, workers: usize) -> usize {
        // There may have been more workers before.
        let turn = self.turn % workers;
        self.turn = turn + 1;
        turn
    }

    /// Two different workers, where there are two.
    fn two_of(&mut self, workers: usize) -> [usize; 2] {
        let first = self.random.random_range(..workers);
        if workers == 1 {
            return [first; 2];
        }
        let second = self.random.random_range(..workers - 1);
        [first, second + usize::from(second >= first)]
    }
}

/// One of `workers`, evenly for keys that are not: the finaliser of splitmix64.
fn spread(key: u64, workers: usize) -> usize {
    let mixed = (key ^ (key >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let mixed = u128::from(mixed ^ (mixed >> 31));
    usize::try_from((mixed * workers as u128) >> 64).expect("less than the number of workers")
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn busy(queued: usize, queued_ms: u32, since_ms: u64, expected_ms: u32) -> WorkerView {
        let since = Moment::from_millis(since_ms);
        let in_hand = Some(InHand { since, expected: MS * expected_ms });
        WorkerView { queued, queued_work: MS * queued_ms, in_hand }
    }

    fn choices(dispatch: Dispatch, workers: &[WorkerView], count: u64) -> Vec<usize> {
        let mut dispatcher = Dispatcher::new(dispatch, 1);
        let view = PoolView { now: Moment::from_millis(100), workers };
        let mut choose = |key| match dispatcher.choose(&view, &Activation { key, last: None }) {
            Choice::Worker(worker) => worker,
            Choice::Central => panic!("{dispatch} has no central queue"),
        };
        (0..count).map(&mut choose).collect()
    }

    #[test]
    fn each_policy_looks_at_what_its_name_says() {
        // Worker 1 has the fewest frames, worker 2 the least work left: 1 + 2 ms.
        let workers = [busy(3, 6, 90, 20), busy(0, 0, 90, 20), busy(1, 1, 98, 4)];
        assert_eq!(choices(Dispatch::RoundRobin, &workers, 5), [0, 1, 2, 0, 1]);
        assert_eq!(choices(Dispatch::LeastPending, &workers, 2), [1, 1]);
        assert_eq!(choices(Dispatch::LeastWork, &workers, 2), [2, 2]);
        let of_two = choices(Dispatch::PowerOfTwo, &workers, 1000);
        let shares = [0, 1, 2].map(|worker| of_two.iter().filter(|w| **w == worker).count());
        assert_eq!(shares[0], 0, "of any two it is the worse one");
        assert!(shares[1].abs_diff(667) < 50, "in two pairs of three: {shares:?}");
    }

    #[test]
    fn ties_go_to_the_lowest_index() {
        let idle = [WorkerView::default(); 4];
        assert_eq!(choices(Dispatch::LeastPending, &idle, 2), [0, 0]);
        assert_eq!(choices(Dispatch::LeastWork, &idle, 2), [0, 0]);
        assert_eq!(choices(Dispatch::PowerOfTwo, &idle[..1], 2), [0, 0]);
    }

    #[test]
    fn a_worker_that_hangs_looks_busier_all_the_time() {
        let hung = busy(0, 0, 0, 2);
        let outstanding = |ms| hung.outstanding(Moment::from_millis(ms));
        assert_eq!([0, 1, 2, 3, 50].map(outstanding), [2, 1, 0, 1, 48].map(|ms| MS * ms));
    }

    #[test]
    fn sticky_keeps_a_worker_while_it_is_there_and_spreads_sessions() {
        let mut dispatcher = Dispatcher::new(Dispatch::Sticky, 1);
        let mut choose = |workers: usize, key, last| {
            let workers = &vec![busy(9, 9, 0, 9); workers];
            let view = PoolView { now: Moment::START, workers };
            dispatcher.choose(&view, &Activation { key, last })
        };
        assert_eq!(choose(4, 7, Some(3)), Choice::Worker(3));
        assert_eq!(choose(3, 7, Some(3)), choose(3, 7, None), "its worker has gone");
        let mut shares = [0; 4];
        for key in 0..1000 {
            if let Choice::Worker(worker) = choose(4, key, None) {
                shares[worker] += 1;
            }
        }
        assert!(shares.iter().all(|share| (200..300).contains(share)), "{shares:?}");
    }

    #[test]
    fn names_are_read_as_they_are_written() {
        for dispatch in Dispatch::ALL {
            assert_eq!(dispatch.to_string().parse(), Ok(dispatch));
            assert_eq!(serde_json::to_value(dispatch).unwrap(), dispatch.to_string());
        }
        let error = "robin".parse::<Dispatch>().unwrap_err().to_string();
        assert!(error.starts_with("`robin` is no dispatch policy: there are round-robin, "));
    }
}
