//! What the reference gateway is told of its pool, and what it tells of it: settings arrive as they
//! were meant, workers come and go, and the record says why.

use crate::common::{Bench, SHORT, count, end, expected_code};
use gateway::{Backend, BurnKind, Gateway, Settings};
use loadgen::scenario::Scenario;
use serde_json::{Value, json};
use std::time::Duration;

/// The settings that the gateway reads when a scenario ends with `tables`.
fn as_the_gateway_reads(tables: &str) -> Settings {
    let bench = Bench::new(&format!("{SHORT}\n{tables}\n"));
    let scenario = Scenario::load(&bench.path("test.toml"), &[]).unwrap();
    let path = bench.path("gateway.toml");
    std::fs::write(&path, scenario.gateway.to_config()).unwrap();
    let settings = Settings::load(&path).unwrap();
    settings.check().unwrap();
    settings
}

#[test]
fn extra_work_and_deadlines_of_a_scenario_are_those_that_the_gateway_reads() {
    let ms = Duration::from_millis;
    let read = as_the_gateway_reads(
        "[gateway]\nworker_timeout = \"150ms\"\ndelay = [\"0s\", \"10ms\"]\nburn = [\n\
         { kind = \"wait\", time = \"20ms\", every = 4, offset = 1 },\n\
         { kind = \"cpu\", distribution = \"bimodal\", time = \"250us\", long = \"20ms\", \
         long_share = \"10%\" },\n]",
    );
    assert_eq!(read.pool.worker_timeout, Some(ms(150)));
    assert_eq!(read.backend.delay, [Duration::ZERO, ms(10)]);
    let [heavy, others] = &read.burn[..] else { panic!("{:?}", read.burn) };
    assert_eq!((heavy.kind, heavy.time, heavy.every, heavy.offset), (BurnKind::Wait, ms(20), 4, 1));
    assert_eq!((others.kind, others.time), (BurnKind::Cpu, Duration::from_micros(250)));
    assert_eq!((others.long, others.every), (Some(ms(20)), 1));
    assert_eq!(others.long_share.map(|share| share.to_string()).as_deref(), Some("10%"));
}

#[test]
fn every_fault_of_a_scenario_is_one_that_the_gateway_reads() {
    let faults = "seed = 7\nshared_codec = true\nreordered_replies = \"1%\"\n\
        dropped_replies = \"0.5%\"\nduplicated_replies = \"2%\"\nwrong_key = \"10%\"\n\
        foreign_audio = \"20%\"\nkeystream_reuse = \"30%\"\nhello_delay = \"2s\"\n\
        hello_limit = 30\nworker_crash = \"0.1%\"\nleak_per_frame = \"4KiB\"\n\
        worker_stall = { every = \"5s\", for = \"200ms\", worker = 1 }\n\
        gateway_stall = { every = \"10s\", for = \"500ms\" }\n";
    let read = as_the_gateway_reads(&format!("[gateway.faults]\n{faults}"));
    // What the gateway shows as switched on is what was written, word for word.
    let shown = serde_json::to_value(&read.faults).unwrap();
    let written: Value = toml::from_str::<toml::Table>(faults).unwrap().try_into().unwrap();
    assert_eq!(shown, written);
}

/// A scenario whose burst needs more than two workers.
const SCALED: &str = r#"title = "Scaled"
[gateway]
backend = "relay"
burn = { kind = "wait", time = "10ms" }
autoscaler = { smoothing = "200ms", window = "1s" }
workers = { min = 1, max = 6 }
[[phase]]
name = "burst"
devices = 16
hold = "2s"
[[phase]]
name = "silence"
devices = 0
hold = "8s"
[thresholds]
"frames_lost" = "= 0"
"burst.workers.max" = "> 1"
"scaling_changes" = "> 1"
"gateway_work.min" = ">= 9ms"
"#;

