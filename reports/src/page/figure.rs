//! A plot on the page: the drawing, what its colours mean, and the numbers behind it.

use std::fmt::Write;

use maud::{Markup, PreEscaped, html};

use crate::csv::shown;
use crate::plot::{Content, Plot, Table, svg};

/// The plot, or that there is nothing to draw.
pub(crate) fn figure(plot: &Plot) -> Markup {
    if plot.is_empty() {
        return html! {
            figure id=(plot.id) {
                figcaption { strong { (plot.title) } }
                p.nothing { "Nothing was measured that could be drawn here." }
            }
        };
    }
    let drawing = svg(plot);
    let table = plot.table();
    let (left, right, top, bottom) = drawing.area;
    let (from, to) = drawing.places;
    let hover = matches!(plot.content, Content::Lines(_));
    let label = format!("{}. {}", plot.title, plot.caption);
    html! {
        figure id=(plot.id) data-area={ (left) " " (right) " " (top) " " (bottom) }
            data-places={ (from) " " (to) } data-scale=(plot.x.scale.name()) data-hover=(hover) {
            figcaption {
                strong { (plot.title) }
                " " span.caption { (plot.caption) }
            }
            (legend(plot))
            div.scroll tabindex="0" role="img" aria-label=(label) { (PreEscaped(page_svg(&drawing.svg))) }
            @if !plot.limits.is_empty() {
                p.note { "Limits: " @for (index, (_, limit)) in plot.limits.iter().enumerate() {
                    @if index > 0 { ", " } code { (limit) }
                } }
            }
            details.data {
                summary { "The numbers behind “" (plot.title) "”" }
                p { a download={ (plot.id) ".csv" } href={ "data:text/csv;charset=utf-8," (percent(&table.to_csv())) } { "Download as CSV" } }
                div.scroll tabindex="0" role="region" aria-label={ "Numbers of " (plot.title) } { (numbers(&table)) }
            }
        }
    }
}

/// Names of lines or parts, with their colours; the script makes them switches.
fn legend(plot: &Plot) -> Markup {
    let names = plot.names();
    html! {
        @if !names.is_empty() {
            ul.legend {
                @for (name, tone) in names {
                    li data-tone=(tone) { span.swatch style={ "background:var(--tone-" (tone) ")" } {} (name) }
                }
            }
        }
    }
}

/// Without a size of its own, and nothing to be read aloud letter by letter.
fn page_svg(svg: &str) -> String {
    let head = svg.find('>').map_or(0, |end| end + 1);
    let size = |name: &str| {
        let from = svg.find(&format!(" {name}=\"")).map(|at| at + name.len() + 3)?;
        svg[from..].split('"').next()
    };
    let (width, height) = (size("width").unwrap_or("900"), size("height").unwrap_or("210"));
    let lines: String = svg[head..].lines().map(str::trim).collect::<Vec<_>>().join("\n");
    format!(
        "<svg viewBox=\"0 0 {width} {height}\" aria-hidden=\"true\" focusable=\"false\">{lines}"
    )
}

fn numbers(table: &Table) -> Markup {
    let named = !table.names.is_empty();
    html! {
        table {
            thead { tr {
                @if named { td {} }
                @for column in &table.columns { th scope="col" { (column) } }
            } }
            tbody {
                @for (index, row) in table.rows.iter().enumerate() {
                    tr {
                        @if named { th scope="row" { (table.names[index]) } }
                        @for cell in row { td { @if let Some(number) = cell { (shown(*number)) } } }
                    }
                }
            }
        }
    }
}

/// Text as part of an address.
fn percent(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() * 5 / 4);
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b',' | b'-' | b'_' => {
                encoded.push(char::from(byte));
            }
            // Writing to a String does not fail.
            _ => {
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}
