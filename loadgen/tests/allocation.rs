//! A frame costs the generator no allocation once its call is under way: neither its way out through
//! the pacer, nor its answer's way in through the listener and everything that is noted of it.
//!
//! Devices whose answers are really decoded are the exception (`devices.decode`): each of their
//! packets is copied for the checker. They are the control here.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use loadgen::integrity::Speech;
use loadgen::media::call::{Call, CallParts};
use loadgen::media::checker::{Checker, CheckerPlan, Golden};
use loadgen::media::listener::Listener;
use loadgen::media::pacer::Pacer;
use loadgen::media::talkspurt::Talkspurts;
use loadgen::media::uplink::Uplink;
use loadgen::media::ways::Ways;
use loadgen::scenario::{Network, Phase};
use loadgen::schedule::PhaseTimes;
use loadgen::voice::Voice;
use platform::{Clock, Priority};
use protocol::cipher::{MediaCipher, MediaKey, NonceTemplate};
use protocol::{FrameDuration, Moment, SampleRate, Ssrc};
use simnet::{Delay, Impairment, Loss};

/// The system's allocator, counting what pacer and listener allocate.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// A thread of the test, or one that nothing waits for.
    static UNCOUNTED: Cell<bool> = const { Cell::new(false) };
}

#[expect(unsafe_code, reason = "the only way to see allocations")]
// SAFETY: hands every call on to the system's allocator. Zeroed and grown memory comes from `alloc`
// as well, as the trait provides these.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if COUNTS.load(Ordering::Relaxed) && !UNCOUNTED.get() {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const DEVICES: u8 = 8;
const FRAME: FrameDuration = FrameDuration::MS_20;
/// Answers before counting begins: every call has begun and was heard.
const WARM_UP: u64 = 200;
/// Answers while it goes on.
const COUNTED: u64 = 1200;
/// Takes of what was recorded meanwhile, evenly.
const INTERVALS: u64 = 4;

/// A call whose frames come back as they went out.
fn call(device: u8, clock: Clock, voice: &Arc<Voice>, network: &Network) -> Arc<Call> {
    let mirror = UdpSocket::bind("127.0.0.1:0").unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(mirror.local_addr().unwrap()).unwrap();
    mirror.connect(socket.local_addr().unwrap()).unwrap();
    socket.set_nonblocking(true).unwrap();
    thread::spawn(move || {
        UNCOUNTED.set(true);
        let mut datagram = [0; 200];
        // Until the device's socket is closed.
        while let Ok(length) = mirror.recv(&mut datagram) {
            if mirror.send(&datagram[..length]).is_err() {
                return;
            }
        }
    });
    let first_due = clock.now() + Duration::from_micros(20_000 + u64::from(device) * 2_300);
    let ways = Ways::new(&[(Moment::START, network.clone())], 0, first_due, device.into());
    let nonce = NonceTemplate::new(Ssrc::new(0x1000 + u32::from(device)), 0);
    Arc::new(Call::new(CallParts {
        device: device.into(),
        socket,
        cipher: MediaCipher::new(&MediaKey::new([device; 16]), nonce),
        nonce,
        frame: FRAME,
        period: FRAME.as_duration(),
        downlink_frame: FRAME,
        downlink_rate: SampleRate::HZ_16000,
        speech: Speech { voice: 0, first_packet: 0 },
        voice: Arc::clone(voice),
        first_due,
        leave: Moment::from_nanos(u64::MAX),
        talkspurts: Talkspurts::Endless,
        ways: (!network.is_clear()).then(|| Box::new(ways)),
    }))
}

/// Waits until so many frames of all devices were answered.
fn wait(listener: &Listener, answers: u64) {
    while listener.answered() < answers {
        thread::yield_now();
    }
}

/// Allocations of pacer and listener while [`COUNTED`] frames are answered; the answers of so many
/// devices are decoded, and all are behind this network.
fn allocations(decoded: u32, network: &Network) -> u64 {
    // 20 ms of wideband SILK, as far as its table of contents goes.
    let packets = (0..50).map(|_| vec![9 << 3; 60].into_boxed_slice()).collect();
    let voice = Arc::new(Voice { name: "test".to_owned(), frame: FrameDuration::MS_60, packets });
    let voices = vec![Arc::clone(&voice)];
    // A checker that is only told of one device's packets: what it does with them is not counted.
    let golden = Golden::Relay;
    let plan = CheckerPlan { devices: decoded, voices, golden };
    let checker = Checker::start(plan).unwrap();
    let hold = Duration::from_hours(1);
    let phase = |name| Phase::plain(name, 8, Duration::ZERO, hold);
    let phases = PhaseTimes::new(&[phase("a"), phase("b")]);
    let clock = Clock::start();
    let listener =
        Listener::start(clock, phases.clone(), checker.inbox(), Priority::Ordinary).unwrap();
    let pacer = Pacer::start(clock, phases, Priority::Ordinary, Duration::ZERO).unwrap();
    let calls: Vec<_> = (0..DEVICES).map(|device| call(device, clock, &voice, network)).collect();
    for call in &calls {
        listener.listen(Arc::clone(call));
        pacer.join(Uplink::new(Arc::clone(call), Arc::clone(&voice), 0));
    }
    wait(&listener, WARM_UP);

    ALLOCATIONS.store(0, Ordering::Relaxed);
    COUNTS.store(true, Ordering::Relaxed);
    for interval in 1..=INTERVALS {
        wait(&listener, WARM_UP + COUNTED * interval / INTERVALS);
        pacer.intervals().ask();
        listener.ask_interval();
        let (mut sent, mut answered) = (false, false);
        while !(sent && answered) {
            sent |= pacer.intervals().take(|_| {});
            answered |= listener.intervals().take(|_| {});
            thread::yield_now();
        }
    }
    COUNTS.store(false, Ordering::Relaxed);
    let allocations = ALLOCATIONS.load(Ordering::Relaxed);

    let (sent, _) = pacer.stop();
    let (received, _) = listener.stop();
    assert_eq!(received.calls.len(), usize::from(DEVICES));
    assert!(sent.phases[0].sent >= WARM_UP + COUNTED);
    assert_eq!(sent.impairment_lag.count() > COUNTED, !network.is_clear());
    assert!(received.phases[0].response_latency.count() >= WARM_UP + COUNTED);
    checker.stop();
    allocations
}

/// One test, as allocations of other tests' threads would count.
#[test]
fn frames_of_calls_under_way_allocate_nothing_on_pacer_and_listener() {
    UNCOUNTED.set(true);
    let clear = Network::default();
    assert_eq!(allocations(0, &clear), 0);
    // A simulated network holds copies, in buffers that are used again: new ones are for more packets
    // on their way at the same time than before, here two each way, and for growing tables of them.
    let delay = Delay { time: Duration::from_millis(30), ..Delay::default() };
    let impairment = Impairment { delay, loss: Loss::Random(0.02), ..Impairment::default() };
    let held = Network {
        uplink: impairment.clone().into(),
        downlink: impairment.into(),
        rebind: None,
        said: String::new(),
    };
    let copied = allocations(0, &held);
    assert!(copied < COUNTED / 20, "{copied} allocations for {COUNTED} answers");
    // The packets of four of eight devices are copied: this would see it.
    let copied = allocations(4, &clear);
    assert!(copied >= COUNTED / 4, "{copied} allocations for {COUNTED} answers");
}
