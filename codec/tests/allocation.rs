//! Encoding, decoding and concealing allocate nothing.
//!
//! Counts what Rust allocates. libopus itself works on the stack, unless it was built with
//! `NONTHREADSAFE_PSEUDOSTACK`, which audiopus could not be used with.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use codec::{Decoder, Encoder, EncoderSettings};
use protocol::SampleRate;

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
fn no_call_allocates_but_the_first() {
    let settings = EncoderSettings::gateway_downlink();
    let mut encoder = Encoder::new(&settings).unwrap();
    let mut decoder = Decoder::new(SampleRate::HZ_24000).unwrap();
    let sawtooth = |index: usize| i16::try_from(index % 170 * 100).unwrap();
    let spoken: Vec<_> = (0..settings.frame_samples()).map(sawtooth).collect();
    let mut heard = vec![0; spoken.len()];
    let mut packet = [0; 1276];

    let before = ALLOCATIONS.get();
    for _ in 0..50 {
        let len = encoder.encode(&spoken, &mut packet).unwrap();
        assert_eq!(decoder.decode(&packet[..len], &mut heard), Ok(heard.len()));
        decoder.conceal(&mut heard).unwrap();
        assert!(decoder.decode(&[], &mut heard).is_err());
        assert!(encoder.encode(&[], &mut packet).is_err());
    }
    encoder.reset().unwrap();
    decoder.reset().unwrap();
    assert_eq!(ALLOCATIONS.get(), before);
}
