//! JUnit XML, which every CI system reads: a run is a test suite, a limit is a test case.
//!
//! Jenkins, GitLab and the many readers for GitHub agree on no standard, so the document keeps to
//! what both the schema of Jenkins' xUnit plugin and that of Ant's task allow
//! (`tests/schemas/junit.xsd`). The case `validity` comes first and carries the run's time; limits
//! are judged afterwards and take none, so that the times of the cases add up to the suite's.
//!
//! A run that is INVALID gives no verdict: the case `validity` is an error, and the limits are
//! skipped rather than passed or failed. An interrupted run is an error too; its limits are judged
//! on what ran. A limit that only warns is never a failure: it is skipped with its reason when it
//! does not hold.
//!
//! Written by hand: the document has seven elements, and no XML writer replaces the characters that
//! XML 1.0 cannot hold at all, which is the hard part here.

use std::fmt::Write;
use std::path::Path;

use measure::record::{RunRecord, ThresholdRecord};
use measure::validity::State;

use crate::date::Utc;
use crate::figures::{observed, observed_against_limit, thousands};
use crate::terminal::one_line;

/// The document for `run`, whose files are in `directory`, ending in a line break.
pub fn document(run: &RunRecord, directory: &Path) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write_document(&mut text, run, directory);
    text
}

/// What became of a limit.
enum Outcome {
    Held,
    Failed,
    /// Neither passed nor failed, for this reason.
    Skipped(String),
}

fn outcome(run: &RunRecord, threshold: &ThresholdRecord) -> Outcome {
    match threshold {
        _ if run.validity.state == State::Invalid => {
            Outcome::Skipped(format!("no verdict, the run is INVALID: {}", told(threshold)))
        }
        threshold if threshold.ok => Outcome::Held,
        threshold if threshold.warn => Outcome::Skipped(format!("warning: {}", told(threshold))),
        _ => Outcome::Failed,
    }
}

fn write_document(out: &mut String, run: &RunRecord, directory: &Path) -> std::fmt::Result {
    let outcomes: Vec<_> = run.thresholds.iter().map(|one| (one, outcome(run, one))).collect();
    let count = |wanted: fn(&Outcome) -> bool| {
        outcomes.iter().filter(|(_, outcome)| wanted(outcome)).count()
    };
    let errors = usize::from(trouble(run).is_some());
    let (tests, failures) = (outcomes.len() + 1, count(|one| matches!(one, Outcome::Failed)));
    let seconds = format!("{:.3}", run.duration_ms / 1e3);
    let name = attribute(&run.scenario.name);
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(
        out,
        r#"<testsuites name="din" tests="{tests}" failures="{failures}" errors="{errors}" time="{seconds}">"#
    )?;
    writeln!(
        out,
        r#"  <testsuite id="0" package="din" name="{name}" tests="{tests}" failures="{failures}" errors="{errors}" skipped="{}" time="{seconds}" timestamp="{}" hostname="{}">"#,
        count(|one| matches!(one, Outcome::Skipped(_))),
        Utc::at_unix_s(run.started_at_unix_s).iso(),
        attribute(run.host.get("hostname").and_then(|name| name.as_str()).unwrap_or("unknown")),
    )?;
    write_properties(out, run, directory)?;
    write_validity(out, run, &name, &seconds)?;
    for (threshold, outcome) in &outcomes {
        write_threshold(out, threshold, outcome, &name)?;
    }
    writeln!(out, "    <system-out>{}</system-out>", text(&short_summary(run, directory)))?;
    writeln!(out, "  </testsuite>\n</testsuites>")
}

