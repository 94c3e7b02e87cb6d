//! What a gateway tells about itself is what devices saw.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::fixture::{Call, callers, get, start_telling, status, until, until_settled};
use gateway::{Backend, RunningGateway};
use platform::Clock;
use protocol::identity::SignatureKey;
use serde_json::Value;

/// A plausible packet of 60 ms: only its first byte means something.
const PACKET: [u8; 8] = [11 << 3, 1, 2, 3, 4, 5, 6, 7];

/// The kernel stamps datagrams by the wall clock, which may run a little faster or slower than the
/// monotonic one.
const CLOCKS_APART: Duration = Duration::from_millis(1);

#[test]
fn a_status_counts_every_frame_in_every_account() {
    let toml = "pool.workers = 2\n[[burn]]\nkind = \"wait\"\ntime = \"5ms\"\n";
    let gateway = start_telling(Backend::Echo, toml);
    let mut devices = callers(gateway.mqtt_addr(), 3);
    for _ in 0..5 {
        for (_, call) in &mut devices {
            call.send_next();
        }
    }
    until_settled(&gateway, 15);
    let status = status(&gateway);
    for histogram in ["queue_delay", "work", "latency"] {
        let histogram = &status[histogram];
        assert_eq!(histogram["count"], 15);
        let last = histogram["buckets"].as_array().unwrap().last().unwrap();
        assert_eq!((&last["le_s"], &last["count"]), (&Value::Null, &15.into()));
    }
    let seconds = |value: &Value| value.as_f64().unwrap();
    let sum = |histogram: &str| seconds(&status[histogram]["sum_s"]);
    assert!((sum("queue_delay") + sum("work") - sum("latency")).abs() < 1e-6, "{status:#}");

    let (mut frames, mut busy_s) = (0, 0.0);
    for worker in status["pool"]["workers"].as_array().unwrap() {
        let run = worker["frames"].as_u64().unwrap();
        assert!(seconds(&worker["busy_s"]) >= run as f64 * 0.005, "5 ms for each: {worker}");
        frames += run;
        busy_s += seconds(&worker["busy_s"]);
    }
    assert_eq!(frames, 15);
    assert!((busy_s - sum("work")).abs() < 1e-6, "{status:#}");
    let counters = &status["counters"];
    for name in ["frames_in", "frames_accepted", "frames_settled", "frames_encoded", "frames_out"] {
        assert_eq!(counters[name], 15, "{name}");
    }
    assert_eq!((&status["sessions_live"], &status["pool"]["pending"]), (&3.into(), &0.into()));
}

/// The passage of a frame as `/frames` has it.
#[derive(Clone, Copy, Debug)]
struct Record {
    ssrc: u32,
    timestamp_ms: u32,
    arrived: Duration,
    queued: Duration,
    worked: Duration,
}

/// What `/frames` answers: how many were left out, and the others.
fn frames(gateway: &RunningGateway) -> (u64, Vec<Record>) {
    let body = get(gateway.telemetry_addr().unwrap(), "/frames");
    let long = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    let short = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    let (left_out, records) = body.split_at(8);
    assert_eq!(records.len() % 32, 0);
    let records = records.chunks_exact(32).map(|record| Record {
        ssrc: short(&record[..4]),
        timestamp_ms: short(&record[4..8]),
        arrived: Duration::from_nanos(long(&record[8..16])),
        queued: Duration::from_nanos(long(&record[16..24])),
        worked: Duration::from_nanos(long(&record[24..])),
    });
    (long(left_out), records.collect())
}

