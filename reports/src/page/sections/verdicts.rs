//! Verdict, validity and question; thresholds.

use maud::{Markup, html};
use measure::record::{RunRecord, ThresholdRecord};
use measure::validity::State;

use crate::charts::letter;
use crate::date::Utc;
use crate::figures::{against_limit, observed, thousands, verdict, with_unit};
use crate::run_files::RunFiles;

/// A head for each run.
pub(super) fn heads(runs: &[RunFiles]) -> Markup {
    html! {
        @match runs {
            [run] => { h1 { (run.record.scenario.title) } (head(run)) }
            runs => {
                h1 { @for (index, run) in runs.iter().enumerate() {
                    @if index > 0 { " against " } (letter(index)) ": " (run.record.scenario.title)
                } }
                @for (index, run) in runs.iter().enumerate() {
                    h2 { (letter(index)) ": " (run.name) }
                    (head(run))
                }
            }
        }
    }
}

fn head(run: &RunFiles) -> Markup {
    let record = &run.record;
    html! {
        p.verdict {
            span.badge.(verdict_tone(record)) { (verdict(record)) }
            span.badge.(validity_tone(record.validity.state)) { (record.validity.state) }
            span.soft { (sentence(record)) }
        }
        @if !record.scenario.question.is_empty() { p.question { (record.scenario.question) } }
        @if record.ended_early.is_some() || !record.validity.reasons.is_empty() || !record.warnings.is_empty() {
            ul.reasons {
                @if let Some(why) = &record.ended_early { li { strong { "Ended early" } ": " (why) } }
                @for reason in &record.validity.reasons {
                    li { strong.(validity_tone(reason.state)) { (reason.state) } ": " (reason.text) }
                }
                @for warning in &record.warnings { li { strong.warn { "Warning" } ": " (warning.text) } }
            }
        }
        @if !run.missing.is_empty() {
            p { strong.warn { "Not everything is here" } ", and what is missing is left out below:" }
            ul.reasons { @for missing in &run.missing { li { (missing) } } }
        }
    }
}

/// Verdict and validity in a sentence.
fn sentence(run: &RunRecord) -> String {
    let held = run.thresholds.iter().filter(|one| one.ok).count();
    let when = Utc::at_unix_s(run.started_at_unix_s);
    let judged = match run.validity.state {
        State::Invalid => {
            "the load was not the planned load, so nothing is said of the gateway".to_owned()
        }
        _ => format!("{held} of {} thresholds held", run.thresholds.len()),
    };
    format!("{judged}; {:.0} s, begun {} UTC", run.duration_ms / 1e3, when.iso().replace('T', " "))
}

fn verdict_tone(run: &RunRecord) -> &'static str {
    if verdict(run) == "PASS" { "good" } else { "bad" }
}

fn validity_tone(state: State) -> &'static str {
    match state {
        State::Valid => "good",
        State::Suspect => "warn",
        State::Invalid => "bad",
    }
}

/// Every limit, those that did not hold first.
pub(super) fn thresholds(runs: &[RunFiles]) -> Markup {
    html! {
        @for (index, run) in runs.iter().enumerate() {
            @if runs.len() > 1 { h3 { (letter(index)) ": " (run.name) } }
            (table(&run.record))
        }
    }
}

fn table(run: &RunRecord) -> Markup {
    let mut rows: Vec<&ThresholdRecord> = run.thresholds.iter().collect();
    rows.sort_by_key(|row| (row.ok, row.warn, row.implied));
    let (shown, implied): (Vec<_>, Vec<_>) = rows.iter().partition(|row| !row.implied || !row.ok);
    html! {
        @if run.thresholds.is_empty() { p.nothing { "There is no threshold on record." } }
        @else {
            (rows_of(&shown, "Thresholds of the scenario"))
            @if !implied.is_empty() {
                details {
                    summary { (implied.len()) " more held that every run must hold" }
                    (rows_of(&implied, "Thresholds of every run"))
                }
            }
        }
    }
}

fn rows_of(rows: &[&ThresholdRecord], name: &str) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label=(name) {
            table.wide {
                thead { tr {
                    th.text scope="col" { "" span hidden { "result" } }
                    th.text scope="col" { "threshold" } th.text scope="col" { "limit" }
                    th scope="col" { "observed" } th scope="col" { "against the limit" }
                    th scope="col" { "samples" } th scope="col" { "worst" }
                } }
                tbody { @for row in rows {
                    tr {
                        td.text { (mark(row)) }
                        th.text scope="row" { (row.subject()) @if row.implied { " " span.soft { "(always checked)" } } }
                        td.text { (row.limit) }
                        td { (observed(row)) }
                        td { (against_limit(row)) }
                        td { (thousands(row.samples)) }
                        td { @if let Some(worst) = row.worst {
                            (with_unit(worst.observed, &row.unit)) " at " (format!("{:.0} s", worst.at_ms / 1e3))
                        } }
                    }
                } }
            }
        }
    }
}

fn mark(row: &ThresholdRecord) -> Markup {
    match (row.ok, row.warn) {
        (true, _) => html! { span.good { "ok" } },
        (false, true) => html! { strong.warn { "warn" } },
        (false, false) => html! { strong.bad { "FAIL" } },
    }
}
