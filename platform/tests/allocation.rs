//! The receive path allocates nothing once its batch exists.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use platform::{Datagram, Events, Poller, ReceiveBatch, UdpOptions, bind_udp, connect_udp};

/// The system's allocator, counting per thread, so that the test harness does not disturb.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "the only way to see allocations")]
// SAFETY: hands every call on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
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

#[test]
fn waiting_receiving_and_taking_allocate_nothing() {
    let options = UdpOptions::default();
    let gateway = bind_udp("127.0.0.1:0".parse().unwrap(), options).unwrap();
    let device = connect_udp(gateway.local_addr().unwrap(), options).unwrap();
    let (poller, mut events) = (Poller::new().unwrap(), Events::with_capacity(4));
    poller.add(&gateway, 1).unwrap();
    let mut batch = ReceiveBatch::new(8);
    let mut spare = Some(Datagram::spare());
    let mut received = 0;

    let before = ALLOCATIONS.get();
    for _ in 0..100 {
        device.send(b"frame").unwrap();
        poller.wait(&mut events, std::time::Duration::from_secs(10)).unwrap();
        for _ in events.tokens() {
            received += batch.receive(&gateway, false).unwrap();
            assert_eq!(batch.kernel_drops(), None);
            for datagram in batch.received() {
                assert!(datagram.source.is_some() && datagram.kernel_time.is_some());
                let taken = datagram.take(spare.take().unwrap());
                assert_eq!(taken.payload(), b"frame");
                spare = Some(taken);
            }
        }
    }
    assert_eq!(ALLOCATIONS.get(), before);
    assert_eq!(received, 100);
}