#[test]
fn frames_are_told_once_with_the_times_at_which_they_passed() {
    let gateway = start_telling(Backend::Relay, "");
    let clock = Clock::start();
    let now = || clock.to_monotonic(clock.now());
    let mut devices = callers(gateway.mqtt_addr(), 2);
    assert_eq!(frames(&gateway).1.len(), 0, "nobody has asked before");
    let mut sent = BTreeSet::new();
    let mut send = |call: &mut Call| {
        let timestamp = call.send_next().as_millis();
        sent.insert((call.grant.nonce.ssrc().get(), timestamp));
    };
    let before = now();
    for _ in 0..10 {
        for (_, call) in &mut devices {
            send(call);
        }
    }
    until_settled(&gateway, 20);
    let after = now();

    let (left_out, records) = frames(&gateway);
    assert_eq!((left_out, records.len()), (0, 20));
    let told: BTreeSet<_> =
        records.iter().map(|record| (record.ssrc, record.timestamp_ms)).collect();
    assert_eq!(told, sent);
    for record in &records {
        let ended = record.arrived + record.queued + record.worked;
        assert!(record.arrived + CLOCKS_APART >= before, "{before:?} {record:?}");
        assert!(ended <= after + CLOCKS_APART, "{record:?} {after:?}");
    }
    let status = status(&gateway);
    let told_s = |histogram: &str| status[histogram]["sum_s"].as_f64().unwrap();
    let queued: Duration = records.iter().map(|record| record.queued).sum();
    assert!((told_s("queue_delay") - queued.as_secs_f64()).abs() < 1e-6, "{queued:?}");
    // Sending is the worker's work too, and no part of a frame's time until it is ready.
    let worked: Duration = records.iter().map(|record| record.worked).sum();
    assert!(told_s("work") > worked.as_secs_f64(), "{worked:?}");

    assert_eq!(frames(&gateway).1.len(), 0, "told once");
    devices[1].1.send(&PACKET);
    until_settled(&gateway, 21);
    let (_, records) = frames(&gateway);
    let told: Vec<_> = records.iter().map(|record| (record.ssrc, record.timestamp_ms)).collect();
    assert_eq!(told, [(devices[1].1.grant.nonce.ssrc().get(), 11 * 60)]);
}

#[test]
fn a_worker_idles_beside_work_only_where_workers_have_queues_of_their_own() {
    // Of three devices at least two stay with the same of two workers.
    for (dispatch, idles) in [("central-queue", false), ("sticky", true)] {
        let toml = format!(
            "pool.workers = 2\npool.dispatch = \"{dispatch}\"\n\
             [[burn]]\nkind = \"wait\"\ntime = \"5ms\"\n"
        );
        let gateway = start_telling(Backend::Relay, &toml);
        let mut devices = callers(gateway.mqtt_addr(), 3);
        let mut settled = 0;
        for _ in 0..5 {
            for (_, call) in &mut devices {
                (0..3).for_each(|_| call.send(&PACKET));
            }
            settled += 9;
            until_settled(&gateway, settled);
        }
        let idle_s = status(&gateway)["pool"]["idle_while_waiting_s"].as_f64().unwrap();
        assert_eq!(idle_s > 0.0, idles, "{dispatch}: {idle_s} s");
    }
}

#[test]
fn the_log_holds_a_block_with_the_fields_of_production() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), "[telemetry]\nlog_every = \"100ms\"\n").unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_din-gateway"))
        .args(["--mqtt", "127.0.0.1:0", "--udp", "127.0.0.1:0", "--until-stdin-closes", "--config"])
        .arg(file.path())
        .env_remove(SignatureKey::VARIABLE)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    // The second block tells of the time since the first.
    let head = lines.by_ref().find(|line| line.contains("the last 0."));
    assert!(head.expect("a block").contains("INFO"));
    let block: Vec<_> = lines.by_ref().take(7).collect();
    let names: Vec<_> = block.iter().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(names, ["workers", "load", "frames", "latency", "cpu", "memory", "errors"]);
    assert_eq!(block[0], "  workers  2/2 active (min 2, max 2)");
    assert!(block[2].starts_with("  frames   0 answered, 0.0 fps"), "{block:#?}");
    drop(child.stdin.take());
    // It is written to until the end.
    lines.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn metrics_and_status_agree_once_nothing_is_under_way() {
    let gateway = start_telling(Backend::Relay, "");
    for (_, call) in &mut callers(gateway.mqtt_addr(), 2) {
        call.round_trip();
    }
    until_settled(&gateway, 2);
    let gone = || (status(&gateway)["sessions_live"] == 0).then_some(());
    until("sessions ended with their connections", gone);
    let metrics = String::from_utf8(get(gateway.telemetry_addr().unwrap(), "/metrics")).unwrap();
    let status = status(&gateway);
    for (metric, told) in [
        ("sessions", &status["sessions_live"]),
        ("frames_out_total", &status["counters"]["frames_out"]),
        ("sessions_ended_total{cause=\"connection_lost\"}", &2.into()),
        ("workers{state=\"serving\"}", &status["pool"]["serving"]),
        ("latency_seconds_count", &status["latency"]["count"]),
    ] {
        let line = format!("din_gateway_{metric} {told}");
        assert!(metrics.lines().any(|seen| seen == line), "{line}, not in\n{metrics}");
    }
}
