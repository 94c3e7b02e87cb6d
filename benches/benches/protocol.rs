//! Nanoseconds per operation of the protocol: seal, open, header, control messages, sessions.

use std::hint::black_box;

use benches::{DOWNLINK_PAYLOAD, UPLINK, UPLINK_PAYLOAD, cipher, datagram, grant, hello_json};
use criterion::{Criterion, criterion_group, criterion_main};
use protocol::control::{DeviceMessage, Features, GatewayMessage};
use protocol::device_session::{DeviceSession, DeviceTimeouts};
use protocol::gateway_session::{AUDIO_TIMEOUT, GatewaySession};
use protocol::opus::PacketShape;
use protocol::packet::Header;
use protocol::sequence::SequenceWindow;
use protocol::{MediaTimestamp, Moment, Sequence};

fn media(c: &mut Criterion) {
    let cipher = cipher();
    let timestamp = MediaTimestamp::from_millis(60);
    for (direction, payload) in [("uplink", UPLINK_PAYLOAD), ("downlink", DOWNLINK_PAYLOAD)] {
        let mut bytes = datagram(payload);
        c.bench_function(&format!("seal/{direction}"), |b| {
            b.iter(|| cipher.seal(timestamp, Sequence::FIRST, black_box(&mut bytes)));
        });
        // Opening is its own inverse: every second call opens what the one before sealed.
        c.bench_function(&format!("open/{direction}"), |b| {
            b.iter(|| cipher.open(black_box(&mut bytes)).is_ok());
        });
    }
    let mut bytes = datagram(UPLINK_PAYLOAD);
    cipher.seal(timestamp, Sequence::FIRST, &mut bytes);
    c.bench_function("header/decode", |b| b.iter(|| Header::decode(black_box(&bytes))));
    let silk_60_ms = [0x58; UPLINK_PAYLOAD];
    c.bench_function("opus/shape", |b| b.iter(|| PacketShape::parse(black_box(&silk_60_ms))));
    let mut window = SequenceWindow::new();
    let mut position = 0;
    c.bench_function("sequence/observe", |b| {
        b.iter(|| {
            position += 1;
            window.observe_position(black_box(position))
        });
    });
}

fn control(c: &mut Criterion) {
    let hello = hello_json();
    c.bench_function("control/parse device hello", |b| {
        b.iter(|| DeviceMessage::parse(black_box(hello.as_bytes())));
    });
    let answer = GatewayMessage::Hello(grant().to_hello()).to_json();
    c.bench_function("control/parse gateway hello", |b| {
        b.iter(|| GatewayMessage::parse(black_box(answer.as_bytes())));
    });
    let answer = GatewayMessage::Hello(grant().to_hello());
    c.bench_function("control/write gateway hello", |b| b.iter(|| black_box(&answer).to_json()));
}

fn sessions(c: &mut Criterion) {
    let now = Moment::from_millis(1000);
    c.bench_function("session/device hello to open", |b| {
        let answer = GatewayMessage::Hello(grant().to_hello());
        let features = Features { mcp: true, aec: false };
        let mut session = DeviceSession::new(UPLINK, features, DeviceTimeouts::default());
        let mut events = Vec::new();
        session.connected();
        b.iter(|| {
            session.open_audio(now, &mut events);
            session.message(now, black_box(answer.clone()), &mut events);
            events.clear();
        });
    });
    c.bench_function("session/gateway hello to grant", |b| {
        let hello = DeviceMessage::parse(hello_json().as_bytes()).expect("a hello of ours");
        let mut events = Vec::new();
        let mut session = GatewaySession::connected(now, AUDIO_TIMEOUT, AUDIO_TIMEOUT, &mut events);
        b.iter(|| {
            session.message(now, black_box(hello.clone()), |_| Ok(grant()), &mut events);
            events.clear();
        });
    });
    c.bench_function("session/tick with nothing to do", |b| {
        let mut events = Vec::new();
        let mut session = GatewaySession::connected(now, AUDIO_TIMEOUT, AUDIO_TIMEOUT, &mut events);
        b.iter(|| session.tick(black_box(now), &mut events));
    });
}

criterion_group!(benches, media, control, sessions);
criterion_main!(benches);
