//! The page of a history.

use reports::plot::{Axis, Content, Mark, Plot, Series, Shape};
use reports::study::{Grid, Part, Study, Tone};

use super::{Course, History};

/// The names of the plots, by the place of their number.
const PLOTS: [&str; 7] =
    ["course-0", "course-1", "course-2", "course-3", "course-4", "course-5", "course-6"];

/// All that a history shows; `command` does it again.
pub fn study(history: &History, command: String) -> Study {
    let changes = history.changes();
    let worse = changes.iter().filter(|(_, sentence)| sentence.ends_with("worse")).count();
    let badge = match (changes.len(), worse) {
        (0, _) => ("NO CHANGE".to_owned(), Tone::Good),
        (_, 0) => ("BETTER".to_owned(), Tone::Good),
        (_, worse) => (format!("{worse} FOR THE WORSE"), Tone::Bad),
    };
    let mut table = Grid::new(&["run", "begun (UTC)", "commit", "what changed"]);
    for (index, sentence) in &changes {
        let entry = &history.entries[*index];
        table.rows.push(vec![
            (index + 1).to_string(),
            entry.began.clone(),
            entry.commit.clone(),
            sentence.clone(),
        ]);
    }
    let words = if changes.is_empty() {
        "No number changed by 5 % or more beyond what chance does (p < 0.001)."
    } else {
        "The first run that is different, and the means before and after it."
    };
    let mut runs = Grid::new(&["run", "begun (UTC)", "commit", "where"]);
    for (number, entry) in (1..).zip(&history.entries) {
        let number: usize = number;
        let path = entry.path.display().to_string();
        runs.rows.push(vec![number.to_string(), entry.began.clone(), entry.commit.clone(), path]);
    }
    Study {
        title: format!("History: {}", history.scenario),
        badge,
        answer: format!("{} changes in {} runs.", changes.len(), history.entries.len()),
        cautions: history.cautions.clone(),
        facts: vec![
            ("runs", history.entries.len().to_string()),
            (
                "a change is",
                "found by E-divisive in windows of 50 runs, confirmed by a t-test of the logarithms with p < \
                 0.001, and at least 5 %"
                    .to_owned(),
            ),
        ],
        parts: vec![
            Part { heading: "Changes", words: vec![words.to_owned()], table, ..Part::default() },
            Part {
                heading: "Number by number",
                plots: history.courses.iter().zip(PLOTS).map(|(course, id)| plot(course, id)).collect(),
                ..Part::default()
            },
            Part { heading: "Runs", table: runs, ..Part::default() },
        ],
        command,
    }
}

fn plot(course: &Course, id: &'static str) -> Plot {
    let place = |index: usize| (index + 1) as f64;
    let runs = Series {
        name: "runs".to_owned(),
        tone: 0,
        shape: Shape::Line,
        points: course.values.iter().enumerate().map(|(at, value)| (place(at), *value)).collect(),
    };
    let mean_at = |index: usize| {
        let before = course.changes.iter().rev().find(|change| change.index <= index);
        match (before, course.changes.first()) {
            (Some(change), _) => Some(change.after),
            (None, Some(first)) => Some(first.before),
            (None, None) => None,
        }
    };
    let means = Series {
        name: "mean between changes".to_owned(),
        tone: 1,
        shape: Shape::Steps,
        points: (0..course.values.len()).map(|at| (place(at), mean_at(at))).collect(),
    };
    let lines = if course.changes.is_empty() { vec![runs] } else { vec![runs, means] };
    let most = course.values.iter().flatten().copied().fold(0.0, f64::max);
    Plot {
        id,
        title: course.label(),
        caption:
            "In each run, in the order in which they ran; less is better. Lines up are changes."
                .to_owned(),
        x: Axis::linear("run", "", course.values.len() as f64),
        y: Axis::linear(&course.label(), "", if most > 0.0 { most } else { 1.0 }),
        content: Content::Lines(lines),
        marks: course
            .changes
            .iter()
            .map(|change| Mark {
                at: place(change.index),
                label: format!("{:+.0} %", change.share() * 100.0),
            })
            .collect(),
        bands: Vec::new(),
        limits: Vec::new(),
    }
}
