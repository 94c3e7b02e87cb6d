//! What both directions of one audio session share.
//!
//! Frame n (from 0) is due at `first_due + n × frame` and carries media time (n + 1) × frame; which
//! frames are sent, and under which sequence, `talkspurt` says. A gateway that passes the timestamp
//! through to its answer tells which frame it answers, and so when that frame was planned: latency
//! needs no list of what was sent.

use std::net::UdpSocket;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use protocol::cipher::{MediaCipher, NonceTemplate};
use protocol::packet::HEADER_LEN;
use protocol::{FrameDuration, MediaTimestamp, Moment, SampleRate, Ssrc};
use tokio::sync::Notify;

use super::talkspurt::{Talkspurt, Talkspurts};
use super::turn_notes::TurnNotes;
use super::ways::{Ways, nearest_slot};
use crate::integrity::Speech;
use crate::schedule::DeviceNumber;
use crate::voice::Voice;

/// Frames whose send lag and latency are remembered: 5.1 s of 20 ms frames. Answers that come later
/// are counted and timed, but have no service latency.
const REMEMBERED: usize = 256;

const STILL_OPEN: u64 = u64::MAX;

/// One open audio session of one device.
pub struct Call {
    /// Whose it is.
    pub device: DeviceNumber,
    /// Connected to the gateway's media port.
    pub socket: UdpSocket,
    /// Seals and opens its packets.
    pub cipher: MediaCipher,
    /// The connection id that the gateway handed out.
    pub ssrc: Ssrc,
    /// Audio in each packet of the uplink.
    pub frame: FrameDuration,
    /// How long that lasts by the device's clock.
    pub period: Duration,
    /// Audio in each packet of the downlink, as agreed in hello.
    pub downlink_frame: FrameDuration,
    /// The sample rate of the downlink, as agreed in hello.
    pub downlink_rate: SampleRate,
    /// What the device says.
    pub speech: Speech,
    /// The voice that it says it with.
    pub voice: Arc<Voice>,
    /// When frame 0 is due.
    pub first_due: Moment,
    /// No frame is due at or after this moment.
    pub leave: Moment,
    /// Told when the pacer has sent the last frame.
    pub uplink_done: Notify,
    /// The listener's name for it.
    pub(super) token: OnceLock<usize>,
    pub(super) talkspurts: Talkspurts,
    /// The simulated network between, unless it is clear.
    pub ways: Option<Box<Ways>>,
    /// What became of its turns, of a device that takes turns.
    pub turns: TurnNotes,
    ended_at: AtomicU64,
    last_packet: AtomicU64,
    /// The frame after the last one that the pacer has begun to send.
    begun: AtomicU64,
    sent: AtomicU64,
    unsent: AtomicU64,
    answered: AtomicU64,
    first_answer: AtomicU64,
    send_lags: Recent,
    latencies: Recent,
}

/// A span of time for each of the newest frames, written by one thread and read by others.
struct Recent([AtomicU64; REMEMBERED]);

/// What is known of one frame's way, seen from the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Journey {
    /// When it was planned to be sent.
    pub planned: Moment,
    /// How late it was sent; `None` when that is not known any more.
    pub send_lag: Option<Duration>,
    /// From the plan to the kernel receiving its first answer; `None` while there is none.
    pub latency: Option<Duration>,
}

impl Recent {
    fn new() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(u64::MAX)))
    }

    fn note(&self, frame: u64, span: Duration) {
        let span = u32::try_from(span.as_nanos()).unwrap_or(u32::MAX);
        let packed = u64::from(wrapped(frame)) << 32 | u64::from(span);
        self.0[slot(frame)].store(packed, Ordering::Release);
    }

    /// `None` when it was not noted, is too long ago, or was over 4 s.
    fn get(&self, frame: u64) -> Option<Duration> {
        let packed = self.0[slot(frame)].load(Ordering::Acquire);
        let span = wrapped(packed);
        let same_frame = packed >> 32 == u64::from(wrapped(frame));
        (same_frame && span != u32::MAX).then(|| Duration::from_nanos(u64::from(span)))
    }
}

