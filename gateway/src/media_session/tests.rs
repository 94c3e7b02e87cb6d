use super::*;
use crate::backend::{Backend, BackendSettings};
use crate::dispatch::Dispatch;
use crate::pool::{Pool, RunQueue};
use codec::{Encoder, EncoderSettings};
use platform::{Clock, MAX_BATCH, ReceiveBatch, UdpOptions, bind_udp};
use protocol::cipher::{MediaKey, NonceTemplate};
use protocol::control::AudioFormat;
use protocol::packet::{DOWNLINK_FLAG, HEADER_LEN, MAX_DATAGRAM};
use protocol::{FrameDuration, SampleRate};
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// How long a test waits for what must happen; never reached when all is well.
const PATIENCE: Duration = Duration::from_secs(10);
const UPLINK: AudioFormat =
    AudioFormat { sample_rate: SampleRate::HZ_16000, frame: FrameDuration::MS_60 };

fn nonce(ssrc: u32) -> NonceTemplate {
    NonceTemplate::new(Ssrc::new(ssrc), 0)
}

/// The key of the session with this ssrc.
fn key(ssrc: u32) -> MediaKey {
    MediaKey::new([u8::try_from(ssrc).unwrap(); 16])
}

fn session(ssrc: u32, kind: Backend) -> Arc<MediaSession> {
    let settings = BackendSettings { kind, ..BackendSettings::default() };
    session_in(ssrc, Common::plain(settings))
}

fn session_in(ssrc: u32, common: Arc<Common>) -> Arc<MediaSession> {
    let (backend, _) = BackendSession::open(&common.backend, UPLINK, true).unwrap();
    let parts = SessionParts {
        ssrc: Ssrc::new(ssrc),
        device: MacAddress::new([2, 0, 0, 0, 0, u8::try_from(ssrc).unwrap()]),
        format: UPLINK,
        cipher: MediaCipher::new(&key(ssrc), nonce(ssrc).with_flags(DOWNLINK_FLAG)),
        backend,
        mailbox: 32,
    };
    Arc::new(MediaSession::new(parts, common))
}

fn desk(socket: &Arc<UdpSocket>) -> Desk {
    Desk {
        worker: 0,
        socket: Arc::clone(socket),
        delay_line: None,
        scratch: Scratch::new(),
        ledger: Arc::default(),
        shared_coders: None,
    }
}

/// Opus packets of a tone whose pitch is the session's own.
fn packets(ssrc: u32, frame: FrameDuration, count: usize) -> Vec<Vec<u8>> {
    let settings = EncoderSettings { frame, ..EncoderSettings::firmware_uplink() };
    let mut encoder = Encoder::new(&settings).unwrap();
    let period = 30 + 10 * usize::try_from(ssrc).unwrap();
    let mut samples = (0..).map(|n: usize| i16::try_from(n % period * 200).unwrap() - 6000);
    let mut encode = || {
        let pcm: Vec<i16> = samples.by_ref().take(settings.frame_samples()).collect();
        let mut packet = vec![0; MAX_DATAGRAM - HEADER_LEN];
        let len = encoder.encode(&pcm, &mut packet).unwrap();
        packet.truncate(len);
        packet
    };
    (0..count).map(|_| encode()).collect()
}

fn sealed(ssrc: u32, key: &MediaKey, sequence: u32, packet: &[u8]) -> Vec<u8> {
    let mut datagram = [&[0; HEADER_LEN], packet].concat();
    let timestamp = MediaTimestamp::from_millis(sequence * 60);
    MediaCipher::new(key, nonce(ssrc)).seal(timestamp, Sequence::new(sequence), &mut datagram);
    datagram
}

#[test]
fn only_a_plausible_packet_of_the_sessions_frame_duration_opens() {
    let session = session(1, Backend::Relay);
    let opened = |key: &MediaKey, packet: &[u8]| {
        session.open(&mut sealed(1, key, 7, packet)).map(|header| header.sequence.get())
    };
    let sixty = &packets(1, FrameDuration::MS_60, 1)[0];
    let twenty = &packets(1, FrameDuration::MS_20, 1)[0];
    assert_eq!(opened(&key(1), sixty), Ok(7));
    assert_eq!(opened(&key(1), twenty), Err(DropCause::Implausible), "20 ms");
    assert_eq!(opened(&key(2), sixty), Err(DropCause::Implausible), "another session's key");
    assert_eq!(session.open(&mut [1, 0, 0, 9, 0]), Err(DropCause::BadHeader));
    assert!(session.heard().is_none());
}

