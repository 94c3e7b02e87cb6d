//! One audio session: what may enter it, the frames that wait, and how a frame is answered.
//!
//! Two halves with a lock each, as two threads use them: a media thread puts frames in, one worker
//! at a time answers them. A packet is accepted in this order, so that garbage leaves no trace:
//! it opens, it is a plausible Opus packet, it is newer than all before. Only then the sequence
//! advances and the device's address is learned.
//!
//! Like the device itself, the gateway does not reorder: a late packet is a lost one.

mod reply;
mod speech;

use std::hint::black_box;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use platform::{Datagram, Received};
use protocol::cipher::MediaCipher;
use protocol::control::AudioFormat;
use protocol::identity::MacAddress;
use protocol::opus::PacketShape;
use protocol::packet::Header;
use protocol::sequence::{Arrival, SequenceWindow};
use protocol::{MediaTimestamp, Moment, Sequence, Ssrc};

use crate::backend::{BackendSession, Scratch, SharedCoders};
use crate::burn::Burn;
use crate::common::{Common, TimedOut};
use crate::counters::{DropCause, FaultKind};
use crate::delay_io::DelayLine;
use crate::dispatch::Standing;
use crate::ledger::{Ledger, Passage};
use crate::mailbox::{Mailbox, Next, NoRoom, Posted};
use crate::pool::Activity;

use reply::{Downlink, Way};

/// A session that devices send to and workers run.
#[derive(Debug)]
pub(crate) struct MediaSession {
    ssrc: Ssrc,
    device: MacAddress,
    format: AudioFormat,
    /// Seals what goes down; what comes up opens with the same key whatever its header says.
    cipher: MediaCipher,
    burn: Option<Burn>,
    common: Arc<Common>,
    uplink: Mutex<Uplink>,
    downlink: Mutex<Downlink>,
    standing: Mutex<Standing>,
}

/// What a session is made of.
#[derive(Debug)]
pub(crate) struct SessionParts {
    pub(crate) ssrc: Ssrc,
    pub(crate) device: MacAddress,
    /// What the device sends, one frame in each packet.
    pub(crate) format: AudioFormat,
    /// Seals the downlink.
    pub(crate) cipher: MediaCipher,
    pub(crate) backend: BackendSession,
    /// Frames that may wait for a worker.
    pub(crate) mailbox: usize,
}

/// The half that media threads fill.
#[derive(Debug)]
struct Uplink {
    window: SequenceWindow,
    /// Where the last accepted packet came from, and when.
    last: Option<(SocketAddr, Moment)>,
    mailbox: Mailbox<Frame>,
}

/// An opened packet that waits for a worker.
#[derive(Debug)]
struct Frame {
    datagram: Datagram,
    timestamp: MediaTimestamp,
    sequence: Sequence,
}

/// What a worker lends to every session that it runs.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) worker: usize,
    pub(crate) socket: Arc<UdpSocket>,
    /// Where answers wait that leave later.
    pub(crate) delay_line: Option<Arc<DelayLine>>,
    pub(crate) scratch: Scratch,
    pub(crate) ledger: Arc<Ledger>,
    /// With the fault `shared_codec`.
    pub(crate) shared_coders: Option<SharedCoders>,
}

impl MediaSession {
    pub(crate) fn new(parts: SessionParts, common: Arc<Common>) -> Self {
        let SessionParts { ssrc, device, format, cipher, backend, mailbox } = parts;
        let mailbox = Mailbox::new(mailbox);
        let uplink = Uplink { window: SequenceWindow::new(), last: None, mailbox };
        Self {
            ssrc,
            device,
            format,
            cipher,
            burn: Burn::of(&common.burn, device.device_number()),
            common,
            uplink: Mutex::new(uplink),
            downlink: Mutex::new(Downlink::new(backend)),
            standing: Mutex::new(Standing::new(u64::from(ssrc.get()))),
        }
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
        let Header { timestamp, sequence, .. } = header;
        // Before a worker can be done with it.
        self.common.counters.frames_accepted.add(1);
        Ok(uplink.mailbox.post(arrived, Frame { datagram, timestamp, sequence }))
    }

    /// Decrypts a datagram in place and judges what comes out.
    fn open(&self, datagram: &mut [u8]) -> Result<Header, DropCause> {
        let (header, payload) = self.cipher.open(datagram).map_err(|_| DropCause::BadHeader)?;
        let shape = PacketShape::parse(payload).map_err(|_| DropCause::Implausible)?;
        if shape.duration() == self.format.frame.as_duration() {
            Ok(header)
        } else {
            Err(DropCause::Implausible)
        }
    }

