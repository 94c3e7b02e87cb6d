//! The half of a session that workers use: makes the answer to a frame and sends it, or does what
//! a fault wants done instead.

use std::net::SocketAddr;

use protocol::packet::HEADER_LEN;
use protocol::{MediaTimestamp, Moment, Sequence};

use super::speech::Speech;
use super::{Desk, Frame, MediaSession};
use crate::backend::BackendSession;
use crate::counters::{Counter, Counters, DropCause, FaultKind};
use crate::faults::ReplyFault;

/// What the downlink of a session has come to.
#[derive(Debug)]
pub(super) struct Downlink {
    backend: BackendSession,
    sequence: Sequence,
    /// Answers made, or frames spoken, so far.
    replies: u64,
    /// An answer that goes out after the next one: a fault.
    pub(super) held: Option<Vec<u8>>,
    /// What is being said, of the backend `assistant`.
    pub(super) speech: Option<Speech>,
    /// Room for another session's audio: a fault.
    foreign: Vec<u8>,
    /// The session has ended; a frame may still be in a worker's hands.
    pub(super) closed: bool,
}

/// Where a frame came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) arrived: Moment,
    pub(super) to: SocketAddr,
}

impl Downlink {
    pub(super) fn new(backend: BackendSession) -> Self {
        Self {
            backend,
            sequence: Sequence::FIRST,
            replies: 0,
            held: None,
            speech: None,
            foreign: Vec::new(),
            closed: false,
        }
    }

    /// Answers `frame` and counts what went out; notes when the answer was `ready` to be sent.
    ///
    /// # Errors
    /// Why the frame is not answered.
    pub(super) fn answer(
        &mut self,
        session: &MediaSession,
        frame: &mut Frame,
        way: Way,
        desk: &mut Desk,
        ready: &mut Option<Moment>,
    ) -> Result<(), DropCause> {
        let Desk { socket, delay_line, scratch, shared_coders, .. } = desk;
        let backend = match shared_coders.as_mut().filter(|_| self.backend.has_codec()) {
            None => &mut self.backend,
            Some(shared) => {
                session.common.counters.faults.count(FaultKind::SharedCodec);
                shared.of(session.format).ok_or(DropCause::DecodeFailed)?
            }
        };
        if !backend.answers() {
            backend.hear(frame.datagram.payload_mut(), scratch)?;
            session.common.counters.frames_heard.add(1);
            return Ok(());
        }
        let mut datagram = backend.answer(frame.datagram.payload_mut(), scratch)?;
        if backend.has_codec() {
            session.common.counters.frames_encoded.add(1);
        }
        let (sequence, replies) = self.next_sequence();
        let device = session.device.device_number();
        let faults = session.common.faults().of_session(device);
        let victim = faults.foreign_audio;
        let payload = &datagram[HEADER_LEN..];
        if !self.closed && session.common.exchange(session.ssrc, victim, payload, &mut self.foreign)
        {
            session.common.counters.faults.count(FaultKind::ForeignAudio);
            self.foreign.splice(..0, [0; HEADER_LEN]);
            datagram = &mut self.foreign[..];
        }
        let timestamp = if faults.keystream_reuse {
            session.common.counters.faults.count(FaultKind::KeystreamReuse);
            MediaTimestamp::from_millis(0)
        } else {
            frame.timestamp
        };
        session.cipher.seal(timestamp, sequence, datagram);
        *ready = Some(session.common.clock.now());
        let fault = session.common.faults().of_reply(device, replies);
        let delay_line = delay_line.as_deref();
        let send = |datagram: &[u8]| match delay_line {
            None => socket.send_to(datagram, way.to).map_or(Err(DropCause::SendFailed), |_| Ok(())),
            Some(line) => {
                let delays = &session.common.backend.delay;
                let turn = frame.sequence.get() as usize % delays.len();
                let taken = line.send_at(way.arrived + delays[turn], datagram, way.to);
                if taken { Ok(()) } else { Err(DropCause::SendFailed) }
            }
        };
        let fault = if self.closed { ReplyFault::None } else { fault };
        let counters = &session.common.counters;
        let lost = |cause| counters.dropped.count(cause);
        deliver(counters, &counters.frames_out, &lost, fault, datagram, &mut self.held, send)
    }

    /// The sequence of the next packet, and how many there were with it.
    pub(super) fn next_sequence(&mut self) -> (Sequence, u64) {
        let sequence = self.sequence;
        self.sequence = sequence.next();
        self.replies += 1;
        (sequence, self.replies)
    }

    /// The session has ended: tells whether an answer is left that will never go out.
    pub(super) fn close(&mut self) -> bool {
        self.closed = true;
        self.speech = None;
        self.held.take().is_some()
    }

    /// Whether each frame has its answer.
    pub(super) fn answers(&self) -> bool {
        self.backend.answers()
    }
}

#[cfg(test)]
impl Downlink {
    pub(super) fn replace_backend(&mut self, backend: BackendSession) {
        self.backend = backend;
    }
}

/// Sends a sealed packet and one that was held back before it, each counted in `out` as it leaves;
/// tells `lost` of one that was held back and cannot.
pub(super) fn deliver(
    counters: &Counters,
    out: &Counter,
    lost: &impl Fn(DropCause),
    fault: ReplyFault,
    datagram: &[u8],
    held: &mut Option<Vec<u8>>,
    send: impl Fn(&[u8]) -> Result<(), DropCause>,
) -> Result<(), DropCause> {
    match fault {
        ReplyFault::Drop => {
            counters.faults.count(FaultKind::DroppedReply);
            return Err(DropCause::ByFault);
        }
        ReplyFault::HoldBack if held.is_none() => {
            counters.faults.count(FaultKind::ReorderedReply);
            *held = Some(datagram.to_vec());
            return Ok(());
        }
        ReplyFault::Duplicate => {
            counters.faults.count(FaultKind::DuplicatedReply);
            send(datagram)?;
        }
        ReplyFault::None | ReplyFault::HoldBack => {}
    }
    send(datagram)?;
    out.add(1);
    if let Some(late) = held.take() {
        match send(&late) {
            Ok(()) => out.add(1),
            Err(cause) => lost(cause),
        }
    }
    Ok(())
}
