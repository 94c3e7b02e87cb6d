//! What it costs the generator to note one frame: the answer, and the send.
//!
//! `answer` is everything that the listener does once it knows which frame a datagram answers: the
//! sequence window, the call's own counters, its delay variation, its losses and its three players;
//! then latency, service latency and receive lag, each for the phase and for the second, and the
//! difference in delay. `send` is everything that the pacer does around the system call: the call's
//! counters, and the send lag for the phase and for the second. Sockets, cipher, keystream watch and
//! the look at the Opus header are not in it (see `protocol`), nor is reading a clock.
//!
//! `devices=1` finds everything in the nearest cache. `devices=500` goes from device to device, as
//! answers come: what it adds is waiting for memory, some 8 KiB a device.
//!
//! Answers are late by 20 ms and a little more, differently each time; one in 64 is lost, and one in
//! 64 comes after the next.

use std::hint::black_box;
use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use benches::{UPLINK, cipher, grant};
use criterion::{Criterion, criterion_group, criterion_main};
use loadgen::integrity::Speech;
use loadgen::media::answer_record::{AnswerRecorder, Times};
use loadgen::media::call::{Call, CallParts};
use loadgen::media::delays::Room;
use loadgen::media::downlink::Downlink;
use loadgen::media::experience::FIXED_DEPTH;
use loadgen::media::interval::{Intervals, intervals};
use loadgen::media::send_record::SendRecorder;
use loadgen::media::talkspurt::Talkspurts;
use loadgen::scenario::Phase;
use loadgen::schedule::PhaseTimes;
use loadgen::voice::Voice;
use measure::jitter::StreamJitter;
use measure::loss::FrameFates;
use measure::playout::{Adaptive, Fixed, Xiaozhi};
use measure::{Distribution, Quantity};
use platform::thread_cpu_time;
use protocol::{FrameDuration, Moment};

const FRAME: Duration = Duration::from_millis(60);

fn call(device: u32, socket: UdpSocket) -> Arc<Call> {
    Arc::new(Call::new(CallParts {
        device,
        socket,
        cipher: cipher(),
        nonce: grant().nonce,
        frame: FrameDuration::MS_60,
        period: FrameDuration::MS_60.as_duration(),
        downlink_frame: FrameDuration::MS_60,
        downlink_rate: UPLINK.sample_rate,
        speech: Speech { voice: 0, first_packet: 0 },
        voice: Arc::new(Voice {
            name: "none".to_owned(),
            frame: FrameDuration::MS_60,
            packets: vec![[9 << 3; 60].into()],
        }),
        first_due: Moment::START + FRAME * device / 500,
        leave: Moment::from_nanos(u64::MAX),
        talkspurts: Talkspurts::Endless,
        ways: None,
    }))
}

fn calls(count: u32) -> Vec<Arc<Call>> {
    let socket = || UdpSocket::bind("127.0.0.1:0").expect("a port");
    (0..count).map(|device| call(device, socket())).collect()
}

fn phases() -> PhaseTimes {
    let (ramp, hold) = (Duration::from_secs(10), Duration::from_mins(1));
    let phase = |name| Phase::plain(name, 500, ramp, hold);
    PhaseTimes::new(&[phase("calm"), phase("burst"), phase("calm again")])
}

fn answer_recorder() -> (AnswerRecorder, Intervals<3>) {
    let (interval, taken) = intervals();
    (AnswerRecorder::new(phases(), interval, Arc::new(AtomicU64::new(0))), taken)
}

/// Frames in the order of their answers: in each 64 the 17th comes after the 18th and the 40th
/// never.
fn arrival_order(n: u64) -> u64 {
    let (block, at) = (n / 63, n % 63);
    let frame = match at {
        17 => 18,
        18 => 17,
        at if at >= 40 => at + 1,
        at => at,
    };
    block * 64 + frame
}

/// 20 ms and up to 4 ms more: the top bits of a multiplication by a large odd number.
fn transit(frame: u64) -> Duration {
    Duration::from_micros(20_000 + (frame.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 52))
}

