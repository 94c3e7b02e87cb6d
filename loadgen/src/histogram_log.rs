//! `histograms.hlog`: what pacer and listener hand over each second, written as it comes.
//!
//! One tag for each of the times of a frame, over all devices: `send_lag` from the pacer,
//! `response_latency`, `service_latency` and `receive_lag` from the listener. The two threads hand
//! over at moments of their own, milliseconds apart; each line has its own start and length. See
//! [`measure::interval_log`] for the form.

use std::fs::File;
use std::io;
use std::time::SystemTime;

use measure::Metric;
use measure::interval_log::IntervalLog;
use measure::record::Measurements;
use platform::Clock;

use crate::media::answer_record::ANSWER_TIMES;
use crate::media::interval::Interval;
use crate::media::send_record::SEND_TIMES;

/// The name of the file in the run directory.
pub const FILE: &str = "histograms.hlog";

/// The log of a run under way, and what came since somebody last took it.
pub struct HistogramLog {
    log: io::Result<IntervalLog<File>>,
    second: Measurements,
}

impl HistogramLog {
    /// Begins the log in `file`, of a run with this clock.
    ///
    /// # Errors
    /// What the file system said.
    pub fn begin(file: File, clock: Clock) -> io::Result<Self> {
        let started = SystemTime::now() - clock.now().since_start();
        let log = IntervalLog::begin(file, started)?;
        Ok(Self { log: Ok(log), second: Measurements::new() })
    }

    /// Adds what the pacer handed over.
    pub fn sent(&mut self, interval: &Interval<1>) {
        self.add(&SEND_TIMES, interval);
    }

    /// Adds what the listener handed over.
    pub fn answered(&mut self, interval: &Interval<3>) {
        self.add(&ANSWER_TIMES, interval);
    }

    /// What was handed over since this was asked last.
    pub fn take(&mut self) -> Measurements {
        std::mem::take(&mut self.second)
    }

    /// Why the log ends before the run does; `None` when it does not.
    pub fn broken_off(&self) -> Option<&io::Error> {
        self.log.as_ref().err()
    }

    /// A disk that is full must not end the run: what is lost then is the rest of the log.
    fn add<const N: usize>(&mut self, metrics: &[Metric; N], interval: &Interval<N>) {
        for (&metric, times) in metrics.iter().zip(&interval.times) {
            self.second.samples(metric, times);
        }
        let Ok(log) = &mut self.log else { return };
        let (start, length) = (interval.start.since_start(), interval.end.since(interval.start));
        let mut lines = metrics.iter().zip(&interval.times);
        let written =
            lines.try_for_each(|(&metric, times)| log.interval(metric, times, start, length));
        if let Err(error) = written {
            self.log = Err(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use measure::Distribution;
    use protocol::Moment;

    fn second(latency_ms: u64) -> Interval<3> {
        let mut interval = Interval::empty(Moment::START);
        interval.times[0].record(latency_ms * 1_000_000);
        interval.end = Moment::from_millis(1000);
        interval
    }

    #[test]
    fn a_second_is_a_line_for_each_time_and_its_latencies_are_seen_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        let mut log = HistogramLog::begin(File::create(&path).unwrap(), Clock::start()).unwrap();
        log.answered(&second(3));
        log.answered(&second(5));
        log.sent(&Interval::empty(Moment::START));
        let latencies = |second: &Measurements| {
            second.sampled(Metric::ResponseLatency).map(Distribution::count)
        };
        assert_eq!(latencies(&log.take()), Some(2));
        assert_eq!(latencies(&log.take()), None);
        assert!(log.broken_off().is_none());
        let text = std::fs::read_to_string(path).unwrap();
        let tags = text.lines().filter_map(|line| line.strip_prefix("Tag=")?.split_once(','));
        let tags: Vec<_> = tags.map(|(tag, _)| tag).collect();
        let answers = ["response_latency", "service_latency", "receive_lag"];
        assert_eq!(tags, [&answers[..], &answers, &["send_lag"]].concat());
    }

    #[test]
    fn a_log_that_cannot_go_on_says_so_and_latencies_are_still_seen() {
        // Every write to it finds the disk full.
        let full = File::options().write(true).open("/dev/full").unwrap();
        let error = HistogramLog::begin(full, Clock::start()).err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        let mut log = HistogramLog { log: Err(error), second: Measurements::new() };
        log.answered(&second(3));
        let seen = log.take();
        assert_eq!(seen.sampled(Metric::ResponseLatency).map(Distribution::count), Some(1));
        assert_eq!(log.broken_off().unwrap().kind(), io::ErrorKind::StorageFull);
    }
}
