//! What a search keeps of a run.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;

use measure::record::{RunRecord, ThresholdRecord, Verdict};
use measure::validity::State;
use measure::{Metric, Statistic};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One trial that counts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// What was varied.
    pub value: u32,
    /// Whether every threshold held.
    pub good: bool,
    /// Those that failed.
    pub failed: Vec<String>,
    /// Whether the run was SUSPECT: it counts, with a doubt.
    #[serde(default)]
    pub suspect: bool,
    /// Of several groups of devices the one that fared worst, when it was bad.
    pub worst_group: Option<String>,
    /// The run's directory, within the search's.
    pub directory: String,
    /// What was measured.
    pub seen: Seen,
}

/// What was measured in a trial; `None` where it is not known, as of a foreign gateway.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Devices of the largest phase.
    pub devices: u32,
    /// Frames answered in a second, with all devices there.
    pub frames_per_s: Option<f64>,
    /// Response latency, mean, in ms.
    pub response_latency_mean_ms: Option<f64>,
    /// Response latency, p99, in ms.
    pub response_latency_p99_ms: Option<f64>,
    /// Effective loss in %.
    pub effective_loss_percent: Option<f64>,
    /// For how long a worker had a frame in its hands, mean, in ms.
    pub work_mean_ms: Option<f64>,
    /// Workers, at most.
    pub workers: Option<f64>,
    /// Of these at work, in the second that is the median.
    pub workers_busy: Option<f64>,
    /// Processor time of the gateway, mean, in % of one core.
    pub gateway_cpu_percent: Option<f64>,
    /// Largest memory of the gateway, in MiB.
    pub gateway_rss_mib: Option<f64>,
    /// Processor time of the generator, mean, in % of one core.
    pub generator_cpu_percent: Option<f64>,
    /// How long the same piece of arithmetic took on the machine, mean, in ms.
    #[serde(default)]
    pub machine_pace_ms: Option<f64>,
}

/// What is the same for all trials of a search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Basis {
    /// Where they ran.
    pub host: BTreeMap<String, Value>,
    /// Every limit of the scenario's own: what is limited, to what as it was written, and as a number.
    pub limits: Vec<(String, String, Option<f64>)>,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It counts.
    Counts {
        /// What is kept of it.
        trial: Box<Trial>,
        /// What is the same for all of them.
        basis: Basis,
    },
    /// It says nothing.
    Invalid,
    /// Somebody ended it.
    Interrupted,
}

impl Outcome {
    /// Of a run in `directory` that had this value; for `full_s` seconds all devices were there, where that is
    /// known.
    pub fn of(value: u32, full_s: Option<f64>, record: &RunRecord, directory: &Path) -> Self {
        match (record.exit_code, record.validity.state) {
            (130, _) => Self::Interrupted,
            (_, State::Invalid) => Self::Invalid,
            _ => Self::Counts {
                trial: Box::new(Trial::of(value, full_s, record, directory)),
                basis: Basis {
                    host: record.host.clone(),
                    limits: record
                        .thresholds
                        .iter()
                        .filter(|one| !one.implied)
                        .map(|one| (one.subject(), one.limit.clone(), one.bound))
                        .collect(),
                },
            },
        }
    }
}

impl Trial {
    fn of(value: u32, full_s: Option<f64>, record: &RunRecord, directory: &Path) -> Self {
        let failed = record.thresholds.iter().filter(|one| !one.ok && !one.warn);
        let failed: Vec<String> = failed.map(ThresholdRecord::subject).collect();
        let rows = fs::read_to_string(directory.join("devices.csv")).unwrap_or_default();
        let worst_group = failed.first().and_then(|failed| worst_group(failed, &rows));
        Self {
            value,
            good: record.verdict == Verdict::Pass,
            failed,
            suspect: record.validity.state == State::Suspect,
            worst_group,
            directory: directory
                .file_name()
                .map_or_else(String::new, |name| name.to_string_lossy().into_owned()),
            seen: Seen::of(full_s, record),
        }
    }
}

