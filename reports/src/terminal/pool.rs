//! What the summary says of the gateway's pool: how many workers, how busy, how well balanced, and
//! whether scaling was needed.

use std::fmt::{Result, Write};

use measure::Metric;
use measure::gateway_record::{GatewayRecord, ScalingRecord};
use measure::record::RunRecord;
use serde_json::Value;

use crate::figures::{distribution, thousands};

/// How busy workers should be: a pool that is busier has no room for bursts.
const BUSY_ENOUGH: f64 = 0.7;

/// Changes of the number of workers that are told one by one.
const CHANGES_SHOWN: usize = 8;

pub(super) fn write_pool(out: &mut String, run: &RunRecord) -> Result {
    match &run.gateway {
        Some(gateway) => write_known(out, run, gateway),
        None if run.target.kind == "foreign" => writeln!(
            out,
            "  pool       not known: a foreign gateway does not tell of its workers, load and queue"
        ),
        None => writeln!(out, "  pool       not known: the gateway did not answer"),
    }
}

fn write_known(out: &mut String, run: &RunRecord, gateway: &GatewayRecord) -> Result {
    let scaling = &gateway.scaling;
    row(out, "pool", &format!("{}, dispatched by {}", workers(scaling), gateway.dispatch))?;
    if scaling.policy != "fixed" {
        let ScalingRecord { at_start, most, at_end, changes, .. } = scaling;
        let times = if *changes == 1 { "once" } else { &format!("{changes} times") };
        let size = format!("{at_start} at the start, {most} at most, {at_end} at the end");
        row(out, "", &format!("{size}; changed {times}"))?;
    }
    write_busy(out, run, scaling)?;
    match &gateway.balance {
        Some(balance) => row(
            out,
            "balance",
            &format!(
                "Jain's index of busy time {:.3} on average, {:.3} in the worst of {} seconds",
                balance.jain_mean, balance.jain_min, balance.windows
            ),
        )?,
        None => row(out, "balance", "not scored: no second in which workers were busy enough")?,
    }
    let idle = gateway.idle_while_waiting_percent;
    row(
        out,
        "",
        &format!("a worker was idle while work waited for another {idle:.1} % of the time"),
    )?;
    let (frames, encoded) = (thousands(gateway.frames_run), thousands(gateway.frames_encoded));
    row(out, "work", &format!("{frames} frames run, {encoded} decoded and encoded anew"))?;
    if gateway.worker_timeouts > 0 {
        let late = thousands(gateway.worker_timeouts);
        row(out, "", &format!("{late} frames waited too long for a worker and were dropped"))?;
    }
    for rule in gateway.burn.as_array().into_iter().flatten() {
        row(out, "", &format!("extra work per frame: {}", pairs(rule)))?;
    }
    if gateway.faults.as_object().is_some_and(|faults| !faults.is_empty()) {
        row(out, "faults", &format!("switched on: {}", pairs(&gateway.faults)))?;
    }
    if let Some(way) = &gateway.decomposition {
        let ms = crate::figures::millis_text;
        let text = format!(
            "{} = generator {} + up {} + queue {} + work {} + back {} ms",
            ms(way.whole_ms),
            ms(way.generator_ms),
            ms(way.up_ms),
            ms(way.queue_ms),
            ms(way.work_ms),
            ms(way.back_ms),
        );
        row(out, "latency", &format!("{text}, on average; n = {}", thousands(way.frames)))?;
        if way.contradictions > 0 {
            let odd = thousands(way.contradictions);
            row(
                out,
                "",
                &format!("{odd} of them arrived before they were sent: the clocks differ"),
            )?;
        }
    }
    write_changes(out, scaling)?;
    let coverage = &gateway.coverage;
    let unknown = coverage.frames_left_out + coverage.frames_missing;
    if coverage.unread > 0 || unknown > 0 {
        let unread = coverage.unread;
        let ways = format!("the way of {} frames is not known", thousands(unknown));
        row(out, "gaps", &format!("{unread} readings came too late; {ways}"))?;
    }
    if !coverage.to_the_end {
        row(out, "", "the last reading is missing: the end of the run is not in these rows")?;
    }
    Ok(())
}

fn row(out: &mut String, name: &str, text: &str) -> Result {
    writeln!(out, "  {name:<10} {text}")
}

fn workers(scaling: &ScalingRecord) -> String {
    let ScalingRecord { policy, min, max, at_end, .. } = scaling;
    match policy.as_str() {
        "fixed" => format!("{at_end} workers"),
        policy => format!("{min} to {max} workers by {policy}"),
    }
}

/// How busy they were; and of a scaled pool whether it had to be one.
fn write_busy(out: &mut String, run: &RunRecord, scaling: &ScalingRecord) -> Result {
    let busy = distribution(run, Metric::WorkersBusy);
    let Some((mean, max)) = busy.and_then(|busy| Some((busy.mean?, busy.max?))) else {
        return row(out, "busy", "not known: no two readings a second apart");
    };
    let seen = format!("{mean:.2} workers on average, {max:.2} in the busiest second");
    row(out, "busy", &seen)?;
    if scaling.policy == "fixed" {
        return Ok(());
    }
    let (min, carried) = (scaling.min, scaling.min as f64 * BUSY_ENOUGH);
    let text = if max > carried {
        format!("scaling was needed: in the busiest second more than {min} workers carry at 70 %")
    } else {
        format!("scaling was not needed: never more than {min} workers carry at 70 %, {carried:.1}")
    };
    row(out, "", &text)
}

fn write_changes(out: &mut String, scaling: &ScalingRecord) -> Result {
    for (nth, event) in scaling.events.iter().take(CHANGES_SHOWN).enumerate() {
        let name = if nth == 0 { "scaling" } else { "" };
        row(out, name, &format!("{:>5.1} s  {}", event.at_ms / 1e3, event.sentence))?;
    }
    match scaling.events.len().checked_sub(CHANGES_SHOWN) {
        Some(more @ 1..) => row(out, "", &format!("and {more} more in run.json")),
        _ => Ok(()),
    }
}

/// `kind wait, time 20ms`: what was configured, as it was written.
fn pairs(table: &Value) -> String {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Object(_) => format!("({})", pairs(value)),
        other => other.to_string(),
    };
    let entries = table.as_object().into_iter().flatten();
    let entries: Vec<_> = entries.map(|(key, value)| format!("{key} {}", text(value))).collect();
    entries.join(", ")
}
