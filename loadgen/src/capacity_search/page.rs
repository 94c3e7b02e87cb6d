//! The page of a search.

use measure::host::words;
use reports::plot::{Axis, Content, Mark, Plot, Series, Shape};
use reports::study::{Grid, Part, Study, Tone, cell};

use super::result::{Level, knee, knee_told, levels, limiting};
use super::{Bounds, End, Ended, Kept, Quantity};

/// All that a search found.
pub fn study(ended: &Ended) -> Study {
    let kept = &ended.kept;
    let bounds = kept.bounds();
    let badge = match (ended.end, bounds) {
        (End::Found, Bounds { met: None, .. }) => ("NOT MET".to_owned(), Tone::Bad),
        (End::Found, Bounds { met: Some(met), missed: Some(_) }) => {
            (kept.quantity.shown(met), Tone::Good)
        }
        _ => ("NOT KNOWN".to_owned(), Tone::Open),
    };
    let cautions = [ended.caution(), ended.shared_host(), ended.uneven_pace(), ended.suspects()]
        .into_iter()
        .flatten()
        .collect::<Vec<String>>();
    let mut facts = ended.bounds_told();
    if let Some(limit) = bounds.missed.and_then(|missed| limiting(kept, missed)) {
        facts.push(("limit", limit));
    }
    facts.extend(ended.headroom());
    facts.extend(knee_told(kept).map(|knee| ("knee", knee)));
    let limits = kept.basis.limits.iter().map(|(subject, limit, _)| format!("{subject} {limit}"));
    facts.extend([
        ("limits", limits.collect::<Vec<_>>().join(", ")),
        ("trials", format!("{} that count, {} INVALID", kept.trials.len(), kept.invalid)),
        ("machine", words(&kept.basis.host)),
        ("din", kept.din_version.clone()),
    ]);
    Study {
        title: format!("Capacity: {}", kept.scenario),
        badge,
        answer: format!("{}.", ended.answer()),
        cautions,
        facts,
        parts: vec![
            Part { heading: "The curve", plots: plots(kept), ..Part::default() },
            Part { heading: "Trial by trial", table: trials(kept), ..Part::default() },
        ],
        command: kept.command.clone(),
    }
}

fn trials(kept: &Kept) -> Grid {
    let quantity = &kept.quantity;
    let mut table = Grid::new(&[
        &quantity.name,
        "trial",
        "p99 (ms)",
        "loss (%)",
        "gateway CPU (%)",
        "machine's pace (ms)",
        "what failed",
    ]);
    for trial in &kept.trials {
        let failed = if trial.good { "nothing: good".to_owned() } else { trial.failed.join(", ") };
        table.rows.push(vec![
            format!("{}{}", trial.value, quantity.unit),
            trial.directory.trim_start_matches("trial-").split('-').next().unwrap_or("").to_owned(),
            cell(trial.seen.response_latency_p99_ms, 1),
            cell(trial.seen.effective_loss_percent, 2),
            cell(trial.seen.gateway_cpu_percent, 0),
            cell(trial.seen.machine_pace_ms, 4),
            failed,
        ]);
    }
    table
}

fn plots(kept: &Kept) -> Vec<Plot> {
    let levels = levels(kept);
    let line = |name: &str, tone, of: fn(&Level) -> Option<f64>| Series {
        name: name.to_owned(),
        tone,
        shape: Shape::Line,
        points: levels.iter().map(|level| (f64::from(level.value), of(level))).collect(),
    };
    let latencies = || kept.trials.iter().filter_map(|trial| trial.seen.response_latency_p99_ms);
    let each = Series {
        name: "each trial".to_owned(),
        tone: 6,
        shape: Shape::Dots,
        points: {
            let mut points: Vec<(f64, Option<f64>)> = kept
                .trials
                .iter()
                .map(|trial| (f64::from(trial.value), trial.seen.response_latency_p99_ms))
                .collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            points
        },
    };
    let limits = |subject: &str| {
        let of = kept.basis.limits.iter().filter(|(name, ..)| name == subject);
        of.filter_map(|(name, limit, bound)| Some(((*bound)?, format!("{name} {limit}")))).collect()
    };
    let least = latencies().fold(f64::INFINITY, f64::min);
    let most = latencies().fold(0.0, f64::max);
    let cpu = levels
        .iter()
        .flat_map(|level| [level.seen.gateway_cpu_percent, level.seen.generator_cpu_percent])
        .flatten();
    let cores = cpu.fold(100.0, f64::max);
    let loss =
        levels.iter().filter_map(|level| level.seen.effective_loss_percent).fold(1.0, f64::max);
    let plot = |id, title: &str, caption: &str, y: Axis, lines, limits| Plot {
        id,
        title: format!("{title} against {}", kept.quantity.name),
        caption: format!("{caption}{}", marked(kept)),
        x: across(kept),
        y,
        content: Content::Lines(lines),
        marks: marks(kept),
        bands: Vec::new(),
        limits,
    };
    vec![
        plot(
            "latency",
            "Latency",
            "p99 of response latency: each trial, and the mean of the trials at one value.",
            Axis::log("p99", "ms", (least.clamp(1e-3, 1.0), most.max(10.0))),
            vec![line("mean", 0, |level| level.seen.response_latency_p99_ms), each],
            limits("response_latency.p99"),
        ),
        plot(
            "loss",
            "Effective loss",
            "Frames that a device could not play, on average over the trials at one value.",
            Axis::linear("effective loss", "%", loss),
            vec![line("effective loss", 1, |level| level.seen.effective_loss_percent)],
            limits("effective_loss"),
        ),
        plot(
            "cpu",
            "Processor time",
            "Of the gateway and of the generator, which share this host, in % of one core.",
            Axis::linear("CPU", "% of one core", cores),
            vec![
                line("gateway", 2, |level| level.seen.gateway_cpu_percent),
                line("generator", 3, |level| level.seen.generator_cpu_percent),
            ],
            Vec::new(),
        ),
    ]
}

fn across(kept: &Kept) -> Axis {
    let most = kept.trials.iter().map(|trial| trial.value).max().unwrap_or(1);
    let Quantity { name, unit, .. } = &kept.quantity;
    let label = if unit.is_empty() { name.clone() } else { format!("{name} ({unit})") };
    Axis::linear(&label, "", f64::from(most))
}

/// What the marks are, in words.
fn marked(kept: &Kept) -> String {
    let marks = marks(kept);
    let named = marks.iter().map(|mark| format!("{} at {}", mark.label, mark.at));
    let named = named.collect::<Vec<_>>().join(", ");
    if named.is_empty() { named } else { format!(" Lines up: {named}.") }
}

/// The bounds and the knee.
fn marks(kept: &Kept) -> Vec<Mark> {
    let Bounds { met, missed } = kept.bounds();
    let too = if kept.quantity.fewest { "too few" } else { "too much" };
    let named = [("met", met), (too, missed), ("knee", knee(kept).map(|(value, _)| value))];
    named
        .into_iter()
        .filter_map(|(label, at)| Some(Mark { at: f64::from(at?), label: label.to_owned() }))
        .collect()
}
