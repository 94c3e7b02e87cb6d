//! Limits against hand-made measurements, and what is always checked.

use super::*;
use measure::Statistic;

fn threshold(metric: Metric, comparison: Comparison, limit: f64) -> Threshold {
    let statistic = metric.is_distribution().then_some(Statistic::Quantile(0.5));
    Threshold::plain(metric, statistic, comparison, limit, "limit")
}

fn check(measurements: &Measurements, threshold: &Threshold) -> ThresholdRecord {
    let calm = vec![("calm", measurements.clone())];
    let measured = Measured { phases: calm, ..Measured::whole(measurements) };
    evaluate(std::slice::from_ref(threshold), &[], &[], &measured).1.remove(0)
}

#[test]
fn a_limit_holds_or_fails_by_what_was_observed() {
    let mut measured = Measurements::new();
    measured.sample(Metric::ResponseLatency, 30_000_000);
    measured.count(Metric::FramesAwaited, 10);
    measured.count(Metric::FramesLost, 2);
    for (metric, comparison, limit, ok) in [
        (Metric::ResponseLatency, Comparison::Below, 40.0, true),
        (Metric::ResponseLatency, Comparison::Below, 20.0, false),
        (Metric::FramesLost, Comparison::AtMost, 2.0, true),
        (Metric::FramesLost, Comparison::Equal, 0.0, false),
    ] {
        let record = check(&measured, &threshold(metric, comparison, limit));
        assert_eq!(record.ok, ok, "{record:?}");
        assert!(record.observed.is_some() && record.samples > 0, "{record:?}");
    }
}

#[test]
fn without_samples_every_limit_fails() {
    let mut idle = Measurements::new();
    idle.count(Metric::FramesSent, 0);
    idle.count(Metric::FramesLost, 0);
    idle.count(Metric::Decoded, 0);
    idle.count(Metric::DecodeFailed, 0);
    for metric in
        [Metric::ResponseLatency, Metric::FramesLost, Metric::DecodeFailed, Metric::GatewayCpu]
    {
        let record = check(&idle, &threshold(metric, Comparison::AtMost, 1e9));
        assert_eq!((record.ok, record.observed, record.samples), (false, None, 0), "{metric:?}");
    }
    let elsewhere = Threshold {
        scope: Scope::Phase("never-ran".to_owned()),
        ..threshold(Metric::FramesSent, Comparison::AtLeast, 0.0)
    };
    assert!(!check(&idle, &elsewhere).ok);
}

#[test]
fn what_was_seen_counts_though_nothing_was_answered() {
    let mut measured = Measurements::new();
    measured.count(Metric::FramesReceived, 0);
    measured.count(Metric::KeystreamReuse, 24);
    let record = check(&measured, &threshold(Metric::KeystreamReuse, Comparison::Equal, 0.0));
    assert_eq!((record.ok, record.observed, record.samples), (false, Some(24.0), 24));
    let any = check(&measured, &threshold(Metric::KeystreamReuse, Comparison::Above, 0.0));
    assert!(any.ok);
}

#[test]
fn implied_limits_apply_unless_the_scenario_has_its_own() {
    let mut measured = Measurements::new();
    measured.count(Metric::SessionsPlanned, 5);
    measured.count(Metric::SessionsFailed, 1);
    let judged = |own: &[Threshold]| {
        let implied = [threshold(Metric::SessionsFailed, Comparison::Equal, 0.0)];
        evaluate(own, &[], &implied, &Measured::whole(&measured)).0
    };
    assert_eq!(judged(&[]), Verdict::Fail);
    let own = threshold(Metric::SessionsFailed, Comparison::AtMost, 1.0);
    assert_eq!(judged(&[own]), Verdict::Pass);
}

/// What is always checked of a run with these counts, and whether it holds.
fn always(counts: &[(Metric, u64)], own: &[Threshold]) -> Vec<(String, bool)> {
    let mut overall = Measurements::new();
    for &(metric, count) in counts {
        overall.count(metric, count);
    }
    let planned = overall.counted(Metric::FramesPlanned).unwrap_or(0);
    let due = Due { answers: Some(planned), speech: false };
    let implied = implied(true, own, &overall, &due);
    let measured = Measured::whole(&overall);
    let records = evaluate(own, &[], &implied, &measured).1;
    let checked = records.into_iter().filter(|record| record.implied);
    checked.map(|record| (format!("{} {}", record.metric, record.limit), record.ok)).collect()
}

