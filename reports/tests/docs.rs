//! `docs/ci.md` shows files that are run, and what a real run's record is rendered to. The record
//! is that of `din run scenarios/aliasing.toml --set gateway.dispatch=round-robin`.

use std::fs;
use std::path::{Path, PathBuf};

use measure::record::RunRecord;
use reports::{github, junit, markdown};

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn record() -> RunRecord {
    serde_json::from_str(include_str!("records/aliasing-round-robin.json")).unwrap()
}

/// Fails unless the page has `text` as a block of its own in `language`.
fn assert_shown(language: &str, text: &str) {
    let block = format!("\n```{language}\n{}\n```\n", text.trim_end());
    assert!(read("docs/ci.md").contains(&block), "docs/ci.md lacks this block:{block}");
}

#[test]
fn the_page_shows_the_files_that_are_run() {
    assert_shown("bash", &read("docs/ci/gate.sh"));
    assert_shown("yaml", &read("docs/ci/github-workflow.yml"));
    assert_shown("yaml", &read("docs/ci/gitlab-job.yml"));
}

#[test]
fn both_jobs_call_the_gate_with_scenarios_that_exist() {
    for job in ["docs/ci/github-workflow.yml", "docs/ci/gitlab-job.yml"] {
        let text = read(job);
        let call = text.lines().find_map(|line| line.split_once("docs/ci/gate.sh "));
        let (_, scenarios) = call.unwrap_or_else(|| panic!("{job} does not call the gate"));
        for scenario in scenarios.split_whitespace() {
            assert!(repository().join(scenario).is_file(), "{job}: {scenario}");
        }
    }
}

#[test]
fn the_page_shows_what_a_real_failing_run_is_rendered_to() {
    let run = record();
    assert_shown("markdown", &markdown::summary(&run));
    assert!(read("docs/ci.md").contains(&markdown::summary(&run)), "and as GitHub shows it");
    assert_shown("text", &github::annotations(&run));
    assert_shown("xml", &junit::document(&run, Path::new("din-results/aliasing")));
}

/// The limits of the record are on the lines of the scenario that it names.
#[test]
fn annotations_of_a_real_run_point_at_the_limits() {
    let run = record();
    let failed: Vec<_> = run.thresholds.iter().filter(|one| !one.ok).collect();
    assert_eq!(failed.len(), 3);
    for threshold in failed {
        let line = threshold.line.unwrap() as usize;
        let text = run.scenario.text.lines().nth(line - 1).unwrap();
        assert!(text.starts_with(&format!("\"{}\"", threshold.metric)), "line {line}: {text}");
    }
}
