//! Verdict, validity and question; thresholds.

use maud::{Markup, html};
use measure::record::{RunRecord, ThresholdRecord};
use measure::validity::State;

use crate::charts::letter;
use crate::date::Utc;
use crate::figures::{against_limit, observed, thousands, verdict, with_unit, worst_first};
use crate::run_files::RunFiles;

/// A head for each run.
pub(super) fn heads(runs: &[RunFiles]) -> Markup {
    html! {
        @match runs {
            [run] => { h1 { (run.record.scenario.title) } (head(run)) }
            runs => {
                h1 { (title(runs)) }
                @for (index, run) in runs.iter().enumerate() {
                    h2 { (letter(index)) ": " (run.name) }
                    (head(run))
                }
            }
        }
    }
}

/// The scenarios' titles, once if they are the same, and which run is which.
pub(in crate::page) fn title(runs: &[RunFiles]) -> String {
    let first = &runs[0].record.scenario.title;
    let same = runs.iter().all(|run| run.record.scenario.title == *first);
    let named = runs.iter().enumerate().map(|(index, run)| {
        let name = if same { &run.name } else { &run.record.scenario.title };
        format!("{} {name}", letter(index))
    });
    let named = named.collect::<Vec<_>>().join(", ");
    if same { format!("{first}: {named}") } else { named }
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

/// Every limit, those that did not hold first; of several runs side by side.
pub(super) fn thresholds(runs: &[RunFiles]) -> Markup {
    match runs {
        [run] => table(&run.record),
        runs => side_by_side(runs),
    }
}

/// A row for each limit, a column for each run.
fn side_by_side(runs: &[RunFiles]) -> Markup {
    let mut limits: Vec<(String, &str)> = Vec::new();
    for row in runs.iter().flat_map(|run| &run.record.thresholds) {
        let limit = (row.subject(), row.limit.as_str());
        if !limits.contains(&limit) {
            limits.push(limit);
        }
    }
    let of = |run: &'_ RunFiles, (subject, limit): &(String, &str)| {
        let same = |row: &&ThresholdRecord| row.subject() == *subject && row.limit == *limit;
        run.record.thresholds.iter().find(same).cloned()
    };
    // What held everywhere comes last.
    limits.sort_by_key(|limit| runs.iter().filter_map(|run| of(run, limit)).all(|row| row.ok));
    html! {
        div.scroll tabindex="0" role="region" aria-label="Thresholds" {
            table.wide {
                thead { tr {
                    th.text scope="col" { "threshold" } th.text scope="col" { "limit" }
                    @for index in 0..runs.len() {
                        th.text scope="col" { (letter(index)) } th scope="col" { (letter(index)) " observed" } th scope="col" { "samples" }
                    }
                } }
                tbody { @for limit in &limits { tr {
                    th.text scope="row" { (limit.0) }
                    td.text { (limit.1) }
                    @for run in runs { @match of(run, limit) {
                        Some(row) => { td.text { (mark(&row)) } td { (observed(&row)) } td { (thousands(row.samples)) } },
                        None => { td.text { "–" } td { "–" } td { "–" } },
                    } }
                } } }
            }
        }
    }
}

fn table(run: &RunRecord) -> Markup {
    let mut rows: Vec<&ThresholdRecord> = run.thresholds.iter().collect();
    worst_first(&mut rows);
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