#[test]
fn only_packets_newer_than_all_before_are_taken_and_teach_the_address() {
    let addr = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut uplink = Uplink { window: SequenceWindow::new(), last: None, mailbox: Mailbox::new(3) };
    for (sequence, port, expected, learned) in [
        (5, 1, Ok(()), 1),
        (6, 2, Ok(()), 2),
        (6, 3, Err(DropCause::Duplicate), 2),
        (5, 3, Err(DropCause::Duplicate), 2),
        (4, 3, Err(DropCause::Late), 2),
        (5000, 3, Err(DropCause::Leap), 2),
        (9, 4, Ok(()), 4),
        (8, 3, Err(DropCause::Late), 4),
        (10, 4, Err(DropCause::MailboxFull), 4),
    ] {
        let arrived = Moment::from_millis(u64::from(sequence));
        let admitted = uplink.admit(Sequence::new(sequence), addr(port), arrived);
        assert_eq!(admitted, expected, "{sequence}");
        assert_eq!(uplink.last.map(|(source, _)| source), Some(addr(learned)), "{sequence}");
        if admitted.is_ok() {
            let (datagram, timestamp) = (Datagram::spare(), MediaTimestamp::from_millis(0));
            let frame = Frame { datagram, timestamp, sequence: Sequence::new(sequence) };
            let _ = uplink.mailbox.post(arrived, frame);
        }
    }
    assert_eq!(uplink.last.map(|(_, at)| at), Some(Moment::from_millis(10)));
    assert_eq!(uplink.mailbox.close().count(), 3);
    let late = uplink.admit(Sequence::new(11), addr(1), Moment::START);
    assert_eq!(late, Err(DropCause::SessionEnded));
}

/// A gateway's media port and the sockets of its devices, on loopback.
struct Wire {
    port: Arc<UdpSocket>,
    devices: Vec<UdpSocket>,
    batch: ReceiveBatch,
    spares: Vec<Datagram>,
}

impl Wire {
    fn new(devices: usize) -> Self {
        let open = || {
            let socket = bind_udp((Ipv4Addr::LOCALHOST, 0).into(), UdpOptions::default()).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        };
        Self {
            port: Arc::new(open()),
            devices: (0..devices).map(|_| open()).collect(),
            batch: ReceiveBatch::new(MAX_BATCH),
            spares: Vec::new(),
        }
    }

    /// Sends a datagram from `device` and has `session` take it.
    fn call(&mut self, device: usize, session: &MediaSession, datagram: &[u8]) -> Posted {
        let to = self.port.local_addr().unwrap();
        self.devices[device].send_to(datagram, to).unwrap();
        assert_eq!(self.batch.receive(&*self.port, true).unwrap(), 1);
        let received = self.batch.received().next().unwrap();
        let source = received.source.unwrap();
        session.accept(received, source, Moment::START, &mut self.spares).unwrap()
    }

    fn replies(&self, device: usize, count: usize) -> Vec<Vec<u8>> {
        let mut room = [0; MAX_DATAGRAM];
        let mut next = || {
            let len = self.devices[device].recv(&mut room).expect("a reply within the timeout");
            room[..len].to_vec()
        };
        (0..count).map(|_| next()).collect()
    }

    fn desk(&self) -> Desk {
        desk(&self.port)
    }
}

/// A session whose worker can be held with a frame in hand.
struct Gated {
    session: Arc<MediaSession>,
    gate: Option<Mutex<Receiver<()>>>,
    in_hand: AtomicBool,
}

impl Activity for Gated {
    type Desk = Desk;

    fn run_one(&self, desk: &mut Desk, began: Moment) {
        assert!(!self.in_hand.swap(true, Ordering::SeqCst), "on two workers at once");
        if let Some(gate) = &self.gate {
            gate.lock().unwrap().recv().unwrap();
        }
        self.session.run_one(desk, began);
        self.in_hand.store(false, Ordering::SeqCst);
    }

    fn settle(&self) -> Next {
        self.session.settle()
    }

    fn panicked(&self) {
        self.session.panicked();
    }

    fn standing(&self) -> &Mutex<Standing> {
        self.session.standing()
    }
}

const SESSIONS: usize = 5;
const FRAMES: usize = 20;

/// Every session's frames, sealed, in the order in which they are sent: all sessions in turns.
fn calls() -> Vec<(usize, Vec<u8>)> {
    let mut calls = Vec::new();
    let numbers = 0..u32::try_from(SESSIONS).unwrap();
    let audio: Vec<_> =
        numbers.clone().map(|ssrc| packets(ssrc, FrameDuration::MS_60, FRAMES)).collect();
    for (sequence, frame) in (1..).zip(0..FRAMES) {
        for ssrc in numbers.clone() {
            let device = usize::try_from(ssrc).unwrap();
            let packet = &audio[device][frame];
            calls.push((device, sealed(ssrc, &key(ssrc), sequence, packet)));
        }
    }
    calls
}

