use super::*;
use std::time::Duration;

const SCENARIO: &str = "title = \"Test\"\n[[phase]]\ndevices = 4\nhold = \"6s\"\n";

/// A host of two cores and little else.
fn host() -> Host {
    let micros = Duration::from_micros;
    Host {
        cores: 2,
        open_files: Some(1024),
        ports: Some(700),
        packet: Some((micros(15), micros(10))),
    }
}

/// A scenario of this text, and its plan on a small host where a frame is decoded in 50 µs and
/// encoded in 350 µs.
fn planned(text: &str, host: &Host) -> String {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.toml");
    std::fs::write(&path, text).unwrap();
    let scenario = Scenario::load(&path, &[]).unwrap();
    let micros = Duration::from_micros;
    let cost = FrameCost { decode: micros(50), encode: micros(350), bytes: 180.0 };
    let codec = vec![Some(cost); scenario.devices.groups.len()];
    describe(&scenario, &Voices::load(&scenario.devices.groups).unwrap(), host, &codec)
}

fn plan(rest: &str) -> String {
    planned(&format!("{SCENARIO}{rest}"), &host())
}

/// The warnings of a plan.
fn warnings(text: &str, host: &Host) -> Vec<String> {
    let plan = planned(text, host);
    let lines = plan.lines().filter_map(|line| line.strip_prefix("  warning     "));
    lines.map(str::to_owned).collect()
}

fn one_warning(text: &str) -> String {
    let warnings = warnings(text, &host());
    assert_eq!(warnings.len(), 1, "{warnings:#?}");
    warnings[0].clone()
}

fn crowd(devices: u32, hold: &str) -> String {
    format!("[[phase]]\nname = \"talk\"\ndevices = {devices}\nhold = \"{hold}\"\n")
}

#[test]
fn more_files_or_ports_than_there_are_are_warned_of() {
    let relay = "[gateway]\nbackend = \"relay\"\n";
    let fits = Host { open_files: Some(1024), ports: Some(480), ..host() };
    assert_eq!(warnings(&format!("{}{relay}", crowd(480, "10s")), &fits), [""; 0]);
    let over = format!("{}{relay}", crowd(481, "10s"));
    let seen = warnings(&over, &fits);
    assert_eq!(seen.len(), 2, "{seen:#?}");
    assert!(seen[0].starts_with(
        "481 devices need 1026 open files, and the hard limit here is 1024, enough for 480"
    ));
    assert!(seen[1].starts_with("481 devices need a port each, and this host gives away 480"));
    let unknown = Host { open_files: None, ports: None, ..host() };
    assert_eq!(warnings(&over, &unknown), [""; 0], "what is not known is not warned of");
}

/// 200 devices of 60 ms are 3,333 frames a second: 3,333 × (2 × 25 µs + 400 µs) are 1.5 cores,
/// and decoding the answers of some takes a little more.
#[test]
fn more_than_the_cores_can_do_is_warned_of() {
    let eight = "[gateway]\nworkers = 8\n";
    assert_eq!(warnings(&format!("{}{eight}", crowd(200, "10s")), &host()), [""; 0]);
    let seen = one_warning(&format!("{}{eight}", crowd(220, "10s")));
    assert!(seen.starts_with("generator and gateway need at least 1.7 cores"), "{seen}");
    assert!(seen.contains("80 % of the 2 here are 1.6"), "{seen}");
    let larger = Host { cores: 4, ..host() };
    assert_eq!(warnings(&format!("{}{eight}", crowd(220, "10s")), &larger), [""; 0]);
}

/// 8 devices of 60 ms are 133 frames a second: 15 ms of waiting for each keep 2 workers busy.
#[test]
fn more_than_the_workers_can_do_is_warned_of() {
    let burn = |millis: u32, every: u32| {
        format!(
            "{}[gateway]\nburn = {{ kind = \"wait\", time = \"{millis}ms\", every = {every} }}\n",
            crowd(8, "10s")
        )
    };
    assert_eq!(warnings(&burn(14, 1), &host()), [""; 0]);
    let seen = one_warning(&burn(15, 1));
    assert!(seen.starts_with("the gateway's frames need at least 2.1 workers"), "{seen}");
    assert!(seen.contains("it has 2 workers at most"), "{seen}");
    assert_eq!(warnings(&burn(28, 2), &host()), [""; 0], "every other device waits");
    assert_eq!(warnings(&burn(31, 2), &host()).len(), 1);
    let more = format!("{}workers = {{ min = 1, max = 3 }}\n", burn(15, 1));
    assert_eq!(warnings(&more, &host()), [""; 0]);
}

