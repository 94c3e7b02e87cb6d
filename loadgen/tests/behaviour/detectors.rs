//! Each fault is found by the metric made for it, and by that one; without faults none finds
//! anything. What is run and expected stands in `docs/detectors.md`.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::common::{Bench, count, end};
use crate::hand_made::{gateway, grant_on, is_hello, media_gateway, opened, run_against, sealed};
use protocol::packet::DOWNLINK_FLAG;
use serde_json::Value;

const PAGE: &str = include_str!("../../../docs/detectors.md");
const SOUNDNESS: &str = include_str!("../../../scenarios/soundness.toml");

/// Runs at the same time: they mostly wait.
const AT_ONCE: usize = 4;

/// Four devices speak for three seconds: enough for two seconds of speech to be recognised.
const TALK: &str = r#"title = "Talk"
seed = 5
[[phase]]
name = "talk"
devices = 4
hold = "3s"
"#;

/// Four voices of our sixteen, as without optimisation it takes seconds to know them all.
fn talk() -> String {
    let voice =
        |name| concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/audio/").to_owned() + name;
    let voices = ["01-claire", "06-ray", "09-edith", "12-ken"].map(|name| voice(name) + ".opus");
    format!("{TALK}[devices]\naudio = {voices:?}\n")
}

/// A row of the table of faults.
struct Fault {
    name: String,
    setting: String,
    backend: String,
    /// The metric made for it, and the limit that it is beyond.
    found_by: (String, String),
    always: Vec<String>,
    perhaps: Vec<String>,
    said: String,
}

/// The rows of the page's table that has this heading, by cells.
fn table(heading: &str) -> Vec<Vec<String>> {
    let section = PAGE.split(&format!("\n## {heading}\n")).nth(1).expect("the page has it");
    let section = section.split("\n## ").next().expect("it has a text");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let cell = |cell: &str| cell.trim().to_owned();
    rows.map(|row| row.trim_matches('|').split('|').map(cell).collect()).collect()
}

/// Whatever stands between backquotes.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn detectors() -> Vec<String> {
    table("Detectors").iter().flat_map(|row| quoted(&row[0])).collect()
}

fn faults() -> Vec<Fault> {
    let fault = |row: Vec<String>| {
        let [name, setting, backend, found_by, always, perhaps, said] = &row[..] else {
            panic!("seven cells in {row:?}");
        };
        let only = |cell: &str| quoted(cell).remove(0);
        let found_by = only(found_by);
        let (metric, limit) = found_by.split_once(' ').expect("a metric and a limit");
        Fault {
            name: only(name),
            setting: only(setting),
            backend: only(backend),
            found_by: (metric.to_owned(), limit.to_owned()),
            always: quoted(always),
            perhaps: quoted(perhaps),
            said: said.clone(),
        }
    };
    table("Faults").into_iter().map(fault).collect()
}

/// The record of a run with these lines under `[gateway]` and these limits.
fn record(gateway: &str, limits: &[(String, String)]) -> Value {
    let limits: Vec<_> =
        limits.iter().map(|(metric, limit)| format!("\"{metric}\" = \"{limit}\"")).collect();
    let limits = limits.join("\n");
    let bench = Bench::new(&format!("{}[gateway]\n{gateway}\n[thresholds]\n{limits}\n", talk()));
    let ended = end(bench.din_run());
    assert!(ended.code.is_some(), "{}{}", ended.stdout, ended.stderr);
    assert!(bench.path("run/run.json").exists(), "{gateway}: {}", ended.stderr);
    bench.record()
}

/// What a detector found; a metric that a run does not have is a mistake of this test.
fn found(record: &Value, detector: &str) -> bool {
    let metric = &record["metrics"][detector];
    assert!(metric.is_object(), "{detector} is in {}", record["metrics"]);
    let number = metric["value"].as_f64().or_else(|| metric["pooled"].as_f64());
    number.is_some_and(|number| number > 0.0)
}

/// Whether a limit of the scenario held, and whether there was anything to judge.
fn held(record: &Value, metric: &str) -> (bool, bool) {
    let thresholds = record["thresholds"].as_array().unwrap();
    let own = |one: &&Value| one["metric"] == metric && one["implied"] == false;
    let threshold = thresholds.iter().find(own).expect("the scenario has it");
    (threshold["ok"].as_bool().unwrap(), !threshold["observed"].is_null())
}

