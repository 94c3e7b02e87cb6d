//! What the reader of a run should know although it changes neither verdict nor validity: limits
//! that are too close to what this host adds by itself.

use std::io;

use measure::Metric;
use measure::noise_floor::Warning;
use measure::record::Measurements;

use crate::noise_floor::NoiseFloor;
use crate::scenario::{Comparison, Limit, Scope, Threshold};
use crate::verdict::{Measured, observe};

/// Metrics of the answers' time that a host adds to. Send lag is not among them: it is the
/// generator's own, and validity judges it.
const TIMED: [Metric; 6] = [
    Metric::ResponseLatency,
    Metric::ServiceLatency,
    Metric::Ipdv,
    Metric::Pdv,
    Metric::Rfc3550Jitter,
    Metric::InterarrivalSigma,
];

/// Everything about a run with these thresholds on a host with this noise floor.
pub fn of(thresholds: &[Threshold], floor: &io::Result<NoiseFloor>) -> Vec<Warning> {
    match floor {
        Ok(floor) if floor.answered() == 0 => {
            let why = format!("none of {} frames came back to 127.0.0.1", floor.sent());
            vec![Warning::no_floor(&why)]
        }
        Ok(floor) => near_floor(thresholds, &floor.measured),
        Err(error) => vec![Warning::no_floor(&error.to_string())],
    }
}

/// A warning for each upper limit on a metric of `TIMED` that is under three times the same number
/// of the noise floor. A limit of a phase is compared with the floor of the whole probe.
pub fn near_floor(thresholds: &[Threshold], floor: &Measurements) -> Vec<Warning> {
    let floor = Measured::whole(floor);
    let upper = |threshold: &&Threshold| {
        TIMED.contains(&threshold.metric)
            && matches!(threshold.comparison, Comparison::Below | Comparison::AtMost)
    };
    let warning = |threshold: &Threshold| {
        // A multiple of another measurement stands on the same floor as that.
        let Limit::Number(limit) = threshold.limit else { return None };
        let whole = Threshold { scope: Scope::Run, ..threshold.clone() };
        let (seen, samples) = observe(&whole, &floor)?;
        Warning::near_floor(&threshold.to_string(), limit, seen, samples)
    };
    thresholds.iter().filter(upper).filter_map(warning).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use measure::Statistic;
    use measure::per_device::{PerDevice, Worse};

    /// A latency of 0.1 to 1 ms, and jitter of 0.2 ms, at worst 0.4.
    fn floor() -> Measurements {
        let mut floor = Measurements::new();
        for micros in 1..=1000u64 {
            floor.sample(Metric::ResponseLatency, micros * 1_000);
            floor.sample(Metric::SendLag, micros * 1_000);
        }
        let jitter = PerDevice::new(vec![0.1, 0.4], Some(0.2), Worse::Higher);
        floor.of_devices(Metric::Rfc3550Jitter, jitter);
        floor
    }

    fn limit(
        metric: Metric,
        statistic: Option<Statistic>,
        comparison: Comparison,
        limit: f64,
    ) -> Threshold {
        Threshold {
            scope: Scope::Phase("talk".to_owned()),
            ..Threshold::plain(metric, statistic, comparison, limit, &format!("? {limit}ms"))
        }
    }

    #[test]
    fn upper_limits_near_the_same_number_of_the_floor_are_warned_about() {
        use Comparison::{Above, AtLeast, AtMost, Below};
        let (p50, p99) = (Some(Statistic::Quantile(0.5)), Some(Statistic::Quantile(0.99)));
        for (metric, statistic, comparison, number, warned) in [
            (Metric::ResponseLatency, p99, Below, 2.9, true),
            (Metric::ResponseLatency, p99, AtMost, 2.9, true),
            (Metric::ResponseLatency, p99, Below, 3.1, false),
            (Metric::ResponseLatency, p50, Below, 2.9, false),
            (Metric::ResponseLatency, p50, Below, 1.4, true),
            (Metric::ResponseLatency, p99, AtLeast, 0.1, false),
            (Metric::ResponseLatency, p99, Above, 0.1, false),
            (Metric::Rfc3550Jitter, None, Below, 0.5, true),
            (Metric::Rfc3550Jitter, None, Below, 0.7, false),
            (Metric::Rfc3550Jitter, Some(Statistic::Worst), Below, 0.7, true),
            // The generator's own, and what the probe did not measure.
            (Metric::SendLag, p99, Below, 0.1, false),
            (Metric::Pdv, p99, Below, 0.1, false),
            (Metric::HelloTime, p99, Below, 0.1, false),
        ] {
            let threshold = limit(metric, statistic, comparison, number);
            let warnings = near_floor(std::slice::from_ref(&threshold), &floor());
            assert_eq!(warnings.len(), usize::from(warned), "{threshold}");
            for warning in warnings {
                assert!(warning.text.contains(&threshold.to_string()), "{}", warning.text);
                assert!(warning.samples > 0 && warning.limit_ms == Some(number));
            }
        }
    }

    #[test]
    fn a_floor_that_could_not_be_measured_is_warned_about() {
        let warnings = of(&[], &Err(io::Error::other("no loopback")));
        assert_eq!((warnings.len(), &warnings[0].rule[..]), (1, "no_noise_floor"));
        assert!(warnings[0].text.ends_with("no loopback"));
    }
}
