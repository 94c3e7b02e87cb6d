//! Which packets are lost.

use crate::random::Correlated;

/// Which packets are lost.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Loss {
    /// None.
    #[default]
    None,
    /// Each with this probability, 0 to 1, whatever became of the others.
    Random(f64),
    /// By the model of Gilbert and Elliott: a link is good or bad, and changes from packet to packet.
    ///
    /// The mean share lost is (p (1 − h) + r (1 − k)) / (p + r), and with h = 0 and k = 1 the mean run
    /// of lost packets 1 / r.
    GilbertElliott {
        /// Probability that a good link turns bad, `p`.
        turns_bad: f64,
        /// Probability that a bad link turns good, `r`.
        turns_good: f64,
        /// Probability that a packet passes a bad link, `h`; 0 in the simple model.
        passes_bad: f64,
        /// Probability that a packet passes a good link, `k`; 1 in the simple model.
        passes_good: f64,
    },
    /// In turn: `true` is lost. None of an empty pattern.
    Pattern(Vec<bool>),
}

impl Loss {
    /// Runs of lost packets, by the simple Gilbert-Elliott model.
    pub fn bursts(turns_bad: f64, turns_good: f64) -> Self {
        Self::GilbertElliott { turns_bad, turns_good, passes_bad: 0.0, passes_good: 1.0 }
    }

    /// The share that is lost in the long run, 0 to 1.
    pub fn mean(&self) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Random(share) => *share,
            Self::GilbertElliott { turns_bad: p, turns_good: r, passes_bad, passes_good } => {
                if p + r > 0.0 {
                    (p * (1.0 - passes_bad) + r * (1.0 - passes_good)) / (p + r)
                } else {
                    1.0 - passes_good
                }
            }
            Self::Pattern(lost) => {
                let count = lost.iter().filter(|lost| **lost).count();
                count as f64 / lost.len().max(1) as f64
            }
        }
    }
}

/// Where a stream is in its losses.
#[derive(Debug)]
pub(crate) struct LossState {
    random: Correlated,
    bad: bool,
    packet: usize,
}

impl LossState {
    pub(crate) fn new(seed: u64) -> Self {
        Self { random: Correlated::new(seed, 0.0), bad: false, packet: 0 }
    }

    /// Whether the next packet is lost. Draws two numbers, whatever the model.
    pub(crate) fn next(&mut self, loss: &Loss) -> bool {
        let (change, fate) = (self.random.next(), self.random.next());
        let packet = self.packet;
        self.packet = self.packet.wrapping_add(1);
        match loss {
            Loss::None => false,
            Loss::Random(share) => fate < *share,
            Loss::GilbertElliott { turns_bad, turns_good, passes_bad, passes_good } => {
                // netem changes the state first, then decides by the new one.
                self.bad = if self.bad { change >= *turns_good } else { change < *turns_bad };
                fate >= if self.bad { *passes_bad } else { *passes_good }
            }
            Loss::Pattern(lost) => !lost.is_empty() && lost[packet % lost.len()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use measure::loss::LossRuns;

    const PACKETS: u32 = 1_000_000;

    fn lost(loss: &Loss, seed: u64) -> LossRuns {
        let (mut state, mut runs) = (LossState::new(seed), LossRuns::default());
        for _ in 0..PACKETS {
            runs.frame(state.next(loss));
        }
        runs
    }

    /// p = 0.005 and r = 0.2: 2.439 % lost, in runs of 5, 4.878 times as long as by chance. The
    /// variance of the share is that of chance times (2 − p − r) / (p + r).
    #[test]
    fn bursts_are_as_many_and_as_long_as_the_model_says() {
        let (p, r) = (0.005, 0.2);
        let loss = Loss::bursts(p, r);
        assert!((loss.mean() - 0.024_39).abs() < 1e-5);
        for seed in 0..5 {
            let runs = lost(&loss, seed);
            let share = runs.lost() as f64 / f64::from(PACKETS);
            let mean = loss.mean();
            let inflation = (2.0 - p - r) / (p + r);
            let sigma = (mean * (1.0 - mean) * inflation / f64::from(PACKETS)).sqrt();
            assert!((share - mean).abs() < 3.0 * sigma, "{seed}: {share} ± {sigma}");
            let run = runs.lost() as f64 / runs.runs() as f64;
            // The lengths are geometric: σ = √(1 − r) / r each.
            let sigma = (1.0 - r).sqrt() / r / (runs.runs() as f64).sqrt();
            assert!((run - 1.0 / r).abs() < 3.0 * sigma, "{seed}: {run} ± {sigma}");
            let ratio = run / (1.0 / (1.0 - share));
            assert!((ratio - 4.878).abs() < 0.15, "{seed}: {ratio}");
        }
    }

    #[test]
    fn a_bad_link_may_let_packets_pass_and_a_good_one_lose_some() {
        let loss = Loss::GilbertElliott {
            turns_bad: 0.01,
            turns_good: 0.3,
            passes_bad: 0.4,
            passes_good: 0.999,
        };
        let share = lost(&loss, 1).lost() as f64 / f64::from(PACKETS);
        assert!((share - loss.mean()).abs() < 0.001, "{share} {}", loss.mean());
    }

    #[test]
    fn random_loss_is_a_share_and_a_pattern_repeats() {
        let share = lost(&Loss::Random(0.03), 2).lost() as f64 / f64::from(PACKETS);
        let sigma = (0.03 * 0.97 / f64::from(PACKETS)).sqrt();
        assert!((share - 0.03).abs() < 3.0 * sigma, "{share}");
        let mut state = LossState::new(1);
        let pattern = Loss::Pattern(vec![false, true, true]);
        let fates: Vec<bool> = (0..7).map(|_| state.next(&pattern)).collect();
        assert_eq!(fates, [false, true, true, false, true, true, false]);
        assert_eq!(lost(&Loss::None, 1).lost() + lost(&Loss::Pattern(Vec::new()), 1).lost(), 0);
    }
}
