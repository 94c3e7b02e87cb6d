//! Whole runs against the reference gateway: the work is done, and the record says so.

use crate::common::{Bench, SHORT, assert_gateway_gone, count, end, expected_code};
use gateway::autoscale::{AutoscaleSettings, Policy};
use loadgen::scenario::{Scenario, Workers};
use measure::record::RunRecord;
use std::time::Duration;

#[test]
fn echo_gives_every_frame_back_decodable_and_of_the_right_length() {
    let bench = Bench::new(SHORT);
    let ended = end(bench.din_run());
    let record = bench.record();
    assert_eq!(ended.code, Some(expected_code(&record)), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(record["verdict"], "pass", "{}", ended.stdout);
    assert_eq!(record["exit_code"], expected_code(&record));

    assert_eq!(count(&record, "sessions_opened"), 3);
    let planned = count(&record, "frames_planned");
    let unserved = count(&record, "frames_unserved");
    assert!(planned + unserved >= 3 * 15, "a second of three devices: {planned} + {unserved}");
    // A handshake may cost the frames that were due while it lasted, and no other.
    let slowest = |metric: &str| record["metrics"][metric]["max"].as_f64().unwrap();
    let handshake_ms = slowest("connect_time") + slowest("hello_time");
    assert!(
        (unserved as f64) <= 3.0 * (handshake_ms / 60.0 + 1.0),
        "{unserved}, {handshake_ms} ms"
    );
    for all in ["frames_sent", "frames_received", "integrity.decoded"] {
        assert_eq!(count(&record, all), planned, "{all}");
    }
    for none in [
        "frames_lost",
        "frames_duplicate",
        "frames_unmatched",
        "integrity.decode_failed",
        "integrity.wrong_duration",
        "sessions_failed",
        "sessions_lost",
        "gateway_exits",
    ] {
        assert_eq!(count(&record, none), 0, "{none}");
    }
    for sampled in ["response_latency", "service_latency", "send_lag"] {
        assert_eq!(record["metrics"][sampled]["count"], planned, "{sampled}");
    }
    for sampled in ["connect_time", "hello_time", "first_audio"] {
        assert_eq!(record["metrics"][sampled]["count"], 3, "{sampled}");
    }
    // The gateway's own counters agree: nothing was answered without being decoded and encoded.
    let counters = &record["target"]["counters"];
    assert_eq!(counters["frames_in"], planned, "{counters}");
    assert_eq!(counters["frames_out"], planned, "{counters}");

    assert_gateway_gone(&record);
    for file in [
        "run.json",
        "histograms.hlog",
        "timeline.csv",
        "devices.csv",
        "gateway.log",
        "gateway.toml",
    ] {
        assert!(bench.path("run").join(file).is_file(), "{file}");
    }
    assert!(ended.stdout.contains("run directory  run"), "{}", ended.stdout);
}

#[test]
fn relay_gives_every_frame_back() {
    let bench = Bench::new(SHORT);
    let mut command = bench.din_run();
    command.args(["--set", "gateway.backend=relay", "--seed", "9", "--quiet"]);
    let ended = end(command);
    let record = bench.record();
    assert_eq!(record["verdict"], "pass", "{}", ended.stdout);
    assert_eq!(count(&record, "frames_received"), count(&record, "frames_planned"));
    assert_eq!(record["seed"], 9);
    assert_eq!(record["target"]["announced"]["backend"], "relay");
    let overrides = record["scenario"]["overrides"].to_string();
    assert_eq!(overrides, r#"["gateway.backend=relay","seed=9"]"#);
    assert_eq!(ended.stdout.lines().count(), 1, "one line when quiet: {}", ended.stdout);
}

#[test]
fn the_record_is_printed_where_json_is_asked_for_and_reads_back() {
    let bench = Bench::new(SHORT);
    let mut command = bench.din_run();
    command.arg("--json");
    let ended = end(command);
    let printed: RunRecord = serde_json::from_str(&ended.stdout).expect("only JSON is printed");
    let kept: RunRecord = serde_json::from_value(bench.record()).unwrap();
    assert_eq!(printed, kept);
    assert_eq!(kept.phases.len(), 1);
    assert!(kept.phases[0].metrics.contains_key("response_latency"));
    assert!(kept.versions.contains_key("libopus") && kept.host.contains_key("kernel"));
}

#[test]
fn a_threshold_that_does_not_hold_fails_the_run() {
    let bench = Bench::new(SHORT);
    let mut command = bench.din_run();
    command.args(["--set", "thresholds.response_latency.p50=< 1us"]);
    let ended = end(command);
    let record = bench.record();
    assert_eq!(record["verdict"], "fail");
    assert_eq!(ended.code, Some(expected_code(&record)));
    assert!(ended.stdout.contains("FAIL  response_latency.p50"), "{}", ended.stdout);
}

/// The settings that the gateway reads when a scenario's `[gateway]` says `table`.
fn as_the_gateway_reads(table: &str) -> gateway::Settings {
    let bench = Bench::new(&format!("{SHORT}\n[gateway]\n{table}\n"));
    let scenario = Scenario::load(&bench.path("test.toml"), &[]).unwrap();
    let path = bench.path("gateway.toml");
    std::fs::write(&path, scenario.gateway.to_config()).unwrap();
    gateway::Settings::load(&path).unwrap()
}

#[test]
fn every_gateway_setting_of_a_scenario_is_one_that_the_gateway_reads() {
    let read = as_the_gateway_reads(
        "backend = \"relay\"\nworkers = 3\ncomplexity = 7\ndispatch = \"least-work\"",
    );
    assert_eq!(read.backend.kind, gateway::Backend::Relay);
    assert_eq!(read.backend.complexity.get(), 7);
    assert_eq!(read.pool.workers, 3);
    assert_eq!(read.pool.dispatch, gateway::Dispatch::LeastWork);
    // The two programs share no type: a policy that only one of them knows is found here.
    for dispatch in gateway::Dispatch::ALL {
        let read = as_the_gateway_reads(&format!("dispatch = \"{dispatch}\""));
        assert_eq!(read.pool.dispatch, dispatch);
    }
}

/// The settings of the autoscaler that the gateway reads when a scenario's `[gateway]` says
/// `table`.
fn autoscaler_as_the_gateway_reads(table: &str) -> AutoscaleSettings {
    #[derive(serde::Deserialize)]
    struct Config {
        autoscale: AutoscaleSettings,
    }
    let bench = Bench::new(&format!("{SHORT}\n[gateway]\n{table}\n"));
    let scenario = Scenario::load(&bench.path("test.toml"), &[]).unwrap();
    let config: Config = toml::from_str(&scenario.gateway.to_config()).unwrap();
    let Some(Workers::Scaled(scale)) = scenario.gateway.workers else {
        panic!("`{table}` makes no scaled pool");
    };
    let read = config.autoscale;
    read.check().unwrap();
    // What `din check` says is what the gateway does.
    assert_eq!((scale.min() as usize, scale.max() as usize), (read.min, read.max()), "{table}");
    read
}

#[test]
fn every_setting_of_the_autoscaler_is_one_that_the_gateway_reads() {
    let policies = ["production", "production-extreme", "queue-delay"];
    for (name, policy) in policies.iter().zip(&Policy::ALL[1..]) {
        let read = autoscaler_as_the_gateway_reads(&format!("autoscaler = \"{name}\""));
        assert_eq!(read, AutoscaleSettings { policy: *policy, ..AutoscaleSettings::default() });
        autoscaler_as_the_gateway_reads(&format!("autoscaler = \"{name}\"\nworkers.min = 7"));
    }
    let read = autoscaler_as_the_gateway_reads(
        "workers = { min = 1, max = 256 }\n[gateway.autoscaler]\ncheck = \"100ms\"\n\
         up_cooldown = \"1h\"\ndown_cooldown = \"0s\"\nwindow = \"100ms\"\n\
         hysteresis_percent = 100\nutilisation_percent = 10\nstanding_delay = \"10s\"\n\
         smoothing = \"100ms\"",
    );
    let ms = Duration::from_millis;
    assert_eq!(
        read,
        AutoscaleSettings {
            policy: Policy::QueueDelay,
            min: 1,
            max: Some(256),
            check: Some(ms(100)),
            up_cooldown: Some(Duration::from_hours(1)),
            down_cooldown: Some(Duration::ZERO),
            window: ms(100),
            hysteresis_percent: 100,
            utilisation_percent: 10,
            standing_delay: Duration::from_secs(10),
            smoothing: ms(100),
        }
    );
}
