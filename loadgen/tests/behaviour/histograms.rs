//! `histograms.hlog`: what other tools read of a run is what its record says.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use serde_json::Value;

use crate::common::{Bench, SHORT, end};

/// What a metric's intervals add up to.
pub(crate) struct Series {
    pub(crate) intervals: usize,
    pub(crate) sum: Histogram<u64>,
    /// From the start of the run's clock to the end of the last interval, in seconds.
    end_s: f64,
}

/// The log of the run on `bench`, by tag. Intervals of one tag must meet, from the start on.
pub(crate) fn series(bench: &Bench) -> BTreeMap<String, Series> {
    let text = std::fs::read(bench.path("run/histograms.hlog")).expect("there is a log");
    let mut series: BTreeMap<String, Series> = BTreeMap::new();
    for entry in IntervalLogIterator::new(&text) {
        let LogEntry::Interval(interval) = entry.expect("every line can be read") else { continue };
        let tag = interval.tag().expect("every interval has a tag").as_str().to_owned();
        let encoded = STANDARD.decode(interval.encoded_histogram()).unwrap();
        let histogram: Histogram<u64> =
            Deserializer::new().deserialize(&mut encoded.as_slice()).unwrap();
        let start_s = interval.start_timestamp().as_secs_f64();
        let end_s = start_s + interval.duration().as_secs_f64();
        if let Some(series) = series.get_mut(&tag) {
            // Both are rounded to milliseconds.
            assert!((series.end_s - start_s).abs() < 0.002, "{tag}: a gap at {start_s} s");
            series.intervals += 1;
            series.sum.add(histogram).unwrap();
            series.end_s = end_s;
        } else {
            assert!(start_s < 0.001, "{tag} begins with the run, not at {start_s} s");
            series.insert(tag, Series { intervals: 1, sum: histogram, end_s });
        }
    }
    series
}

/// The intervals of each of the four times add up to the metric of `record`.
pub(crate) fn assert_adds_up(series: &BTreeMap<String, Series>, record: &Value) {
    let tags: Vec<_> = series.keys().map(String::as_str).collect();
    assert_eq!(tags, ["receive_lag", "response_latency", "send_lag", "service_latency"]);
    for (tag, Series { sum, .. }) in series {
        let metric = &record["metrics"][tag];
        assert_eq!(metric["count"], sum.len(), "{tag}");
        let statistics = [
            ("p50", sum.value_at_quantile(0.5)),
            ("p99", sum.value_at_quantile(0.99)),
            ("p999", sum.value_at_quantile(0.999)),
            ("max", sum.max()),
        ];
        for (name, nanos) in statistics {
            // The same buckets: only the record's four decimals differ.
            let (logged, recorded) = (nanos as f64 / 1e6, metric[name].as_f64().unwrap());
            assert!((logged - recorded).abs() <= 0.000_051, "{tag}.{name}: {logged}, {recorded}");
        }
    }
}

#[test]
fn the_intervals_of_a_run_add_up_to_its_metrics() {
    let bench = Bench::new(SHORT);
    let mut command = bench.din_run();
    // Two phases: a metric is the sum of its phases, and the log knows none.
    let second = "\n[[phase]]\nname = \"more\"\ndevices = 5\nhold = \"2s\"\n[thresholds]";
    std::fs::write(bench.path("test.toml"), SHORT.replace("\n[thresholds]", second)).unwrap();
    command.args(["--set", "generator.spin=50us"]);
    let ended = end(command);
    let record = bench.record();
    let series = series(&bench);
    assert_adds_up(&series, &record);
    assert!(!series["response_latency"].sum.is_empty(), "{}", ended.stdout);
    for (tag, Series { intervals, end_s, .. }) in &series {
        // Three seconds of load; a host that is short of time makes fewer and longer ones.
        assert!(*end_s >= 3.0, "{tag} ends with the run, not after {end_s} s");
        assert!(
            *intervals >= 2 && *intervals as f64 <= end_s + 2.0,
            "{tag}: {intervals} intervals"
        );
    }
    assert_eq!(record["method"]["histogram_log"], "histograms.hlog, complete");
    assert_eq!(record["method"]["pacer_spin_us"], 50);
}
