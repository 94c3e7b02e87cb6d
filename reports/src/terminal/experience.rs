//! What the summary says of what devices experienced: jitter, playout, loss, and whether the audio
//! was their own.

use std::fmt::{Result, Write};

use measure::Metric;
use measure::record::{DevicesSummary, MetricRecord, RunRecord};

use crate::figures::{distribution, millis_text, thousands, value};

pub(super) fn write_experience(out: &mut String, run: &RunRecord) -> Result {
    write_jitter(out, run)?;
    write_playout(out, run)?;
    write_integrity(out, run)?;
    writeln!(out)
}

fn row(out: &mut String, name: &str, text: &str) -> Result {
    writeln!(out, "  {name:<10} {text}")
}

/// The number of all devices, and that of the worst.
fn devices(run: &RunRecord, metric: Metric) -> Option<(f64, f64, &DevicesSummary)> {
    match run.metrics.get(metric.name()) {
        Some(MetricRecord::PerDevice(summary)) => Some((summary.pooled?, summary.worst?, summary)),
        _ => None,
    }
}

fn write_jitter(out: &mut String, run: &RunRecord) -> Result {
    let ms = |metric| {
        let (pooled, worst, _) = devices(run, metric)?;
        Some(format!("{} (worst device {})", millis_text(pooled), millis_text(worst)))
    };
    let pdv = distribution(run, Metric::Pdv).and_then(|pdv| pdv.p99).map(millis_text);
    let Some(((rfc3550, sigma), pdv)) =
        ms(Metric::Rfc3550Jitter).zip(ms(Metric::InterarrivalSigma)).zip(pdv)
    else {
        return Ok(());
    };
    let text = format!("rfc3550 {rfc3550}, interarrival sigma {sigma}, pdv p99 {pdv} ms");
    row(out, "jitter", &text)
}

fn write_playout(out: &mut String, run: &RunRecord) -> Result {
    let Some((stutter, worst_stutter, _)) = devices(run, Metric::StutterPerMinute) else {
        return row(out, "playout", "nothing was played");
    };
    let pooled = |metric| devices(run, metric).map_or(0.0, |(pooled, ..)| pooled);
    let interruptions = pooled(Metric::InterruptionsPerMinute);
    row(
        out,
        "playout",
        &format!(
            "{stutter:.1} stutters a minute (worst device {worst_stutter:.1}), {interruptions:.1} \
             interruptions, longest gap {} ms",
            millis_text(pooled(Metric::LongestGap))
        ),
    )?;
    if let Some((loss, worst, summary)) = devices(run, Metric::EffectiveLoss) {
        let devices = thousands(summary.devices);
        let text = format!("effective loss {loss:.2} % (worst of {devices} devices {worst:.2} %)");
        row(out, "", &text)?;
    }
    if let Some((mos, worst, _)) = devices(run, Metric::MosIndicative) {
        let text =
            format!("MOS {mos:.2} (worst device {worst:.2}): indicative, for comparing only");
        row(out, "", &text)?;
    }
    Ok(())
}

fn write_integrity(out: &mut String, run: &RunRecord) -> Result {
    let count = |metric| thousands(value(run, metric).unwrap_or(0));
    if value(run, Metric::Recognised).is_none() {
        return Ok(());
    }
    row(
        out,
        "integrity",
        &format!(
            "{} s of speech recognised, {} of somebody else's, {} like no voice",
            count(Metric::Recognised),
            count(Metric::ForeignAudio),
            count(Metric::Unrecognised)
        ),
    )?;
    row(
        out,
        "",
        &format!(
            "{} answers compared bit for bit, {} differ; {} times keystream was used twice",
            count(Metric::GoldenCompared),
            count(Metric::GoldenMismatch),
            count(Metric::KeystreamReuse)
        ),
    )
}
