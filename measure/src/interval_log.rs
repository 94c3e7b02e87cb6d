//! `histograms.hlog`: the distributions of a run second by second, for other tools.
//!
//! The form is version 1.3 of `HdrHistogram`'s interval log, as its `HistogramLogWriter` writes and
//! its `HistogramLogReader` reads it; `HistogramLogProcessor -tag response_latency` and
//! `HistogramLogAnalyzer` take it as it is. (Without `-tag` the processor looks for intervals that
//! have no tag, and there are none.)
//!
//! ```text
//! #[Histogram log format version 1.3]
//! #Values are in ns, from 1 us to 60 s, with 3 significant digits; …
//! #[StartTime: 1795368600.123 (seconds since epoch)]
//! #[BaseTime: 1795368600.123 (seconds since epoch)]
//! #[MaxValueDivisor: 1000000.000]
//! "StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"
//! Tag=response_latency,1.002,1.000,12.345,HISTFAAAA…
//! ```
//!
//! | field | unit | |
//! |---|---|---|
//! | `Tag` | | the metric's name; one line for each metric and interval |
//! | `StartTimestamp` | s | from `BaseTime`, the start of the run's clock, by that clock |
//! | `Interval_Length` | s | about 1; longer where the generator was busy with something else |
//! | `Interval_Max` | ms | the largest value of the interval, divided by `MaxValueDivisor` |
//! | `Interval_Compressed_Histogram` | ns | base64 of `HdrHistogram`'s V2 encoding, deflated |
//!
//! A sample is in the interval in which it was *recorded*: an answer in that of its arrival, not in
//! that in which its frame was planned. An interval without samples has its line too: that nothing
//! came back is an observation. Each line is written at once, so that a log is readable up to its
//! last line however the run ended. The sum of a metric's intervals is its distribution in
//! `run.json`: the same samples in buckets of the same bounds.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use crate::metric::{Metric, Quantity};
use crate::recorder::Distribution;

/// Nanoseconds in the milliseconds that people read.
const MAX_VALUE_DIVISOR: f64 = 1e6;

const LEGEND: &str =
    "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"";

/// Writes an interval log; memory does not grow with the number of intervals.
pub struct IntervalLog<W> {
    writer: W,
    serializer: V2DeflateSerializer,
    encoded: Vec<u8>,
    line: String,
}

impl<W: Write> IntervalLog<W> {
    /// Begins a log of a run whose clock started at `started`.
    ///
    /// # Errors
    /// What `writer` said.
    pub fn begin(mut writer: W, started: SystemTime) -> io::Result<Self> {
        let epoch_s = started.duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
        writer.write_all(
            format!(
                "#[Histogram log format version 1.3]\n\
                 #Values are in ns, from 1 us to 60 s, with 3 significant digits; what is above is \
                 counted at the end of the range. Interval_Max is in ms.\n\
                 #[StartTime: {epoch_s:.3} (seconds since epoch)]\n\
                 #[BaseTime: {epoch_s:.3} (seconds since epoch)]\n\
                 #[MaxValueDivisor: {MAX_VALUE_DIVISOR:.3}]\n\
                 {LEGEND}\n"
            )
            .as_bytes(),
        )?;
        let serializer = V2DeflateSerializer::new();
        Ok(Self { writer, serializer, encoded: Vec::new(), line: String::new() })
    }

    /// Adds what was recorded of `metric` from `start` on, counted from the start of the run's
    /// clock, for `length`.
    ///
    /// # Errors
    /// What the writer said.
    ///
    /// # Panics
    /// Unless the metric and the samples are of [`Quantity::Time`].
    pub fn interval(
        &mut self,
        metric: Metric,
        samples: &Distribution,
        start: Duration,
        length: Duration,
    ) -> io::Result<()> {
        assert_eq!((metric.quantity(), samples.quantity()), (Quantity::Time, Quantity::Time));
        let histogram = samples.histogram();
        self.encoded.clear();
        self.serializer
            .serialize(histogram, &mut self.encoded)
            .map_err(|error| io::Error::other(error.to_string()))?;
        self.line.clear();
        // Writing to a String does not fail.
        let _ = write!(
            self.line,
            "Tag={},{:.3},{:.3},{:.3},",
            metric.name(),
            start.as_secs_f64(),
            length.as_secs_f64(),
            histogram.max() as f64 / MAX_VALUE_DIVISOR
        );
        STANDARD.encode_string(&self.encoded, &mut self.line);
        self.line.push('\n');
        self.writer.write_all(self.line.as_bytes())
    }

