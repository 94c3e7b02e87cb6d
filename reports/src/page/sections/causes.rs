//! Where the time went, what devices experienced, what the pool did, and what was wrong with audio.

use maud::{Markup, html};
use measure::Metric;
use measure::gateway_record::GatewayRecord;
use measure::record::{DevicesSummary, MetricRecord, PhaseRecord, RunRecord, Summary};

use super::{of, scrolled};
use crate::charts::{Scorecard, letter, scorecard};
use crate::figures::{distribution, millis_text, thousands, value, with_unit};
use crate::run_files::RunFiles;

/// Latencies and lags.
const TIMES: [Metric; 14] = [
    Metric::ResponseLatency,
    Metric::ServiceLatency,
    Metric::SendLag,
    Metric::ImpairmentLag,
    Metric::ReceiveLag,
    Metric::TurnLatency,
    Metric::BargeIn,
    Metric::GatewayQueueDelay,
    Metric::GatewayWork,
    Metric::PathUp,
    Metric::PathBack,
    Metric::ConnectTime,
    Metric::HelloTime,
    Metric::FirstAudio,
];

/// What each device has once.
const DEVICES: [Metric; 12] = [
    Metric::Rfc3550Jitter,
    Metric::InterarrivalSigma,
    Metric::StutterPerMinute,
    Metric::InterruptionsPerMinute,
    Metric::LongestGap,
    Metric::EffectiveLoss,
    Metric::BurstRatio,
    Metric::LongestLossRun,
    Metric::ConcealedRatio,
    Metric::QueueOverflow,
    Metric::PlayoutDepth,
    Metric::MosIndicative,
];

/// Every class of error that is counted.
const ERRORS: [Metric; 27] = [
    Metric::SessionsFailed,
    Metric::SessionsLost,
    Metric::FramesLost,
    Metric::FramesUnserved,
    Metric::FramesReordered,
    Metric::FramesDuplicate,
    Metric::FramesUnmatched,
    Metric::ImpairedLost,
    Metric::NatRebinds,
    Metric::SendRefused,
    Metric::TurnsUnanswered,
    Metric::SpeechLost,
    Metric::DecodeFailed,
    Metric::WrongDuration,
    Metric::Undecipherable,
    Metric::ForeignAudio,
    Metric::Unrecognised,
    Metric::Silent,
    Metric::GoldenMismatch,
    Metric::KeystreamReuse,
    Metric::ReplayedNonce,
    Metric::WrongSession,
    Metric::WorkerTimeouts,
    Metric::WorkerPanics,
    Metric::GatewayUndecipherable,
    Metric::GatewayExits,
    Metric::ScalingChanges,
];

/// How much was looked at.
const LOOKED_AT: [Metric; 9] = [
    Metric::SessionsPlanned,
    Metric::SessionsOpened,
    Metric::FramesPlanned,
    Metric::FramesSent,
    Metric::FramesReceived,
    Metric::Turns,
    Metric::Decoded,
    Metric::Recognised,
    Metric::GoldenCompared,
];

/// The percentiles of every time.
pub(super) fn times(runs: &[RunFiles]) -> Markup {
    let known = |metric: Metric, run: &RunFiles| -> Option<Summary> {
        distribution(&run.record, metric).filter(|times| times.count > 0).cloned()
    };
    html! {
        div.scroll tabindex="0" role="region" aria-label="Latencies and lags" {
            table.wide {
                thead { tr {
                    th.text scope="col" { "time (ms)" }
                    @for name in ["p50", "p90", "p99", "p99.9", "max", "samples"] { th scope="col" { (name) } }
                } }
                tbody { @for metric in TIMES { @for (index, run) in runs.iter().enumerate() {
                    @if let Some(times) = known(metric, run) {
                        tr {
                            th.text scope="row" { span title=(metric.meaning()) { (metric.name()) } (of(runs, index)) }
                            @for number in [times.p50, times.p90, times.p99, times.p999, times.max] {
                                td { (number.map_or_else(|| "–".to_owned(), millis_text)) }
                            }
                            td { (thousands(times.count)) }
                        }
                    }
                } } }
            }
        }
        (meanings(&TIMES))
    }
}