/// What is wrong with what was found of this fault.
fn mistakes(fault: &Fault, detectors: &[String]) -> Vec<String> {
    let Fault { name, setting, backend, found_by, .. } = fault;
    let settings = format!("backend = \"{backend}\"\nfaults.{name} = {setting}");
    let record = record(&settings, std::slice::from_ref(found_by));
    let mut wrong = Vec::new();
    let (metric, limit) = found_by;
    if !held(&record, metric).0 {
        wrong.push(format!("not found by {metric} {limit}: {}", record["metrics"][metric]));
    }
    for detector in detectors.iter().filter(|detector| *detector != metric) {
        let seen = found(&record, detector);
        let expected = match () {
            () if fault.always.contains(detector) => true,
            () if fault.perhaps.contains(detector) => continue,
            () => false,
        };
        if seen != expected {
            let metric = &record["metrics"][detector];
            wrong.push(format!("{detector}, expected {expected}: {metric}"));
        }
    }
    let failures = record["failures"].to_string();
    if !failures.contains(&fault.said) {
        wrong.push(format!("`{}` is not said in {failures}", fault.said));
    }
    wrong.into_iter().map(|wrong| format!("{name} = {setting}, {backend}: {wrong}")).collect()
}

/// What is wrong with what was found without faults.
fn mistakes_without_faults(backend: &str, faults: &[Fault], detectors: &[String]) -> Vec<String> {
    let mut limits: Vec<_> = faults.iter().map(|fault| fault.found_by.clone()).collect();
    limits.sort();
    limits.dedup();
    let record = record(&format!("backend = \"{backend}\""), &limits);
    let mut wrong = Vec::new();
    for (metric, limit) in &limits {
        // A limit without samples would prove nothing.
        if held(&record, metric) != (false, true) {
            wrong.push(format!("{metric} {limit}: {}", record["metrics"][metric]));
        }
    }
    for detector in detectors.iter().filter(|detector| found(&record, detector)) {
        wrong.push(format!("{detector}: {}", record["metrics"][detector]));
    }
    if count(&record, "integrity.recognised") == 0 {
        wrong.push("no voice was recognised".to_owned());
    }
    let compared = count(&record, "integrity.golden_compared");
    if compared != count(&record, "frames_received") {
        wrong.push(format!("{compared} were compared of {}", record["metrics"]["frames_received"]));
    }
    wrong.into_iter().map(|wrong| format!("no fault, {backend}: {wrong}")).collect()
}

#[test]
fn each_fault_is_found_by_its_own_metric_and_without_faults_nothing_is_found() {
    let (faults, detectors) = (faults(), detectors());
    let sound = ["relay", "echo"];
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let found = match (sound.get(index), faults.get(index.wrapping_sub(sound.len()))) {
                (Some(backend), _) => mistakes_without_faults(backend, &faults, &detectors),
                (None, Some(fault)) => mistakes(fault, &detectors),
                (None, None) => return,
            };
            wrong.lock().unwrap().extend(found);
        }
    };
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(work);
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_fault_has_a_row_and_every_name_in_the_tables_is_a_metric() {
    let counters = serde_json::to_value(gateway::CountersSnapshot::default()).unwrap();
    let (faults, detectors) = (faults(), detectors());
    for fault in counters["faults"].as_object().unwrap().keys() {
        assert!(faults.iter().any(|row| row.name == *fault), "{fault} has no row");
    }
    for detector in &detectors {
        assert!(measure::Metric::by_name(detector).is_some(), "{detector}");
    }
    for Fault { found_by: (metric, limit), always, perhaps, .. } in &faults {
        let counts = limit == "> 0";
        assert_eq!(detectors.contains(metric), counts, "{metric} {limit}");
        for one in always.iter().chain(perhaps) {
            assert!(detectors.contains(one), "{one}");
        }
    }
}

#[test]
fn the_soundness_scenario_asks_for_every_detector() {
    let scenario: toml::Table = toml::from_str(SOUNDNESS).unwrap();
    for detector in detectors() {
        let limit = scenario["thresholds"].get(&detector).and_then(toml::Value::as_str);
        let none = if detector == "effective_loss" { "= 0%" } else { "= 0" };
        assert_eq!(limit, Some(none), "{detector}");
    }
}