    /// What was written to.
    pub fn into_inner(self) -> W {
        self.writer
    }
}

/// What was recorded of one metric in one interval.
#[derive(Clone, Debug)]
pub struct Interval {
    /// The metric's name.
    pub metric: String,
    /// Its start in seconds, from the start of the run's clock.
    pub start_s: f64,
    /// How long it was, in seconds.
    pub length_s: f64,
    /// The samples.
    pub times: Times,
}

/// Times as a log keeps them: how many of each, to 3 significant digits. Only what was seen takes
/// room: a log of hours has tens of thousands of these.
#[derive(Clone, Default)]
pub struct Times {
    /// Upper ends of the buckets that have samples, in nanoseconds, ascending, and how many.
    bins: Vec<(u64, u64)>,
    count: u64,
}

/// A log that can be read up to `line` only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenLog {
    /// The first line that cannot be read, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub why: String,
}

/// The intervals of a log, one after the other, up to the first line that is broken: that is the last
/// item.
pub fn read(text: &str) -> impl Iterator<Item = Result<Interval, BrokenLog>> {
    let mut deserializer = Deserializer::new();
    let mut broken = false;
    let told = |line: &&str| !(line.is_empty() || line.starts_with(['#', '"']));
    let lines = text.lines().enumerate().filter(move |(_, line)| told(line));
    lines.map_while(move |(index, line)| {
        if broken {
            return None;
        }
        let read = interval(line, &mut deserializer);
        broken = read.is_err();
        Some(read.map_err(|why| BrokenLog { line: index + 1, why }))
    })
}

fn interval(line: &str, deserializer: &mut Deserializer) -> Result<Interval, String> {
    let fields: Vec<&str> = line.split(',').collect();
    let [tag, start, length, _, encoded] = fields[..] else {
        return Err(format!("an interval has 5 fields, and this line {}", fields.len()));
    };
    let metric = tag.strip_prefix("Tag=").ok_or("it does not begin with Tag=")?.to_owned();
    let seconds = |text: &str| {
        let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
        number.ok_or_else(|| format!("`{text}` is no number of seconds"))
    };
    let bytes = STANDARD.decode(encoded).map_err(|error| format!("no base64: {error}"))?;
    let histogram = deserializer
        .deserialize::<u64, _>(&mut bytes.as_slice())
        .map_err(|error| format!("no histogram: {error}"))?;
    Ok(Interval {
        metric,
        start_s: seconds(start)?,
        length_s: seconds(length)?,
        times: Times::of(&histogram),
    })
}

impl std::fmt::Debug for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} times", self.count())
    }
}

impl Times {
    fn of(histogram: &Histogram<u64>) -> Self {
        let bins = histogram.iter_recorded();
        let bins = bins.map(|bin| (bin.value_iterated_to(), bin.count_at_value())).collect();
        Self { bins, count: histogram.len() }
    }