fn meanings(metrics: &[Metric]) -> Markup {
    html! {
        details { summary { "What these are" }
            dl { @for metric in metrics { dt { code { (metric.name()) } } dd { (metric.meaning()) } } }
        }
    }
}

/// The named jitters, and what was heard.
pub(super) fn jitter(runs: &[RunFiles]) -> Markup {
    let known = |metric: Metric, run: &RunFiles| -> Option<DevicesSummary> {
        match run.record.metrics.get(metric.name()) {
            Some(MetricRecord::PerDevice(devices)) if devices.devices > 0 => Some(devices.clone()),
            _ => None,
        }
    };
    html! {
        div.scroll tabindex="0" role="region" aria-label="Jitter and playout" {
            table.wide {
                thead { tr {
                    th.text scope="col" { "of each device" }
                    @for name in ["all together", "median", "worst 1 %", "worst", "devices"] { th scope="col" { (name) } }
                } }
                tbody { @for metric in DEVICES { @for (index, run) in runs.iter().enumerate() {
                    @if let Some(devices) = known(metric, run) {
                        tr {
                            th.text scope="row" { span title=(metric.meaning()) { (metric.name()) } (of(runs, index)) }
                            @for number in [devices.pooled, devices.p50, devices.worst_1pct, devices.worst] {
                                td { (number.map_or_else(|| "–".to_owned(), |number| with_unit(number, &devices.unit))) }
                            }
                            td { (thousands(devices.devices)) }
                        }
                    }
                } } }
            }
        }
        @for (index, run) in runs.iter().enumerate() {
            @for metric in [Metric::Ipdv, Metric::Pdv] {
                @if let Some(times) = distribution(&run.record, metric).filter(|times| times.count > 0) {
                    p.note { code { (metric.name()) } (of(runs, index)) ": p50 " (text(times.p50)) ", p99 " (text(times.p99)) ", max " (text(times.max)) " ms; n = " (thousands(times.count)) }
                }
            }
        }
        (meanings(&DEVICES))
    }
}

fn text(number: Option<f64>) -> String {
    number.map_or_else(|| "–".to_owned(), millis_text)
}

/// The ten devices that had the worst of it.
pub(super) fn worst_devices(runs: &[RunFiles]) -> Markup {
    const SHOWN: usize = 10;
    const COLUMNS: [(&str, &str); 7] = [
        ("response_latency_mean_ms", "mean latency (ms)"),
        ("response_latency_max_ms", "largest (ms)"),
        ("rfc3550_jitter_ms", "jitter (ms)"),
        ("stutter_per_minute", "stutters (1/min)"),
        ("longest_gap_ms", "longest gap (ms)"),
        ("frames_lost", "frames lost"),
        ("frames_sent", "of"),
    ];
    let worst = |run: &RunFiles| {
        let of = |column: &str| run.devices.numbers(column);
        let (stutter, largest) = (of("stutter_per_minute"), of("response_latency_max_ms"));
        let lost = of("frames_lost");
        let mut order: Vec<usize> = (0..run.devices.len()).collect();
        let key = |at: usize| [stutter[at], lost[at], largest[at]].map(|one| one.unwrap_or(0.0));
        order.sort_by(|one, other| {
            let pairs = key(*other).into_iter().zip(key(*one));
            pairs
                .map(|(a, b)| a.total_cmp(&b))
                .find(|order| order.is_ne())
                .unwrap_or(one.cmp(other))
        });
        order.truncate(SHOWN);
        order
    };
    html! {
        @for (index, run) in runs.iter().enumerate() {
            @if !run.devices.is_empty() {
                h3 { "The worst devices" (of(runs, index)) }
                p.note { "By stutters, then frames lost, then the largest latency; all devices are in " code { "devices.csv" } "." }
                @let names: Vec<&str> = run.devices.texts("device").into_iter().flatten().collect();
                @let columns = COLUMNS.map(|(column, _)| run.devices.numbers(column));
                div.scroll tabindex="0" role="region" aria-label="Worst devices" {
                    table {
                        thead { tr { th.text scope="col" { "device" } @for (_, name) in COLUMNS { th scope="col" { (name) } } } }
                        tbody { @for at in worst(run) { tr {
                            th.text scope="row" { (names.get(at).copied().unwrap_or("?")) }
                            @for column in &columns { td { (column[at].map_or_else(|| "–".to_owned(), crate::csv::shown)) } }
                        } } }
                    }
                }
            }
        }
    }
}

