//! Simulated networks: what a scenario says of one is what its devices see.

use crate::common::{Bench, count, end};
use serde_json::Value;

fn run(scenario: &str) -> Value {
    let bench = Bench::new(scenario);
    let ended = end(bench.din_run());
    assert!(bench.path("run/run.json").exists(), "{}", ended.stderr);
    bench.record()
}

const PLAN: &str = "seed = 5\ndrain = \"2s\"\n[gateway]\nbackend = \"relay\"\n\
                    [[phase]]\nname = \"talk\"\ndevices = 2\nhold = \"3s\"\n";

#[test]
fn both_ways_of_a_network_are_in_every_latency() {
    let network =
        "[devices.network]\nuplink = { delay = \"30ms\" }\ndownlink = { delay = \"40ms\" }\n";
    // A held frame leaves to half a slot of the pacer, 250 µs.
    let limits =
        "[thresholds]\n\"response_latency.min\" = \"> 69.7ms\"\n\"frames_lost\" = \"= 0\"\n";
    let record = run(&format!("{PLAN}{network}{limits}"));
    let thresholds = record["thresholds"].as_array().unwrap();
    assert!(thresholds.iter().all(|one| one["ok"] == true), "{thresholds:#?}");
    assert!(count(&record, "frames_received") > 60, "{:#}", record["metrics"]);
    assert_eq!(count(&record, "impaired_lost"), 0);
    let held = record["metrics"]["impairment_lag"]["count"].as_u64();
    assert_eq!(held, Some(count(&record, "frames_sent")));
    assert_eq!(
        record["method"]["networks"]["all"],
        "uplink with an impairment of its own, downlink with an impairment of its own"
    );
}

#[test]
fn a_network_changes_in_mid_run_for_the_group_that_is_named() {
    let groups = "[[group]]\nname = \"cable\"\nshare = \"50%\"\n\
                  [[group]]\nname = \"radio\"\nshare = \"50%\"\n";
    let tunnel = "[[action]]\nname = \"tunnel\"\nat = \"talk + 1s\"\ndo = \"network.change\"\n\
                  group = \"radio\"\nfor = \"600ms\"\nnetwork = { uplink = { loss = \"100%\" } }\n";
    let record = run(&format!("{PLAN}{groups}{tunnel}[thresholds]\n\"frames_lost\" = \"> 0\"\n"));
    // One of two devices, 600 ms of 60 ms frames; nothing else is lost on loopback.
    assert_eq!(count(&record, "frames_lost"), 10, "{:#}", record["metrics"]);
    assert_eq!(count(&record, "impaired_lost"), 10);
    assert_eq!(record["actions"][0]["ok"], true, "{:#}", record["actions"]);
}

#[test]
fn a_nat_that_forgets_costs_no_more_than_what_was_on_its_way() {
    let network = "[devices.network]\nrebind = \"500ms\"\nuplink = { delay = \"5ms\" }\n";
    let limits = "[thresholds]\n\"frames_lost\" = \"<= 12\"\n\"nat_rebinds\" = \">= 10\"\n";
    let record = run(&format!("{PLAN}{network}{limits}"));
    // Two devices, six each in 3 s; a late answer to the old port is lost.
    let thresholds = record["thresholds"].as_array().unwrap();
    assert!(thresholds.iter().all(|one| one["ok"] == true), "{thresholds:#?}");
    assert!((10..=12).contains(&count(&record, "nat_rebinds")));
    let said = record["method"]["networks"]["all"].as_str().unwrap();
    assert!(said.ends_with(", another port each 500ms"), "{said}");
}

/// Half of a per mille either way is at most 1.5 ms in 3 s: nothing is lost or late by it.
#[test]
fn clocks_that_are_off_change_no_latency() {
    let drift = "[devices]\nclock_drift = \"500ppm\"\n";
    let limits = "[thresholds]\n\"frames_lost\" = \"= 0\"\n\"frames_planned\" = \">= 98\"\n";
    let record = run(&format!("{PLAN}{drift}{limits}"));
    let thresholds = record["thresholds"].as_array().unwrap();
    assert!(thresholds.iter().all(|one| one["ok"] == true), "{thresholds:#?}");
}
