//! Whether what comes back is what the device said, and if not, whose it is.
//!
//! Three checks, by what a gateway does with sound; pure, without threads or sockets:
//! - it returns packets as they are: [`golden_payloads`] compares bytes, for every device;
//! - it is the reference gateway's echo: [`golden_chain`] repeats its work and compares bytes, at
//!   the price of that work;
//! - it encodes anew in whatever way: [`recogniser`] compares how the sound moves with how every
//!   voice of the run moves ([`reference_voices`]).

use std::sync::Arc;

use crate::voice::Voice;

mod envelope;
pub mod golden_chain;
pub mod golden_payloads;
pub mod recogniser;
pub mod reference_voices;
#[cfg(test)]
mod testing;

/// What a device says in each of its calls: a voice, from one of its packets on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speech {
    /// Which of the run's voices.
    pub voice: usize,
    /// The packet of frame 0.
    pub first_packet: usize,
}

impl Speech {
    /// What a device says that speaks with `voice`, one of `voices`, from `clip_offset` on: see
    /// [`crate::traits::DeviceTraits`].
    pub fn new(voices: &[Arc<Voice>], voice: usize, clip_offset: u32) -> Self {
        Self { voice, first_packet: voices[voice].packet_at(clip_offset) }
    }

    /// The packet that `frame` carries, in a clip of `packets` packets.
    pub(crate) fn packet(self, frame: u64, packets: usize) -> usize {
        let at = (self.first_packet as u64 + frame) % packets as u64;
        usize::try_from(at).expect("an index below the number of packets")
    }
}
