//! The run record, `run.json`: everything a report needs, versioned, durations in milliseconds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::gateway_record::GatewayRecord;
use crate::metric::{Metric, Quantity};
use crate::noise_floor::{NoiseFloorRecord, Warning};
use crate::per_device::PerDevice;
use crate::playout_record::PlayersRecord;
use crate::recorder::{Distribution, Statistic};
use crate::validity::Validity;

/// The version of the record's form; a reader refuses a higher one.
pub const FORMAT: u32 = 1;

/// One run, as `run.json` holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of Din that ran.
    pub din_version: String,
    /// When the run started, in seconds since 1970 (UTC).
    pub started_at_unix_s: u64,
    /// From the start to the end of the drain.
    pub duration_ms: f64,
    /// The commit that was tested, where the environment or `din baseline save --commit` says; `null` where it
    /// is not known, and in older records.
    #[serde(default)]
    pub commit: Option<String>,
    /// What was asked.
    pub scenario: ScenarioRecord,
    /// Where all random choices came from.
    pub seed: u64,
    /// What was tested.
    pub target: TargetRecord,
    /// Where it ran.
    pub host: BTreeMap<String, Value>,
    /// Libraries whose version changes results.
    pub versions: BTreeMap<String, String>,
    /// Whether the numbers may be believed.
    pub validity: Validity,
    /// What the reader should know beside that; none in older records.
    #[serde(default)]
    pub warnings: Vec<Warning>,
    /// What this host added by itself just before the run; `null` where it could not be measured,
    /// and in older records.
    #[serde(default)]
    pub noise_floor: Option<NoiseFloorRecord>,
    /// Whether every threshold held.
    pub verdict: Verdict,
    /// What the process returned.
    pub exit_code: u8,
    /// Why the run ended before its time, if it did.
    pub ended_early: Option<String>,
    /// Every limit and how it was met.
    pub thresholds: Vec<ThresholdRecord>,
    /// The phases, in order, with their own metrics.
    pub phases: Vec<PhaseRecord>,
    /// The metrics of the whole run.
    pub metrics: MetricMap,
    /// What the reference gateway told about itself; `null` for a foreign one, and when it did not
    /// tell.
    #[serde(default)]
    pub gateway: Option<GatewayRecord>,
    /// What each kind of player made of the answers; `null` in older records.
    #[serde(default)]
    pub players: Option<PlayersRecord>,
    /// What was done to the run at moments of it; none in older records.
    #[serde(default)]
    pub actions: Vec<ActionRecord>,
    /// What went wrong with sessions, most frequent first.
    pub failures: Vec<FailureRecord>,
    /// How the measurement was done: samples, sockets, clocks.
    pub method: BTreeMap<String, Value>,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScenarioRecord {
    /// The scenario's name: its file without the extension.
    pub name: String,
    /// The file's path as it was given; `null` in older records.
    #[serde(default)]
    pub file: Option<String>,
    /// Its title.
    pub title: String,
    /// The question it answers.
    pub question: String,
    /// The file's text.
    pub text: String,
    /// What the command line changed, as `key.path=value`.
    pub overrides: Vec<String>,
}

/// What was tested.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetRecord {
    /// `reference` when Din started the gateway, `foreign` when it was given.
    pub kind: String,
    /// The MQTT address.
    pub mqtt: String,
    /// What the reference gateway said when it was up; `null` for a foreign one.
    pub announced: Value,
    /// The reference gateway's own counters at its end; `null` when it did not say.
    pub counters: Value,
}

/// Whether every threshold held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Every threshold held that does not merely warn.
    Pass,
    /// A threshold did not hold, or had no samples.
    Fail,
}

/// One limit and how it was met.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "a flat form that other tools read")]
pub struct ThresholdRecord {
    /// The metric and statistic, for example `response_latency.p99`.
    pub metric: String,
    /// The phase it is about; `null` for the whole run.
    pub phase: Option<String>,
    /// The limit as it was written, for example `< 40ms`.
    pub limit: String,
    /// The limit's number, in `unit`; `null` in older records.
    #[serde(default)]
    pub bound: Option<f64>,
    /// What was seen, in `unit`; `null` without samples.
    pub observed: Option<f64>,
    /// The unit of `observed`.
    pub unit: String,
    /// How many samples stand behind `observed`; for counts, the count's basis is the whole run.
    pub samples: u64,
    /// Whether it held.
    pub ok: bool,
    /// Added by Din, not by the scenario.
    pub implied: bool,
    /// The time after an event that it is about, for example `within 5s of burst`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// The length of the sliding windows that each had to hold; `observed` is the worst of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over_ms: Option<f64>,
    /// When it was worst, second by second; `null` where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worst: Option<WorstMoment>,
    /// Not held, it is shown and fails nothing.
    #[serde(default)]
    pub warn: bool,
    /// The run was ended for it.
    #[serde(default)]
    pub aborted: bool,
    /// The line of its key in the scenario file, from 1; `null` where no line has it: implied, or
    /// added on the command line.
    #[serde(default)]
    pub line: Option<u32>,
}

