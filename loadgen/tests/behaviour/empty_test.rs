//! Production's empty test, rebuilt: no request was served, the errors were swallowed, latency read
//! 0.00 ms, and it exited 0. Whatever way no work is done, a run says so and does not exit 0.

use crate::common::{Bench, SHORT, count, end, expected_code};
use crate::hand_made::{gateway, grant, is_hello, media_gateway, opened, run_against, sealed};
use protocol::packet::{DOWNLINK_FLAG, HEADER_LEN};
use serde_json::{Value, json};

/// Limits like that test's: on what was answered, however little that is.
const FAST: &str = r#"title = "Extreme"
seed = 3
[[phase]]
name = "talk"
devices = 3
hold = "1s"
[thresholds]
"response_latency.p99" = "< 60s"
"service_latency.max" = "< 60s"
"#;

/// The run failed, exits accordingly, and its summary says all of `parts`.
fn assert_failed(bench: &Bench, code: Option<i32>, text: &str, parts: &[&str]) -> Value {
    let record = bench.record();
    assert_eq!(record["verdict"], "fail", "{text}");
    assert_eq!(code, Some(expected_code(&record)), "{text}");
    assert_ne!(code, Some(0), "{text}");
    for part in parts {
        assert!(text.contains(part), "`{part}` is missing in: {text}");
    }
    record
}

#[test]
fn every_hello_refused_is_no_latency_and_no_pass() {
    let target = gateway(|number, message| match number {
        _ if !is_hello(message) => vec![],
        0 => vec![grant(0)],
        _ => vec![json!({ "type": "error", "message": "encoder not initialised" })],
    });
    let bench = Bench::new(FAST);
    let (code, text) = run_against(&bench, target, &[]);
    let failed = [
        "FAIL  response_latency.p99",
        "observed no samples",
        "FAIL  sessions_failed",
        "sessions   0 of 3 opened, 3 failed",
        "3 × hello was refused: encoder not initialised",
    ];
    let record = assert_failed(&bench, code, &text, &failed);
    assert_eq!(record["metrics"]["response_latency"]["p99"], Value::Null, "not 0.00 ms");
    assert_eq!((count(&record, "sessions_failed"), count(&record, "frames_sent")), (3, 0));
}

#[test]
fn a_gateway_that_never_answers_audio_is_no_fast_one() {
    let bench = Bench::new(FAST);
    let (code, text) = run_against(&bench, media_gateway(|_, _| None), &[]);
    let failed = [
        "FAIL  response_latency.p99",
        "FAIL  frames_received",
        ">= 99% of planned",
        "observed no samples",
        " 0 answered",
        "playout    nothing was played",
    ];
    let record = assert_failed(&bench, code, &text, &failed);
    assert_eq!(count(&record, "frames_lost"), count(&record, "frames_sent"));
}

#[test]
fn errors_that_a_backend_swallows_are_planned_work_that_was_not_answered() {
    // One frame in four fails and is answered with nothing; the others are fast.
    let swallow = |number: u64, datagram: &[u8]| {
        (!number.is_multiple_of(4)).then(|| sealed(datagram, DOWNLINK_FLAG, &opened(datagram)))
    };
    let bench = Bench::new(FAST);
    let (code, text) = run_against(&bench, media_gateway(swallow), &[]);
    let unanswered = ["FAIL  frames_received", ">= 99% of planned", "(always checked)"];
    let record = assert_failed(&bench, code, &text, &unanswered);
    assert!(text.contains("ok    response_latency.p99"), "the answers were fast: {text}");
    assert!(count(&record, "frames_received") > 0, "{text}");

    // The same in the reference gateway: its workers fail and nobody is told.
    for share in ["100%", "25%"] {
        let bench = Bench::new(FAST);
        let mut command = bench.din_run();
        command.args(["--set", &format!("gateway.faults.worker_crash={share}")]);
        let ended = end(command);
        let named = ["FAIL  frames_received", "a worker panicked and lost its frame"];
        assert_failed(&bench, ended.code, &ended.stdout, &named);
    }
}