    /// Accepts nothing any more and drops the frames that wait.
    pub(crate) fn close(&self) {
        let counters = &self.common.counters;
        for frame in self.uplink().mailbox.close() {
            counters.dropped.count(DropCause::SessionEnded);
            counters.frames_settled.add(1);
            self.common.buffers.give_back(frame.datagram);
        }
        let mut downlink = self.downlink();
        if downlink.close() {
            if downlink.answers() {
                counters.dropped.count(DropCause::SessionEnded);
            } else {
                counters.speech_lost.add(1);
            }
        }
        drop(downlink);
        self.common.lends_no_more(self.ssrc);
    }

    /// The next frame that is still of use and where its answer goes; `None` when there is none,
    /// as when the session has ended since it was put into the queue.
    fn take(&self, desk: &Desk, began: Moment) -> Option<(Moment, Frame, SocketAddr)> {
        loop {
            let (arrived, frame, to) = {
                let mut uplink = self.uplink();
                let (arrived, frame) = uplink.mailbox.take()?;
                let (to, _) = uplink.last.expect("frames come from somewhere");
                (arrived, frame, to)
            };
            let waited = began.since(arrived);
            match self.common.worker_timeout {
                Some(limit) if waited > limit => {
                    let (ssrc, timestamp) = (self.ssrc, frame.timestamp);
                    let (ready, ended) = (began, began);
                    desk.ledger.timed_out(Passage {
                        ssrc,
                        timestamp,
                        arrived,
                        began,
                        ready,
                        ended,
                    });
                    let device = self.device;
                    self.common.timeouts.add(TimedOut { at: began, device, waited });
                    self.done_with(frame, Err(DropCause::WorkerTimeout));
                }
                _ => return Some((arrived, frame, to)),
            }
        }
    }

    /// A frame is done with.
    fn done_with(&self, frame: Frame, answered: Result<(), DropCause>) {
        if let Err(cause) = answered {
            self.common.counters.dropped.count(cause);
        }
        self.common.counters.frames_settled.add(1);
        self.common.buffers.give_back(frame.datagram);
    }

    /// What is to be done for a frame beside answering it.
    fn labour(&self, sequence: Sequence) {
        let Common { clock, counters, .. } = &*self.common;
        let faults = self.common.faults();
        let number = u64::from(sequence.get());
        if faults.crashes(self.device.device_number(), number) {
            counters.faults.count(FaultKind::WorkerCrash);
            panic!("the fault `worker_crash` struck at frame {number} of {}", self.device);
        }
        let leak = faults.leak_per_frame();
        if leak > 0 {
            counters.faults.count(FaultKind::LeakPerFrame);
            counters.memory_leaked.add(leak as u64);
            // Unseen, an optimiser would leave it out.
            black_box(Box::leak(vec![1_u8; leak].into_boxed_slice()));
        }
        if let Some(burn) = &self.burn {
            burn.perform(number, clock);
        }
    }

    fn downlink(&self) -> MutexGuard<'_, Downlink> {
        // A worker that panicked has lost a frame of the stream, which a codec survives.
        self.downlink.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn run_one(&self, desk: &mut Desk, mut began: Moment) {
        let clock = self.common.clock;
        let stall = self.common.faults().stall_of_worker(desk.worker, began);
        if let Some(stall) = stall {
            self.common.sit_out(stall);
            began = clock.now();
        }
        let Some((arrived, mut frame, to)) = self.take(desk, began) else { return };
        desk.ledger.took(began);
        self.labour(frame.sequence);
        let way = Way { arrived, to };
        let mut ready = None;
        let answered = self.downlink().answer(self, &mut frame, way, desk, &mut ready);
        let (ssrc, timestamp, ended) = (self.ssrc, frame.timestamp, clock.now());
        let ready = ready.unwrap_or(ended);
        desk.ledger.ran(Passage { ssrc, timestamp, arrived, began, ready, ended });
        self.done_with(frame, answered);
    }

    fn settle(&self) -> Next {
        self.uplink().mailbox.settle()
    }

    fn panicked(&self) {
        let counters = &self.common.counters;
        counters.worker_panics.add(1);
        counters.dropped.count(DropCause::WorkerPanic);
        counters.frames_settled.add(1);
        tracing::error!(device = %self.device, "a worker panicked and lost the frame in hand");
    }

    fn standing(&self) -> &Mutex<Standing> {
        &self.standing
    }
}

#[cfg(test)]
mod tests;
