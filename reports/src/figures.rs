//! Numbers and names as reports show them.

use measure::Metric;
use measure::record::{MetricRecord, NETWORKS, RunRecord, Summary, ThresholdRecord, Verdict};
use measure::validity::State;

/// The verdict in a word or two; a run that is INVALID has none.
pub(crate) fn verdict(run: &RunRecord) -> &'static str {
    match (run.validity.state, run.verdict) {
        (State::Invalid, _) => "NO VERDICT",
        (_, Verdict::Pass) => "PASS",
        (_, Verdict::Fail) => "FAIL",
    }
}

/// What was seen, with its unit.
pub(crate) fn observed(threshold: &ThresholdRecord) -> String {
    match threshold.observed {
        Some(observed) => with_unit(observed, &threshold.unit),
        None => "no samples".to_owned(),
    }
}

/// How far what was seen is from the limit: in percent of the limit, as a multiple of it from ten
/// times on, or, of a limit of zero, in units; `-` where there is nothing to compare.
pub(crate) fn against_limit(threshold: &ThresholdRecord) -> String {
    match (threshold.observed, threshold.bound) {
        (Some(observed), Some(bound)) if bound > 0.0 && observed / bound >= 10.0 => {
            format!("{:.0} times", observed / bound)
        }
        (Some(observed), Some(bound)) if bound > 0.0 => {
            let percent = (observed / bound - 1.0) * 100.0;
            if percent.abs() < 0.05 { "equal".to_owned() } else { format!("{percent:+.1} %") }
        }
        (Some(0.0), Some(0.0)) => "equal".to_owned(),
        (Some(observed), Some(_)) => format!("+{}", with_unit(observed, &threshold.unit)),
        _ => "-".to_owned(),
    }
}

/// Failed ones first, then warnings, of each those first that are furthest from their limit; what
/// held stays in its order.
pub(crate) fn worst_first(rows: &mut [&ThresholdRecord]) {
    let excess = |row: &ThresholdRecord| match (row.ok, row.observed, row.bound) {
        (true, ..) => 0.0,
        (_, Some(observed), Some(bound)) if bound > 0.0 => (observed / bound - 1.0).abs(),
        // Nothing was seen, or something where nothing may be.
        _ => f64::INFINITY,
    };
    rows.sort_by(|one, other| {
        let kind = |row: &ThresholdRecord| (row.ok, row.warn, row.implied);
        let further = || excess(other).total_cmp(&excess(one));
        kind(one).cmp(&kind(other)).then_with(further)
    });
}

/// What was seen and how far it is from the limit.
pub(crate) fn observed_against_limit(threshold: &ThresholdRecord) -> String {
    match threshold.observed {
        Some(_) => format!("{} ({})", observed(threshold), against_limit(threshold)),
        None => observed(threshold),
    }
}

/// The distribution of this name; `None` where it was not taken.
pub(crate) fn distribution(run: &RunRecord, metric: Metric) -> Option<&Summary> {
    match run.metrics.get(metric.name()) {
        Some(MetricRecord::Distribution(summary)) => Some(summary),
        _ => None,
    }
}

/// How much slower the machine was on average than at its best, in percent; `None` where that was not looked at.
pub(crate) fn slower_than_at_best(run: &RunRecord) -> Option<f64> {
    let pace = distribution(run, Metric::MachinePace)?;
    Some((pace.mean? / pace.min? - 1.0) * 100.0)
}

/// The count of this name; `None` where it was not taken.
pub(crate) fn value(run: &RunRecord, metric: Metric) -> Option<u64> {
    match run.metrics.get(metric.name()) {
        Some(MetricRecord::Value { value, .. }) => Some(whole(*value)),
        _ => None,
    }
}

/// A count as the record has it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are whole and not negative"
)]
fn whole(count: f64) -> u64 {
    count as u64
}

/// The simulated networks, in words; `None` where there was none.
pub(crate) fn networks(run: &RunRecord) -> Option<String> {
    let by_group = run.method.get(NETWORKS)?.as_object()?;
    let named = by_group.iter().filter_map(|(group, network)| {
        let network = network.as_str()?;
        // Where there are no groups all devices are one of this name.
        Some(if group == "all" { network.to_owned() } else { format!("{group}: {network}") })
    });
    (!by_group.is_empty()).then(|| named.collect::<Vec<_>>().join("; "))
}

/// A number of a threshold or a metric.
pub(crate) fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "ms" => format!("{} ms", millis_text(value)),
        "" if value.fract() == 0.0 => thousands(whole(value)),
        "" => format!("{value:.3}"),
        unit => format!("{value:.1} {unit}"),
    }
}

/// Three significant digits or so: `0.052`, `4.31`, `153`.
pub(crate) fn millis_text(millis: f64) -> String {
    match millis {
        millis if millis < 1.0 => format!("{millis:.3}"),
        millis if millis < 100.0 => format!("{millis:.2}"),
        millis => format!("{millis:.0}"),
    }
}

/// `12345678` as `12 345 678`.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}