/// What a call is made of, apart from what happens to it.
pub struct CallParts {
    /// See [`Call::device`].
    pub device: DeviceNumber,
    /// See [`Call::socket`].
    pub socket: UdpSocket,
    /// See [`Call::cipher`].
    pub cipher: MediaCipher,
    /// The nonce of the gateway's hello.
    pub nonce: NonceTemplate,
    /// See [`Call::frame`].
    pub frame: FrameDuration,
    /// How long that lasts by the device's clock.
    pub period: Duration,
    /// See [`Call::downlink_frame`].
    pub downlink_frame: FrameDuration,
    /// See [`Call::downlink_rate`].
    pub downlink_rate: SampleRate,
    /// See [`Call::speech`].
    pub speech: Speech,
    /// See [`Call::voice`].
    pub voice: Arc<Voice>,
    /// See [`Call::first_due`].
    pub first_due: Moment,
    /// See [`Call::leave`].
    pub leave: Moment,
    /// When the device speaks.
    pub talkspurts: Talkspurts,
    /// See [`Call::ways`].
    pub ways: Option<Box<Ways>>,
}

impl Call {
    /// A call that has not begun.
    pub fn new(parts: CallParts) -> Self {
        let CallParts { device, socket, cipher, nonce, frame, period, first_due, leave, .. } =
            parts;
        let CallParts { downlink_frame, downlink_rate, speech, voice, talkspurts, ways, .. } =
            parts;
        Self {
            device,
            socket,
            cipher,
            ssrc: nonce.ssrc(),
            frame,
            period,
            downlink_frame,
            downlink_rate,
            speech,
            voice,
            first_due,
            leave,
            uplink_done: Notify::new(),
            token: OnceLock::new(),
            talkspurts,
            ways,
            turns: TurnNotes::new(),
            ended_at: AtomicU64::new(STILL_OPEN),
            last_packet: AtomicU64::new(0),
            begun: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            unsent: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            first_answer: AtomicU64::new(STILL_OPEN),
            send_lags: Recent::new(),
            latencies: Recent::new(),
        }
    }

    /// When `frame` is due.
    pub fn due(&self, frame: u64) -> Moment {
        let due = Moment::from_nanos(self.first_due.as_nanos() + frame * self.period_ns());
        // Frames of a clock that is off are due in the slot nearest to their moment: what a pacer can
        // keep to. Those of the others are in slots anyway.
        if self.period == self.frame.as_duration() { due } else { nearest_slot(due) }
    }

    /// The media time that `frame` carries; never 0, which old firmware sends.
    pub fn timestamp(&self, frame: u64) -> MediaTimestamp {
        MediaTimestamp::from_millis(wrapped((frame + 1) * u64::from(self.frame.as_millis())))
    }

    /// Whether each frame has its answer: the device never stops to speak.
    pub fn is_answered(&self) -> bool {
        matches!(self.talkspurts, Talkspurts::Endless)
    }

    /// Begins a talkspurt of `frames` frames, the first of them due at `ready` or as soon after it as
    /// the device's grid allows.
    ///
    /// # Panics
    /// For a device that never stops to speak.
    pub fn begin_talkspurt(&self, ready: Moment, frames: u64) -> Talkspurt {
        let passed = ready.as_nanos().saturating_sub(self.first_due.as_nanos());
        self.talkspurts.begin(passed.div_ceil(self.period_ns()), frames)
    }

    /// How long a frame lasts by the device's clock.
    fn period_ns(&self) -> u64 {
        u64::try_from(self.period.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The frame that carries `timestamp`, if it is one that may have been sent.
    pub fn frame_of(&self, timestamp: MediaTimestamp) -> Option<u64> {
        let millis = timestamp.as_millis();
        let frame = self.frame.as_millis();
        // A call would have to last 49 days for the timestamp to wrap.
        let index = u64::from((millis / frame).checked_sub(1)?);
        (millis.is_multiple_of(frame) && index < self.begun()).then_some(index)
    }

    /// The frame after the last one that the pacer has begun to send.
    pub(super) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Acquire)
    }

    /// The header under which `frame` is sealed, and how long its payload is; `None` of a frame that
    /// is not spoken.
    pub(super) fn sealed(&self, frame: u64) -> Option<([u8; HEADER_LEN], usize)> {
        let talkspurt = self.talkspurts.of(frame)?;
        let packets = &self.voice.packets;
        let payload = packets[self.speech.packet(talkspurt.index(frame), packets.len())].len();
        let length = u16::try_from(payload).expect("an Opus packet fits a datagram");
        let header = self.cipher.header(self.timestamp(frame), talkspurt.sequence(frame), length);
        Some((header, payload))
    }

    /// The session is over for the device: frames due from now on are not sent.
    pub fn end(&self, now: Moment) {
        self.ended_at.fetch_min(now.as_nanos(), Ordering::Relaxed);
    }

    /// When frames stop being due: the planned end, or before it if the session ended early.
    pub fn last_due(&self) -> Moment {
        self.leave.min(Moment::from_nanos(self.ended_at.load(Ordering::Relaxed)))
    }

