//! Where a series of runs changed for good: E-divisive (Matteson and James, 2014) with the windows, the t-test
//! and the merging of Hunter (Fleming and Kołaczkowski, 2023; now Apache Otava).
//!
//! 1. Windows of [`Rules::window`] runs, overlapping by half, are split where the energy distance between
//!    both parts is largest, as long as a t-test takes that for more than chance (10 times
//!    [`Rules::max_p`]: too many rather than too few).
//! 2. The weakest change is taken back, and its neighbours judged anew, until all are below `max_p` and
//!    at least [`Rules::min_magnitude`].
//!
//! A t-test compares means, and times have long tails: a series that is above 0 throughout is judged by its
//! logarithms, and what is told of it are geometric means.

use statrs::function::beta::beta_reg;

/// The fewest runs on either side of a change that a t-test can be made of.
const FEWEST: usize = 2;

/// What counts as a change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Runs that are looked at together.
    pub window: usize,
    /// How often chance alone may look like it.
    pub max_p: f64,
    /// The least change, as a share.
    pub min_magnitude: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self { window: 50, max_p: 0.001, min_magnitude: 0.05 }
    }
}

/// A change.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChangePoint {
    /// The first run that is different, from 0.
    pub index: usize,
    /// The mean from the change before up to here.
    pub before: f64,
    /// The mean from here to the next change.
    pub after: f64,
    /// How often chance alone would differ as much.
    pub p: f64,
}

impl ChangePoint {
    /// By what share it is more than before; infinite from 0 on.
    pub fn share(&self) -> f64 {
        (self.after - self.before) / self.before.abs()
    }

    /// The larger of the shares forwards and backwards.
    fn magnitude(&self) -> f64 {
        let back = (self.before - self.after) / self.after.abs();
        let larger = self.share().abs().max(back.abs());
        if larger.is_nan() { 0.0 } else { larger }
    }
}

/// The changes of a series, in order.
pub fn change_points(series: &[f64], rules: &Rules) -> Vec<ChangePoint> {
    let by_logarithm = series.iter().all(|value| *value > 0.0);
    let judged: Vec<f64> =
        series.iter().map(|value| if by_logarithm { value.ln() } else { *value }).collect();
    let at = |index: usize, from: usize, to: usize| {
        let (left, right) = (Part::of(&judged[from..index]), Part::of(&judged[index..to]));
        let shown = |mean: f64| if by_logarithm { mean.exp() } else { mean };
        let (before, after) = (shown(left.mean), shown(right.mean));
        ChangePoint { index, before, after, p: left.t_test(&right) }
    };
    let mut indexes = split(&judged, rules.window.max(2 * FEWEST), rules.max_p * 10.0);
    loop {
        let ends = |place: usize| {
            let from = if place == 0 { 0 } else { indexes[place - 1] };
            (from, indexes.get(place + 1).copied().unwrap_or(series.len()))
        };
        let found: Vec<ChangePoint> = (0..indexes.len())
            .map(|place| {
                let (from, to) = ends(place);
                at(indexes[place], from, to)
            })
            .collect();
        let least_sure = (0..found.len()).max_by(|a, b| found[*a].p.total_cmp(&found[*b].p));
        let smallest =
            (0..found.len()).min_by(|a, b| found[*a].magnitude().total_cmp(&found[*b].magnitude()));
        let weakest = least_sure
            .filter(|place| found[*place].p >= rules.max_p)
            .or_else(|| smallest.filter(|place| found[*place].magnitude() <= rules.min_magnitude));
        let Some(weakest) = weakest else { return found };
        indexes.remove(weakest);
    }
}

/// Places where a window falls in two, of all windows, in order.
fn split(series: &[f64], window: usize, max_p: f64) -> Vec<usize> {
    let mut indexes: Vec<usize> = Vec::new();
    let mut start = 0;
    while start < series.len() {
        let end = (start + window).min(series.len());
        let found = divide(&series[start..end], max_p);
        let last = found.last().map_or(0, |last| last + start);
        indexes.extend(found.iter().map(|index| index + start));
        start = last.max(start + window / 2);
    }
    indexes.sort_unstable();
    indexes.dedup();
    indexes
}

/// E-divisive: the best place of all parts is taken as long as it is more than chance.
fn divide(series: &[f64], max_p: f64) -> Vec<usize> {
    let mut places: Vec<usize> = Vec::new();
    loop {
        let from = std::iter::once(0).chain(places.iter().copied());
        let to = places.iter().copied().chain([series.len()]);
        let best = from
            .zip(to)
            .filter_map(|(from, to)| {
                let (index, distance) = best_place(&series[from..to])?;
                Some((from, from + index, to, distance))
            })
            .max_by(|a, b| a.3.total_cmp(&b.3));
        let Some((from, index, to, _)) = best else { return places };
        if Part::of(&series[from..index]).t_test(&Part::of(&series[index..to])) > max_p {
            return places;
        }
        places.push(index);
        places.sort_unstable();
    }
}

/// Where both parts are furthest from each other, by the energy distance: how far values are from those of
/// the other part, less how far they are from those of their own.
fn best_place(series: &[f64]) -> Option<(usize, f64)> {
    let all = series.len();
    if all < 2 * FEWEST {
        return None;
    }
    let to_all = |value: f64, others: &[f64]| -> f64 {
        others.iter().map(|other| (value - other).abs()).sum()
    };
    // Sums of distances between all pairs of the left part, of the right, and across.
    let (mut left, mut across) = (0.0, 0.0);
    let mut right: f64 = (0..all).map(|at| to_all(series[at], &series[at + 1..])).sum();
    let mut best: Option<(usize, f64)> = None;
    for at in 0..all - FEWEST {
        let (before, after) =
            (to_all(series[at], &series[..at]), to_all(series[at], &series[at + 1..]));
        left += before;
        right -= after;
        across += after - before;
        let (m, n) = ((at + 1) as f64, (all - at - 1) as f64);
        if at + 1 < FEWEST {
            continue;
        }
        let within = |sum: f64, count: f64| 2.0 * sum / (count * (count - 1.0));
        let distance =
            m * n / (m + n) * (2.0 * across / (m * n) - within(left, m) - within(right, n));
        if best.is_none_or(|(_, most)| distance > most) {
            best = Some((at + 1, distance));
        }
    }
    best
}

