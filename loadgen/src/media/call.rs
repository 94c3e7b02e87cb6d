//! What both directions of one audio session share.
//!
//! Frame n (from 0) is due at `first_due + n × frame`, carries sequence n + 1 and media time
//! (n + 1) × frame. A gateway that passes the timestamp through to its answer tells which frame it
//! answers, and so when that frame was planned: latency needs no list of what was sent.

use std::collections::{HashMap, VecDeque};
use std::net::UdpSocket;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use protocol::cipher::{MediaCipher, NonceTemplate};
use protocol::packet::HEADER_LEN;
use protocol::{FrameDuration, MediaTimestamp, Moment, SampleRate, Sequence, Ssrc};
use tokio::sync::Notify;

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
    ended_at: AtomicU64,
    last_packet: AtomicU64,
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
}

impl Call {
    /// A call that has not begun.
    pub fn new(parts: CallParts) -> Self {
        let CallParts { device, socket, cipher, nonce, frame, first_due, leave, .. } = parts;
        let CallParts { downlink_frame, downlink_rate, speech, voice, .. } = parts;
        Self {
            device,
            socket,
            cipher,
            ssrc: nonce.ssrc(),
            frame,
            downlink_frame,
            downlink_rate,
            speech,
            voice,
            first_due,
            leave,
            uplink_done: Notify::new(),
            token: OnceLock::new(),
            ended_at: AtomicU64::new(STILL_OPEN),
            last_packet: AtomicU64::new(0),
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
        let period = u64::from(self.frame.as_millis()) * 1_000_000;
        Moment::from_nanos(self.first_due.as_nanos() + frame * period)
    }

    /// The media time that `frame` carries; never 0, which old firmware sends.
    pub fn timestamp(&self, frame: u64) -> MediaTimestamp {
        MediaTimestamp::from_millis(wrapped((frame + 1) * u64::from(self.frame.as_millis())))
    }

    /// The sequence that `frame` carries.
    pub fn sequence(frame: u64) -> Sequence {
        Sequence::new(wrapped(frame + 1))
    }

    /// The frame that carries `timestamp`, if it is one that was sent.
    pub fn frame_of(&self, timestamp: MediaTimestamp) -> Option<u64> {
        let millis = timestamp.as_millis();
        let frame = self.frame.as_millis();
        // A call would have to last 49 days for the timestamp to wrap.
        let index = u64::from((millis / frame).checked_sub(1)?);
        (millis.is_multiple_of(frame) && index < self.begun()).then_some(index)
    }

    /// Frames that the pacer has begun to send.
    pub(super) fn begun(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    /// The header under which `frame` is sealed, and how long its payload is.
    pub(super) fn sealed(&self, frame: u64) -> ([u8; HEADER_LEN], usize) {
        let packets = &self.voice.packets;
        let payload = packets[self.speech.packet(frame, packets.len())].len();
        let length = u16::try_from(payload).expect("an Opus packet fits a datagram");
        (self.cipher.header(self.timestamp(frame), Self::sequence(frame), length), payload)
    }

    /// The session is over for the device: frames due from now on are not sent.
    pub fn end(&self, now: Moment) {
        self.ended_at.fetch_min(now.as_nanos(), Ordering::Relaxed);
    }

    /// When frames stop being due: the planned end, or before it if the session ended early.
    pub fn last_due(&self) -> Moment {
        self.leave.min(Moment::from_nanos(self.ended_at.load(Ordering::Relaxed)))
    }

    /// The pacer is about to send `frame`, this much after it was due.
    pub fn note_sending(&self, frame: u64, lag: Duration) {
        self.send_lags.note(frame, lag);
        // Before the datagram leaves, so that its answer finds it sent.
        self.sent.store(frame + 1, Ordering::Release);
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

    /// The kernel did not take the frame that was noted last.
    pub(super) fn note_unsent(&self) {
        self.unsent.fetch_add(1, Ordering::Relaxed);
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
        self.sent.load(Ordering::Acquire) - self.unsent.load(Ordering::Relaxed)
    }

    /// Frames answered so far, each counted once.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// What remains of it; final when the call is over.
    pub fn account(&self) -> CallAccount {
        let (first_due, last_due) = (self.first_due, self.last_due());
        CallAccount { first_due, last_due, first_answer: self.first_answer() }
    }

    /// When the first answer came.
    pub fn first_answer(&self) -> Option<Moment> {
        let at = self.first_answer.load(Ordering::Relaxed);
        (at != STILL_OPEN).then(|| Moment::from_nanos(at))
    }
}

/// How long a call that is over is remembered: the gateway tells of a frame within a second of it, and
/// is believed a second later.
const REMEMBERED_FOR: Duration = Duration::from_secs(3);

/// What remains of a call when it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallAccount {
    /// See [`Call::first_due`].
    pub first_due: Moment,
    /// See [`Call::last_due`].
    pub last_due: Moment,
    /// See [`Call::first_answer`].
    pub first_answer: Option<Moment>,
}

/// The calls that are open, by their ssrc, and those that were until just now: their sockets and
/// rings are held no longer than that, however many calls a run has.
#[derive(Default)]
pub struct CallRegistry(Mutex<Registered>);

#[derive(Default)]
struct Registered {
    calls: HashMap<Ssrc, Arc<Call>>,
    /// Those that are over, and since when.
    over: VecDeque<(Moment, Arc<Call>)>,
}

impl CallRegistry {
    /// Adds a call; one of the same ssrc before it is over.
    pub fn add(&self, call: Arc<Call>) {
        self.registered().calls.insert(call.ssrc, call);
    }

    /// A call is over since `now`.
    pub fn over(&self, call: Arc<Call>, now: Moment) {
        self.registered().over.push_back((now, call));
    }

    /// Forgets the calls that have been over for long enough at `now`.
    pub fn forget(&self, now: Moment) {
        let mut registered = self.registered();
        let Registered { calls, over } = &mut *registered;
        while let Some((_, call)) = over.pop_front_if(|(since, _)| *since + REMEMBERED_FOR <= now) {
            // Another call may have the same ssrc by now.
            if calls.get(&call.ssrc).is_some_and(|current| Arc::ptr_eq(current, &call)) {
                calls.remove(&call.ssrc);
            }
        }
    }

    /// The way of the frame that carries this timestamp; `None` when no call sent it.
    pub fn journey(&self, ssrc: Ssrc, timestamp: MediaTimestamp) -> Option<Journey> {
        let registered = self.registered();
        let call = registered.calls.get(&ssrc)?;
        let frame = call.frame_of(timestamp)?;
        let (planned, send_lag) = (call.due(frame), call.send_lag(frame));
        Some(Journey { planned, send_lag, latency: call.latencies.get(frame) })
    }

    fn registered(&self) -> MutexGuard<'_, Registered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::cast_possible_truncation, reason = "counters of the wire wrap")]
const fn wrapped(wide: u64) -> u32 {
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
            downlink_frame: FrameDuration::MS_60,
            downlink_rate: SampleRate::HZ_24000,
            speech: Speech { voice: 0, first_packet: 0 },
            voice: Arc::new(Voice {
                name: "test".to_owned(),
                packets: vec![vec![11 << 3; UPLINK_BYTES].into()],
            }),
            first_due,
            leave: first_due + Duration::from_secs(1),
        })
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
        let calls = CallRegistry::default();
        calls.add(Arc::new(call));
        let call = calls.registered().calls.values().next().map(Arc::clone).unwrap();
        let journey = |frame| calls.journey(call.ssrc, call.timestamp(frame));
        let first = Journey {
            planned: Moment::from_millis(100),
            send_lag: Some(Duration::from_micros(7)),
            latency: Some(Duration::from_millis(30)),
        };
        assert_eq!(journey(0), Some(first));
        assert_eq!(journey(1).unwrap().latency, None);
        assert_eq!((journey(2), calls.journey(Ssrc::new(1), call.timestamp(0))), (None, None));
        call.note_sending(256, Duration::ZERO);
        assert_eq!(call.send_lag(0), None, "overwritten by frame 256");
    }

    #[test]
    fn a_call_that_is_over_is_forgotten_with_its_socket_and_no_other_of_its_ssrc() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let calls = CallRegistry::default();
        let [first, second] = [1000, 2000].map(|millis| {
            let call = Arc::new(call_to(&peer, 1, Moment::from_millis(millis)));
            call.note_sending(0, Duration::ZERO);
            calls.add(Arc::clone(&call));
            call
        });
        let (ssrc, timestamp) = (first.ssrc, first.timestamp(0));
        let gone = Arc::downgrade(&first);
        calls.over(first, Moment::from_millis(2000));
        calls.forget(Moment::from_millis(4999));
        assert!(gone.upgrade().is_some(), "the gateway may still tell of it");
        calls.forget(Moment::from_millis(5000));
        assert!(gone.upgrade().is_none());
        assert_eq!(calls.journey(ssrc, timestamp).unwrap().planned, second.first_due);
        calls.over(second, Moment::from_millis(5000));
        calls.forget(Moment::from_millis(8000));
        assert_eq!(calls.journey(ssrc, timestamp), None);
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
