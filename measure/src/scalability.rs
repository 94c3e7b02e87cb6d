//! The Universal Scalability Law (Gunther): how capacity grows with workers, and where it stops growing.
//!
//! `C(N) = γN / (1 + α(N − 1) + βN(N − 1))`. γ is what one alone would carry, α the share of the work that
//! only one can do at a time (contention), β what keeping them in agreement costs (coherence). Both are
//! shares and at least 0. With β above 0 there is a number of workers beyond which more carry less.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The fewest numbers of workers that three unknowns can be found from.
pub const FEWEST_LEVELS: usize = 3;
/// How often the measurement is drawn anew for a band.
const DRAWS: usize = 1000;

/// A fitted law.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usl {
    /// Contention, from 0.
    pub alpha: f64,
    /// Coherence, from 0.
    pub beta: f64,
    /// What one carries, in the unit of what was measured.
    pub gamma: f64,
}

/// What so many carry, between two bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Level {
    /// Workers.
    pub workers: f64,
    /// Between what their capacity lies; both above 0.
    pub between: (f64, f64),
}

impl Level {
    /// The middle of both on a logarithmic scale.
    pub fn middle(&self) -> f64 {
        (self.between.0 * self.between.1).sqrt()
    }
}

impl Usl {
    /// What `workers` carry.
    pub fn at(&self, workers: f64) -> f64 {
        self.gamma * workers / self.cost(workers)
    }

    fn cost(&self, workers: f64) -> f64 {
        1.0 + self.alpha * (workers - 1.0) + self.beta * workers * (workers - 1.0)
    }

    /// The number of workers that carry the most; `None` where more always carry more.
    pub fn peak(&self) -> Option<f64> {
        (self.beta > 0.0).then(|| ((1.0 - self.alpha).max(0.0) / self.beta).sqrt())
    }

    /// What no number of workers would carry more than, were it for contention alone; `None` without any.
    pub fn limit(&self) -> Option<f64> {
        (self.alpha > 0.0).then(|| self.gamma / self.alpha)
    }

    /// The number of workers that would carry that limit if they did not contend; `None` without contention.
    pub fn optimum(&self) -> Option<f64> {
        (self.alpha > 0.0).then(|| 1.0 / self.alpha)
    }

    /// The fewest workers that carry `wanted`, up to `most`; `None` when so many do not.
    pub fn workers_for(&self, wanted: f64, most: u32) -> Option<u32> {
        (1..=most).find(|workers| self.at(f64::from(*workers)) >= wanted)
    }

    /// The sum of squares of what it leaves unexplained.
    fn left_over(&self, points: &[(f64, f64)]) -> f64 {
        points.iter().map(|(workers, seen)| (seen - self.at(*workers)).powi(2)).sum()
    }

    /// The law with the least squares through `(workers, capacity)`: Levenberg and Marquardt, with α and β
    /// held at 0 where they would go below. `None` with fewer than [`FEWEST_LEVELS`] numbers of workers.
    pub fn fit(points: &[(f64, f64)]) -> Option<Self> {
        let mut levels: Vec<u64> = points.iter().map(|(workers, _)| workers.to_bits()).collect();
        levels.sort_unstable();
        levels.dedup();
        let usable = |&(workers, seen): &(f64, f64)| {
            workers >= 1.0 && seen > 0.0 && workers.is_finite() && seen.is_finite()
        };
        if levels.len() < FEWEST_LEVELS || !points.iter().all(usable) {
            return None;
        }
        let mut law = Self::guessed(points);
        let mut left_over = law.left_over(points);
        let mut damping = 1e-3;
        for _ in 0..500 {
            let (tried, fits) = law.step(points, damping);
            if fits < left_over {
                let gained = left_over - fits;
                (law, left_over) = (tried, fits);
                damping = (damping / 5.0).max(1e-12);
                if gained <= left_over * 1e-15 {
                    break;
                }
            } else {
                damping *= 5.0;
                if damping > 1e12 {
                    break;
                }
            }
        }
        Some(law)
    }