fn write_properties(out: &mut String, run: &RunRecord, directory: &Path) -> std::fmt::Result {
    let mut properties = vec![
        ("seed".to_owned(), run.seed.to_string()),
        ("validity".to_owned(), run.validity.state.to_string()),
        ("exit_code".to_owned(), run.exit_code.to_string()),
        ("run_directory".to_owned(), directory.display().to_string()),
        ("target".to_owned(), format!("{} {}", run.target.kind, run.target.mqtt)),
    ];
    properties.extend(run.scenario.file.iter().map(|file| ("scenario".to_owned(), file.clone())));
    properties.extend(run.scenario.overrides.iter().map(|set| ("set".to_owned(), set.clone())));
    let versions = run.versions.iter();
    properties.extend(versions.map(|(of, version)| (format!("version.{of}"), version.clone())));
    writeln!(out, "    <properties>")?;
    for (name, value) in properties {
        let (name, value) = (attribute(&name), attribute(&value));
        writeln!(out, r#"      <property name="{name}" value="{value}"/>"#)?;
    }
    writeln!(out, "    </properties>")
}

fn write_validity(out: &mut String, run: &RunRecord, suite: &str, time: &str) -> std::fmt::Result {
    let begin = format!(r#"    <testcase classname="din.{suite}" name="validity" time="{time}""#);
    let reasons: Vec<String> =
        run.validity.reasons.iter().map(|one| format!("{}: {}", one.state, one.text)).collect();
    let reasons = text(&reasons.join("\n"));
    match trouble(run) {
        Some((kind, message)) => writeln!(
            out,
            "{begin}>\n      <error type=\"{kind}\" message=\"{}\">{reasons}</error>\n    </testcase>",
            attribute(&message)
        ),
        None if reasons.is_empty() => writeln!(out, "{begin}/>"),
        None => {
            writeln!(out, "{begin}>\n      <system-out>{reasons}</system-out>\n    </testcase>")
        }
    }
}

/// Why the run as a whole is an error: its kind, and what happened.
fn trouble(run: &RunRecord) -> Option<(&'static str, String)> {
    if run.validity.state == State::Invalid {
        let message = "the run is INVALID: the load was not the planned load, no verdict";
        return Some(("INVALID", message.to_owned()));
    }
    let why = run.ended_early.as_deref().unwrap_or("interrupted");
    (run.exit_code == 130).then(|| ("interrupted", why.to_owned()))
}

fn write_threshold(
    out: &mut String,
    threshold: &ThresholdRecord,
    outcome: &Outcome,
    suite: &str,
) -> std::fmt::Result {
    // The limit is not part of the name: a case keeps its history when its limit is changed.
    let name = attribute(&threshold.subject());
    let begin = format!(r#"    <testcase classname="din.{suite}" name="{name}" time="0.000""#);
    match outcome {
        Outcome::Held => writeln!(
            out,
            "{begin}>\n      <system-out>{}</system-out>\n    </testcase>",
            text(&told(threshold))
        ),
        Outcome::Skipped(reason) => {
            let reason = attribute(reason);
            writeln!(out, "{begin}>\n      <skipped message=\"{reason}\"/>\n    </testcase>")
        }
        Outcome::Failed => {
            let kind = if threshold.observed.is_some() { "threshold" } else { "no samples" };
            let detail = [
                format!("limit     {}", threshold.limit),
                format!("observed  {}", observed_against_limit(threshold)),
                format!("samples   {}", thousands(threshold.samples)),
                format!("phase     {}", phase(threshold)),
            ];
            writeln!(
                out,
                "{begin}>\n      <failure type=\"{kind}\" message=\"{}\">{}</failure>\n    </testcase>",
                attribute(&told(threshold)),
                text(&detail.join("\n"))
            )
        }
    }
}

/// Limit, what was seen, samples and phase, in a line.
fn told(threshold: &ThresholdRecord) -> String {
    format!(
        "limit {}, observed {}, n = {}, phase {}",
        threshold.limit,
        observed(threshold),
        thousands(threshold.samples),
        phase(threshold)
    )
}

fn phase(threshold: &ThresholdRecord) -> &str {
    threshold.phase.as_deref().unwrap_or("whole run")
}

fn short_summary(run: &RunRecord, directory: &Path) -> String {
    let mut lines = vec![one_line(run)];
    lines.extend(run.ended_early.iter().map(|why| format!("ended early: {why}")));
    lines.extend(
        run.validity.reasons.iter().map(|reason| format!("{}: {}", reason.state, reason.text)),
    );
    lines.extend(run.failures.iter().map(|one| {
        let first = one.first_at_ms / 1e3;
        format!("{} × {} (first: device {} at {first:.1} s)", one.count, one.what, one.first_device)
    }));
    lines.push(format!("run directory: {}", directory.display()));
    lines.join("\n")
}

/// Text between tags.
fn text(text: &str) -> String {
    escaped(text, false)
}

/// The value of an attribute, to stand between double quotes.
fn attribute(text: &str) -> String {
    escaped(text, true)
}

/// Characters that mean something are written as references, and those that XML 1.0 has no way to
/// write become U+FFFD (production 2, `Char`).
fn escaped(text: &str, in_attribute: bool) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            // Everywhere, so that no `]]>` comes about.
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // A reader makes a line feed of it where it stands as it is.
            '\r' => escaped.push_str("&#13;"),
            // A reader makes a space of them in an attribute.
            '\n' if in_attribute => escaped.push_str("&#10;"),
            '\t' if in_attribute => escaped.push_str("&#9;"),
            '\n' | '\t' => escaped.push(c),
            c if is_char(c) => escaped.push(c),
            _ => escaped.push(char::REPLACEMENT_CHARACTER),
        }
    }
    escaped
}

/// XML 1.0, production 2; surrogates are no `char`.
fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

#[cfg(test)]
mod tests;
