use super::*;
use crate::backend::{Backend, BackendSettings};
use crate::dispatch::Dispatch;
use crate::pool::{Pool, RunQueue};
use codec::{Encoder, EncoderSettings};
use platform::{Clock, MAX_BATCH, ReceiveBatch, UdpOptions, bind_udp};
use protocol::SampleRate;
use protocol::cipher::{MediaKey, NonceTemplate};
use protocol::control::AudioFormat;
use protocol::packet::{DOWNLINK_FLAG, HEADER_LEN, MAX_DATAGRAM};
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
    let (backend, _) = BackendSession::open(&settings, UPLINK).unwrap();
    let cipher = MediaCipher::new(&key(ssrc), nonce(ssrc).with_flags(DOWNLINK_FLAG));
    let counters = Arc::default();
    Arc::new(MediaSession::new(Ssrc::new(ssrc), UPLINK.frame, cipher, backend, 32, counters))
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
            let timestamp = MediaTimestamp::from_millis(0);
            let _ = uplink.mailbox.post(Frame { datagram: Datagram::spare(), timestamp });
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
        let (socket, buffers) = (Arc::clone(&self.port), Arc::new(Buffers::new()));
        Desk { socket, buffers, scratch: Scratch::new() }
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

    fn run_one(&self, desk: &mut Desk) {
        assert!(!self.in_hand.swap(true, Ordering::SeqCst), "on two workers at once");
        if let Some(gate) = &self.gate {
            gate.lock().unwrap().recv().unwrap();
        }
        self.session.run_one(desk);
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
        session.run_one(&mut desk);
        while session.settle() == Next::Again {
            session.run_one(&mut desk);
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
    let (socket, buffers) = (Arc::clone(&wire.port), Arc::new(Buffers::new()));
    let pool = Pool::start(3, dispatch, Clock::start(), move || Desk {
        socket: Arc::clone(&socket),
        buffers: Arc::clone(&buffers),
        scratch: Scratch::new(),
    })
    .unwrap();
    let queue: Arc<RunQueue<Gated>> = pool.queue();
    for (device, datagram) in calls() {
        if wire.call(device, &gated[device].session, &datagram) == Posted::Activate {
            queue.submit(&gated[device]);
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
        let counters = session.session.counters.snapshot();
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
        session.run_one(&mut desk);
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
    session.close(&Buffers::new());
    session.run_one(&mut wire.desk());
    assert_eq!(session.settle(), Next::Idle);
    let counters = session.counters.snapshot();
    assert_eq!((counters.dropped.session_ended, counters.frames_out), (3, 0));
}