/// What is found of a gateway made by hand: it has no pool, no coders that are known, no counters.
fn found_against(bench: &Bench, target: std::net::SocketAddr) -> (Vec<String>, Value) {
    let (code, text) = run_against(bench, target, &[]);
    assert!(code.is_some(), "{text}");
    let record = bench.record();
    let known = |detector: &String| record["metrics"][detector].is_object();
    let found = detectors().into_iter().filter(known).filter(|one| found(&record, one)).collect();
    (found, record)
}

/// A table of contents alone: 60 ms of SILK in which nothing is said, as at the end of speech.
const NOTHING_SAID: [u8; 1] = [11 << 3];
/// A packet of 20 ms.
const SHORT_PACKET: [u8; 20] = [9 << 3; 20];

/// Bytes that another key would leave.
fn random_bytes(number: u64, length: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        // Marsaglia's xorshift.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(&mut next).take(length + 64).skip(64).collect()
}

#[test]
fn what_a_foreign_gateway_does_wrong_is_found_too() {
    type Answer = fn(u64, &[u8]) -> Option<Vec<u8>>;
    let cases: [(&str, Answer, &[&str]); 7] = [
        ("sound", |_, datagram| Some(sealed(datagram, DOWNLINK_FLAG, &opened(datagram))), &[]),
        (
            "another key",
            |number, datagram| {
                let garbled = random_bytes(number, datagram.len() - 16);
                Some(sealed(datagram, DOWNLINK_FLAG, &garbled))
            },
            &["integrity.undecipherable", "integrity.wrong_duration"],
        ),
        (
            "the keystream of the uplink",
            |_, datagram| Some(sealed(datagram, 0, &opened(datagram))),
            &["integrity.keystream_reuse"],
        ),
        (
            "silence",
            |_, datagram| Some(sealed(datagram, DOWNLINK_FLAG, &NOTHING_SAID)),
            &["integrity.silent"],
        ),
        (
            "a third of the audio",
            |_, datagram| Some(sealed(datagram, DOWNLINK_FLAG, &SHORT_PACKET)),
            &["integrity.wrong_duration"],
        ),
        (
            "another session",
            |_, datagram| {
                let mut answer = sealed(datagram, DOWNLINK_FLAG, &opened(datagram));
                answer[4] ^= 1;
                Some(answer)
            },
            &["frames_lost", "frames_unmatched", "effective_loss", "integrity.wrong_session"],
        ),
        ("nothing", |_, _| None, &["frames_lost", "effective_loss"]),
    ];
    // What a packet of a wrong key sounds like, where one decodes, is chance.
    let chance = ["integrity.decode_failed", "integrity.unrecognised", "integrity.foreign_audio"];
    thread::scope(|scope| {
        for (name, answer, expected) in cases {
            scope.spawn(move || {
                let bench = Bench::new(&talk());
                let (found, record) = found_against(&bench, media_gateway(answer));
                let certain: Vec<_> =
                    found.iter().filter(|one| !chance.contains(&one.as_str())).collect();
                let mut expected = expected.to_vec();
                expected.sort_unstable();
                let mut certain: Vec<_> = certain.into_iter().map(String::as_str).collect();
                certain.sort_unstable();
                assert_eq!(certain, expected, "{name}: {}", record["metrics"]);
                let failures = record["failures"].to_string();
                let named = failures.contains("sealed with another key than the granted one");
                assert_eq!(named, name == "another key", "{name}: {failures}");
            });
        }
    });
}

#[test]
fn a_key_that_is_granted_twice_is_found() {
    let grants = |same: bool| {
        let target = gateway(move |number, message| {
            let number = if same { 7 } else { number };
            if is_hello(message) { vec![grant_on(9, number)] } else { vec![] }
        });
        let bench = Bench::new(&TALK.replace("3s", "1s"));
        found_against(&bench, target).1
    };
    assert_eq!(count(&grants(true), "integrity.replayed_nonce"), 3, "of four");
    assert_eq!(count(&grants(false), "integrity.replayed_nonce"), 0);
}
