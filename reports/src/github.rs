//! Annotations for GitHub Actions: each failed limit, on the line of the scenario that has it.
//!
//! Workflow commands, one a line: `::error file=F,line=L,col=C,title=T::message`. GitHub shows ten
//! errors and ten warnings of a step and drops the rest, so the tenth tells how many there are
//! beyond it.
//!
//! An INVALID run gives no verdict: its reasons are the errors, and its limits none.

use measure::record::{RunRecord, ThresholdRecord};
use measure::validity::{Reason, State};

use crate::figures::{observed_against_limit, thousands};

/// What GitHub shows of a kind in a step.
const SHOWN: usize = 10;

/// One command a line, errors first; empty when there is nothing to tell.
pub fn annotations(run: &RunRecord) -> String {
    let invalid = run.validity.state == State::Invalid;
    let missed = |warn: bool| {
        run.thresholds
            .iter()
            .filter(move |one| !invalid && !one.ok && one.warn == warn)
            .map(|threshold| of_threshold(run, threshold))
    };
    let reasons = |state: State| {
        let of_state = move |one: &&Reason| one.state == state;
        run.validity.reasons.iter().filter(of_state).map(|reason| of_reason(run, reason))
    };
    let ended = run.ended_early.iter().map(|why| {
        let title = format!("{}: ended early", run.scenario.name);
        Annotation { at: file_only(run), title, message: why.clone() }
    });
    let errors = reasons(State::Invalid).chain(missed(false));
    let warnings = ended.chain(reasons(State::Suspect)).chain(missed(true));
    commands("error", errors.collect()) + &commands("warning", warnings.collect())
}

/// A place in the scenario file, and what is said about it.
struct Annotation {
    /// Properties of the place, escaped.
    at: String,
    title: String,
    message: String,
}

fn of_threshold(run: &RunRecord, threshold: &ThresholdRecord) -> Annotation {
    let phase = threshold.phase.as_deref().unwrap_or("whole run");
    let not_held = if threshold.observed.is_some() { "does not hold" } else { "has no samples" };
    Annotation {
        at: place(run, threshold),
        title: format!("{}: {} {not_held}", run.scenario.name, threshold.subject()),
        message: format!(
            "limit {}, observed {}, n = {}, phase {phase}",
            threshold.limit,
            observed_against_limit(threshold),
            thousands(threshold.samples)
        ),
    }
}

fn of_reason(run: &RunRecord, reason: &Reason) -> Annotation {
    let title = format!("{}: run is {}", run.scenario.name, reason.state);
    Annotation { at: file_only(run), title, message: reason.text.clone() }
}

/// `file=…,line=…,col=…,`, as far as it is known.
fn place(run: &RunRecord, threshold: &ThresholdRecord) -> String {
    let Some(line) = threshold.line else { return file_only(run) };
    let text = run.scenario.text.lines().nth(line.saturating_sub(1) as usize).unwrap_or_default();
    let indent = text.chars().take_while(|c| c.is_whitespace()).count();
    format!("{}line={line},col={},", file_only(run), indent + 1)
}

/// `file=…,`, or nothing for a record that does not name its file.
fn file_only(run: &RunRecord) -> String {
    let file = run.scenario.file.iter().map(|file| format!("file={},", property(file)));
    file.collect()
}

fn commands(kind: &str, mut annotations: Vec<Annotation>) -> String {
    let beyond = annotations.len().saturating_sub(SHOWN);
    annotations.truncate(SHOWN);
    if beyond > 0
        && let Some(last) = annotations.last_mut()
    {
        let message = &last.message;
        last.message = format!("{message}\n(and {beyond} more of this kind: see the summary)");
    }
    let command = |Annotation { at, title, message }| {
        format!("::{kind} {at}title={}::{}\n", property(&title), data(&message))
    };
    annotations.into_iter().map(command).collect()
}

/// The message of a command, as the runner's own toolkit escapes it.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// A property of a command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests;
