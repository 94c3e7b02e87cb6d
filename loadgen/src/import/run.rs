//! `din import run`: an earlier run, so that yesterday's incident becomes today's scenario.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use measure::heard::HeardRecord;
use reports::replay::heard_in;
use reports::run_files::RunFiles;
use simnet::{Point, Stream, Trace};

use super::{SCENARIO, TRACE};
use crate::replay;
use crate::scenario::Scenario;

/// What was made of a run.
#[derive(Debug)]
pub struct Imported {
    /// What was heard in it.
    pub heard: HeardRecord,
    /// Changes from the command line that are in the scenario now.
    pub changes: Vec<String>,
    /// Frames of the worst device that are in a trace; `None` where the run does not have them.
    pub traced: Option<usize>,
    /// The directory with the scenario.
    pub out: PathBuf,
}

/// Reads a run directory and writes its scenario, with the changes that it was run with, into the
/// directory `out`; and, as a trace of the uplink, what the worst of its devices went through.
///
/// # Errors
/// When there is no run, its scenario names files that are not beside `out`'s, or `out` cannot be
/// written.
pub fn import_run(run: &Path, out: &Path) -> anyhow::Result<Imported> {
    let run = RunFiles::read(run)?;
    let said = &run.record.scenario;
    let seed = format!("seed={}", run.record.seed);
    let changes: Vec<String> = said.overrides.iter().cloned().chain([seed]).collect();
    let path = out.join(SCENARIO);
    let text = Scenario::recorded_text(&path, &said.text, &changes)?;
    Scenario::parse(&path, &text).with_context(|| {
        "the run's scenario cannot stand there; files that it names are looked for beside it: name \
         the directory of the original with --out"
    })?;
    let write = |file: &str, text: &[u8]| {
        let path = out.join(file);
        anyhow::ensure!(!path.exists(), "{} is there already: name another --out", path.display());
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let words = format!(
        "# Written by `din import run` of {}, on {}.\n",
        run.name,
        run.record
            .host
            .get("hostname")
            .and_then(|name| name.as_str())
            .unwrap_or("a host without name")
    );
    write(SCENARIO, (words + &text).as_bytes())?;
    let heard = heard_in(&run);
    replay::keep(&heard, out)?;
    let trace = worst_device(&run);
    if let Some(trace) = &trace {
        let mut csv = Vec::new();
        trace.write(&mut csv).context("cannot write a trace")?;
        write(TRACE, &csv)?;
    }
    let traced = trace.map(|trace| trace.streams()[0].up.len());
    Ok(Imported { heard, changes: said.overrides.clone(), traced, out: out.to_owned() })
}

/// What the worst device's frames went through, above the fastest of them.
fn worst_device(run: &RunFiles) -> Option<Trace> {
    let [times, delays] = ["t_s", "delay_ms"].map(|column| run.worst_device.numbers(column));
    let first = *times.first()?;
    let fastest = delays.iter().flatten().copied().reduce(f64::min)?;
    let span = |seconds: f64| Duration::try_from_secs_f64(seconds.max(0.0)).ok();
    let points = times.into_iter().zip(delays).map(|(at, delay)| {
        let delay = match delay {
            None => None,
            Some(delay) => Some(span((delay - fastest) / 1e3)?),
        };
        Some(Point { at: span(at? - first?)?, delay })
    });
    let up = points.collect::<Option<Vec<_>>>()?;
    Some(Trace::new(vec![Stream { up, down: Vec::new() }]))
}

/// What an import says, ending in a line break.
pub fn text(imported: &Imported) -> String {
    let Imported { heard, changes, traced, out } = imported;
    let mut text =
        format!("{}\n\nwrote {}", super::heard_text(heard), out.join(SCENARIO).display());
    // Writing to a String does not fail.
    if !changes.is_empty() {
        let _ = write!(text, ", changed as by --set {}", changes.join(" --set "));
    }
    let _ = writeln!(text, "\nplay it again: din replay {}", out.display());
    if let Some(frames) = traced {
        let trace = out.join(TRACE);
        let _ = writeln!(
            text,
            "what its worst device went through, {frames} frames: din replay {}",
            trace.display()
        );
    }
    text
}
