//! The page of a run that goes on: how far it is, whether it holds so far, and the plots of its report
//! as far as they are known.

use std::collections::BTreeMap;

use maud::{Markup, PreEscaped, html};
use measure::progress_record::{ProgressRecord, ThresholdProgress, ThresholdState};
use measure::record::{
    FORMAT, MetricMap, PhaseRecord, RunRecord, ScenarioRecord, TargetRecord, Verdict,
};
use measure::validity::{State, Validity};
use serde_json::Value;

use crate::charts;
use crate::csv::Csv;
use crate::figures::{millis_text, thousands, with_unit};
use crate::page::{document, figure};
use crate::run_files::RunFiles;

/// What replaces the state on the page each second.
const SCRIPT: &str = include_str!("page/live.js");
/// The page may ask where it came from, and nobody else.
pub const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:";

/// The whole page, around the state of now.
pub fn page(progress: &ProgressRecord, timeline: &str) -> String {
    let body = html! {
        main {
            h1 { (progress.title) }
            @if !progress.question.is_empty() { p.question { (progress.question) } }
            p.note id="said" role="status" { "Updated each second." }
            div id="state" { (PreEscaped(fragment(progress, timeline))) }
        }
    };
    document(&format!("{} · running · Din", progress.title), POLICY, &body, SCRIPT)
}

/// The state of now, to be put in the place of the one before.
pub fn fragment(progress: &ProgressRecord, timeline: &str) -> String {
    let (timeline, _) = Csv::parse(timeline);
    let record = so_far(progress);
    let name = record.scenario.name.clone();
    let run = RunFiles { name, timeline, ..RunFiles::of_record(record) };
    let state = html! {
        (head(progress))
        h2 { "Thresholds so far" }
        (thresholds(&progress.thresholds))
        h2 { "What happened so far" }
        @for plot in charts::over_time(std::slice::from_ref(&run)) { (figure(&plot)) }
    };
    state.into_string()
}

fn head(progress: &ProgressRecord) -> Markup {
    let (elapsed, length) = (progress.elapsed_ms / 1e3, progress.length_ms / 1e3);
    let left = (length - elapsed).max(0.0);
    let text = |millis: f64| millis_text(millis);
    html! {
        p {
            "Phase " strong { (progress.phase) } ", " (format!("{elapsed:.0} of {length:.0} s"))
            @if left > 0.0 { ", " (format!("{left:.0} s left")) } @else { ", waiting for the last answers" }
        }
        progress.wide value=(format!("{:.1}", elapsed.min(length))) max=(format!("{length:.1}")) aria-label="Time of the run" {}
        dl.facts {
            dt { "devices" } dd { (progress.devices) " of " (progress.devices_most) }
            dt { "frames" } dd { (thousands(progress.frames_sent)) "/s sent, " (thousands(progress.frames_answered)) "/s answered, " (thousands(progress.unanswered)) " unanswered" }
            dt { "response latency of the last second" }
            dd { @match progress.latency_ms {
                Some([p50, p90, p99, max]) => { "p50 " (text(p50)) ", p90 " (text(p90)) ", p99 " (text(p99)) ", max " (text(max)) " ms" },
                None => "no answer",
            } }
            @if let Some(workers) = progress.workers {
                dt { "workers" }
                dd { (workers)
                    @if let Some(busy) = progress.workers_busy { ", " (format!("{busy:.1}")) " busy" }
                    @if let Some(delay) = progress.queue_delay_p99_ms { ", queue delay p99 " (text(delay)) " ms" }
                }
            }
        }
    }
}

fn thresholds(all: &[ThresholdProgress]) -> Markup {
    let mut all: Vec<&ThresholdProgress> = all.iter().collect();
    all.sort_by_key(|one| one.state as u8);
    html! {
        @if all.is_empty() { p.nothing { "No threshold of this scenario is known before its end." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Thresholds so far" { table.wide { tbody {
                @for one in all { tr {
                    td.text { (mark(one.state)) }
                    th.text scope="row" { (one.threshold) }
                    td { @if let Some(observed) = one.observed { (with_unit(observed, &one.unit)) } @else { "–" } }
                } }
            } } }
        }
    }
}

