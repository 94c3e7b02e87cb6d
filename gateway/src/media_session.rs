//! One audio session: what may enter it, the frames that wait, and how a frame is answered.
//!
//! Two halves with a lock each, as two threads use them: a media thread puts frames in, one worker
//! at a time answers them. A packet is accepted in this order, so that garbage leaves no trace:
//! it opens, it is a plausible Opus packet, it is newer than all before. Only then the sequence
//! advances and the device's address is learned.
//!
//! Like the device itself, the gateway does not reorder: a late packet is a lost one.

use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use platform::{Datagram, Received};
use protocol::cipher::MediaCipher;
use protocol::opus::PacketShape;
use protocol::packet::Header;
use protocol::sequence::{Arrival, SequenceWindow};
use protocol::{FrameDuration, MediaTimestamp, Moment, Sequence, Ssrc};

use crate::backend::{BackendSession, Scratch};
use crate::buffers::Buffers;
use crate::counters::{Counters, DropCause};
use crate::dispatch::Standing;
use crate::mailbox::{Mailbox, Next, NoRoom, Posted};
use crate::pool::Activity;

/// A session that devices send to and workers run.
#[derive(Debug)]
pub(crate) struct MediaSession {
    ssrc: Ssrc,
    frame: FrameDuration,
    /// Seals what goes down; what comes up opens with the same key whatever its header says.
    cipher: MediaCipher,
    counters: Arc<Counters>,
    uplink: Mutex<Uplink>,
    downlink: Mutex<Downlink>,
    standing: Mutex<Standing>,
}

/// The half that media threads fill.
#[derive(Debug)]
struct Uplink {
    window: SequenceWindow,
    /// Where the last accepted packet came from, and when.
    last: Option<(SocketAddr, Moment)>,
    mailbox: Mailbox<Frame>,
}

/// The half that workers use.
#[derive(Debug)]
struct Downlink {
    backend: BackendSession,
    sequence: Sequence,
}

/// An opened packet that waits for a worker.
#[derive(Debug)]
struct Frame {
    datagram: Datagram,
    timestamp: MediaTimestamp,
}

/// What a worker lends to every session that it runs.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) socket: Arc<UdpSocket>,
    pub(crate) buffers: Arc<Buffers>,
    pub(crate) scratch: Scratch,
}

impl MediaSession {
    /// A session whose uplink carries `frame` in each packet. `cipher` seals its downlink, and up
    /// to `mailbox` frames wait for a worker.
    pub(crate) fn new(
        ssrc: Ssrc,
        frame: FrameDuration,
        cipher: MediaCipher,
        backend: BackendSession,
        mailbox: usize,
        counters: Arc<Counters>,
    ) -> Self {
        let mailbox = Mailbox::new(mailbox);
        let uplink = Uplink { window: SequenceWindow::new(), last: None, mailbox };
        let downlink = Downlink { backend, sequence: Sequence::FIRST };
        let (uplink, downlink) = (Mutex::new(uplink), Mutex::new(downlink));
        let standing = Mutex::new(Standing::new(u64::from(ssrc.get())));
        Self { ssrc, frame, cipher, counters, uplink, downlink, standing }
    }

    pub(crate) fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// When the last packet was accepted.
    pub(crate) fn heard(&self) -> Option<Moment> {
        self.uplink().last.map(|(_, at)| at)
    }

    /// Takes a datagram that names this session into the mailbox, leaving a buffer of `spares` in
    /// its place.
    ///
    /// # Errors
    /// Why the datagram goes no further; it has changed nothing but the account of sequences.
    pub(crate) fn accept(
        &self,
        received: Received<'_>,
        source: SocketAddr,
        arrived: Moment,
        spares: &mut Vec<Datagram>,
    ) -> Result<Posted, DropCause> {
        let header = self.open(received.datagram.payload_mut())?;
        let mut uplink = self.uplink();
        uplink.admit(header.sequence, source, arrived)?;
        let datagram = received.take(spares.pop().unwrap_or_else(Datagram::spare));
        Ok(uplink.mailbox.post(Frame { datagram, timestamp: header.timestamp }))
    }

    /// Decrypts a datagram in place and judges what comes out.
    fn open(&self, datagram: &mut [u8]) -> Result<Header, DropCause> {
        let (header, payload) = self.cipher.open(datagram).map_err(|_| DropCause::BadHeader)?;
        let shape = PacketShape::parse(payload).map_err(|_| DropCause::Implausible)?;
        if shape.duration() == self.frame.as_duration() {
            Ok(header)
        } else {
            Err(DropCause::Implausible)
        }
    }

    /// Accepts nothing any more and drops the frames that wait.
    pub(crate) fn close(&self, buffers: &Buffers) {
        for frame in self.uplink().mailbox.close() {
            self.counters.dropped.count(DropCause::SessionEnded);
            buffers.give_back(frame.datagram);
        }
    }

    fn answer(
        &self,
        frame: &mut Frame,
        to: SocketAddr,
        socket: &UdpSocket,
        scratch: &mut Scratch,
    ) -> Result<(), DropCause> {
        // A worker that panicked has lost a frame of the stream, which a codec survives.
        let mut downlink = self.downlink.lock().unwrap_or_else(PoisonError::into_inner);
        let datagram = downlink.backend.answer(frame.datagram.payload_mut(), scratch)?;
        self.cipher.seal(frame.timestamp, downlink.sequence, datagram);
        downlink.sequence = downlink.sequence.next();
        socket.send_to(datagram, to).map_err(|_| DropCause::SendFailed)?;
        Ok(())
    }

    fn uplink(&self) -> MutexGuard<'_, Uplink> {
        self.uplink.lock().expect("nothing panics while it holds an uplink")
    }
}

impl Uplink {
    /// Accounts for a packet that opened to a plausible frame, and tells whether it is taken.
    fn admit(
        &mut self,
        sequence: Sequence,
        source: SocketAddr,
        arrived: Moment,
    ) -> Result<(), DropCause> {
        match self.window.observe(sequence) {
            Arrival::InOrder | Arrival::AfterGap(_) => {}
            Arrival::Reordered | Arrival::Stale => return Err(DropCause::Late),
            Arrival::Duplicate => return Err(DropCause::Duplicate),
            Arrival::Jump => return Err(DropCause::Leap),
        }
        self.last = Some((source, arrived));
        self.mailbox.room().map_err(|why| match why {
            NoRoom::Full => DropCause::MailboxFull,
            NoRoom::Closed => DropCause::SessionEnded,
        })
    }
}

impl Activity for MediaSession {
    type Desk = Desk;

    fn run_one(&self, desk: &mut Desk) {
        let taken = {
            let mut uplink = self.uplink();
            uplink.mailbox.take().zip(uplink.last)
        };
        // The session may have ended since it was put into the queue.
        let Some((mut frame, (to, _))) = taken else { return };
        match self.answer(&mut frame, to, &desk.socket, &mut desk.scratch) {
            Ok(()) => self.counters.frames_out.add(1),
            Err(cause) => self.counters.dropped.count(cause),
        }
        desk.buffers.give_back(frame.datagram);
    }

    fn settle(&self) -> Next {
        self.uplink().mailbox.settle()
    }

    fn panicked(&self) {
        self.counters.worker_panics.add(1);
        self.counters.dropped.count(DropCause::WorkerPanic);
        tracing::error!(ssrc = %self.ssrc, "a worker panicked and lost the frame in hand");
    }

    fn standing(&self) -> &Mutex<Standing> {
        &self.standing
    }
}

#[cfg(test)]
mod tests;
