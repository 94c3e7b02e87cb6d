//! Receives what comes back, matches it with what was sent, and times it by the kernel's clock.
//!
//! One thread waits for all sockets at once and reads each in batches. The latency of a frame ends
//! when the kernel received its answer, so that a late generator thread cannot lengthen it; how
//! late the thread was is kept beside it as receive lag.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use measure::{Distribution, Quantity};
use platform::{
    Clock, Events, Poller, Priority, RealtimeOffset, ReceiveBatch, Waker, prioritise_thread,
};
use protocol::opus::PacketShape;
use protocol::{Moment, SampleRate};

use super::answer_record::{AnswerRecorder, Times};
use super::call::Call;
use super::checker::CheckerInbox;
use super::delays::{Delays, Room};
use super::downlink::{Downlink, What};
use super::experience::Experienced;
use super::interval::{Interval, Intervals, intervals};
use super::ways::{Impaired, OnTheWay};
use crate::schedule::{DeviceNumber, PhaseTimes};

pub use super::answer_record::PhaseArrivals;

/// How long the thread waits at most before it looks at its clock and its orders.
const WAIT: Duration = Duration::from_millis(100);
/// Where packets come faster than this, they are read in rounds of it: the kernel has stamped them, so that
/// reading each at once would tell nothing more, and would cost a wake-up of each and, at a real-time priority,
/// the processor of whoever is sending it (ADR 17).
const ROUND: Duration = Duration::from_micros(500);
/// How often the offset between the kernel's stamps and the run's clock is measured anew.
const OFFSET_EVERY: Duration = Duration::from_secs(1);
/// A device's own socket rarely holds more than this at once.
const BATCH: usize = 8;
/// Token of the waker; calls have smaller ones.
const WAKER: u64 = u64::MAX;

/// A listener at work; stops when told to.
pub struct Listener {
    shared: Arc<Shared>,
    waker: Waker,
    answered: Arc<AtomicU64>,
    intervals: Intervals<3>,
    thread: JoinHandle<(ListenerReport, Interval<3>)>,
}

struct Shared {
    poller: Poller,
    orders: Mutex<Vec<Order>>,
    stop: AtomicBool,
}

enum Order {
    Listen(Arc<Call>),
    Leave(Arc<Call>),
}

/// What a listener heard.
#[derive(Debug)]
pub struct ListenerReport {
    /// One entry for each phase.
    pub phases: Vec<PhaseArrivals>,
    /// One entry for each call, in the order in which they ended.
    pub calls: Vec<CallArrivals>,
    /// Datagrams that the kernel dropped because a socket's buffer was full.
    pub kernel_drops: u64,
    /// The largest step between the kernel's stamps and the run's clock.
    pub clock_step: Duration,
    /// Packets that were sealed with keystream used before.
    pub keystream_reuse: u64,
    /// Packets that may have been, of which it is not known any more.
    pub keystream_uncertain: u64,
    /// Packets that name another session.
    pub wrong_session: u64,
    /// Differences in delay between an answer and the one before it.
    pub ipdv: Distribution,
    /// Delays above the smallest of the same device.
    pub pdv: Distribution,
    /// Refusals that were read off a socket here rather than by the pacer.
    pub refused: u64,
}

/// What one call received.
#[derive(Clone, Debug)]
pub struct CallArrivals {
    /// Whose call it was.
    pub device: DeviceNumber,
    /// Frames sent.
    pub sent: u64,
    /// Whether each of them has its answer.
    pub is_answered: bool,
    /// Frames answered, each counted once.
    pub answered: u64,
    /// Turns that were over, and those of them that were answered.
    pub turns: (u64, u64),
    /// Packets of speech received, each counted once.
    pub speech: u64,
    /// What the simulated network did to it; `None` without one.
    pub impaired: Option<Impaired>,
    /// Answers after the answer to a later frame.
    pub reordered: u64,
    /// Answers to a frame answered before.
    pub duplicate: u64,
    /// Sum of the response latencies.
    pub latency_sum: Duration,
    /// The largest response latency.
    pub latency_max: Duration,
    /// The sample rate of the answers.
    pub downlink_rate: SampleRate,
    /// Jitter, loss and playout.
    pub experienced: Experienced,
    /// When its first frame was planned.
    pub first_due: Moment,
    /// How long a frame lasts by the device's clock.
    pub period: Duration,
    /// How late each answer was; `None` where frames have no answer of their own, and where there was
    /// no room.
    pub delays: Option<Delays>,
    /// When it was clear that the answers are sealed with another key than the granted one.
    pub wrong_key_since: Option<Moment>,
}