fn sessions() -> Vec<Arc<MediaSession>> {
    (0..u32::try_from(SESSIONS).unwrap()).map(|ssrc| session(ssrc, Backend::Echo)).collect()
}

/// What each device is answered when one thread does all the work, a session after the other.
fn reference() -> Vec<Vec<Vec<u8>>> {
    let (mut wire, sessions) = (Wire::new(SESSIONS), sessions());
    for (device, datagram) in calls() {
        let _ = wire.call(device, &sessions[device], &datagram);
    }
    let mut desk = wire.desk();
    for session in &sessions {
        session.run_one(&mut desk, Moment::START);
        while session.settle() != Next::Idle {
            session.run_one(&mut desk, Moment::START);
        }
    }
    (0..SESSIONS).map(|device| wire.replies(device, FRAMES)).collect()
}

#[test]
fn a_pool_with_a_slow_worker_answers_exactly_as_one_thread_does() {
    let reference = reference();
    for dispatch in Dispatch::ALL {
        slow_worker(dispatch, &reference);
    }
}

fn slow_worker(dispatch: Dispatch, reference: &[Vec<Vec<u8>>]) {
    let mut wire = Wire::new(SESSIONS);
    let (let_through, gate) = channel();
    let mut gate = Some(Mutex::new(gate));
    let gated: Vec<Arc<Gated>> = sessions()
        .into_iter()
        .map(|session| {
            Arc::new(Gated { session, gate: gate.take(), in_hand: AtomicBool::new(false) })
        })
        .collect();
    let socket = Arc::clone(&wire.port);
    let pool = Pool::start(3, 3, dispatch, Clock::start(), move |_| desk(&socket)).unwrap();
    let queue: &RunQueue<Gated> = pool.queue();
    for (device, datagram) in calls() {
        if wire.call(device, &gated[device].session, &datagram) == Posted::Activate {
            queue.submit(&gated[device], Moment::START);
        }
    }
    // One worker is held with the first session's first frame. From one queue, the others are
    // served to the end; with queues of their own, some wait behind it.
    let release = || (0..FRAMES).for_each(|_| let_through.send(()).unwrap());
    if dispatch != Dispatch::CentralQueue {
        release();
    }
    for (device, expected) in reference.iter().enumerate().skip(1) {
        assert!(wire.replies(device, FRAMES) == *expected, "{dispatch}, session {device}");
    }
    if dispatch == Dispatch::CentralQueue {
        release();
    }
    assert!(wire.replies(0, FRAMES) == reference[0], "{dispatch}, the slow session");
    assert_eq!(pool.drain(PATIENCE), 0);
    for session in gated {
        let counters = session.session.common.counters.snapshot();
        assert_eq!((counters.frames_out, counters.worker_panics), (FRAMES as u64, 0));
    }
}

#[test]
fn replies_carry_the_frames_timestamp_a_sequence_of_their_own_and_the_downlink_flag() {
    let mut wire = Wire::new(1);
    let session = session(3, Backend::Relay);
    let packet = &packets(3, FrameDuration::MS_60, 1)[0];
    let mut desk = wire.desk();
    for sequence in [40, 41] {
        let posted = wire.call(0, &session, &sealed(3, &key(3), sequence, packet));
        assert_eq!(posted, Posted::Activate);
        session.run_one(&mut desk, Moment::START);
        assert_eq!(session.settle(), Next::Idle);
    }
    let device = MediaCipher::new(&key(3), nonce(3));
    for (mut reply, (timestamp, sequence)) in
        wire.replies(0, 2).into_iter().zip([(2400, 1), (2460, 2)])
    {
        let (header, payload) = device.open(&mut reply).unwrap();
        assert_eq!(payload, packet);
        assert_eq!(
            (header.timestamp.as_millis(), header.sequence.get(), header.flags),
            (timestamp, sequence, DOWNLINK_FLAG)
        );
    }
}

#[test]
fn frames_of_a_session_that_ended_are_dropped_and_counted() {
    let mut wire = Wire::new(1);
    let session = session(3, Backend::Relay);
    let packet = &packets(3, FrameDuration::MS_60, 1)[0];
    for sequence in 1..=3 {
        let _ = wire.call(0, &session, &sealed(3, &key(3), sequence, packet));
    }
    session.close();
    session.run_one(&mut wire.desk(), Moment::START);
    assert_eq!(session.settle(), Next::Idle);
    let counters = session.common.counters.snapshot();
    assert_eq!((counters.dropped.session_ended, counters.frames_out), (3, 0));
}

