//! Renders a status in the text format of `OpenMetrics`, for Prometheus and whatever else reads it.
//!
//! Every name begins with `din_gateway_`; times are seconds, sizes bytes, shares ratios. Counters
//! are taken from their snapshot as it is serialised: a plain number there becomes a counter, a
//! group one with a label `cause`, so that nothing that is counted can be left out here.

mod families;

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::registry::Registry;
use serde::Deserialize;
use serde_json::Value;

use super::status::{PoolStatus, ProcessStatus, ScalingStatus, Status, WorkerStatus};
use crate::counters::CountersSnapshot;
use families::Families;

/// The media type of what [`render`] returns.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The whole text, up to `# EOF`.
pub(crate) fn render(status: &Status) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Page(status.clone())));
    let mut text = String::new();
    encode(&mut text, &registry).expect("a string takes everything");
    text
}

/// A status, which the registry wants to own.
#[derive(Debug)]
struct Page(Status);

impl Collector for Page {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (status, to) = (&self.0, &mut Families(encoder));
        gateway(to, status)?;
        counters(to, &status.counters)?;
        let help = "From the kernel receiving a frame to a worker taking it.";
        to.histogram("queue_delay_seconds", help, &status.queue_delay)?;
        to.histogram("work_seconds", "How long workers had a frame in hand.", &status.work)?;
        to.histogram("latency_seconds", "Queue delay and work together.", &status.latency)?;
        pool(to, &status.pool)?;
        workers(to, &status.pool.workers)?;
        scaling(to, &status.scaling)?;
        if let Some(usage) = &status.process {
            process(to, usage)?;
        }
        faults(to, status)
    }
}

fn gateway(to: &mut Families<'_>, status: &Status) -> fmt::Result {
    to.info(
        "The gateway and what it was started with.",
        &[
            ("version", status.version.to_owned()),
            ("backend", status.backend.kind.to_string()),
            ("dispatch", status.pool.dispatch.to_string()),
            ("policy", status.scaling.policy.to_string()),
        ],
    )?;
    to.gauge("uptime_seconds", "Time since the gateway started.", status.uptime_s)?;
    to.gauge("sessions", "Audio sessions open now.", status.sessions_live)
}

/// What a snapshot of counters consists of.
#[derive(Deserialize)]
#[serde(untagged)]
enum Counted {
    Number(u64),
    ByCause(BTreeMap<String, u64>),
}

fn counters(to: &mut Families<'_>, counters: &CountersSnapshot) -> fmt::Result {
    let counters: BTreeMap<String, Counted> = serde_json::to_value(counters)
        .and_then(serde_json::from_value)
        .expect("counters are numbers, and groups of numbers");
    for (name, counted) in counters {
        match counted {
            Counted::Number(count) => to.counter(&name, &counter_help(&name), count)?,
            Counted::ByCause(counts) => {
                to.counters_by("cause", &name, &counter_help(&name), counts)?;
            }
        }
    }
    Ok(())
}

/// Says what is counted under a name; of a name that is new here at least where it is explained.
fn counter_help(name: &str) -> String {
    let known = match name {
        "frames_in" => "Datagrams that arrived on the media port, whatever they were.",
        "frames_accepted" => "Frames found new and plausible, and put into a mailbox.",
        "frames_out" => "Frames answered.",
        "frames_heard" => "Frames decoded that have no answer.",
        "turns" => "Turns that the assistant took.",
        "turns_interrupted" => "Turns of the assistant that were broken off.",
        "speech_frames" => "Packets of the assistant's speech sent.",
        "speech_lost" => "Packets of the assistant's speech not sent.",
        "kernel_drops" => "Datagrams that the kernel dropped before the gateway read them.",
        "memory_leaked" => "Bytes leaked on purpose.",
        "worker_panics" => "Times a worker panicked and was given a fresh desk.",
        "sessions_opened" => "Audio sessions opened: hellos granted.",
        "hellos_refused" => "Hellos answered with an error.",
        "messages_forwarded" => "Messages for the backend: listen, abort, MCP and unknown types.",
        "messages_malformed" => "Published payloads that are no control message.",
        "connections" => "TCP connections accepted.",
        "connected" => "Connections answered with CONNACK 0.",
        "accept_failed" => "Times the listening socket could not accept.",
        "dropped" => "What arrived on the media port and was not answered.",
        "sessions_ended" => "Audio sessions ended.",
        "refused" => "Connections refused.",
        "closed" => "Connections of devices closed.",
        "faults" => "Faults made on purpose.",
        _ => return format!("Counter `{name}` of the gateway."),
    };
    known.to_owned()
}

