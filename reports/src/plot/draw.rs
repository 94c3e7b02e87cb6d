//! Plots as SVG, whose colours are those of the page around it, and as PNG.

use std::path::Path;
use std::sync::Once;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::{FontStyle, register_font};

use super::axis::Places;
use super::{Axis, Bars, Content, Heat, Plot, Scale, Series, Shape};

/// Across, in units of the drawing: pixels of the PNG.
const WIDTH: u32 = 900;
const LEFT: u32 = 64;
const BELOW: u32 = 36;
const MARGIN: u32 = 10;
/// Room for the names of phases.
const ABOVE: u32 = 18;
const FONT: &str = "sans-serif";
const TEXT: u32 = 12;
/// Room for the title of a PNG, which has no page around it.
const TITLE: u32 = 24;

/// The bundled font: `assets/README.md`.
const DEJAVU_SANS: &[u8] = include_bytes!("../../assets/DejaVuSans-subset.ttf");

/// A plot as SVG, and where on it things lie.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// The element, without a name or a text of its own.
    pub svg: String,
    /// From left to right, and from top to bottom, where values are drawn.
    pub area: (i32, i32, i32, i32),
    /// What lies at its left and right end, evenly apart between them.
    pub places: (f64, f64),
}

/// What colours are called in SVG, and what they are in PNG.
#[derive(Clone, Copy)]
enum Ink {
    Text,
    Grid,
    Band,
    Mark,
    Limit,
    Tone(u8),
}

/// The palette of the page in its light form: Okabe and Ito's, which is told apart by the colour
/// blind, darkened where it would be too pale on white.
const TONES: [(u8, u8, u8); 8] = [
    (0, 114, 178),
    (213, 94, 0),
    (0, 138, 100),
    (176, 92, 150),
    (150, 110, 0),
    (40, 140, 200),
    (90, 90, 90),
    (120, 60, 20),
];

impl Ink {
    /// In SVG: a colour that stands for a variable of the page.
    fn stand_in(self) -> RGBColor {
        match self {
            Self::Text => RGBColor(1, 1, 0),
            Self::Grid => RGBColor(1, 1, 1),
            Self::Band => RGBColor(1, 1, 2),
            Self::Mark => RGBColor(1, 1, 3),
            Self::Limit => RGBColor(1, 1, 4),
            Self::Tone(tone) => RGBColor(1, 2, tone % 8),
        }
    }

    fn variable(self) -> String {
        match self {
            Self::Text => "var(--text)".to_owned(),
            Self::Grid => "var(--grid)".to_owned(),
            Self::Band => "var(--band)".to_owned(),
            Self::Mark => "var(--mark)".to_owned(),
            Self::Limit => "var(--limit)".to_owned(),
            Self::Tone(tone) => format!("var(--tone-{})", tone % 8),
        }
    }

    fn solid(self) -> RGBColor {
        match self {
            Self::Text => RGBColor(40, 40, 40),
            Self::Grid => RGBColor(225, 225, 225),
            Self::Band => RGBColor(244, 244, 248),
            Self::Mark => RGBColor(110, 110, 110),
            Self::Limit => RGBColor(200, 30, 30),
            Self::Tone(tone) => {
                let (red, green, blue) = TONES[usize::from(tone % 8)];
                RGBColor(red, green, blue)
            }
        }
    }

    fn all() -> impl Iterator<Item = Self> {
        [Self::Text, Self::Grid, Self::Band, Self::Mark, Self::Limit]
            .into_iter()
            .chain((0..8).map(Self::Tone))
    }
}

/// How colours are written.
type Paint = fn(Ink) -> RGBColor;

/// The height that a plot takes.
fn height(plot: &Plot) -> u32 {
    match &plot.content {
        Content::Bars(bars) => {
            BELOW + ABOVE + 2 * MARGIN + 26 * u32::try_from(bars.bars.len()).unwrap_or(1).max(1)
        }
        Content::Heat(_) => 280,
        Content::Lines(_) if plot.x.scale == Scale::Nines => 320,
        Content::Lines(_) => 210,
    }
}