impl ThresholdRecord {
    /// What is limited, with the part of the run: `burst.response_latency.p99 over 5 s`.
    pub fn subject(&self) -> String {
        let scope = self.within.as_ref().or(self.phase.as_ref());
        let scope = scope.map(|scope| format!("{scope}.")).unwrap_or_default();
        let over = self.over_ms.map(|over| format!(" over {} s", over / 1e3)).unwrap_or_default();
        format!("{scope}{}{over}", self.metric)
    }
}

/// The second, or the window of seconds, in which a limit was kept worst.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WorstMoment {
    /// Its end, from the start of the run.
    pub at_ms: f64,
    /// What was seen in it.
    pub observed: f64,
}

/// One phase.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseRecord {
    /// Its name.
    pub name: String,
    /// Its start, from the start of the run.
    pub start_ms: f64,
    /// Its end, from the start of the run.
    pub end_ms: f64,
    /// Its device target.
    pub devices: u32,
    /// Metrics of frames that were planned, and samples that were taken, within it.
    pub metrics: MetricMap,
}

/// Something that was done to a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionRecord {
    /// What thresholds call it; `null` when it has no name.
    pub name: Option<String>,
    /// What was to be done, in words.
    pub action: String,
    /// When, from the start of the run, as planned.
    pub at_ms: f64,
    /// When it was done; `null` for what is part of the schedule, and for what was not done.
    pub done_ms: Option<f64>,
    /// What came of it, in words.
    pub outcome: Option<String>,
    /// Whether it was done. A run in which something was not is INVALID.
    pub ok: bool,
}

/// One way in which sessions failed or were lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailureRecord {
    /// What happened.
    pub what: String,
    /// To how many sessions.
    pub count: u64,
    /// The first device it happened to.
    pub first_device: u32,
    /// When, from the start of the run.
    pub first_at_ms: f64,
}

/// Metrics by name.
pub type MetricMap = BTreeMap<String, MetricRecord>;

/// The entry of [`RunRecord::method`] that names the simulated networks, by group.
pub const NETWORKS: &str = "networks";

/// One metric's numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum MetricRecord {
    /// One number a device, and one of all together.
    PerDevice(DevicesSummary),
    /// A distribution of samples; the statistics are `null` without samples.
    Distribution(Summary),
    /// A count.
    Value {
        /// Empty for plain counts.
        unit: String,
        /// The number.
        value: f64,
    },
}

impl MetricRecord {
    /// The number that stands here for a statistic, or for the metric as a whole; `None` when it
    /// was not kept.
    pub fn number(&self, statistic: Option<Statistic>) -> Option<f64> {
        match (self, statistic) {
            (Self::Value { value, .. }, None) => Some(*value),
            (Self::PerDevice(devices), None) => devices.pooled,
            (Self::PerDevice(devices), Some(statistic)) => match statistic {
                Statistic::Mean => devices.mean,
                Statistic::Worst => devices.worst,
                Statistic::WorstPercent => devices.worst_1pct,
                Statistic::Quantile(0.5) => devices.p50,
                _ => None,
            },
            (Self::Distribution(summary), Some(statistic)) => match statistic {
                Statistic::Min => summary.min,
                Statistic::Mean => summary.mean,
                Statistic::Max => summary.max,
                Statistic::Quantile(0.5) => summary.p50,
                Statistic::Quantile(0.9) => summary.p90,
                Statistic::Quantile(0.99) => summary.p99,
                Statistic::Quantile(0.999) => summary.p999,
                _ => None,
            },
            (Self::Value { .. }, Some(_)) | (Self::Distribution(_), None) => None,
        }
    }
}

/// What each device has once, in a few numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DevicesSummary {
    /// The unit of every number.
    pub unit: String,
    /// That of all devices together; `null` where there is none.
    pub pooled: Option<f64>,
    /// Devices that have one.
    pub devices: u64,
    /// Median over the devices.
    pub p50: Option<f64>,
    /// Arithmetic mean over the devices.
    pub mean: Option<f64>,
    /// The mean of the worst 1 % of devices.
    pub worst_1pct: Option<f64>,
    /// The worst device.
    pub worst: Option<f64>,
}

/// A distribution in a few numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The unit of every statistic.
    pub unit: String,
    /// Number of samples.
    pub count: u64,
    /// Smallest sample.
    pub min: Option<f64>,
    /// Arithmetic mean.
    pub mean: Option<f64>,
    /// Median.
    pub p50: Option<f64>,
    /// 90th percentile.
    pub p90: Option<f64>,
    /// 99th percentile.
    pub p99: Option<f64>,
    /// 99.9th percentile.
    pub p999: Option<f64>,
    /// Largest sample.
    pub max: Option<f64>,
}

impl From<&Distribution> for Summary {
    fn from(distribution: &Distribution) -> Self {
        let quantile = |share| distribution.statistic(Statistic::Quantile(share)).map(rounded);
        Self {
            unit: distribution.quantity().unit().to_owned(),
            count: distribution.count(),
            min: distribution.statistic(Statistic::Min).map(rounded),
            mean: distribution.statistic(Statistic::Mean).map(rounded),
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: distribution.statistic(Statistic::Max).map(rounded),
        }
    }
}

