use super::*;
use measure::Quantity;
use measure::gateway_record::{
    BalanceRecord, CoverageRecord, DecompositionRecord, GatewayRecord, ScalingEventRecord,
    ScalingRecord,
};
use measure::noise_floor::Warning;
use measure::per_device::{PerDevice, Worse};
use measure::record::{
    FORMAT, FailureRecord, Measurements, PhaseRecord, ScenarioRecord, TargetRecord,
    ThresholdRecord, Verdict, WorstMoment,
};
use measure::validity::{Reason, Validity};
use serde_json::json;
use std::collections::BTreeMap;

pub(crate) fn threshold(
    metric: &str,
    limit: &str,
    observed: Option<f64>,
    ok: bool,
) -> ThresholdRecord {
    let unit = if metric.contains(".p") { Quantity::Time.unit() } else { "" }.to_owned();
    ThresholdRecord {
        metric: metric.to_owned(),
        phase: None,
        limit: limit.to_owned(),
        bound: limit.trim_matches(|c: char| !c.is_ascii_digit()).parse().ok(),
        observed,
        unit,
        samples: if observed.is_some() { 9412 } else { 0 },
        ok,
        implied: false,
        within: None,
        over_ms: None,
        worst: None,
        warn: false,
        aborted: false,
        line: None,
    }
}

fn gateway() -> GatewayRecord {
    let event = ScalingEventRecord {
        at_ms: 5214.5,
        from: 2,
        to: 5,
        reason: "demand".to_owned(),
        sentence: "2 to 5 workers: work arrives for 4.20 workers".to_owned(),
        saw: json!({}),
    };
    GatewayRecord {
        dispatch: "central-queue".to_owned(),
        scaling: ScalingRecord {
            policy: "queue-delay".to_owned(),
            min: 2,
            max: 8,
            at_start: 2,
            most: 5,
            at_end: 5,
            changes: 1,
            events: vec![event],
        },
        burn: json!([{"kind": "wait", "time": "20ms"}]),
        faults: json!({}),
        frames_run: 9412,
        frames_encoded: 9412,
        worker_timeouts: 0,
        workers: Vec::new(),
        balance: Some(BalanceRecord { jain_min: 0.912, jain_mean: 0.987, windows: 11 }),
        idle_while_waiting_percent: 0.0,
        decomposition: Some(DecompositionRecord {
            frames: 9412,
            generator_ms: 0.06,
            up_ms: 0.031,
            queue_ms: 0.12,
            work_ms: 0.35,
            back_ms: 0.049,
            whole_ms: 0.61,
            contradictions: 0,
        }),
        coverage: CoverageRecord {
            readings: 13,
            to_the_end: true,
            frames: 9412,
            ..CoverageRecord::default()
        },
    }
}

