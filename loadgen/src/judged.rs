//! The numbers by which runs are compared, with each other and over time.

use measure::paired::Better;
use measure::record::MetricMap;
use measure::{Metric, Statistic};

/// A number of a run by which it is judged.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Judged {
    /// Its metric.
    pub metric: Metric,
    /// Its statistic; `None`: the metric is one number.
    pub statistic: Option<Statistic>,
    /// What limits call it.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// Which way is better.
    pub better: Better,
    /// Added to both sides of a comparison, where 0 is a good number: of one event, or of what hosts add.
    pub floor: f64,
}

/// All of them; the first decides unless another is named.
pub const JUDGED: [Judged; 8] = [
    Judged {
        metric: Metric::ResponseLatency,
        statistic: Some(Statistic::Quantile(0.99)),
        name: "response_latency.p99",
        unit: "ms",
        better: Better::Lower,
        floor: 0.0,
    },
    Judged {
        metric: Metric::ResponseLatency,
        statistic: Some(Statistic::Quantile(0.5)),
        name: "response_latency.p50",
        unit: "ms",
        better: Better::Lower,
        floor: 0.0,
    },
    Judged {
        metric: Metric::Rfc3550Jitter,
        statistic: None,
        name: "rfc3550_jitter",
        unit: "ms",
        better: Better::Lower,
        floor: 0.1,
    },
    Judged {
        metric: Metric::EffectiveLoss,
        statistic: None,
        name: "effective_loss",
        unit: "%",
        better: Better::Lower,
        floor: 0.1,
    },
    Judged {
        metric: Metric::StutterPerMinute,
        statistic: None,
        name: "stutter_per_minute",
        unit: "",
        better: Better::Lower,
        floor: 0.1,
    },
    Judged {
        metric: Metric::GatewayCpu,
        statistic: Some(Statistic::Mean),
        name: "gateway_cpu.mean",
        unit: "% of one core",
        better: Better::Lower,
        floor: 0.5,
    },
    Judged {
        metric: Metric::GatewayRss,
        statistic: Some(Statistic::Max),
        name: "gateway_rss.max",
        unit: "MiB",
        better: Better::Lower,
        floor: 1.0,
    },
    // Of the machine and not of the gateway: where it differs, the others are not of equal runs.
    Judged {
        metric: Metric::MachinePace,
        statistic: Some(Statistic::Mean),
        name: "machine_pace.mean",
        unit: "ms",
        better: Better::Lower,
        floor: 0.0,
    },
];

/// Their names, the one that decides first.
pub fn names() -> Vec<&'static str> {
    JUDGED.iter().map(|judged| judged.name).collect()
}

impl Judged {
    /// The number in a run's metrics; `None` where it is not known.
    pub fn of(&self, metrics: &MetricMap) -> Option<f64> {
        metrics.get(self.metric.name())?.number(self.statistic)
    }
}