#[test]
fn answers_without_audio_are_no_work_done() {
    type Answer = fn(u64, &[u8]) -> Option<Vec<u8>>;
    let cases: [(&str, Answer, &str); 3] = [
        (
            "headers alone",
            |_, datagram| Some([&datagram[..2], &[0, 0], &datagram[4..HEADER_LEN]].concat()),
            "answers match no frame that was sent",
        ),
        (
            "garbage",
            |_, datagram| Some(sealed(datagram, DOWNLINK_FLAG, &[0xFF; 40])),
            "answers open to no Opus packet",
        ),
        (
            "packets in which nothing is said",
            |_, datagram| Some(sealed(datagram, DOWNLINK_FLAG, &[11 << 3])),
            "a device spoke for two seconds and silence came back",
        ),
    ];
    for (name, answer, said) in cases {
        // Two seconds of speech, and some pauses.
        let bench = Bench::new(&FAST.replace("1s", "4s"));
        let (code, text) = run_against(&bench, media_gateway(answer), &[]);
        let record = assert_failed(&bench, code, &text, &[said, "(always checked)"]);
        assert_eq!(count(&record, "integrity.recognised"), 0, "{name}: {text}");
    }
}

#[test]
fn a_limit_without_samples_fails_however_sound_the_gateway_is() {
    // Nobody speaks in the second phase: there is no latency that could be low.
    let silent = "[[phase]]\nname = \"night\"\ndevices = 0\nhold = \"1s\"\n[thresholds]\n\
                  \"night.response_latency.p99\" = \"< 60s\"\n\"night.frames_lost\" = \"= 0\"\n";
    let bench = Bench::new(&SHORT.replace("[thresholds]\n", silent));
    let ended = end(bench.din_run());
    let failed = ["FAIL  night.response_latency.p99", "FAIL  night.frames_lost", "no samples"];
    let record = assert_failed(&bench, ended.code, &ended.stdout, &failed);
    assert_eq!(count(&record, "frames_lost"), 0, "{}", ended.stdout);
}

#[test]
fn a_scenario_that_plans_no_work_is_refused_or_judged_by_it() {
    for (change, said) in [
        ("devices = 0", "no phase has a device: there is nothing to run"),
        ("devices = 3\nramp = \"0s\"", "ramps and holds add up to no time"),
    ] {
        let bench = Bench::new(&FAST.replace("devices = 3", change).replace("1s", "0s"));
        let ended = end(bench.din_run());
        assert_eq!(ended.code, Some(2), "{}{}", ended.stdout, ended.stderr);
        assert!(ended.stderr.contains(said), "{}", ended.stderr);
    }
    // Too short for a handshake, and so for a frame.
    let bench = Bench::new(&FAST.replace("1s", "1ms"));
    let ended = end(bench.din_run());
    let failed = ["FAIL  response_latency.p99", "observed no samples"];
    let record = assert_failed(&bench, ended.code, &ended.stdout, &failed);
    assert_eq!(count(&record, "frames_received"), 0);
}

#[test]
fn without_thresholds_the_work_must_be_done_all_the_same() {
    let nothing_asked = FAST.split("[thresholds]").next().unwrap();
    let bench = Bench::new(nothing_asked);
    let (code, text) = run_against(&bench, media_gateway(|_, _| None), &[]);
    let said = ["the scenario has no thresholds", "FAIL  frames_received", "(always checked)"];
    assert_failed(&bench, code, &text, &said);

    let bench = Bench::new(nothing_asked);
    let ended = end(bench.din_run());
    let record = bench.record();
    assert_eq!(ended.code, Some(expected_code(&record)));
    assert_eq!(record["verdict"], "pass", "the work was done: {}", ended.stdout);
    assert!(ended.stdout.contains("the scenario has no thresholds"), "{}", ended.stdout);
}
