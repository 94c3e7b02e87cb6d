//! What happened second by second.

use measure::Metric;
use measure::interval_log::Times;

use super::{demand, line, named, timed};
use crate::plot::{Plot, Scale, Series, Shape};
use crate::run_files::RunFiles;

/// A column of `timeline.csv`, and what a line of it is called.
type Column = (&'static str, &'static str, Shape);

/// All of it, in the order in which it is read; what no run has is left out.
pub fn over_time(runs: &[RunFiles]) -> Vec<Plot> {
    let plots = [
        devices(runs),
        latency(runs),
        frames(runs),
        unanswered(runs),
        trouble(runs),
        workers(runs),
        load(runs),
        queue(runs),
        balance(runs),
        cpu(runs),
        memory(runs),
        lag(runs),
    ];
    plots.into_iter().filter(|plot| !plot.is_empty()).collect()
}

fn devices(runs: &[RunFiles]) -> Plot {
    let lines = columns(runs, &[("devices", "sessions open", Shape::Steps)]);
    let words = ("devices", "Devices", "Sessions that were open at the end of each second.");
    timed(runs, words, ("sessions", ""), Scale::Linear, lines)
}

fn latency(runs: &[RunFiles]) -> Plot {
    let mut lines = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        let quantiles: &[(&str, f64)] = if runs.len() > 1 {
            &[("p50", 0.5), ("p99", 0.99)]
        } else {
            &[("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("max", 1.0)]
        };
        for (name, share) in quantiles {
            let points = if run.intervals.is_empty() {
                // The timeline has the same numbers, but for p90.
                column(run, &format!("response_latency_{name}_ms"))
            } else {
                intervals(run, Metric::ResponseLatency, |times| times.quantile_ms(*share))
            };
            lines.push(line(named(runs, index, name), lines.len(), Shape::Line, &points));
        }
    }
    let words = (
        "response-latency",
        "Response latency",
        "From the instant a frame was planned to be sent to its answer, of the answers that came in \
         each second; logarithmic. A red line is a limit of the scenario.",
    );
    let mut plot = timed(runs, words, ("latency", "ms"), Scale::Log, lines);
    let latency = |metric: &str| metric.starts_with(Metric::ResponseLatency.name());
    for threshold in runs[0].record.thresholds.iter().filter(|one| latency(&one.metric)) {
        if let Some(bound) = threshold.bound {
            plot.y.range.1 = plot.y.range.1.max(bound * 1.3);
            plot.limits.push((bound, format!("{} {}", threshold.subject(), threshold.limit)));
        }
    }
    plot
}

fn frames(runs: &[RunFiles]) -> Plot {
    let all = [("frames_sent", "sent", Shape::Line), ("frames_answered", "answered", Shape::Line)];
    let both = if runs.len() == 1 { &all[..] } else { &all[1..] };
    let words = ("frames", "Frames", "Frames sent and answers received, each second.");
    timed(runs, words, ("frames", "1/s"), Scale::Linear, rates(runs, both))
}

/// Cumulative, so that what was lost stays to be seen, and what was under way goes again.
fn unanswered(runs: &[RunFiles]) -> Plot {
    let lines = runs.iter().enumerate().map(|(index, run)| {
        let awaited = awaited(run);
        let answered = run.timeline.numbers("frames_answered");
        let mut open = 0.0;
        let points = times(run).into_iter().zip(awaited.iter().zip(&answered)).map(|(at, both)| {
            let (Some(awaited), Some(answered)) = both else { return (at, None) };
            open += awaited - answered;
            (at, Some(f64::max(open, 0.0)))
        });
        line(
            named(runs, index, "without an answer"),
            index,
            Shape::Line,
            &points.collect::<Vec<_>>(),
        )
    });
    let words = (
        "unanswered",
        "Frames without an answer",
        "Frames that each have their answer, sent so far, less answers so far: what is under way comes \
         back down, what is lost stays.",
    );
    timed(runs, words, ("frames", ""), Scale::Linear, lines.collect())
}

fn trouble(runs: &[RunFiles]) -> Plot {
    let both =
        [("frames_lost", "frames lost", Shape::Steps), ("stutters", "stutters", Shape::Steps)];
    let words = (
        "loss-and-stutter",
        "Loss and stutter",
        "Frames planned in each second that were never answered, and audible gaps of 40 ms and more \
         that ended in it, of all devices; known when a run is over.",
    );
    timed(runs, words, ("in a second", ""), Scale::Linear, columns(runs, &both))
}

fn workers(runs: &[RunFiles]) -> Plot {
    let all = [
        ("workers", "workers", Shape::Steps),
        ("workers_busy", "busy", Shape::Line),
        ("workers_starting", "starting", Shape::Steps),
    ];
    let mut lines = columns(runs, if runs.len() == 1 { &all } else { &all[..2] });
    let single = runs.iter().filter(|_| runs.len() == 1);
    for (index, run) in single.enumerate() {
        let points = demand(run);
        if !points.is_empty() && !lines.is_empty() {
            lines.push(line(named(runs, index, "demand"), lines.len(), Shape::Line, &points));
        }
    }
    let words = (
        "workers",
        "Workers",
        "Supply: workers that took work, and those on their way. Busy: how many were at work, on \
         average over each second. Demand: frames sent a second times the mean work of a frame. \
         Vertical lines are changes of the pool and actions.",
    );
    timed(runs, words, ("workers", ""), Scale::Linear, lines)
}

fn load(runs: &[RunFiles]) -> Plot {
    let lines = columns(runs, &[("gateway_load_percent", "load", Shape::Line)]);
    let words = (
        "load",
        "Load",
        "Production's load, looked at each second: frames pending per worker, over 5.",
    );
    timed(runs, words, ("load", "%"), Scale::Linear, lines)
}

fn queue(runs: &[RunFiles]) -> Plot {
    let all = [
        ("gateway_queue_delay_p50_ms", "p50", Shape::Line),
        ("gateway_queue_delay_p99_ms", "p99", Shape::Line),
        ("gateway_queue_delay_max_ms", "max", Shape::Line),
    ];
    let lines = columns(runs, if runs.len() == 1 { &all } else { &all[1..2] });
    let words = (
        "queue-delay",
        "Queue delay",
        "From the gateway's kernel receiving a frame to a worker taking it; logarithmic.",
    );
    timed(runs, words, ("delay", "ms"), Scale::Log, lines)
}

fn balance(runs: &[RunFiles]) -> Plot {
    let both = [
        ("worker_balance", "Jain's index", Shape::Line),
        ("idle_while_waiting_share", "idle while work waited", Shape::Line),
    ];
    let words = (
        "balance",
        "Balance",
        "Jain's index of the workers' busy times (1: all the same) for each second in which they had \
         enough to do, and the share of the second in which a worker was idle while work waited for \
         another.",
    );
    timed(runs, words, ("share", ""), Scale::Linear, columns(runs, &both))
}

fn cpu(runs: &[RunFiles]) -> Plot {
    let both = [
        ("gateway_cpu_percent", "gateway", Shape::Line),
        ("generator_cpu_percent", "generator", Shape::Line),
    ];
    let words = ("cpu", "Processor time", "Of the gateway and of the load generator, each second.");
    timed(runs, words, ("of one core", "%"), Scale::Linear, columns(runs, &both))
}

fn memory(runs: &[RunFiles]) -> Plot {
    let both = [
        ("gateway_rss_mib", "gateway", Shape::Line),
        ("generator_rss_mib", "generator", Shape::Line),
    ];
    let words = ("memory", "Memory", "Resident memory of the gateway and of the load generator.");
    timed(runs, words, ("memory", "MiB"), Scale::Linear, columns(runs, &both))
}

fn lag(runs: &[RunFiles]) -> Plot {
    let mut lines = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        for (metric, name) in
            [(Metric::SendLag, "send lag p99"), (Metric::ReceiveLag, "receive lag p99")]
        {
            let points = intervals(run, metric, |times| times.quantile_ms(0.99));
            lines.push(line(named(runs, index, name), lines.len(), Shape::Line, &points));
        }
    }
    let words = (
        "generator-lag",
        "The generator's own lag",
        "How late the load generator sent frames and looked at answers: what it added by itself; \
         logarithmic.",
    );
    timed(runs, words, ("lag", "ms"), Scale::Log, lines)
}

