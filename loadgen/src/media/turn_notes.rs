//! What a device's control side and the listener tell each other of its turns.

use std::sync::atomic::{AtomicU64, Ordering};

use protocol::Moment;

/// No packet has come.
const NONE_YET: u64 = u64::MAX;

/// The turns of one call.
#[derive(Debug)]
pub struct TurnNotes {
    number: AtomicU64,
    first_packet: AtomicU64,
    concluded: AtomicU64,
    answered: AtomicU64,
}

impl TurnNotes {
    /// No turn was begun.
    pub(super) const fn new() -> Self {
        Self {
            number: AtomicU64::new(0),
            first_packet: AtomicU64::new(NONE_YET),
            concluded: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        }
    }

    /// The device begins to listen: speech that comes from now on is of a new turn.
    pub fn begin(&self) {
        self.await_speech();
        self.number.fetch_add(1, Ordering::Release);
    }

    /// The device has listened: speech is awaited from now on.
    pub fn await_speech(&self) {
        self.first_packet.store(NONE_YET, Ordering::Relaxed);
    }

    /// How many were begun.
    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// A packet of speech arrived at `at`.
    pub(super) fn note_packet(&self, at: Moment) {
        self.first_packet.fetch_min(at.as_nanos(), Ordering::Relaxed);
    }

    /// When the first packet of the speech arrived that is awaited.
    pub fn first_packet(&self) -> Option<Moment> {
        let at = self.first_packet.load(Ordering::Relaxed);
        (at != NONE_YET).then(|| Moment::from_nanos(at))
    }

    /// A turn is over.
    pub fn conclude(&self, answered: bool) {
        self.concluded.fetch_add(1, Ordering::Relaxed);
        self.answered.fetch_add(u64::from(answered), Ordering::Relaxed);
    }

    /// Turns that are over, and those of them that were answered.
    pub fn concluded(&self) -> (u64, u64) {
        (self.concluded.load(Ordering::Relaxed), self.answered.load(Ordering::Relaxed))
    }
}
