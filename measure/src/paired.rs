//! Two settings compared by pairs of runs, of which each had the host as the other one had it.
//!
//! What is compared is the logarithm of the ratio B / A of one number of each pair. Whether it is more
//! than chance says an exact sign-flip permutation test; how much it is says a bootstrap interval. A
//! difference is told when both agree: p below 0.01 and the whole interval beyond the margin. Numbers of
//! single frames never come in here: frames of one run are not independent of each other.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// The fewest pairs that can tell a difference: one in 2⁷ is below [`ALPHA`].
pub const FEWEST_PAIRS: usize = 7;
/// So seldom a difference may be told where there is none, on each side.
pub const ALPHA: f64 = 0.01;
/// The most pairs for which every pattern of signs is looked at; of more so many are drawn.
const EXACT: usize = 16;
const DRAWN: u32 = 1 << EXACT;
/// Resamples of the interval.
const RESAMPLES: usize = 2000;
/// Those outside it on each side: 2.5 %.
const OUTSIDE: usize = RESAMPLES / 40;
/// More pairs than this are no advice.
const MOST_ADVISED: usize = 500;

/// Which way a number is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// Of times and losses.
    Lower,
    /// Of scores.
    Higher,
}

/// What can be said of B.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
    /// By more than the margin.
    Better,
    /// By more than the margin.
    Worse,
    /// Within the margin.
    Same,
    /// Not enough is known.
    Inconclusive {
        /// So many pairs more would probably do; `None`: more than 500.
        more_pairs: Option<usize>,
    },
}

/// How B is beside A.
#[derive(Clone, Debug, PartialEq)]
pub struct Paired {
    /// How many pairs.
    pub pairs: usize,
    /// Geometric mean of B / A.
    pub ratio: f64,
    /// The interval that holds it in 95 of 100 cases.
    pub interval: (f64, f64),
    /// How often chance alone would have B so much lower, and so much higher.
    pub p: (f64, f64),
    /// What follows.
    pub finding: Finding,
}

/// Compares pairs of numbers above 0, A first; differences up to `margin`, a share, do not matter.
/// `None` without pairs, or where a number is not above 0.
pub fn compare(pairs: &[(f64, f64)], better: Better, margin: f64, seed: u64) -> Option<Paired> {
    let logs: Vec<f64> = pairs.iter().map(|(a, b)| (b / a).ln()).collect();
    if logs.is_empty() || logs.iter().any(|log| !log.is_finite()) {
        return None;
    }
    let count = logs.len() as f64;
    let mean = logs.iter().sum::<f64>() / count;
    let mut rng = StdRng::seed_from_u64(seed);
    let (low, high) = bootstrap(&logs, &mut rng);
    let p = sign_flips(&logs, &mut rng);
    let margin = (1.0 + margin).ln();
    let finding = if p.1 < ALPHA && low > margin {
        if better == Better::Lower { Finding::Worse } else { Finding::Better }
    } else if p.0 < ALPHA && high < -margin {
        if better == Better::Lower { Finding::Better } else { Finding::Worse }
    } else if logs.len() >= FEWEST_PAIRS && low > -margin && high < margin {
        Finding::Same
    } else {
        Finding::Inconclusive { more_pairs: more_pairs(&logs, mean, margin) }
    };
    Some(Paired {
        pairs: logs.len(),
        ratio: mean.exp(),
        interval: (low.exp(), high.exp()),
        p,
        finding,
    })
}

/// How often the sum of the logs, each with either sign, is as low and as high as it is.
fn sign_flips(logs: &[f64], rng: &mut StdRng) -> (f64, f64) {
    let sum: f64 = logs.iter().sum();
    // Equal sums may differ in their last bit.
    let slack = 1e-12 * logs.iter().map(|log| log.abs()).sum::<f64>();
    let flipped = |signs: u64| -> f64 {
        let signed =
            |(index, log): (usize, &f64)| if signs >> index & 1 == 0 { *log } else { -log };
        logs.iter().enumerate().map(signed).sum()
    };
    let (mut low, mut high) = (0_u32, 0_u32);
    let mut count = |sum_of_signs: f64| {
        low += u32::from(sum_of_signs <= sum + slack);
        high += u32::from(sum_of_signs >= sum - slack);
    };
    let all = if logs.len() <= EXACT {
        let all = 1_u64 << logs.len();
        (0..all).for_each(|signs| count(flipped(signs)));
        all as f64
    } else {
        for _ in 0..DRAWN {
            count(logs.iter().map(|log| if rng.random() { *log } else { -log }).sum());
        }
        // What was seen is one of them.
        (low, high) = (low + 1, high + 1);
        f64::from(DRAWN + 1)
    };
    (f64::from(low) / all, f64::from(high) / all)
}

/// Percentile bootstrap of the mean.
fn bootstrap(logs: &[f64], rng: &mut StdRng) -> (f64, f64) {
    let mut means: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            let drawn = (0..logs.len()).map(|_| logs[rng.random_range(0..logs.len())]);
            drawn.sum::<f64>() / logs.len() as f64
        })
        .collect();
    means.sort_by(f64::total_cmp);
    (means[OUTSIDE], means[RESAMPLES - 1 - OUTSIDE])
}