impl Listener {
    /// Starts the thread. Answers of the devices that `checker` watches are passed on to it.
    ///
    /// # Errors
    /// When the operating system gives no thread or file descriptor.
    pub fn start(
        clock: Clock,
        phases: PhaseTimes,
        checker: CheckerInbox,
        wish: Priority,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            poller: Poller::new()?,
            orders: Mutex::new(Vec::new()),
            stop: AtomicBool::new(false),
        });
        let answered = Arc::new(AtomicU64::new(0));
        let (recorder, intervals) = intervals();
        let waker = Waker::new(&shared.poller, WAKER)?;
        let run = ListenerThread {
            clock,
            offset: RealtimeOffset::sample(&clock),
            offset_due: clock.now() + OFFSET_EVERY,
            checker,
            downlinks: Vec::new(),
            room: Room::default(),
            free: Vec::new(),
            batch: ReceiveBatch::new(BATCH),
            on_the_way: OnTheWay::default(),
            rounds: Rounds::default(),
            recorder: AnswerRecorder::new(phases, recorder, Arc::clone(&answered)),
            heard: Heard {
                calls: Vec::new(),
                kernel_drops: 0,
                clock_step: Duration::ZERO,
                keystream_reuse: 0,
                keystream_uncertain: 0,
                wrong_session: 0,
                pdv: Distribution::new(Quantity::Time),
                refused: 0,
            },
            shared: Arc::clone(&shared),
        };
        let thread = thread::Builder::new().name("din-listener".to_owned()).spawn(move || {
            // Late reading is no late arrival, as the kernel stamps arrivals; a full buffer is.
            prioritise_thread(wish);
            run.run()
        })?;
        Ok(Self { shared, waker, answered, intervals, thread })
    }

    /// Listens for the answers of `call`.
    pub fn listen(&self, call: Arc<Call>) {
        self.order(Order::Listen(call));
    }

    /// Stops listening for the answers of `call` and closes its account.
    pub fn leave(&self, call: Arc<Call>) {
        self.order(Order::Leave(call));
    }

    fn order(&self, order: Order) {
        self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner).push(order);
        // A wake that fails costs the 100 ms until the thread looks by itself.
        let _ = self.waker.wake();
    }

    /// Frames answered so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// What was recorded second by second; the times are
    /// [`ANSWER_TIMES`](super::answer_record::ANSWER_TIMES).
    pub fn intervals(&self) -> &Intervals<3> {
        &self.intervals
    }

    /// Asks for what was recorded so far, now and not when the next answer comes.
    pub fn ask_interval(&self) {
        self.intervals.ask();
        // As with orders.
        let _ = self.waker.wake();
    }

    /// Ends the thread; calls that are still open are closed. Also returns the intervals that nobody
    /// has taken.
    pub fn stop(self) -> (ListenerReport, Vec<Interval<3>>) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let _ = self.waker.wake();
        let (report, last) = self.thread.join().expect("the listener does not panic");
        (report, self.intervals.left(last))
    }
}

/// What is noted beside the recorder; see [`ListenerReport`].
struct Heard {
    calls: Vec<CallArrivals>,
    kernel_drops: u64,
    clock_step: Duration,
    keystream_reuse: u64,
    keystream_uncertain: u64,
    wrong_session: u64,
    pdv: Distribution,
    refused: u64,
}

struct ListenerThread {
    clock: Clock,
    offset: RealtimeOffset,
    offset_due: Moment,
    checker: CheckerInbox,
    shared: Arc<Shared>,
    /// By token; `None` where a call has left.
    downlinks: Vec<Option<Downlink>>,
    room: Room,
    /// Tokens whose call has left.
    free: Vec<usize>,
    batch: ReceiveBatch,
    /// Read, and still held by the simulated network.
    on_the_way: OnTheWay,
    rounds: Rounds,
    recorder: AnswerRecorder,
    heard: Heard,
}