fn pool(to: &mut Families<'_>, pool: &PoolStatus) -> fmt::Result {
    let states =
        [("starting", pool.starting), ("serving", pool.serving), ("draining", pool.draining)];
    to.gauges_by("state", "workers", "Workers by what they are doing.", states)?;
    to.gauge("pending", "Frames accepted and not yet done with.", pool.pending)?;
    let help = "Production's load: mean pending per serving worker over 5.";
    to.gauge("load_ratio", help, pool.load_percent / 100.0)?;
    let help = "How long some worker was idle while work waited for another.";
    to.counter("idle_while_waiting_seconds", help, pool.idle_while_waiting_s)
}

fn workers(to: &mut Families<'_>, workers: &[WorkerStatus]) -> fmt::Result {
    let label = |worker: &WorkerStatus| worker.worker.to_string();
    let busy = workers.iter().map(|worker| (label(worker), worker.busy_s));
    let help = "How long the worker had frames in hand.";
    to.counters_by("worker", "worker_busy_seconds", help, busy)?;
    let cpu = workers.iter().filter_map(|worker| Some((label(worker), worker.cpu_s?)));
    let help = "Processor time of the worker's thread; absent where it has none now.";
    to.counters_by("worker", "worker_cpu_seconds", help, cpu)?;
    let frames = workers.iter().map(|worker| (label(worker), worker.frames));
    to.counters_by("worker", "worker_frames", "Frames that the worker has run.", frames)?;
    let pending = workers.iter().map(|worker| (label(worker), worker.pending));
    let help = "Sessions in the worker's own queue and its hands.";
    to.gauges_by("worker", "worker_pending", help, pending)
}

fn scaling(to: &mut Families<'_>, scaling: &ScalingStatus) -> fmt::Result {
    to.gauge("workers_min", "The fewest workers there may be.", scaling.min)?;
    to.gauge("workers_max", "The most workers there may be.", scaling.max)?;
    let decisions = scaling.decisions.iter().map(|(reason, count)| (*reason, *count));
    let help = "Decisions that changed the number of workers.";
    to.counters_by("reason", "scaling_decisions", help, decisions)
}

fn process(to: &mut Families<'_>, process: &ProcessStatus) -> fmt::Result {
    let help = "Processor time in the last second, as a share of one core.";
    to.gauge("process_cpu_ratio", help, process.cpu_percent / 100.0)?;
    to.gauge("process_resident_bytes", "Resident memory.", process.resident_bytes)?;
    to.gauge("process_threads", "Threads alive.", process.threads)
}

fn faults(to: &mut Families<'_>, status: &Status) -> fmt::Result {
    let configured = serde_json::to_value(&status.faults.configured);
    let active = active_faults(&configured.expect("settings are named"));
    let help = "Faults that are switched on, each 1.";
    to.gauges_by("fault", "fault_active", help, active.into_iter().map(|fault| (fault, 1_u64)))?;
    to.gauge("leaked_bytes", "Memory leaked on purpose.", status.faults.leaked_bytes)
}

/// The faults among the settings that are neither left out nor false, zero or empty.
fn active_faults(configured: &Value) -> Vec<String> {
    let settings = configured.as_object().into_iter().flatten();
    let active = settings.filter(|(name, value)| *name != "seed" && is_on(value));
    let mut names: Vec<_> = active.map(|(name, _)| name.clone()).collect();
    names.sort();
    names
}

fn is_on(setting: &Value) -> bool {
    match setting {
        Value::Null => false,
        Value::Bool(on) => *on,
        Value::Number(number) => number.as_f64() != Some(0.0),
        // `0%`, `0s`: a quantity without a digit other than zero.
        Value::String(text) => !text.starts_with('0') || text.contains(|c| matches!(c, '1'..='9')),
        Value::Array(list) => !list.is_empty(),
        Value::Object(keys) => !keys.is_empty(),
    }
}

#[cfg(test)]
mod tests;