/// Has `session` take one packet after the other, and a worker answer each.
fn converse(wire: &mut Wire, device: usize, session: &MediaSession, packets: &[Vec<u8>]) {
    let (mut desk, ssrc) = (wire.desk(), session.ssrc().get());
    for (sequence, packet) in (1..).zip(packets) {
        let _ = wire.call(device, session, &sealed(ssrc, &key(ssrc), sequence, packet));
        session.run_one(&mut desk, Moment::START);
        assert_eq!(session.settle(), Next::Idle);
    }
}

fn relay_with(faults: &str) -> Arc<Common> {
    let settings = BackendSettings { kind: Backend::Relay, ..BackendSettings::default() };
    Common::with_faults(settings, toml::from_str(faults).unwrap())
}

/// The sequences of replies, as they arrived.
fn sequences(wire: &Wire, device: usize, count: usize) -> Vec<u32> {
    let header = |reply: &Vec<u8>| Header::decode(reply).unwrap().sequence.get();
    wire.replies(device, count).iter().map(header).collect()
}

#[test]
fn a_frame_that_waited_too_long_is_dropped_with_its_device_and_its_wait() {
    let mut wire = Wire::new(1);
    let mut common = relay_with("");
    let ms = Duration::from_millis;
    Arc::get_mut(&mut common).unwrap().worker_timeout = Some(ms(50));
    let session = session_in(3, Arc::clone(&common));
    let packet = &packets(3, FrameDuration::MS_60, 1)[0];
    let mut desk = wire.desk();
    for sequence in [1, 2] {
        let _ = wire.call(0, &session, &sealed(3, &key(3), sequence, packet));
    }
    // Both arrived at the start; neither is of use after 51 ms.
    session.run_one(&mut desk, Moment::from_millis(51));
    assert_eq!(session.settle(), Next::Idle);
    let _ = wire.call(0, &session, &sealed(3, &key(3), 3, packet));
    session.run_one(&mut desk, Moment::from_millis(50));
    assert_eq!(sequences(&wire, 0, 1), [1], "the third is in time");

    let counters = common.counters.snapshot();
    assert_eq!((counters.dropped.worker_timeout, counters.frames_out), (2, 1));
    assert_eq!(counters.frames_settled, 3);
    let (at, device) = (Moment::from_millis(51), MacAddress::new([2, 0, 0, 0, 0, 3]));
    assert_eq!(common.timeouts.list(), [TimedOut { at, device, waited: ms(51) }; 2]);
    assert_eq!(
        desk.ledger.totals(Moment::START).queue_delay.count(),
        3,
        "what they waited is known"
    );
    assert_eq!(desk.ledger.totals(Moment::START).frames, 1);
}

#[test]
fn replies_are_dropped_sent_twice_and_held_back() {
    let packets = packets(3, FrameDuration::MS_60, 4);
    for (fault, expected) in [
        ("", &[1, 2, 3, 4][..]),
        ("dropped_replies = \"100%\"", &[]),
        ("duplicated_replies = \"100%\"", &[1, 1, 2, 2, 3, 3, 4, 4]),
        ("reordered_replies = \"100%\"", &[2, 1, 4, 3]),
    ] {
        let (mut wire, common) = (Wire::new(1), relay_with(fault));
        let session = session_in(3, Arc::clone(&common));
        converse(&mut wire, 0, &session, &packets);
        assert_eq!(sequences(&wire, 0, expected.len()), expected, "{fault}");
        session.close();
        let counters = common.counters.snapshot();
        assert_eq!(counters.frames_out + counters.dropped.total(), 4, "{fault}: {counters:?}");
        let struck = counters.faults;
        assert_eq!(struck.dropped_replies, counters.dropped.by_fault, "{fault}");
        let (twice, late) = (struck.duplicated_replies, struck.reordered_replies);
        let shown = (twice == 4, late == 2, struck.total() > 0);
        let named = |name: &str| fault.starts_with(name);
        assert_eq!(shown, (named("dup"), named("reo"), !fault.is_empty()), "{fault}: {struck:?}");
    }
}

#[test]
fn a_reply_that_is_held_back_when_the_session_ends_is_counted_as_dropped() {
    let (mut wire, common) = (Wire::new(1), relay_with("reordered_replies = \"100%\""));
    let session = session_in(3, Arc::clone(&common));
    converse(&mut wire, 0, &session, &packets(3, FrameDuration::MS_60, 1));
    session.close();
    let counters = common.counters.snapshot();
    assert_eq!((counters.frames_out, counters.dropped.session_ended), (0, 1));
}

