//! Where values lie on an axis, and which of them are named.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

/// An axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// What it shows.
    pub label: String,
    /// The unit; empty for plain numbers.
    pub unit: &'static str,
    /// How values lie on it.
    pub scale: Scale,
    /// What it must reach from and to, at least.
    pub range: (f64, f64),
    /// Names of places, instead of numbers; empty for an axis of numbers.
    pub names: Vec<String>,
}

/// How values lie on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By their logarithm; nothing at or below zero has a place.
    Log,
    /// Percentiles by how many nines they have: 90, 99, 99.9 are as far from each other.
    Nines,
}

/// The least share beyond a percentile that is told apart.
const LAST_NINE: f64 = 1e-5;

impl Axis {
    /// An axis of numbers from 0 on.
    pub fn linear(label: &str, unit: &'static str, most: f64) -> Self {
        Self::new(label, unit, Scale::Linear, (0.0, most))
    }

    /// An axis of numbers of many sizes.
    pub fn log(label: &str, unit: &'static str, range: (f64, f64)) -> Self {
        Self::new(label, unit, Scale::Log, range)
    }

    /// Percentiles up to `most`.
    pub fn nines(most: f64) -> Self {
        Self::new("percentile", "%", Scale::Nines, (0.0, most))
    }

    /// Places for things with names, from top to bottom.
    pub fn named_places(names: Vec<String>) -> Self {
        let range = (0.0, names.len() as f64);
        Self { names, ..Self::new("", "", Scale::Linear, range) }
    }

    fn new(label: &str, unit: &'static str, scale: Scale, range: (f64, f64)) -> Self {
        Self { label: label.to_owned(), unit, scale, range, names: Vec::new() }
    }

    /// A name with the axis' unit: `p99 (ms)`.
    pub fn named(&self, name: &str) -> String {
        if self.unit.is_empty() { name.to_owned() } else { format!("{name} ({})", self.unit) }
    }

    /// The axis as plotters takes it.
    pub(super) fn places(&self) -> Places {
        let (from, to) = self.range;
        let ticks = match self.scale {
            _ if !self.names.is_empty() => {
                let names = self.names.iter().enumerate();
                names.map(|(at, name)| (to - at as f64 - 0.5, name.clone())).collect()
            }
            Scale::Linear => linear_ticks(from, to),
            Scale::Log => log_ticks(from, to),
            Scale::Nines => nines(to),
        };
        Places { from: self.scale.place(from), to: self.scale.place(to), scale: self.scale, ticks }
    }
}

impl Scale {
    /// Where a value lies, in units that are evenly apart.
    pub fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Log => value.max(f64::MIN_POSITIVE).log10(),
            Self::Nines => -(1.0 - value / 100.0).max(LAST_NINE).log10(),
        }
    }

    /// Its name in the page.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Log => "log",
            Self::Nines => "nines",
        }
    }
}

/// Five steps or so of 1, 2 or 5 times a power of ten.
fn linear_ticks(from: f64, to: f64) -> Vec<(f64, String)> {
    let span = to - from;
    if !(span > 0.0 && span.is_finite()) {
        return vec![(from, text(from))];
    }
    let rough = span / 5.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * power);
    let step = step.into_iter().find(|step| *step >= rough * 0.999).unwrap_or(10.0 * power);
    let first = (from / step).ceil();
    let ticks = (0..50).map(|index| (first + f64::from(index)) * step);
    ticks.take_while(|tick| *tick <= to + step * 1e-6).map(|tick| (tick, text(tick))).collect()
}

/// Powers of ten, with 2 and 5 times them where there are few.
fn log_ticks(from: f64, to: f64) -> Vec<(f64, String)> {
    let (low, high) = (from.log10().floor(), to.log10().ceil());
    let decades = (high - low).clamp(0.0, 30.0);
    let times: &[f64] = if decades <= 3.0 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let powers = (0..=30).map(|index| low + f64::from(index)).take_while(|power| *power <= high);
    let ticks = powers.flat_map(|power| times.iter().map(move |times| times * 10f64.powf(power)));
    let within = |tick: &f64| *tick >= from * 0.999 && *tick <= to * 1.001;
    ticks.filter(within).map(|tick| (tick, text(tick))).collect()
}

fn nines(to: f64) -> Vec<(f64, String)> {
    let ticks = [0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999];
    ticks.into_iter().filter(|tick| *tick <= to + 1e-9).map(|tick| (tick, text(tick))).collect()
}

fn text(number: f64) -> String {
    crate::csv::shown(number)
}

/// Values on an axis, for plotters.
#[derive(Clone, Debug)]
pub(super) struct Places {
    from: f64,
    to: f64,
    scale: Scale,
    ticks: Vec<(f64, String)>,
}

impl Ranged for Places {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let span = self.to - self.from;
        let share = if span > 0.0 { (self.scale.place(*value) - self.from) / span } else { 0.5 };
        #[expect(clippy::cast_possible_truncation, reason = "pixels of a plot are few")]
        let pixel = (share.clamp(-0.1, 1.1) * f64::from(limit.1 - limit.0)).round() as i32;
        limit.0 + pixel
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.iter().map(|(at, _)| *at).collect()
    }

    fn range(&self) -> Range<f64> {
        self.from..self.to
    }
}

impl ValueFormatter<f64> for Places {
    fn format_ext(&self, value: &f64) -> String {
        let tick = self.ticks.iter().find(|(at, _)| (at - value).abs() <= 1e-9 * value.abs());
        tick.map(|(_, name)| name.clone()).unwrap_or_default()
    }
}
