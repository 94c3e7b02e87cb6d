//! `report.html`: one file that answers, from top to bottom, what came of a run, what happened when,
//! why, whether it may be believed, and how to do it again.
//!
//! No network, no fonts or scripts of others; without its little script everything is still there.
//! Sections are in `sections.rs`, a plot with its table in `figure.rs`.

mod figure;
mod sections;

pub(crate) use figure::figure;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::figures::verdict;
use crate::run_files::RunFiles;

const STYLE: &str = include_str!("page/style.css");
pub(crate) const SCRIPT: &str = include_str!("page/script.js");

/// What may be loaded from a report: nothing.
pub(crate) const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:";

/// The page of one run, or of several laid over each other.
///
/// # Panics
/// Without a run.
pub fn page(runs: &[RunFiles]) -> String {
    assert!(!runs.is_empty(), "a report is about a run");
    let title = match runs {
        [run] => format!("{} · {} · Din", verdict(&run.record), run.record.scenario.title),
        runs => format!("{} · Din", sections::title(runs)),
    };
    document(&title, POLICY, &sections::all(runs), SCRIPT)
}

/// A page around `body`.
pub(crate) fn document(title: &str, policy: &str, body: &Markup, script: &str) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (body)
                script { (PreEscaped(script)) }
            }
        }
    };
    page.into_string()
}

#[cfg(test)]
mod tests;
