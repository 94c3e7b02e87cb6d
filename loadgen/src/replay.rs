//! `din replay`: what was recorded is played again, and compared with what was heard then.

use std::fs;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use measure::heard::HeardRecord;
use reports::replay::heard_in;
use reports::run_files::{ORIGINAL, RunFiles, read_original};
use simnet::Trace;

use crate::hearing::heard_through;
use crate::import::{Replayed, SCENARIO};
use crate::run_directory::{self, RECORD, RunDirectory};
use crate::scenario::Scenario;

/// What is to be played again.
pub struct Replay {
    /// What was heard then.
    pub original: HeardRecord,
    /// What plays it.
    pub scenario: Scenario,
    /// The run directory; none: one by time and scenario.
    pub out: Option<PathBuf>,
}

/// Keeps what was heard in the original in a directory.
///
/// # Errors
/// When it cannot be written.
pub fn keep(original: &HeardRecord, directory: &Path) -> anyhow::Result<()> {
    let path = directory.join(ORIGINAL);
    let json = serde_json::to_string_pretty(original).context("cannot write what was heard")?;
    fs::write(&path, json + "\n").with_context(|| format!("cannot write {}", path.display()))
}

/// Reads what an import wrote, a run (its directory or `run.json`) or a trace.
///
/// # Errors
/// When it is none of them, or cannot be read; says what it has to be.
pub fn prepare(what: &Path, overrides: &[String], out: Option<&Path>) -> anyhow::Result<Replay> {
    let shown = what.display();
    let named = out.map(Path::to_owned);
    if what.file_name().is_some_and(|name| name == RECORD) || what.join(RECORD).is_file() {
        let (original, scenario) = of_run(what, overrides)?;
        return Ok(Replay { original, scenario, out: named });
    }
    if what.is_dir() {
        let scenario = what.join(SCENARIO);
        let original = read_original(what).map_err(anyhow::Error::msg)?;
        let (true, Some(original)) = (scenario.is_file(), original) else {
            anyhow::bail!(
                "{shown} is neither a run ({RECORD}) nor what `din import` writes ({SCENARIO} and \
                 {ORIGINAL})"
            );
        };
        let scenario = Scenario::load(&scenario, overrides)?;
        return Ok(Replay { original, scenario, out: named });
    }
    anyhow::ensure!(
        what.extension().is_none_or(|ending| ending != "toml"),
        "{shown} is a scenario, and no recording: `din run {shown}`"
    );
    of_trace(what, overrides, out)
}

fn of_run(what: &Path, overrides: &[String]) -> anyhow::Result<(HeardRecord, Scenario)> {
    let run = RunFiles::read(what)?;
    let original = heard_in(&run);
    anyhow::ensure!(
        original.rfc3550_jitter_ms.is_some(),
        "{}: nothing was heard in that run, so that nothing can be compared with it; run its \
         scenario with `din run`",
        what.display()
    );
    let said = run.record.scenario;
    let path = said.file.unwrap_or_else(|| format!("{}.toml", said.name));
    // The same devices say the same at the same instants.
    let seed = format!("seed={}", run.record.seed);
    let changes: Vec<String> =
        said.overrides.into_iter().chain([seed]).chain(overrides.iter().cloned()).collect();
    Ok((original, Scenario::recorded(Path::new(&path), &said.text, &changes)?))
}

/// A trace gets a scenario of its own, in the run directory.
fn of_trace(what: &Path, overrides: &[String], out: Option<&Path>) -> anyhow::Result<Replay> {
    let shown = what.display();
    let file = fs::File::open(what).with_context(|| {
        format!("cannot open {shown}; `din replay` takes a trace, a run directory or what `din import` wrote")
    })?;
    let trace = Trace::read(BufReader::new(file)).with_context(|| {
        format!("{shown} is no trace; a capture becomes one by `din import pcap {shown}`")
    })?;
    let source = format!("trace {shown}");
    let usual = Duration::from_millis(60);
    let place = what.canonicalize().with_context(|| format!("cannot find {shown}"))?;
    let place = place.to_str().with_context(|| format!("{shown}: its path is no text"))?;
    let text = Replayed {
        written_by: "din replay",
        name: &what.file_name().unwrap_or_default().to_string_lossy(),
        trace: place,
        frame: usual,
        devices: trace.streams().len(),
        lasting: trace.sending(),
        heard: &heard_through(source.clone(), &trace, usual),
    }
    .scenario_text();
    let out = out.map_or_else(|| run_directory::for_now(what), Path::to_owned);
    let directory = RunDirectory::create(Some(&out), "replay", SystemTime::now())
        .map_err(|error| anyhow::anyhow!("{}: {}", error.path.display(), error.source))?;
    directory
        .write(SCENARIO, &text)
        .with_context(|| format!("cannot write {SCENARIO} into {}", out.display()))?;
    let scenario = Scenario::load(&out.join(SCENARIO), overrides)?;
    let original = heard_through(source, &trace, scenario.shortest_frame().as_duration());
    Ok(Replay { original, scenario, out: Some(out) })
}
