//! Collects samples in memory that does not grow with their number.

use std::fmt;

use hdrhistogram::Histogram;

use crate::metric::Quantity;

/// Significant decimal digits that a recorder keeps.
const DIGITS: u8 = 3;

/// The distribution of one quantity: an `HdrHistogram` of three significant digits.
///
/// Samples above the range (60 s, 1,000 cores, 16 TiB) are counted at its end; none is dropped.
/// The mean is kept exactly beside the buckets.
#[derive(Clone)]
pub struct Distribution {
    quantity: Quantity,
    histogram: Histogram<u64>,
    sum: u128,
}

/// A number taken from a distribution.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Statistic {
    /// The smallest sample.
    Min,
    /// The arithmetic mean.
    Mean,
    /// The largest sample.
    Max,
    /// The value that this share of samples, between 0 and 1, does not exceed.
    Quantile(f64),
    /// The worst device; only of what each device has once.
    Worst,
    /// The mean of the worst 1 % of devices, of one at least; only of what each device has once.
    WorstPercent,
}

impl Statistic {
    /// Reads `min`, `mean`, `max`, `worst`, `worst_1pct`, or `p` and digits: `p50` is 0.50, `p99` 0.99, `p999` 0.999.
    pub fn parse(text: &str) -> Option<Statistic> {
        match text {
            "min" => Some(Self::Min),
            "mean" => Some(Self::Mean),
            "max" => Some(Self::Max),
            "worst" => Some(Self::Worst),
            "worst_1pct" => Some(Self::WorstPercent),
            _ => {
                let digits = text.strip_prefix('p')?;
                // `p100` would be read as 0.100: a trailing zero behind two digits is no more exact.
                let usable = (2..=6).contains(&digits.len())
                    && digits.bytes().all(|byte| byte.is_ascii_digit())
                    && (digits.len() == 2 || !digits.ends_with('0'));
                let share: f64 = usable.then(|| format!("0.{digits}"))?.parse().ok()?;
                (share > 0.0).then_some(Self::Quantile(share))
            }
        }
    }
}

impl fmt::Display for Statistic {
    /// The form that [`Statistic::parse`] reads.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Min => f.write_str("min"),
            Self::Mean => f.write_str("mean"),
            Self::Max => f.write_str("max"),
            Self::Worst => f.write_str("worst"),
            Self::WorstPercent => f.write_str("worst_1pct"),
            Self::Quantile(share) => {
                let digits = format!("{share:.6}");
                let digits = digits.trim_start_matches("0.").trim_end_matches('0');
                write!(f, "p{digits:0<2}")
            }
        }
    }
}

impl Distribution {
    /// An empty distribution.
    ///
    /// # Panics
    /// For [`Quantity::Count`], which has no distribution.
    pub fn new(quantity: Quantity) -> Self {
        let (low, high) = quantity.recorded_range().expect("counts are summed, not distributed");
        let histogram = Histogram::new_with_bounds(low, high, DIGITS)
            .expect("the ranges of the catalogue are valid bounds");
        Self { quantity, histogram, sum: 0 }
    }

    /// Adds a sample in recorded units (see [`Quantity`]); some 5 ns, no allocation.
    #[inline]
    pub fn record(&mut self, recorded: u64) {
        self.histogram.saturating_record(recorded);
        self.sum += u128::from(recorded);
    }

    /// Adds `count` samples of one value in recorded units.
    pub fn record_many(&mut self, recorded: u64, count: u64) {
        self.histogram.saturating_record_n(recorded, count);
        self.sum += u128::from(recorded) * u128::from(count);
    }

    /// Adds all samples of `other`, which is of the same quantity.
    pub fn merge(&mut self, other: &Distribution) {
        self.histogram.add(&other.histogram).expect("distributions of one quantity have one range");
        self.sum += other.sum;
    }

    /// Takes all samples out.
    pub fn clear(&mut self) {
        self.histogram.reset();
        self.sum = 0;
    }

