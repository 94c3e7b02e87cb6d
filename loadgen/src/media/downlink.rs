//! What comes back in one call: matched with what was sent, by the timestamp that it carries, and
//! noted. Constant memory, no allocation.

use std::sync::Arc;
use std::time::Duration;

use measure::Distribution;
use measure::jitter::Ipdv;
use protocol::keystream::{Direction, KeystreamWatch};
use protocol::packet::{HEADER_LEN, Header};
use protocol::sequence::{Arrival, SequenceWindow};
use protocol::{Moment, Sequence};

use super::call::Call;
use super::delays::Delays;
use super::experience::{Experience, Experienced};
use super::key_watch::KeyWatch;
use super::speech_stream::{SpeechPacket, SpeechStream};

/// How many packets back a copy is recognised, and by how many of its bytes.
const COPIES: usize = 8;
const BEGINNING: usize = HEADER_LEN + 16;

/// What is known of the answers to one call.
pub struct Downlink {
    pub(super) call: Arc<Call>,
    pub(super) window: SequenceWindow,
    pub(super) experience: Experience,
    /// Of a device that takes turns.
    pub(super) speech: SpeechStream,
    keystream: KeystreamWatch,
    /// Frames of the uplink that the watch was told of.
    uplink_told: u64,
    /// How the newest packets began, sealed, so that a copy is not taken for another packet.
    newest: [[u8; BEGINNING]; COPIES],
    next_newest: usize,
    /// Packets, of either direction, that were sealed with keystream used before.
    pub(super) keystream_reuse: u64,
    /// Whether answers open to Opus packets.
    pub(super) key: KeyWatch,
    /// Packets that name another session.
    pub(super) wrong_session: u64,
    pub(super) latency_sum: Duration,
    pub(super) latency_max: Duration,
    /// Of each answer, where there is room to keep it.
    pub(super) delays: Option<Delays>,
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

/// Whether a datagram answers a frame, or is speech of the gateway's own.
#[derive(Clone, Copy, Debug)]
pub enum What {
    /// The first answer to `frame`.
    Answer {
        /// The frame's number, from 0.
        frame: u64,
        /// A later frame was answered before.
        reordered: bool,
        /// The difference in delay to the answer before; `None` for the first.
        ipdv: Option<Ipdv>,
    },
    /// A packet that came before, whether it answers a frame or is speech.
    Again,
    /// Speech of the gateway's own.
    Speech {
        /// A later frame of it came before.
        reordered: bool,
        /// The difference in delay to the packet before; `None` for the first of a speech.
        ipdv: Option<Ipdv>,
    },
    /// No media packet of this session, or the answer to no frame.
    Foreign,
}

impl Downlink {
    /// The answers to `call`, before there are any; how late each is is kept in `delays`.
    pub fn new(call: Arc<Call>, delays: Option<Delays>) -> Self {
        Self {
            delays,
            experience: Experience::new(call.period),
            speech: SpeechStream::default(),
            keystream: KeystreamWatch::new(),
            uplink_told: 0,
            newest: [[0; BEGINNING]; COPIES],
            next_newest: 0,
            keystream_reuse: 0,
            key: KeyWatch::default(),
            wrong_session: 0,
            call,
            window: SequenceWindow::new(),
            latency_sum: Duration::ZERO,
            latency_max: Duration::ZERO,
            kernel_drops: 0,
        }
    }

    /// Tells the watch over the keystream of what was sealed here since the last time. What a frame
    /// was sealed under is known from its number, so the thread that sends need not tell.
    pub(super) fn note_uplink(&mut self) {
        for frame in self.uplink_told..self.call.begun() {
            if let Some((header, payload_len)) = self.call.sealed(frame) {
                let reuse = self.keystream.used(Direction::Uplink, header, payload_len);
                self.keystream_reuse += u64::from(reuse.is_some());
            }
            self.uplink_told = frame + 1;
        }
    }

    /// Packets that may share keystream with one that is no longer remembered.
    pub(super) fn keystream_uncertain(&self) -> u64 {
        self.keystream.uncertain()
    }

