//! Sends every frame at its planned instant, from a thread that does nothing else.
//!
//! Open loop: the schedule never waits for an answer, and a frame that is late is sent at once and
//! keeps its planned instant, so that whatever the generator did wrong shows in the latency and in
//! the send lag beside it.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use measure::{Distribution, Quantity};
use platform::{Clock, Priority, prioritise_thread};
use protocol::Moment;

use super::uplink::Uplink;
use super::wheel::SlotWheel;
use crate::schedule::PhaseTimes;

/// How often an idle pacer looks for new calls.
const IDLE: Duration = Duration::from_millis(2);

/// Nothing before this moment counts towards the largest lag: caches and pages are still cold.
pub const WARM_UP: Duration = Duration::from_secs(1);

/// A pacer at work; stops when told to.
pub struct Pacer {
    shared: Arc<Shared>,
    thread: JoinHandle<PacerReport>,
}

struct Shared {
    joining: Mutex<Vec<Uplink>>,
    stop: AtomicBool,
    sent: AtomicU64,
}

/// What a pacer did, by phase.
#[derive(Debug)]
pub struct PacerReport {
    /// One entry for each phase.
    pub phases: Vec<PhaseSends>,
    /// The largest send lag after [`WARM_UP`].
    pub largest_lag: Duration,
    /// How much before others the thread ran.
    pub priority: Priority,
}

/// What was sent of the frames due within one phase.
#[derive(Clone, Debug)]
pub struct PhaseSends {
    /// Frames handed to the kernel.
    pub sent: u64,
    /// Send calls refused because the gateway's port is closed.
    pub refused: u64,
    /// Frames that the kernel did not take for another reason.
    pub failed: u64,
    /// From planned instant to send call.
    pub send_lag: Distribution,
}

impl Pacer {
    /// Starts the thread, with the priority of `wish` if that is granted.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(clock: Clock, phases: PhaseTimes, wish: Priority) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            joining: Mutex::new(Vec::new()),
            stop: AtomicBool::new(false),
            sent: AtomicU64::new(0),
        });
        let run = PacerThread {
            clock,
            report: PacerReport {
                phases: vec![PhaseSends::new(); phases.count()],
                largest_lag: Duration::ZERO,
                priority: wish,
            },
            phases,
            wheel: SlotWheel::new(),
            shared: Arc::clone(&shared),
        };
        let thread = thread::Builder::new().name("din-pacer".to_owned()).spawn(|| run.run())?;
        Ok(Self { shared, thread })
    }

    /// Paces `uplink` from its first frame to its last.
    pub fn join(&self, uplink: Uplink) {
        self.shared.joining.lock().expect("the pacer does not panic").push(uplink);
    }

    /// Frames sent so far.
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::Relaxed)
    }

    /// Ends the thread, whatever is still due.
    pub fn stop(self) -> PacerReport {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the pacer does not panic")
    }
}

impl PhaseSends {
    fn new() -> Self {
        Self { sent: 0, refused: 0, failed: 0, send_lag: Distribution::new(Quantity::Time) }
    }
}

struct PacerThread {
    clock: Clock,
    phases: PhaseTimes,
    wheel: SlotWheel<Uplink>,
    shared: Arc<Shared>,
    report: PacerReport,
}

impl PacerThread {
    fn run(mut self) -> PacerReport {
        // The default slack of 50 µs would add to every lag. Without it frames are still sent.
        let _ = platform::set_timer_slack();
        self.report.priority = prioritise_thread(self.report.priority);
        let mut due = Vec::new();
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.admit();
            let horizon = self.clock.now() + IDLE;
            let wake = self.wheel.next_due(horizon).unwrap_or(horizon);
            self.clock.sleep_until(wake);
            self.wheel.take_due(self.clock.now(), &mut due);
            // Send first and seal afterwards: the next in line should not wait for a cipher.
            for uplink in &mut due {
                self.send(uplink);
            }
            for mut uplink in due.drain(..) {
                uplink.advance();
                self.keep(uplink);
            }
        }
        self.report
    }

    fn admit(&mut self) {
        let joining = std::mem::take(&mut *self.shared.joining.lock().expect("no holder panics"));
        for uplink in joining {
            self.keep(uplink);
        }
    }

    /// Keeps an uplink that has a frame left to send, and lets go of one that has not.
    fn keep(&mut self, uplink: Uplink) {
        if uplink.due() < uplink.call().last_due() {
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
        let phase = &mut self.report.phases[self.phases.phase_at(due)];
        let mut outcome = call.socket.send(uplink.datagram());
        if matches!(&outcome, Err(error) if error.kind() == io::ErrorKind::ConnectionRefused) {
            // The kernel reports the refusal of an earlier datagram and sends nothing; the report
            // is taken off by being read, so a second call sends.
            phase.refused += 1;
            outcome = call.socket.send(uplink.datagram());
        }
        if outcome.is_err() {
            phase.failed += 1;
            call.note_unsent();
            return;
        }
        phase.sent += 1;
        phase.send_lag.record(u64::try_from(lag.as_nanos()).unwrap_or(u64::MAX));
        self.shared.sent.fetch_add(1, Ordering::Relaxed);
        if due >= Moment::START + WARM_UP {
            self.report.largest_lag = self.report.largest_lag.max(lag);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::call::Call;
    use crate::media::call::tests::call_to;
    use crate::scenario::Phase;
    use crate::voice::Voice;
    use std::net::UdpSocket;

    fn phases() -> PhaseTimes {
        let hold = Duration::from_secs(10);
        let phase = Phase::plain("test", 1, Duration::ZERO, hold);
        PhaseTimes::new(&[phase])
    }

    fn uplink(call: &Arc<Call>) -> Uplink {
        let packets = vec![vec![0x58; 40].into()];
        Uplink::new(Arc::clone(call), Arc::new(Voice { name: "test".to_owned(), packets }), 0)
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
        let pacer = Pacer::start(clock, phases(), Priority::Ordinary).unwrap();
        pacer.join(uplink(&call));
        // 1 s of 60 ms frames: 0, 60, … 960 ms.
        let mut bytes = [0; 100];
        for frame in 0..17 {
            let length = peer.recv(&mut bytes).unwrap();
            let (header, _) = call.cipher.open(&mut bytes[..length]).unwrap();
            assert_eq!(header.sequence, Call::sequence(frame));
            assert!(clock.now() >= call.due(frame));
        }
        wait_until_done(&call);
        let report = pacer.stop();
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
        let pacer = Pacer::start(clock, phases(), Priority::Ordinary).unwrap();
        pacer.join(uplink(&before));
        pacer.join(uplink(&midway));
        // The next frame is in the wheel by the time the first one is seen here, or will be.
        peer.recv(&mut [0; 100]).unwrap();
        midway.end(Moment::START);
        for call in [&before, &midway] {
            wait_until_done(call);
        }
        assert_eq!(before.sent(), 0);
        let sent = pacer.stop().phases[0].sent;
        assert!((1..17).contains(&sent), "ended long before its last frame: {sent}");
        assert_eq!(midway.sent(), sent);
    }

    #[test]
    fn a_closed_port_is_counted_and_the_frames_still_go_out() {
        let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
        let clock = Clock::start();
        let call = Arc::new(call_to(&gone, 1, clock.now() + Duration::from_millis(5)));
        drop(gone);
        let pacer = Pacer::start(clock, phases(), Priority::Ordinary).unwrap();
        pacer.join(uplink(&call));
        wait_until_done(&call);
        let report = pacer.stop();
        assert_eq!(report.phases[0].sent, 17);
        assert!(report.phases[0].refused > 0);
    }
}