/// A part of a series.
#[derive(Clone, Copy, Debug)]
struct Part {
    count: f64,
    mean: f64,
    /// The sum of squares around the mean.
    squares: f64,
}

impl Part {
    fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count.max(1.0);
        Self { count, mean, squares: values.iter().map(|value| (value - mean).powi(2)).sum() }
    }

    /// Student's two-sided test of equal means, with one variance for both: how often chance alone would
    /// have them so far apart.
    fn t_test(&self, other: &Self) -> f64 {
        let free = self.count + other.count - 2.0;
        let apart = self.mean - other.mean;
        if self.count < 1.0 || other.count < 1.0 || free < 1.0 || apart == 0.0 {
            return 1.0;
        }
        let variance = (self.squares + other.squares) / free;
        let squared = apart * apart / (variance * (1.0 / self.count + 1.0 / other.count));
        if squared.is_finite() { beta_reg(free / 2.0, 0.5, free / (free + squared)) } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    /// N(mean, 2), by the sum of twelve.
    fn noise(rng: &mut StdRng, mean: f64) -> f64 {
        mean + 2.0 * ((0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0)
    }

    fn series(seed: u64, len: usize, mean: impl Fn(usize) -> f64) -> Vec<f64> {
        let mut rng = StdRng::seed_from_u64(seed);
        (0..len).map(|at| noise(&mut rng, mean(at))).collect()
    }

    fn found(series: &[f64]) -> Vec<usize> {
        change_points(series, &Rules::default()).iter().map(|point| point.index).collect()
    }

    #[test]
    fn the_p_of_a_t_test_is_the_area_beyond_it() {
        // By integrating the density of t, with 8 and 5 degrees of freedom.
        for (a, b, p) in [
            (&[1.0, 2.0, 3.0, 4.0, 5.0][..], &[3.0, 4.0, 5.0, 6.0, 9.0][..], 0.090_899_68),
            (&[10.0, 11.0, 9.5], &[14.0, 15.5, 13.0, 14.2], 0.002_436_65),
        ] {
            let seen = Part::of(a).t_test(&Part::of(b));
            assert!((seen - p).abs() < 1e-6, "{seen}, not {p}");
        }
        assert!(Part::of(&[1.0, 1.0]).t_test(&Part::of(&[2.0, 2.0])) < 1e-300);
        assert!(Part::of(&[1.0, 1.0]).t_test(&Part::of(&[1.0, 1.0])) >= 1.0);
    }

    #[test]
    fn a_step_of_a_tenth_is_one_change_within_a_run() {
        let right = (0..100).filter(|seed| {
            let series = series(*seed, 60, |at| if at < 30 { 100.0 } else { 110.0 });
            matches!(found(&series)[..], [at] if at.abs_diff(30) <= 1)
        });
        let right = right.count();
        assert!(right >= 95, "{right} of 100");
    }

    #[test]
    fn noise_alone_hardly_ever_changes() {
        let changed = (0..200).filter(|seed| !found(&series(*seed, 60, |_| 100.0)).is_empty());
        let changed = changed.count();
        assert!(changed <= 2, "{changed} of 200");
    }

    #[test]
    fn what_is_smaller_than_a_twentieth_is_left_out() {
        let series = series(1, 100, |at| if at < 50 { 100.0 } else { 103.0 });
        assert_eq!(found(&series), [0; 0]);
        let all = Rules { min_magnitude: 0.0, ..Rules::default() };
        assert_eq!(change_points(&series, &all).len(), 1);
    }

    #[test]
    fn a_long_history_with_several_changes_is_told_in_order() {
        let mean = |at: usize| match at {
            70..140 => 130.0,
            140..180 => 90.0,
            _ => 100.0,
        };
        let series = series(3, 240, mean);
        let changes = change_points(&series, &Rules::default());
        let indexes: Vec<usize> = changes.iter().map(|change| change.index).collect();
        assert_eq!(indexes.len(), 3, "{changes:?}");
        for (seen, due) in indexes.iter().zip([70, 140, 180]) {
            assert!(seen.abs_diff(due) <= 1, "{indexes:?}");
        }
        assert!((changes[0].share() - 0.3).abs() < 0.02, "{changes:?}");
        assert!((changes[1].before - 130.0).abs() < 2.0, "{changes:?}");
    }

    /// Loss that was 0 and is not any more.
    #[test]
    fn what_was_nothing_may_become_something() {
        let series: Vec<f64> = (0..40).map(|at| f64::from(u8::from(at >= 25))).collect();
        let changes = change_points(&series, &Rules::default());
        assert_eq!(changes.len(), 1);
        assert_eq!((changes[0].index, changes[0].before, changes[0].after), (25, 0.0, 1.0));
        assert!(changes[0].share().is_infinite());
    }

    #[test]
    fn few_runs_and_equal_runs_have_no_change() {
        for series in [&[][..], &[1.0], &[1.0, 2.0, 3.0], &[5.0; 30]] {
            assert_eq!(found(series), [0; 0]);
        }
    }
}
