//! Scenario files as people handle them: made by `din new`, shown by `din list`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use loadgen::scenario::Scenario;
use measure::Metric;

use crate::common::{Bench, SHORT, count, end, expected_code};

/// `din` in the repository itself.
fn din(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_din"));
    command.args(arguments).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
    command
}

#[test]
fn what_din_new_writes_is_checked_listed_and_run() {
    let bench = Bench::new(SHORT);
    let ended = end(bench.din(&["new", "evening-peak"]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let path = "scenarios/evening-peak.toml";
    assert!(ended.stdout.starts_with(&format!("wrote {path}\n")), "{}", ended.stdout);
    assert!(ended.stdout.contains(&format!("din run {path}")), "{}", ended.stdout);

    let checked = end(bench.din(&["check", path]));
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
    let listed = end(bench.din(&["list"]));
    assert_eq!(listed.code, Some(0), "{}", listed.stderr);
    assert!(
        listed.stdout.starts_with("evening-peak  20 devices  21s  Do the devices"),
        "{}",
        listed.stdout
    );

    let ran = end(bench.din(&["run", path, "--set", "phase.0.hold=3s", "--out", "run", "--quiet"]));
    let record = bench.record();
    assert_eq!(ran.code, Some(expected_code(&record)), "{}", ran.stderr);
    assert_eq!(count(&record, "sessions_opened"), 20);
    assert_eq!(count(&record, "frames_lost"), 0);
    // Its limit on the latency may fail on a busy machine; nothing else may.
    for threshold in record["thresholds"].as_array().unwrap() {
        let holds = threshold["ok"] == true || threshold["metric"] == "response_latency.p99";
        assert!(holds, "{threshold}");
    }

    let again = end(bench.din(&["new", "evening-peak"]));
    assert_eq!(again.code, Some(2));
    assert!(again.stderr.contains("is there already"), "{}", again.stderr);
    let unnamed = end(bench.din(&["new"]));
    assert!(unnamed.stdout.starts_with("wrote scenarios/first.toml\n"), "{}", unnamed.stdout);
}

#[test]
fn a_list_with_broken_files_shows_all_and_ends_with_2() {
    let bench = Bench::new(SHORT);
    fs::write(bench.path("broken.toml"), "seed = \"one\"\n").unwrap();
    let ended = end(bench.din(&["list", "."]));
    assert_eq!(ended.code, Some(2));
    assert!(ended.stdout.contains("broken  BROKEN\n    ./broken.toml:1:8: "), "{}", ended.stdout);
    assert!(ended.stdout.contains("test    3 devices  1s  Short\n"), "{}", ended.stdout);
    assert!(ended.stderr.contains("1 of 2 files in . cannot be run"), "{}", ended.stderr);
}

#[test]
fn a_place_without_scenarios_says_how_to_make_one() {
    let bench = Bench::new(SHORT);
    fs::create_dir(bench.path("empty")).unwrap();
    for (arguments, part) in [
        (&["list"][..], "cannot list scenarios; "),
        (&["list", "empty"], "there is no .toml file in empty; `din new` writes one"),
        (&["list", "test.toml"], "cannot list test.toml; `din list DIR` takes a directory"),
    ] {
        let ended = end(bench.din(arguments));
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""));
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
    }
}

#[test]
fn the_index_of_our_scenarios_is_current() {
    let ended = end(din(&["list", "--markdown", "scenarios"]));
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let index = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/README.md");
    let index = fs::read_to_string(index).unwrap();
    assert_eq!(index, ended.stdout, "run `just index`");
}

/// Smoke is for every CI job: short, and about nothing that a busy host changes.
#[test]
fn smoke_is_short_and_limits_no_times() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/smoke.toml");
    let smoke = Scenario::load(&path, &[]).unwrap();
    assert!(smoke.length() + smoke.drain < Duration::from_secs(15));
    assert!(smoke.thresholds.iter().any(|one| one.metric == Metric::FramesLost));
    for threshold in &smoke.thresholds {
        assert_eq!(threshold.metric.quantity(), measure::Quantity::Count, "{threshold}");
    }
}
