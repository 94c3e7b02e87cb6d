//! What a plan will run into: told before it does.

use std::time::Duration;

use measure::validity::{BUSY_SHARE, INTEGRITY_SAMPLE};
use measure::{Metric, Statistic};
use protocol::Moment;

use super::host::Host;
use super::load::{Load, frames_down, frames_up};
use crate::preflight::{FILES_BESIDE_DEVICES, FILES_PER_DEVICE};
use crate::scenario::{Scenario, Scope, Talk, Threshold, shown_duration};
use crate::schedule::Schedule;
use crate::verdict::is_looked_for_in_a_sample;

/// After so long without audio the reference gateway ends a session.
const AUDIO_TIMEOUT: Duration = Duration::from_mins(2);
/// With this probability a sample beyond the quantile is among those of a run.
const CONFIDENCE: f64 = 0.95;

/// A sentence for each.
pub(super) fn of(
    scenario: &Scenario,
    schedule: &Schedule,
    load: &Load<'_>,
    host: &Host,
) -> Vec<String> {
    let mut cautions = Vec::new();
    cautions.extend(files(scenario, host));
    cautions.extend(ports(scenario, host));
    cautions.extend(cores(load, host));
    cautions.extend(workers(scenario, load));
    cautions.extend(silence(schedule, load));
    let samples = |threshold: &Threshold| too_few_samples(threshold, scenario, schedule, load);
    cautions.extend(scenario.thresholds.iter().filter_map(samples));
    cautions.extend(faults_that_may_go_unseen(scenario, schedule, load));
    cautions
}

fn files(scenario: &Scenario, host: &Host) -> Option<String> {
    let devices = scenario.most_devices();
    let needed = u64::from(devices) * FILES_PER_DEVICE + FILES_BESIDE_DEVICES;
    let limit = host.open_files.filter(|&limit| needed > limit)?;
    let most = limit.saturating_sub(FILES_BESIDE_DEVICES) / FILES_PER_DEVICE;
    Some(format!(
        "{devices} devices need {needed} open files, and the hard limit here is {limit}, enough for \
         {most} devices: the run will be refused; raise the limit (`ulimit -Hn`), or use fewer devices"
    ))
}

fn ports(scenario: &Scenario, host: &Host) -> Option<String> {
    let devices = u64::from(scenario.most_devices());
    let ports = host.ports.filter(|&ports| devices > ports)?;
    Some(format!(
        "{devices} devices need a port each, and this host gives away {ports}: the run will be \
         refused; widen net.ipv4.ip_local_port_range, or use fewer devices"
    ))
}

fn cores(load: &Load<'_>, host: &Host) -> Option<String> {
    let needed = load.cores?;
    let both = needed.generator + needed.gateway;
    let allowed = BUSY_SHARE * f64::from(host.cores);
    (both > allowed).then(|| {
        format!(
            "generator and gateway need at least {both:.1} cores when all devices are there, and {:.0} % \
             of the {} here are {allowed:.1}: what is measured will be this host and not the \
             gateway; use fewer devices, a lower gateway.complexity, or a --target on another host",
            BUSY_SHARE * 100.0,
            host.cores
        )
    })
}

fn workers(scenario: &Scenario, load: &Load<'_>) -> Option<String> {
    let busy = load.cores?.workers;
    let most = scenario.gateway.most_workers();
    let s = if most == 1 { "" } else { "s" };
    (busy > f64::from(most)).then(|| {
        format!(
            "the gateway's frames need at least {busy:.1} workers when all devices are there, and it has \
             {most} worker{s} at most: its queue will grow as long as they speak; that is right for \
             a test of overload, else raise gateway.workers"
        )
    })
}

fn silence(schedule: &Schedule, load: &Load<'_>) -> Option<String> {
    let silent = |call: &&crate::schedule::PlannedCall| {
        load.of_call(call).0.talk == Talk::Silent && call.leave.since(call.arrive) > AUDIO_TIMEOUT
    };
    let calls = schedule.calls.iter().filter(silent).count();
    (calls > 0).then(|| {
        let limit = shown_duration(AUDIO_TIMEOUT);
        format!(
            "{calls} sessions of silent devices are longer than {limit}: after that long without \
             audio the reference gateway ends a session, and they will count as lost; make the calls \
             shorter, or let the devices speak"
        )
    })
}

