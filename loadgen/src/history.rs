//! `din history`: the runs of a scenario in the order in which they ran, and where their numbers changed for
//! good ([`measure::change_points`]).
//!
//! For what happened, not for what may be merged: some thirty runs are needed before a change of a few percent
//! shows, and it shows some runs later. A gate is `din compare`, or a threshold against a baseline.

mod page;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context;
use measure::change_points::{ChangePoint, Rules, change_points};
use measure::host::differences;
use measure::record::RunRecord;
use measure::validity::State;
use reports::date::Utc;
use reports::run_files::read_record;

use crate::baseline::short;
use crate::judged::JUDGED;
use crate::{capacity_search, compare, planner};

pub use page::study;

/// What lies beside runs and is of no run: of searches, comparisons and plans.
const OF_OTHERS: [&str; 3] = [capacity_search::FILE, compare::FILE, planner::FILE];
/// Runs below which changes are hardly ever found.
const ENOUGH: usize = 30;

/// A run in a history.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Where its record is.
    pub path: PathBuf,
    /// When it began, in UTC.
    pub began: String,
    /// The commit that was tested, as short as people write it; `-` when it is not known.
    pub commit: String,
    /// Its record.
    pub record: RunRecord,
}

/// A number over the runs.
#[derive(Clone, Debug)]
pub struct Course {
    /// Its name.
    pub name: &'static str,
    /// Its unit.
    pub unit: &'static str,
    /// In each run; `None` where it is not known.
    pub values: Vec<Option<f64>>,
    /// Where it changed: the index of the first run that is different.
    pub changes: Vec<ChangePoint>,
}

/// The runs of one scenario.
#[derive(Clone, Debug)]
pub struct History {
    /// The scenario's name.
    pub scenario: String,
    /// The runs that count, the oldest first.
    pub entries: Vec<Entry>,
    /// The numbers that at least one run has.
    pub courses: Vec<Course>,
    /// What the reader should know.
    pub cautions: Vec<String>,
}

/// Reads the records in `directory`: files as `din baseline` keeps them, and run directories.
///
/// # Errors
/// When nothing there is a record, or they are of several scenarios and none is named.
pub fn read(directory: &Path, scenario: Option<&str>) -> anyhow::Result<History> {
    let shown = directory.display();
    let (mut records, mut unread) = (Vec::new(), Vec::new());
    let files = std::fs::read_dir(directory)
        .with_context(|| format!("cannot read the directory {shown}"))?;
    for file in files {
        let path = file?.path();
        let is_run = path.join("run.json").exists();
        let ours = path.file_name().and_then(|name| name.to_str());
        if ours.is_some_and(|name| OF_OTHERS.contains(&name)) {
            continue;
        }
        if !is_run && path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        match read_record(&path) {
            Ok(record) => records.push((path, record)),
            Err(error) => unread.push(error.to_string()),
        }
    }
    let mut names: Vec<String> =
        records.iter().map(|(_, record)| record.scenario.name.clone()).collect();
    names.sort();
    names.dedup();
    let wanted = match (scenario, &names[..]) {
        (Some(wanted), names) if names.iter().any(|name| name == wanted) => wanted.to_owned(),
        (None, [only]) => only.clone(),
        (_, []) => anyhow::bail!(
            "there is no record of a run in {shown}: it takes a directory of run directories, or of what \
             `din baseline save` keeps"
        ),
        (_, names) => {
            anyhow::bail!("{shown} has runs of {}: name one with --scenario", names.join(", "))
        }
    };
    records.retain(|(_, record)| record.scenario.name == wanted);
    let mut history = History::of(wanted, records);
    if let [first, ..] = &unread[..] {
        history
            .cautions
            .push(format!("{} files are no records and left out: {first}", unread.len()));
    }
    Ok(history)
}

