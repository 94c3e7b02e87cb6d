//! What CI systems get of a run: JUnit, GitHub's summary and annotations, one line, exit codes of
//! the gate script.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use measure::record::RunRecord;

use crate::common::{Bench, Ended, SHORT, end, expected_code};

/// [`SHORT`] with a limit that no run holds, on line 12, and one that only warns.
fn failing() -> String {
    format!(
        "{SHORT}\"response_latency.p50\" = \"< 1us\"\n\
         \"send_lag.p50\" = {{ limit = \"< 1us\", warn = true }}\n"
    )
}

fn kept(bench: &Bench) -> RunRecord {
    serde_json::from_value(bench.record()).unwrap()
}

#[test]
fn junit_is_written_from_the_record_into_directories_that_come_about() {
    let bench = Bench::new(&failing());
    let mut command = bench.din_run();
    command.args(["--quiet", "--junit", "results/junit.xml"]);
    let ended = end(command);
    assert_eq!(ended.code, Some(expected_code(&bench.record())), "{}", ended.stderr);
    let written = fs::read_to_string(bench.path("results/junit.xml")).unwrap();
    let record = kept(&bench);
    assert_eq!(written, reports::junit::document(&record, Path::new("run")));
    let cases = written.matches("<testcase ").count();
    assert_eq!(
        cases,
        record.thresholds.len() + 1,
        "each limit, the implied ones too, and validity"
    );
    assert!(record.thresholds.iter().filter(|one| one.implied).count() >= 4);
    assert!(written.contains(r#"name="response_latency.p50""#), "{written}");
}

#[test]
fn github_gets_annotations_on_lines_and_a_summary_behind_those_of_other_steps() {
    let bench = Bench::new(&failing());
    fs::write(bench.path("summary.md"), "earlier step\n").unwrap();
    let mut command = bench.din_run();
    command.args(["--quiet", "--github"]).env("GITHUB_STEP_SUMMARY", bench.path("summary.md"));
    let ended = end(command);
    let record = kept(&bench);
    let line = reports::terminal::one_line(&record);
    let annotations = reports::github::annotations(&record);
    assert_eq!(ended.stdout, format!("{line}\n{annotations}"));
    let summary = fs::read_to_string(bench.path("summary.md")).unwrap();
    let markdown = reports::markdown::summary(&record);
    assert_eq!(summary, format!("earlier step\n{markdown}\n"));

    let missed: Vec<_> = record.thresholds.iter().filter(|one| !one.ok).collect();
    let places: Vec<_> =
        missed.iter().map(|one| (one.metric.as_str(), one.line, one.warn)).collect();
    assert_eq!(
        places,
        [("response_latency.p50", Some(12), false), ("send_lag.p50", Some(13), true)],
        "nothing else fails, and a warning fails nothing"
    );
    // Without a verdict no limit is judged.
    if ended.code == Some(1) {
        assert!(annotations.contains("::error file=test.toml,line=12,col=1,"), "{annotations}");
        assert!(annotations.contains("::warning file=test.toml,line=13,col=1,"), "{annotations}");
    } else {
        assert_eq!(ended.code, Some(3));
        assert!(annotations.contains("run is INVALID"), "{annotations}");
    }
}

#[test]
fn without_a_step_the_summary_is_printed_and_nothing_is_written() {
    let bench = Bench::new(SHORT);
    let mut command = bench.din_run();
    // Empty is as good as not set.
    command.arg("--github").env("GITHUB_STEP_SUMMARY", "");
    let ended = end(command);
    let record = kept(&bench);
    let (markdown, annotations) =
        (reports::markdown::summary(&record), reports::github::annotations(&record));
    assert_eq!(ended.stdout, format!("{markdown}\n{annotations}"));
    let mut files: Vec<_> =
        fs::read_dir(bench.path("")).unwrap().map(|file| file.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["run", "test.toml"]);
}

#[test]
fn places_that_cannot_be_written_are_refused_before_anything_runs() {
    for (arguments, summary, part) in [
        (&["--junit", "."][..], "s.md", "--junit: cannot write ."),
        (&["--github"], "no/such/place.md", "GITHUB_STEP_SUMMARY: cannot write no/such/place.md"),
        (&["--github", "--json"], "s.md", "cannot be used with"),
    ] {
        let bench = Bench::new(SHORT);
        let mut command = bench.din_run();
        command.args(arguments).env("GITHUB_STEP_SUMMARY", summary);
        let ended = end(command);
        assert_eq!(ended.code, Some(2), "{}", ended.stderr);
        assert!(ended.stderr.contains(part), "{}", ended.stderr);
        assert!(!bench.path("run").exists(), "nothing ran");
    }
}

#[test]
fn a_run_that_could_not_begin_leaves_no_earlier_result() {
    let bench = Bench::new(SHORT);
    fs::write(bench.path("junit.xml"), "<testsuites/>").unwrap();
    let mut command = bench.din_run();
    command.args(["--junit", "junit.xml", "--target", "mqtt://127.0.0.1:9"]);
    assert_eq!(end(command).code, Some(2));
    assert_eq!(fs::read_to_string(bench.path("junit.xml")).unwrap(), "");
}

/// The form that `docs/ci.md` promises.
fn assert_one_line(text: &str) {
    let line = text.strip_suffix('\n').unwrap();
    let rest = ["PASS ", "FAIL ", "NO VERDICT "].iter().find_map(|word| line.strip_prefix(word));
    let rest = rest.unwrap_or_else(|| panic!("no verdict in {line}"));
    let (validity, rest) = rest.split_once(' ').unwrap();
    assert!(["VALID", "SUSPECT", "INVALID"].contains(&validity), "{line}");
    let (scenario, rest) = rest.split_once(": ").unwrap();
    assert_eq!(scenario, "test", "{line}");
    let (detail, code) = rest.rsplit_once(" (exit ").unwrap();
    assert!(!detail.is_empty() && !line.contains(['\n', '\x1b']), "{line}");
    code.strip_suffix(')').unwrap().parse::<u8>().unwrap();
}

#[test]
fn quiet_is_one_line_of_the_promised_form() {
    for scenario in [SHORT.to_owned(), failing()] {
        let bench = Bench::new(&scenario);
        let mut command = bench.din_run();
        command.arg("--quiet");
        let ended = end(command);
        assert_one_line(&ended.stdout);
        assert_eq!(ended.stderr, "", "no progress");
    }
}

#[test]
fn colour_is_put_where_the_environment_wants_it() {
    // Neither stream is a terminal here.
    for (environment, coloured) in [
        (&[][..], false),
        (&[("CLICOLOR_FORCE", "1")][..], true),
        (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
    ] {
        let bench = Bench::new(&SHORT.replace("1s", "200ms"));
        let mut command = bench.din_run();
        command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").envs(environment.to_vec());
        let ended = end(command);
        assert_eq!(ended.stdout.contains('\x1b'), coloured, "{environment:?}: {}", ended.stdout);
        let mut broken = bench.din(&["run", "nowhere.toml"]);
        broken.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").envs(environment.to_vec());
        assert_eq!(end(broken).stderr.contains('\x1b'), coloured, "{environment:?}");
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// Runs the gate on `scenarios` with a `din` that ends as each scenario's name says: `fail-1`
/// with 1. Its run record says that the limits failed where the name begins with `fail`.
fn gate(bench: &Bench, scenarios: &[&str], environment: &[(&str, &str)]) -> Ended {
    let stub = "#!/bin/sh\n\
        name=$(basename \"$2\" .toml); out=$5; mkdir -p \"$out\"; echo \"$*\" >>calls\n\
        echo \"\" >\"$7\"\n\
        printf '{\\n  \"verdict\": \"%s\",\\n    \"verdict\": \"no\",\\n}\\n' \"${name%%-*}\" >\"$out/run.json\"\n\
        exit \"${name##*-}\"\n";
    let din = bench.path("din");
    fs::write(&din, stub).unwrap();
    fs::set_permissions(&din, fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = Command::new(repository().join("docs/ci/gate.sh"));
    command.args(scenarios).current_dir(bench.path("")).env("DIN", din);
    for unset in ["DIN_RESULTS", "DIN_TARGET", "DIN_ON_INVALID", "GITHUB_ACTIONS"] {
        command.env_remove(unset);
    }
    command.envs(environment.to_vec());
    end(command)
}

#[test]
fn the_gate_ends_with_the_worst_exit_code() {
    let by_limits = &[("DIN_ON_INVALID", "verdict")][..];
    for (scenarios, environment, code) in [
        (&["pass-0.toml"][..], &[][..], 0),
        (&["pass-0.toml", "fail-1.toml"], &[], 1),
        (&["pass-3.toml", "pass-0.toml"], &[], 3),
        (&["fail-1.toml", "pass-3.toml"], &[], 1),
        (&["pass-2.toml", "fail-1.toml"], &[], 2),
        (&["pass-130.toml", "fail-1.toml"], &[], 130),
        (&["pass-101.toml"], &[], 101),
        (&["pass-3.toml"], by_limits, 0),
        (&["fail-3.toml"], by_limits, 1),
        (&["odd-3.toml"], by_limits, 3),
        (&["fail-1.toml"], by_limits, 1),
        (&[], &[], 2),
        (&["pass-0.toml"], &[("DIN_ON_INVALID", "ignore")], 2),
    ] {
        let ended = gate(&Bench::new(SHORT), scenarios, environment);
        assert_eq!(ended.code, Some(code), "{scenarios:?} {environment:?}: {}", ended.stderr);
    }
}

#[test]
fn the_gate_runs_every_scenario_and_tells_din_where_it_is() {
    let bench = Bench::new(SHORT);
    gate(&bench, &["fail-1.toml", "deep/pass-0.toml"], &[]);
    assert_eq!(
        fs::read_to_string(bench.path("calls")).unwrap(),
        "run fail-1.toml --quiet --out din-results/fail-1 --junit din-results/junit-fail-1.xml\n\
         run deep/pass-0.toml --quiet --out din-results/pass-0 --junit din-results/junit-pass-0.xml\n"
    );
    let again = gate(&bench, &["pass-0.toml"], &[]);
    assert_eq!(again.code, Some(2), "results of an earlier gate are not mixed with new ones");
    assert!(again.stderr.contains("din-results is there already"), "{}", again.stderr);

    let bench = Bench::new(SHORT);
    let on_github =
        [("GITHUB_ACTIONS", "true"), ("DIN_TARGET", "mqtt://gw:1"), ("DIN_RESULTS", "r")];
    gate(&bench, &["pass-0.toml"], &on_github);
    assert_eq!(
        fs::read_to_string(bench.path("calls")).unwrap(),
        "run pass-0.toml --quiet --out r/pass-0 --junit r/junit-pass-0.xml --github --target mqtt://gw:1\n"
    );
}

/// The verdict that the gate reads from a real record is the record's.
#[test]
fn the_gate_finds_the_verdict_of_a_real_run() {
    let bench = Bench::new(&failing());
    let mut command = bench.din_run();
    command.arg("--quiet");
    end(command);
    let line = fs::read_to_string(bench.path("run/run.json")).unwrap();
    let found: Vec<&str> =
        line.lines().filter(|line| line.starts_with("  \"verdict\": ")).collect();
    assert_eq!(found, ["  \"verdict\": \"fail\","]);
}
