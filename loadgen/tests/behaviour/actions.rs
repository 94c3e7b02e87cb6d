//! What is done to the gateway in mid-run, and what the run says of it.

use crate::common::{Bench, count, end};
use serde_json::Value;

fn run(scenario: &str) -> (Value, Bench) {
    let bench = Bench::new(scenario);
    let ended = end(bench.din_run());
    assert!(bench.path("run/run.json").exists(), "{}", ended.stderr);
    (bench.record(), bench)
}

fn failed(record: &Value) -> Vec<&str> {
    let thresholds = record["thresholds"].as_array().unwrap().iter();
    thresholds.filter(|one| one["ok"] == false).map(|one| one["metric"].as_str().unwrap()).collect()
}

/// Six devices for five seconds; the gateway is restarted after two.
fn restart(how: &str, rest: &str) -> String {
    format!(
        "seed = 2\ndrain = \"2s\"\n[gateway]\nbackend = \"relay\"\n\
         [[phase]]\nname = \"talk\"\ndevices = 6\nhold = \"6s\"\n\
         [[action]]\nname = \"restart\"\nat = \"talk + 2s\"\ndo = \"gateway.restart\"\n\
         how = \"{how}\"\ndown = \"500ms\"\naway = \"1500ms\"\n{rest}"
    )
}

#[test]
fn a_gateway_that_is_restarted_serves_everybody_again_and_loses_nobody() {
    let (record, bench) = run(&restart(
        "stop",
        "[thresholds]\n\"frames_lost\" = \"= 0\"\n\"sessions_opened\" = \"= 12\"\n\
         \"within 4s of restart.hello_time.p99\" = \"< 5s\"\n",
    ));
    assert_eq!(failed(&record), [""; 0], "{:#}", record["thresholds"]);
    assert_eq!(record["ended_early"], Value::Null);
    assert_eq!(count(&record, "gateway_exits"), 0, "it was meant to end");
    let action = &record["actions"][0];
    assert_eq!((&action["name"], &action["ok"]), (&"restart".into(), &true.into()), "{action}");
    assert!(action["outcome"].as_str().unwrap().starts_with("up again after"), "{action}");
    let done = action["done_ms"].as_f64().unwrap() - action["at_ms"].as_f64().unwrap();
    assert!(done >= 500.0, "it was down for half a second: {done} ms");
    // Both lives count: the look before the run and twelve calls.
    let counters = &record["target"]["counters"];
    assert_eq!(counters["sessions_opened"], 13, "{counters}");
    assert_eq!(counters["sessions_ended"]["shutdown"], 6, "{counters}");
    let log = std::fs::read_to_string(bench.path("run/gateway.log")).unwrap();
    assert_eq!(log.matches(" listening ").count(), 2, "{log}");
    let run = record["gateway"]["frames_run"].as_u64().unwrap();
    let sent = count(&record, "frames_sent");
    assert!(run * 2 > sent, "{run} of {sent} frames were told of");
}

#[test]
fn a_gateway_that_is_killed_is_no_exit_of_its_own_and_comes_back_as_well() {
    let (record, _) = run(&restart("kill", "[thresholds]\n\"frames_lost\" = \"<= 12\"\n"));
    assert_eq!(failed(&record), [""; 0], "{:#}", record["thresholds"]);
    assert_eq!((count(&record, "gateway_exits"), count(&record, "sessions_opened")), (0, 12));
    assert_eq!(record["target"]["counters"]["sessions_opened"], 6, "the first life told nothing");
}

#[test]
fn who_comes_back_before_the_gateway_does_has_failed() {
    let early = restart("stop", "").replace("down = \"500ms\"", "down = \"3s\"");
    let (record, _) = run(&early);
    assert_eq!(failed(&record), ["sessions_failed"]);
    assert_eq!(count(&record, "sessions_failed"), 6);
}

#[test]
fn a_fault_of_two_seconds_is_seen_in_them_and_not_before_or_after() {
    let (record, _) = run("seed = 2\n[gateway]\nbackend = \"relay\"\n\
         [[phase]]\nname = \"before\"\ndevices = 6\nhold = \"2s\"\n\
         [[phase]]\nname = \"broken\"\ndevices = 6\nhold = \"2s\"\n\
         [[phase]]\nname = \"after\"\ndevices = 6\nhold = \"2s\"\n\
         [[action]]\nat = \"broken\"\ndo = \"gateway.fault\"\n\
         faults = { dropped_replies = \"100%\" }\nfor = \"1500ms\"\n\
         [thresholds]\n\"before.frames_lost\" = \"= 0\"\n\"broken.frames_lost\" = \"= 0\"\n\
         \"after.frames_lost\" = \"= 0\"\n\"frames_lost\" = \"< 400\"\n");
    let phases: Vec<_> = record["thresholds"].as_array().unwrap().iter().collect();
    let lost = |phase: &str| {
        let one = phases.iter().find(|one| one["phase"] == phase).unwrap();
        one["observed"].as_f64().unwrap()
    };
    assert_eq!((lost("before"), lost("after")), (0.0, 0.0), "{:#}", record["thresholds"]);
    assert!(lost("broken") > 50.0, "six devices for one and a half seconds: {}", lost("broken"));
    let action = &record["actions"][0];
    assert_eq!((&action["ok"], &action["outcome"]), (&true.into(), &"faults switched".into()));
}

#[test]
fn a_gateway_of_somebody_elses_cannot_be_restarted() {
    let bench = Bench::new(&restart("stop", ""));
    let mut command = bench.din_run();
    command.args(["--target", "mqtt://127.0.0.1:9"]);
    let ended = end(command);
    assert_eq!(ended.code, Some(2));
    let said = "action at 2s, the gateway is stopped and started again";
    assert!(
        ended.stderr.contains(said) && ended.stderr.contains("or the target"),
        "{}",
        ended.stderr
    );
}