    /// Where a fit begins: `N γ / C − 1 = β x² + (α + β) x` for `x = N − 1` is a parabola, with γ of the
    /// fewest workers.
    fn guessed(points: &[(f64, f64)]) -> Self {
        let first = points.iter().copied().min_by(|a, b| a.0.total_cmp(&b.0)).unwrap_or((1.0, 1.0));
        let gamma = first.1 / first.0;
        let (mut squares, mut of) = ([0.0; 3], [0.0; 2]);
        for (workers, seen) in points {
            let (x, y) = (workers - 1.0, workers * gamma / seen - 1.0);
            let (square, mixed) = (x * x, x * x * x);
            for (sum, term) in squares.iter_mut().zip([square, mixed, square * square]) {
                *sum += term;
            }
            of[0] += x * y;
            of[1] += square * y;
        }
        let [square, mixed, fourth] = squares;
        let determinant = (square * fourth - mixed * mixed).max(f64::MIN_POSITIVE);
        let beta = ((square * of[1] - mixed * of[0]) / determinant).max(0.0);
        let both = (fourth * of[0] - mixed * of[1]) / determinant;
        Self { alpha: (both - beta).max(0.0), beta, gamma }
    }

    /// One step downhill, and what it leaves.
    fn step(&self, points: &[(f64, f64)], damping: f64) -> (Self, f64) {
        let (mut normal, mut towards) = ([[0.0; 3]; 3], [0.0; 3]);
        for &(workers, seen) in points {
            let (cost, rest) = (self.cost(workers), seen - self.at(workers));
            let falls = -self.gamma * workers * (workers - 1.0) / (cost * cost);
            let slopes = [falls, falls * workers, workers / cost];
            for (row, slope) in slopes.iter().enumerate() {
                towards[row] += slope * rest;
                for (column, other) in slopes.iter().enumerate() {
                    normal[row][column] += slope * other;
                }
            }
        }
        let now = [self.alpha, self.beta, self.gamma];
        let held = [0, 1, 2].map(|at| at < 2 && now[at] <= 0.0 && towards[at] <= 0.0);
        for at in 0..3 {
            normal[at][at] = normal[at][at].mul_add(damping, normal[at][at]).max(f64::MIN_POSITIVE);
            if held[at] {
                normal[at] = [0.0; 3];
                for row in &mut normal {
                    row[at] = 0.0;
                }
                (normal[at][at], towards[at]) = (1.0, 0.0);
            }
        }
        let by = solved(normal, towards);
        let tried = Self {
            alpha: (self.alpha + by[0]).max(0.0),
            beta: (self.beta + by[1]).max(0.0),
            gamma: self.gamma + by[2],
        };
        let fits = tried.left_over(points);
        let sound = tried.gamma > 0.0 && fits.is_finite();
        (tried, if sound { fits } else { f64::INFINITY })
    }
}

/// Three equations in three unknowns, by Gauss with the largest pivot.
fn solved(mut rows: [[f64; 3]; 3], mut right: [f64; 3]) -> [f64; 3] {
    for at in 0..3 {
        let largest =
            (at..3).max_by(|a, b| rows[*a][at].abs().total_cmp(&rows[*b][at].abs())).unwrap_or(at);
        rows.swap(at, largest);
        right.swap(at, largest);
        let from = rows[at];
        for below in at + 1..3 {
            let share = rows[below][at] / from[at];
            for (cell, above) in rows[below].iter_mut().zip(from) {
                *cell -= share * above;
            }
            right[below] -= share * right[at];
        }
    }
    let mut out = [0.0; 3];
    for at in (0..3).rev() {
        let known: f64 = (at + 1..3).map(|after| rows[at][after] * out[after]).sum();
        out[at] = (right[at] - known) / rows[at][at];
    }
    out.map(|number| if number.is_finite() { number } else { 0.0 })
}