#[test]
fn silence_that_outlasts_the_session_is_warned_of() {
    let silent = "[devices]\ntalk = \"silent\"\n";
    assert_eq!(warnings(&format!("{}{silent}", crowd(3, "2m")), &host()), [""; 0]);
    let seen = one_warning(&format!("{}{silent}", crowd(3, "121s")));
    assert!(seen.starts_with("3 sessions of silent devices are longer than 120s"), "{seen}");
}

#[test]
fn quantiles_of_too_few_samples_are_warned_of() {
    let limit = |devices: u32, key: &str, limit: &str| {
        format!("{}[thresholds]\n\"{key}\" = {limit}\n", crowd(devices, "10s"))
    };
    // A device of 60 ms sends 166 frames in 10 s.
    for (devices, key, text, few) in [
        (2, "response_latency.p99", "\"< 40ms\"", false),
        (1, "response_latency.p99", "\"< 40ms\"", true),
        (1, "response_latency.p95", "\"< 40ms\"", false),
        (1, "response_latency.max", "\"< 40ms\"", false),
        (2, "talk.response_latency.p99", "\"< 40ms\"", false),
        (2, "within 5s of talk.response_latency.p99", "\"< 40ms\"", true),
        (2, "response_latency.p99", "{ limit = \"< 40ms\", over = \"5s\" }", true),
        (17, "response_latency.p999", "\"< 40ms\"", true),
        (19, "response_latency.p999", "\"< 40ms\"", false),
        (58, "connect_time.p95", "\"< 40ms\"", true),
        (59, "connect_time.p95", "\"< 40ms\"", false),
        (9, "gateway_cpu.p90", "\"< 40%\"", true),
    ] {
        let seen = warnings(&limit(devices, key, text), &host());
        assert_eq!(seen.len(), usize::from(few), "{devices} {key} {text}: {seen:#?}");
    }
    let seen = one_warning(&limit(1, "response_latency.p99", "\"< 40ms\""));
    assert!(
        seen.starts_with(
            "threshold response_latency.p99 < 40ms: about 167 samples are expected, and with \
             fewer than 299 a p99 is little more than their largest"
        ),
        "{seen}"
    );
}

#[test]
fn faults_of_audio_that_may_go_unseen_are_warned_of() {
    let look = |decode: u32, metric: &str| {
        format!(
            "{}[devices]\ndecode = {decode}\n[thresholds]\n\"integrity.{metric}\" = \"= 0\"\n",
            crowd(20, "20s")
        )
    };
    // 15 devices speak for 300 s, and get 5,000 frames back.
    assert_eq!(warnings(&look(15, "foreign_audio"), &host()), [""; 0]);
    let seen = one_warning(&look(14, "foreign_audio"));
    assert!(
        seen.starts_with("threshold integrity.foreign_audio = 0: at most 280 samples")
            && seen.ends_with("raise devices.decode, which is 14"),
        "{seen}"
    );
    assert_eq!(warnings(&look(1, "decode_failed"), &host()), [""; 0]);
}

/// Of 2 s of listening, 300 ms of thinking, 3 s of speech and 700 ms of pause, a third and a half
/// are sound: each device sends 16.7 × 1/3 frames a second and hears 16.7 × 1/2.
#[test]
fn devices_that_take_turns_send_while_they_listen() {
    let turns = "[devices]\ntalk = { pause = \"700ms\" }\n[gateway]\nbackend = \"assistant\"\n";
    let plan = planned(&format!("{}{turns}", crowd(6, "60s")), &host());
    assert!(plan.contains("about 2000 frames up and 3000 down"), "{plan}");
    assert!(plan.contains("busiest     33 frames/s"), "{plan}");
    assert!(plan.contains("50 frames/s, 90 kbit/s down"), "{plan}");
    let silent = planned(&format!("{}[devices]\ntalk = \"silent\"\n", crowd(6, "60s")), &host());
    assert!(silent.contains("about 0 frames up and 0 down"), "{silent}");
}

#[test]
fn a_cost_that_is_not_known_is_not_invented() {
    let plan = planned(&crowd(500, "10s"), &Host { packet: None, ..host() });
    assert!(plan.contains("needs       not known"), "{plan}");
}

#[test]
fn nothing_is_said_of_what_is_left_to_the_gateway() {
    insta::assert_snapshot!(plan(""));
}

#[test]
fn what_the_gateway_is_told_takes_a_line_a_subject() {
    let told = "[devices]\nphase = \"aligned\"\n[gateway]\nworkers = { max = 4 }\n\
         worker_timeout = \"150ms\"\n\
         burn = [{ kind = \"cpu\", time = \"8ms\", every = 4 }, { kind = \"wait\", time = \"1ms\" }]\n\
         [generator]\nspin = \"50us\"\n\
         [gateway.faults]\nshared_codec = true\nleak_per_frame = \"4KiB\"\n";
    insta::assert_snapshot!(plan(told));
}