/// Frames of each second that have their answer: what devices say that take turns has none.
fn awaited(run: &RunFiles) -> Vec<Option<f64>> {
    let awaited = run.timeline.numbers("frames_awaited");
    match awaited
        .iter()
        .flatten()
        .fold(None, |sum: Option<f64>, one| Some(sum.unwrap_or(0.0) + one))
    {
        // Older runs had no others.
        None => run.timeline.numbers("frames_sent"),
        Some(0.0) => vec![None; run.timeline.len()],
        Some(_) => awaited,
    }
}

/// The ends of the seconds.
fn times(run: &RunFiles) -> Vec<f64> {
    run.timeline.numbers("t_s").into_iter().flatten().collect()
}

fn column(run: &RunFiles, name: &str) -> Vec<(f64, Option<f64>)> {
    times(run).into_iter().zip(run.timeline.numbers(name)).collect()
}

/// A line for each run and column that has a number at all.
fn columns(runs: &[RunFiles], names: &[Column]) -> Vec<Series> {
    of_columns(runs, names, column)
}

/// The same for counts, by the length of their seconds.
fn rates(runs: &[RunFiles], names: &[Column]) -> Vec<Series> {
    of_columns(runs, names, |run, name| {
        let mut before = 0.0;
        let rate = |(at, count): (f64, Option<f64>)| {
            let length = at - before;
            before = at;
            (at, count.filter(|_| length > 0.0).map(|count| count / length))
        };
        column(run, name).into_iter().map(rate).collect()
    })
}

fn of_columns(
    runs: &[RunFiles],
    names: &[Column],
    points: impl Fn(&RunFiles, &str) -> Vec<(f64, Option<f64>)>,
) -> Vec<Series> {
    let mut lines = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        for (column, name, shape) in names {
            let points = points(run, column);
            if points.iter().any(|(_, value)| value.is_some()) {
                lines.push(line(named(runs, index, name), lines.len(), *shape, &points));
            }
        }
    }
    lines
}

/// A number of each interval of a metric, at the interval's end.
fn intervals(
    run: &RunFiles,
    metric: Metric,
    number: impl Fn(&Times) -> Option<f64>,
) -> Vec<(f64, Option<f64>)> {
    let intervals = run.intervals.iter().filter(|interval| interval.metric == metric.name());
    intervals.map(|one| (one.start_s + one.length_s, number(&one.times))).collect()
}
