//! Writes metric families: a description each, and all samples behind it.

use std::fmt;

use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, EncodeLabelValue,
    MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;

use crate::telemetry::status::Histogram;

/// What every name begins with, and the whole name of the one info.
const PREFIX: &str = "din_gateway";

/// The encoder of a page. Names come without the prefix and, for counters, without `_total`.
pub(super) struct Families<'a>(pub(super) DescriptorEncoder<'a>);

impl Families<'_> {
    /// Facts that do not change, as labels of a 1.
    pub(super) fn info(&mut self, help: &str, facts: &impl EncodeLabelSet) -> fmt::Result {
        self.0.encode_descriptor(PREFIX, help, None, MetricType::Info)?.encode_info(facts)
    }

    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        value: impl EncodeGaugeValue + Copy,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, |mut family| family.encode_gauge(&value))
    }

    /// A gauge for each value of a label.
    pub(super) fn gauges_by(
        &mut self,
        label: &str,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (impl EncodeLabelValue, impl EncodeGaugeValue)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Gauge, |mut family| {
            samples.into_iter().try_for_each(|(value, number)| {
                family.encode_family(&[(label, value)])?.encode_gauge(&number)
            })
        })
    }

    pub(super) fn counter(
        &mut self,
        name: &str,
        help: &str,
        value: impl EncodeCounterValue + Copy,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Counter, |mut family| count(&mut family, &value))
    }

    /// A counter for each value of a label.
    pub(super) fn counters_by(
        &mut self,
        label: &str,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (impl EncodeLabelValue, impl EncodeCounterValue)>,
    ) -> fmt::Result {
        self.family(name, help, MetricType::Counter, |mut family| {
            samples.into_iter().try_for_each(|(value, number)| {
                count(&mut family.encode_family(&[(label, value)])?, &number)
            })
        })
    }

    pub(super) fn histogram(
        &mut self,
        name: &str,
        help: &str,
        histogram: &Histogram,
    ) -> fmt::Result {
        // The encoder adds up the classes itself.
        let below = [0].into_iter().chain(histogram.buckets.iter().map(|bucket| bucket.count));
        let classes = histogram.buckets.iter().zip(below).map(|(bucket, below)| {
            (bucket.le_s.unwrap_or(f64::INFINITY), bucket.count.saturating_sub(below))
        });
        let classes: Vec<_> = classes.collect();
        self.family(name, help, MetricType::Histogram, |mut family| {
            let (sum, count) = (histogram.sum_s, histogram.count);
            family.encode_histogram::<NoLabelSet>(sum, count, &classes, None)
        })
    }

    fn family(
        &mut self,
        name: &str,
        help: &str,
        metric_type: MetricType,
        write: impl FnOnce(MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let name = format!("{PREFIX}_{name}");
        write(self.0.encode_descriptor(&name, help, None, metric_type)?)
    }
}

fn count<V: EncodeCounterValue>(to: &mut MetricEncoder<'_>, value: &V) -> fmt::Result {
    to.encode_counter::<NoLabelSet, V, f64>(value, None)
}