/// Four decimals: a tenth of a microsecond, finer than anything measured here.
fn rounded(shown: f64) -> f64 {
    (shown * 1e4).round() / 1e4
}

/// The metrics of a run or a phase while they are collected.
#[derive(Clone, Debug, Default)]
pub struct Measurements {
    distributions: BTreeMap<Metric, Distribution>,
    counts: BTreeMap<Metric, u64>,
    devices: BTreeMap<Metric, PerDevice>,
}

impl Measurements {
    /// Nothing measured.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds to a count, which appears from then on even if it is zero.
    pub fn count(&mut self, metric: Metric, more: u64) {
        debug_assert_eq!(metric.quantity(), Quantity::Count, "{metric:?}");
        *self.counts.entry(metric).or_default() += more;
    }

    /// Adds samples to a metric, which appears from then on even if there are none.
    pub fn samples(&mut self, metric: Metric, samples: &Distribution) {
        self.distribution(metric).merge(samples);
    }

    /// Adds one sample in recorded units.
    pub fn sample(&mut self, metric: Metric, recorded: u64) {
        self.distribution(metric).record(recorded);
    }

    /// Sets what each device has once; nothing of this is merged.
    pub fn of_devices(&mut self, metric: Metric, numbers: PerDevice) {
        debug_assert!(metric.is_per_device(), "{metric:?}");
        self.devices.insert(metric, numbers);
    }

    /// What each device has once; `None` when it was not taken.
    pub fn devices(&self, metric: Metric) -> Option<&PerDevice> {
        self.devices.get(&metric)
    }

    fn distribution(&mut self, metric: Metric) -> &mut Distribution {
        self.distributions.entry(metric).or_insert_with(|| Distribution::new(metric.quantity()))
    }

    /// Adds everything of `other`.
    pub fn merge(&mut self, other: &Measurements) {
        for (&metric, samples) in &other.distributions {
            self.samples(metric, samples);
        }
        for (&metric, &count) in &other.counts {
            self.count(metric, count);
        }
    }

    /// A count; `None` when it was not taken.
    pub fn counted(&self, metric: Metric) -> Option<u64> {
        self.counts.get(&metric).copied()
    }

    /// A distribution; `None` when it was not taken.
    pub fn sampled(&self, metric: Metric) -> Option<&Distribution> {
        self.distributions.get(&metric)
    }

    /// The form of the run record.
    pub fn to_map(&self) -> MetricMap {
        let distributions = self.distributions.iter().map(|(metric, distribution)| {
            (metric.name().to_owned(), MetricRecord::Distribution(distribution.into()))
        });
        let counts = self.counts.iter().map(|(metric, &count)| {
            let unit = metric.quantity().unit().to_owned();
            (metric.name().to_owned(), MetricRecord::Value { unit, value: count as f64 })
        });
        let devices = self.devices.iter().map(|(metric, numbers)| {
            let statistic = |one| numbers.statistic(one).map(rounded);
            let summary = DevicesSummary {
                unit: metric.quantity().unit().to_owned(),
                pooled: numbers.pooled().map(rounded),
                devices: numbers.count(),
                p50: statistic(Statistic::Quantile(0.5)),
                mean: statistic(Statistic::Mean),
                worst_1pct: statistic(Statistic::WorstPercent),
                worst: statistic(Statistic::Worst),
            };
            (metric.name().to_owned(), MetricRecord::PerDevice(summary))
        });
        distributions.chain(counts).chain(devices).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_are_written_as_the_contract_says() {
        let mut measured = Measurements::new();
        measured.count(Metric::FramesSent, 3);
        measured.sample(Metric::SendLag, 250_000);
        measured.samples(Metric::FirstAudio, &Distribution::new(Quantity::Time));
        let json = serde_json::to_value(measured.to_map()).unwrap();
        assert_eq!(json["frames_sent"], serde_json::json!({"unit": "", "value": 3.0}));
        assert_eq!(json["send_lag"]["count"], 1);
        assert_eq!(json["send_lag"]["unit"], "ms");
        assert!((json["send_lag"]["p99"].as_f64().unwrap() - 0.25).abs() < 0.001);
        assert_eq!(json["first_audio"]["count"], 0);
        assert!(json["first_audio"]["p50"].is_null());
        let back: MetricMap = serde_json::from_value(json).unwrap();
        assert_eq!(back, measured.to_map());
    }

    #[test]
    fn merging_keeps_zeros_and_adds_the_rest() {
        let mut whole = Measurements::new();
        let mut part = Measurements::new();
        part.count(Metric::FramesLost, 0);
        part.count(Metric::FramesSent, 2);
        whole.merge(&part);
        whole.merge(&part);
        assert_eq!(whole.counted(Metric::FramesLost), Some(0));
        assert_eq!(whole.counted(Metric::FramesSent), Some(4));
        assert_eq!(whole.counted(Metric::FramesPlanned), None);
        assert!(whole.sampled(Metric::SendLag).is_none());
    }
}