/// When to read next: at once while packets are rare, in rounds while they are not.
#[derive(Debug, Default)]
struct Rounds {
    /// When the last round began; `None` before the first.
    began: Option<Moment>,
    /// Some packet had no stamp of the kernel's, and its arrival is when it is read.
    unstamped: bool,
}

impl Rounds {
    /// A round begins; until when to collect what comes after it, unless packets are rare.
    fn begin(&mut self, now: Moment) -> Option<Moment> {
        let before = self.began.replace(now)?;
        // A round that was waited for comes a little later than one.
        let rare = now.since(before) >= ROUND * 2;
        (!rare && !self.unstamped).then_some(now + ROUND)
    }
}

impl ListenerThread {
    fn run(mut self) -> (ListenerReport, Interval<3>) {
        let mut events = Events::with_capacity(256);
        while !self.shared.stop.load(Ordering::Relaxed) {
            // What arrived before this moment is among the events: whatever is held until then goes
            // on after them, in the order of arrival.
            let looked = self.clock.now();
            let wait = self.on_the_way.next().map_or(WAIT, |next| next.since(looked).min(WAIT));
            // A wait cannot fail with valid arguments; if it did, the orders are still looked at.
            let _ = self.shared.poller.wait(&mut events, wait);
            let collect_until = self.rounds.begin(self.clock.now());
            for token in events.tokens().filter(|&token| token != WAKER) {
                self.read(usize::try_from(token).expect("tokens are indices"));
            }
            self.hear_arrived(looked);
            self.follow_orders();
            let now = self.clock.now();
            self.track_offset(now);
            self.recorder.hand_over(now);
            if let Some(moment) = collect_until {
                self.clock.sleep_until(moment);
            }
        }
        self.finish()
    }

