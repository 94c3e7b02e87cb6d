//! Whole runs against the reference gateway: the work is done, and the record says so.

use crate::common::{Bench, SHORT, assert_gateway_gone, count, end, expected_code};
use loadgen::scenario::GatewaySettings;
use measure::record::RunRecord;

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
    assert!(planned >= 3 * 15, "a second of three devices, less the handshake: {planned}");
    for all in ["frames_sent", "frames_received", "integrity.decoded"] {
        assert_eq!(count(&record, all), planned, "{all}");
    }
    for none in [
        "frames_lost",
        "frames_duplicate",
        "frames_unmatched",
        "frames_unserved",
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
    for file in ["run.json", "timeline.csv", "devices.csv", "gateway.log", "gateway.toml"] {
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

#[test]
fn every_gateway_setting_of_a_scenario_is_one_that_the_gateway_reads() {
    let toml = "backend = \"relay\"\nworkers = 3\ncomplexity = 7\ndispatch = \"least-work\"";
    let settings: GatewaySettings = toml::from_str(toml).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.toml");
    std::fs::write(&path, settings.to_config()).unwrap();
    let read = gateway::Settings::load(&path).unwrap();
    assert_eq!(read.backend.kind, gateway::Backend::Relay);
    assert_eq!(read.backend.complexity.get(), 7);
    assert_eq!(read.pool.workers, 3);
    assert_eq!(read.pool.dispatch, gateway::Dispatch::LeastWork);
    // The two programs share no type: a policy that only one of them knows is found here.
    for dispatch in gateway::Dispatch::ALL {
        let toml = format!("dispatch = \"{dispatch}\"");
        let settings: GatewaySettings = toml::from_str(&toml).unwrap();
        std::fs::write(&path, settings.to_config()).unwrap();
        assert_eq!(gateway::Settings::load(&path).unwrap().pool.dispatch, dispatch);
    }
}
