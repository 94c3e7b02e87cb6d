//! `din doctor` on this host, whatever it is worth.

use std::io::Read;
use std::process::{Command, Stdio};

use loadgen::doctor::Report;
use serde_json::Value;

use crate::common::{Bench, SHORT, end};

/// Every subject, in the order of the report.
const SUBJECTS: [&str; 16] = [
    "timer, as the pacer",
    "timer, ordinary",
    "priority",
    "loopback latency",
    "loopback send lag",
    "loopback service",
    "cost of a frame",
    "socket buffers",
    "open files",
    "ports",
    "processors",
    "steal, load",
    "clock",
    "libopus",
    "devices, alone",
    "devices, with echo",
];

fn doctor(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_din"));
    command.arg("doctor").args(arguments);
    command
}

#[test]
fn every_subject_has_a_line_with_a_verdict_and_its_samples() {
    let ended = end(doctor(&["--seconds", "1"]));
    assert_eq!((ended.code, &ended.stderr[..]), (Some(0), ""));
    for subject in SUBJECTS {
        let line = ended.stdout.lines().find(|line| line.contains(&format!("  {subject}  ")));
        let line = line.unwrap_or_else(|| panic!("{subject} is missing in {}", ended.stdout));
        let verdict = line.split_whitespace().next().unwrap();
        assert!(["ok", "note", "WARN"].contains(&verdict), "{line}");
    }
    let measured = ended.stdout.lines().filter(|line| line.contains("n = ")).count();
    assert!(measured >= 8, "{}", ended.stdout);
    assert!(!ended.stdout.contains("n = 0"), "{}", ended.stdout);
}

/// Every `count` below `value`, with its name.
fn counts(name: &str, value: &Value, found: &mut Vec<(String, u64)>) {
    let Some(fields) = value.as_object() else { return };
    for (field, value) in fields {
        match (&field[..], value.as_u64()) {
            ("count" | "frames_sent" | "frames_answered" | "batches", Some(count)) => {
                found.push((format!("{name}.{field}"), count));
            }
            _ => counts(&format!("{name}.{field}"), value, found),
        }
    }
}

#[test]
fn the_json_is_the_same_with_numbers_that_have_samples() {
    let ended = end(doctor(&["--json", "--seconds", "1"]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let report: Report = serde_json::from_str(&ended.stdout).unwrap();
    let subjects: Vec<_> = report.findings.iter().map(|finding| &finding.subject[..]).collect();
    assert_eq!(subjects, SUBJECTS);
    assert!(report.facts.seconds >= 0.9, "{}", report.facts.seconds);

    let json: Value = serde_json::from_str(&ended.stdout).unwrap();
    let mut samples = Vec::new();
    counts("facts", &json["facts"], &mut samples);
    // Two timers, three distributions and two counts of either loopback probe, clock, two codecs.
    assert_eq!(samples.len(), 2 + 2 * 5 + 1 + 2, "{samples:?}");
    for (name, count) in samples {
        assert!(count > 0, "{name}");
    }
    let capacity = report.capacity.unwrap();
    let smallest = capacity.alone.limits.iter().map(|limit| limit.devices).min();
    assert_eq!(Some(capacity.alone.devices), smallest);
    assert!(report.facts.codec.known().unwrap().version.starts_with("libopus "));
}

#[test]
fn a_probe_of_no_time_or_of_an_hour_is_refused() {
    for seconds in ["0", "3600", "ten"] {
        let ended = end(doctor(&["--seconds", seconds]));
        assert_eq!((ended.code, &ended.stdout[..]), (Some(2), ""));
        assert!(ended.stderr.contains("--seconds <N>"), "{}", ended.stderr);
    }
}

#[test]
fn ctrl_c_ends_it_without_a_report() {
    let mut command = doctor(&["--seconds", "600"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // Its thread for timers is started after signals are listened to.
    let tasks = format!("/proc/{}/task", child.id());
    let probing = || {
        let threads = std::fs::read_dir(&tasks).unwrap();
        threads.flatten().any(|thread| {
            let name = std::fs::read_to_string(thread.path().join("comm"));
            name.is_ok_and(|name| name.trim() == "din-timer")
        })
    };
    while !probing() {
        assert_eq!(child.try_wait().unwrap(), None, "it ended before it began");
        std::thread::yield_now();
    }
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let (mut told, mut report) = (String::new(), String::new());
    child.stderr.unwrap().read_to_string(&mut told).unwrap();
    child.stdout.unwrap().read_to_string(&mut report).unwrap();
    assert!(told.contains("interrupted"), "{told}");
    assert_eq!(report, "");
}

#[test]
fn a_run_records_its_noise_floor_and_warns_of_limits_below_it() {
    // No host returns a frame within a third of a microsecond; none takes ten minutes.
    let scenario = format!(
        "{SHORT}\"response_latency.p50\" = \"< 1us\"\n\"response_latency.p99\" = \"< 10m\"\n\
         \"integrity.decode_failed\" = \"= 0\"\n"
    );
    let bench = Bench::new(&scenario);
    let ended = end(bench.din_run());
    let record = bench.record();
    let floor = &record["noise_floor"];
    assert_eq!(floor["frames_sent"], 300, "{floor}");
    assert!(floor["metrics"]["response_latency"]["count"].as_u64().unwrap() > 0, "{floor}");
    assert!(floor["timer_lateness"]["count"].as_u64().unwrap() > 0, "{floor}");

    let warnings = record["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0]["threshold"], "response_latency.p50 < 1us");
    assert_eq!(warnings[0]["rule"], "near_noise_floor");
    assert!(ended.stdout.contains("\nwarning: response_latency.p50 < 1us"), "{}", ended.stdout);

    // A second of three devices is too small a sample for a fault.
    let rules = record["validity"]["reasons"].as_array().unwrap();
    let small = rules.iter().find(|reason| reason["rule"] == "integrity_sample");
    let said = small.expect("the sample is too small")["text"].as_str().unwrap();
    assert!(said.contains("integrity.decode_failed = 0 held on") && said.contains("3/n"), "{said}");

    let timer = &record["method"]["timer_probe"];
    assert!(timer["cpu_percent"].as_f64().unwrap() > 0.0, "{timer}");
    assert!(timer["lateness"]["count"].as_u64().is_some(), "{timer}");
}
