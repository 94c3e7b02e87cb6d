//! The speech that a session is being sent, of the backend `assistant`.
//!
//! One frame at a time is sealed and sent under the session's lock, so that no frame leaves once a
//! speech was broken off or the session has ended. Frames that are dropped, doubled or held back by a
//! fault are the same as those of answers; the faults `foreign_audio` and `keystream_reuse` are about
//! answers alone.

use std::net::UdpSocket;
use std::time::Duration;

use protocol::MediaTimestamp;
use protocol::Moment;
use protocol::packet::{HEADER_LEN, MAX_DATAGRAM};

use super::MediaSession;
use super::reply::deliver;
use crate::counters::DropCause;

/// A speech under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speech {
    number: u64,
    begins: Moment,
    frames: u64,
    turn: u64,
    /// Frames that were sent.
    sent: u64,
}

impl MediaSession {
    /// Prepares a speech of so many frames that begins then; returns how long a frame is.
    pub(crate) fn begin_speech(
        &self,
        number: u64,
        begins: Moment,
        frames: u64,
        turn: u64,
    ) -> Duration {
        let mut downlink = self.downlink();
        if !downlink.closed {
            downlink.speech = Some(Speech { number, begins, frames, turn, sent: 0 });
        }
        self.format.frame.as_duration()
    }

    /// Breaks the speech off: no frame of it leaves after this.
    pub(crate) fn silence(&self) {
        self.downlink().speech = None;
    }

    /// How many frames of the device were accepted so far.
    pub(crate) fn frames_heard(&self) -> u64 {
        self.uplink().window.unique()
    }

    /// Sends the next frame of speech `number`; tells whether another follows.
    pub(crate) fn speak(&self, number: u64, socket: &UdpSocket) -> bool {
        let common = &*self.common;
        let stall = common.faults().stall_of_gateway(common.clock.now());
        if let Some(stall) = stall {
            common.sit_out(stall);
        }
        // Learned from what the device said; who has said nothing is not spoken to.
        let Some((to, _)) = self.uplink().last else { return false };
        let Some(clip) = &common.clip else { return false };
        let mut downlink = self.downlink();
        let Some(speech) = downlink.speech.filter(|speech| speech.number == number) else {
            return false;
        };
        let frame = self.format.frame;
        let payload = clip.packet(frame, speech.turn, speech.sent);
        let mut room = [0; MAX_DATAGRAM];
        let datagram = &mut room[..HEADER_LEN + payload.len()];
        datagram[HEADER_LEN..].copy_from_slice(payload);
        let (sealed_as, replies) = downlink.next_sequence();
        self.cipher.seal(timestamp(&speech, frame.as_duration()), sealed_as, datagram);
        let fault = common.faults().of_reply(self.device.device_number(), replies);
        let send = |datagram: &[u8]| {
            socket.send_to(datagram, to).map_or(Err(DropCause::SendFailed), |_| Ok(()))
        };
        let lost = |_| common.counters.speech_lost.add(1);
        let sent = &common.counters.speech_frames;
        let delivered =
            deliver(&common.counters, sent, &lost, fault, datagram, &mut downlink.held, send);
        if let Err(cause) = delivered {
            lost(cause);
        }
        let sent = speech.sent + 1;
        let goes_on = sent < speech.frames;
        downlink.speech = goes_on.then_some(Speech { sent, ..speech });
        goes_on
    }
}

/// The media time of the next frame, on a clock that runs over the whole session; never 0.
fn timestamp(speech: &Speech, frame: Duration) -> MediaTimestamp {
    let into = frame * u32::try_from(speech.sent).unwrap_or(u32::MAX);
    let millis = (speech.begins + into).since_start().as_millis() + 1;
    #[expect(clippy::cast_possible_truncation, reason = "media time wraps on the wire")]
    MediaTimestamp::from_millis(millis as u32)
}