#[test]
fn planned_work_must_be_answered_however_fast_the_answers_are() {
    let answered = |received, own: &[Threshold]| {
        let counts = [
            (Metric::FramesPlanned, 1_000),
            (Metric::FramesSent, 1_000),
            (Metric::FramesReceived, received),
        ];
        let checked = always(&counts, own);
        checked.into_iter().find(|(limit, _)| limit.starts_with("frames_received"))
    };
    let (all, some) = ("frames_received >= 99% of planned", "frames_received > 0");
    let fast = threshold(Metric::ResponseLatency, Comparison::Below, 40.0);
    for (received, ok) in [(1_000, true), (990, true), (989, false), (0, false)] {
        let seen = answered(received, std::slice::from_ref(&fast));
        assert_eq!(seen, Some((all.to_owned(), ok)), "{received}");
    }
    // Who has said what may be lost is not asked for more, and for less than all.
    for own in [Metric::FramesLost, Metric::EffectiveLoss] {
        let own = threshold(own, Comparison::AtMost, 1e9);
        for (received, ok) in [(10, true), (0, false)] {
            let seen = answered(received, std::slice::from_ref(&own));
            assert_eq!(seen, Some((some.to_owned(), ok)), "{received}");
        }
        let of_a_phase = Threshold { scope: Scope::Phase("calm".to_owned()), ..own };
        assert_eq!(answered(10, &[of_a_phase]), Some((all.to_owned(), false)));
    }
}

#[test]
fn answers_must_be_audio_where_there_are_any() {
    let audio = |counts: &[(Metric, u64)]| -> Vec<(String, bool)> {
        let checked = always(counts, &[]).into_iter();
        checked.filter(|(limit, _)| limit.starts_with("integrity.")).collect()
    };
    assert_eq!(audio(&[(Metric::FramesReceived, 0), (Metric::Undecipherable, 0)]), []);
    let limits = |undecipherable, silent: Option<bool>| {
        let mut limits = vec![
            ("integrity.undecipherable = 0".to_owned(), undecipherable),
            ("integrity.wrong_duration = 0".to_owned(), true),
        ];
        limits.extend(silent.map(|ok| ("integrity.silent = 0".to_owned(), ok)));
        limits
    };
    let heard = |undecipherable, recognised, silent| {
        audio(&[
            (Metric::FramesReceived, 9),
            (Metric::Undecipherable, undecipherable),
            (Metric::WrongDuration, 0),
            (Metric::Recognised, recognised),
            (Metric::Silent, silent),
        ])
    };
    assert_eq!(heard(0, 0, 0), limits(true, None), "too short to recognise anything");
    assert_eq!(heard(0, 3, 0), limits(true, Some(true)));
    assert_eq!(heard(2, 0, 1), limits(false, Some(false)));
}

#[test]
fn a_warning_fails_nothing_and_stands_for_no_implied_limit() {
    let mut measured = Measurements::new();
    measured.count(Metric::SessionsPlanned, 5);
    measured.count(Metric::SessionsFailed, 1);
    let warning =
        Threshold { warn: true, ..threshold(Metric::SessionsFailed, Comparison::Equal, 0.0) };
    let (verdict, records) =
        evaluate(std::slice::from_ref(&warning), &[], &[], &Measured::whole(&measured));
    assert_eq!((verdict, records[0].ok, records[0].warn), (Verdict::Pass, false, true));
    let implied = [threshold(Metric::SessionsFailed, Comparison::Equal, 0.0)];
    let judged = evaluate(&[warning], &[], &implied, &Measured::whole(&measured));
    assert_eq!((judged.0, judged.1.len()), (Verdict::Fail, 2));
}

