//! Coordinated omission: what a stall looks like from the plan, and to a client that waits.
//!
//! Gil Tene's example, scaled: 50 frames a second for 20 s, answered after 1 ms, but for 10 s in the
//! middle nothing is answered. Half of the frames meet the stall, and wait for 5 s on average. A
//! client that sends its next frame only when the last one is answered has one slow frame of 501.

use std::time::Duration;

use super::*;

const FRAME: Duration = Duration::from_millis(20);
const RUN: Duration = Duration::from_secs(20);
const STALL: std::ops::Range<Duration> = Duration::from_secs(5)..Duration::from_secs(15);
const WORK: Duration = Duration::from_millis(1);

/// When a frame that is sent now is answered.
fn answered(sent: Duration) -> Duration {
    WORK + if STALL.contains(&sent) { STALL.end } else { sent }
}

/// Latencies of frames from their instants: the first is at 0, and `next` gives each other one from
/// the instant of the frame before and of its answer.
fn latencies(next: impl Fn(Duration, Duration) -> Duration) -> Distribution {
    let mut latencies = Distribution::new(Quantity::Time);
    let mut at = Duration::ZERO;
    while at < RUN {
        let answer = answered(at);
        latencies.record(u64::try_from(answer.abs_diff(at).as_nanos()).unwrap());
        at = next(at, answer);
    }
    latencies
}

fn assert_quantiles(latencies: &Distribution, expected_ms: &[(f64, f64)]) {
    for (share, expected_ms) in expected_ms {
        let seen = latencies.statistic(Statistic::Quantile(*share)).unwrap();
        // Three significant digits, and the millisecond of work.
        let allowed = 1.0 + expected_ms * 1e-3;
        assert!((seen - expected_ms).abs() <= allowed, "{share}: {seen} ms, not {expected_ms} ms");
    }
}

#[test]
fn from_the_plan_a_stall_shows_in_full() {
    let open = latencies(|planned, _| planned + FRAME);
    assert_eq!(open.count(), 1_000);
    // The median is the boundary: the next frame up waited for a frame's time.
    let expected = [(0.5, 1.0), (0.501, 20.0), (0.75, 5_000.0), (0.99, 9_800.0), (1.0, 10_000.0)];
    assert_quantiles(&open, &expected);
}

#[test]
fn a_client_that_waits_for_answers_hardly_sees_the_stall() {
    let closed = latencies(|sent, answer| answer.max(sent + FRAME));
    assert_eq!(closed.count(), 501);
    assert_quantiles(&closed, &[(0.5, 1.0), (0.75, 1.0), (0.99, 1.0), (1.0, 10_000.0)]);
}

/// What `HdrHistogram` calls coordinated-omission correction: a value is followed by those that its
/// wait kept from being measured.
fn back_filled(latencies_ms: &[u64], interval_ms: u64) -> Histogram<u64> {
    let mut filled = Histogram::new_with_bounds(1, 60_000, DIGITS).unwrap();
    for latency in latencies_ms {
        filled.record_correct(*latency, interval_ms).unwrap();
    }
    filled
}

#[test]
fn a_value_of_100_back_filled_every_10_makes_ten_down_to_10() {
    let filled = back_filled(&[100], 10);
    let values: Vec<_> =
        filled.iter_recorded().map(|one| (one.value_iterated_to(), one.count_at_value())).collect();
    assert_eq!(values, [10, 20, 30, 40, 50, 60, 70, 80, 90, 100].map(|value| (value, 1)));
    assert_eq!(back_filled(&[9], 10).len(), 1, "nothing was kept from being measured");
}

#[test]
fn back_filling_mends_a_client_that_waited_and_spoils_what_counts_from_the_plan() {
    let quantile = |histogram: &Histogram<u64>, share| histogram.value_at_quantile(share);
    // 500 answers after 1 ms, and one after the 10 s for which the client waited.
    let waited: Vec<u64> = [1; 500].into_iter().chain([10_000]).collect();
    let mended = back_filled(&waited, 20);
    assert_eq!(mended.len(), 1_000);
    for (share, expected) in [(0.75, 5_000), (0.99, 9_800)] {
        assert!(quantile(&mended, share).abs_diff(expected) <= 20, "{share}");
    }
    // From the plan all of them are there already: filled in again, the stall counts many times.
    let planned: Vec<u64> = [1; 500].into_iter().chain((1..=500).map(|n| n * 20)).collect();
    let twice = back_filled(&planned, 20);
    assert!(twice.len() > 100_000, "{}", twice.len());
    assert!(quantile(&twice, 0.5) > 2_500, "no median of 1 ms: {}", quantile(&twice, 0.5));
}