#[test]
fn a_pool_grows_and_shrinks_and_the_record_says_when_and_why() {
    let bench = Bench::new(SCALED);
    let ended = end(bench.din_run());
    let record = bench.record();
    assert_eq!(record["verdict"], "pass", "{}", ended.stdout);
    let gateway = &record["gateway"];
    let scaling = &gateway["scaling"];
    assert_eq!((&scaling["policy"], &scaling["min"]), (&json!("queue-delay"), &json!(1)));
    assert_eq!((&scaling["at_start"], &scaling["at_end"]), (&json!(1), &json!(1)), "{scaling}");
    let events = scaling["events"].as_array().unwrap();
    let up = events.iter().find(|event| event["to"].as_u64() > event["from"].as_u64());
    let down = events.iter().find(|event| event["to"].as_u64() < event["from"].as_u64());
    let (up, down) = (up.expect("it grew"), down.expect("it shrank"));
    assert!(["demand", "queue-delay"].contains(&up["reason"].as_str().unwrap()), "{up}");
    assert_eq!(down["reason"], "recent-demand", "{down}");
    assert!(up["at_ms"].as_f64() < down["at_ms"].as_f64());
    assert!(up["saw"]["work_per_frame_ms"].as_f64().unwrap() > 9.0, "{up}");
    assert!(ended.stdout.contains(up["sentence"].as_str().unwrap()), "{}", ended.stdout);

    let answered = count(&record, "frames_received");
    assert_eq!(gateway["frames_run"], answered);
    // On a busy machine a reading may come too late; what it told of is missing, and counted.
    let coverage = &gateway["coverage"];
    let known = coverage["frames"].as_u64().unwrap();
    assert!(known > 0, "{coverage}");
    assert_eq!(known + coverage["frames_missing"].as_u64().unwrap(), answered, "{coverage}");
    for metric in ["gateway_queue_delay", "gateway_work"] {
        assert_eq!(record["metrics"][metric]["count"], known, "{metric}");
        assert_eq!(record["phases"][0]["metrics"][metric]["count"], known, "{metric}");
    }
    let timeline = std::fs::read_to_string(bench.path("run/timeline.csv")).unwrap();
    let mut lines = timeline.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    let workers = header.iter().position(|column| *column == "workers").unwrap();
    // A second in which the gateway did not answer in time has an empty cell.
    let seen: Vec<u64> = lines.filter_map(|row| row[workers].parse().ok()).collect();
    assert!(seen.iter().max() > Some(&1), "{seen:?}");
    assert_eq!(seen.last(), Some(&1), "{seen:?}");
}

#[test]
fn a_pool_that_takes_turns_leaves_workers_idle_and_one_queue_does_not() {
    let scenario = r#"
[gateway]
backend = "relay"
workers = 3
burn = [{ kind = "wait", time = "40ms", every = 3 }, { kind = "wait", time = "1ms" }]
[devices]
phase = "staggered"
[[phase]]
devices = 6
hold = "2s"
[thresholds]
"frames_lost" = "= 0"
"#;
    let idle = |dispatch: &str| {
        let bench = Bench::new(scenario);
        let mut command = bench.din_run();
        command.args(["--set", &format!("gateway.dispatch={dispatch}")]);
        let ended = end(command);
        assert!(ended.stdout.contains("balance"), "{}{}", ended.stdout, ended.stderr);
        let record = bench.record();
        assert_eq!(record["gateway"]["dispatch"], dispatch);
        record["gateway"]["idle_while_waiting_percent"].as_f64().unwrap()
    };
    // Two of three voices on one worker: it always has one waiting behind the other.
    let (turns, one_queue) = (idle("round-robin"), idle("central-queue"));
    assert!(turns > 10.0, "{turns} %");
    assert!(one_queue <= 0.0, "{one_queue} %");
}

#[test]
fn faults_that_were_switched_on_are_shown_beside_what_they_did() {
    let bench = Bench::new(SHORT);
    let mut command = bench.din_run();
    command.args(["--set", "gateway.faults.dropped_replies=20%"]);
    let ended = end(command);
    let record = bench.record();
    assert_eq!(record["verdict"], "fail", "lost frames fail the run: {}", ended.stdout);
    assert_eq!(ended.code, Some(expected_code(&record)));
    let dropped = record["target"]["counters"]["faults"]["dropped_replies"].as_u64().unwrap();
    assert!(dropped > 0);
    assert_eq!(count(&record, "frames_lost"), dropped);
    assert_eq!(record["gateway"]["faults"], json!({ "dropped_replies": "20%" }));
    assert!(ended.stdout.contains("switched on: dropped_replies 20%"), "{}", ended.stdout);
}

#[test]
fn a_foreign_gateway_tells_nothing_and_the_report_says_so() {
    let mut settings = Settings::default();
    settings.control.listen.set_port(0);
    settings.media.listen.set_port(0);
    settings.backend.kind = Backend::Relay;
    let gateway = Gateway::start(settings).unwrap();
    let bench = Bench::new(SHORT);
    let mut command = bench.din_run();
    command.args(["--target", &format!("mqtt://{}", gateway.mqtt_addr())]);
    let ended = end(command);
    let record = bench.record();
    assert_eq!(record["verdict"], "pass", "{}", ended.stdout);
    assert_eq!(record["gateway"], Value::Null);
    let method = record["method"]["gateway_telemetry"].as_str().unwrap();
    assert!(method.starts_with("absent: a foreign gateway"), "{method}");
    for metric in ["workers", "gateway_queue_delay", "gateway_work", "worker_timeouts"] {
        assert_eq!(record["metrics"][metric], Value::Null, "{metric}");
    }
    assert!(ended.stdout.contains("pool       not known: a foreign gateway"), "{}", ended.stdout);

    let mut limited = bench.din(&["run", "test.toml", "--out", "again"]);
    limited.args(["--target", &format!("mqtt://{}", gateway.mqtt_addr())]);
    limited.args(["--set", "thresholds.workers.max=< 3"]);
    let refused = end(limited);
    assert_eq!(refused.code, Some(2), "{}", refused.stdout);
    assert!(refused.stderr.contains("workers.max < 3"), "{}", refused.stderr);
    gateway.stop().unwrap();
}
