//! Whether the numbers may be believed, and how to get them again.

use maud::{Markup, html};
use measure::record::{MetricRecord, RunRecord};
use serde_json::Value;

use crate::charts::letter;
use crate::figures::{millis_text, slower_than_at_best, thousands};
use crate::run_files::RunFiles;

/// Host, versions, noise floor, the generator's own doing, and what was sampled.
pub(super) fn trust(runs: &[RunFiles]) -> Markup {
    html! {
        @for (index, run) in runs.iter().enumerate() {
            @if runs.len() > 1 { h3 { (letter(index)) ": " (run.name) } }
            (validity(&run.record))
            (floor(&run.record))
            (table("Host and versions", &host(&run.record)))
            (table("How it was measured", &method(&run.record)))
        }
    }
}

fn validity(run: &RunRecord) -> Markup {
    html! {
        @if run.validity.reasons.is_empty() {
            p { "Every rule of validity held: frames left when they were planned to, nothing was dropped on the way to being counted, and the generator had room to spare." }
        } @else {
            p { "The run is " strong { (run.validity.state) } ":" }
            ul.reasons { @for reason in &run.validity.reasons { li { (reason.text) " " code { (reason.rule) } } } }
        }
    }
}

fn floor(run: &RunRecord) -> Markup {
    let Some(floor) = &run.noise_floor else {
        return html! { p.nothing { "What this host adds by itself was not measured." } };
    };
    let p99 = |metric: &str| match floor.metrics.get(metric) {
        Some(MetricRecord::Distribution(times)) => {
            times.p99.map_or_else(|| "–".to_owned(), millis_text)
        }
        _ => "–".to_owned(),
    };
    html! {
        p {
            "Noise floor, just before the run: " (thousands(floor.frames_sent)) " frames of " (floor.devices)
            " devices to this host and back, without a gateway, took " (p99("response_latency"))
            " ms at p99, of which " (p99("send_lag")) " ms were the generator's own lag. Differences smaller than that are noise."
        }
        @if let Some(slower) = slower_than_at_best(run) {
            p {
                "The machine's pace: the same piece of arithmetic, timed 20 times a second, took " (format!("{slower:.0}"))
                " % longer on average than at its best. Where that differs between runs, so does everything that is computed in them."
            }
        }
    }
}

fn host(run: &RunRecord) -> Vec<(String, String)> {
    let host = run.host.iter().map(|(name, value)| (name.replace('_', " "), plain(value)));
    let versions = run.versions.iter().map(|(name, version)| (name.clone(), version.clone()));
    let target =
        ("target".to_owned(), format!("{} gateway at {}", run.target.kind, run.target.mqtt));
    host.chain(versions).chain([target]).collect()
}

fn method(run: &RunRecord) -> Vec<(String, String)> {
    run.method.iter().map(|(name, value)| (name.replace('_', " "), plain(value))).collect()
}

/// A value as people read it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => crate::csv::shown(float),
            _ => number.to_string(),
        },
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| format!("{} {}", name.replace('_', " "), plain(value)));
            fields.collect::<Vec<_>>().join(", ")
        }
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Null => "–".to_owned(),
    }
}

fn table(name: &str, rows: &[(String, String)]) -> Markup {
    html! {
        details open[name.starts_with("Host")] {
            summary { (name) }
            div.scroll tabindex="0" role="region" aria-label=(name) {
                table { tbody { @for (name, value) in rows { tr { th.text scope="row" { (name) } td.text { (value) } } } } }
            }
        }
    }
}

/// The command, the seed, the scenario and what was changed of it.
pub(super) fn again(runs: &[RunFiles]) -> Markup {
    html! {
        @for (index, run) in runs.iter().enumerate() {
            @if runs.len() > 1 { h3 { (letter(index)) ": " (run.name) } }
            pre tabindex="0" { code { (command(&run.record)) } }
            p { "Seed " (run.record.seed) ": the same seed sends the same datagrams at the same instants. Two runs differ by the gateway, and by the host." }
            @if run.record.scenario.text.is_empty() { p.nothing { "The scenario's text is not on record." } }
            @else {
                details {
                    summary { "The scenario as it was run" @if let Some(file) = &run.record.scenario.file { ", " code { (file) } } }
                    pre tabindex="0" { code { (run.record.scenario.text) } }
                }
            }
        }
    }
}

/// What to type; a target of somebody else's is named.
pub(crate) fn command(run: &RunRecord) -> String {
    let file = run.scenario.file.clone().unwrap_or_else(|| format!("{}.toml", run.scenario.name));
    let mut words = vec!["din run".to_owned(), quoted(&file)];
    let mut seed = run.seed.to_string();
    for change in &run.scenario.overrides {
        match change.strip_prefix("seed=") {
            Some(changed) => changed.clone_into(&mut seed),
            None => words.extend(["--set".to_owned(), quoted(change)]),
        }
    }
    words.extend(["--seed".to_owned(), quoted(&seed)]);
    if run.target.kind == "foreign" {
        words.extend(["--target".to_owned(), quoted(&format!("mqtt://{}", run.target.mqtt))]);
    }
    words.join(" ")
}

/// For a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-=:,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}
