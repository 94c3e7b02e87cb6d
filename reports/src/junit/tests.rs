use super::*;
use crate::terminal::tests::{run, threshold};
use measure::record::{FailureRecord, Verdict};
use measure::validity::{Reason, Validity};
use proptest::prelude::*;
use serde_json::json;
use uppsala::xsd::XsdValidator;

const DIRECTORY: &str = "target/runs/20261122-173000-first-call";

fn rendered(run: &RunRecord) -> String {
    document(run, Path::new(DIRECTORY))
}

/// What the schema has against a document.
fn complaints(document: &str) -> Vec<String> {
    let schema = uppsala::parse(include_str!("../../tests/schemas/junit.xsd")).unwrap();
    let validator = XsdValidator::from_schema(&schema).unwrap();
    match uppsala::parse(document) {
        Ok(document) => validator.validate(&document).iter().map(ToString::to_string).collect(),
        Err(error) => vec![error.to_string()],
    }
}

fn reason(state: State, text: &str) -> Validity {
    let reason = Reason { rule: "rule".to_owned(), state, text: text.to_owned() };
    Validity { state, reasons: vec![reason] }
}

fn good() -> RunRecord {
    let mut run = run();
    run.started_at_unix_s = 1_795_368_600;
    run.scenario.overrides = vec!["gateway.backend=relay".to_owned()];
    run.host = [("hostname".to_owned(), json!("runner"))].into();
    run.versions = [("libopus", "libopus 1.5.2"), ("din-gateway", "0.1.0")]
        .map(|(of, version)| (of.to_owned(), version.to_owned()))
        .into();
    run
}

fn failed() -> RunRecord {
    let mut run = good();
    run.verdict = Verdict::Fail;
    run.exit_code = 1;
    run.validity = reason(State::Suspect, "the generator used 170 % of one core on average");
    run.thresholds[0] = ThresholdRecord {
        phase: Some("talk".to_owned()),
        ..threshold("response_latency.p99", "< 40ms", Some(52.0), false)
    };
    run.thresholds.push(threshold("hello_time.p99", "< 1s", None, false));
    run.thresholds.push(ThresholdRecord {
        warn: true,
        ..threshold("frames_reordered", "<= 10", Some(12.0), false)
    });
    run.failures = vec![FailureRecord {
        what: "hello was not answered within 10s".to_owned(),
        count: 3,
        first_device: 7,
        first_at_ms: 1234.5,
    }];
    run
}

fn invalid() -> RunRecord {
    let mut run = failed();
    run.exit_code = 3;
    run.validity = reason(State::Invalid, "send lag p99 4.2 ms > 3 ms");
    run
}

#[test]
fn a_good_a_failed_and_an_invalid_run() {
    for (name, run) in [("good", good()), ("failed", failed()), ("invalid", invalid())] {
        let document = rendered(&run);
        assert_eq!(complaints(&document), [""; 0], "{document}");
        insta::assert_snapshot!(name, document);
    }
}

#[test]
fn an_interrupted_run_is_an_error_whatever_its_limits() {
    let mut run = good();
    run.exit_code = 130;
    run.ended_early = Some("interrupted after 4.2 s".to_owned());
    let document = rendered(&run);
    assert_eq!(complaints(&document), [""; 0]);
    let error = r#"<error type="interrupted" message="interrupted after 4.2 s">"#;
    assert!(document.contains(error) && document.contains(r#"errors="1""#), "{document}");
    run.exit_code = 0;
    assert!(!rendered(&run).contains("<error"), "only the exit code says that it was interrupted");
}

#[test]
fn the_schema_refuses_what_is_no_junit_document() {
    let good = rendered(&good());
    assert_eq!(complaints(&good), [""; 0]);
    for (what, seen, instead) in [
        ("unknown element", "<properties>", "<settings/><properties>"),
        ("unknown attribute", "<testcase ", r#"<testcase limit="40" "#),
        ("time that is no number", r#"time="13.000""#, r#"time="13 s""#),
        ("missing host", r#" hostname="runner""#, ""),
        ("time with a zone", "17:30:00\"", "17:30:00Z\""),
        ("not well-formed", "</testsuites>", ""),
        ("case without a name", r#"name="validity" "#, ""),
    ] {
        let bad = good.replacen(seen, instead, 1);
        assert_ne!(bad, good, "{what}: `{seen}` is in the document");
        assert_ne!(complaints(&bad), [""; 0], "{what}");
    }
}

/// What is left of a text that XML 1.0 carries.
fn carried(text: &str) -> String {
    text.chars().map(|c| if is_char(c) { c } else { char::REPLACEMENT_CHARACTER }).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_comes_back_as_far_as_xml_can_carry_it(said in "(?s).{0,40}") {
        let document = format!("<a b=\"{}\">{}</a>", attribute(&said), text(&said));
        let read = uppsala::parse(&document).unwrap();
        let root = read.document_element().unwrap();
        let carried = carried(&said);
        prop_assert_eq!(read.get_attribute(root, "b"), Some(carried.as_str()));
        prop_assert_eq!(read.text_content_deep(root), carried);
    }

    #[test]
    fn whatever_the_names_the_document_is_valid(said in r"(?s)[^\s\pC].{0,20}") {
        let mut run = invalid();
        run.scenario.name.clone_from(&said);
        run.thresholds[0].metric.clone_from(&said);
        run.thresholds[1].phase = Some(said.clone());
        run.validity.reasons[0].text.clone_from(&said);
        run.failures[0].what = said;
        prop_assert_eq!(complaints(&rendered(&run)), [""; 0]);
    }
}

#[test]
fn characters_that_xml_cannot_hold_are_replaced_and_the_rest_kept() {
    assert_eq!(text("a\0\u{1b}[1m\u{FFFE}]]>&"), "a\u{FFFD}\u{FFFD}[1m\u{FFFD}]]&gt;&amp;");
    assert_eq!(attribute("a\r\n\t\"b\""), "a&#13;&#10;&#9;&quot;b&quot;");
    assert_eq!(text("häh\n\t🎤"), "häh\n\t🎤");
}