    /// Number of samples.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// In milliseconds, the time that the share of samples, 0 to 1, does not exceed; `None` without
    /// samples.
    pub fn quantile_ms(&self, share: f64) -> Option<f64> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank among the samples"
        )]
        let rank = ((share * self.count as f64).ceil() as u64).clamp(1, self.count.max(1));
        let mut seen = 0;
        let found = self.bins.iter().find(|(_, count)| {
            seen += count;
            seen >= rank
        });
        found.map(|(nanos, _)| *nanos as f64 / MAX_VALUE_DIVISOR)
    }

    /// The largest in milliseconds; `None` without samples.
    pub fn max_ms(&self) -> Option<f64> {
        self.bins.last().map(|(nanos, _)| *nanos as f64 / MAX_VALUE_DIVISOR)
    }

    /// Adds the samples of `other`.
    pub fn merge(&mut self, other: &Self) {
        let mut merged = Vec::with_capacity(self.bins.len() + other.bins.len());
        let (mut ours, mut theirs) = (self.bins.iter().peekable(), other.bins.iter().peekable());
        loop {
            let next = match (ours.peek(), theirs.peek()) {
                (Some((one, _)), Some((two, _))) => *one.min(two),
                (Some((one, _)), None) => *one,
                (None, Some((two, _))) => *two,
                (None, None) => break,
            };
            let of = |bins: &mut std::iter::Peekable<std::slice::Iter<'_, (u64, u64)>>| {
                bins.next_if(|(value, _)| *value == next).map_or(0, |(_, count)| *count)
            };
            merged.push((next, of(&mut ours) + of(&mut theirs)));
        }
        self.bins = merged;
        self.count += other.count;
    }

    /// The buckets that have samples: their upper ends in milliseconds, and how many.
    pub fn bins(&self) -> impl Iterator<Item = (f64, u64)> {
        self.bins.iter().map(|(nanos, count)| (*nanos as f64 / MAX_VALUE_DIVISOR, *count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    const STARTED_MS: u64 = 1_795_368_600_123;

    fn started() -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(STARTED_MS)
    }

    fn times(millis: &[u64]) -> Distribution {
        let mut times = Distribution::new(Quantity::Time);
        for millis in millis {
            times.record(millis * 1_000_000);
        }
        times
    }

    fn second(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    fn decoded(encoded: &str) -> Histogram<u64> {
        let bytes = STANDARD.decode(encoded).unwrap();
        Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap()
    }

    #[test]
    fn a_log_has_the_header_of_its_version_and_reads_back() {
        let mut log = IntervalLog::begin(Vec::new(), started()).unwrap();
        let length = Duration::from_millis(1004);
        for (start, metric, millis) in [
            (0, Metric::ResponseLatency, &[3, 40, 7][..]),
            (0, Metric::SendLag, &[]),
            (1, Metric::ResponseLatency, &[5]),
        ] {
            log.interval(metric, &times(millis), second(start), length).unwrap();
        }
        let text = log.into_inner();
        let lines: Vec<_> = std::str::from_utf8(&text).unwrap().lines().collect();
        assert_eq!(lines[0], "#[Histogram log format version 1.3]");
        assert_eq!(lines[2], "#[StartTime: 1795368600.123 (seconds since epoch)]");
        assert_eq!((lines[4], lines[5]), ("#[MaxValueDivisor: 1000000.000]", LEGEND));

        let entries: Vec<_> = IntervalLogIterator::new(&text).map(Result::unwrap).collect();
        let epoch = Duration::from_millis(STARTED_MS);
        assert_eq!(entries[..2], [LogEntry::StartTime(epoch), LogEntry::BaseTime(epoch)]);
        let intervals: Vec<_> = entries[2..]
            .iter()
            .map(|entry| match entry {
                LogEntry::Interval(one) => {
                    let histogram = decoded(one.encoded_histogram());
                    assert_eq!(one.duration(), length);
                    let max = histogram.max() as f64 / 1e6;
                    assert!((one.max() - max).abs() < 1e-3, "in ms: {} of {max}", one.max());
                    (one.tag().unwrap().as_str(), one.start_timestamp(), histogram.len())
                }
                other => panic!("{other:?} among the intervals"),
            })
            .collect();
        assert_eq!(
            intervals,
            [
                ("response_latency", second(0), 3),
                ("send_lag", second(0), 0),
                ("response_latency", second(1), 1)
            ]
        );
    }

    #[test]
    fn intervals_add_up_to_the_whole_bucket_by_bucket() {
        let mut log = IntervalLog::begin(Vec::new(), started()).unwrap();
        let mut whole = times(&[]);
        for number in 0..10u64 {
            // From below the range to above it.
            let samples = [0, 1, number * 13, number * 997, 59_999, 70_000];
            let part = times(&samples);
            whole.merge(&part);
            log.interval(Metric::ReceiveLag, &part, second(number), second(1)).unwrap();
        }
        let text = log.into_inner();
        let mut sum = whole.histogram().clone();
        sum.reset();
        for entry in IntervalLogIterator::new(&text).map(Result::unwrap) {
            if let LogEntry::Interval(one) = entry {
                sum.add(decoded(one.encoded_histogram())).unwrap();
            }
        }
        assert_eq!(&sum, whole.histogram());
        assert_eq!((sum.len(), sum.max()), (60, whole.histogram().max()));
    }

    #[test]
    fn what_was_written_is_read_up_to_what_is_broken() {
        let mut log = IntervalLog::begin(Vec::new(), started()).unwrap();
        for (start, millis) in [(0, &[1, 2, 3, 100][..]), (1, &[]), (2, &[70_000])] {
            log.interval(Metric::SendLag, &times(millis), second(start), second(1)).unwrap();
        }
        let text = String::from_utf8(log.into_inner()).unwrap();
        let whole = |text: &str| -> (Vec<Interval>, Option<BrokenLog>) {
            let (mut intervals, mut broken) = (Vec::new(), None);
            for read in read(text) {
                match read {
                    Ok(interval) => intervals.push(interval),
                    Err(why) => broken = Some(why),
                }
            }
            (intervals, broken)
        };
        let (intervals, broken) = whole(&text);
        assert_eq!((intervals.len(), broken), (3, None));
        let [first, empty, late] = &intervals[..] else { panic!() };
        assert_eq!((&first.metric[..], first.start_s, first.length_s), ("send_lag", 0.0, 1.0));
        assert_eq!(first.times.count(), 4);
        let near = |seen: Option<f64>, expected: f64| (seen.unwrap() / expected - 1.0).abs() < 1e-3;
        assert!(near(first.times.quantile_ms(0.5), 2.0) && near(first.times.max_ms(), 100.0));
        assert_eq!((empty.times.count(), empty.times.quantile_ms(0.5)), (0, None));
        let mut sum = Times::default();
        let mut samples = times(&[]);
        for (interval, millis) in intervals.iter().zip([&[1, 2, 3, 100][..], &[], &[70_000]]) {
            sum.merge(&interval.times);
            samples.merge(&times(millis));
        }
        assert_eq!(sum.count(), 5);
        for share in [0.0, 0.2, 0.21, 0.5, 0.99, 1.0] {
            let of = samples.histogram().value_at_quantile(share) as f64 / 1e6;
            assert!(near(sum.quantile_ms(share), of.max(1e-6)), "{share}: {of}");
        }
        assert!(near(sum.max_ms(), late.times.max_ms().unwrap()));
        assert_eq!(sum.bins().map(|(_, count)| count).sum::<u64>(), 5);

        let cut = &format!("{}\n{text}", &text[..text.len() - 20]);
        let (intervals, broken) = whole(cut);
        assert_eq!((intervals.len(), broken.map(|broken| broken.line)), (2, Some(9)));
        for (line, why) in [
            ("Tag=x,0,1,1", "has 5 fields, and this line 4"),
            ("x,0,1,1,AAAA", "does not begin with Tag="),
            ("Tag=x,0,1,1,*", "no base64"),
            ("Tag=x,0,1,1,AAAA", "no histogram"),
        ] {
            let (intervals, broken) = whole(line);
            let broken = broken.unwrap();
            assert!(intervals.is_empty() && broken.why.contains(why), "{line}: {}", broken.why);
        }
    }

    #[test]
    fn what_the_writer_refuses_is_told() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let error = IntervalLog::begin(Full, started()).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