fn mark(state: ThresholdState) -> Markup {
    match state {
        ThresholdState::Failing => html! { strong.bad { "failing" } },
        ThresholdState::NotYet => html! { span.soft { "not yet" } },
        ThresholdState::NoSamples => html! { span.soft { "no samples yet" } },
        ThresholdState::Ok => html! { span.good { "ok" } },
    }
}

/// As much of a record as there is before the end; nothing in it is a result.
fn so_far(progress: &ProgressRecord) -> RunRecord {
    let phases = progress.phases.iter().map(|phase| PhaseRecord {
        name: phase.name.clone(),
        start_ms: phase.start_ms,
        end_ms: phase.end_ms,
        devices: phase.devices,
        metrics: MetricMap::new(),
    });
    RunRecord {
        format: FORMAT,
        din_version: String::new(),
        started_at_unix_s: 0,
        commit: None,
        duration_ms: progress.length_ms,
        scenario: ScenarioRecord {
            name: progress.scenario.clone(),
            file: None,
            title: progress.title.clone(),
            question: progress.question.clone(),
            text: String::new(),
            overrides: Vec::new(),
        },
        seed: 0,
        target: TargetRecord {
            kind: String::new(),
            mqtt: String::new(),
            announced: Value::Null,
            counters: Value::Null,
        },
        host: BTreeMap::new(),
        versions: BTreeMap::new(),
        validity: Validity { state: State::Valid, reasons: Vec::new() },
        warnings: Vec::new(),
        noise_floor: None,
        verdict: Verdict::Fail,
        exit_code: 0,
        ended_early: None,
        thresholds: Vec::new(),
        phases: phases.collect(),
        metrics: MetricMap::new(),
        gateway: None,
        players: None,
        actions: Vec::new(),
        failures: Vec::new(),
        method: BTreeMap::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TIMELINE;
    use measure::progress_record::PhaseProgress;

    fn progress() -> ProgressRecord {
        let threshold = |threshold: &str, state, observed| ThresholdProgress {
            threshold: threshold.to_owned(),
            state,
            observed,
            unit: "ms".to_owned(),
        };
        ProgressRecord {
            title: "A <burst>".to_owned(),
            elapsed_ms: 4000.0,
            length_ms: 9000.0,
            phase: "burst".to_owned(),
            phases: vec![PhaseProgress {
                name: "burst".to_owned(),
                start_ms: 0.0,
                end_ms: 9000.0,
                devices: 2,
            }],
            devices: 2,
            devices_most: 2,
            latency_ms: Some([4.0, 4.0, 4.0, 4.5]),
            thresholds: vec![
                threshold("response_latency.p99 < 40ms", ThresholdState::Ok, Some(4.0)),
                threshold("response_latency.max < 4ms", ThresholdState::Failing, Some(4.5)),
            ],
            ..ProgressRecord::default()
        }
    }

    #[test]
    fn the_page_of_a_running_test_has_its_plots_and_asks_nobody_else() {
        let page = page(&progress(), TIMELINE);
        for said in [
            "A &lt;burst&gt; · running · Din",
            "5 s left",
            "id=\"response-latency\"",
            "id=\"workers\"",
            "id=\"queue-delay\"",
            "connect-src &#39;self&#39;",
        ] {
            let said = said.replace("&#39;", "'");
            assert!(page.contains(&said), "{said}");
        }
        assert!(!page.contains("id=\"spectrum\""), "what is known at the end only is not there");
        let (failing, ok) = (page.find(">failing<").unwrap(), page.find(">ok<").unwrap());
        assert!(failing < ok, "the failing ones first");
    }

    #[test]
    fn before_the_first_second_there_is_a_page_too() {
        let fragment = fragment(&ProgressRecord::default(), "");
        assert!(fragment.contains("no answer") && fragment.contains("known before its end"));
        // A row that is being written is left for the next second.
        let cut = &TIMELINE[..TIMELINE.len() - 30];
        assert!(super::fragment(&progress(), cut).contains("id=\"frames\""));
    }
}
