//! The summary in Markdown, as GitHub renders it: verdict, limits, main numbers, on one screen.

use std::fmt::Write;

use measure::Metric;
use measure::record::{MetricRecord, RunRecord, ThresholdRecord};
use measure::validity::State;

use crate::figures::{
    against_limit, distribution, millis_text, observed, thousands, value, verdict, worst_first,
};

/// The most limits that get a row; those that did not hold come first.
const ROWS: usize = 20;
/// The most ways to fail that get a line.
const FAILURES: usize = 5;
/// The latencies and lags worth a row.
const TIMES: [(Metric, &str); 5] = [
    (Metric::ResponseLatency, "response latency"),
    (Metric::ServiceLatency, "service latency"),
    (Metric::SendLag, "send lag"),
    (Metric::HelloTime, "hello time"),
    (Metric::FirstAudio, "first audio"),
];

/// The whole summary, ending in a line break.
pub fn summary(run: &RunRecord) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write_summary(&mut text, run);
    text
}

fn write_summary(out: &mut String, run: &RunRecord) -> std::fmt::Result {
    let title = escaped(&run.scenario.title);
    writeln!(out, "## {} · {} · {title}\n", verdict(run), run.validity.state)?;
    if !run.scenario.question.is_empty() {
        writeln!(out, "{}\n", escaped(&run.scenario.question))?;
    }
    if let Some(why) = &run.ended_early {
        writeln!(out, "- **ended early**: {}", escaped(why))?;
    }
    for reason in &run.validity.reasons {
        writeln!(out, "- **{}**: {}", reason.state, escaped(&reason.text))?;
    }
    if run.ended_early.is_some() || !run.validity.reasons.is_empty() {
        writeln!(out)?;
    }
    write_thresholds(out, run)?;
    write_times(out, run)?;
    write_main_numbers(out, run)?;
    write_failures(out, run)?;
    write_origin(out, run)
}

fn write_thresholds(out: &mut String, run: &RunRecord) -> std::fmt::Result {
    let shown = |threshold: &&ThresholdRecord| !threshold.implied || !threshold.ok;
    let mut rows: Vec<&ThresholdRecord> = run.thresholds.iter().filter(shown).collect();
    worst_first(&mut rows);
    let left_out = rows.len().saturating_sub(ROWS);
    rows.truncate(ROWS);
    if !rows.is_empty() {
        writeln!(out, "| | threshold | limit | observed | against the limit | n |")?;
        writeln!(out, "|---|---|---|--:|--:|--:|")?;
    }
    for row in rows {
        let mark = match (row.ok, row.warn) {
            (true, _) => "ok",
            (false, true) => "**warn**",
            (false, false) => "**FAIL**",
        };
        let always = if row.implied { " (always checked)" } else { "" };
        writeln!(
            out,
            "| {mark} | {}{always} | {} | {} | {} | {} |",
            escaped(&row.subject()),
            escaped(&row.limit),
            escaped(&observed(row)),
            against_limit(row),
            thousands(row.samples)
        )?;
    }
    let implied = run.thresholds.iter().filter(|row| row.implied && row.ok).count();
    let more = [(left_out, "more in `run.json`"), (implied, "held that every run must hold")];
    let more: Vec<String> = more
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, what)| format!("{count} {what}"))
        .collect();
    if !more.is_empty() {
        writeln!(out, "\nand {}", more.join(", "))?;
    }
    writeln!(out)
}

fn write_times(out: &mut String, run: &RunRecord) -> std::fmt::Result {
    let times = TIMES.iter().filter_map(|(metric, name)| Some((distribution(run, *metric)?, name)));
    let mut times = times.filter(|(times, _)| times.count > 0).peekable();
    if times.peek().is_none() {
        return Ok(());
    }
    writeln!(out, "| ms | p50 | p90 | p99 | p99.9 | max | n |")?;
    writeln!(out, "|---|--:|--:|--:|--:|--:|--:|")?;
    for (times, name) in times {
        write!(out, "| {name} |")?;
        for statistic in [times.p50, times.p90, times.p99, times.p999, times.max] {
            write!(out, " {} |", statistic.map_or_else(|| "-".to_owned(), millis_text))?;
        }
        writeln!(out, " {} |", thousands(times.count))?;
    }
    writeln!(out)
}

fn write_main_numbers(out: &mut String, run: &RunRecord) -> std::fmt::Result {
    let count = |metric: Metric| thousands(value(run, metric).unwrap_or(0));
    writeln!(
        out,
        "**sessions** {} of {} opened, {} failed, {} lost · **frames** {} of {} sent were answered, {} lost, {} reordered, {} duplicate",
        count(Metric::SessionsOpened),
        count(Metric::SessionsPlanned),
        count(Metric::SessionsFailed),
        count(Metric::SessionsLost),
        count(Metric::FramesReceived),
        count(Metric::FramesSent),
        count(Metric::FramesLost),
        count(Metric::FramesReordered),
        count(Metric::FramesDuplicate)
    )?;
    for (metric, name) in
        [(Metric::StutterPerMinute, "stutters a minute"), (Metric::MosIndicative, "indicative MOS")]
    {
        if let Some(MetricRecord::PerDevice(devices)) = run.metrics.get(metric.name())
            && let (Some(pooled), Some(worst)) = (devices.pooled, devices.worst)
        {
            write!(out, "· **{name}** {pooled:.2}, worst device {worst:.2} ")?;
        }
    }
    for (metric, name) in
        [(Metric::GatewayCpu, "gateway CPU"), (Metric::GeneratorCpu, "generator CPU")]
    {
        if let Some(mean) = distribution(run, metric).and_then(|cpu| cpu.mean) {
            write!(out, "· **{name}** {mean:.0} % of one core ")?;
        }
    }
    writeln!(out, "\n")
}

fn write_failures(out: &mut String, run: &RunRecord) -> std::fmt::Result {
    for failure in run.failures.iter().take(FAILURES) {
        let (count, first) = (thousands(failure.count), failure.first_at_ms / 1e3);
        writeln!(
            out,
            "- {count} × {} (first: device {} at {first:.1} s)",
            escaped(&failure.what),
            failure.first_device
        )?;
    }
    match run.failures.len() {
        0 => Ok(()),
        kinds if kinds > FAILURES => {
            writeln!(out, "- and {} other kinds of failure\n", kinds - FAILURES)
        }
        _ => writeln!(out),
    }
}

fn write_origin(out: &mut String, run: &RunRecord) -> std::fmt::Result {
    let file = run.scenario.file.as_deref().unwrap_or(&run.scenario.name);
    let overrides: Vec<String> =
        run.scenario.overrides.iter().map(|set| format!(" with {}", escaped(set))).collect();
    let overrides = overrides.concat();
    let mut origin = format!(
        "{}{overrides} · {} s · seed {} · din {} · exit code {}",
        escaped(file),
        (run.duration_ms / 1e3).round(),
        run.seed,
        escaped(&run.din_version),
        run.exit_code
    );
    if run.validity.state == State::Invalid {
        origin.push_str(" · an INVALID run has no verdict: the rows above show what was seen");
    }
    writeln!(out, "{origin}")
}

/// Text that no Markdown reader takes for anything else, on one line.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '<' | '>' | '(' | ')' | '#' | '|'
            | '~' | '&' | '$' | '!' => escaped.extend(['\\', c]),
            // A break would end a row, and the control characters show nothing.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
