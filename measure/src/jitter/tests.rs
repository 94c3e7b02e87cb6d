//! Each measure against closed forms, known sets and direct computations.

use std::iter;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::recorder::Statistic;

const FRAME: Duration = Duration::from_millis(60);

/// A stream whose packets, a frame apart, take these transits in ms.
fn stream(transits_ms: impl IntoIterator<Item = f64>) -> StreamJitter {
    let mut stream = StreamJitter::new();
    for (media, transit_ms) in
        iter::successors(Some(FRAME), |at| Some(*at + FRAME)).zip(transits_ms)
    {
        stream.arrived(media, media + Duration::from_secs_f64(transit_ms / 1000.0));
    }
    stream
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

fn assert_within(seen: f64, expected: f64, tolerance: f64, what: &str) {
    assert!((seen - expected).abs() <= tolerance, "{what}: {seen}, not {expected} ± {tolerance}");
}

#[test]
fn without_packets_there_is_no_number_and_one_packet_has_no_difference() {
    let mut stream = StreamJitter::new();
    assert_eq!((stream.packets(), stream.pdv_quantile(0.5)), (0, None));
    assert_eq!(stream.arrived(FRAME, FRAME), None);
    assert_eq!((stream.rfc3550(), stream.interarrival_sigma()), (None, None));
    assert_eq!((stream.packets(), stream.pdv_quantile(0.5)), (1, Some(Duration::ZERO)));
}

#[test]
fn a_constant_transit_varies_in_no_measure() {
    let stream = stream([37.123_456; 100]);
    let zero = Duration::ZERO;
    assert_eq!(
        stream.rfc3550(),
        Some(Rfc3550 { last: zero, mean: zero, settled: zero, max: zero })
    );
    assert_eq!(stream.pdv_quantile(1.0), Some(zero));
    assert_eq!(stream.interarrival_sigma(), Some(zero));
}

#[test]
fn rfc3550_of_alternating_transits_approaches_their_difference() {
    // J(n) = 10 (1 − (15/16)^n) after n differences.
    let alternating = |packets| stream([0.0, 10.0].into_iter().cycle().take(packets));
    let after_16 = alternating(17).rfc3550().unwrap();
    assert_within(ms(after_16.last), 6.4393, 5e-5, "J(16)");
    assert_eq!(after_16.max, after_16.last);
    let mean = (1..=16).map(|n| 10.0 * (1.0 - (15.0_f64 / 16.0).powi(n))).sum::<f64>() / 16.0;
    assert_within(ms(after_16.mean), mean, 1e-5, "mean of J(1) to J(16)");
    assert_within(ms(alternating(1_000).rfc3550().unwrap().last), 10.0, 1e-5, "J(999)");
}

#[test]
fn rfc3550_keeps_its_maximum_after_calm() {
    let jitter = stream([0.0, 160.0].into_iter().chain([160.0; 200])).rfc3550().unwrap();
    assert_within(ms(jitter.max), 10.0, 1e-6, "max");
    assert!(ms(jitter.last) < 0.001, "{jitter:?}");
}

#[test]
fn rfc3550_of_independent_transits_is_their_mean_distance() {
    // E J = E |X − Y|.
    type Draw = fn(&mut StdRng) -> f64;
    let normal: Draw = |random| {
        let (radius, angle) = (1.0 - random.random::<f64>(), random.random::<f64>());
        100.0 + 10.0 * (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
    };
    let uniform: Draw = |random| random.random_range(0.0..30.0);
    let exponential: Draw = |random| -10.0 * (1.0 - random.random::<f64>()).ln();
    for (name, draw, expected) in [
        ("normal, σ = 10", normal, 20.0 / std::f64::consts::PI.sqrt()),
        ("uniform in 0..30", uniform, 10.0),
        ("exponential, mean 10", exponential, 10.0),
    ] {
        let mut random = StdRng::seed_from_u64(3550);
        let transits = iter::repeat_with(|| draw(&mut random)).take(100_000);
        let mean = ms(stream(transits).rfc3550().unwrap().mean);
        assert_within(mean, expected, 0.03 * expected, name);
    }
}

#[test]
fn differences_are_signed_and_in_the_order_of_arrival() {
    let mut stream = StreamJitter::new();
    let mut arrived = |packet: u32, at_ms| {
        let ipdv = stream.arrived(FRAME * packet, Duration::from_millis(at_ms));
        ipdv.map(|ipdv| (ipdv.as_nanos() / 1_000_000, ipdv.magnitude().as_millis()))
    };
    // Transits 20, 20, 20, 100 and, of the packet that the next one overtakes, 140.
    assert_eq!(arrived(0, 20), None);
    assert_eq!(arrived(1, 80), Some((0, 0)));
    assert_eq!(arrived(3, 200), Some((0, 0)));
    assert_eq!(arrived(2, 260), Some((120, 120)));
    assert_eq!(arrived(4, 260), Some((-120, 120)));
    // The reordered packet counts: 120 / 16 = 7.5, and 7.5 + (120 − 7.5) / 16 = 14.53.
    let jitter = stream.rfc3550().unwrap();
    assert_within(ms(jitter.last), 14.531_25, 1e-5, "J");
    assert_eq!(stream.packets(), 5);
}

#[test]
fn a_pause_of_the_speaker_is_no_variation() {
    let mut stream = StreamJitter::new();
    for media_ms in [0, 60, 120, 1_320, 1_380, 9_000] {
        let media = Duration::from_millis(media_ms);
        stream.arrived(media, media + Duration::from_millis(25));
    }
    assert_eq!(stream.rfc3550().unwrap().max, Duration::ZERO);
    assert_eq!(stream.interarrival_sigma(), Some(Duration::ZERO));
}

#[test]
fn an_arrival_before_its_media_time_is_a_negative_transit() {
    let mut stream = StreamJitter::new();
    let at = Duration::from_secs(5);
    stream.arrived(at, at + Duration::from_millis(2));
    let ipdv = stream.arrived(at + FRAME, at + Duration::from_millis(57)).unwrap();
    assert_eq!(ipdv.as_nanos(), -5_000_000);
    assert_within(ms(stream.pdv_quantile(1.0).unwrap()), 5.0, 0.1, "PDV");
}

#[test]
fn sigma_is_that_of_two_passes() {
    let mut random = StdRng::seed_from_u64(1962);
    let transits: Vec<f64> =
        iter::repeat_with(|| random.random_range(0.0..80.0)).take(5_000).collect();
    // Gaps as a receiver sees them, and not by way of transits.
    let arrivals: Vec<f64> =
        (0_u32..).zip(&transits).map(|(n, t)| f64::from(n) * 60.0 + t).collect();
    let excess: Vec<f64> = arrivals.windows(2).map(|pair| pair[1] - pair[0] - 60.0).collect();
    let mean = excess.iter().sum::<f64>() / excess.len() as f64;
    let variance = excess.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / excess.len() as f64;
    let sigma = ms(stream(transits).interarrival_sigma().unwrap());
    assert_within(sigma, variance.sqrt(), 1e-4, "σ");
}

#[test]
fn pdv_quantiles_of_known_sets() {
    // 1 to 100 ms, in an order that has neither end first or last.
    let stirred = (0..100).map(|n| f64::from((n * 37 + 50) % 100 + 1));
    let known = stream(stirred);
    for (share, expected) in [(0.01, 0.0), (0.5, 49.0), (0.99, 98.0), (1.0, 99.0)] {
        let seen = ms(known.pdv_quantile(share).unwrap());
        assert_within(seen, expected, f64::max(0.1, 0.02 * expected), "1 to 100 ms");
    }
    // One packet in 50 is late: at 98 % a buffer needs nothing, at 99 % all of the 200 ms.
    let late = stream((0..500).map(|n| if n % 50 == 7 { 205.0 } else { 5.0 }));
    assert_within(ms(late.pdv_quantile(0.98).unwrap()), 0.0, 0.1, "all but one in 50");
    assert_within(ms(late.pdv_quantile(0.99).unwrap()), 200.0, 4.0, "one in 50");
}

#[test]
fn the_shortest_transit_may_come_last() {
    let falling = stream((0..100).rev().map(f64::from));
    assert_within(ms(falling.pdv_quantile(0.5).unwrap()), 49.0, 0.98, "p50");
    // A slow first answer must not make the rest coarse.
    let slow_first = stream([8_000.0].into_iter().chain((1..100).map(|n| 3.0 + f64::from(n % 10))));
    assert_within(
        ms(slow_first.pdv_quantile(0.5).unwrap()),
        5.0,
        0.100_001,
        "p50 behind a slow one",
    );
    assert_within(ms(slow_first.pdv_quantile(1.0).unwrap()), 7_997.0, 160.0, "the slow one");
}

#[test]
fn streams_are_pooled_each_from_its_own_shortest_transit() {
    let near = stream((0..100).map(|n| 5.0 + f64::from(n % 2) * 10.0));
    let far = stream((0..100).map(|n| 300.0 + f64::from(n % 2) * 10.0));
    let mut pool = Distribution::new(Quantity::Time);
    near.pour_pdv_into(&mut pool);
    far.pour_pdv_into(&mut pool);
    assert_eq!(pool.count(), 200);
    for (share, expected) in [(0.5, 0.0), (0.51, 10.0), (1.0, 10.0)] {
        let seen = pool.statistic(Statistic::Quantile(share)).unwrap();
        assert_within(seen, expected, 0.2, "pooled");
    }
}

#[test]
fn a_stream_stays_small() {
    assert!(size_of::<Transits>() <= 1_536, "{}", size_of::<Transits>());
    assert!(size_of::<StreamJitter>() <= 1_600, "{}", size_of::<StreamJitter>());
}

#[test]
fn the_settled_mean_is_free_of_the_estimators_start() {
    let alternating = |packets: u64| {
        let mut stream = StreamJitter::new();
        for packet in 0..packets {
            let media = Duration::from_millis(60) * u32::try_from(packet).unwrap();
            stream.arrived(media, media + Duration::from_millis(packet % 2 * 10));
        }
        stream.rfc3550().unwrap()
    };
    let (short, long) = (alternating(50), alternating(200));
    assert_eq!(short.settled, short.mean);
    let ms = |span: Duration| span.as_secs_f64() * 1e3;
    assert!(ms(long.mean) < 9.3, "{long:?}");
    assert!((ms(long.settled) - 10.0).abs() < 0.05, "{long:?}");
}
