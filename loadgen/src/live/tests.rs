//! Seconds go in; windows, worst moments and early ends come out.

use super::*;
use crate::scenario::Phase;
use measure::Statistic;

fn at(seconds: u64) -> Moment {
    Moment::from_millis(seconds * 1000)
}

/// 5 s of calm, 10 s of burst.
fn phases() -> PhaseTimes {
    let phase = |name, hold| Phase::plain(name, 1, Duration::ZERO, Duration::from_secs(hold));
    PhaseTimes::new(&[phase("calm", 5), phase("burst", 10)])
}

fn max_below(limit: f64) -> Threshold {
    let (metric, below) = (Metric::ResponseLatency, Comparison::Below);
    Threshold::plain(metric, Some(Statistic::Max), below, limit, "limit")
}

/// Feeds latencies in ms, a second each, from the start of the run; seconds without one are empty.
/// Returns the second after which the run was to end, and the course.
fn follow(threshold: Threshold, latencies: &[Option<u64>]) -> (Option<usize>, Course) {
    let limit = known_limit(&threshold, None);
    let mut live = Live::new(&[threshold], &["calm", "burst"], &phases(), |_| limit);
    let mut ended = None;
    for (second, latency) in latencies.iter().enumerate() {
        let mut measured = Measurements::new();
        if let Some(latency) = latency {
            measured.sample(Metric::ResponseLatency, latency * 1_000_000);
        }
        let from = at(second as u64);
        if live.second(from, from + Duration::from_secs(1), &measured).is_some() {
            ended.get_or_insert(second + 1);
        }
    }
    (ended, live.finish().remove(0))
}

fn each(latencies: &[u64]) -> Vec<Option<u64>> {
    latencies.iter().map(|&latency| Some(latency)).collect()
}

/// Whole milliseconds at which it was worst, and what was seen.
fn worst(moment: Option<WorstMoment>) -> Option<(f64, f64)> {
    moment.map(|moment| (moment.at_ms, moment.observed.round()))
}

#[test]
fn the_worst_second_is_that_of_the_scope() {
    let latencies = each(&[9, 1, 2, 1, 1, 3, 7, 4]);
    let (ended, course) = follow(max_below(1.0), &latencies);
    assert_eq!((ended, worst(course.worst)), (None, Some((1000.0, 9.0))), "it never aborts");
    let burst = Threshold { scope: Scope::Phase("burst".to_owned()), ..max_below(1.0) };
    assert_eq!(worst(follow(burst, &latencies).1.worst), Some((7000.0, 7.0)));
    let at_least = Threshold { comparison: Comparison::AtLeast, ..max_below(1.0) };
    assert_eq!(worst(follow(at_least, &latencies).1.worst), Some((2000.0, 1.0)));
}

#[test]
fn windows_slide_by_a_second_and_only_full_ones_count() {
    let over = |seconds, statistic| Threshold {
        over: Some(Duration::from_secs(seconds)),
        statistic: Some(statistic),
        ..max_below(5.0)
    };
    let mean = follow(over(3, Statistic::Mean), &each(&[30, 0, 0, 3, 6, 3, 0])).1;
    let (moment, samples) = mean.worst_window.unwrap();
    assert_eq!((worst(Some(moment)), samples), (Some((3000.0, 10.0)), 3));
    let too_short = follow(over(3, Statistic::Mean), &each(&[30, 30])).1;
    assert_eq!((too_short.worst_window, too_short.empty_window), (None, None));
}

#[test]
fn a_window_without_samples_is_named() {
    let threshold = Threshold { over: Some(Duration::from_secs(2)), ..max_below(5.0) };
    let course = follow(threshold, &[Some(1), None, None, Some(1)]).1;
    assert_eq!(course.empty_window, Some(at(3)));
}

#[test]
fn a_run_ends_when_the_limit_is_broken_and_not_before_its_time() {
    let abort =
        |after| Threshold { abort_after: Some(Duration::from_secs(after)), ..max_below(5.0) };
    let latencies = each(&[1, 9, 1, 1]);
    assert_eq!(follow(abort(0), &latencies).0, Some(2));
    // What was seen before counts once the time has come: the run so far has not kept it.
    assert_eq!(follow(abort(4), &latencies).0, Some(4));
    let (ended, course) = follow(abort(0), &each(&[1, 4, 1]));
    assert_eq!((ended, course.aborted), (None, false));
    assert!(follow(abort(0), &latencies).1.aborted);
    // A window forgets.
    let sliding = Threshold { over: Some(Duration::from_secs(1)), ..abort(3) };
    assert_eq!(follow(sliding, &latencies).0, None);
}

#[test]
fn counts_add_up() {
    let threshold = Threshold {
        metric: Metric::FramesSent,
        statistic: None,
        abort_after: Some(Duration::ZERO),
        ..max_below(25.0)
    };
    let mut live = Live::new(&[threshold], &["calm", "burst"], &phases(), |_| Some(25.0));
    let mut second = Measurements::new();
    second.count(Metric::FramesSent, 10);
    let ends: Vec<bool> =
        (0..3).map(|from| live.second(at(from), at(from + 1), &second).is_some()).collect();
    assert_eq!(ends, [false, false, true]);
}
