//! What a worker of the backend `echo` does for a frame of 60 ms, and so how many frames per second
//! one worker can answer: decodes a packet of speech at 24 kHz and encodes it for the device.
//!
//! Cipher, queues and sockets are not in it; see the benchmarks `protocol` and `pool`. Speech is
//! one of our voices as the firmware encodes it at 16 kHz, pauses included, replayed from the start
//! when it ends.

use std::hint::black_box;
use std::io::Cursor;

use codec::{Complexity, Decoder, Encoder, EncoderSettings};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ogg::PacketReader;
use protocol::SampleRate;
use protocol::packet::MAX_DATAGRAM;

const VOICE: &[u8] = include_bytes!("../../scenarios/audio/01-claire.opus");

/// Packets that describe a stream before its first frame (RFC 7845).
const OPUS_HEADERS: usize = 2;

fn packets() -> Vec<Vec<u8>> {
    let mut reader = PacketReader::new(Cursor::new(VOICE));
    let next = || reader.read_packet().expect("our voices can be read").map(|packet| packet.data);
    std::iter::from_fn(next).skip(OPUS_HEADERS).collect()
}

#[expect(clippy::print_stderr, reason = "no figure without the library that it is of")]
fn echo_frame(c: &mut Criterion) {
    eprintln!("{}", codec::library_version());
    let packets = packets();
    let mut group = c.benchmark_group("echo_frame");
    group.throughput(Throughput::Elements(1));
    for complexity in [0, 5, 10] {
        let complexity = Complexity::new(complexity).expect("0 to 10");
        let settings = EncoderSettings { complexity, ..EncoderSettings::gateway_downlink() };
        let mut decoder = Decoder::new(SampleRate::HZ_24000).expect("memory for a decoder");
        let mut encoder = Encoder::new(&settings).expect("memory for an encoder");
        let (mut pcm, mut answer) = (vec![0; settings.frame_samples()], [0; MAX_DATAGRAM]);
        let mut speech = packets.iter().cycle();
        group.bench_function(format!("complexity={}", complexity.get()), |b| {
            b.iter(|| {
                let packet = speech.next().expect("it goes on for ever");
                let decoded = decoder.decode(black_box(packet), &mut pcm);
                assert_eq!(decoded, Ok(pcm.len()));
                encoder.encode(&pcm, &mut answer)
            });
        });
    }
    group.finish();
}

criterion_group!(benches, echo_frame);
criterion_main!(benches);
