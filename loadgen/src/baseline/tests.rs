use measure::Metric;
use measure::record::Measurements;
use serde_json::json;

use super::*;

/// A run directory with this record, as `din run` leaves it.
fn run_directory(directory: &Path, change: &[(&str, serde_json::Value)]) -> PathBuf {
    let mut measured = Measurements::new();
    measured.sample(Metric::ResponseLatency, 20_000_000);
    let mut record = json!({
        "format": 1, "din_version": "0.1.0", "started_at_unix_s": 1_790_000_000, "duration_ms": 12_000.0,
        "scenario": {"name": "steady", "file": null, "title": "Steady", "question": "", "text": "", "overrides": []},
        "seed": 1, "target": {"kind": "reference", "mqtt": "", "announced": null, "counters": null},
        "host": {"cores": 2, "cpu_model": "Model", "memory_mib": 8000, "kernel": "6.1"},
        "versions": {}, "validity": {"state": "VALID", "reasons": []}, "verdict": "pass", "exit_code": 0,
        "ended_early": null, "thresholds": [], "phases": [], "metrics": measured.to_map(),
        "gateway": null, "failures": [], "method": {},
    });
    for (pointer, value) in change {
        *record.pointer_mut(pointer).unwrap() = value.clone();
    }
    let run = directory.join("run");
    std::fs::create_dir_all(&run).unwrap();
    std::fs::write(run.join("run.json"), record.to_string()).unwrap();
    run
}

#[test]
fn what_is_saved_is_listed_shown_and_compared_with() {
    let directory = tempfile::tempdir().unwrap();
    let run = run_directory(directory.path(), &[]);
    let kept = directory.path().join("kept");
    let path = save(&run, None, Some("0123456789abcdef".to_owned()), &kept, false).unwrap();
    assert_eq!(path, kept.join("steady.json"));
    assert_eq!(list(&kept).unwrap(), "steady  2026-09-21 14:13:20  VALID    0123456789  Steady\n");
    let shown = show("steady", &kept).unwrap();
    for said in
        ["commit       0123456789abcdef", "2 cores of Model", "response_latency.p99", "20.0"]
    {
        assert!(shown.contains(said), "{said} is missing in\n{shown}");
    }
    let baseline = Baseline::load(&path).unwrap();
    assert_eq!(baseline.record.commit.as_deref(), Some("0123456789abcdef"));
    let same = baseline.record.host.clone();
    assert_eq!(baseline.is_of_another_host(&same), None);
    let mut other = same;
    other.insert("cores".to_owned(), json!(64));
    let warning = baseline.is_of_another_host(&other).unwrap();
    assert!(warning.text.contains("another host (cores 64, not 2)"), "{}", warning.text);
}

#[test]
fn what_is_no_baseline_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let kept = directory.path().join("kept");
    let refused = |run: &Path, name: Option<&str>| {
        format!("{:#}", save(run, name, None, &kept, false).unwrap_err())
    };
    let invalid = json!({"state": "INVALID", "reasons": []});
    for (change, said) in [
        (("/validity", invalid), "is INVALID and says nothing"),
        (("/exit_code", json!(130)), "was interrupted"),
    ] {
        let run = run_directory(directory.path(), &[change]);
        let error = refused(&run, None);
        assert!(error.contains(said), "{error}");
    }
    let run = run_directory(directory.path(), &[]);
    for name in ["", "../up", ".hidden", "a b"] {
        let error = refused(&run, Some(name));
        assert!(error.contains("cannot be the name"), "{name}: {error}");
    }
    save(&run, Some("main"), None, &kept, false).unwrap();
    let error = refused(&run, Some("main"));
    assert!(error.contains("is there already"), "{error}");
    save(&run, Some("main"), None, &kept, true).unwrap();
    let error = format!("{:#}", show("mian", &kept).unwrap_err());
    assert!(error.contains("did you mean `main`?"), "{error}");
    let error = format!("{:#}", list(&directory.path().join("none")).unwrap_err());
    assert!(error.contains("`din baseline save RUN` makes it"), "{error}");
}

#[test]
fn the_commit_is_what_the_first_environment_says() {
    let environment = |name: &str| match name {
        "GITHUB_SHA" => Some("abc".to_owned()),
        "DIN_COMMIT" => Some(String::new()),
        "GIT_COMMIT" => Some("def".to_owned()),
        _ => None,
    };
    assert_eq!(commit(environment).as_deref(), Some("abc"));
    assert_eq!(commit(|_| None), None);
}
