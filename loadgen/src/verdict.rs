//! Thresholds against measurements. What has no samples fails: a test that did no work must not
//! pass.

use measure::Metric;
use measure::record::{Measurements, ThresholdRecord, Verdict};

use crate::scenario::{Comparison, Threshold};

/// Everything that thresholds look at.
pub struct Measured<'a> {
    /// The whole run.
    pub overall: &'a Measurements,
    /// Each phase, with its name.
    pub phases: Vec<(&'a str, &'a Measurements)>,
}

/// What every run must hold, unless the scenario has its own limit on the same metric.
pub fn implied(reference_gateway: bool) -> Vec<Threshold> {
    let count = |metric, comparison, text: &str| Threshold {
        phase: None,
        metric,
        statistic: None,
        comparison,
        limit: 0.0,
        text: text.to_owned(),
    };
    let mut implied = vec![
        count(Metric::SessionsFailed, Comparison::Equal, "= 0"),
        count(Metric::SessionsLost, Comparison::Equal, "= 0"),
        count(Metric::FramesReceived, Comparison::Above, "> 0"),
    ];
    if reference_gateway {
        implied.push(count(Metric::GatewayExits, Comparison::Equal, "= 0"));
    }
    implied
}

/// Judges the scenario's thresholds and the implied ones.
pub fn evaluate(
    thresholds: &[Threshold],
    implied: &[Threshold],
    measured: &Measured<'_>,
) -> (Verdict, Vec<ThresholdRecord>) {
    let own = thresholds.iter().map(|threshold| judge(threshold, false, measured));
    let overridden = |implied: &&Threshold| {
        !thresholds.iter().any(|own| own.metric == implied.metric && own.phase.is_none())
    };
    let implied =
        implied.iter().filter(overridden).map(|threshold| judge(threshold, true, measured));
    let records: Vec<_> = own.chain(implied).collect();
    let all_hold = records.iter().all(|record| record.ok);
    (if all_hold { Verdict::Pass } else { Verdict::Fail }, records)
}

/// Thresholds on the response latency that fail, and would hold for the service latency: the
/// generator's own lag decides them.
pub fn decided_by_send_lag(thresholds: &[Threshold], measured: &Measured<'_>) -> Vec<String> {
    let decided = |threshold: &&Threshold| {
        let from_send = Threshold { metric: Metric::ServiceLatency, ..(*threshold).clone() };
        threshold.metric == Metric::ResponseLatency
            && observe(threshold, measured).is_some_and(|(seen, _)| !holds(threshold, seen))
            && observe(&from_send, measured).is_some_and(|(seen, _)| holds(threshold, seen))
    };
    thresholds.iter().filter(decided).map(ToString::to_string).collect()
}

fn judge(threshold: &Threshold, implied: bool, measured: &Measured<'_>) -> ThresholdRecord {
    let observed = observe(threshold, measured);
    ThresholdRecord {
        metric: threshold.subject(),
        phase: threshold.phase.clone(),
        limit: threshold.text.clone(),
        observed: observed.map(|(seen, _)| seen),
        unit: threshold.metric.quantity().unit().to_owned(),
        samples: observed.map_or(0, |(_, samples)| samples),
        ok: observed.is_some_and(|(seen, _)| holds(threshold, seen)),
        implied,
    }
}

fn holds(threshold: &Threshold, seen: f64) -> bool {
    threshold.comparison.holds(seen, threshold.limit)
}

/// The number and the samples behind it; `None` without samples.
fn observe(threshold: &Threshold, measured: &Measured<'_>) -> Option<(f64, u64)> {
    let scope = match &threshold.phase {
        None => measured.overall,
        Some(name) => measured.phases.iter().find(|(phase, _)| phase == name)?.1,
    };
    if threshold.metric.is_per_device() {
        let devices = scope.devices(threshold.metric)?;
        let seen = match threshold.statistic {
            Some(statistic) => devices.statistic(statistic)?,
            None => devices.pooled()?,
        };
        return Some((seen, devices.count()));
    }
    if let Some(statistic) = threshold.statistic {
        let samples = scope.sampled(threshold.metric)?;
        return Some((samples.statistic(statistic)?, samples.count()));
    }
    let seen = scope.counted(threshold.metric)?;
    let basis = match basis(threshold.metric) {
        [] => 1,
        metrics => metrics.iter().filter_map(|&metric| scope.counted(metric)).sum(),
    };
    (basis > 0).then_some((seen as f64, basis))
}