pub(crate) fn run() -> RunRecord {
    let mut measured = Measurements::new();
    for (metric, count) in [
        (Metric::SessionsPlanned, 50),
        (Metric::SessionsOpened, 50),
        (Metric::FramesPlanned, 9412),
        (Metric::FramesSent, 9412),
        (Metric::FramesReceived, 9412),
        (Metric::Decoded, 9412),
    ] {
        measured.count(metric, count);
    }
    for metric in [Metric::ResponseLatency, Metric::SendLag] {
        for micros in 1..=1000u64 {
            measured.sample(metric, micros * 2_000);
        }
    }
    for (metric, sample) in [
        (Metric::GatewayCpu, 34_000),
        (Metric::WorkersBusy, 3_100),
        (Metric::GatewayRss, 18 << 20),
        (Metric::GeneratorCpu, 12_000),
        (Metric::GeneratorRss, 9 << 20),
    ] {
        measured.sample(metric, sample);
    }
    measured.sample(Metric::Pdv, 1_700_000);
    for (metric, devices, pooled) in [
        (Metric::Rfc3550Jitter, [0.1, 0.4], 0.25),
        (Metric::InterarrivalSigma, [0.2, 0.9], 0.55),
        (Metric::EffectiveLoss, [0.0, 0.5], 0.25),
        (Metric::StutterPerMinute, [0.0, 3.0], 1.5),
        (Metric::InterruptionsPerMinute, [0.0, 0.0], 0.0),
        (Metric::LongestGap, [0.0, 60.0], 60.0),
    ] {
        let devices = PerDevice::new(devices.to_vec(), Some(pooled), Worse::Higher);
        measured.of_devices(metric, devices);
    }
    let scores = PerDevice::new(vec![4.2, 4.1], Some(4.15), Worse::Lower);
    measured.of_devices(Metric::MosIndicative, scores);
    for (metric, count) in [
        (Metric::Recognised, 310),
        (Metric::ForeignAudio, 0),
        (Metric::Unrecognised, 1),
        (Metric::GoldenCompared, 660),
        (Metric::GoldenMismatch, 0),
        (Metric::KeystreamReuse, 0),
    ] {
        measured.count(metric, count);
    }
    RunRecord {
        format: FORMAT,
        din_version: "0.1.0".to_owned(),
        started_at_unix_s: 0,
        commit: None,
        duration_ms: 13_000.0,
        scenario: ScenarioRecord {
            name: "first-call".to_owned(),
            file: Some("scenarios/first-call.toml".to_owned()),
            title: "First call".to_owned(),
            question: "Do 50 devices get their own speech back?".to_owned(),
            text: String::new(),
            overrides: Vec::new(),
        },
        seed: 1,
        target: TargetRecord {
            kind: "reference".to_owned(),
            mqtt: "127.0.0.1:1883".to_owned(),
            announced: json!({"backend": "echo", "workers": 2}),
            counters: json!(null),
        },
        host: BTreeMap::new(),
        versions: BTreeMap::new(),
        validity: Validity { state: State::Valid, reasons: Vec::new() },
        warnings: Vec::new(),
        noise_floor: None,
        verdict: Verdict::Pass,
        exit_code: 0,
        ended_early: None,
        thresholds: vec![
            threshold("response_latency.p99", "< 40ms", Some(1.98), true),
            threshold("frames_lost", "= 0", Some(0.0), true),
            ThresholdRecord {
                implied: true,
                ..threshold("sessions_failed", "= 0", Some(0.0), true)
            },
        ],
        phases: Vec::<PhaseRecord>::new(),
        metrics: measured.to_map(),
        gateway: Some(gateway()),
        players: None,
        actions: Vec::new(),
        failures: Vec::new(),
        method: BTreeMap::new(),
    }
}

const PLAIN: Style = Style { colour: false };

#[test]
fn a_sparkline_shows_where_it_was_worst() {
    let seconds = |numbers: &[f64]| numbers.iter().copied().map(Some).collect::<Vec<_>>();
    let line = sparkline(&seconds(&[1.0, 1.0, 8.0, 4.5, 1.0])).unwrap();
    assert_eq!(line, "▁▁█▄▁  1.00 to 8.00 ms");
    assert_eq!(sparkline(&seconds(&[2.0, 2.0])).unwrap(), "▁▁  2.00 to 2.00 ms");
    assert_eq!(sparkline(&[Some(1.0), None, Some(3.0)]).unwrap(), "▁ █  1.00 to 3.00 ms");
    for too_little in [&[][..], &[None, None], &[Some(1.0)]] {
        assert_eq!(sparkline(too_little), None);
    }
    let mut long = vec![Some(1.0); 600];
    long[299] = Some(9.0);
    let line = sparkline(&long).unwrap();
    assert_eq!((line.matches('█').count(), line.matches('▁').count()), (1, 49));
    let whole = summary(&run(), &seconds(&[1.0, 2.0]), PLAIN);
    assert!(whole.contains("p99 over time     ▁█  1.00 to 2.00 ms"), "{whole}");
}

#[test]
fn a_good_run() {
    insta::assert_snapshot!(summary(&run(), &[], PLAIN));
    insta::assert_snapshot!(one_line(&run()), @"PASS VALID first-call: 3 of 3 thresholds held (exit 0)");
}

#[test]
fn a_machine_that_was_much_slower_than_at_its_best_is_told() {
    for (nanos, told) in [([51_200, 52_224], false), ([51_200, 62_976], true)] {
        let mut measured = Measurements::new();
        for nanos in nanos {
            measured.sample(Metric::MachinePace, nanos);
        }
        let mut run = run();
        run.metrics.extend(measured.to_map());
        let summary = summary(&run, &[], PLAIN);
        assert_eq!(summary.contains("machine    12 % slower on average"), told, "{summary}");
    }
}

#[test]
fn a_bad_run_begins_with_what_is_bad() {
    let mut run = run();
    run.verdict = Verdict::Fail;
    run.exit_code = 130;
    run.ended_early = Some("interrupted after 4.2 s".to_owned());
    run.validity = Validity {
        state: State::Suspect,
        reasons: vec![Reason {
            rule: "generator_cpu".to_owned(),
            state: State::Suspect,
            text: "the generator used 170 % of one core on average".to_owned(),
        }],
    };
    run.thresholds[1] = threshold("frames_lost", "= 0", Some(12.0), false);
    run.thresholds.push(threshold("hello_time.p99", "< 1s", None, false));
    run.failures = vec![FailureRecord {
        what: "hello was not answered within 10s".to_owned(),
        count: 3,
        first_device: 7,
        first_at_ms: 1234.5,
    }];
    run.metrics.remove("gateway_cpu");
    run.target.kind = "foreign".to_owned();
    run.gateway = None;
    insta::assert_snapshot!(summary(&run, &[], PLAIN));
    insta::assert_snapshot!(one_line(&run), @"FAIL SUSPECT first-call: failed: frames_lost, hello_time.p99 (exit 130)");
}