/// Times `note` by the processor time of this thread: on a machine that others use as well, time on
/// the wall is mostly theirs.
fn bench(c: &mut Criterion, name: &str, mut note: impl FnMut()) {
    c.bench_function(name, |b| {
        b.iter_custom(|times| {
            let before = thread_cpu_time();
            (0..times).for_each(|_| note());
            thread_cpu_time().saturating_sub(before)
        });
    });
}

fn answer(c: &mut Criterion) {
    for devices in [1, 500] {
        let mut downlinks: Vec<_> = calls(devices)
            .into_iter()
            .map(|call| (Downlink::new(Arc::clone(&call), Room::default().take(20_000)), call))
            .collect();
        let (mut recorder, _intervals) = answer_recorder();
        let (mut device, mut answers) = (0, 0);
        bench(c, &format!("recording/answer/devices={devices}"), || {
            let (downlink, call) = &mut downlinks[device];
            let frame = arrival_order(answers);
            call.note_sending(frame, Duration::from_micros(90));
            let planned = call.due(frame);
            let at = planned + transit(frame);
            let what = downlink.answered(black_box(frame), black_box(at));
            let times = Times { planned, at, read: at + Duration::from_micros(70) };
            recorder.note(&what, black_box(times), call);
            device += 1;
            if device == downlinks.len() {
                (device, answers) = (0, answers + 1);
            }
        });
    }
}

/// The same frame by frame without what is noted: what the loop of `answer` itself costs.
fn nothing(c: &mut Criterion) {
    let calls = calls(1);
    let mut answers = 0;
    bench(c, "recording/nothing", || {
        let frame = arrival_order(answers);
        calls[0].note_sending(frame, Duration::from_micros(90));
        let planned = calls[0].due(frame);
        answers += 1;
        black_box((frame, planned, planned + transit(frame)));
    });
}

fn send(c: &mut Criterion) {
    for devices in [1, 500] {
        let calls = calls(devices);
        let (interval, _intervals) = intervals();
        let mut recorder = SendRecorder::new(phases(), interval, Arc::default(), Arc::default());
        let (mut device, mut frame) = (0, 0);
        bench(c, &format!("recording/send/devices={devices}"), || {
            let call: &Call = &calls[device];
            let lag = Duration::from_nanos(80_000 + frame % 0x3FFF);
            call.note_sending(black_box(frame), lag);
            recorder.sent(black_box(call.due(frame)), lag, call.is_answered());
            device += 1;
            if device == calls.len() {
                (device, frame) = (0, frame + 1);
            }
        });
    }
}

/// A part of `answer`, given each frame with the time since the start at which it was answered.
fn part(c: &mut Criterion, name: &str, mut arrived: impl FnMut(u64, Duration)) {
    let mut answers = 0;
    bench(c, &format!("recording/part/{name}"), || {
        let frame = arrival_order(answers);
        answers += 1;
        let due = Duration::from_nanos(frame * 60_000_000);
        arrived(black_box(frame), black_box(due + transit(frame)));
    });
}

fn parts(c: &mut Criterion) {
    let mut times = Distribution::new(Quantity::Time);
    part(c, "one histogram", |_, at| times.record(u64::from(at.subsec_nanos())));
    let mut jitter = StreamJitter::new();
    part(c, "delay variation", |frame, at| {
        black_box(jitter.arrived(Duration::from_nanos(frame * 60_000_000), at));
    });
    let mut fates = FrameFates::new();
    part(c, "losses", |frame, _| fates.arrived(frame));
    let mut xiaozhi = Xiaozhi::new(FRAME);
    part(c, "player xiaozhi", |frame, at| {
        black_box(xiaozhi.arrived(frame, at));
    });
    let mut fixed = Fixed::new(FRAME, FIXED_DEPTH);
    part(c, "player fixed", |frame, at| {
        black_box(fixed.arrived(frame, at));
    });
    let mut adaptive = Adaptive::new(FRAME);
    part(c, "player adaptive", |frame, at| {
        black_box(adaptive.arrived(frame, at));
    });
}

criterion_group!(benches, nothing, answer, send, parts);
criterion_main!(benches);
