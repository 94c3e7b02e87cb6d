//! How latencies are distributed: over percentiles, over time, over stages and over devices.

use measure::Metric;
use measure::interval_log::{Interval, Times};
use measure::record::{MetricMap, MetricRecord};

use super::{events, letter, line, named, phases, reaching, time};
use crate::plot::{Axis, Bars, Content, Heat, Plot, Scale, Series, Shape};
use crate::run_files::RunFiles;

/// The highest percentile that is drawn, in nines, and how finely.
const NINES: f64 = 4.0;
const STEPS: u32 = 80;
/// Fields of a heat map.
const COLUMNS: u32 = 80;
const ROWS: u32 = 28;

/// Latency over percentiles, to 99.99.
pub fn spectrum(runs: &[RunFiles]) -> Plot {
    let mut lines = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        for (metric, name) in [
            (Metric::ResponseLatency, "response latency"),
            (Metric::ServiceLatency, "service latency"),
            (Metric::SendLag, "send lag"),
        ] {
            let whole = whole(run, metric);
            if whole.count() > 0 {
                let name = named(runs, index, name);
                lines.push(Series {
                    points: quantiles(&whole),
                    ..line(name, lines.len(), Shape::Line, &[])
                });
            }
        }
    }
    Plot {
        id: "spectrum",
        title: "Percentile spectrum".to_owned(),
        caption: "The time that each percentile of the frames did not exceed, up to 99.99 or as far as \
                  there are samples. Response latency counts from the planned instant, service latency \
                  from the send call; between them lies the generator's own send lag. Both axes are \
                  logarithmic."
            .to_owned(),
        x: Axis::nines(100.0 - 100.0 * 10f64.powf(-NINES)),
        y: reaching("time", "ms", Scale::Log, &lines),
        content: Content::Lines(lines),
        marks: Vec::new(),
        bands: Vec::new(),
        limits: Vec::new(),
    }
}

/// All samples of a metric in a run.
fn whole(run: &RunFiles, metric: Metric) -> Times {
    let mut whole = Times::default();
    for interval in run.intervals.iter().filter(|interval| interval.metric == metric.name()) {
        whole.merge(&interval.times);
    }
    whole
}

/// From 0 on, as far as one sample at least lies beyond.
fn quantiles(times: &Times) -> Vec<(f64, Option<f64>)> {
    let steps = (0..=STEPS).map(|step| NINES * f64::from(step) / f64::from(STEPS));
    let beyond = steps.map(|nines| 10f64.powf(-nines));
    let seen = beyond.take_while(|beyond| beyond * times.count() as f64 >= 1.0);
    seen.map(|beyond| (100.0 * (1.0 - beyond), times.quantile_ms(1.0 - beyond))).collect()
}

/// How many answers of which latency came when, of one run among several.
pub fn heat(runs: &[RunFiles], index: usize) -> Plot {
    let run = &runs[index];
    let intervals = || {
        let latency = Metric::ResponseLatency.name();
        run.intervals.iter().filter(move |interval| interval.metric == latency)
    };
    let all = whole(run, Metric::ResponseLatency);
    let (least, most) = (all.quantile_ms(0.0), all.max_ms());
    let from = least.unwrap_or(0.1).max(1e-3) / 1.1;
    let to = most.unwrap_or(1.0).max(from * 2.0) * 1.1;
    let x = time(runs);
    let end = x.range.1;
    let columns = columns(intervals(), end);
    let rows: Vec<f64> =
        (0..=ROWS).map(|at| from * (to / from).powf(f64::from(at) / f64::from(ROWS))).collect();
    let mut counts = vec![vec![0; ROWS as usize]; columns.len() - 1];
    for interval in intervals() {
        let column = field(&columns, interval.start_s + interval.length_s / 2.0);
        for (millis, count) in interval.times.bins() {
            counts[column][field(&rows, millis)] += count;
        }
    }
    let title = if runs.len() == 1 {
        "Response latency, all of it".to_owned()
    } else {
        format!("Response latency of {}, all of it", letter(index))
    };
    Plot {
        id: ["heat", "heat-b", "heat-c", "heat-d"].get(index).copied().unwrap_or("heat-more"),
        title,
        caption: "How many answers of which latency came when: the stronger a field's colour, the \
                  more, by the logarithm, so that a single late answer is seen beside thousands."
            .to_owned(),
        x,
        y: Axis::log("latency", "ms", (from, to)),
        content: Content::Heat(Heat { columns, rows, counts }),
        marks: events(&run.record),
        bands: phases(std::slice::from_ref(run)),
        limits: Vec::new(),
    }
}

/// The edges of the log's seconds, or of evenly wide columns where there are more than can be drawn.
fn columns<'a>(intervals: impl Iterator<Item = &'a Interval>, end: f64) -> Vec<f64> {
    let ends: Vec<f64> = intervals.map(|one| one.start_s + one.length_s).collect();
    if ends.is_empty() || ends.len() > COLUMNS as usize {
        return (0..=COLUMNS).map(|at| end * f64::from(at) / f64::from(COLUMNS)).collect();
    }
    std::iter::once(0.0).chain(ends).collect()
}

/// The field that a value falls into, the nearest one for what is outside.
fn field(edges: &[f64], value: f64) -> usize {
    let after = edges.partition_point(|edge| *edge <= value);
    after.saturating_sub(1).min(edges.len() - 2)
}

/// The stages of a frame's way, as metrics.
const STAGES: [(Metric, &str); 5] = [
    (Metric::SendLag, "generator"),
    (Metric::PathUp, "up"),
    (Metric::GatewayQueueDelay, "queue"),
    (Metric::GatewayWork, "work"),
    (Metric::PathBack, "back"),
];