#[test]
fn a_multiple_of_another_phase_holds_or_fails_by_both() {
    let latency = |millis: u64| {
        let mut measured = Measurements::new();
        measured.sample(Metric::ResponseLatency, millis * 1_000_000);
        measured
    };
    let overall = latency(1);
    let judged = |calm: Measurements, burst: u64| {
        let phases = vec![("calm", calm), ("burst", latency(burst))];
        let threshold = Threshold {
            scope: Scope::Phase("burst".to_owned()),
            limit: Limit::Times { factor: 2.0, of: Reference::Phase("calm".to_owned()) },
            ..threshold(Metric::ResponseLatency, Comparison::Below, 0.0)
        };
        let measured = Measured { phases, ..Measured::whole(&overall) };
        let record = evaluate(&[threshold], &[], &[], &measured).1.remove(0);
        (record.ok, record.bound.map(f64::round))
    };
    assert_eq!(judged(latency(10), 19), (true, Some(20.0)));
    assert_eq!(judged(latency(10), 21), (false, Some(20.0)));
    assert_eq!(judged(Measurements::new(), 1), (false, None), "nothing to be a multiple of");
}

#[test]
fn windows_are_judged_by_the_worst_and_an_aborted_run_fails() {
    let overall = Measurements::new();
    let sliding = Threshold {
        over: Some(std::time::Duration::from_secs(5)),
        ..threshold(Metric::ResponseLatency, Comparison::Below, 40.0)
    };
    let worst = |observed| {
        let moment = measure::record::WorstMoment { at_ms: 7000.0, observed };
        Course { worst_window: Some((moment, 12)), ..Course::default() }
    };
    let empty = Course { empty_window: Some(Moment::START), ..worst(1.0) };
    let aborted = Course { aborted: true, ..worst(1.0) };
    for (course, ok, observed) in [
        (worst(39.0), true, Some(39.0)),
        (worst(41.0), false, Some(41.0)),
        (empty, false, None),
        (aborted, false, Some(1.0)),
        (Course::default(), false, None),
    ] {
        let thresholds = std::slice::from_ref(&sliding);
        let (_, records) = evaluate(thresholds, &[course], &[], &Measured::whole(&overall));
        assert_eq!((records[0].ok, records[0].observed), (ok, observed), "{records:?}");
    }
}

#[test]
fn a_limit_that_fails_by_send_lag_alone_is_named() {
    let mut measurements = Measurements::new();
    measurements.sample(Metric::ResponseLatency, 50_000_000);
    measurements.sample(Metric::ServiceLatency, 10_000_000);
    let limit = |limit| threshold(Metric::ResponseLatency, Comparison::Below, limit);
    let measured = Measured::whole(&measurements);
    let thresholds = [limit(40.0), limit(60.0), limit(5.0)];
    let decided = decided_by_send_lag(&thresholds, &measured);
    assert_eq!(decided, ["response_latency.p50 limit"], "only 40 ms lies between");
}

#[test]
fn what_is_looked_for_in_a_sample_is_told_with_it_when_it_held() {
    let mut measurements = Measurements::new();
    measurements.count(Metric::Decoded, 40);
    measurements.count(Metric::DecodeFailed, 0);
    measurements.count(Metric::GoldenCompared, 20);
    measurements.count(Metric::GoldenMismatch, 3);
    measurements.count(Metric::Recognised, 0);
    measurements.count(Metric::ForeignAudio, 0);
    measurements.count(Metric::FramesReceived, 40);
    measurements.count(Metric::WrongDuration, 0);
    let measured = Measured::whole(&measurements);
    let at_most = |metric, limit| threshold(metric, Comparison::AtMost, limit);
    let samples = integrity_samples(
        &[
            at_most(Metric::DecodeFailed, 0.0),
            at_most(Metric::GoldenMismatch, 0.0), // failed: what was found was found
            at_most(Metric::GoldenMismatch, 5.0),
            at_most(Metric::ForeignAudio, 0.0), // no samples: failed
            at_most(Metric::WrongDuration, 0.0), // looked for in every packet
            threshold(Metric::Decoded, Comparison::AtLeast, 1.0),
        ],
        &measured,
    );
    let seen: Vec<_> = samples.iter().map(|one| (&one.threshold[..], one.samples)).collect();
    let named = ["integrity.decode_failed limit", "integrity.golden_mismatch limit"];
    assert_eq!(seen, [(named[0], 40), (named[1], 20)]);
}