    /// Opens a datagram that the kernel received at `at` and accounts for it.
    pub(super) fn hear<'a>(&mut self, datagram: &'a mut [u8], at: Moment) -> Heard<'a> {
        self.note_uplink();
        let call = &self.call;
        let foreign = Heard { what: What::Foreign, planned: at, opus: None };
        match Header::decode(datagram) {
            Ok(header) if header.ssrc == call.ssrc => {}
            Ok(_) => {
                self.wrong_session += 1;
                return foreign;
            }
            Err(_) => return foreign,
        }
        let mut beginning = [0; BEGINNING];
        let known = datagram.len().min(BEGINNING);
        beginning[..known].copy_from_slice(&datagram[..known]);
        let Ok((header, opus)) = call.cipher.open(datagram) else { return foreign };
        call.note_packet(at);
        // Another copy of a packet gives nothing away that the first did not.
        if !self.newest.contains(&beginning) {
            self.newest[self.next_newest] = beginning;
            self.next_newest = (self.next_newest + 1) % COPIES;
            let head = *beginning.first_chunk().expect("it begins with a header");
            let reuse = self.keystream.used(Direction::Downlink, head, opus.len());
            self.keystream_reuse += u64::from(reuse.is_some());
        }
        let opus = Some(&*opus);
        if !call.is_answered() {
            let what = self.spoken(header.sequence, at);
            return Heard { what, planned: at, opus };
        }
        let Some(frame) = call.frame_of(header.timestamp) else {
            return Heard { opus, ..foreign };
        };
        let planned = call.due(frame);
        let what = self.answered(frame, at);
        Heard { what, planned, opus }
    }

    /// Notes that the device has begun a new turn, if it has: the speech of the one before is over.
    /// The delay variation of its packets goes to `pdv`.
    pub(super) fn follow_turns(&mut self, pdv: &mut Distribution) {
        if let Some(frames) = self.speech.turn(self.call.turns.number()) {
            self.experience.pause(frames, pdv);
        }
    }

    /// Accounts for a packet of the gateway's speech.
    fn spoken(&mut self, sequence: Sequence, at: Moment) -> What {
        match self.speech.packet(sequence) {
            SpeechPacket::Again => What::Again,
            SpeechPacket::Late => What::Foreign,
            SpeechPacket::Frame { frame, reordered } => {
                self.call.note_speech(at);
                let ipdv = self.experience.arrived(frame, at, true);
                What::Speech { reordered, ipdv }
            }
        }
    }

    /// The account of the call is closed: what the device experienced.
    pub(super) fn finish(mut self, pdv: &mut Distribution) -> Experienced {
        let frames =
            if self.call.is_answered() { self.call.sent() } else { self.speech.end().unwrap_or(0) };
        self.experience.finish(frames, pdv)
    }

    /// Accounts for an answer to `frame`, received at `at`: everything that is noted of one call.
    #[inline]
    pub fn answered(&mut self, frame: u64, at: Moment) -> What {
        match self.window.observe_certain(frame) {
            Arrival::Duplicate => {
                self.experience.arrived(frame, at, false);
                What::Again
            }
            // 1,024 frames late: whether it was answered before is not known; an answer of a minute
            // ago is of no use to anybody.
            Arrival::Stale | Arrival::Jump => What::Foreign,
            arrival => {
                let latency = self.call.note_answered(frame, at);
                self.latency_sum += latency;
                self.latency_max = self.latency_max.max(latency);
                if let Some(delays) = &mut self.delays {
                    delays.note(frame, latency);
                }
                let ipdv = self.experience.arrived(frame, at, true);
                What::Answer { frame, reordered: arrival == Arrival::Reordered, ipdv }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::call::tests::{UPLINK_BYTES, call_to};
    use protocol::cipher::{MediaCipher, MediaKey, NonceTemplate};
    use protocol::packet::DOWNLINK_FLAG;
    use std::net::UdpSocket;

    /// How often keystream was used twice when the answer to each of 100 frames, heard `behind`
    /// frames later, has these flags, this length, and a sequence so far from the frame's.
    fn reuse(flags: u8, length: usize, ahead: u32, behind: u64) -> (u64, u64) {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let call = Arc::new(call_to(&peer, 1, Moment::START));
        let nonce = NonceTemplate::new(call.ssrc, flags);
        let cipher = MediaCipher::new(&MediaKey::new([1; 16]), nonce);
        let mut downlink = Downlink::new(Arc::clone(&call), None);
        for frame in 0..100 + behind {
            call.note_sending(frame, Duration::ZERO);
            let Some(answered) = frame.checked_sub(behind) else { continue };
            let sequence = Sequence::new(u32::try_from(answered).unwrap() + 1 + ahead);
            let mut answer = vec![7; HEADER_LEN + length];
            cipher.seal(call.timestamp(answered), sequence, &mut answer);
            downlink.hear(&mut answer, Moment::from_millis(frame));
        }
        downlink.note_uplink();
        (downlink.keystream_reuse, downlink.keystream_uncertain())
    }

    #[test]
    fn a_gateway_that_takes_the_keystream_of_the_uplink_is_found_and_one_with_a_flag_does_not() {
        assert_eq!(reuse(0, UPLINK_BYTES, 0, 0), (100, 0), "the same header");
        assert_eq!(reuse(0, UPLINK_BYTES, 2, 0), (100, 0), "the last of three blocks");
        assert_eq!(reuse(0, UPLINK_BYTES, 3, 0), (0, 0), "beyond the last block");
        assert_eq!(reuse(0, UPLINK_BYTES + 1, 0, 0), (0, 0), "the length is in the header");
        assert_eq!(reuse(DOWNLINK_FLAG, UPLINK_BYTES, 0, 0), (0, 0));
    }

    #[test]
    fn what_answers_a_frame_of_long_ago_is_uncertain() {
        assert_eq!(reuse(0, UPLINK_BYTES, 0, 63), (100, 0), "within the last 64");
        let (found, uncertain) = reuse(0, UPLINK_BYTES, 0, 80);
        assert_eq!((found, uncertain), (0, 100));
        assert_eq!(reuse(DOWNLINK_FLAG, UPLINK_BYTES, 0, 80), (0, 0), "a flag leaves no doubt");
    }
}