    fn follow_orders(&mut self) {
        let orders = {
            let mut orders = self.shared.orders.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *orders)
        };
        for order in orders {
            match order {
                Order::Listen(call) => self.begin(call),
                Order::Leave(call) => self.end(&call),
            }
        }
    }

    fn begin(&mut self, call: Arc<Call>) {
        let token = self.free.pop().unwrap_or_else(|| {
            self.downlinks.push(None);
            self.downlinks.len() - 1
        });
        // Fails only at a kernel limit; the call then has no answers, which the thresholds see.
        let _ = self.shared.poller.add(&call.socket, token as u64);
        call.token.set(token).expect("a call is listened to once");
        // Speech of the gateway's own answers no frame.
        let frames = call.leave.since(call.first_due).as_nanos() / call.period.as_nanos();
        let frames = u64::try_from(frames).unwrap_or(u64::MAX) + 1;
        let delays = call.is_answered().then(|| self.room.take(frames)).flatten();
        self.downlinks[token] = Some(Downlink::new(call, delays));
    }

    fn end(&mut self, call: &Call) {
        let Some(&token) = call.token.get() else { return };
        // What the kernel has received in time counts, whenever it is read.
        while self.read(token) {}
        self.hear_arrived(self.clock.now());
        if let Some(downlink) = self.downlinks[token].take() {
            self.close(downlink);
            self.free.push(token);
        }
    }

    fn close(&mut self, mut downlink: Downlink) {
        downlink.note_uplink();
        let _ = self.shared.poller.remove(&downlink.call.socket);
        self.heard.kernel_drops += u64::from(downlink.kernel_drops);
        let sent = downlink.call.sent();
        self.heard.keystream_reuse += downlink.keystream_reuse;
        self.heard.keystream_uncertain += downlink.keystream_uncertain();
        self.heard.wrong_session += downlink.wrong_session;
        self.heard.calls.push(CallArrivals {
            device: downlink.call.device,
            sent,
            is_answered: downlink.call.is_answered(),
            downlink_rate: downlink.call.downlink_rate,
            answered: downlink.call.answered(),
            turns: downlink.call.turns.concluded(),
            speech: downlink.speech.received(),
            impaired: downlink.call.ways.as_ref().map(|ways| ways.impaired()),
            reordered: downlink.window.reordered(),
            duplicate: downlink.window.duplicate(),
            latency_sum: downlink.latency_sum,
            latency_max: downlink.latency_max,
            wrong_key_since: downlink.key.wrong_since(),
            first_due: downlink.call.first_due,
            period: downlink.call.period,
            delays: downlink.delays.take(),
            experienced: downlink.finish(&mut self.heard.pdv),
        });
    }

    fn track_offset(&mut self, now: Moment) {
        if now < self.offset_due {
            return;
        }
        self.offset_due = now + OFFSET_EVERY;
        let fresh = RealtimeOffset::sample(&self.clock);
        let step = Duration::from_nanos(fresh.drift_since_ns(&self.offset).unsigned_abs());
        self.heard.clock_step = self.heard.clock_step.max(step);
        self.offset = fresh;
    }

    /// Reads a batch; tells whether there was anything.
    fn read(&mut self, token: usize) -> bool {
        let Some(downlink) = self.downlinks.get_mut(token).and_then(Option::as_mut) else {
            return false;
        };
        match self.batch.receive(&downlink.call.socket, false) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(_) => {
                // The gateway's port is closed; reading the report has taken it off the socket.
                self.heard.refused += 1;
                return true;
            }
        }
        let now = self.clock.now();
        if let Some(drops) = self.batch.kernel_drops() {
            downlink.kernel_drops = drops;
        }
        for received in self.batch.received() {
            self.rounds.unstamped |= received.kernel_time.is_none();
            let at = received.kernel_time.map_or(now, |stamp| self.offset.to_moment(stamp));
            let bytes = received.datagram.payload_mut();
            if let Some(ways) = &downlink.call.ways {
                self.on_the_way.enter(&downlink.call, ways, bytes, at, now.since(at));
            } else {
                let (heard, recorder) = (&mut self.heard, &mut self.recorder);
                hear(downlink, heard, recorder, &self.checker, bytes, at, now);
            }
        }
        true
    }

    /// Hears what the simulated network has held until `now`. What is held of a call that is over
    /// is gone with it.
    fn hear_arrived(&mut self, now: Moment) {
        while let Some(mut held) = self.on_the_way.arrived(now) {
            let token = held.call.token.get().copied();
            let downlink = token.and_then(|token| self.downlinks.get_mut(token)?.as_mut());
            if let Some(downlink) = downlink.filter(|one| Arc::ptr_eq(&one.call, &held.call)) {
                let read = held.at + held.read_lag;
                let (heard, recorder) = (&mut self.heard, &mut self.recorder);
                hear(downlink, heard, recorder, &self.checker, &mut held.bytes, held.at, read);
            }
            self.on_the_way.reuse(held.bytes);
        }
    }

    fn finish(mut self) -> (ListenerReport, Interval<3>) {
        self.follow_orders();
        for token in 0..self.downlinks.len() {
            if let Some(call) = self.downlinks[token].as_ref().map(|one| Arc::clone(&one.call)) {
                self.end(&call);
            }
        }
        let (phases, ipdv, last) = self.recorder.finish(self.clock.now());
        let heard = self.heard;
        let report = ListenerReport {
            phases,
            calls: heard.calls,
            kernel_drops: heard.kernel_drops,
            clock_step: heard.clock_step,
            keystream_reuse: heard.keystream_reuse,
            keystream_uncertain: heard.keystream_uncertain,
            wrong_session: heard.wrong_session,
            ipdv,
            pdv: heard.pdv,
            refused: heard.refused,
        };
        (report, last)
    }
}

/// A packet arrived at `at` and was read at `read`.
fn hear(
    downlink: &mut Downlink,
    notes: &mut Heard,
    recorder: &mut AnswerRecorder,
    checker: &CheckerInbox,
    bytes: &mut [u8],
    at: Moment,
    read: Moment,
) {
    if !downlink.call.is_answered() {
        downlink.follow_turns(&mut notes.pdv);
    }
    let heard = downlink.hear(bytes, at);
    let times = Times { planned: heard.planned, at, read };
    recorder.note(&heard.what, times, &downlink.call);
    let Some(opus) = heard.opus else { return };
    let shape = PacketShape::parse(opus);
    downlink.key.opened(shape.is_ok(), at);
    let right = downlink.call.downlink_frame.as_duration();
    match shape {
        Err(_) => recorder.undecipherable(heard.planned),
        Ok(shape) if shape.duration() != right => recorder.wrong_duration(heard.planned),
        Ok(_) => {
            let frame = match heard.what {
                What::Answer { frame, .. } => Some(frame),
                What::Again | What::Speech { .. } | What::Foreign => None,
            };
            checker.offer(&downlink.call, frame, opus);
        }
    }
}

#[cfg(test)]
mod tests;
