//! The page of a plan.

use reports::plot::{Axis, Content, Mark, Plot, Series, Shape};
use reports::study::{Grid, Part, Study, Tone, cell};

use super::{Known, Plan};

/// Places across at which the law is drawn.
const STEPS: u32 = 60;

/// All that a plan says; `command` does it again.
pub fn study(plan: &Plan, command: String) -> Study {
    let (least, most) = plan.range();
    let extrapolated = plan.needs.iter().any(|need| need.extrapolated);
    let badge = if extrapolated {
        ("PARTLY EXTRAPOLATED".to_owned(), Tone::Open)
    } else {
        ("WITHIN WHAT WAS MEASURED".to_owned(), Tone::Good)
    };
    let shown = |known: &Known, digits: usize| {
        let (low, high) = known.between;
        format!("{:.digits$}, in 95 of 100 draws {low:.digits$} to {high:.digits$}", known.value)
    };
    Study {
        title: format!("Plan: {}", plan.scenario),
        badge,
        answer: format!("Measured with {least} to {most} workers."),
        cautions: plan.cautions.clone(),
        facts: vec![
            ("limits", plan.limits.join(", ")),
            ("α, contention", shown(&plan.alpha, 4)),
            ("β, coherence", shown(&plan.beta, 5)),
            ("γ, devices of one worker alone", shown(&plan.gamma, 1)),
            ("host", plan.host.clone()),
        ],
        parts: vec![
            Part {
                heading: "What so many devices need",
                words: plan.needs.iter().map(|need| format!("{}.", plan.sentence(need))).collect(),
                ..Part::default()
            },
            Part {
                heading: "The law",
                words: vec![
                    "The Universal Scalability Law, C(N) = γN / (1 + α(N − 1) + βN(N − 1)), fitted to the middles of \
                     the brackets by least squares. The band holds 95 of 100 laws fitted to what the \
                     measurement might have been: anywhere within each bracket, and moved by what the law \
                     leaves unexplained."
                        .to_owned(),
                ],
                plots: vec![law(plan), each(plan)],
                ..Part::default()
            },
            Part {
                heading: "What was measured",
                words: vec![
                    "By Little's law, frames a second times the time in a worker's hands is how many workers \
                     are at work on average."
                        .to_owned(),
                ],
                table: measured(plan),
                ..Part::default()
            },
        ],
        command,
    }
}

fn law(plan: &Plan) -> Plot {
    let (_, measured_up_to) = plan.range();
    let planned =
        plan.needs.iter().filter_map(|need| need.safe.or(need.workers)).max().unwrap_or(1);
    // What is far beyond the measurement is no plot any more.
    let most = f64::from(planned.clamp(measured_up_to, measured_up_to * 4));
    let places: Vec<f64> =
        (0..=STEPS).map(|step| 1.0 + (most - 1.0) * f64::from(step) / f64::from(STEPS)).collect();
    let line = |name: &str, tone, at: &dyn Fn(f64) -> f64| Series {
        name: name.to_owned(),
        tone,
        shape: Shape::Line,
        points: places.iter().map(|workers| (*workers, Some(at(*workers)))).collect(),
    };
    let dots = |name: &str, tone, of: fn(&super::Measured) -> u32| Series {
        name: name.to_owned(),
        tone,
        shape: Shape::Dots,
        points: plan
            .measured
            .iter()
            .map(|one| (f64::from(one.workers), Some(f64::from(of(one)))))
            .collect(),
    };
    let fitted = &plan.fitted;
    let lines = vec![
        line("law", 0, &|workers| fitted.law.at(workers)),
        line("2.5 %", 5, &|workers| fitted.between(|law| law.at(workers)).0),
        line("97.5 %", 5, &|workers| fitted.between(|law| law.at(workers)).1),
        dots("met", 2, |one| one.devices.0),
        dots("too much", 1, |one| one.devices.1),
    ];
    let highest = lines.iter().flat_map(|line| &line.points).filter_map(|point| point.1);
    Plot {
        id: "law",
        title: "Devices against workers".to_owned(),
        caption: "What was measured, the law through it, and the band of 95 %; the line up is where the measurement ends.".to_owned(),
        x: Axis::linear("workers", "", most),
        y: Axis::linear("devices", "", highest.fold(1.0, f64::max)),
        content: Content::Lines(lines),
        marks: vec![Mark { at: measured_up_to.into(), label: "measured up to here".to_owned() }],
        bands: Vec::new(),
        limits: Vec::new(),
    }
}

/// Devices of each worker: level where nothing is shared, and the band shows.
fn each(plan: &Plan) -> Plot {
    let mut plot = law(plan);
    let Content::Lines(lines) = &mut plot.content else { return plot };
    let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
    for (workers, devices) in lines.iter_mut().flat_map(|line| &mut line.points) {
        if let Some(devices) = devices {
            *devices /= *workers;
            (least, most) = (least.min(*devices), most.max(*devices));
        }
    }
    Plot {
        id: "each",
        title: "Devices of each worker".to_owned(),
        caption: "The same, shared among the workers: level where they do not hinder each other. The axis \
                  does not begin at 0."
            .to_owned(),
        y: Axis { range: (least * 0.95, most * 1.05), ..Axis::linear("devices a worker", "", most) },
        ..plot
    }
}

fn measured(plan: &Plan) -> Grid {
    let mut table = Grid::new(&[
        "workers",
        "devices met",
        "sure (%)",
        "too many",
        "sure (%)",
        "frames/s",
        "work (ms)",
        "at work by Little",
        "counted",
    ]);
    for one in &plan.measured {
        let devices = f64::from(one.devices.0);
        table.rows.push(vec![
            one.workers.to_string(),
            one.devices.0.to_string(),
            cell(one.sure.0.map(|sure| sure * 100.0), 0),
            one.devices.1.to_string(),
            cell(one.sure.1.map(|sure| sure * 100.0), 0),
            cell(one.frames_per_device_s.map(|each| each * devices), 0),
            cell(one.work_ms, 3),
            cell(one.in_service(devices), 2),
            cell(one.busy, 2),
        ]);
    }
    table
}