/// A fitted law and how well it is known.
#[derive(Clone, Debug, PartialEq)]
pub struct Fitted {
    /// Through the middles of the levels.
    pub law: Usl,
    /// Laws through the levels as they might have been: each drawn from its bracket, and moved by what the
    /// law leaves unexplained.
    draws: Vec<Usl>,
}

impl Fitted {
    /// Fits the law, and draws its band.
    ///
    /// What is left unexplained is counted as a share, with three unknowns taken off its degrees of freedom;
    /// with three levels there is nothing left over, and the band is that of the brackets alone.
    pub fn of(levels: &[Level], seed: u64) -> Option<Self> {
        let points: Vec<(f64, f64)> =
            levels.iter().map(|level| (level.workers, level.middle())).collect();
        let law = Usl::fit(&points)?;
        let shares: Vec<f64> =
            points.iter().map(|(workers, seen)| (seen / law.at(*workers)).ln()).collect();
        let free = (levels.len() as f64 - 3.0).max(0.0);
        let widened = if free > 0.0 { (levels.len() as f64 / free).sqrt() } else { 0.0 };
        let mut rng = StdRng::seed_from_u64(seed);
        let mut drawn = || {
            let points: Vec<(f64, f64)> = levels
                .iter()
                .map(|level| {
                    let half = (level.between.1 / level.between.0).ln() / 2.0;
                    let within = half * rng.random_range(-1.0..=1.0);
                    let left_over = widened * shares[rng.random_range(0..shares.len())];
                    (level.workers, law.at(level.workers) * (within + left_over).exp())
                })
                .collect();
            Usl::fit(&points)
        };
        let draws = (0..DRAWS).filter_map(|_| drawn()).collect();
        Some(Self { law, draws })
    }

    /// What lies between 2.5 and 97.5 of 100 draws.
    pub fn between(&self, of: impl Fn(&Usl) -> f64) -> (f64, f64) {
        let mut numbers: Vec<f64> = self.draws.iter().map(&of).collect();
        numbers.sort_by(f64::total_cmp);
        let at = |share: f64| {
            #[expect(clippy::cast_sign_loss, reason = "a share of a length")]
            #[expect(clippy::cast_possible_truncation, reason = "a share of a length")]
            let index = ((numbers.len().max(1) - 1) as f64 * share).round() as usize;
            numbers.get(index).copied().unwrap_or_else(|| of(&self.law))
        };
        (at(0.025), at(0.975))
    }

