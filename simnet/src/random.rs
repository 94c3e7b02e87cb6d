//! Random numbers that remember the one before, as netem's do.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Numbers of 0 to 1, each mixed with the one before.
///
/// netem's `get_crandom`: x(n) = (1 − ρ) u + ρ x(n − 1) with u uniform. The mixture is narrower than u
/// is: with ρ = 0.25 its standard deviation is 0.77 of that of u, √((1 − ρ) / (1 + ρ)); a share that is
/// decided by it is therefore not quite the share that was asked for, in netem as here.
#[derive(Debug)]
pub(crate) struct Correlated {
    rng: StdRng,
    correlation: f64,
    last: Option<f64>,
}

impl Correlated {
    pub(crate) fn new(seed: u64, correlation: f64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), correlation, last: None }
    }

    /// Mixes in another share from now on.
    pub(crate) fn set_correlation(&mut self, correlation: f64) {
        self.correlation = correlation;
    }

    /// The next number: at least 0, below 1.
    pub(crate) fn next(&mut self) -> f64 {
        let fresh: f64 = self.rng.random();
        let last = self.last.unwrap_or(fresh);
        let next = fresh * (1.0 - self.correlation) + last * self.correlation;
        self.last = Some(next);
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_as_alike_as_was_asked_for() {
        for correlation in [0.0, 0.25, 0.7] {
            let mut random = Correlated::new(3, correlation);
            let numbers: Vec<f64> = (0..200_000).map(|_| random.next()).collect();
            let mean = numbers.iter().sum::<f64>() / numbers.len() as f64;
            let variance = |pairs: &mut dyn Iterator<Item = (f64, f64)>| {
                pairs.map(|(one, other)| (one - mean) * (other - mean)).sum::<f64>()
            };
            let own = variance(&mut numbers.iter().map(|one| (*one, *one)));
            let neighbours = variance(&mut numbers.windows(2).map(|pair| (pair[0], pair[1])));
            assert!((neighbours / own - correlation).abs() < 0.01, "{correlation}");
            assert!(
                (mean - 0.5).abs() < 0.01 && numbers.iter().all(|one| (0.0..1.0).contains(one))
            );
            // √((1 − ρ) / (1 + ρ)) of the uniform 1/√12.
            let narrower = (own / numbers.len() as f64 * 12.0).sqrt();
            let due = ((1.0 - correlation) / (1.0 + correlation)).sqrt();
            assert!((narrower - due).abs() < 0.01, "{correlation}: {narrower} {due}");
        }
    }
}
