use super::*;
use crate::terminal::tests::{run, threshold};
use measure::validity::Validity;
use proptest::prelude::*;

fn failed() -> RunRecord {
    let mut run = run();
    run.scenario.text =
        "title = \"First call\"\n\n[thresholds]\n  \"talk.frames_lost\" = \"= 0\"\n".to_owned();
    run.thresholds = vec![
        ThresholdRecord {
            phase: Some("talk".to_owned()),
            line: Some(4),
            ..threshold("frames_lost", "= 0", Some(12.0), false)
        },
        ThresholdRecord {
            line: Some(3),
            ..threshold("response_latency.p99", "< 40ms", Some(52.0), false)
        },
        ThresholdRecord { implied: true, ..threshold("frames_received", "> 0", None, false) },
        ThresholdRecord { warn: true, ..threshold("frames_reordered", "= 0", Some(2.0), false) },
        threshold("hello_time.p99", "< 1s", Some(2.0), true),
    ];
    run.validity = validity(State::Suspect);
    run
}

fn validity(state: State) -> Validity {
    let text = "send lag p99 4.2 ms\n100 % of the allowed".to_owned();
    Validity { state, reasons: vec![Reason { rule: "send_lag".to_owned(), state, text }] }
}

#[test]
fn a_good_run_has_nothing_to_tell() {
    assert_eq!(annotations(&run()), "");
}

#[test]
fn failed_limits_are_errors_on_their_lines_and_doubts_are_warnings() {
    insta::assert_snapshot!(annotations(&failed()));
}

#[test]
fn an_invalid_run_tells_why_and_judges_no_limit() {
    let mut run = failed();
    run.validity = validity(State::Invalid);
    insta::assert_snapshot!(annotations(&run), @"::error file=scenarios/first-call.toml,title=first-call%3A run is INVALID::send lag p99 4.2 ms%0A100 %25 of the allowed");
}

#[test]
fn what_github_would_drop_is_counted() {
    let mut run = failed();
    run.thresholds = vec![run.thresholds[0].clone(); 14];
    let text = annotations(&run);
    let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("::error")).collect();
    assert_eq!(errors.len(), 10);
    assert!(errors[9].ends_with("%0A(and 4 more of this kind: see the summary)"), "{}", errors[9]);
    run.thresholds.truncate(10);
    assert!(!annotations(&run).contains("more of this kind"));
}

/// A line as the runner takes it apart: kind, properties, message.
fn read(line: &str) -> (String, Vec<(String, String)>, String) {
    let rest = line.strip_prefix("::").unwrap();
    let (command, message) = rest.split_once("::").unwrap();
    let (kind, properties) = command.split_once(' ').unwrap();
    let undo = |text: &str, of: &[(&str, &str)]| {
        of.iter().fold(text.to_owned(), |text, (from, to)| text.replace(from, to))
    };
    let breaks = [("%0D", "\r"), ("%0A", "\n")];
    let marks = [("%3A", ":"), ("%2C", ",")];
    let percent = [("%25", "%")];
    let properties = properties.split(',').map(|one| {
        let (name, value) = one.split_once('=').unwrap();
        let value = undo(value, &[&breaks[..], &marks, &percent].concat());
        (name.to_owned(), value)
    });
    let message = undo(message, &[&breaks[..], &percent].concat());
    (kind.to_owned(), properties.collect(), message)
}

proptest! {
    #[test]
    fn any_text_reaches_github_as_it_is(said in "(?s)([%:,=\r\n]|.){1,30}") {
        let mut run = failed();
        run.scenario.file = Some(said.clone());
        run.validity.reasons[0].text.clone_from(&said);
        let text = annotations(&run);
        let lines: Vec<&str> = text.split_terminator('\n').collect();
        prop_assert_eq!(lines.len(), 5, "{}", text);
        for line in &lines {
            let (_, properties, _) = read(line);
            prop_assert_eq!(&properties[0], &("file".to_owned(), said.clone()));
        }
        let (kind, _, message) = read(lines[3]);
        prop_assert_eq!((kind.as_str(), message), ("warning", said));
    }
}