/// A quantile of fewer samples than let one beyond it be seen with 95 % is mostly the largest of
/// them: n ≥ ln(1 − 0.95) / ln(quantile), by the order statistics of independent samples.
fn too_few_samples(
    threshold: &Threshold,
    scenario: &Scenario,
    schedule: &Schedule,
    load: &Load<'_>,
) -> Option<String> {
    let Some(Statistic::Quantile(share)) = threshold.statistic else { return None };
    let expected = samples(threshold, scenario, schedule, load)?;
    if share >= 1.0 {
        return None;
    }
    let needed = ((1.0 - CONFIDENCE).ln() / share.ln()).ceil();
    (expected < needed).then(|| {
        format!(
            "threshold {threshold}: about {expected:.0} samples are expected, and with fewer than \
             {needed:.0} a p{} is little more than their largest; run longer, or with more devices",
            share * 100.0
        )
    })
}

/// Of the thresholds against faults of audio the one with the fewest samples, if validity will say of
/// it that they are too few.
fn faults_that_may_go_unseen(
    scenario: &Scenario,
    schedule: &Schedule,
    load: &Load<'_>,
) -> Option<String> {
    let expected = |threshold: &Threshold| {
        let (start, end) = bounds(&threshold.scope, scenario, schedule);
        match threshold.metric {
            Metric::DecodeFailed => Some(load.count_decoded(start, end, frames_down)),
            // In seconds of speech; nobody speaks all the time.
            Metric::ForeignAudio | Metric::Unrecognised => {
                Some(load.count_decoded(start, end, |_, habits| habits.speaking))
            }
            _ => None,
        }
    };
    let looked_for =
        scenario.thresholds.iter().filter(|threshold| is_looked_for_in_a_sample(threshold));
    let samples = looked_for.filter_map(|threshold| Some((expected(threshold)?, threshold)));
    let (fewest, threshold) = samples.min_by(|(one, _), (other, _)| one.total_cmp(other))?;
    (fewest < INTEGRITY_SAMPLE as f64).then(|| {
        format!(
            "threshold {threshold}: at most {fewest:.0} samples are expected, and with fewer than \
             {INTEGRITY_SAMPLE} the run will be SUSPECT; run longer, or raise devices.decode, which is {}",
            scenario.devices.decode
        )
    })
}

/// How many samples a threshold will judge, about; `None` where that cannot be told in advance.
fn samples(
    threshold: &Threshold,
    scenario: &Scenario,
    schedule: &Schedule,
    load: &Load<'_>,
) -> Option<f64> {
    let (start, end) = bounds(&threshold.scope, scenario, schedule);
    let length = end.since(start).as_secs_f64();
    let of_calls = || {
        let calls = schedule.calls.iter().map(|call| call.arrive);
        calls.filter(|arrive| (start..end).contains(arrive)).count() as f64
    };
    let whole = match threshold.metric {
        Metric::SendLag | Metric::GatewayQueueDelay | Metric::GatewayWork | Metric::PathUp => {
            load.count(start, end, frames_up)
        }
        Metric::ResponseLatency
        | Metric::ServiceLatency
        | Metric::Ipdv
        | Metric::Pdv
        | Metric::ReceiveLag
        | Metric::PathBack => load.count(start, end, frames_down),
        Metric::ArrivalLag | Metric::ConnectTime | Metric::HelloTime | Metric::FirstAudio => {
            of_calls()
        }
        Metric::TurnLatency | Metric::TurnLag => load.count(start, end, |_, habits| {
            habits.turn.map_or(0.0, |turn| 1.0 / turn.as_secs_f64().max(1e-3))
        }),
        Metric::BargeIn => load.count(start, end, |_, habits| {
            habits.turn.map_or(0.0, |turn| habits.barge_in / turn.as_secs_f64().max(1e-3))
        }),
        Metric::GatewayCpu
        | Metric::GatewayRss
        | Metric::GatewayLoad
        | Metric::Workers
        | Metric::WorkersBusy
        | Metric::WorkerBalance
        | Metric::IdleWhileWaiting
        | Metric::GeneratorCpu
        | Metric::GeneratorRss => length,
        Metric::MachinePace => length * 20.0,
        _ => return None,
    };
    let window = threshold.over.map_or(1.0, |over| over.as_secs_f64() / length.max(1e-9));
    Some(whole * window.min(1.0))
}

fn bounds(scope: &Scope, scenario: &Scenario, schedule: &Schedule) -> (Moment, Moment) {
    match scope {
        Scope::Run => (Moment::START, schedule.phases.end()),
        Scope::Phase(name) => {
            let index = scenario.phases.iter().position(|phase| phase.name == *name);
            schedule
                .phases
                .bounds(index.expect("a threshold's phase was looked up when it was read"))
        }
        Scope::Within(window) => {
            let start = Moment::START + window.start;
            (start, start + window.span)
        }
    }
}