#[test]
fn warnings_stand_before_the_thresholds_and_change_no_verdict() {
    let quiet = summary(&run(), &[], PLAIN);
    assert!(!quiet.contains("warning"), "{quiet}");
    let mut run = run();
    let warning = Warning::near_floor("response_latency.p99 < 1ms", 1.0, 0.5, 300);
    run.warnings = vec![warning.unwrap()];
    let text = summary(&run, &[], PLAIN);
    let (before, thresholds) = text.split_once("\n\n").unwrap();
    assert!(before.starts_with("PASS  VALID"), "{text}");
    assert!(before.contains("\nwarning: response_latency.p99 < 1ms is under 3 times"), "{text}");
    assert!(quiet.ends_with(thresholds), "{text}");
}

#[test]
fn what_was_asked_of_the_gateway_is_shown_with_what_came_of_it() {
    let mut run = run();
    let gateway = run.gateway.as_mut().unwrap();
    gateway.scaling.policy = "fixed".to_owned();
    gateway.scaling.events.clear();
    gateway.faults = json!({"dropped_replies": "1%", "worker_stall": {"every": "5s"}});
    gateway.worker_timeouts = 12;
    gateway.balance = None;
    gateway.coverage.unread = 2;
    let text = summary(&run, &[], PLAIN);
    let (_, pool) = text.split_once("  pool ").unwrap();
    insta::assert_snapshot!(pool);
}

#[test]
fn a_limit_that_only_warns_is_told_and_the_run_passes() {
    let mut run = run();
    run.thresholds[1] =
        ThresholdRecord { warn: true, ..threshold("frames_lost", "= 0", Some(12.0), false) };
    insta::assert_snapshot!(one_line(&run), @"PASS VALID first-call: 2 of 3 thresholds held; warned: frames_lost (exit 0)");
    assert!(
        summary(&run, &[], PLAIN).contains("\n  warn  frames_lost"),
        "{}",
        summary(&run, &[], PLAIN)
    );
    run.thresholds[0].ok = false;
    insta::assert_snapshot!(one_line(&run), @"PASS VALID first-call: failed: response_latency.p99; warned: frames_lost (exit 0)");
}

#[test]
fn an_invalid_run_has_no_verdict() {
    let mut run = run();
    run.validity.state = State::Invalid;
    assert!(summary(&run, &[], PLAIN).starts_with("NO VERDICT  INVALID  First call\n"));
}

#[test]
fn colour_is_only_added_where_it_is_asked_for() {
    assert!(!summary(&run(), &[], PLAIN).contains('\x1b'));
    assert!(summary(&run(), &[], Style { colour: true }).contains("\x1b[1;32mPASS\x1b[0m"));
}

#[test]
fn large_numbers_are_grouped() {
    for (number, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (1_234_567, "1 234 567")] {
        assert_eq!(thousands(number), text);
    }
}

#[test]
fn a_threshold_says_what_a_multiple_came_to_when_it_was_worst_and_what_it_did() {
    let mut run = run();
    let p99 = |limit, observed, ok| threshold("response_latency.p99", limit, Some(observed), ok);
    let worst = Some(WorstMoment { at_ms: 12_004.0, observed: 91.25 });
    run.thresholds = vec![
        ThresholdRecord {
            phase: Some("burst".to_owned()),
            bound: Some(24.5),
            worst,
            ..p99("< 2x calm", 80.0, false)
        },
        ThresholdRecord {
            within: Some("within 5s of burst".to_owned()),
            over_ms: Some(2000.0),
            worst,
            aborted: true,
            ..p99("< 40ms", 91.25, false)
        },
        ThresholdRecord { warn: true, ..p99("< 20ms", 30.0, false) },
        ThresholdRecord { worst, ..p99("< 99ms", 91.25, true) },
    ];
    run.verdict = Verdict::Fail;
    let summary = summary(&run, &[], PLAIN);
    let rows: Vec<&str> = summary.lines().filter(|line| line.contains("observed")).collect();
    insta::assert_snapshot!(rows.join("\n"));
    insta::assert_snapshot!(one_line(&run));
}
