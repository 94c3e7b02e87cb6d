//! Devices that take turns with the assistant, devices that hold their tongue, and groups that are
//! not alike; each way in which a turn goes wrong is found.

use crate::common::{Bench, count, end};
use serde_json::Value;

/// Four talkers and a silent device, for four seconds.
const TALK: &str = r#"title = "Talk"
question = "Who answers whom?"
seed = 5
drain = "2s"
[gateway]
backend = "assistant"
assistant = { think = "50ms", speak = "300ms..600ms" }
[devices]
talk = { listen = "200ms..400ms", pause = "100ms" }
[[group]]
name = "quiet"
share = "20%"
talk = "silent"
[[phase]]
name = "talk"
devices = 5
hold = "4s"
"#;

fn run(scenario: &str) -> (Value, Bench) {
    let bench = Bench::new(scenario);
    let ended = end(bench.din_run());
    assert!(bench.path("run/run.json").exists(), "{}", ended.stderr);
    (bench.record(), bench)
}

/// The verdict's failed limits.
fn failed(record: &Value) -> Vec<&str> {
    let thresholds = record["thresholds"].as_array().unwrap().iter();
    thresholds.filter(|one| one["ok"] == false).map(|one| one["metric"].as_str().unwrap()).collect()
}

fn samples(record: &Value, metric: &str) -> u64 {
    record["metrics"][metric]["count"].as_u64().unwrap_or(0)
}

#[test]
fn everybody_who_speaks_is_answered_and_who_is_silent_is_left_in_peace() {
    let (record, bench) = run(TALK);
    assert_eq!(failed(&record), [""; 0], "{:#}", record["thresholds"]);
    let turns = count(&record, "turns");
    assert!(turns >= 4, "{turns} turns");
    assert_eq!(count(&record, "turns_answered"), turns);
    assert_eq!(samples(&record, "turn_latency"), turns);
    let p50 = record["metrics"]["turn_latency"]["p50"].as_f64().unwrap();
    assert!(p50 >= 50.0, "what it thinks is part of it: {p50} ms");
    assert_eq!((count(&record, "frames_awaited"), count(&record, "frames_lost")), (0, 0));
    let (sent, counters) = (count(&record, "frames_sent"), &record["target"]["counters"]);
    assert_eq!(counters["frames_heard"].as_u64(), Some(sent), "{counters}");
    assert_eq!(count(&record, "speech_lost"), 0);
    assert_eq!(counters["speech_frames"].as_u64(), Some(count(&record, "speech_received")));
    assert_eq!(count(&record, "integrity.decode_failed"), 0);
    assert_eq!(count(&record, "integrity.keystream_reuse"), 0);
    assert_eq!(record["metrics"]["effective_loss"]["devices"], 4);
    let rows = std::fs::read_to_string(bench.path("run/devices.csv")).unwrap();
    let quiet: Vec<_> = rows.lines().filter(|row| row.contains(",quiet,")).collect();
    assert_eq!(quiet.len(), 1);
    assert!(quiet[0].ends_with(",quiet,0,0,0,,,,,"), "{quiet:?}");
}

/// Forty devices hang up in the middle of a sentence: what the gateway says until it has read the
/// goodbye is heard.
#[test]
fn who_is_spoken_to_listens_until_the_gateway_has_read_the_goodbye() {
    let talk = TALK.replace("speak = \"300ms..600ms\"", "speak = \"30s\"");
    let (record, _) = run(&talk.replace("devices = 5", "devices = 50"));
    assert_eq!(count(&record, "speech_lost"), 0);
    let said = record["target"]["counters"]["speech_frames"].as_u64().unwrap();
    assert!(said > 0);
    assert_eq!(count(&record, "speech_received"), said);
}

#[test]
fn the_same_seed_says_the_same() {
    let said = |seed: u64| {
        let (record, bench) = run(&TALK.replace("seed = 5", &format!("seed = {seed}")));
        assert_eq!(failed(&record), [""; 0]);
        let rows = std::fs::read_to_string(bench.path("run/devices.csv")).unwrap();
        rows.lines()
            .skip(1)
            .map(|row| row.split(',').nth(1).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(said(5), said(5));
}

#[test]
fn who_interrupts_is_given_silence() {
    let (record, _) = run(&TALK.replace("speak = \"300ms..600ms\"", "speak = \"30s\"").replace(
        "pause = \"100ms\"",
        "pause = \"100ms\", barge_in = \"100%\", barge_in_after = \"200ms\"",
    ));
    assert_eq!(failed(&record), [""; 0], "{:#}", record["thresholds"]);
    assert!(samples(&record, "barge_in") >= 4);
    let most = record["metrics"]["barge_in"]["max"].as_f64().unwrap();
    assert!(most < 5_000.0, "half a minute was meant, {most} ms went on");
    assert!(record["target"]["counters"]["turns_interrupted"].as_u64().unwrap() >= 4);
}

#[test]
fn speech_that_is_damaged_is_found_in_what_the_device_plays() {
    let (record, _) = run(&format!(
        "{TALK}[gateway.faults]\ndropped_replies = \"20%\"\n[thresholds]\n\
         \"speech_lost\" = \"= 0\"\n\"effective_loss.worst\" = \"< 1%\"\n\
         \"stutter_per_minute.worst\" = \"< 3\"\n"
    ));
    assert_eq!(
        failed(&record),
        ["speech_lost", "effective_loss.worst", "stutter_per_minute.worst"]
    );
}

#[test]
fn an_assistant_that_never_speaks_fails_whatever_the_scenario_says() {
    let (record, _) = run(&format!(
        "{}[gateway.faults]\ndropped_replies = \"100%\"\n",
        TALK.replace("pause = \"100ms\"", "pause = \"100ms\", answer_timeout = \"500ms\"")
    ));
    assert_eq!(failed(&record), ["turns_unanswered"]);
    assert!(count(&record, "turns_unanswered") >= 4);
    // One that takes longer than the call lasts leaves no turn to judge.
    let (record, _) = run(&TALK.replace("think = \"50ms\"", "think = \"30s\""));
    assert_eq!(failed(&record), ["turns_unanswered"], "no samples");
    assert_eq!(count(&record, "turns"), 0);
}

#[test]
fn groups_have_frames_of_their_own_and_every_frame_is_answered() {
    let (record, bench) = run("[gateway]\nbackend = \"echo\"\ncomplexity = 0\n\
         [[group]]\nname = \"fast\"\nshare = \"50%\"\nframe = \"20ms\"\n\
         [[group]]\nname = \"wide\"\nshare = \"25%\"\nsample_rate = 48000\n\
         [[phase]]\ndevices = 4\nhold = \"2s\"\n\
         [thresholds]\n\"frames_lost\" = \"= 0\"\n\"integrity.golden_mismatch\" = \"= 0\"\n");
    assert_eq!(failed(&record), [""; 0], "{:#}", record["thresholds"]);
    let rows = std::fs::read_to_string(bench.path("run/devices.csv")).unwrap();
    for row in rows.lines().skip(1) {
        let cells: Vec<_> = row.split(',').collect();
        let (sent, group): (u64, _) = (cells[4].parse().unwrap(), cells[11]);
        // 2 s less the handshake, in frames of 20 or of 60 ms.
        let expected = if group == "fast" { 60..=100 } else { 20..=34 };
        assert!(expected.contains(&sent), "{row}");
    }
    assert_eq!(rows.matches(",fast,").count(), 2);
}
