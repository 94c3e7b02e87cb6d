//! What a change has improved, in one line: from the records of a run before it and one after.
//!
//! Read off the limits: those that failed before and hold after, each with both numbers.

use measure::record::{RunRecord, ThresholdRecord};

/// The most improvements that are named.
const NAMED: usize = 4;

/// One line, without a line break: what improved and by how much, and what got worse.
pub fn line(before: &RunRecord, after: &RunRecord) -> String {
    let pairs = || {
        after.thresholds.iter().filter_map(|after| {
            let same = |one: &&ThresholdRecord| one.subject() == after.subject();
            Some((before.thresholds.iter().find(same)?, after))
        })
    };
    let told = |was: bool, is: bool| -> Vec<String> {
        let changed = pairs().filter(|(before, after)| (before.ok, after.ok) == (was, is));
        changed.map(|(before, after)| change(before, after)).collect()
    };
    let (better, worse) = (told(false, true), told(true, false));
    let named = |label: &str, changes: &[String]| {
        let more = match changes.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        format!("{label}: {}{more}", changes[..changes.len().min(NAMED)].join(", "))
    };
    match (better.is_empty(), worse.is_empty()) {
        (false, true) => named("improved", &better),
        (false, false) => format!("{}; {}", named("improved", &better), named("worse", &worse)),
        (true, false) => named("worse", &worse),
        (true, true) if before.exit_code == 0 => {
            "not shown: what was before holds every limit as well".to_owned()
        }
        (true, true) => "nothing improved: no limit that failed before holds after".to_owned(),
    }
}

/// The exit code of both together: 0 when what was before fails and what is passes; 3 when either is
/// INVALID, 1 when what is fails or what was does not.
pub fn exit_code(before: u8, after: u8) -> u8 {
    match (before, after) {
        (130, _) | (_, 130) => 130,
        (3, _) | (_, 3) => 3,
        (1, 0) => 0,
        _ => 1,
    }
}

/// `response_latency.p99 82.38 → 20.74 ms (4.0 times less)`.
fn change(before: &ThresholdRecord, after: &ThresholdRecord) -> String {
    let unit = if after.unit.is_empty() { String::new() } else { format!(" {}", after.unit) };
    let number = |one: &ThresholdRecord| one.observed.map_or_else(|| "nothing".to_owned(), shown);
    let ratio = match (before.observed, after.observed) {
        (Some(before), Some(after)) => times(before, after),
        _ => String::new(),
    };
    format!("{} {} → {}{unit}{ratio}", after.subject(), number(before), number(after))
}

/// Nothing where either is nothing: that is more than any number of times.
fn times(before: f64, after: f64) -> String {
    let (ratio, how) =
        if before > after { (before / after, "less") } else { (after / before, "more") };
    if ratio.is_finite() && ratio >= 1.05 {
        format!(" ({ratio:.1} times {how})")
    } else {
        String::new()
    }
}

/// Three figures.
fn shown(number: f64) -> String {
    match number.abs() {
        whole if whole.fract() == 0.0 || whole >= 100.0 => format!("{number:.0}"),
        10.0.. => format!("{number:.1}"),
        1.0.. => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::tests::run as record;

    /// A run whose limits had these numbers, and held or not.
    fn run(rows: &[(&str, Option<f64>, bool)], code: u8) -> RunRecord {
        let template = record().thresholds[0].clone();
        let rows = rows.iter().map(|(metric, observed, ok)| ThresholdRecord {
            metric: (*metric).to_owned(),
            phase: None,
            within: None,
            over_ms: None,
            observed: *observed,
            unit: if metric.contains("latency") { "ms".to_owned() } else { String::new() },
            ok: *ok,
            ..template.clone()
        });
        RunRecord { thresholds: rows.collect(), exit_code: code, ..record() }
    }

    #[test]
    fn what_failed_and_holds_now_is_told_with_both_numbers() {
        let before = run(
            &[
                ("response_latency.p99", Some(82.38), false),
                ("worker_timeouts", Some(40.0), false),
                ("gateway_load.max", None, false),
                ("frames_lost", Some(0.0), true),
            ],
            1,
        );
        let after = run(
            &[
                ("response_latency.p99", Some(20.74), true),
                ("worker_timeouts", Some(0.0), true),
                ("gateway_load.max", Some(0.5), true),
                ("frames_lost", Some(0.0), true),
            ],
            0,
        );
        assert_eq!(
            line(&before, &after),
            "improved: response_latency.p99 82.4 → 20.7 ms (4.0 times less), worker_timeouts 40 → 0, \
             gateway_load.max nothing → 0.500"
        );
        assert!(
            line(&after, &before)
                .starts_with("worse: response_latency.p99 20.7 → 82.4 ms (4.0 times more)")
        );
    }

    #[test]
    fn nothing_gained_and_nothing_shown_are_said() {
        let row = |ok| [("frames_lost", Some(3.0), ok)];
        let (bad, good) = (run(&row(false), 1), run(&row(true), 0));
        assert!(line(&bad, &bad).starts_with("nothing improved"));
        assert!(line(&good, &good).starts_with("not shown"));
        let mixed = |a, b, code| run(&[("a", Some(2.0), a), ("b", Some(4.0), b)], code);
        let told = line(&mixed(false, true, 1), &mixed(true, false, 1));
        assert_eq!(told, "improved: a 2 → 2; worse: b 4 → 4");
    }

    #[test]
    fn many_improvements_are_counted() {
        let names = ["a", "b", "c", "d", "e", "f"];
        let all = |ok, code| run(&names.map(|name| (name, Some(1.0), ok)), code);
        assert!(line(&all(false, 1), &all(true, 0)).ends_with("d 1 → 1, and 2 more"));
    }

    #[test]
    fn both_pass_only_when_the_first_fails_and_the_second_passes() {
        for (before, after, code) in [
            (1, 0, 0),
            (0, 0, 1),
            (1, 1, 1),
            (0, 1, 1),
            (3, 0, 3),
            (1, 3, 3),
            (130, 0, 130),
            (1, 130, 130),
        ] {
            assert_eq!(exit_code(before, after), code, "{before}, {after}");
        }
    }
}