    /// The fewest workers that carry `wanted` in 97.5 of 100 draws, up to `most`.
    pub fn workers_for(&self, wanted: f64, most: u32) -> Option<u32> {
        (1..=most).find(|workers| self.between(|law| law.at(f64::from(*workers))).0 >= wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SPEC SDM91, as the R package `usl` ships it.
    const SDM91: [(f64, f64); 7] = [
        (1.0, 64.9),
        (18.0, 995.9),
        (36.0, 1652.4),
        (72.0, 1853.2),
        (108.0, 1828.9),
        (144.0, 1775.0),
        (216.0, 1702.2),
    ];

    fn levels(law: Usl, workers: &[f64], half: f64) -> Vec<Level> {
        let level = |workers: &f64| {
            let seen = law.at(*workers);
            Level { workers: *workers, between: (seen * (1.0 - half), seen * (1.0 + half)) }
        };
        workers.iter().map(level).collect()
    }

    fn close(seen: f64, due: f64, share: f64) {
        assert!((seen - due).abs() <= due * share, "{seen}, not {due}");
    }

    #[test]
    fn the_published_data_give_the_published_law() {
        let law = Usl::fit(&SDM91).unwrap();
        close(law.alpha, 0.027_728_5, 1e-5);
        close(law.beta, 0.000_104_4, 5e-4);
        close(law.gamma, 89.995, 1e-5);
        let peak = law.peak().unwrap();
        close(peak, 96.52, 1e-4);
        close(law.at(peak), 1884.0, 5e-4);
        close(law.limit().unwrap(), 3246.0, 5e-4);
        close(law.optimum().unwrap(), 36.06, 5e-4);
    }

    #[test]
    fn a_law_without_noise_is_found_whatever_it_is() {
        for law in [
            Usl { alpha: 0.0, beta: 0.0, gamma: 60.0 },
            Usl { alpha: 0.3, beta: 0.0, gamma: 400.0 },
            Usl { alpha: 0.0, beta: 0.01, gamma: 12.5 },
            Usl { alpha: 0.9, beta: 0.05, gamma: 3.0 },
        ] {
            let points: Vec<(f64, f64)> =
                [1.0, 2.0, 4.0, 8.0, 16.0].map(|workers| (workers, law.at(workers))).to_vec();
            let found = Usl::fit(&points).unwrap();
            for workers in [1.0, 3.0, 8.0, 16.0] {
                close(found.at(workers), law.at(workers), 1e-4);
            }
            assert!((found.alpha - law.alpha).abs() < 1e-3, "{found:?}, not {law:?}");
            assert!((found.beta - law.beta).abs() < 1e-4, "{found:?}, not {law:?}");
        }
    }

    #[test]
    fn what_grows_faster_than_its_workers_stays_within_the_law() {
        let law = Usl::fit(&[(1.0, 10.0), (2.0, 25.0), (4.0, 60.0), (8.0, 130.0)]).unwrap();
        assert_eq!((law.alpha, law.beta), (0.0, 0.0), "{law:?}");
        assert_eq!((law.peak(), law.limit(), law.optimum()), (None, None, None));
    }

    #[test]
    fn too_few_levels_and_no_capacity_give_no_law() {
        assert_eq!(Usl::fit(&[(1.0, 10.0), (2.0, 19.0), (2.0, 20.0)]), None);
        assert_eq!(Usl::fit(&[(1.0, 10.0), (2.0, 0.0), (4.0, 20.0)]), None);
    }

    /// The band of 95 % holds the true capacity about that often: 100 measurements, each level known to
    /// within 5 %.
    #[test]
    fn the_band_holds_the_truth() {
        let truth = Usl { alpha: 0.05, beta: 0.002, gamma: 60.0 };
        let held = (0..100).filter(|seed| {
            let mut rng = StdRng::seed_from_u64(*seed);
            let measured: Vec<Level> = levels(truth, &[1.0, 2.0, 4.0, 8.0, 16.0, 24.0], 0.0)
                .iter()
                .map(|level| {
                    let lower = level.middle() * (1.0 - 0.05 * rng.random::<f64>());
                    Level { between: (lower, lower * 1.05), ..*level }
                })
                .collect();
            let fitted = Fitted::of(&measured, *seed).unwrap();
            let (low, high) = fitted.between(|law| law.at(12.0));
            (low..=high).contains(&truth.at(12.0))
        });
        let held = held.count();
        assert!(held >= 90, "{held} of 100");
    }

    #[test]
    fn the_band_is_as_wide_as_the_brackets_and_widens_beyond_them() {
        let truth = Usl { alpha: 0.05, beta: 0.002, gamma: 60.0 };
        let fitted = Fitted::of(&levels(truth, &[1.0, 2.0, 4.0, 8.0], 0.025), 1).unwrap();
        let width = |workers: f64| {
            let (low, high) = fitted.between(|law| law.at(workers));
            (high - low) / truth.at(workers)
        };
        assert!(width(4.0) > 0.01 && width(4.0) < 0.08, "{}", width(4.0));
        assert!(width(32.0) > 3.0 * width(4.0), "{} and {}", width(32.0), width(4.0));
        // On the safe side: what nearly all draws carry.
        let (safe, likely) =
            (fitted.workers_for(200.0, 64).unwrap(), fitted.law.workers_for(200.0, 64));
        assert!(Some(safe) >= likely, "{safe} and {likely:?}");
        assert_eq!(fitted.workers_for(1e9, 64), None);
    }
}
