//! Devices that leave and come back, and devices that come beside the target: who did what is read
//! off the gateway's own counters.

use crate::common::{Bench, count, end};
use serde_json::Value;

/// Runs `phase` after a title; everything that was planned must have been held.
fn run(phase: &str) -> Value {
    let bench = Bench::new(&format!("drain = \"5s\"\n[gateway]\nbackend = \"relay\"\n{phase}"));
    let ended = end(bench.din_run());
    let record = bench.record();
    assert_eq!(record["verdict"], "pass", "{}{}", ended.stdout, ended.stderr);
    for none in ["sessions_failed", "sessions_lost", "frames_lost"] {
        assert_eq!(count(&record, none), 0, "{none}: {}", ended.stdout);
    }
    assert_eq!(count(&record, "sessions_opened"), count(&record, "sessions_planned"));
    record
}

/// A counter of the gateway; the run's own look at it before the first call is one connection and
/// one session with a goodbye.
fn gateway(record: &Value, path: &str) -> u64 {
    let counters = &record["target"]["counters"];
    let found = path.split('.').fold(counters, |at, key| &at[key]);
    found.as_u64().unwrap_or_else(|| panic!("{path} in {counters}"))
}

#[test]
fn a_device_leaves_in_the_way_that_was_asked_for_and_comes_back() {
    let churn = |how: &str| {
        run(&format!(
            "[[phase]]\ndevices = 4\nhold = \"4s\"\n\
             churn = {{ rate = \"2/s\", spacing = \"even\", how = \"{how}\", away = \"200ms\" }}\n"
        ))
    };
    let goodbye = churn("goodbye");
    let sessions = count(&goodbye, "sessions_opened");
    assert!(sessions > 6, "{sessions} sessions of 4 devices");
    assert_eq!(gateway(&goodbye, "connections"), sessions + 1);
    assert_eq!(gateway(&goodbye, "sessions_ended.device_goodbye"), sessions + 1);

    // The same seed breaks the same calls; over one connection each device says hello again.
    let hello = churn("hello");
    assert_eq!(count(&hello, "sessions_opened"), sessions);
    assert_eq!(gateway(&hello, "connections"), 4 + 1);
    assert_eq!(gateway(&hello, "sessions_ended.device_goodbye"), sessions + 1);
    assert_eq!(hello["metrics"]["connect_time"]["count"], 4);
    assert_eq!(hello["metrics"]["hello_time"]["count"], sessions);

    let drop = churn("drop");
    assert_eq!(gateway(&drop, "connections"), sessions + 1);
    assert_eq!(gateway(&drop, "sessions_ended.connection_lost"), sessions - 4);
    assert_eq!(gateway(&drop, "sessions_ended.device_goodbye"), 4 + 1);
}

#[test]
fn an_action_cuts_the_connections_of_a_share_of_the_devices() {
    let record = run("[[phase]]\nname = \"talk\"\ndevices = 8\nhold = \"4s\"\n\
         [[action]]\nat = \"talk + 1500ms\"\ndo = \"devices.drop\"\nshare = \"50%\"\n\
         away = \"300ms\"\nspread = \"500ms\"\n");
    assert_eq!(count(&record, "sessions_opened"), 8 + 4);
    assert_eq!(gateway(&record, "sessions_ended.connection_lost"), 4);
    assert_eq!(gateway(&record, "sessions_ended.device_goodbye"), 8 + 1);
}

#[test]
fn arrivals_come_at_their_rate_and_leave_after_their_time() {
    let record = run("[[phase]]\ndevices = 1\nhold = \"4s\"\n\
         arrivals = { rate = \"2/s\", spacing = \"even\", stay = \"1s\" }\n");
    // At 0.5 s, 1 s and so on until 3.5 s, beside the one that was there.
    assert_eq!(count(&record, "sessions_opened"), 1 + 7);
    assert_eq!(gateway(&record, "connections"), 1 + 7 + 1);
}
