//! Sends every frame at its planned instant, from a thread that does nothing else.
//!
//! Open loop: the schedule never waits for an answer, and a frame that is late is sent at once and
//! keeps its planned instant, so that whatever the generator did wrong shows in the latency and in
//! the send lag beside it.

use std::hint;
use std::io;
use std::mem;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use measure::{Distribution, Quantity};
use platform::{Clock, Priority, prioritise_thread, renew_port};
use protocol::Moment;

use super::call::Call;
use super::interval::{Interval, Intervals, intervals};
use super::send_record::SendRecorder;
use super::uplink::Uplink;
use super::ways::{nearest_slot, turn_bit};
use super::wheel::SlotWheel;
use crate::schedule::PhaseTimes;

pub use super::send_record::{PhaseSends, WARM_UP};

/// How often an idle pacer looks for new calls.
const IDLE: Duration = Duration::from_millis(2);

/// A pacer at work; stops when told to.
pub struct Pacer {
    shared: Arc<Shared>,
    sent: Arc<AtomicU64>,
    awaited: Arc<AtomicU64>,
    intervals: Intervals<1>,
    thread: JoinHandle<(PacerReport, Interval<1>)>,
}

struct Shared {
    joining: Mutex<Vec<Uplink>>,
    stop: AtomicBool,
}

/// What a pacer did, by phase.
#[derive(Debug)]
pub struct PacerReport {
    /// One entry for each phase.
    pub phases: Vec<PhaseSends>,
    /// The largest send lag after [`WARM_UP`].
    pub largest_lag: Duration,
    /// How late packets were let go that the simulated network held.
    pub impairment_lag: Distribution,
    /// How much before others the thread ran.
    pub priority: Priority,
}

impl Pacer {
    /// Starts the thread, with the priority of `wish` if that is granted; before each planned
    /// instant it waits busily for `spin` instead of sleeping.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(
        clock: Clock,
        phases: PhaseTimes,
        wish: Priority,
        spin: Duration,
    ) -> io::Result<Self> {
        let shared =
            Arc::new(Shared { joining: Mutex::new(Vec::new()), stop: AtomicBool::new(false) });
        let (sent, awaited) = (Arc::<AtomicU64>::default(), Arc::<AtomicU64>::default());
        let (recorder, intervals) = intervals();
        let run = PacerThread {
            clock,
            recorder: SendRecorder::new(phases, recorder, Arc::clone(&sent), Arc::clone(&awaited)),
            spin,
            wheel: SlotWheel::new(),
            due: Vec::new(),
            held: SlotWheel::new(),
            arriving: Vec::new(),
            spare: Vec::new(),
            impairment_lag: Distribution::new(Quantity::Time),
            shared: Arc::clone(&shared),
        };
        let thread =
            thread::Builder::new().name("din-pacer".to_owned()).spawn(move || run.run(wish))?;
        Ok(Self { shared, sent, awaited, intervals, thread })
    }

    /// Paces `uplink` from its first frame to its last.
    pub fn join(&self, uplink: Uplink) {
        self.shared.joining.lock().expect("the pacer does not panic").push(uplink);
    }

    /// Frames sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Of these, frames that each have their answer.
    pub fn awaited(&self) -> u64 {
        self.awaited.load(Ordering::Relaxed)
    }

    /// What was recorded second by second; the times are
    /// [`SEND_TIMES`](super::send_record::SEND_TIMES).
    pub fn intervals(&self) -> &Intervals<1> {
        &self.intervals
    }

    /// Ends the thread, whatever is still due; also returns the intervals that nobody has taken.
    pub fn stop(self) -> (PacerReport, Vec<Interval<1>>) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let (report, last) = self.thread.join().expect("the pacer does not panic");
        (report, self.intervals.left(last))
    }
}

struct PacerThread {
    clock: Clock,
    wheel: SlotWheel<Uplink>,
    /// Empty between two rounds; has room for all.
    due: Vec<Uplink>,
    /// Sent by their devices, and still held by the simulated network.
    held: SlotWheel<Held>,
    /// Empty between two rounds.
    arriving: Vec<Held>,
    /// Buffers to be used again.
    spare: Vec<Vec<u8>>,
    impairment_lag: Distribution,
    shared: Arc<Shared>,
    recorder: SendRecorder,
    spin: Duration,
}

