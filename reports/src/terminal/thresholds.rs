//! Thresholds: a row each, broken ones first.

use std::fmt::Write;

use measure::record::{RunRecord, ThresholdRecord};

use super::{Colour, Style};
use crate::figures::{observed, thousands, with_unit, worst_first};

pub(super) fn write_thresholds(
    out: &mut String,
    run: &RunRecord,
    style: Style,
) -> std::fmt::Result {
    let shown = |threshold: &&ThresholdRecord| !threshold.implied || !threshold.ok;
    let mut rows: Vec<&ThresholdRecord> = run.thresholds.iter().filter(shown).collect();
    worst_first(&mut rows);
    let widest = |text: fn(&ThresholdRecord) -> String| {
        rows.iter().map(|row| text(row).chars().count()).max().unwrap_or(0)
    };
    let name_width = widest(ThresholdRecord::subject);
    let (limit_width, seen_width) = (widest(limit), widest(observed));
    for row in &rows {
        let mark = match (row.ok, row.warn) {
            (true, _) => style.paint("ok  ", Colour::Green),
            (false, true) => style.paint("warn", Colour::Yellow),
            (false, false) => style.paint("FAIL", Colour::Red),
        };
        writeln!(
            out,
            "  {mark}  {:name_width$}  {:limit_width$}  observed {:<seen_width$}  n = {}{}",
            row.subject(),
            limit(row),
            observed(row),
            thousands(row.samples),
            remarks(row)
        )?;
    }
    if run.thresholds.iter().all(|row| row.implied) {
        let line = "  the scenario has no thresholds: only what every run must hold was checked";
        writeln!(out, "{}", style.paint(line, Colour::Yellow))?;
    }
    let implied = run.thresholds.iter().filter(|row| row.implied && row.ok).count();
    if implied > 0 {
        let line = format!("  and {implied} that every run must hold");
        writeln!(out, "{}", style.paint(&line, Colour::Dim))?;
    }
    writeln!(out)
}

/// The limit as it was written, and what a multiple came to.
fn limit(threshold: &ThresholdRecord) -> String {
    let multiple = threshold.limit.trim_start_matches(['<', '>', '=', ' ']).contains(' ');
    match threshold.bound.filter(|_| multiple) {
        Some(number) => format!("{} ({})", threshold.limit, with_unit(number, &threshold.unit)),
        None => threshold.limit.clone(),
    }
}

/// What else is worth saying of a limit that was not kept.
fn remarks(threshold: &ThresholdRecord) -> String {
    let implied = if threshold.implied { "  (always checked)" } else { "" };
    let worst = threshold.worst.filter(|_| !threshold.ok).map(|worst| {
        let seen = with_unit(worst.observed, &threshold.unit);
        format!("  worst {seen} at {:.0} s", worst.at_ms / 1e3)
    });
    let aborted = if threshold.aborted { "  (ended the run)" } else { "" };
    format!("{implied}{}{aborted}", worst.unwrap_or_default())
}
