//! What it costs to give a frame to a worker: the policy's choice, and the way through the pool.

use std::hint::{black_box, spin_loop};
use std::iter;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use gateway::Dispatch;
use gateway::dispatch::{Activation, Dispatcher, InHand, PoolView, Standing, WorkerView};
use gateway::mailbox::Next;
use gateway::pool::{Activity, Pool};
use platform::Clock;
use protocol::Moment;

const SEED: u64 = 1;

/// Workers in all kinds of circumstances: idle and with up to four sessions queued.
fn workers(count: usize) -> Vec<WorkerView> {
    let view = |worker: usize| {
        let since = Moment::from_millis(worker as u64 % 3);
        let in_hand = InHand { since, expected: Duration::from_millis(2) };
        let queued = worker * 7 % 5;
        WorkerView {
            queued,
            queued_work: Duration::from_micros(350 * queued as u64),
            in_hand: (queued > 0).then_some(in_hand),
        }
    };
    (0..count).map(view).collect()
}

/// One choice by one policy, for a session whose last frame ran on one of the workers.
fn decide(c: &mut Criterion) {
    for count in [8, 64] {
        let workers = workers(count);
        for dispatch in Dispatch::ALL {
            let mut dispatcher = Dispatcher::new(dispatch, SEED);
            let view = PoolView { now: Moment::from_millis(3), workers: &workers };
            let activation = Activation { key: 7, last: Some(count / 2) };
            c.bench_function(&format!("dispatch/decide/{dispatch}/workers={count}"), |b| {
                b.iter(|| dispatcher.choose(black_box(&view), black_box(&activation)));
            });
        }
    }
}

/// A session whose frames take no time.
struct Nothing {
    standing: Mutex<Standing>,
    /// Frames that wait.
    left: AtomicU64,
}

impl Nothing {
    fn new(key: u64) -> Arc<Self> {
        Arc::new(Self { standing: Mutex::new(Standing::new(key)), left: AtomicU64::new(0) })
    }

    /// Spins until all frames were run.
    fn wait(&self) {
        while self.left.load(Ordering::Acquire) > 0 {
            spin_loop();
        }
    }
}

impl Activity for Nothing {
    type Desk = ();

    fn run_one(&self, (): &mut (), began: Moment) {
        black_box(began);
    }

    fn settle(&self) -> Next {
        match self.left.fetch_sub(1, Ordering::AcqRel) {
            1 => Next::Idle,
            _ => Next::Again { since: Moment::START },
        }
    }

    fn panicked(&self) {}

    fn standing(&self) -> &Mutex<Standing> {
        &self.standing
    }
}

fn pool(dispatch: Dispatch, workers: usize) -> Pool<Nothing> {
    let pool = Pool::start(workers, workers, dispatch, Clock::start(), |_| ());
    pool.expect("threads for workers")
}

/// From submitting an idle session to seeing that its frame was run, with two workers: the lock
/// twice, the choice, the work of nothing and the cache lines between two cores.
///
/// Next to a policy that picks the worker that is still awake, one that picks the other pays for
/// waking it: as in a gateway with little to do. That is a system call and the scheduler's answer,
/// and no number to compare where there are not three cores, as this thread spins on one.
fn hand_off(c: &mut Criterion) {
    for dispatch in Dispatch::ALL {
        let (pool, session) = (pool(dispatch, 2), Nothing::new(1));
        c.bench_function(&format!("pool/hand_off/{dispatch}"), |b| {
            b.iter(|| {
                session.left.store(1, Ordering::Release);
                pool.queue().submit(&session, Moment::START);
                session.wait();
            });
        });
        pool.drain(Duration::from_secs(1));
    }
}

/// From one frame to the next for a worker that always has some, of four sessions in turn: takes
/// back the session, places it anew and gives out the next, under one lock that nobody else wants.
/// No worker is woken: as in a gateway that has all it can do.
fn again(c: &mut Criterion) {
    const SESSIONS: u64 = 4;
    for dispatch in Dispatch::ALL {
        let pool = pool(dispatch, 1);
        let sessions: Vec<_> = (0..SESSIONS).map(Nothing::new).collect();
        c.bench_function(&format!("pool/again/{dispatch}"), |b| {
            b.iter_custom(|frames| {
                let clock = Clock::start();
                for (session, left) in iter::zip(&sessions, shares(frames, SESSIONS)) {
                    if left > 0 {
                        session.left.store(left, Ordering::Release);
                        pool.queue().submit(session, Moment::START);
                    }
                }
                for session in &sessions {
                    session.wait();
                }
                clock.now().since_start()
            });
        });
        pool.drain(Duration::from_secs(1));
    }
}

/// `whole` in `parts`, as even as may be.
fn shares(whole: u64, parts: u64) -> impl Iterator<Item = u64> {
    (0..parts).map(move |part| whole / parts + u64::from(part < whole % parts))
}

criterion_group!(benches, decide, hand_off, again);
criterion_main!(benches);