impl History {
    /// Of these records, wherever they are.
    pub fn of(scenario: String, mut records: Vec<(PathBuf, RunRecord)>) -> Self {
        records.sort_by(|a, b| (a.1.started_at_unix_s, &a.0).cmp(&(b.1.started_at_unix_s, &b.0)));
        let all = records.len();
        records.retain(|(_, record)| {
            record.validity.state != State::Invalid && record.exit_code != 130
        });
        let mut cautions = Vec::new();
        if records.len() < all {
            cautions.push(format!(
                "{} runs were INVALID or interrupted and are left out",
                all - records.len()
            ));
        }
        if records.len() < ENOUGH {
            cautions.push(format!(
                "{} runs: with fewer than some {ENOUGH} a change of a few percent is hardly found",
                records.len()
            ));
        }
        let entries: Vec<Entry> = records
            .into_iter()
            .map(|(path, record)| Entry {
                path,
                began: Utc::at_unix_s(record.started_at_unix_s).iso().replace('T', " "),
                commit: short(record.commit.as_deref()),
                record,
            })
            .collect();
        let pairs = || entries.iter().zip(entries.iter().skip(1)).enumerate();
        let moved = pairs().filter_map(|(index, (before, after))| {
            let different = differences(&after.record.host, &before.record.host);
            (!different.is_empty()).then(|| (index + 1, different.join("; ")))
        });
        let moved: Vec<(usize, String)> = moved.collect();
        if let [(index, first), ..] = &moved[..] {
            cautions.push(format!(
                "the host changed {}, first at run {} ({first}): what changed there may be the host",
                times(moved.len()),
                index + 1
            ));
        }
        let asked = pairs().filter(|(_, (before, after))| {
            let of = |entry: &Entry| {
                (entry.record.scenario.text.clone(), entry.record.scenario.overrides.clone())
            };
            of(before) != of(after)
        });
        let asked: Vec<usize> = asked.map(|(index, _)| index + 1).collect();
        if let [first, ..] = asked[..] {
            cautions.push(format!(
                "the scenario or its changes became others {}, first at run {}: what changed there may be \
                 the load",
                times(asked.len()),
                first + 1
            ));
        }
        let courses = JUDGED.iter().filter_map(|judged| {
            let values: Vec<Option<f64>> =
                entries.iter().map(|entry| judged.of(&entry.record.metrics)).collect();
            let known: Vec<(usize, f64)> = values
                .iter()
                .enumerate()
                .filter_map(|(index, value)| Some((index, (*value)?)))
                .collect();
            let numbers: Vec<f64> = known.iter().map(|(_, value)| *value).collect();
            let mut changes = change_points(&numbers, &Rules::default());
            for change in &mut changes {
                change.index = known[change.index].0;
            }
            let course = Course { name: judged.name, unit: judged.unit, values, changes };
            (!known.is_empty()).then_some(course)
        });
        let courses = courses.collect();
        Self { scenario, entries, courses, cautions }
    }

    /// Every change, the oldest first: the run's index, and what changed.
    pub fn changes(&self) -> Vec<(usize, String)> {
        let mut all: Vec<(usize, String)> = self
            .courses
            .iter()
            .flat_map(|course| {
                course.changes.iter().map(|change| (change.index, course.sentence(change)))
            })
            .collect();
        all.sort_by_key(|(index, _)| *index);
        all
    }

    /// As people read it, ending in a line break.
    pub fn text(&self) -> String {
        let mut out = String::new();
        let (first, last) = (self.entries.first(), self.entries.last());
        let span = first.zip(last).map_or_else(String::new, |(first, last)| {
            format!(", {} to {} UTC", first.began, last.began)
        });
        // Writing to a String does not fail.
        let _ = writeln!(out, "{} runs of {}{span}", self.entries.len(), self.scenario);
        let changes = self.changes();
        if changes.is_empty() {
            let _ = writeln!(out, "no change of 5 % or more that is not chance (p < 0.001)");
        }
        for (index, sentence) in changes {
            let entry = &self.entries[index];
            let _ = writeln!(
                out,
                "  run {:<4} {}  {:<10}  {sentence}",
                index + 1,
                entry.began,
                entry.commit
            );
        }
        let _ = writeln!(out, "\n{:<32}{:>6}{:>12}{:>12}", "number", "runs", "first", "last");
        for course in &self.courses {
            let mut known = course.values.iter().flatten();
            let first = known.next().copied().unwrap_or(f64::NAN);
            let last = known.next_back().copied().unwrap_or(first);
            let count = course.values.iter().flatten().count();
            let label = course.label();
            let _ = writeln!(out, "{label:<32}{count:>6}{first:>12.3}{last:>12.3}");
        }
        for caution in &self.cautions {
            let _ = writeln!(out, "caution: {caution}");
        }
        out
    }
}

/// How often, in words.
fn times(count: usize) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

impl Course {
    /// Its name and unit.
    fn label(&self) -> String {
        format!("{} {}", self.name, self.unit).trim_end().to_owned()
    }

    fn sentence(&self, change: &ChangePoint) -> String {
        // Of all numbers here, less is better.
        let which = if change.after > change.before { "worse" } else { "better" };
        let share = change.share() * 100.0;
        let share = if share.is_finite() { format!("{share:+.0} %, ") } else { String::new() };
        format!(
            "{} {:.3} → {:.3} {} ({share}p {:.1e}): {which}",
            self.name, change.before, change.after, self.unit, change.p
        )
    }
}

#[cfg(test)]
mod tests;
