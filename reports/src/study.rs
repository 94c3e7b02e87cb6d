//! The page of what is about more than one run: a search, a plan, a comparison, a history.
//!
//! Whoever knows the subject puts it together as a [`Study`], in words, plots and tables; here it becomes a
//! page that looks like the report of a run.

use maud::{Markup, html};

use crate::page::{POLICY, SCRIPT, document, figure};
use crate::plot::Plot;

/// The file's name.
pub const PAGE: &str = "report.html";

/// How an answer is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it should be.
    Good,
    /// Not as it should be.
    Bad,
    /// It is not known.
    Open,
}

impl Tone {
    const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Open => "warn",
        }
    }
}

/// What a page says.
#[derive(Clone, Debug, PartialEq)]
pub struct Study {
    /// What it is about, as `Capacity of scenarios/capacity.toml`.
    pub title: String,
    /// The answer in a word or two, and how to take it.
    pub badge: (String, Tone),
    /// The answer in a sentence.
    pub answer: String,
    /// What the reader should know beside that, the most important first.
    pub cautions: Vec<String>,
    /// Names and values.
    pub facts: Vec<(&'static str, String)>,
    /// The rest, part by part.
    pub parts: Vec<Part>,
    /// What does it again.
    pub command: String,
}

/// A part of a page.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// Its heading.
    pub heading: &'static str,
    /// Before anything else, a paragraph each.
    pub words: Vec<String>,
    /// Plots, each with its numbers.
    pub plots: Vec<Plot>,
    /// A table; without rows it is left out.
    pub table: Grid,
}

/// A table of words and numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Grid {
    /// Names of the columns, with units; the first names the row.
    pub columns: Vec<String>,
    /// The rows.
    pub rows: Vec<Vec<String>>,
}

impl Grid {
    /// A table with these columns and no row.
    pub fn new(columns: &[&str]) -> Self {
        Self { columns: columns.iter().map(|&name| name.to_owned()).collect(), rows: Vec::new() }
    }
}

/// A number as a cell has it; what is not known is a dash.
pub fn cell(number: Option<f64>, digits: usize) -> String {
    number.map_or_else(|| "-".to_owned(), |number| format!("{number:.digits$}"))
}

impl Study {
    /// As a page.
    pub fn page(&self) -> String {
        let (word, tone) = &self.badge;
        let body = html! {
            header {
                h1 { (self.title) }
                p.verdict { span.badge.(tone.class()) { (word) } span { (self.answer) } }
                @if !self.cautions.is_empty() {
                    ul.reasons { @for caution in &self.cautions { li { (caution) } } }
                }
                @if self.parts.len() > 1 {
                    nav aria-label="Sections" { ul {
                        @for part in &self.parts { li { a href={ "#" (id(part)) } { (part.heading) } } }
                    } }
                }
            }
            main {
                @for part in &self.parts { (shown(part)) }
                section id="basis" {
                    h2 { "What this rests on" }
                    dl.facts { @for (name, value) in &self.facts { dt { (name) } dd { (value) } } }
                    h3 { "How to do it again" }
                    pre tabindex="0" { code { (self.command) } }
                }
            }
            footer { p.soft { "Written by din " (env!("CARGO_PKG_VERSION")) "." } }
        };
        document(&format!("{word} · {} · Din", self.title), POLICY, &body, SCRIPT)
    }
}

fn shown(part: &Part) -> Markup {
    html! {
        section id=(id(part)) {
            h2 { (part.heading) }
            @for words in &part.words { p { (words) } }
            @for plot in &part.plots { (figure(plot)) }
            @if !part.table.rows.is_empty() {
                div.scroll tabindex="0" role="region" aria-label=(part.heading) { (grid(&part.table)) }
            }
        }
    }
}

/// Words to the left, numbers to the right.
fn grid(table: &Grid) -> Markup {
    let is_words = |column: usize| {
        let mut cells = table.rows.iter().filter_map(|row| row.get(column));
        cells.any(|cell| cell.chars().filter(|c| c.is_alphabetic()).count() > 6)
    };
    let words: Vec<bool> = (0..table.columns.len()).map(is_words).collect();
    html! {
        table.wide {
            thead { tr { @for (index, (name, words)) in table.columns.iter().zip(&words).enumerate() {
                th.text[index == 0 || *words] scope="col" { (name) }
            } } }
            tbody { @for row in &table.rows { tr {
                @for (index, (cell, words)) in row.iter().zip(&words).enumerate() {
                    @if index == 0 { th scope="row" { (cell) } }
                    @else if *words { td.words { (cell) } }
                    @else { td { (cell) } }
                }
            } } }
        }
    }
}

/// The part's address on the page.
fn id(part: &Part) -> String {
    let words = part.heading.to_lowercase();
    let words = words.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::{Axis, Content, Series, Shape};

    #[test]
    fn a_page_says_all_of_it_and_escapes_what_is_not_ours() {
        let mut table = Grid::new(&["devices", "p99 (ms)", "what failed"]);
        table.rows.push(vec!["100".into(), "12.5".into(), "response_latency.p99".into()]);
        let line = Series {
            name: "p99".to_owned(),
            tone: 0,
            shape: Shape::Line,
            points: vec![(50.0, Some(4.0)), (100.0, Some(12.5))],
        };
        let plot = Plot {
            id: "curve",
            title: "Latency against devices".to_owned(),
            caption: "p99.".to_owned(),
            x: Axis::linear("devices", "", 100.0),
            y: Axis::linear("p99", "ms", 20.0),
            content: Content::Lines(vec![line]),
            marks: Vec::new(),
            bands: Vec::new(),
            limits: vec![(10.0, "< 10ms".to_owned())],
        };
        let study = Study {
            title: "Capacity of <b>.toml".to_owned(),
            badge: ("50 to 100".to_owned(), Tone::Good),
            answer: "Between 50 and 100 devices.".to_owned(),
            cautions: vec!["Two trials were INVALID.".to_owned()],
            facts: vec![("host", "2 cores".to_owned())],
            parts: vec![
                Part { heading: "The curve", plots: vec![plot], ..Part::default() },
                Part { heading: "Trial by trial", table, ..Part::default() },
            ],
            command: "din search '<b>.toml'".to_owned(),
        };
        let page = study.page();
        for said in [
            "<title>50 to 100 · Capacity of &lt;b&gt;.toml · Din</title>",
            "<span class=\"badge good\">50 to 100</span>",
            "<a href=\"#the-curve\">The curve</a>",
            "<section id=\"trial-by-trial\">",
            "<th scope=\"row\">100</th><td>12.5</td><td class=\"words\">response_latency.p99</td>",
            "<dt>host</dt><dd>2 cores</dd>",
            "din search '&lt;b&gt;.toml'",
            "<figure id=\"curve\"",
        ] {
            assert!(page.contains(said), "{said} is missing in\n{page}");
        }
    }
}
