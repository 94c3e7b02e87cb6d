//! One number of each device, and one of all together: the worst device stands beside the pool.
//!
//! Memory is one number a device, however long the run.

use crate::recorder::Statistic;

/// A metric that each device has once, in shown units.
#[derive(Clone, Debug, PartialEq)]
pub struct PerDevice {
    pooled: Option<f64>,
    /// Ascending.
    devices: Vec<f64>,
    worse: Worse,
}

/// Which end of a scale is the bad one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Worse {
    /// Larger numbers are worse.
    Higher,
    /// Smaller numbers are worse.
    Lower,
}

impl PerDevice {
    /// The numbers of `devices`, and that of all their streams `pooled`.
    pub fn new(mut devices: Vec<f64>, pooled: Option<f64>, worse: Worse) -> Self {
        devices.sort_by(f64::total_cmp);
        Self { pooled, devices, worse }
    }

    /// That of all streams together.
    pub fn pooled(&self) -> Option<f64> {
        self.pooled
    }

    /// How many devices have one.
    pub fn count(&self) -> u64 {
        self.devices.len() as u64
    }

    /// A statistic over the devices; `None` when there are none. A quantile is the smallest number
    /// that this share of the devices does not exceed.
    pub fn statistic(&self, statistic: Statistic) -> Option<f64> {
        let (least, most) = (*self.devices.first()?, *self.devices.last()?);
        Some(match (statistic, self.worse) {
            (Statistic::Min, _) | (Statistic::Worst, Worse::Lower) => least,
            (Statistic::Max, _) | (Statistic::Worst, Worse::Higher) => most,
            (Statistic::Mean, _) => mean(&self.devices),
            (Statistic::WorstPercent, Worse::Higher) => {
                mean(&self.devices[self.devices.len() - self.one_percent()..])
            }
            (Statistic::WorstPercent, Worse::Lower) => mean(&self.devices[..self.one_percent()]),
            (Statistic::Quantile(share), _) => self.quantile(share),
        })
    }

    /// One device in a hundred, and one at least.
    fn one_percent(&self) -> usize {
        self.devices.len().div_ceil(100)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of the number of devices"
    )]
    fn quantile(&self, share: f64) -> f64 {
        let rank = (share * self.devices.len() as f64).ceil() as usize;
        self.devices[rank.clamp(1, self.devices.len()) - 1]
    }
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(count: u32, worse: Worse) -> PerDevice {
        PerDevice::new((1..=count).rev().map(f64::from).collect(), Some(7.0), worse)
    }

    #[test]
    fn the_worst_stand_beside_the_pool() {
        for (worse, worst, worst_percent) in
            [(Worse::Higher, 300.0, 299.0), (Worse::Lower, 1.0, 2.0)]
        {
            let devices = of(300, worse);
            let seen = |statistic| devices.statistic(statistic);
            assert_eq!(seen(Statistic::Worst), Some(worst));
            assert_eq!(seen(Statistic::WorstPercent), Some(worst_percent), "three of 300");
            assert_eq!((seen(Statistic::Min), seen(Statistic::Max)), (Some(1.0), Some(300.0)));
            assert_eq!(seen(Statistic::Mean), Some(150.5));
            assert_eq!(seen(Statistic::Quantile(0.5)), Some(150.0));
            assert_eq!(seen(Statistic::Quantile(0.99)), Some(297.0));
            assert_eq!((devices.pooled(), devices.count()), (Some(7.0), 300));
        }
        assert_eq!(of(3, Worse::Higher).statistic(Statistic::WorstPercent), Some(3.0));
    }

    #[test]
    fn no_devices_have_no_number() {
        let none = PerDevice::new(Vec::new(), None, Worse::Higher);
        assert_eq!(
            (none.statistic(Statistic::Worst), none.pooled(), none.count()),
            (None, None, 0)
        );
    }
}
