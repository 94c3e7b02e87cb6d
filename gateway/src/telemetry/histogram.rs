//! Counts times in fixed classes; the same classes for all, so that histograms can be added up.

use std::time::Duration;

use super::status;

/// The upper bounds of the classes; a time that equals one is below it. The last class has none.
const BOUNDS: [Duration; 15] = {
    let mut bounds = [Duration::ZERO; 15];
    let mut class = 0;
    while class < bounds.len() {
        bounds[class] = Duration::from_micros(BOUNDS_US[class]);
        class += 1;
    }
    bounds
};

const BOUNDS_US: [u64; 15] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 20_000, 50_000, 100_000, 150_000, 250_000, 500_000,
    1_000_000, 2_500_000,
];

/// How many times fell into each class, with their sum and the largest. 160 bytes, never more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TimeHistogram {
    counts: [u64; BOUNDS.len() + 1],
    sum: Duration,
    max: Duration,
}

impl TimeHistogram {
    /// Counts a time: four comparisons and two additions.
    pub(crate) fn record(&mut self, time: Duration) {
        self.counts[BOUNDS.partition_point(|bound| *bound < time)] += 1;
        self.sum += time;
        self.max = self.max.max(time);
    }

    /// How many times were recorded.
    pub(crate) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Adds what another one counted.
    pub(crate) fn absorb(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    /// The form in which it is told: each class with all those below it.
    pub(crate) fn to_status(&self) -> status::Histogram {
        let bounds = BOUNDS.iter().map(|bound| Some(bound.as_secs_f64())).chain([None]);
        let below = self.counts.iter().scan(0, |below, count| {
            *below += count;
            Some(*below)
        });
        status::Histogram {
            count: self.count(),
            sum_s: self.sum.as_secs_f64(),
            max_s: self.max.as_secs_f64(),
            buckets: bounds
                .zip(below)
                .map(|(le_s, count)| status::Bucket { le_s, count })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(times: &[Duration]) -> TimeHistogram {
        let mut histogram = TimeHistogram::default();
        for time in times {
            histogram.record(*time);
        }
        histogram
    }

    #[test]
    fn a_time_on_a_bound_is_below_it() {
        let us = Duration::from_micros;
        for (time, class) in [
            (Duration::ZERO, 0),
            (us(100), 0),
            (us(100) + Duration::from_nanos(1), 1),
            (us(1000), 3),
            (us(150_000), 10),
            (us(2_500_000), 14),
            (us(2_500_001), 15),
            (Duration::from_hours(1), 15),
        ] {
            let histogram = of(&[time]);
            assert_eq!(
                histogram.counts.iter().position(|count| *count == 1),
                Some(class),
                "{time:?}"
            );
            assert_eq!((histogram.count(), histogram.sum, histogram.max), (1, time, time));
        }
    }

    #[test]
    fn bounds_grow() {
        assert!(BOUNDS.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn two_that_are_added_are_one_that_saw_everything() {
        let ms = Duration::from_millis;
        let (few, more) = ([ms(1), ms(70)], [ms(2), ms(3), ms(9000)]);
        let mut sum = of(&few);
        sum.absorb(&of(&more));
        assert_eq!(sum, of(&[&few[..], &more].concat()));
        sum.absorb(&TimeHistogram::default());
        assert_eq!((sum.count(), sum.sum, sum.max), (5, ms(9076), ms(9000)));
    }

    #[test]
    fn what_is_told_is_cumulative_in_seconds() {
        let ms = Duration::from_millis;
        let status = of(&[ms(2), ms(2), ms(40), ms(3000)]).to_status();
        assert_eq!((status.count, status.buckets.len()), (4, 16));
        assert_eq!((status.sum_s, status.max_s), (3.044, 3.0));
        let seen: Vec<_> =
            status.buckets.iter().map(|bucket| (bucket.le_s, bucket.count)).collect();
        assert_eq!(seen[3..6], [(Some(0.001), 0), (Some(0.0025), 2), (Some(0.005), 2)]);
        assert_eq!(seen[8..10], [(Some(0.05), 3), (Some(0.1), 3)]);
        assert_eq!(seen[14..], [(Some(2.5), 3), (None, 4)]);
    }
}