impl Seen {
    fn of(full_s: Option<f64>, record: &RunRecord) -> Self {
        let number =
            |metric: Metric, statistic| record.metrics.get(metric.name())?.number(statistic);
        let mean = |metric| number(metric, Some(Statistic::Mean));
        let most = |metric| number(metric, Some(Statistic::Max));
        let frames = number(Metric::FramesReceived, None);
        Self {
            devices: record.phases.iter().map(|phase| phase.devices).max().unwrap_or(0),
            frames_per_s: frames.zip(full_s).map(|(frames, seconds)| frames / seconds),
            response_latency_mean_ms: mean(Metric::ResponseLatency),
            response_latency_p99_ms: number(
                Metric::ResponseLatency,
                Some(Statistic::Quantile(0.99)),
            ),
            effective_loss_percent: number(Metric::EffectiveLoss, None),
            work_mean_ms: mean(Metric::GatewayWork),
            workers: most(Metric::Workers),
            // Seconds in which devices come are few.
            workers_busy: number(Metric::WorkersBusy, Some(Statistic::Quantile(0.5))),
            gateway_cpu_percent: mean(Metric::GatewayCpu),
            gateway_rss_mib: most(Metric::GatewayRss),
            generator_cpu_percent: mean(Metric::GeneratorCpu),
            machine_pace_ms: mean(Metric::MachinePace),
        }
    }

    /// What was seen on average over trials, of those that know it.
    pub(super) fn mean(trials: &[&Trial]) -> Self {
        let mean = |of: fn(&Self) -> Option<f64>| {
            let numbers: Vec<f64> = trials.iter().filter_map(|trial| of(&trial.seen)).collect();
            (!numbers.is_empty()).then(|| numbers.iter().sum::<f64>() / numbers.len() as f64)
        };
        Self {
            devices: trials.first().map_or(0, |trial| trial.seen.devices),
            frames_per_s: mean(|seen| seen.frames_per_s),
            response_latency_mean_ms: mean(|seen| seen.response_latency_mean_ms),
            response_latency_p99_ms: mean(|seen| seen.response_latency_p99_ms),
            effective_loss_percent: mean(|seen| seen.effective_loss_percent),
            work_mean_ms: mean(|seen| seen.work_mean_ms),
            workers: mean(|seen| seen.workers),
            workers_busy: mean(|seen| seen.workers_busy),
            gateway_cpu_percent: mean(|seen| seen.gateway_cpu_percent),
            gateway_rss_mib: mean(|seen| seen.gateway_rss_mib),
            generator_cpu_percent: mean(|seen| seen.generator_cpu_percent),
            machine_pace_ms: mean(|seen| seen.machine_pace_ms),
        }
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.seen.response_latency_p99_ms {
            Some(ms) => write!(f, "p99 {ms:.1} ms  ")?,
            None => write!(f, "p99 -  ")?,
        }
        if self.good {
            f.write_str("good")?;
        } else {
            write!(f, "bad: {}", self.failed.join(", "))?;
        }
        if self.suspect { f.write_str(" (SUSPECT)") } else { Ok(()) }
    }
}

/// Of the groups in `devices.csv`, where there are several, the one whose devices had on average the most of
/// what failed: effective loss, stutters, or else latency.
fn worst_group(failed: &str, rows: &str) -> Option<String> {
    let mut lines = rows.lines();
    let head: Vec<&str> = lines.next()?.split(',').collect();
    let place = |name: &str| head.iter().position(|column| *column == name);
    let column = match failed {
        failed if failed.contains("stutter") => "stutter_per_minute",
        failed if failed.contains("loss") || failed.contains("lost") => "effective_loss_percent",
        _ => "response_latency_mean_ms",
    };
    let (group, number) = (place("group")?, place(column)?);
    let mut sums: BTreeMap<&str, (f64, f64)> = BTreeMap::new();
    for line in lines {
        let cells: Vec<&str> = line.split(',').collect();
        let value: Option<f64> = cells.get(number).and_then(|cell| cell.parse().ok());
        let (sum, count) = sums.entry(cells.get(group)?).or_default();
        if let Some(value) = value {
            *sum += value;
            *count += 1.0;
        }
    }
    if sums.len() < 2 {
        return None;
    }
    let mean = |&(sum, count): &(f64, f64)| if count > 0.0 { sum / count } else { 0.0 };
    let worst = sums.iter().max_by(|a, b| mean(a.1).total_cmp(&mean(b.1)))?;
    Some((*worst.0).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_that_fared_worst_is_named_by_what_failed() {
        let rows = "device,group,response_latency_mean_ms,stutter_per_minute,effective_loss_percent\n\
                    0,near,5.0,1.0,0.5\n1,far,80.0,0.0,0.0\n2,far,90.0,0.5,0.0\n3,mute,,,\n";
        for (failed, worst) in [
            ("response_latency.p99", "far"),
            ("stutter_per_minute.worst", "near"),
            ("effective_loss", "near"),
        ] {
            assert_eq!(worst_group(failed, rows).as_deref(), Some(worst), "{failed}");
        }
        let alone = "device,group,response_latency_mean_ms\n0,all,5.0\n";
        assert_eq!(worst_group("response_latency.p99", alone), None);
        assert_eq!(worst_group("response_latency.p99", ""), None);
    }
}