    /// The pacer is about to send `frame`, this much after it was due. Only the pacer calls this, so
    /// plain stores do.
    pub fn note_sending(&self, frame: u64, lag: Duration) {
        self.send_lags.note(frame, lag);
        self.sent.store(self.sent.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        // Before the datagram leaves, so that its answer finds it sent.
        self.begun.store(frame + 1, Ordering::Release);
    }

    /// How late `frame` was sent; `None` when that is too long ago, or was over 4 s.
    pub(super) fn send_lag(&self, frame: u64) -> Option<Duration> {
        self.send_lags.get(frame)
    }

    /// `frame` was answered for the first time, at `at`; returns its latency. Only the listener
    /// calls this, so plain stores do.
    pub(super) fn note_answered(&self, frame: u64, at: Moment) -> Duration {
        let latency = at.since(self.due(frame));
        self.latencies.note(frame, latency);
        self.answered.store(self.answered.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        if at.as_nanos() < self.first_answer.load(Ordering::Relaxed) {
            self.first_answer.store(at.as_nanos(), Ordering::Relaxed);
        }
        latency
    }

    /// A packet of the gateway's speech arrived at `at`. Only the listener calls this.
    pub(super) fn note_speech(&self, at: Moment) {
        self.turns.note_packet(at);
        self.first_answer.fetch_min(at.as_nanos(), Ordering::Relaxed);
    }

    /// The kernel did not take the frame that was noted last.
    pub(super) fn note_unsent(&self) {
        self.unsent.fetch_add(1, Ordering::Relaxed);
    }

    /// The way of the frame that carries `timestamp`; `None` when it did not send one.
    pub(super) fn journey(&self, timestamp: MediaTimestamp) -> Option<Journey> {
        let frame = self.frame_of(timestamp)?;
        let (planned, send_lag) = (self.due(frame), self.send_lag(frame));
        Some(Journey { planned, send_lag, latency: self.latencies.get(frame) })
    }

    /// A packet of this session arrived at `at`.
    pub(super) fn note_packet(&self, at: Moment) {
        self.last_packet.fetch_max(at.as_nanos(), Ordering::Relaxed);
    }

    /// When the last packet of this session arrived; the start of the run when none has.
    pub fn last_packet(&self) -> Moment {
        Moment::from_nanos(self.last_packet.load(Ordering::Relaxed))
    }

    /// Frames that the kernel took so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed) - self.unsent.load(Ordering::Relaxed)
    }

    /// Frames answered so far, each counted once.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// What remains of it; final when the call is over.
    pub fn account(&self) -> CallAccount {
        let last_due = self.last_due();
        let spoken = self.talkspurts.all().into_iter().map(|talkspurt| {
            let until = if talkspurt == Talkspurt::ENDLESS {
                last_due
            } else {
                self.due(talkspurt.end()).min(last_due)
            };
            Spoken { first_due: self.due(talkspurt.first), until }
        });
        CallAccount { spoken: spoken.collect(), last_due, first_answer: self.first_answer() }
    }

    /// When the first answer came.
    pub fn first_answer(&self) -> Option<Moment> {
        let at = self.first_answer.load(Ordering::Relaxed);
        (at != STILL_OPEN).then(|| Moment::from_nanos(at))
    }
}

/// What remains of a call when it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallAccount {
    /// Its talkspurts.
    pub spoken: Vec<Spoken>,
    /// See [`Call::last_due`].
    pub last_due: Moment,
    /// See [`Call::first_answer`].
    pub first_answer: Option<Moment>,
}

/// Frames that were due, one each frame duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spoken {
    /// When the first one was.
    pub first_due: Moment,
    /// None was due at or after this moment.
    pub until: Moment,
}

