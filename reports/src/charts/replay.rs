//! The original and the run that plays it again, laid over each other.

use measure::heard::{HeardRecord, HeardSecond};

use super::{line, timed};
use crate::plot::{Plot, Scale, Series, Shape};
use crate::replay::heard_in;
use crate::run_files::RunFiles;

/// A plot: its names, its unit, its scale, how it is drawn and what of a second.
type Told = (
    (&'static str, &'static str, &'static str),
    (&'static str, &'static str),
    Shape,
    fn(&HeardSecond) -> Option<f64>,
);

const PLOTS: [Told; 3] = [
    (
        (
            "replay-delay",
            "Delay, original and reproduced",
            "The largest delay in each second, less the smallest of all: of the original by when a \
             frame set out, reproduced by when its answer came.",
        ),
        ("delay", "ms"),
        Shape::Line,
        |second| second.delay_ms,
    ),
    (
        (
            "replay-loss",
            "Loss, original and reproduced",
            "Frames of each second that never came back, of all devices.",
        ),
        ("frames in a second", ""),
        Shape::Steps,
        |second| second.lost.map(|lost| lost as f64),
    ),
    (
        (
            "replay-stutter",
            "Stutter, original and reproduced",
            "Audible gaps of 40 ms and more that ended in each second, of all devices.",
        ),
        ("stutters in a second", ""),
        Shape::Steps,
        |second| second.stutters.map(|stutters| stutters as f64),
    ),
];

/// Of a run that plays something again; none of another.
pub fn replay(run: &RunFiles) -> Vec<Plot> {
    let Some(original) = &run.original else { return Vec::new() };
    let reproduced = heard_in(run);
    let plot = |&(words, axis, shape, of): &Told| {
        let both = [("original", original), ("reproduced", &reproduced)];
        let lines = both.into_iter().enumerate();
        let lines = lines.map(|(tone, (name, heard))| series(name, tone, shape, heard, of));
        let alone = std::slice::from_ref(run);
        timed(alone, words, axis, Scale::Linear, lines.collect())
    };
    PLOTS.iter().map(plot).filter(|plot| !plot.is_empty()).collect()
}

fn series(
    name: &str,
    tone: usize,
    shape: Shape,
    heard: &HeardRecord,
    of: fn(&HeardSecond) -> Option<f64>,
) -> Series {
    let points: Vec<_> = heard.seconds.iter().map(|second| (second.t_s, of(second))).collect();
    line(name.to_owned(), tone, shape, &points)
}
