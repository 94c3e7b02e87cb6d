//! Was the work done, and was it the right audio? Each fault of the reference gateway is found by
//! the metric that was made for it, and by no other; without faults all of them are zero.

use crate::common::{Bench, count, end};
use serde_json::Value;

/// Four devices speak for four seconds.
const TALK: &str = r#"title = "Talk"
seed = 5
[[phase]]
name = "talk"
devices = 4
hold = "4s"
[thresholds]
"frames_received" = ">= 0"
"#;

/// What each of these faults is found by.
const DETECTORS: [&str; 8] = [
    "integrity.foreign_audio",
    "integrity.unrecognised",
    "integrity.golden_mismatch",
    "integrity.keystream_reuse",
    "integrity.replayed_nonce",
    "integrity.wrong_session",
    "integrity.wrong_duration",
    "frames_duplicate",
];

/// The record of a run with these settings of the gateway.
fn run(settings: &[&str]) -> Value {
    let bench = Bench::new(TALK);
    let mut command = bench.din_run();
    for setting in settings {
        command.args(["--set", setting]);
    }
    let ended = end(command);
    assert!(ended.code.is_some(), "{}{}", ended.stdout, ended.stderr);
    bench.record()
}

/// Which of the detectors found something.
fn found(record: &Value) -> Vec<&'static str> {
    DETECTORS.into_iter().filter(|metric| count(record, metric) > 0).collect()
}

/// What was told of devices.
fn told(record: &Value, what: &str) -> bool {
    let failures = record["failures"].as_array().unwrap();
    failures.iter().any(|failure| failure["what"].as_str().unwrap().contains(what))
}

#[test]
fn without_faults_every_voice_is_recognised_and_nothing_is_found() {
    for backend in ["echo", "relay"] {
        let record = run(&[&format!("gateway.backend={backend}")]);
        assert_eq!(found(&record), [""; 0], "{backend}");
        assert!(count(&record, "integrity.recognised") > 0, "{backend}");
        let compared = count(&record, "integrity.golden_compared");
        assert_eq!(compared, count(&record, "frames_received"), "{backend}");
    }
}

#[test]
fn anothers_audio_is_found_and_named() {
    let record = run(&["gateway.backend=relay", "gateway.faults.foreign_audio=100%"]);
    assert_eq!(found(&record), ["integrity.foreign_audio", "integrity.golden_mismatch"]);
    assert!(told(&record, "the audio of another device: voice "), "{}", record["failures"]);

    let record = run(&["gateway.backend=echo", "gateway.faults.foreign_audio=100%"]);
    assert_eq!(found(&record), ["integrity.foreign_audio", "integrity.golden_mismatch"]);
    assert!(told(&record, "the audio of another device: voice "), "{}", record["failures"]);
}

#[test]
fn coders_that_streams_share_are_found_by_comparing() {
    let record = run(&["gateway.backend=echo", "gateway.faults.shared_codec=true"]);
    assert!(count(&record, "integrity.golden_mismatch") > 0);
    assert!(told(&record, "not what its own coders would have made"), "{}", record["failures"]);
    assert_eq!(count(&record, "integrity.keystream_reuse"), 0);
    assert_eq!(count(&record, "frames_lost"), 0, "counting packets would not have found it");
}

#[test]
fn keystream_that_is_used_twice_is_found() {
    let record = run(&["gateway.backend=echo", "gateway.faults.keystream_reuse=100%"]);
    assert!(count(&record, "integrity.keystream_reuse") > 0);
    assert_eq!(count(&record, "integrity.golden_mismatch"), 0);
}

#[test]
fn duplicates_and_reordering_are_counted_as_such() {
    let record = run(&["gateway.backend=relay", "gateway.faults.duplicated_replies=50%"]);
    assert_eq!(found(&record), ["frames_duplicate"]);
    assert_eq!(count(&record, "frames_lost"), 0);

    let record = run(&["gateway.backend=relay", "gateway.faults.reordered_replies=50%"]);
    assert_eq!(found(&record), [""; 0]);
    let reordered = count(&record, "frames_reordered");
    assert!(reordered > 0);
    // The firmware plays none of them.
    let late = record["players"]["xiaozhi"]["frames_late"].as_u64().unwrap();
    assert_eq!(late, reordered);
    assert!(record["metrics"]["effective_loss"]["pooled"].as_f64().unwrap() > 0.0);
}
