//! What a report says, section by section.

mod causes;
mod replay;
mod trust;
mod verdicts;

use maud::{Markup, html};

pub(super) use verdicts::title;

use super::figure::figure;
use crate::charts;
use crate::run_files::RunFiles;

/// All of it.
pub(super) fn all(runs: &[RunFiles]) -> Markup {
    let heats = (0..runs.len().min(4)).map(|index| charts::heat(runs, index));
    html! {
        header {
            (verdicts::heads(runs))
            nav aria-label="Sections" { ul {
                @for (id, name) in NAMES.into_iter().filter(|(id, _)| *id != REPLAY || replay::is_told(runs)) { li { a href={ "#" (id) } { (name) } } }
            } }
        }
        main {
            section id="thresholds" { h2 { "Thresholds" } (verdicts::thresholds(runs)) }
            @if replay::is_told(runs) {
                section id=(REPLAY) { h2 { "Original and reproduced" } (replay::replays(runs)) }
            }
            section id="over-time" {
                h2 { "What happened over time" }
                (events(runs))
                @let plots = charts::over_time(runs);
                @if plots.is_empty() { p.nothing { "No second of the run is on record." } }
                @for plot in plots { (figure(&plot)) }
            }
            section id="latency" {
                h2 { "Latency" }
                (causes::times(runs))
                (figure(&charts::spectrum(runs)))
                @for plot in heats { (figure(&plot)) }
                (figure(&charts::decomposition(runs)))
            }
            section id="playout" {
                h2 { "Jitter and playout" }
                (causes::jitter(runs))
                @for plot in charts::devices(runs) { (figure(&plot)) }
                (causes::worst_devices(runs))
                @for (index, run) in runs.iter().enumerate().take(4) {
                    @if !run.worst_device.is_empty() { (figure(&charts::worst_device(runs, index))) }
                }
            }
            section id="pool" {
                h2 { "Balance and autoscaling" }
                (causes::pool(runs))
            }
            section id="integrity" {
                h2 { "Integrity and errors" }
                (causes::integrity(runs))
                (causes::failures(runs))
            }
            section id="trust" { h2 { "Can I trust this?" } (trust::trust(runs)) }
            section id="again" { h2 { "How to do it again" } (trust::again(runs)) }
        }
        footer { p.soft { "Rendered by din " (env!("CARGO_PKG_VERSION")) " from the record of the run alone." } }
    }
}

/// Of runs that play something again alone.
const REPLAY: &str = "replay";
/// Addresses and names.
const NAMES: [(&str, &str); 9] = [
    ("thresholds", "Thresholds"),
    (REPLAY, "Original and reproduced"),
    ("over-time", "Over time"),
    ("latency", "Latency"),
    ("playout", "Jitter and playout"),
    ("pool", "Balance and autoscaling"),
    ("integrity", "Integrity and errors"),
    ("trust", "Can I trust this?"),
    ("again", "How to do it again"),
];

/// What was done, and what the pool did about it.
fn events(runs: &[RunFiles]) -> Markup {
    let several = runs.len() > 1;
    html! {
        @for (index, run) in runs.iter().enumerate() {
            @let events = charts::events(&run.record);
            @if !events.is_empty() {
                h3 { "Faults, actions and scaling" @if several { " of " (charts::letter(index)) } }
                (scrolled("Faults, actions and scaling", &html! { table {
                    thead { tr { th scope="col" { "at" } th.text scope="col" { "what" } } }
                    tbody { @for event in &events {
                        tr { td { (format!("{:.1} s", event.at)) } td.words { (event.label) } }
                    } }
                } }))
            }
            @let outcomes = run.record.actions.iter().filter_map(|action| action.outcome.as_ref().map(|outcome| (action, outcome)));
            @for (action, outcome) in outcomes {
                p.note { (action.name.as_deref().unwrap_or(&action.action)) ": " (outcome) @if !action.ok { " (not done)" } }
            }
        }
    }
}

/// What may be wider than a phone, to be moved by finger or keyboard.
fn scrolled(name: &str, inside: &Markup) -> Markup {
    html! { div.scroll tabindex="0" role="region" aria-label=(name) { (inside) } }
}

/// A run's letter and name, where there are several.
fn of(runs: &[RunFiles], index: usize) -> Markup {
    html! { @if runs.len() > 1 { " " (charts::letter(index)) } }
}
