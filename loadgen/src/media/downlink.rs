//! What comes back in one call: matched with what was sent, by the timestamp that it carries.

use std::sync::Arc;
use std::time::Duration;

use protocol::Moment;
use protocol::packet::Header;
use protocol::sequence::{Arrival, SequenceWindow};

use super::call::Call;
use super::experience::Experience;

/// What is known of the answers to one call.
pub(super) struct Downlink {
    pub(super) call: Arc<Call>,
    pub(super) window: SequenceWindow,
    pub(super) experience: Experience,
    pub(super) latency_sum: Duration,
    pub(super) latency_max: Duration,
    pub(super) kernel_drops: u32,
}

/// What one datagram turned out to be.
pub(super) struct Heard<'a> {
    /// Whether it answers a frame.
    pub(super) what: What,
    /// When the frame that it answers was planned; its arrival, where it answers none.
    pub(super) planned: Moment,
    /// The decrypted payload, of what is a packet of the session.
    pub(super) opus: Option<&'a [u8]>,
}

/// Whether a datagram answers a frame.
pub(super) enum What {
    /// The first answer to `frame`.
    Answer { frame: u64, reordered: bool },
    /// Another answer to `frame`.
    Again { frame: u64 },
    /// No media packet of this session, or the answer to no frame.
    Foreign,
}

impl Downlink {
    /// The answers to `call`, before there are any.
    pub(super) fn new(call: Arc<Call>) -> Self {
        Self {
            experience: Experience::new(call.frame.as_duration()),
            call,
            window: SequenceWindow::new(),
            latency_sum: Duration::ZERO,
            latency_max: Duration::ZERO,
            kernel_drops: 0,
        }
    }

    /// Opens a datagram that the kernel received at `at` and accounts for it.
    pub(super) fn hear<'a>(&mut self, datagram: &'a mut [u8], at: Moment) -> Heard<'a> {
        let call = &self.call;
        let foreign = Heard { what: What::Foreign, planned: at, opus: None };
        match Header::decode(datagram) {
            Ok(header) if header.ssrc == call.ssrc => {}
            _ => return foreign,
        }
        let Ok((header, opus)) = call.cipher.open(datagram) else { return foreign };
        call.note_packet(at);
        let opus = Some(&*opus);
        let Some(frame) = call.frame_of(header.timestamp) else {
            return Heard { opus, ..foreign };
        };
        let planned = call.due(frame);
        let what = match self.window.observe_certain(frame) {
            Arrival::Duplicate => What::Again { frame },
            // 1,024 frames late: whether it was answered before is not known; an answer of a minute
            // ago is of no use to anybody.
            Arrival::Stale | Arrival::Jump => What::Foreign,
            arrival => {
                call.note_answered(frame, at);
                What::Answer { frame, reordered: arrival == Arrival::Reordered }
            }
        };
        Heard { what, planned, opus }
    }
}
