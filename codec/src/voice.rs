//! A synthetic voice for tests, the same at every sample rate, and its packets.

use std::f64::consts::TAU;

use protocol::SampleRate;

use crate::Encoder;

/// Eight harmonics of a pitch that wanders by 3 %, at some -12 dB of full scale.
pub(crate) fn speak(pitch_hz: f64, rate: SampleRate, samples: usize) -> Vec<i16> {
    let sample = |index: usize| {
        let seconds = index as f64 / f64::from(rate.as_hertz());
        // The integral of pitch × (1 + 0.03 × sin(TAU × 4 Hz × t)).
        let cycles = pitch_hz * (seconds - 0.03 * (TAU * 4.0 * seconds).cos() / (TAU * 4.0));
        let harmonics = (1..=8).map(f64::from);
        let wave: f64 = harmonics.map(|n| (TAU * n * cycles).sin() / n).sum();
        to_pcm(wave * 5_000.0)
    };
    (0..samples).map(sample).collect()
}

/// The packets of `pcm`, frame by frame.
pub(crate) fn packets(encoder: &mut Encoder, pcm: &[i16]) -> Vec<Vec<u8>> {
    let frames = pcm.chunks_exact(encoder.frame_samples());
    let encode = |frame| {
        let mut packet = vec![0; 1276];
        let len = encoder.encode(frame, &mut packet).unwrap();
        packet.truncate(len);
        packet
    };
    frames.map(encode).collect()
}

/// Likeness of two sounds over the length of the shorter: 1 the same, 0 unrelated.
pub(crate) fn correlation(one: &[i16], other: &[i16]) -> f64 {
    let sum = |f: fn(f64, f64) -> f64| -> f64 {
        one.iter().zip(other).map(|(&a, &b)| f(f64::from(a), f64::from(b))).sum()
    };
    let energies = sum(|a, _| a * a) * sum(|_, b| b * b);
    if energies == 0.0 { 0.0 } else { sum(|a, b| a * b) / energies.sqrt() }
}

#[expect(clippy::cast_possible_truncation, reason = "the value is within the range")]
fn to_pcm(value: f64) -> i16 {
    value.clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16
}