    /// Number of samples.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The buckets, without what is kept beside them.
    pub(crate) fn histogram(&self) -> &Histogram<u64> {
        &self.histogram
    }

    /// What is distributed.
    pub fn quantity(&self) -> Quantity {
        self.quantity
    }

    /// A statistic in shown units; `None` when there are no samples, and for the worst devices, of
    /// which samples know nothing.
    pub fn statistic(&self, statistic: Statistic) -> Option<f64> {
        if self.count() == 0 {
            return None;
        }
        let recorded = match statistic {
            Statistic::Min => self.histogram.min() as f64,
            Statistic::Max => self.histogram.max() as f64,
            Statistic::Mean => self.sum as f64 / self.count() as f64,
            Statistic::Quantile(share) => self.histogram.value_at_quantile(share) as f64,
            Statistic::Worst | Statistic::WorstPercent => return None,
        };
        Some(recorded / self.quantity.recorded_per_shown())
    }
}

impl fmt::Debug for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Distribution")
            .field("quantity", &self.quantity)
            .field("count", &self.count())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod omission;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_known_samples() {
        let mut times = Distribution::new(Quantity::Time);
        for millis in 1..=1000u64 {
            times.record(millis * 1_000_000);
        }
        for (statistic, expected) in [
            (Statistic::Min, 1.0),
            (Statistic::Mean, 500.5),
            (Statistic::Max, 1000.0),
            (Statistic::Quantile(0.5), 500.0),
            (Statistic::Quantile(0.99), 990.0),
            (Statistic::Quantile(0.999), 999.0),
        ] {
            let seen = times.statistic(statistic).unwrap();
            assert!((seen - expected).abs() <= expected * 1e-3, "{statistic}: {seen}");
        }
    }

    #[test]
    fn without_samples_there_is_no_number() {
        let empty = Distribution::new(Quantity::Memory);
        assert_eq!(empty.statistic(Statistic::Mean), None);
        assert_eq!(empty.statistic(Statistic::Quantile(0.99)), None);
    }

    #[test]
    fn samples_above_the_range_are_counted_at_its_end() {
        let mut times = Distribution::new(Quantity::Time);
        times.record(u64::MAX);
        assert_eq!(times.count(), 1);
        assert!(times.statistic(Statistic::Max).unwrap() >= 60_000.0);
    }

    #[test]
    fn merging_adds_samples() {
        let mut left = Distribution::new(Quantity::Time);
        let mut right = left.clone();
        left.record(1_000_000);
        right.record(3_000_000);
        left.merge(&right);
        assert_eq!((left.count(), left.statistic(Statistic::Mean)), (2, Some(2.0)));
        left.clear();
        assert_eq!(left.count(), 0);
    }

    #[test]
    fn many_samples_at_once_are_as_many_one_by_one() {
        let (mut at_once, mut singly) =
            (Distribution::new(Quantity::Time), Distribution::new(Quantity::Time));
        for (recorded, count) in [(2_000_000, 3), (5_000_000, 0), (8_000_000, 1)] {
            at_once.record_many(recorded, count);
            (0..count).for_each(|_| singly.record(recorded));
        }
        assert_eq!(at_once.count(), 4);
        for statistic in [Statistic::Mean, Statistic::Quantile(0.75), Statistic::Max] {
            assert_eq!(at_once.statistic(statistic), singly.statistic(statistic), "{statistic}");
        }
    }

    #[test]
    fn names_of_statistics() {
        for (text, statistic) in [
            ("p50", Statistic::Quantile(0.5)),
            ("p05", Statistic::Quantile(0.05)),
            ("p99", Statistic::Quantile(0.99)),
            ("p999", Statistic::Quantile(0.999)),
            ("max", Statistic::Max),
        ] {
            assert_eq!(Statistic::parse(text), Some(statistic));
            assert_eq!(statistic.to_string(), text);
        }
        for text in ["p", "p5", "p00", "p99.9", "99", "median", "p-9", "p1234567", "p100", "p990"] {
            assert_eq!(Statistic::parse(text), None, "{text}");
        }
    }
}