/// What a count is out of, added up: without any of that, zero means nothing.
fn basis(metric: Metric) -> &'static [Metric] {
    match metric {
        Metric::SessionsOpened | Metric::SessionsFailed => &[Metric::SessionsPlanned],
        // A session can be lost in a phase in which nobody arrives; it has frames there.
        Metric::SessionsLost | Metric::FramesUnserved => {
            &[Metric::FramesPlanned, Metric::FramesUnserved]
        }
        Metric::FramesReceived
        | Metric::FramesLost
        | Metric::FramesReordered
        | Metric::FramesDuplicate
        | Metric::FramesUnmatched
        | Metric::SendRefused => &[Metric::FramesSent],
        Metric::FramesSent => &[Metric::FramesPlanned],
        Metric::DecodeFailed => &[Metric::Decoded],
        Metric::ForeignAudio | Metric::Unrecognised => {
            &[Metric::Recognised, Metric::ForeignAudio, Metric::Unrecognised]
        }
        Metric::GoldenMismatch => &[Metric::GoldenCompared],
        Metric::ReplayedNonce => &[Metric::SessionsOpened],
        Metric::Decoded | Metric::WrongDuration | Metric::KeystreamReuse | Metric::WrongSession => {
            &[Metric::FramesReceived]
        }
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use measure::Statistic;

    fn threshold(metric: Metric, comparison: Comparison, limit: f64) -> Threshold {
        let statistic = metric.is_distribution().then_some(Statistic::Quantile(0.5));
        Threshold { phase: None, metric, statistic, comparison, limit, text: "limit".to_owned() }
    }

    fn check(measurements: &Measurements, threshold: &Threshold) -> ThresholdRecord {
        let measured = Measured { overall: measurements, phases: vec![("calm", measurements)] };
        evaluate(std::slice::from_ref(threshold), &[], &measured).1.remove(0)
    }

    #[test]
    fn a_limit_holds_or_fails_by_what_was_observed() {
        let mut measured = Measurements::new();
        measured.sample(Metric::ResponseLatency, 30_000_000);
        measured.count(Metric::FramesSent, 10);
        measured.count(Metric::FramesLost, 2);
        for (metric, comparison, limit, ok) in [
            (Metric::ResponseLatency, Comparison::Below, 40.0, true),
            (Metric::ResponseLatency, Comparison::Below, 20.0, false),
            (Metric::FramesLost, Comparison::AtMost, 2.0, true),
            (Metric::FramesLost, Comparison::Equal, 0.0, false),
        ] {
            let record = check(&measured, &threshold(metric, comparison, limit));
            assert_eq!(record.ok, ok, "{record:?}");
            assert!(record.observed.is_some() && record.samples > 0, "{record:?}");
        }
    }

    #[test]
    fn without_samples_every_limit_fails() {
        let mut idle = Measurements::new();
        idle.count(Metric::FramesSent, 0);
        idle.count(Metric::FramesLost, 0);
        idle.count(Metric::Decoded, 0);
        idle.count(Metric::DecodeFailed, 0);
        for metric in
            [Metric::ResponseLatency, Metric::FramesLost, Metric::DecodeFailed, Metric::GatewayCpu]
        {
            let record = check(&idle, &threshold(metric, Comparison::AtMost, 1e9));
            assert_eq!(
                (record.ok, record.observed, record.samples),
                (false, None, 0),
                "{metric:?}"
            );
        }
        let elsewhere = Threshold {
            phase: Some("never-ran".to_owned()),
            ..threshold(Metric::FramesSent, Comparison::AtLeast, 0.0)
        };
        assert!(!check(&idle, &elsewhere).ok);
    }

    #[test]
    fn implied_limits_apply_unless_the_scenario_has_its_own() {
        let mut measured = Measurements::new();
        measured.count(Metric::SessionsPlanned, 5);
        measured.count(Metric::SessionsFailed, 1);
        let judged = |own: &[Threshold]| {
            let measured = Measured { overall: &measured, phases: Vec::new() };
            let implied = [threshold(Metric::SessionsFailed, Comparison::Equal, 0.0)];
            evaluate(own, &implied, &measured).0
        };
        assert_eq!(judged(&[]), Verdict::Fail);
        let own = threshold(Metric::SessionsFailed, Comparison::AtMost, 1.0);
        assert_eq!(judged(&[own]), Verdict::Pass);
    }

    #[test]
    fn a_limit_that_fails_by_send_lag_alone_is_named() {
        let mut measurements = Measurements::new();
        measurements.sample(Metric::ResponseLatency, 50_000_000);
        measurements.sample(Metric::ServiceLatency, 10_000_000);
        let limit = |limit| threshold(Metric::ResponseLatency, Comparison::Below, limit);
        let measured = Measured { overall: &measurements, phases: Vec::new() };
        let thresholds = [limit(40.0), limit(60.0), limit(5.0)];
        let decided = decided_by_send_lag(&thresholds, &measured);
        assert_eq!(decided, ["response_latency.p50 limit"], "only 40 ms lies between");
    }
}
