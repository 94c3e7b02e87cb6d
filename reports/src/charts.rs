//! Which plots a report has, and what they say: from run directories to plots.
//!
//! Every function takes one run or several; several are laid over each other, each with a letter.

mod latency;
mod over_time;
mod replay;
mod scaling;

pub use latency::{decomposition, devices, heat, spectrum, worst_device};
pub use over_time::over_time;
pub use replay::replay;
pub use scaling::{Scorecard, demand, scorecard};

use measure::record::RunRecord;

use crate::plot::{Axis, Band, Content, Mark, Plot, Scale, Series, Shape};
use crate::run_files::RunFiles;

/// The letter of a run among several.
pub fn letter(index: usize) -> String {
    let offset = u8::try_from(index % 26).unwrap_or(0);
    char::from(b'A' + offset).to_string()
}

/// What a line is called: with its run's letter where there are several.
fn named(runs: &[RunFiles], index: usize, name: &str) -> String {
    if runs.len() == 1 { name.to_owned() } else { format!("{} {name}", letter(index)) }
}

/// The time of all runs, from the start of each.
fn time(runs: &[RunFiles]) -> Axis {
    let longest = runs.iter().map(|run| run.record.duration_ms / 1e3).fold(0.0, f64::max);
    Axis::linear("time", "s", longest.max(1.0))
}

/// The phases of the first run.
fn phases(runs: &[RunFiles]) -> Vec<Band> {
    let phases = &runs[0].record.phases;
    let bands = phases.iter().map(|phase| Band {
        from: phase.start_ms / 1e3,
        to: phase.end_ms / 1e3,
        label: phase.name.clone(),
    });
    bands.collect()
}

/// What was done to the runs, and what they did to their pools.
pub fn events(run: &RunRecord) -> Vec<Mark> {
    let actions = run.actions.iter().map(|action| Mark {
        at: action.at_ms / 1e3,
        label: match &action.name {
            Some(name) => format!("{name}: {}", action.action),
            None => action.action.clone(),
        },
    });
    let changes = run.gateway.iter().flat_map(|gateway| &gateway.scaling.events);
    let changes = changes.map(|event| Mark {
        at: event.at_ms / 1e3,
        label: format!("workers {} → {}: {}", event.from, event.to, event.sentence),
    });
    let mut events: Vec<Mark> = actions.chain(changes).collect();
    events.sort_by(|one, other| one.at.total_cmp(&other.at));
    events
}

/// A plot over the time of the runs; its axis up reaches as far as its lines.
fn timed(
    runs: &[RunFiles],
    (id, title, caption): (&'static str, &str, &str),
    (label, unit): (&str, &'static str),
    scale: Scale,
    mut lines: Vec<Series>,
) -> Plot {
    lines.retain(|line| line.points.iter().any(|(_, value)| value.is_some()));
    let marks = if runs.len() == 1 { events(&runs[0].record) } else { Vec::new() };
    Plot {
        id,
        title: title.to_owned(),
        caption: caption.to_owned(),
        x: time(runs),
        y: reaching(label, unit, scale, &lines),
        content: Content::Lines(lines),
        marks,
        bands: phases(runs),
        limits: Vec::new(),
    }
}

/// An axis that reaches as far as these lines, and a little further.
fn reaching(label: &str, unit: &'static str, scale: Scale, lines: &[Series]) -> Axis {
    let values = || lines.iter().flat_map(|line| &line.points).filter_map(|(_, value)| *value);
    let most = values().fold(0.0, f64::max);
    let least = values().filter(|value| *value > 0.0).fold(f64::INFINITY, f64::min);
    if scale == Scale::Log && least.is_finite() {
        return Axis::log(label, unit, ((least / 1.3).max(1e-3), most.max(least * 2.0) * 1.3));
    }
    Axis::linear(label, unit, if most > 0.0 { most * 1.08 } else { 1.0 })
}

/// A line through points; of a run that is too long for a page each point is the largest of several.
fn line(name: String, tone: usize, shape: Shape, points: &[(f64, Option<f64>)]) -> Series {
    const MOST: usize = 1200;
    let each = points.len().div_ceil(MOST).max(1);
    let largest = |chunk: &[(f64, Option<f64>)]| {
        let values = chunk.iter().filter_map(|(_, value)| *value);
        (chunk[chunk.len() - 1].0, values.reduce(f64::max))
    };
    let points = points.chunks(each).map(largest).collect();
    Series { name, tone: u8::try_from(tone % 8).unwrap_or(0), shape, points }
}