/// As SVG.
pub fn svg(plot: &Plot) -> Drawing {
    font();
    let size = (WIDTH, height(plot));
    let mut text = String::new();
    let area = {
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        let area = draw(plot, &root, Ink::stand_in);
        let _ = root.present();
        area.expect("text has room for every drawing")
    };
    for ink in Ink::all() {
        let RGBColor(red, green, blue) = ink.stand_in();
        text = text.replace(&format!("#{red:02X}{green:02X}{blue:02X}"), &ink.variable());
    }
    let places = (plot.x.scale.place(plot.x.range.0), plot.x.scale.place(plot.x.range.1));
    Drawing { svg: text, area, places }
}

/// Writes it as a PNG file, on white.
///
/// # Errors
/// What the file system said.
pub fn write_png(plot: &Plot, path: &Path) -> Result<(), String> {
    font();
    let root = BitMapBackend::new(path, (WIDTH, height(plot) + TITLE)).into_drawing_area();
    let drawn = root.fill(&WHITE).and_then(|()| {
        legend(plot, &root)?;
        let (_, below) = root.split_vertically(TITLE);
        draw(plot, &below, Ink::solid)?;
        root.present()
    });
    drawn.map_err(|error| format!("{}: {error}", path.display()))
}

/// The title, and what the colours mean.
fn legend<DB: DrawingBackend>(plot: &Plot, root: &DrawingArea<DB, Shift>) -> Drawn<DB> {
    let title = (FONT, 15).into_font().color(&Ink::Text.solid());
    root.draw_text(&plot.title, &title, (8, 5))?;
    let (width, _) = root.estimate_text_size(&plot.title, &title)?;
    let mut at = 8 + i32::try_from(width).unwrap_or(0) + 20;
    for (name, tone) in plot.names() {
        let style = (FONT, TEXT).into_font().color(&Ink::Tone(tone).solid());
        let (width, _) = root.estimate_text_size(&name, &style)?;
        root.draw_text(&name, &style, (at, 8))?;
        at += i32::try_from(width).unwrap_or(0) + 14;
    }
    Ok(())
}

fn font() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        let registered = register_font(FONT, FontStyle::Normal, DEJAVU_SANS);
        assert!(registered.is_ok(), "the bundled font is a font");
    });
}

type Chart<'a, DB> = ChartContext<'a, DB, Cartesian2d<Places, Places>>;
type Drawn<DB> = Result<(), DrawingAreaErrorKind<<DB as DrawingBackend>::ErrorType>>;

fn draw<DB: DrawingBackend>(
    plot: &Plot,
    root: &DrawingArea<DB, Shift>,
    paint: Paint,
) -> Result<(i32, i32, i32, i32), DrawingAreaErrorKind<DB::ErrorType>> {
    let left = if plot.y.names.is_empty() { LEFT } else { 2 * LEFT };
    let mut chart = ChartBuilder::on(root)
        .margin(MARGIN)
        .margin_top(ABOVE)
        .margin_right(2 * MARGIN)
        .x_label_area_size(BELOW)
        .y_label_area_size(left)
        .build_cartesian_2d(plot.x.places(), plot.y.places())?;
    bands(plot, &mut chart, paint)?;
    let text = (FONT, TEXT).into_font().color(&paint(Ink::Text));
    let mut mesh = chart.configure_mesh();
    mesh.label_style(text.clone())
        .axis_desc_style(text)
        .axis_style(paint(Ink::Grid))
        .bold_line_style(paint(Ink::Grid))
        .light_line_style(TRANSPARENT)
        .x_desc(plot.x.named(&plot.x.label))
        .y_desc(plot.y.named(&plot.y.label));
    if !plot.y.names.is_empty() {
        mesh.disable_y_mesh();
    }
    mesh.draw()?;
    match &plot.content {
        Content::Lines(lines) => {
            // The first, which matters most, lies on top.
            for line in lines.iter().rev() {
                series(line, &plot.y, &mut chart, paint)?;
            }
        }
        Content::Heat(field) => heat(field, &mut chart, paint)?,
        Content::Bars(all) => bars(all, &mut chart, paint)?,
    }
    marks(plot, &mut chart, paint)?;
    let (across, up) = chart.plotting_area().get_pixel_range();
    Ok((across.start, across.end, up.start, up.end))
}

