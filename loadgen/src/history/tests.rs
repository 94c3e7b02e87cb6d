use measure::Metric;
use measure::record::Measurements;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::*;

/// The record of run `number`, whose answers took so many µs.
fn record(number: u64, micros: u64) -> RunRecord {
    let mut measured = Measurements::new();
    measured.sample(Metric::ResponseLatency, 1000 * micros);
    let record = json!({
        "format": 1, "din_version": "0.1.0", "started_at_unix_s": 1_790_000_000 + number * 3600,
        "duration_ms": 12_000.0, "commit": format!("{number:040x}"),
        "scenario": {"name": "steady", "file": null, "title": "Steady", "question": "", "text": "", "overrides": []},
        "seed": 1, "target": {"kind": "reference", "mqtt": "", "announced": null, "counters": null},
        "host": {"cores": 2}, "versions": {}, "validity": {"state": "VALID", "reasons": []},
        "verdict": "pass", "exit_code": 0, "ended_early": null, "thresholds": [], "phases": [],
        "metrics": measured.to_map(), "gateway": null, "failures": [], "method": {},
    });
    serde_json::from_value(record).unwrap()
}

/// Forty runs; from the 25th on they take a fifth longer.
fn forty() -> Vec<(PathBuf, RunRecord)> {
    let mut rng = StdRng::seed_from_u64(4);
    let mut micros = |number: u64| {
        let mean = if number < 24 { 20_000 } else { 24_000 };
        mean + rng.random_range(0..400)
    };
    (0..40)
        .map(|number| (PathBuf::from(format!("{number}.json")), record(number, micros(number))))
        .collect()
}

#[test]
fn a_change_for_the_worse_is_found_at_its_commit() {
    let mut records = forty();
    records.reverse();
    let history = History::of("steady".to_owned(), records);
    let changes = history.changes();
    // p50 and p99 of one sample are the same.
    assert_eq!(
        changes.iter().map(|(index, _)| *index).collect::<Vec<_>>(),
        [24, 24],
        "{changes:?}"
    );
    assert!(
        changes[0].1.contains("ms (+20 %, p") && changes[0].1.ends_with("worse"),
        "{changes:?}"
    );
    assert_eq!(history.cautions, [""; 0]);
    let text = history.text();
    assert!(text.contains("run 25   2026-09-22 14:13:20  0000000000"), "{text}");
    let page = study(&history, "din history runs".to_owned()).page();
    for said in
        ["2 FOR THE WORSE", "<figure id=\"course-0\"", "mean between changes", "din history runs"]
    {
        assert!(page.contains(said), "{said}");
    }
}

#[test]
fn runs_that_say_nothing_and_changes_of_the_host_are_told() {
    let mut records: Vec<(PathBuf, RunRecord)> = forty().into_iter().take(20).collect();
    records[3].1.validity.state = State::Invalid;
    records[4].1.exit_code = 130;
    for (_, record) in &mut records[10..] {
        record.host.insert("cores".to_owned(), json!(8));
        record.scenario.overrides = vec!["seed=2".to_owned()];
    }
    let history = History::of("steady".to_owned(), records);
    assert_eq!(history.entries.len(), 18);
    for (caution, said) in history.cautions.iter().zip([
        "2 runs were INVALID or interrupted",
        "18 runs: with fewer than some 30",
        "the host changed once, first at run 9 (cores 8, not 2)",
        "the scenario or its changes became others once, first at run 9",
    ]) {
        assert!(caution.contains(said), "{caution}");
    }
    assert_eq!(history.cautions.len(), 4);
    assert!(history.text().contains("no change of 5 % or more"), "{}", history.text());
}

#[test]
fn a_directory_is_read_with_what_else_lies_there() {
    let directory = tempfile::tempdir().unwrap();
    let read = |scenario| read(directory.path(), scenario);
    let error = format!("{:#}", read(None).unwrap_err());
    assert!(error.contains("there is no record of a run"), "{error}");
    let write = |path: &str, text: &str| {
        let path = directory.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let json = |record: &RunRecord| serde_json::to_string(record).unwrap();
    write("run-1/run.json", &json(&record(1, 20_000)));
    write("kept.json", &json(&record(0, 21_000)));
    write("notes.txt", "nothing");
    write("broken.json", "{");
    let history = read(None).unwrap();
    assert_eq!(history.entries.len(), 2);
    assert!(history.entries[0].path.ends_with("kept.json"), "the older first");
    assert!(history.cautions.iter().any(|caution| caution.contains("1 files are no records")));
    let mut other = record(2, 20_000);
    other.scenario.name = "storm".to_owned();
    write("run-2/run.json", &json(&other));
    let error = format!("{:#}", read(None).unwrap_err());
    assert!(error.contains("has runs of steady, storm: name one with --scenario"), "{error}");
    assert_eq!(read(Some("storm")).unwrap().entries.len(), 1);
    let error = format!("{:#}", read(Some("strom")).unwrap_err());
    assert!(error.contains("name one with --scenario"), "{error}");
}
