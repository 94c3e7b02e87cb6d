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
    standing: Mutex<Standing>,
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
            standing: Mutex::new(Standing::new(u64::from(name))),
        })
    }

    fn post(self: &Arc<Self>, queue: &RunQueue<Line>, pieces: impl Iterator<Item = u32>) {
        for piece in pieces {
            if self.mailbox.lock().unwrap().post(Moment::START, piece) == Posted::Activate {
                queue.submit(self, Moment::START);
            }
        }
    }
}

/// Workers that a pool may have.
const MOST: usize = 8;

/// The piece of work that panics.
const BAD: u32 = 666;

impl Activity for Line {
    type Desk = ();

    fn run_one(&self, (): &mut (), _: Moment) {
        assert!(!self.in_hand.swap(true, Ordering::SeqCst), "{} is on two workers", self.name);
        let (_, piece) = self.mailbox.lock().unwrap().take().expect("activated without work");
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

    fn standing(&self) -> &Mutex<Standing> {
        &self.standing
    }
}

fn pool(workers: usize) -> Pool<Line> {
    pool_with(workers, Dispatch::CentralQueue)
}

fn pool_with(workers: usize, dispatch: Dispatch) -> Pool<Line> {
    Pool::start(workers, MOST, dispatch, Clock::start(), |_| ()).unwrap()
}

#[test]
fn a_slow_session_keeps_its_order_and_its_worker_and_delays_nobody_else() {
    let (pool, (begun, begins)) = (pool(2), channel());
    let (let_through, gate) = channel();
    let slow = Line::new('s', &begun, Some(gate));
    slow.post(pool.queue(), 0..3);
    assert_eq!(begins.recv_timeout(PATIENCE), Ok(('s', 0)), "one worker is held from here on");

    // The other worker serves the other sessions to the end, in turns, and never the slow one.
    let quick = ['a', 'b', 'c'].map(|name| Line::new(name, &begun, None));
    for line in &quick {
        line.post(pool.queue(), 0..50);
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
fn under_every_policy_sessions_keep_their_order_and_are_on_one_worker_at_a_time() {
    for dispatch in Dispatch::ALL {
        let (pool, (begun, begins)) = (pool_with(4, dispatch), channel());
        let (let_through, gate) = channel();
        let slow = Line::new('s', &begun, Some(gate));
        slow.post(pool.queue(), 0..5);
        assert_eq!(begins.recv_timeout(PATIENCE), Ok(('s', 0)), "{dispatch}");
        let quick = ['a', 'b', 'c', 'd', 'e'].map(|name| Line::new(name, &begun, None));
        for line in &quick {
            line.post(pool.queue(), 0..100);
        }
        for _ in 0..5 {
            let_through.send(()).unwrap();
        }
        // All is done by workers that serve: none needs the drain to be given work.
        for _ in 0..504 {
            begins.recv_timeout(PATIENCE).expect("nothing is left waiting");
        }
        assert_eq!(pool.drain(PATIENCE), 0, "{dispatch}");
        assert_eq!(*slow.done.lock().unwrap(), [0, 1, 2, 3, 4], "{dispatch}");
        for line in &quick {
            assert!(
                line.done.lock().unwrap().iter().copied().eq(0..100),
                "{dispatch} {}",
                line.name
            );
            assert_eq!(line.panics.load(Ordering::SeqCst), 0, "{dispatch} {}", line.name);
        }
    }
}

#[test]
fn under_every_policy_a_drain_finishes_what_waits_behind_a_slow_session() {
    for dispatch in Dispatch::ALL {
        let (pool, (begun, begins)) = (pool_with(2, dispatch), channel());
        let (let_through, gate) = channel();
        let slow = Line::new('s', &begun, Some(gate));
        slow.post(pool.queue(), 0..2);
        assert_eq!(begins.recv_timeout(PATIENCE), Ok(('s', 0)), "{dispatch}");
        let quick = ['a', 'b', 'c', 'd'].map(|name| Line::new(name, &begun, None));
        for line in &quick {
            line.post(pool.queue(), 0..10);
        }
        // Half of these may wait for the worker that is held; the other one takes them over.
        let drain = thread::spawn(move || pool.drain(PATIENCE));
        for _ in 0..40 {
            assert_ne!(begins.recv_timeout(PATIENCE).unwrap().0, 's', "{dispatch}");
        }
        for _ in 0..2 {
            let_through.send(()).unwrap();
        }
        assert_eq!(drain.join().unwrap(), 0, "{dispatch}");
        assert_eq!(*slow.done.lock().unwrap(), [0, 1], "{dispatch}");
    }
}

#[test]
fn sessions_take_turns() {
    let (pool, (begun, begins)) = (pool(1), channel());
    let (let_through, gate) = channel();
    let first = Line::new('f', &begun, Some(gate));
    first.post(pool.queue(), 0..1);
    assert_eq!(begins.recv_timeout(PATIENCE), Ok(('f', 0)));
    for name in ['a', 'b'] {
        Line::new(name, &begun, None).post(pool.queue(), 0..2);
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
    line.post(pool.queue(), [1, BAD, 2].into_iter());
    assert_eq!(pool.drain(PATIENCE), 0);
    assert_eq!(*line.done.lock().unwrap(), [1, 2]);
    assert_eq!(line.panics.load(Ordering::SeqCst), 1);
}

#[test]
fn a_drain_that_is_given_up_leaves_work_undone() {
    let (pool, (begun, begins)) = (pool(1), channel());
    let (let_through, gate) = channel();
    let line = Line::new('s', &begun, Some(gate));
    line.post(pool.queue(), 0..3);
    assert_eq!(begins.recv_timeout(PATIENCE), Ok(('s', 0)));
    let queue = Arc::clone(pool.queue());
    let drain = thread::spawn(move || pool.drain(Duration::ZERO));
    while queue.phase() != Phase::GivenUp {
        thread::yield_now();
    }
    let_through.send(()).unwrap();
    assert_eq!(drain.join().unwrap(), 0);
    assert_eq!(*line.done.lock().unwrap(), [0]);
    assert_eq!(line.mailbox.lock().unwrap().close().count(), 2);
}

/// Waits until the pool looks like this.
fn wait_for(queue: &RunQueue<Line>, what: &str, seen: impl Fn(&QueueView) -> bool) -> QueueView {
    let start = std::time::Instant::now();
    loop {
        let view = queue.view();
        if seen(&view) {
            return view;
        }
        assert!(start.elapsed() < PATIENCE, "never {what}: {view:?}");
        thread::yield_now();
    }
}

#[test]
fn workers_that_are_added_take_work_and_those_taken_away_finish_theirs() {
    for dispatch in Dispatch::ALL {
        let (pool, (begun, begins)) = (pool_with(1, dispatch), channel());
        let gates: Vec<_> = (0..4).map(|_| channel()).collect();
        let (open, gates): (Vec<_>, Vec<_>) = gates.into_iter().unzip();
        let lines: Vec<_> =
            ('a'..).zip(gates).map(|(name, gate)| Line::new(name, &begun, Some(gate))).collect();
        pool.resize(4).unwrap();
        wait_for(pool.queue(), "four serve", |view| view.pending.len() == 4);
        // Whatever the policy, nobody has two pieces of work while others have none for ever: each
        // of the four may be given work, and finishes what it has after it was told to leave.
        lines[0].post(pool.queue(), 0..3);
        assert_eq!(begins.recv_timeout(PATIENCE), Ok(('a', 0)), "{dispatch}");
        for line in &lines[1..] {
            line.post(pool.queue(), 0..3);
        }
        pool.resize(1).unwrap();
        let view = pool.queue().view();
        assert_eq!(view.pending.len(), 1, "{dispatch}: {view:?}");
        for gate in &open {
            (0..3).for_each(|_| gate.send(()).unwrap());
        }
        for _ in 0..11 {
            begins.recv_timeout(PATIENCE).expect("nothing is left waiting");
        }
        wait_for(pool.queue(), "three gone", |view| view.count(WorkerState::Gone) == MOST - 1);
        assert_eq!(pool.drain(PATIENCE), 0, "{dispatch}");
        for line in &lines {
            assert_eq!(*line.done.lock().unwrap(), [0, 1, 2], "{dispatch} {}", line.name);
            assert_eq!(line.panics.load(Ordering::SeqCst), 0, "{dispatch} {}", line.name);
        }
    }
}

#[test]
fn a_worker_that_is_wanted_again_before_it_left_stays() {
    let (pool, (begun, begins)) = (pool_with(2, Dispatch::RoundRobin), channel());
    let gates: Vec<_> = (0..2).map(|_| channel()).collect();
    let (open, gates): (Vec<_>, Vec<_>) = gates.into_iter().unzip();
    for (name, gate) in ('a'..).zip(gates) {
        Line::new(name, &begun, Some(gate)).post(pool.queue(), 0..1);
        begins.recv_timeout(PATIENCE).unwrap();
    }
    pool.resize(1).unwrap();
    assert_eq!(pool.queue().view().workers[..2], [WorkerState::Serving, WorkerState::Draining]);
    pool.resize(2).unwrap();
    assert_eq!(pool.queue().view().workers[..2], [WorkerState::Serving; 2]);
    for gate in &open {
        gate.send(()).unwrap();
    }
    assert_eq!(pool.drain(PATIENCE), 0);
}

#[test]
fn no_work_is_lost_while_the_pool_changes_its_size_all_the_time() {
    for dispatch in Dispatch::ALL {
        let (pool, (begun, begins)) = (pool_with(1, dispatch), channel());
        let lines: Vec<_> = ('a'..).take(12).map(|name| Line::new(name, &begun, None)).collect();
        for round in 0..50_u32 {
            for line in &lines {
                line.post(pool.queue(), round * 4..round * 4 + 4);
            }
            pool.resize(1 + (round as usize * 5) % MOST).unwrap();
        }
        for _ in 0..12 * 200 {
            begins.recv_timeout(PATIENCE).expect("nothing is left waiting");
        }
        assert_eq!(pool.drain(PATIENCE), 0, "{dispatch}");
        for line in &lines {
            let done = line.done.lock().unwrap();
            assert!(done.iter().copied().eq(0..200), "{dispatch} {}: {done:?}", line.name);
        }
    }
}

#[test]
fn an_idle_worker_counts_while_work_waits_for_another_and_never_with_one_queue() {
    for (dispatch, idle) in [(Dispatch::RoundRobin, true), (Dispatch::CentralQueue, false)] {
        let (pool, (begun, begins)) = (pool_with(2, dispatch), channel());
        let gates: Vec<_> = (0..3).map(|_| channel()).collect();
        let (open, gates): (Vec<_>, Vec<_>) = gates.into_iter().unzip();
        wait_for(pool.queue(), "both idle", |_| pool.queue().asleep() == 2);
        // Round robin: the first worker gets the first piece and the third, the second is done soon.
        for (name, gate) in ('a'..).zip(gates) {
            Line::new(name, &begun, Some(gate)).post(pool.queue(), 0..1);
        }
        for _ in 0..2 {
            begins.recv_timeout(PATIENCE).unwrap();
        }
        open[1].send(()).unwrap();
        if idle {
            wait_for(pool.queue(), "idle while work waits", |view| {
                view.idle_while_waiting > Duration::from_millis(1)
            });
        }
        open[0].send(()).unwrap();
        open[2].send(()).unwrap();
        begins.recv_timeout(PATIENCE).unwrap();
        wait_for(pool.queue(), "both idle", |_| pool.queue().asleep() == 2);
        let counted = pool.queue().view().idle_while_waiting;
        assert_eq!(counted > Duration::ZERO, idle, "{dispatch}: {counted:?}");
        assert_eq!(pool.drain(PATIENCE), 0);
    }
}

#[test]
fn workers_that_arrive_while_the_pool_ends_end_with_it() {
    for _ in 0..100 {
        let pool = pool_with(1, Dispatch::LeastPending);
        pool.resize(MOST).unwrap();
        assert_eq!(pool.drain(PATIENCE), 0);
    }
}