/// A packet that the simulated network holds.
struct Held {
    call: Arc<Call>,
    bytes: Vec<u8>,
    at: Moment,
}

/// How to wait for what is due next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wait {
    /// Sleep until then; a moment that has passed is no sleep.
    sleep_until: Moment,
    /// Then be busy until then.
    spin_until: Moment,
}

impl Wait {
    /// For what is due at `due`, looking again at `horizon` whether anything is: an idle pacer
    /// sleeps.
    fn until(due: Option<Moment>, horizon: Moment, spin: Duration) -> Self {
        let Some(due) = due else {
            return Self { sleep_until: horizon, spin_until: horizon };
        };
        let sleep_until = Moment::from(due.since_start().saturating_sub(spin));
        Self { sleep_until, spin_until: due }
    }
}

impl PacerThread {
    fn run(mut self, wish: Priority) -> (PacerReport, Interval<1>) {
        // The default slack of 50 µs would add to every lag. Without it frames are still sent.
        let _ = platform::set_timer_slack();
        let priority = prioritise_thread(wish);
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.admit();
            let horizon = self.clock.now() + IDLE;
            let next = [self.wheel.next_due(horizon), self.held.next_due(horizon)];
            let wait = Wait::until(next.into_iter().flatten().min(), horizon, self.spin);
            self.clock.sleep_until(wait.sleep_until);
            let mut now = self.clock.now();
            while now < wait.spin_until {
                hint::spin_loop();
                now = self.clock.now();
            }
            self.recorder.hand_over(now);
            self.wheel.take_due(now, &mut self.due);
            let mut due = mem::take(&mut self.due);
            // Send first and seal afterwards: the next in line should not wait for a cipher.
            self.let_go(now);
            for uplink in &mut due {
                self.send(uplink);
            }
            for mut uplink in due.drain(..) {
                uplink.advance();
                self.keep(uplink);
            }
            self.due = due;
        }
        let (phases, largest_lag, last) = self.recorder.finish(self.clock.now());
        (PacerReport { phases, largest_lag, impairment_lag: self.impairment_lag, priority }, last)
    }

    fn admit(&mut self) {
        let joining = mem::take(&mut *self.shared.joining.lock().expect("no holder panics"));
        for uplink in joining {
            self.keep(uplink);
        }
        // All may come to be due at once, when this thread was stopped for a while.
        self.due.reserve(self.wheel.len());
    }

    /// Keeps an uplink that has a frame left to send, and lets go of one that has not.
    fn keep(&mut self, uplink: Uplink) {
        if uplink.goes_on() {
            self.wheel.insert(uplink.due(), uplink);
        } else {
            uplink.call().uplink_done.notify_one();
        }
    }

    fn send(&mut self, uplink: &mut Uplink) {
        let (call, due) = (uplink.call(), uplink.due());
        // The session may have ended since this frame was put into the wheel.
        if due >= call.last_due() {
            return;
        }
        let sending = self.clock.now();
        let lag = sending.since(due);
        call.note_sending(uplink.frame(), lag);
        if call.ways.is_some() {
            self.recorder.sent(due, lag, call.is_answered());
            self.enter(call, uplink.datagram(), due, sending);
            return;
        }
        if !self.pass_on(call, uplink.datagram(), due) {
            call.note_unsent();
            return;
        }
        self.recorder.sent(due, lag, call.is_answered());
    }

    /// The simulated network takes a packet that its device has sent: loses it, passes it on at once
    /// or holds it.
    fn enter(&mut self, call: &Arc<Call>, datagram: &[u8], due: Moment, sending: Moment) {
        let Some(ways) = &call.ways else { return };
        if ways.rebinds(due) && renew_port(&call.socket).is_err() {
            self.recorder.failed(due);
        }
        // By the plan: the same seed gives the same fates, and the generator's lag is not part of it.
        let fate = ways.up(due, datagram.len());
        for delivery in [fate.delivery, fate.copy].into_iter().flatten() {
            let at = nearest_slot(delivery.at);
            if at <= sending && delivery.turned_bit.is_none() {
                self.pass_on(call, datagram, due);
                continue;
            }
            let mut bytes = self.spare.pop().unwrap_or_default();
            bytes.clear();
            bytes.extend_from_slice(datagram);
            turn_bit(&mut bytes, delivery);
            self.held.insert(at, Held { call: Arc::clone(call), bytes, at });
        }
    }

    /// Sends what the simulated network has held until `now`.
    fn let_go(&mut self, now: Moment) {
        self.held.take_due(now, &mut self.arriving);
        let mut arriving = mem::take(&mut self.arriving);
        // After a stop of this thread several slots are due at once, each with its own moment.
        arriving.sort_by_key(|held| held.at);
        for Held { call, bytes, at } in arriving.drain(..) {
            let lag = self.clock.now().since(at);
            self.impairment_lag.record(u64::try_from(lag.as_nanos()).unwrap_or(u64::MAX));
            self.pass_on(&call, &bytes, at);
            self.spare.push(bytes);
        }
        self.arriving = arriving;
    }

    /// Gives a datagram of `due` to the kernel; tells whether it was taken.
    fn pass_on(&mut self, call: &Call, datagram: &[u8], due: Moment) -> bool {
        let mut outcome = call.socket.send(datagram);
        if matches!(&outcome, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused) {
            // The kernel reports the refusal of an earlier datagram and sends nothing; the report
            // is taken off by being read, so a second call sends.
            self.recorder.refused(due);
            outcome = call.socket.send(datagram);
        }
        if outcome.is_err() {
            self.recorder.failed(due);
        }
        outcome.is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::call::tests::call_to;
    use crate::media::ways::Ways;
    use crate::scenario::Network;
    use crate::scenario::Phase;
    use crate::schedule::SLOT;
    use crate::voice::Voice;
    use protocol::FrameDuration;
    use simnet::{Course, Delay, Impairment, Loss};
    use std::net::UdpSocket;

    fn phases() -> PhaseTimes {
        let hold = Duration::from_secs(10);
        let phase = Phase::plain("test", 1, Duration::ZERO, hold);
        PhaseTimes::new(&[phase])
    }

    fn uplink(call: &Arc<Call>) -> Uplink {
        let packets = vec![vec![0x58; 40].into()];
        Uplink::new(
            Arc::clone(call),
            Arc::new(Voice { name: "test".to_owned(), frame: FrameDuration::MS_60, packets }),
            0,
        )
    }

    #[test]
    fn a_pacer_sleeps_but_for_the_last_bit_before_what_is_due() {
        let us = |micros: u64| Moment::from_nanos(micros * 1000);
        let wait = |due, spin| Wait::until(due, us(2000), Duration::from_micros(spin));
        for (due, spin, sleep_until, spin_until) in [
            (Some(1500), 0, 1500, 1500),
            (Some(1500), 50, 1450, 1500),
            // Due sooner than that, or overdue already: no sleep at all.
            (Some(30), 50, 0, 30),
            (Some(0), 200, 0, 0),
            // Nothing is due: nothing is worth being busy for.
            (None, 50, 2000, 2000),
        ] {
            let expected = Wait { sleep_until: us(sleep_until), spin_until: us(spin_until) };
            assert_eq!(wait(due.map(us), spin), expected, "{due:?}, {spin} µs");
        }
    }

    #[test]
    fn a_spinning_pacer_is_never_early_either() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let clock = Clock::start();
        let call = Arc::new(call_to(&peer, 1, clock.now() + Duration::from_millis(5)));
        let spin = Duration::from_micros(200);
        let pacer = Pacer::start(clock, phases(), Priority::Ordinary, spin).unwrap();
        pacer.join(uplink(&call));
        for frame in 0..17 {
            peer.recv(&mut [0; 100]).unwrap();
            assert!(clock.now() >= call.due(frame));
        }
        wait_until_done(&call);
        let (report, intervals) = pacer.stop();
        assert_eq!(report.phases[0].sent, 17);
        assert_eq!(intervals.iter().map(|one| one.times[0].count()).sum::<u64>(), 17);
    }

    fn wait_until_done(call: &Call) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            tokio::time::timeout(Duration::from_secs(30), call.uplink_done.notified())
                .await
                .expect("the pacer finishes the call");
        });
    }

    #[test]
    fn every_planned_frame_is_sent_once_in_order_and_not_before_it_is_due() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let clock = Clock::start();
        let call = Arc::new(call_to(&peer, 1, clock.now() + Duration::from_millis(5)));
        let pacer = Pacer::start(clock, phases(), Priority::Ordinary, Duration::ZERO).unwrap();
        pacer.join(uplink(&call));
        // 1 s of 60 ms frames: 0, 60, … 960 ms.
        let mut bytes = [0; 100];
        for frame in 0..17 {
            let length = peer.recv(&mut bytes).unwrap();
            let (header, _) = call.cipher.open(&mut bytes[..length]).unwrap();
            assert_eq!(header.sequence.get(), frame + 1);
            assert!(clock.now() >= call.due(u64::from(frame)));
        }
        wait_until_done(&call);
        let (report, _) = pacer.stop();
        assert_eq!((report.phases[0].sent, report.phases[0].failed), (17, 0));
        assert_eq!(report.phases[0].send_lag.count(), 17);
        assert_eq!(call.sent(), 17);
    }

    #[test]
    fn a_call_that_ended_sends_nothing_more() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let clock = Clock::start();
        let before = Arc::new(call_to(&peer, 1, clock.now() + Duration::from_millis(5)));
        before.end(Moment::START);
        let midway = Arc::new(call_to(&peer, 2, clock.now() + Duration::from_millis(5)));
        let pacer = Pacer::start(clock, phases(), Priority::Ordinary, Duration::ZERO).unwrap();
        pacer.join(uplink(&before));
        pacer.join(uplink(&midway));
        // The next frame is in the wheel by the time the first one is seen here, or will be.
        peer.recv(&mut [0; 100]).unwrap();
        midway.end(Moment::START);
        for call in [&before, &midway] {
            wait_until_done(call);
        }
        assert_eq!(before.sent(), 0);
        let sent = pacer.stop().0.phases[0].sent;
        assert!((1..17).contains(&sent), "ended long before its last frame: {sent}");
        assert_eq!(midway.sent(), sent);
    }

    #[test]
    fn a_simulated_network_holds_loses_and_doubles_what_was_sent() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let clock = Clock::start();
        let mut call = call_to(&peer, 1, clock.now() + Duration::from_millis(5));
        let held = Duration::from_millis(200);
        let uplink_is = |impairment: Impairment| Network {
            uplink: impairment.into(),
            downlink: Course::default(),
            rebind: None,
            said: "test".to_owned(),
        };
        let delay = Delay { time: held, ..Delay::default() };
        let twice = Impairment { delay, duplicate: 1.0, ..Impairment::default() };
        let never = Impairment { loss: Loss::Random(1.0), ..Impairment::default() };
        // Of 17 frames the first 10 arrive twice, the others not at all.
        let networks = [(Moment::START, uplink_is(twice)), (call.due(10), uplink_is(never))];
        call.ways = Some(Box::new(Ways::new(&networks, 0, call.first_due, 1)));
        let call = Arc::new(call);
        let pacer = Pacer::start(clock, phases(), Priority::Ordinary, Duration::ZERO).unwrap();
        pacer.join(uplink(&call));
        let mut bytes = [0; 100];
        for copy in 0..20 {
            let length = peer.recv(&mut bytes).unwrap();
            let (header, _) = call.cipher.open(&mut bytes[..length]).unwrap();
            assert_eq!(header.sequence.get(), copy / 2 + 1);
            let (due, now) = (call.due(u64::from(copy / 2)), clock.now());
            // To half a slot of the wheel.
            assert!(now + SLOT / 2 >= due + held, "{due:?} and {now:?}");
        }
        wait_until_done(&call);
        let (report, _) = pacer.stop();
        assert_eq!((report.phases[0].sent, call.sent()), (17, 17), "the device sent them all");
        assert_eq!(call.ways.as_ref().unwrap().impaired().lost, 7);
        assert_eq!(report.impairment_lag.count(), 20);
        peer.set_nonblocking(true).unwrap();
        assert!(peer.recv(&mut bytes).is_err(), "nothing more");
    }

    #[test]
    fn a_closed_port_is_counted_and_the_frames_still_go_out() {
        let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
        let clock = Clock::start();
        let call = Arc::new(call_to(&gone, 1, clock.now() + Duration::from_millis(5)));
        drop(gone);
        let pacer = Pacer::start(clock, phases(), Priority::Ordinary, Duration::ZERO).unwrap();
        pacer.join(uplink(&call));
        wait_until_done(&call);
        let (report, _) = pacer.stop();
        assert_eq!(report.phases[0].sent, 17);
        assert!(report.phases[0].refused > 0);
    }
}
