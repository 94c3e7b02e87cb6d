//! `[[action]]`: what is done to a run at a moment of it.
//!
//! ```toml
//! [[action]]
//! at     = "burst + 2s"         # or a time from the start of the run: "12s"
//! do     = "devices.drop"       # connections are cut without a word …
//! share  = "50%"                # … of so many devices, chosen by the seed …
//! away   = "1s"                 # … which come back after this …
//! spread = "500ms"              # … and at random up to this much more
//! ```

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::ScenarioError;
use super::duration::{self, shown};
use super::error::suggestion;
use super::phase::{Phase, starts};
use super::values::{HOUR, MS, Share, Within};

/// The most actions one scenario may have.
const MAX_ACTIONS: usize = 1000;

/// Something that is done to a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Action {
    /// When, from the start of the run.
    pub at: Duration,
    /// What.
    pub what: What,
}

/// What is done.
#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// Devices lose their connections at once, without goodbye, and come back: a reconnect storm.
    DropDevices {
        /// Of all that have a session, 0 to 1.
        share: f64,
        /// For how long they are away.
        away: Duration,
        /// Each at random up to this much longer.
        spread: Duration,
    },
}

/// The table as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ActionTable {
    at: Spanned<String>,
    r#do: Do,
    share: Share,
    #[serde(default = "a_second")]
    away: Within<{ 100 * MS }, HOUR>,
    #[serde(default = "none")]
    spread: Within<0, HOUR>,
}

#[derive(Clone, Copy, Deserialize)]
enum Do {
    #[serde(rename = "devices.drop")]
    DevicesDrop,
}

fn a_second() -> Within<{ 100 * MS }, HOUR> {
    Within::of_seconds(1)
}

fn none() -> Within<0, HOUR> {
    Within::of_seconds(0)
}

/// Reads the actions of a run of `phases`, first ones first.
pub(super) fn actions(
    path: &Path,
    text: &str,
    tables: Spanned<Vec<ActionTable>>,
    phases: &[Phase],
) -> Result<Vec<Action>, ScenarioError> {
    let whole = tables.span();
    let tables = tables.into_inner();
    if tables.len() > MAX_ACTIONS {
        let message = format!("{} actions: the most is {MAX_ACTIONS}", tables.len());
        return Err(ScenarioError::at(path, text, whole, message));
    }
    let read = tables.into_iter().map(|table| {
        let at = moment(table.at.get_ref(), phases).map_err(|(message, help)| {
            ScenarioError::at(path, text, table.at.span(), message).with_help(help)
        })?;
        let Do::DevicesDrop = table.r#do;
        let what = What::DropDevices {
            share: table.share.ratio(),
            away: table.away.get(),
            spread: table.spread.get(),
        };
        Ok(Action { at, what })
    });
    let mut actions = read.collect::<Result<Vec<_>, ScenarioError>>()?;
    actions.sort_by_key(|action| action.at);
    Ok(actions)
}

/// `12s`, `burst` or `burst + 2s`; or what is wrong and what to write.
fn moment(text: &str, phases: &[Phase]) -> Result<Duration, (String, String)> {
    let form = "write a time from the start of the run, a phase, or a phase and a time: \"12s\", \
                \"burst\", \"burst + 2s\"";
    let names: Vec<&str> = phases.iter().map(|phase| phase.name.as_str()).collect();
    let start = |name: &str| starts(phases).find(|(phase, _)| phase.name == name).map(|(_, at)| at);
    let time = |text: &str| duration::parse(text).map_err(|why| (why, form.to_owned()));
    let (name, rest) = match text.split_once('+') {
        Some((name, rest)) => (name.trim(), Some(rest)),
        None => (text.trim(), None),
    };
    let at = match (start(name), rest) {
        (Some(start), None) => start,
        (Some(start), Some(rest)) => start + time(rest)?,
        (None, None) if name.starts_with(|c: char| c.is_ascii_digit()) => time(name)?,
        (None, _) => {
            let message = format!("`{text}`: there is no phase `{name}`");
            return Err((message, format!("{}; {form}", suggestion(name, &names))));
        }
    };
    let end: Duration = phases.iter().map(Phase::length).sum();
    if at >= end {
        let message = format!(
            "`{text}` is {} after the start, and the run ends at {}",
            shown(at),
            shown(end)
        );
        return Err((message, "do it before the end".to_owned()));
    }
    Ok(at)
}
