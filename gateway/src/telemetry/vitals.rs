//! Samples what the gateway's process and its workers use: processor time, memory, threads.

use std::collections::{BTreeMap, VecDeque};
use std::error::Error;
use std::time::Duration;

use platform::{GoneError, ProcessSampler, ThreadCpu, Usage};
use protocol::Moment;

use super::status::ProcessStatus;
use crate::autoscale::SAMPLES;

/// The process at its last samples; the newest [`SAMPLES`] of processor time are kept.
///
/// Workers are found by the names of their threads, so gateways that share a process share these
/// numbers. Where the system does not tell, that is logged once and there are no values.
#[derive(Debug)]
pub(crate) struct Vitals {
    /// `None` when it has failed.
    sampler: Option<ProcessSampler>,
    threads_known: bool,
    latest: Option<(Moment, Usage)>,
    /// In percent of one core, oldest first.
    cpu_percent: VecDeque<f64>,
    workers: BTreeMap<usize, Duration>,
}

impl Vitals {
    /// Watches this process; the first sample covers the time from now.
    pub(crate) fn start(now: Moment) -> Self {
        Self::watch(ProcessSampler::new(std::process::id()), now)
    }

    fn watch(sampler: Result<ProcessSampler, GoneError>, now: Moment) -> Self {
        let mut vitals = Self {
            sampler: None,
            threads_known: true,
            latest: None,
            cpu_percent: VecDeque::with_capacity(SAMPLES),
            workers: BTreeMap::new(),
        };
        match sampler.and_then(|sampler| Ok((sampler.sample()?, sampler))) {
            Ok((usage, sampler)) => {
                vitals.latest = Some((now, usage));
                vitals.sampler = Some(sampler);
            }
            Err(error) => vitals.give_up(&error),
        }
        vitals
    }

    /// Takes a sample; to be called once a second. Takes some 20 µs and as much for each thread.
    pub(crate) fn sample(&mut self, now: Moment) {
        match self.sampler.as_ref().map(ProcessSampler::sample) {
            Some(Ok(usage)) => self.used(now, usage),
            Some(Err(error)) => self.give_up(&error),
            None => {}
        }
        if self.threads_known {
            match platform::thread_cpu_times() {
                Ok(threads) => self.workers = by_worker(threads),
                Err(error) => {
                    tracing::warn!(%error, "the processor time of workers will not be known");
                    self.threads_known = false;
                    self.workers.clear();
                }
            }
        }
    }

    fn used(&mut self, now: Moment, usage: Usage) {
        if let Some((before, earlier)) = self.latest.replace((now, usage)) {
            if self.cpu_percent.len() == SAMPLES {
                self.cpu_percent.pop_front();
            }
            self.cpu_percent.push_back(usage.core_percent_since(&earlier, now.since(before)));
        }
    }

    fn give_up(&mut self, error: &GoneError) {
        let cause = error.source().map(ToString::to_string).unwrap_or_default();
        tracing::warn!(%error, cause, "processor time and memory will not be known");
        self.sampler = None;
        self.latest = None;
        self.cpu_percent.clear();
    }

    /// Processor time of the thread `worker-<index>` at the last sample; `None` where there was
    /// none.
    pub(crate) fn worker_cpu(&self, index: usize) -> Option<Duration> {
        self.workers.get(&index).copied()
    }

    /// Processor time between the last two samples, in percent of one core.
    pub(crate) fn latest_cpu_percent(&self) -> Option<f64> {
        self.cpu_percent.back().copied()
    }

    /// What is told of it; `None` before the first sample.
    pub(crate) fn status(&self) -> Option<ProcessStatus> {
        let (cpu_percent, (_, usage)) = (self.latest_cpu_percent()?, self.latest?);
        let samples = self.cpu_percent.len();
        Some(ProcessStatus {
            cpu_percent,
            cpu_percent_mean: self.cpu_percent.iter().sum::<f64>() / samples as f64,
            cpu_percent_max: self.cpu_percent.iter().copied().fold(0.0, f64::max),
            samples,
            resident_bytes: usage.resident_bytes,
            threads: usage.threads,
        })
    }
}

