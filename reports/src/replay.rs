//! A run that plays something again, beside what it plays: how close they are.

use std::fmt::Write;

use measure::Metric;
use measure::heard::{CLOSE, Compared, FORMAT, HeardRecord, HeardSecond, rounded};

use crate::figures::{distribution, millis_text, thousands, value};
use crate::run_files::RunFiles;

/// What devices heard in a run, from its files.
pub fn heard_in(run: &RunFiles) -> HeardRecord {
    let record = &run.record;
    let pooled = |metric: Metric| record.metrics.get(metric.name())?.number(None);
    let frames = value(record, Metric::FramesSent).unwrap_or(0);
    let played = record.players.as_ref().map(|players| &players.xiaozhi);
    let audio_s = played.map_or(0.0, |played| {
        played.played_s / (played.frames_played.max(1) as f64) * frames as f64
    });
    HeardRecord {
        format: FORMAT,
        source: format!("run {}", run.name),
        calls: value(record, Metric::SessionsOpened).unwrap_or(0),
        frames,
        audio_s: rounded(audio_s),
        rfc3550_jitter_ms: pooled(Metric::Rfc3550Jitter),
        effective_loss_percent: pooled(Metric::EffectiveLoss),
        stutter_per_minute: pooled(Metric::StutterPerMinute),
        longest_gap_ms: pooled(Metric::LongestGap),
        seconds: seconds(run),
    }
}

fn seconds(run: &RunFiles) -> Vec<HeardSecond> {
    let smallest = distribution(&run.record, Metric::ResponseLatency).and_then(|times| times.min);
    let timeline = &run.timeline;
    let [lost, stutters] = ["frames_lost", "stutters"].map(|column| timeline.counts(column));
    let slowest = timeline.numbers("response_latency_max_ms");
    let rows = timeline.numbers("t_s").into_iter().zip(lost).zip(stutters).zip(slowest);
    let rows = rows.filter_map(|(((t_s, lost), stutters), slowest)| {
        Some(HeardSecond {
            t_s: t_s?,
            lost,
            stutters,
            delay_ms: smallest.and_then(|smallest| Some((slowest? - smallest).max(0.0))),
        })
    });
    rows.collect()
}

/// What is told of the numbers that are compared.
pub(crate) fn words(metric: Metric) -> &'static str {
    match metric {
        Metric::Rfc3550Jitter => "jitter (RFC 3550)",
        Metric::EffectiveLoss => "effective loss",
        Metric::StutterPerMinute => "stutters a minute",
        Metric::LongestGap => "longest gap",
        other => other.name(),
    }
}

/// The unit, where the words do not have it.
pub(crate) fn unit(metric: Metric) -> &'static str {
    match metric {
        Metric::EffectiveLoss => "%",
        Metric::StutterPerMinute => "",
        _ => "ms",
    }
}

pub(crate) fn number(number: Option<f64>) -> String {
    number.map_or_else(|| "unknown".to_owned(), millis_text)
}

/// `+0.4 %`, or the difference itself where the original is 0.
pub(crate) fn difference(row: &Compared) -> String {
    match (row.difference(), row.original.zip(row.reproduced)) {
        (Some(share), _) => format!("{:+.1} %", share * 100.0),
        (None, Some((original, reproduced))) => format!("{:+.2}", reproduced - original),
        (None, None) => "-".to_owned(),
    }
}

/// Whether all are close, in a sentence.
pub(crate) fn sentence(rows: &[Compared]) -> String {
    let far: Vec<&str> =
        rows.iter().filter(|row| !row.close()).map(|row| words(row.metric)).collect();
    let percent = CLOSE * 100.0;
    if far.is_empty() {
        format!(
            "Reproduced: each within {percent:.0} %, or within what one frame, one stutter or the host makes"
        )
    } else {
        format!("Not reproduced within {percent:.0} %: {}", far.join(", "))
    }
}

/// Both side by side, for a terminal, ending in a line break.
pub fn text(original: &HeardRecord, reproduced: &HeardRecord) -> String {
    let rows = original.compare(reproduced);
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = writeln!(out, "{:<22}{:>10}{:>12}  difference", "", "original", "reproduced");
    for row in &rows {
        let unit = unit(row.metric);
        let label =
            format!("{}{}{unit}", words(row.metric), if unit.is_empty() { "" } else { ", " });
        let mark = if row.close() { "" } else { "  <-" };
        let (was, is) = (number(row.original), number(row.reproduced));
        let _ = writeln!(out, "{label:<22}{was:>10}{is:>12}  {:>10}{mark}", difference(row));
    }
    for (label, heard) in [("original", original), ("reproduced", reproduced)] {
        let (calls, frames) = (heard.calls, thousands(heard.frames));
        let _ = writeln!(out, "{label:<11} {}: {calls} calls, {frames} frames", heard.source);
    }
    let _ = writeln!(out, "\n{}", sentence(&rows));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{files, record};

    #[test]
    fn what_a_run_heard_is_in_its_files() {
        let heard = heard_in(&files(&record()));
        let second = |t_s, lost, stutters| (t_s, Some(lost), Some(stutters));
        let seen: Vec<_> =
            heard.seconds.iter().map(|one| (one.t_s, one.lost, one.stutters)).collect();
        assert_eq!(
            seen,
            [second(1.0, 0, 0), second(2.0, 0, 1), second(3.0, 3, 4), second(4.0, 0, 0)]
        );
    }

    #[test]
    fn what_is_not_close_is_pointed_at() {
        let heard = heard_in(&files(&record()));
        let original = HeardRecord {
            source: "capture call.pcap".to_owned(),
            calls: 2,
            frames: 1000,
            audio_s: 60.0,
            rfc3550_jitter_ms: Some(12.44),
            effective_loss_percent: Some(4.72),
            stutter_per_minute: Some(19.4),
            longest_gap_ms: Some(0.0),
            ..heard
        };
        let again = HeardRecord {
            source: "run now".to_owned(),
            rfc3550_jitter_ms: Some(12.45),
            stutter_per_minute: Some(9.7),
            longest_gap_ms: Some(4.0),
            ..original.clone()
        };
        insta::assert_snapshot!(text(&original, &again));
        assert!(sentence(&original.compare(&original)).starts_with("Reproduced"));
    }
}
