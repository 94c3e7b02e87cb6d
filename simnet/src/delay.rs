//! How much later packets arrive.

use std::time::Duration;

use crate::random::Correlated;

/// A delay: a time, give or take a jitter.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Delay {
    /// The time that every packet takes longer, before jitter.
    pub time: Duration,
    /// The unit of the distribution: half its width if it is uniform, else its standard deviation.
    pub jitter: Duration,
    /// How alike the jitter of neighbours is, 0 to 1; see netem's correlation.
    pub correlation: f64,
    /// How the jitter is distributed.
    pub distribution: Distribution,
}

/// How jitter is distributed around the delay. What would be below no delay is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Distribution {
    /// Each value within the jitter as likely.
    #[default]
    Uniform,
    /// Normal.
    Normal,
    /// Pareto with a shape of 3, shifted to a mean of 0: a long tail of late packets.
    Pareto,
    /// A quarter of `Normal` and three quarters of `Pareto`, at the same quantile: what is said to be
    /// nearest to real networks.
    ParetoNormal,
}

/// Values further from the mean are cut off, in units of the jitter: the range of the tables that
/// iproute2 ships, which hold 16 bits in 8192nds.
const FURTHEST: f64 = 32_767.0 / 8192.0;

impl Distribution {
    /// The value in units of the jitter that the share `quantile`, 0 to 1, does not exceed.
    pub fn value(self, quantile: f64) -> f64 {
        let value = match self {
            Self::Uniform => 2.0 * quantile - 1.0,
            Self::Normal => normal(quantile),
            Self::Pareto => pareto(quantile),
            Self::ParetoNormal => 0.25 * normal(quantile) + 0.75 * pareto(quantile).min(FURTHEST),
        };
        value.clamp(-FURTHEST, FURTHEST)
    }
}

/// As iproute2's `netem/pareto.c` has it: 4/3 (u^(−1/3) − 3/2), with u = 1 − quantile.
fn pareto(quantile: f64) -> f64 {
    4.0 / 3.0 * ((1.0 - quantile).powf(-1.0 / 3.0) - 1.5)
}

/// The inverse of the normal distribution function: P. J. Acklam's rational approximation, relative
/// error below 1.2e-9.
fn normal(quantile: f64) -> f64 {
    const A: [f64; 6] = [
        -3.969_683_028_665_376e1,
        2.209_460_984_245_205e2,
        -2.759_285_104_469_687e2,
        1.383_577_518_672_69e2,
        -3.066_479_806_614_716e1,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -5.447_609_879_822_406e1,
        1.615_858_368_580_409e2,
        -1.556_989_798_598_866e2,
        6.680_131_188_771_972e1,
        -1.328_068_155_288_572e1,
    ];
    const C: [f64; 6] = [
        -7.784_894_002_430_293e-3,
        -3.223_964_580_411_365e-1,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] = [
        7.784_695_709_041_462e-3,
        3.224_671_290_700_398e-1,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
    ];
    const TAIL: f64 = 0.024_25;
    let horner = |coefficients: &[f64], x: f64| coefficients.iter().fold(0.0, |sum, c| sum * x + c);
    let tail = |share: f64| {
        let q = (-2.0 * share.ln()).sqrt();
        horner(&C, q) / (horner(&D, q) * q + 1.0)
    };
    if quantile < TAIL {
        tail(quantile.max(f64::MIN_POSITIVE))
    } else if quantile > 1.0 - TAIL {
        -tail((1.0 - quantile).max(f64::MIN_POSITIVE))
    } else {
        let q = quantile - 0.5;
        let r = q * q;
        horner(&A, r) * q / (horner(&B, r) * r + 1.0)
    }
}

impl Delay {
    /// The delay of the next packet.
    pub(crate) fn draw(&self, random: &mut Correlated) -> Duration {
        let value = self.distribution.value(random.next());
        let seconds = self.time.as_secs_f64() + self.jitter.as_secs_f64() * value;
        Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(self.time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Quantiles of the tables that Debian's iproute2 6.1.0 ships (`normal.dist`, `pareto.dist`,
    /// `paretonormal.dist`): 4,096 entries each, sorted, in 8192nds of the jitter.
    const SHIPPED: [(Distribution, [(f64, f64); 4]); 3] = [
        (Distribution::Normal, [(0.01, -19_198.0), (0.5, -5.0), (0.9, 10_484.0), (0.99, 18_989.0)]),
        (
            Distribution::Pareto,
            [(0.01, -5_426.0), (0.5, -2_625.0), (0.9, 7_121.0), (0.99, 32_767.0)],
        ),
        (
            Distribution::ParetoNormal,
            [(0.01, -8_869.0), (0.5, -1_970.0), (0.9, 7_961.0), (0.99, 29_322.0)],
        ),
    ];

    /// A table's entries are steps of a 4,096th, so that its quantile is known to half a step.
    #[test]
    fn quantiles_are_those_of_the_tables_that_iproute2_ships() {
        for (distribution, quantiles) in SHIPPED {
            for (quantile, shipped) in quantiles {
                let shipped = shipped / 8192.0;
                let near = |at: f64| (distribution.value(at) - shipped).abs();
                let step = 1.0 / 4096.0;
                let off = near(quantile).min(near(quantile - step)).min(near(quantile + step));
                assert!(
                    off <= 0.01 * shipped.abs().max(0.05),
                    "{distribution:?} {quantile}: {} {shipped}",
                    distribution.value(quantile)
                );
            }
        }
    }

    #[test]
    fn delays_follow_their_distribution() {
        let ms = Duration::from_millis;
        for distribution in [
            Distribution::Uniform,
            Distribution::Normal,
            Distribution::Pareto,
            Distribution::ParetoNormal,
        ] {
            let delay = Delay { time: ms(100), jitter: ms(10), correlation: 0.0, distribution };
            let mut random = Correlated::new(7, 0.0);
            let mut drawn: Vec<f64> =
                (0..1_000_000).map(|_| delay.draw(&mut random).as_secs_f64() * 1e3).collect();
            drawn.sort_by(f64::total_cmp);
            for quantile in [0.01, 0.1, 0.5, 0.9, 0.99] {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "an index"
                )]
                let seen = drawn[(quantile * 1e6) as usize];
                let due = 100.0 + 10.0 * distribution.value(quantile);
                assert!(
                    (seen / due - 1.0).abs() < 0.01,
                    "{distribution:?} {quantile}: {seen} {due}"
                );
            }
        }
    }

    #[test]
    fn nothing_arrives_before_it_was_sent() {
        let delay = Delay { jitter: Duration::from_secs(1), ..Delay::default() };
        let mut random = Correlated::new(1, 0.0);
        let drawn: Vec<Duration> = (0..1000).map(|_| delay.draw(&mut random)).collect();
        assert!(drawn.iter().any(Duration::is_zero) && drawn.iter().any(|one| !one.is_zero()));
        assert_eq!(Delay::default().draw(&mut random), Duration::ZERO);
    }
}