#[test]
fn one_sessions_audio_reaches_another_under_the_others_own_key() {
    let (mut wire, common) = (Wire::new(2), relay_with("foreign_audio = \"100%\""));
    let [one, two] = [1, 2].map(|ssrc| session_in(ssrc, Arc::clone(&common)));
    let [ones, twos] = [1, 2].map(|ssrc| packets(ssrc, FrameDuration::MS_60, 1));
    converse(&mut wire, 0, &one, &ones);
    converse(&mut wire, 1, &two, &twos);
    let reply = |device: usize, ssrc| {
        let mut reply = wire.replies(device, 1).remove(0);
        MediaCipher::new(&key(ssrc), nonce(ssrc)).open(&mut reply).unwrap().1.to_vec()
    };
    assert_eq!((reply(0, 1), reply(1, 2)), (ones[0].clone(), ones[0].clone()));
    assert_eq!(common.counters.snapshot().faults.foreign_audio, 1);
}

#[test]
fn keystream_is_reused_where_timestamp_and_size_never_change() {
    let settings = toml::from_str("keystream_reuse = \"100%\"").unwrap();
    let (mut wire, common) =
        (Wire::new(1), Common::with_faults(BackendSettings::default(), settings));
    let (backend, _) = BackendSession::open(&common.backend, UPLINK, false).unwrap();
    let session = session_in(3, Arc::clone(&common));
    session.downlink().replace_backend(backend);
    converse(&mut wire, 0, &session, &packets(3, FrameDuration::MS_60, 5));
    let headers: Vec<_> =
        wire.replies(0, 5).iter().map(|reply| Header::decode(reply).unwrap()).collect();
    assert!(headers.iter().all(|header| header.timestamp.as_millis() == 0), "{headers:?}");
    assert!(headers.iter().all(|header| header.payload_len == headers[0].payload_len));
    assert_eq!(common.counters.snapshot().faults.keystream_reuse, 5);
}

#[test]
fn coders_shared_by_two_sessions_change_what_both_are_answered() {
    let echo = |shared: bool| {
        let common = Common::plain(BackendSettings::default());
        let sessions = [1, 2].map(|ssrc| session_in(ssrc, Arc::clone(&common)));
        let audio = [1, 2].map(|ssrc| packets(ssrc, FrameDuration::MS_60, 5));
        let (mut wire, mut answers) = (Wire::new(2), Vec::new());
        let mut desk = wire.desk();
        desk.shared_coders = shared.then(|| SharedCoders::new(BackendSettings::default()));
        for sequence in 1..=5 {
            for (device, ssrc) in [(0, 1), (1, 2)] {
                let packet = &audio[device][usize::try_from(sequence).unwrap() - 1];
                let datagram = sealed(ssrc, &key(ssrc), sequence, packet);
                let _ = wire.call(device, &sessions[device], &datagram);
                sessions[device].run_one(&mut desk, Moment::START);
                assert_eq!(sessions[device].settle(), Next::Idle);
                answers.extend(wire.replies(device, 1));
            }
        }
        assert_eq!(common.counters.snapshot().faults.shared_codec, if shared { 10 } else { 0 });
        answers
    };
    let (own, shared) = (echo(false), echo(true));
    assert_eq!(own[0], shared[0], "nothing was there before the first");
    let changed = own.iter().zip(&shared).filter(|(own, shared)| own != shared).count();
    assert!(changed >= 8, "{changed} of 10 answers changed");
}

#[test]
fn a_crash_and_a_leak_strike_the_frame_in_hand() {
    let mut wire = Wire::new(1);
    let packets = packets(3, FrameDuration::MS_60, 2);
    let leaking = relay_with("leak_per_frame = \"1KiB\"");
    converse(&mut wire, 0, &session_in(3, Arc::clone(&leaking)), &packets);
    assert_eq!(leaking.counters.snapshot().faults.leak_per_frame, 2);

    let crashing = relay_with("worker_crash = \"100%\"");
    let session = session_in(3, Arc::clone(&crashing));
    let _ = wire.call(0, &session, &sealed(3, &key(3), 1, &packets[0]));
    let mut desk = wire.desk();
    let run = std::panic::AssertUnwindSafe(|| session.run_one(&mut desk, Moment::START));
    assert!(std::panic::catch_unwind(run).is_err());
    session.panicked();
    assert_eq!(session.settle(), Next::Idle);
    let counters = crashing.counters.snapshot();
    assert_eq!((counters.faults.worker_crash, counters.dropped.worker_panic), (1, 1));
    assert_eq!(counters.frames_settled, 1);
}