/// Where the latency of each phase went.
pub fn decomposition(runs: &[RunFiles]) -> Plot {
    let mut bars = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        for phase in &run.record.phases {
            let parts = STAGES.iter().map(|(metric, _)| mean(&phase.metrics, *metric));
            let parts: Vec<Option<f64>> = parts.collect();
            if parts.iter().skip(1).any(Option::is_some) {
                bars.push((named(runs, index, &phase.name), parts));
            }
        }
    }
    let length = |(_, parts): &(String, Vec<Option<f64>>)| parts.iter().flatten().sum::<f64>();
    let most = bars.iter().map(length).fold(0.0, f64::max);
    let names = bars.iter().map(|(name, _)| name.clone()).collect();
    Plot {
        id: "decomposition",
        title: "Where the latency went".to_owned(),
        caption: "Means of each phase: from the planned instant to the send call, to the gateway's \
                  kernel, until a worker took the frame, until it was done, and until our kernel had \
                  the answer."
            .to_owned(),
        x: Axis::linear("mean", "ms", if most > 0.0 { most * 1.05 } else { 1.0 }),
        y: Axis::named_places(names),
        content: Content::Bars(Bars {
            parts: STAGES.iter().map(|(_, name)| (*name).to_owned()).collect(),
            bars,
        }),
        marks: Vec::new(),
        bands: Vec::new(),
        limits: Vec::new(),
    }
}

fn mean(metrics: &MetricMap, metric: Metric) -> Option<f64> {
    match metrics.get(metric.name()) {
        Some(MetricRecord::Distribution(summary)) => summary.mean,
        _ => None,
    }
}

/// What devices differ in: a column of `devices.csv`, ordered from the best device to the worst.
pub fn devices(runs: &[RunFiles]) -> Vec<Plot> {
    let plots = [
        (
            "devices-latency",
            "Latency over devices",
            "Mean and largest response latency of each device, each line in its own order, from the \
             best device to the worst: a rise at the right end is a few unlucky devices.",
            ("latency", "ms"),
            Scale::Log,
            &[("response_latency_mean_ms", "mean"), ("response_latency_max_ms", "largest")][..],
        ),
        (
            "devices-jitter",
            "Jitter over devices",
            "Interarrival jitter (RFC 3550) and the spread of the gaps between arrivals of each \
             device, each line in its own order.",
            ("jitter", "ms"),
            Scale::Log,
            &[
                ("rfc3550_jitter_ms", "RFC 3550 jitter"),
                ("interarrival_sigma_ms", "interarrival sigma"),
            ],
        ),
        (
            "devices-stutter",
            "Stutter over devices",
            "Audible gaps of 40 ms and more that each device played, in a minute.",
            ("stutters", "1/min"),
            Scale::Linear,
            &[("stutter_per_minute", "stutters")],
        ),
    ];
    let plot = |(id, title, caption, (label, unit), scale, columns): (
        _,
        &str,
        &str,
        (&str, _),
        _,
        &[(&str, &str)],
    )| {
        let lines = ordered(runs, columns);
        Plot {
            id,
            title: title.to_owned(),
            caption: caption.to_owned(),
            x: Axis::linear("devices, best to worst", "%", 100.0),
            y: reaching(label, unit, scale, &lines),
            content: Content::Lines(lines),
            marks: Vec::new(),
            bands: Vec::new(),
            limits: Vec::new(),
        }
    };
    plots.into_iter().map(plot).filter(|plot| !plot.is_empty()).collect()
}

/// Every answer of the device that had the worst of it, of one run among several.
pub fn worst_device(runs: &[RunFiles], index: usize) -> Plot {
    let run = &runs[index];
    let numbers = |column: &str| {
        let places = run.worst_device.numbers("t_s").into_iter();
        let points = places.zip(run.worst_device.numbers(column));
        points.filter_map(|(at, value)| Some((at?, value))).collect::<Vec<_>>()
    };
    let mut lines = vec![
        line("delay of each answer".to_owned(), 0, Shape::Line, &numbers("delay_ms")),
        line("gap in what was played".to_owned(), 1, Shape::Dots, &numbers("gap_ms")),
    ];
    lines.retain(|line| line.points.iter().any(|(_, value)| value.is_some()));
    let device = run.worst_device.texts("device").and_then(|mut cells| cells.next());
    let of = if runs.len() == 1 { String::new() } else { format!(" of {}", letter(index)) };
    Plot {
        id: ["worst-device", "worst-device-b", "worst-device-c", "worst-device-d"]
            .get(index)
            .copied()
            .unwrap_or("worst-device-more"),
        title: format!("The worst device{of}, number {}", device.unwrap_or("?")),
        caption: "Every frame of its worst call: when its answer came after the planned instant, and \
                  the audible gaps in what the firmware plays. Where the line is broken, frames were \
                  lost; logarithmic."
            .to_owned(),
        x: time(runs),
        y: reaching("time", "ms", Scale::Log, &lines),
        content: Content::Lines(lines),
        marks: events(&run.record),
        bands: phases(std::slice::from_ref(run)),
        limits: Vec::new(),
    }
}

fn ordered(runs: &[RunFiles], columns: &[(&str, &str)]) -> Vec<Series> {
    let mut lines = Vec::new();
    for (index, run) in runs.iter().enumerate() {
        for (column, name) in columns {
            let mut values: Vec<f64> = run.devices.numbers(column).into_iter().flatten().collect();
            values.sort_by(f64::total_cmp);
            let share = |at: usize| 100.0 * (at + 1) as f64 / values.len() as f64;
            let points: Vec<_> =
                values.iter().enumerate().map(|(at, value)| (share(at), Some(*value))).collect();
            if !points.is_empty() {
                lines.push(line(named(runs, index, name), lines.len(), Shape::Line, &points));
            }
        }
    }
    lines
}