fn bands<DB: DrawingBackend>(plot: &Plot, chart: &mut Chart<'_, DB>, paint: Paint) -> Drawn<DB> {
    let (low, high) = plot.y.range;
    let style = (FONT, TEXT - 1).into_font().color(&paint(Ink::Text));
    for (index, band) in plot.bands.iter().enumerate() {
        if index % 2 == 1 {
            let corners = [(band.from, low), (band.to, high)];
            chart.draw_series([Rectangle::new(corners, paint(Ink::Band).filled())])?;
        }
        let label = Text::new(band.label.clone(), (0, -14), style.clone());
        let place = EmptyElement::at((band.from, high));
        chart.plotting_area().draw(&(place + label))?;
    }
    Ok(())
}

fn marks<DB: DrawingBackend>(plot: &Plot, chart: &mut Chart<'_, DB>, paint: Paint) -> Drawn<DB> {
    let (low, high) = plot.y.range;
    for mark in &plot.marks {
        let line = PathElement::new([(mark.at, low), (mark.at, high)], paint(Ink::Mark));
        chart.draw_series([line])?;
    }
    for (level, _) in &plot.limits {
        if *level > low && *level < high {
            let ends = [(plot.x.range.0, *level), (plot.x.range.1, *level)];
            chart.draw_series([PathElement::new(ends, paint(Ink::Limit))])?;
        }
    }
    Ok(())
}

fn series<DB: DrawingBackend>(
    line: &Series,
    y: &Axis,
    chart: &mut Chart<'_, DB>,
    paint: Paint,
) -> Drawn<DB> {
    let colour = paint(Ink::Tone(line.tone));
    // What has no place on a logarithmic axis lies at its lower end.
    let placed = |value: f64| if y.scale == Scale::Log { value.max(y.range.0) } else { value };
    let known = line.points.split(|(_, value)| value.is_none());
    for stretch in known.filter(|stretch| !stretch.is_empty()) {
        let points = stretch.iter().filter_map(|(x, value)| Some((*x, placed((*value)?))));
        let points: Vec<(f64, f64)> = points.collect();
        if line.shape == Shape::Dots || points.len() == 1 {
            let dots = points.iter().map(|at| Circle::new(*at, 2, colour.filled()));
            chart.draw_series(dots)?;
            continue;
        }
        let path = match line.shape {
            Shape::Steps => stairs(&points),
            _ => points,
        };
        chart.draw_series([PathElement::new(path, colour.stroke_width(2))])?;
    }
    Ok(())
}

/// Level until the next point.
fn stairs(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let mut path = Vec::with_capacity(points.len() * 2);
    for &(x, y) in points {
        if let Some(&(_, before)) = path.last() {
            path.push((x, before));
        }
        path.push((x, y));
    }
    path
}

fn heat<DB: DrawingBackend>(heat: &Heat, chart: &mut Chart<'_, DB>, paint: Paint) -> Drawn<DB> {
    let most = heat.counts.iter().flatten().copied().max().unwrap_or(0).max(1) as f64;
    for (across, counts) in heat.columns.windows(2).zip(&heat.counts) {
        for (up, count) in heat.rows.windows(2).zip(counts) {
            if *count == 0 {
                continue;
            }
            // By the logarithm, so that a single late frame is seen beside thousands.
            let share = 0.15 + 0.85 * (1.0 + *count as f64).ln() / (1.0 + most).ln();
            let colour = paint(Ink::Tone(0)).mix(share);
            let corners = [(across[0], up[0]), (across[1], up[1])];
            chart.draw_series([Rectangle::new(corners, colour.filled())])?;
        }
    }
    Ok(())
}

fn bars<DB: DrawingBackend>(bars: &Bars, chart: &mut Chart<'_, DB>, paint: Paint) -> Drawn<DB> {
    let count = bars.bars.len() as f64;
    for (index, (_, parts)) in bars.bars.iter().enumerate() {
        let middle = count - index as f64 - 0.5;
        let mut from = 0.0;
        for (part, length) in parts.iter().enumerate() {
            let Some(length) = length.filter(|length| *length > 0.0) else { continue };
            let colour = paint(Ink::Tone(u8::try_from(part).unwrap_or(u8::MAX)));
            let corners = [(from, middle - 0.35), (from + length, middle + 0.35)];
            chart.draw_series([Rectangle::new(corners, colour.filled())])?;
            from += length;
        }
    }
    Ok(())
}
