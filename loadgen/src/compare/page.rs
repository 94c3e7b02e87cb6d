//! The page of a comparison.

use reports::plot::{Axis, Content, Plot, Series, Shape};
use reports::study::{Grid, Part, Study, Tone};

use super::{Compared, Comparison};

/// The names of the plots, by the place of their number.
const PLOTS: [&str; 7] =
    ["pairs-0", "pairs-1", "pairs-2", "pairs-3", "pairs-4", "pairs-5", "pairs-6"];

/// All that a comparison found; `command` does it again.
pub fn study(comparison: &Comparison, command: String) -> Study {
    let finding = comparison.numbers.first().map_or("inconclusive", |decides| &decides.finding[..]);
    let tone = match finding {
        _ if comparison.interrupted || comparison.failed.is_some() => Tone::Open,
        "better" | "same" => Tone::Good,
        "worse" => Tone::Bad,
        _ => Tone::Open,
    };
    let mut cautions = Vec::new();
    if comparison.interrupted {
        cautions.push("It was interrupted before all pairs were run.".to_owned());
    }
    if let Some(why) = &comparison.failed {
        cautions
            .push(format!("It ended before all pairs were run, as a run could not be done: {why}"));
    }
    if comparison.invalid > 0 {
        cautions.push(format!("{} INVALID runs were left out.", comparison.invalid));
    }
    let [a, b] = &comparison.sides;
    Study {
        title: format!("A against B: {}", comparison.scenario),
        badge: (format!("B IS {}", finding.to_uppercase()), tone),
        answer: format!("{}.", comparison.answer()),
        cautions,
        facts: vec![
            ("A", a.clone()),
            ("B", b.clone()),
            ("pairs", format!("{}, run in the order A B B A", comparison.pairs)),
            ("margin", format!("differences up to {:.0} % do not matter", comparison.margin * 100.0)),
            ("test", "sign-flip permutation of the logarithms of B / A, one-sided; bootstrap interval of their mean".to_owned()),
        ],
        parts: vec![
            Part {
                heading: "Number by number",
                words: vec![
                    "Geometric means over the pairs. The interval holds the true ratio in 95 of 100 cases; p is \
                     how often chance alone would show as much. Where a number may well be 0, a floor is added \
                     to both sides before they are divided: 0.1 to losses, stutters and jitter, 0.5 to \
                     processor time, 1 to memory."
                        .to_owned(),
                ],
                table: numbers(comparison),
                ..Part::default()
            },
            Part {
                heading: "Pair by pair",
                plots: comparison.numbers.iter().zip(PLOTS).map(|(one, id)| pairs(one, id)).collect(),
                ..Part::default()
            },
        ],
        command,
    }
}

fn numbers(comparison: &Comparison) -> Grid {
    let mut table = Grid::new(&["", "A", "B", "B / A", "95 % interval", "p", "B is"]);
    for one in &comparison.numbers {
        let (a, b) = one.means();
        table.rows.push(vec![
            one.label(),
            format!("{a:.3}"),
            format!("{b:.3}"),
            one.shown_ratio(),
            one.shown_interval(),
            one.shown_p(),
            one.finding.clone(),
        ]);
    }
    table
}

fn pairs(one: &Compared, id: &'static str) -> Plot {
    let side = |name: &str, tone, of: fn(&(f64, f64)) -> f64| Series {
        name: name.to_owned(),
        tone,
        shape: Shape::Line,
        points: (1..)
            .zip(&one.pairs)
            .map(|(number, pair)| (f64::from(number), Some(of(pair))))
            .collect(),
    };
    let most = one.pairs.iter().map(|pair| pair.0.max(pair.1)).fold(0.0, f64::max);
    Plot {
        id,
        title: one.label(),
        caption: "Both runs of each pair, under the same seed.".to_owned(),
        x: Axis::linear("pair", "", one.pairs.len() as f64),
        y: Axis::linear(&one.label(), "", if most > 0.0 { most } else { 1.0 }),
        content: Content::Lines(vec![side("A", 0, |pair| pair.0), side("B", 1, |pair| pair.1)]),
        marks: Vec::new(),
        bands: Vec::new(),
        limits: Vec::new(),
    }
}