/// What the pool did.
pub(super) fn pool(runs: &[RunFiles]) -> Markup {
    html! {
        @for (index, run) in runs.iter().enumerate() {
            @if runs.len() > 1 { h3 { (letter(index)) ": " (run.name) } }
            @match &run.record.gateway {
                None => p.nothing { (untold(&run.record)) },
                Some(gateway) => { (workers(gateway)) @if let Some(card) = scorecard(run) { (scores(&card)) } },
            }
        }
    }
}

fn untold(run: &RunRecord) -> &'static str {
    match run.target.kind.as_str() {
        "foreign" => "A foreign gateway does not tell of its workers, its load and its queue.",
        _ => "The gateway told nothing of its workers, its load and its queue.",
    }
}

fn workers(gateway: &GatewayRecord) -> Markup {
    let scaling = &gateway.scaling;
    let total: f64 = gateway.workers.iter().map(|worker| worker.busy_ms).sum();
    html! {
        p {
            @match scaling.policy.as_str() {
                "fixed" => { (scaling.at_end) " workers" },
                policy => { (scaling.min) " to " (scaling.max) " workers by " code { (policy) } ": " (scaling.at_start) " at the start, " (scaling.most) " at most, " (scaling.at_end) " at the end; changed " (times_text(scaling.changes)) },
            }
            ", dispatched by " code { (gateway.dispatch) } ". "
            @match &gateway.balance {
                Some(balance) => { "Jain's index of their busy times was " (format!("{:.3}", balance.jain_mean)) " on average and " (format!("{:.3}", balance.jain_min)) " in the worst of " (balance.windows) " seconds. " },
                None => "Balance is not scored: there was no second in which workers were busy enough. ",
            }
            "A worker was idle while work waited for another " (format!("{:.1} %", gateway.idle_while_waiting_percent)) " of the time."
        }
        @if !gateway.workers.is_empty() {
            div.scroll tabindex="0" role="region" aria-label="Busy time of each worker" {
                table {
                    thead { tr { th.text scope="col" { "worker" } th scope="col" { "frames" } th scope="col" { "busy (s)" } th scope="col" { "share of all busy time" } } }
                    tbody { @for worker in &gateway.workers { tr {
                        th.text scope="row" { (worker.worker) }
                        td { (thousands(worker.frames)) }
                        td { (format!("{:.2}", worker.busy_ms / 1e3)) }
                        td { @if total > 0.0 { (format!("{:.1} %", 100.0 * worker.busy_ms / total)) } @else { "–" } }
                    } } }
                }
            }
        }
    }
}

fn times_text(times: u64) -> String {
    if times == 1 { "once".to_owned() } else { format!("{times} times") }
}

fn scores(card: &Scorecard) -> Markup {
    let Scorecard { elasticity, flaps } = card;
    let percent = |share: f64| format!("{:.1} % of the time", share * 100.0);
    let ideal = elasticity.ideal_worker_s;
    html! {
        h3 { "Scaling scorecard" }
        p.note { "Demand is the offered load in whole workers, by the second; supply is the size of the pool, change by change. After Herbst et al., SPEC RG 2016." }
        (scrolled("Scaling scorecard", &html! { table { tbody {
            tr { th.text scope="row" { "workers missing" } td { (format!("{:.2} on average", elasticity.accuracy_under)) } td { (percent(elasticity.timeshare_under)) } }
            tr { th.text scope="row" { "workers too many" } td { (format!("{:.2} on average", elasticity.accuracy_over)) } td { (percent(elasticity.timeshare_over)) } }
            tr { th.text scope="row" { "steps of supply, of demand" } td { (elasticity.supply_steps) ", " (elasticity.demand_steps) } td { (format!("{:+.1} a minute", elasticity.jitter_per_minute)) } }
            tr { th.text scope="row" { "flaps" } td { (flaps) } td {} }
            tr { th.text scope="row" { "worker-seconds spent, needed" } td { (format!("{:.0}, {ideal:.0}", elasticity.cost_worker_s)) } td { @if elasticity.cost_worker_s > 0.0 { (format!("{:.0} % of what was spent", 100.0 * ideal / elasticity.cost_worker_s)) } } }
        } } }))
    }
}