/// How many pairs more would bring the interval to one side of the margin, if pairs go on as they were.
fn more_pairs(logs: &[f64], mean: f64, margin: f64) -> Option<usize> {
    let count = logs.len() as f64;
    let variance =
        logs.iter().map(|log| (log - mean).powi(2)).sum::<f64>() / (count - 1.0).max(1.0);
    let room = (mean.abs() - margin).abs();
    let needed = (1.96 * variance.sqrt() / room).powi(2).ceil();
    let needed = (0..=MOST_ADVISED).find(|pairs| *pairs as f64 >= needed)?.max(FEWEST_PAIRS);
    Some(needed.saturating_sub(logs.len()).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Normal, by the sum of twelve.
    fn noise(rng: &mut StdRng, sigma: f64) -> f64 {
        sigma * ((0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0)
    }

    /// Pairs of runs of a host that is now faster, now slower, σ 3 %, each run with a noise of 5 %; B
    /// takes `factor` as long.
    fn simulated(seed: u64, pairs: usize, factor: f64) -> Vec<(f64, f64)> {
        let mut rng = StdRng::seed_from_u64(seed);
        let pair = |rng: &mut StdRng| {
            let host = noise(rng, 0.03);
            let run = |rng: &mut StdRng| 20.0 * (host + noise(rng, 0.05)).exp();
            (run(rng), factor * run(rng))
        };
        (0..pairs).map(|_| pair(&mut rng)).collect()
    }

    fn findings(pairs: usize, factor: f64) -> Vec<Finding> {
        let one = |seed| compare(&simulated(seed, pairs, factor), Better::Lower, 0.05, seed);
        (0..500).map(|seed| one(seed).unwrap().finding).collect()
    }

    #[test]
    fn equal_settings_are_hardly_ever_told_apart() {
        let alarms = findings(7, 1.0);
        let alarms = alarms.iter().filter(|one| matches!(one, Finding::Better | Finding::Worse));
        assert!(alarms.clone().count() <= 5, "{} of 500", alarms.count());
    }

    #[test]
    fn a_fifth_more_is_found_with_seven_pairs() {
        let found = findings(7, 1.2).into_iter().filter(|one| *one == Finding::Worse).count();
        assert!(found >= 450, "{found} of 500");
        let found =
            findings(7, 1.0 / 1.2).into_iter().filter(|one| *one == Finding::Better).count();
        assert!(found >= 450, "{found} of 500");
    }

    #[test]
    fn what_cannot_be_known_is_inconclusive_and_says_what_would_do() {
        // Six pairs cannot tell, however far they are apart: 1 / 64 is no 1 %.
        let few = compare(&[(1.0, 3.0); 6], Better::Lower, 0.05, 1).unwrap();
        assert_eq!(few.finding, Finding::Inconclusive { more_pairs: Some(1) });
        assert!((few.p.1 - 1.0 / 64.0).abs() < 1e-12);
        // At the margin itself.
        let near = findings(7, 1.05);
        let open = near.iter().filter(|one| matches!(one, Finding::Inconclusive { .. })).count();
        assert!(open >= 400, "{open} of 500");
        assert_eq!(compare(&[], Better::Lower, 0.05, 1), None);
        assert_eq!(compare(&[(0.0, 1.0)], Better::Lower, 0.05, 1), None);
    }

    #[test]
    fn many_pairs_of_equal_settings_are_the_same_within_the_margin() {
        let same = findings(24, 1.0).into_iter().filter(|one| *one == Finding::Same).count();
        assert!(same >= 400, "{same} of 500");
    }

    #[test]
    fn the_permutation_test_counts_every_pattern_of_signs() {
        // Sums of ±1 ±2 ±3 as high as 1 + 2 − 3 = 0: 0 twice, 2, 4 and 6.
        let logs = [1.0_f64, 2.0, -3.0].map(f64::exp);
        let pairs: Vec<(f64, f64)> = logs.into_iter().map(|ratio| (1.0, ratio)).collect();
        let paired = compare(&pairs, Better::Lower, 0.05, 1).unwrap();
        assert_eq!(paired.p, (5.0 / 8.0, 5.0 / 8.0));
        assert!((paired.ratio - 1.0).abs() < 1e-12);
        // A score that is higher is better.
        let better = compare(&[(1.0, 2.0); 7], Better::Higher, 0.05, 1).unwrap();
        assert_eq!(better.finding, Finding::Better);
        assert!((better.p.1 - 1.0 / 128.0).abs() < 1e-12);
        // More pairs than can be looked at: drawn, and as good.
        let many = compare(&[(1.0, 1.2); 20], Better::Lower, 0.05, 1).unwrap();
        assert_eq!((many.finding, many.p.1 < 1e-3), (Finding::Worse, true));
    }
}
