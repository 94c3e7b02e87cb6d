//! A frame costs the gateway no allocation, once every queue has been as long as it will be.
//!
//! What libopus takes from the system's allocator by itself is not seen; sessions hold its state
//! from their grant to their end.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use fixture::{Call, Client, callers, get};
use gateway::Settings;
use gateway::{Backend, BurnKind, BurnRule, CountersSnapshot, Dispatch, Distribution, Gateway};
use platform::MAX_BATCH;
use tokio::runtime;
use tokio::sync::oneshot;

#[path = "behaviour/fixture.rs"]
#[expect(dead_code, reason = "shared with tests that need more of it")]
mod fixture;

/// The system's allocator, counting what threads allocate that do not belong to the test.
struct Counting;

static COUNTS: AtomicBool = AtomicBool::new(false);
static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// A thread of the test, or one that has nothing to do with frames.
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

/// Frames of each device on their way at once.
const BURST: usize = 4;
/// Devices whose frames are counted.
const DEVICES: u8 = 4;
/// Bursts before counting begins, and while it goes on: some hundred frames and some thousand.
const WARM_UP: usize = 30;
const ROUNDS: usize = 150;

/// A gateway whose control plane has an uncounted thread of its own.
struct Running {
    mqtt: SocketAddr,
    telemetry: Option<SocketAddr>,
    stop: oneshot::Sender<()>,
    thread: JoinHandle<CountersSnapshot>,
}

impl Running {
    fn start(settings: Settings) -> Self {
        let (stop, stopped) = oneshot::channel();
        let (listening, addrs) = channel();
        let thread = thread::spawn(move || {
            UNCOUNTED.set(true);
            let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let gateway = Gateway::bind(settings).expect("free ports");
            listening.send((gateway.mqtt_addr(), gateway.telemetry_addr())).unwrap();
            runtime.block_on(gateway.run(async { drop(stopped.await) })).unwrap()
        });
        let (mqtt, telemetry) = addrs.recv().expect("it listens");
        Self { mqtt, telemetry, stop, thread }
    }

    fn stop(self) -> CountersSnapshot {
        self.stop.send(()).unwrap();
        self.thread.join().unwrap()
    }
}

/// Sends a burst from each device.
fn send(devices: &mut [(Client, Call)]) {
    let seal = |(_, call): &mut (Client, Call)| [(); BURST].map(|()| call.seal_next());
    let sealed: Vec<_> = devices.iter_mut().map(seal).collect();
    for ((_, call), datagrams) in devices.iter().zip(&sealed) {
        for datagram in datagrams {
            call.socket.send(datagram).unwrap();
        }
    }
}

/// Waits until a burst of each device is answered.
fn hear(devices: &[(Client, Call)]) {
    for (_, call) in devices {
        for _ in 0..BURST {
            call.hear();
        }
    }
}

fn rounds(count: usize, devices: &mut [(Client, Call)]) {
    for _ in 0..count {
        send(devices);
        hear(devices);
    }
}

/// Has as many frames wait at once as there may be, while `slow` devices hold up the workers; and
/// has a media thread look for buffers at that time.
fn fill_up(slow: &mut [(Client, Call)], devices: &mut [(Client, Call)]) {
    send(slow);
    send(devices);
    let (_, call) = &devices[0];
    for _ in 0..=MAX_BATCH {
        call.socket.send(b"no frame").unwrap();
    }
    hear(slow);
    hear(devices);
}

/// How many allocations some thousand frames cost.
fn allocations(kind: Backend, change: impl FnOnce(&mut Settings)) -> u64 {
    let mut settings = fixture::settings(kind);
    // Two more devices, the first by number, hold up both workers while the queues fill.
    settings.burn = vec![slow(0), slow(1)];
    change(&mut settings);
    let gateway = Running::start(settings);
    let mut all = callers(gateway.mqtt, DEVICES + 2);
    let mut devices = all.split_off(2);
    let mut slow_ones = all;
    fill_up(&mut slow_ones, &mut devices);
    if let Some(telemetry) = gateway.telemetry {
        // From here on passages are kept, and nobody takes them.
        get(telemetry, "/frames");
    }
    rounds(WARM_UP, &mut devices);

    ALLOCATIONS.store(0, Ordering::Relaxed);
    COUNTS.store(true, Ordering::Relaxed);
    rounds(ROUNDS, &mut devices);
    COUNTS.store(false, Ordering::Relaxed);
    let allocations = ALLOCATIONS.load(Ordering::Relaxed);
    drop((devices, slow_ones));
    let counters = gateway.stop();
    assert!(counters.frames_accepted > (ROUNDS * BURST) as u64 * u64::from(DEVICES));
    assert_eq!(counters.dropped.total(), counters.dropped.bad_header, "{counters:?}");
    allocations
}

/// A long wait for each frame of the device with this number.
fn slow(device: u8) -> BurnRule {
    BurnRule {
        kind: BurnKind::Wait,
        distribution: Distribution::Fixed,
        time: Duration::from_millis(50),
        long: None,
        long_share: None,
        quantiles: None,
        every: 256,
        offset: device.into(),
    }
}

/// One test, as allocations of other tests' threads would count.
#[test]
fn frames_in_steady_state_allocate_nothing_on_media_threads_and_workers() {
    UNCOUNTED.set(true);
    for kind in [Backend::Relay, Backend::Echo] {
        for dispatch in [Dispatch::CentralQueue, Dispatch::LeastPending] {
            for listen in [None, Some(fixture::FREE_PORT)] {
                let counted = allocations(kind, |settings| {
                    settings.pool.dispatch = dispatch;
                    settings.telemetry.listen = listen;
                });
                assert_eq!(counted, 0, "{kind}, {dispatch}, telemetry on {listen:?}");
            }
        }
    }
    // Every other reply is held back in memory of its own: this would see it.
    let counted = allocations(Backend::Relay, |settings| {
        settings.faults.reordered_replies = "100%".parse().unwrap();
    });
    let held_back = (ROUNDS * BURST) as u64 * u64::from(DEVICES) / 2;
    assert!(counted >= held_back, "{counted} of {held_back}");
}
