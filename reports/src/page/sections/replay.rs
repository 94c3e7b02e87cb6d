//! What a run plays again, beside what came of it.

use maud::{Markup, html};

use super::{of, scrolled};
use crate::charts;
use crate::figures::thousands;
use crate::page::figure::figure;
use crate::replay::{difference, heard_in, number, sentence, unit, words};
use crate::run_files::RunFiles;

/// Whether any of them plays something again.
pub(super) fn is_told(runs: &[RunFiles]) -> bool {
    runs.iter().any(|run| run.original.is_some())
}

/// Of each run that plays something again.
pub(super) fn replays(runs: &[RunFiles]) -> Markup {
    html! {
        @for (index, run) in runs.iter().enumerate() {
            @if let Some(original) = &run.original {
                @let reproduced = heard_in(run);
                @let rows = original.compare(&reproduced);
                p { (sentence(&rows)) (of(runs, index)) "." }
                (scrolled("Original and reproduced", &html! { table {
                    thead { tr {
                        th.text scope="col" { "of all calls" }
                        th scope="col" { "original" }
                        th scope="col" { "reproduced" }
                        th scope="col" { "difference" }
                        th.text scope="col" { "close" }
                    } }
                    tbody {
                        @for row in &rows { tr {
                            th scope="row" { (words(row.metric)) }
                            @for shown in [row.original, row.reproduced] {
                                td { (number(shown)) @if shown.is_some() { " " (unit(row.metric)) } }
                            }
                            td { (difference(row)) }
                            td.text { @if row.close() { "yes" } @else { "no" } }
                        } }
                    }
                } }))
                p.soft {
                    "Original: " (original.source) ", " (original.calls) " calls, " (thousands(original.frames))
                    " frames. Reproduced: " (reproduced.calls) " calls, " (thousands(reproduced.frames)) " frames."
                }
                // Names of figures are unique in a page.
                @if runs.len() == 1 { @for plot in charts::replay(run) { (figure(&plot)) } }
            }
        }
    }
}
