//! A plot before it is drawn: what it shows, in numbers and in words.
//!
//! The same numbers are drawn (`draw.rs`) and given as a table, so that neither can say what the
//! other does not.

mod axis;
mod draw;

pub use axis::{Axis, Scale};
pub use draw::{Drawing, svg, write_png};

use std::collections::BTreeMap;

/// A plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Plot {
    /// Its name in links and file names: lower case and hyphens.
    pub id: &'static str,
    /// Its title.
    pub title: String,
    /// What it shows, in a sentence or two, for those who do not see it too.
    pub caption: String,
    /// Across.
    pub x: Axis,
    /// Up.
    pub y: Axis,
    /// What is drawn.
    pub content: Content,
    /// Moments that something was done.
    pub marks: Vec<Mark>,
    /// Named stretches across, such as phases.
    pub bands: Vec<Band>,
    /// Levels that something must keep, with what they are.
    pub limits: Vec<(f64, String)>,
}

/// What a plot draws.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Lines over one axis.
    Lines(Vec<Series>),
    /// How many samples fell into each field.
    Heat(Heat),
    /// Stacked bars, each with a name.
    Bars(Bars),
}

/// A line.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its name.
    pub name: String,
    /// Its colour: a number in the palette.
    pub tone: u8,
    /// How it goes from point to point.
    pub shape: Shape,
    /// Across and up, in the axes' units, from left to right; `None`: not known.
    pub points: Vec<(f64, Option<f64>)>,
}

/// How a line goes from point to point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Straight.
    Line,
    /// Level until the next point.
    Steps,
    /// Not at all: only the points.
    Dots,
}

/// Counts over a grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Heat {
    /// Edges across, one more than there are columns.
    pub columns: Vec<f64>,
    /// Edges up, one more than there are rows.
    pub rows: Vec<f64>,
    /// Samples in each field, column by column from below.
    pub counts: Vec<Vec<u64>>,
}

/// Stacked bars.
#[derive(Clone, Debug, PartialEq)]
pub struct Bars {
    /// Names of the parts, from left to right.
    pub parts: Vec<String>,
    /// Each bar's name and the length of its parts, from top to bottom; `None`: not known.
    pub bars: Vec<(String, Vec<Option<f64>>)>,
}

/// A moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Mark {
    /// Where, on the axis across.
    pub at: f64,
    /// What was done.
    pub label: String,
}

/// A stretch of the axis across.
#[derive(Clone, Debug, PartialEq)]
pub struct Band {
    /// Where it begins.
    pub from: f64,
    /// Where it ends.
    pub to: f64,
    /// Its name.
    pub label: String,
}

/// The numbers of a plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Names of the columns, with units.
    pub columns: Vec<String>,
    /// The rows' own names; empty where the first column is enough.
    pub names: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<Option<f64>>>,
}

impl Plot {
    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        match &self.content {
            Content::Lines(lines) => {
                lines.iter().all(|line| line.points.iter().all(|(_, value)| value.is_none()))
            }
            Content::Heat(heat) => heat.counts.iter().flatten().all(|count| *count == 0),
            Content::Bars(bars) => {
                bars.bars.iter().all(|(_, parts)| parts.iter().all(Option::is_none))
            }
        }
    }

    /// What its colours mean: names and tones.
    pub fn names(&self) -> Vec<(String, u8)> {
        match &self.content {
            Content::Lines(lines) => {
                lines.iter().map(|line| (line.name.clone(), line.tone)).collect()
            }
            Content::Bars(bars) => {
                (0..).zip(&bars.parts).map(|(tone, part)| (part.clone(), tone)).collect()
            }
            Content::Heat(_) => Vec::new(),
        }
    }

    /// The numbers behind it.
    pub fn table(&self) -> Table {
        match &self.content {
            Content::Lines(lines) => {
                let columns = lines.iter().map(|line| self.y.named(&line.name));
                let columns = std::iter::once(self.x.named(&self.x.label)).chain(columns).collect();
                Table { columns, names: Vec::new(), rows: rows(lines) }
            }
            Content::Heat(heat) => heat.table(&self.x, &self.y),
            Content::Bars(bars) => Table {
                columns: bars.parts.iter().map(|part| self.x.named(part)).collect(),
                names: bars.bars.iter().map(|(name, _)| name.clone()).collect(),
                rows: bars.bars.iter().map(|(_, parts)| parts.clone()).collect(),
            },
        }
    }
}

/// A row for each place across at which any line has a point.
fn rows(lines: &[Series]) -> Vec<Vec<Option<f64>>> {
    // Places are not negative, so that their bits are in their order.
    let mut rows: BTreeMap<u64, Vec<Option<f64>>> = BTreeMap::new();
    for (index, line) in lines.iter().enumerate() {
        for &(x, y) in &line.points {
            let row = rows.entry(x.max(0.0).to_bits()).or_insert_with(|| vec![None; lines.len()]);
            row[index] = y;
        }
    }
    let with_place = |(x, values): (u64, Vec<Option<f64>>)| {
        std::iter::once(Some(f64::from_bits(x))).chain(values).collect()
    };
    rows.into_iter().map(with_place).collect()
}

impl Heat {
    fn table(&self, x: &Axis, y: &Axis) -> Table {
        let columns = self.rows.windows(2).map(|edges| {
            format!("{} to {} {}", crate::csv::shown(edges[0]), crate::csv::shown(edges[1]), y.unit)
        });
        let columns = std::iter::once(x.named(&x.label)).chain(columns).collect();
        let rows = self.columns.iter().zip(&self.counts).map(|(from, counts)| {
            let counts = counts.iter().map(|count| Some(*count as f64));
            std::iter::once(Some(*from)).chain(counts).collect()
        });
        Table { columns, names: Vec::new(), rows: rows.collect() }
    }
}

impl Table {
    /// As a file.
    pub fn to_csv(&self) -> String {
        let numbers = crate::csv::write(&self.columns, &self.rows);
        if self.names.is_empty() {
            return numbers;
        }
        let names = std::iter::once("").chain(self.names.iter().map(String::as_str));
        let lines = names.zip(numbers.lines());
        let named = lines.map(|(name, line)| format!("{},{line}", name.replace([',', '\n'], ";")));
        named.collect::<Vec<_>>().join("\n") + "\n"
    }
}
