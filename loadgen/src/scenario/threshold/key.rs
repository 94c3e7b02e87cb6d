//! What is limited: `[scope.]metric[.statistic]`.

use std::time::Duration;

use measure::{Metric, Statistic};

use super::{ErrorPlace, Scope, ThresholdError, Window};
use crate::scenario::action::Action;
use crate::scenario::duration::{self, shown};
use crate::scenario::error::{nearest, suggestion};
use crate::scenario::phase::{Phase, starts};

/// A key, read.
pub(super) struct Key {
    pub(super) scope: Scope,
    pub(super) metric: Metric,
    pub(super) statistic: Option<Statistic>,
}

pub(super) fn parse(
    key: &str,
    phases: &[Phase],
    actions: &[Action],
) -> Result<Key, ThresholdError> {
    let (scope, rest) = scope(key, phases, actions)?;
    let (metric, statistic) = subject(rest, phases)?;
    if scope != Scope::Run && metric.is_whole_run_only() {
        let message = format!("`{}` is known for the whole run only", metric.name());
        let help = format!("write \"{}\" without the phase", metric.name());
        return Err(ErrorPlace::Key.error(message, help));
    }
    Ok(Key { scope, metric, statistic })
}

fn scope<'a>(
    key: &'a str,
    phases: &[Phase],
    actions: &[Action],
) -> Result<(Scope, &'a str), ThresholdError> {
    if let Some(rest) = key.strip_prefix("within ") {
        return within(rest, phases, actions);
    }
    Ok(match key.split_once('.') {
        Some((first, rest)) if phases.iter().any(|phase| phase.name == first) => {
            (Scope::Phase(first.to_owned()), rest)
        }
        _ => (Scope::Run, key),
    })
}

/// `5s of burst.response_latency.p99`, after `within `.
fn within<'a>(
    rest: &'a str,
    phases: &[Phase],
    actions: &[Action],
) -> Result<(Scope, &'a str), ThresholdError> {
    let form = "write for example \"within 5s of burst.response_latency.p99\"";
    let wrong = |message: String| ErrorPlace::Key.error(message, form);
    let parts =
        rest.split_once(" of ").and_then(|(span, rest)| Some((span, rest.split_once('.')?)));
    let Some((span, (of, subject))) = parts else {
        return Err(wrong(format!("`within {rest}` names no time, event and metric")));
    };
    let of = of.trim();
    let span = duration::parse(span).map_err(wrong)?;
    let named = actions.iter().filter_map(|action| Some((action.name.as_deref()?, action.at)));
    let events = starts(phases).map(|(phase, at)| (phase.name.as_str(), at)).chain(named);
    let events: Vec<(&str, Duration)> = events.collect();
    let Some(&(_, start)) = events.iter().find(|(name, _)| *name == of) else {
        let names: Vec<&str> = events.iter().map(|(name, _)| *name).collect();
        let message =
            format!("there is no phase and no named action `{of}` to be within {} of", shown(span));
        return Err(ErrorPlace::Key.error(message, suggestion(of, &names)));
    };
    let whole: Duration = phases.iter().map(Phase::length).sum();
    let left = whole.saturating_sub(start);
    if span.is_zero() || span > left {
        let message = format!("within {} of {of}: impossible window", shown(span));
        let help = format!(
            "{of} starts at {} and the run ends {} later: write more than 0s and at most that",
            shown(start),
            shown(left)
        );
        return Err(ErrorPlace::Key.error(message, help));
    }
    Ok((Scope::Within(Window { span, of: of.to_owned(), start }), subject))
}

/// The metric and the statistic.
fn subject(key: &str, phases: &[Phase]) -> Result<(Metric, Option<Statistic>), ThresholdError> {
    if let Some(metric) = Metric::by_name(key) {
        if metric.is_distribution() {
            return Err(ErrorPlace::Key.error(
                format!("`{key}` is a distribution: which number of it is limited?"),
                format!(
                    "write for example {key}.p99; there are min, mean, max and p50, p99, p999 and so on"
                ),
            ));
        }
        return Ok((metric, None));
    }
    let by_statistic = key
        .rsplit_once('.')
        .and_then(|(name, statistic)| Metric::by_name(name).map(|metric| (metric, statistic)));
    match by_statistic {
        Some((metric, statistic)) if metric.is_distribution() || metric.is_per_device() => {
            let mut allowed = vec!["min", "mean", "max", "p50", "p90", "p99", "p999"];
            if metric.is_per_device() {
                allowed.extend(["worst", "worst_1pct"]);
            }
            Statistic::parse(statistic)
                .filter(|_| metric.is_per_device() || !statistic.starts_with("worst"))
                .map(|statistic| (metric, Some(statistic)))
                .ok_or_else(|| {
                    ErrorPlace::Key.error(
                        format!("unknown statistic `{statistic}` of {}", metric.name()),
                        suggestion(statistic, &allowed),
                    )
                })
        }
        Some((metric, statistic)) => Err(ErrorPlace::Key.error(
            format!("`{}` is a count and has no `{statistic}`", metric.name()),
            format!("write {} alone", metric.name()),
        )),
        None => Err(unknown(key, phases)),
    }
}

fn unknown(key: &str, phases: &[Phase]) -> ThresholdError {
    let names: Vec<&str> = Metric::ALL.iter().map(|metric| metric.name()).collect();
    // The name may be preceded by a phase and followed by a statistic: try the parts too.
    let parts = key.split('.').chain([key]);
    let near = parts.into_iter().find_map(|part| nearest(part, &names));
    let near = near.map(|near| format!("did you mean `{near}`? ")).unwrap_or_default();
    let phases: Vec<&str> = phases.iter().map(|phase| phase.name.as_str()).collect();
    let help = format!(
        "{near}a threshold is [phase.]metric[.statistic]; phases here: {}; metrics: {}",
        phases.join(", "),
        names.join(", ")
    );
    ErrorPlace::Key.error(format!("`{key}` names no metric"), help)
}