/// The newest thread of a name counts: one that leaves may still be there when its successor is.
fn by_worker(threads: Vec<ThreadCpu>) -> BTreeMap<usize, Duration> {
    let workers = threads.into_iter().filter_map(|thread| {
        let index = thread.name.strip_prefix("worker-")?.parse().ok()?;
        Some((index, thread.cpu_time))
    });
    workers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing() -> Vitals {
        Vitals::watch(ProcessSampler::new(u32::MAX), Moment::START)
    }

    fn usage(cpu_ms: u64) -> Usage {
        Usage { cpu_time: Duration::from_millis(cpu_ms), resident_bytes: 1 << 20, threads: 3 }
    }

    #[test]
    fn percent_is_of_the_time_since_the_sample_before() {
        let mut vitals = nothing();
        for (at_ms, cpu_ms, percent) in
            [(0, 700, None), (1000, 950, Some(25.0)), (3000, 5950, Some(250.0))]
        {
            vitals.used(Moment::from_millis(at_ms), usage(cpu_ms));
            assert_eq!(vitals.latest_cpu_percent(), percent, "at {at_ms} ms");
        }
        let status = vitals.status().unwrap();
        assert_eq!((status.cpu_percent, status.cpu_percent_mean), (250.0, 137.5));
        assert_eq!((status.cpu_percent_max, status.samples), (250.0, 2));
        assert_eq!((status.resident_bytes, status.threads), (1 << 20, 3));
    }

    #[test]
    fn old_samples_make_room_so_that_an_old_maximum_goes() {
        let mut vitals = nothing();
        vitals.used(Moment::START, usage(0));
        for second in 1..=SAMPLES as u64 + 1 {
            // A busy first second, and half a core from then on.
            vitals.used(Moment::from_millis(second * 1000), usage(1000 + (second - 1) * 500));
            let status = vitals.status().unwrap();
            let (max, samples) = (status.cpu_percent_max, status.samples);
            let last = second > SAMPLES as u64;
            assert_eq!(max.to_bits(), if last { 50_f64 } else { 100_f64 }.to_bits(), "{second}");
            assert_eq!(samples as u64, second.min(SAMPLES as u64));
        }
    }

    #[test]
    fn this_process_has_values_after_the_first_sample() {
        let mut vitals = Vitals::start(Moment::START);
        assert!(vitals.status().is_none());
        vitals.sample(Moment::from_millis(1000));
        let status = vitals.status().unwrap();
        assert!(status.resident_bytes > 0 && status.threads >= 1 && status.samples == 1);
        assert!(vitals.threads_known);
    }

    #[test]
    fn a_process_that_cannot_be_sampled_has_no_values() {
        let mut vitals = nothing();
        vitals.sample(Moment::from_millis(1000));
        assert!(vitals.status().is_none() && vitals.latest_cpu_percent().is_none());
    }

    #[test]
    fn workers_are_the_threads_named_so_and_the_newest_of_a_name_counts() {
        let thread = |name: &str, millis| ThreadCpu {
            name: name.to_owned(),
            cpu_time: Duration::from_millis(millis),
        };
        let threads = [
            thread("din-gateway", 9),
            thread("worker-1", 10),
            thread("worker-12", 20),
            thread("worker-x", 30),
            thread("media-0", 40),
            thread("worker-1", 50),
        ];
        let mut vitals = nothing();
        vitals.workers = by_worker(threads.into());
        let seen: Vec<_> = vitals.workers.keys().copied().collect();
        assert_eq!(seen, [1, 12]);
        assert_eq!(vitals.worker_cpu(1), Some(Duration::from_millis(50)));
        assert_eq!(vitals.worker_cpu(2), None);
    }
}