#[expect(clippy::cast_possible_truncation, reason = "counters of the wire wrap")]
pub(super) const fn wrapped(wide: u64) -> u32 {
    wide as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the remainder is below REMEMBERED")]
const fn slot(frame: u64) -> usize {
    (frame % REMEMBERED as u64) as usize
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use protocol::cipher::MediaKey;

    /// How long each packet of the uplink is.
    pub(crate) const UPLINK_BYTES: usize = 40;

    /// A call of `device` with fixed key and nonce, its socket connected to `peer`.
    pub(crate) fn call_to(peer: &UdpSocket, device: DeviceNumber, first_due: Moment) -> Call {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(peer.local_addr().unwrap()).unwrap();
        let nonce = NonceTemplate::new(Ssrc::new(0x1000 + device), 0);
        let key = MediaKey::new([u8::try_from(device).unwrap(); 16]);
        Call::new(CallParts {
            device,
            socket,
            cipher: MediaCipher::new(&key, nonce),
            nonce,
            frame: FrameDuration::MS_60,
            period: FrameDuration::MS_60.as_duration(),
            downlink_frame: FrameDuration::MS_60,
            downlink_rate: SampleRate::HZ_24000,
            speech: Speech { voice: 0, first_packet: 0 },
            voice: Arc::new(Voice {
                name: "test".to_owned(),
                frame: FrameDuration::MS_60,
                packets: vec![vec![11 << 3; UPLINK_BYTES].into()],
            }),
            first_due,
            leave: first_due + Duration::from_secs(1),
            talkspurts: Talkspurts::Endless,
            ways: None,
        })
    }

    #[test]
    fn frames_of_a_slow_clock_are_due_in_the_slot_nearest_to_their_moment() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut call = call_to(&peer, 1, Moment::from_millis(100));
        assert_eq!(call.due(1000), Moment::from_millis(60_100));
        // 100 millionths of a minute are 6 ms.
        call.period = Duration::from_micros(60_006);
        assert_eq!(call.due(1000), Moment::from_millis(60_106));
        assert_eq!(call.due(1), Moment::from_millis(160), "6 µs are no slot");
        assert_eq!(call.timestamp(1000).as_millis(), 60_060, "of its own clock");
    }

    #[test]
    fn frames_are_found_by_their_timestamp_once_sent() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let call = call_to(&peer, 1, Moment::from_millis(100));
        assert_eq!(call.due(2), Moment::from_millis(220));
        assert_eq!(call.timestamp(0), MediaTimestamp::from_millis(60));
        assert_eq!(call.frame_of(call.timestamp(0)), None, "not sent yet");
        call.note_sending(0, Duration::from_micros(7));
        call.note_sending(1, Duration::ZERO);
        for frame in [0, 1] {
            assert_eq!(call.frame_of(call.timestamp(frame)), Some(frame));
        }
        for foreign in [0, 30, 61, 180, u32::MAX] {
            assert_eq!(call.frame_of(MediaTimestamp::from_millis(foreign)), None, "{foreign} ms");
        }
        assert_eq!(call.send_lag(0), Some(Duration::from_micros(7)));
        call.note_answered(0, Moment::from_millis(130));
        let first = Journey {
            planned: Moment::from_millis(100),
            send_lag: Some(Duration::from_micros(7)),
            latency: Some(Duration::from_millis(30)),
        };
        assert_eq!(call.journey(call.timestamp(0)), Some(first));
        assert_eq!(call.journey(call.timestamp(1)).unwrap().latency, None);
        assert_eq!(call.journey(call.timestamp(2)), None);
        call.note_sending(256, Duration::ZERO);
        assert_eq!(call.send_lag(0), None, "overwritten by frame 256");
    }

    #[test]
    fn a_device_that_takes_turns_sends_its_talkspurts_and_counts_what_it_sends() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let at = Moment::from_millis;
        let mut call = call_to(&peer, 1, at(100));
        call.talkspurts = Talkspurts::in_turns();
        assert!(!call.is_answered() && call.account().spoken.is_empty());
        // Due at 100, 160, 220; and at 400, 460, … of which 1100 ends the call.
        for (ready, frames, first) in [(100, 3, 0), (341, 20, 5)] {
            let talkspurt = call.begin_talkspurt(at(ready), frames);
            assert_eq!(talkspurt.first, first);
            for frame in talkspurt.first..talkspurt.end() {
                call.note_sending(frame, Duration::ZERO);
            }
        }
        assert_eq!((call.sent(), call.begun()), (23, 25));
        let spans = [(100, 280), (400, 1100)];
        let spoken = spans.map(|(first, until)| Spoken { first_due: at(first), until: at(until) });
        assert_eq!(call.account().spoken, spoken);
        assert!(call.sealed(3).is_none(), "not spoken");
        let (header, _) = call.sealed(5).unwrap();
        assert_eq!(header[12..], [0, 0, 0, 4], "the fourth that is sent");
        assert_eq!(header[8..12], 360_u32.to_be_bytes(), "the sixth by time");
    }

    #[test]
    fn an_early_end_moves_the_last_due_moment_once() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let call = call_to(&peer, 1, Moment::START);
        assert_eq!(call.last_due(), Moment::from_millis(1000));
        call.end(Moment::from_millis(400));
        call.end(Moment::from_millis(700));
        assert_eq!(call.last_due(), Moment::from_millis(400));
    }
}