/// Every class of error with its count; what was not looked for is not 0.
pub(super) fn integrity(runs: &[RunFiles]) -> Markup {
    let count = |run: &RunFiles, metric: Metric| {
        value(&run.record, metric).map_or_else(|| "–".to_owned(), thousands)
    };
    // When it was first seen is of interest where it should not have been.
    let table = |metrics: &[Metric], name: &str, firsts: bool| {
        html! {
            div.scroll tabindex="0" role="region" aria-label=(name) {
                table {
                    thead { tr {
                        th.text scope="col" { (name) }
                        @for index in 0..runs.len() {
                            th scope="col" { "count" (of(runs, index)) }
                            @if firsts { th.text scope="col" { "first seen" (of(runs, index)) } }
                        }
                        th.text scope="col" { "what it is" }
                    } }
                    tbody { @for metric in metrics {
                        @if runs.iter().any(|run| value(&run.record, *metric).is_some()) {
                            tr {
                                th.text scope="row" { (metric.name()) }
                                @for run in runs {
                                    @let seen = value(&run.record, *metric).is_some_and(|count| count > 0);
                                    td { @if seen { strong { (count(run, *metric)) } } @else { (count(run, *metric)) } }
                                    @if firsts { td.text { @if seen { (first(run, *metric)) } } }
                                }
                                td.words { span.soft { (metric.meaning()) } }
                            }
                        }
                    } }
                }
            }
        }
    };
    html! {
        (table(&ERRORS, "What can go wrong", true))
        h3 { "How much was looked at" }
        (table(&LOOKED_AT, "What was looked at", false))
        p.note { "A class that is not in the table was not looked for in this run; that is not the same as 0." }
    }
}

/// When something was first seen, as closely as it is on record: its second, or its phase.
fn first(run: &RunFiles, metric: Metric) -> String {
    if metric == Metric::FramesLost {
        let seconds =
            run.timeline.numbers("t_s").into_iter().zip(run.timeline.numbers("frames_lost"));
        let mut lost = seconds.filter(|(_, lost)| lost.is_some_and(|lost| lost > 0.0));
        if let Some(at) = lost.find_map(|(at, _)| at) {
            return format!("by {at:.0} s");
        }
    }
    if metric.is_whole_run_only() {
        return String::new();
    }
    let counted = |phase: &&PhaseRecord| matches!(phase.metrics.get(metric.name()), Some(MetricRecord::Value { value, .. }) if *value > 0.0);
    let phase = run.record.phases.iter().find(counted);
    phase.map(|phase| format!("in {}", phase.name)).unwrap_or_default()
}

/// How sessions failed, with the first of each kind.
pub(super) fn failures(runs: &[RunFiles]) -> Markup {
    html! {
        @for (index, run) in runs.iter().enumerate() {
            @if !run.record.failures.is_empty() {
                h3 { "Sessions that failed or were lost" (of(runs, index)) }
                (scrolled("Sessions that failed or were lost", &html! { table {
                    thead { tr { th scope="col" { "sessions" } th.text scope="col" { "what happened" } th scope="col" { "first device" } th scope="col" { "first at" } } }
                    tbody { @for failure in &run.record.failures { tr {
                        td { (thousands(failure.count)) } td.words { (failure.what) }
                        td { (failure.first_device) } td { (format!("{:.1} s", failure.first_at_ms / 1e3)) }
                    } } }
                } }))
            }
        }
    }
}
