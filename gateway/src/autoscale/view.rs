//! What a scaling policy may look at.
//!
//! A view holds two kinds of facts: how the pool is at one instant, and a [`Tally`] of what has
//! happened since the view before. The live pool keeps one tally per worker and merges them; a
//! simulation keeps one for all.

use std::collections::VecDeque;
use std::mem;
use std::time::Duration;

/// How many samples of latency and processor time are kept, the newest: production's number.
pub const SAMPLES: usize = 100;

/// The pool, as a policy sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PoolView {
    /// Workers that take work.
    pub serving: usize,
    /// Workers that were asked for and do not take work yet.
    pub starting: usize,
    /// Workers that finish what they have and leave; they are no longer part of the pool.
    pub draining: usize,
    /// For each serving worker, the frames in its own queue and in its hands.
    pub pending: Vec<usize>,
    /// Frames that wait in a queue that belongs to no worker.
    pub waiting: usize,
    /// How long the oldest frame that still waits has waited; zero when none does.
    pub oldest_wait: Duration,
    /// What has happened since the view before.
    pub since: Tally,
}

impl PoolView {
    /// Workers that the pool has or will have: what a policy decides about.
    pub fn active(&self) -> usize {
        self.serving + self.starting
    }

    /// Frames accepted and not yet answered.
    pub fn pending(&self) -> usize {
        self.waiting + self.pending.iter().sum::<usize>()
    }
}

/// What has happened over some time. Bounded: counts, sums and the newest [`SAMPLES`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Tally {
    arrived: u64,
    finished: u64,
    work: Duration,
    queue_delay_min: Option<Duration>,
    latencies: VecDeque<Duration>,
    cpu_percent: VecDeque<f64>,
}

impl Tally {
    /// So many frames were accepted.
    pub fn arrived(&mut self, frames: u64) {
        self.arrived += frames;
    }

    /// A worker took a frame that had waited this long.
    pub fn taken(&mut self, queue_delay: Duration) {
        self.queue_delay_min =
            Some(self.queue_delay_min.map_or(queue_delay, |x| x.min(queue_delay)));
    }

    /// A worker is done with a frame: how long it had it in its hands, and how long ago the frame
    /// was accepted.
    pub fn finished(&mut self, work: Duration, latency: Duration) {
        self.finished += 1;
        self.work += work;
        push(&mut self.latencies, latency);
    }

    /// The process used this much processor time lately, in percent of one core; once a second.
    pub fn cpu(&mut self, percent: f64) {
        push(&mut self.cpu_percent, percent);
    }

    /// Moves everything to the end of `other`; this one keeps its room.
    pub fn drain_into(&mut self, other: &mut Tally) {
        other.absorb(self);
        self.latencies.clear();
        self.cpu_percent.clear();
        let (latencies, cpu_percent) =
            (mem::take(&mut self.latencies), mem::take(&mut self.cpu_percent));
        *self = Self { latencies, cpu_percent, ..Self::default() };
    }

    /// Adds what happened later, or on another worker.
    pub fn absorb(&mut self, other: &Tally) {
        self.arrived += other.arrived;
        self.finished += other.finished;
        self.work += other.work;
        if let Some(delay) = other.queue_delay_min {
            self.taken(delay);
        }
        other.latencies.iter().for_each(|sample| push(&mut self.latencies, *sample));
        other.cpu_percent.iter().for_each(|sample| push(&mut self.cpu_percent, *sample));
    }

    /// Frames accepted.
    pub fn frames_arrived(&self) -> u64 {
        self.arrived
    }

    /// Frames finished.
    pub fn frames_finished(&self) -> u64 {
        self.finished
    }

    /// Time for which the finished frames were in the hands of workers. This is wall time: once
    /// more workers run than there are cores it contains waiting for a core.
    pub fn work(&self) -> Duration {
        self.work
    }

    /// The shortest queue delay of any frame taken, over all queues; `None` when none was.
    pub fn queue_delay_min(&self) -> Option<Duration> {
        self.queue_delay_min
    }

    /// The largest of the kept latencies, queue delay and work; `None` without samples.
    pub fn latency_max(&self) -> Option<Duration> {
        self.latencies.iter().max().copied()
    }

    /// The mean of the kept samples, in percent of one core; `None` without samples.
    pub fn cpu_percent_mean(&self) -> Option<f64> {
        let samples = self.cpu_percent.len();
        (samples > 0).then(|| self.cpu_percent.iter().sum::<f64>() / samples as f64)
    }
}

/// Makes room for all samples with the first, so that workers allocate nothing later on.
fn push<T>(samples: &mut VecDeque<T>, sample: T) {
    if samples.is_empty() {
        samples.reserve_exact(SAMPLES);
    } else if samples.len() == SAMPLES {
        samples.pop_front();
    }
    samples.push_back(sample);
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn tallies_of_two_workers_make_one() {
        let (mut one, mut other) = (Tally::default(), Tally::default());
        one.arrived(1);
        one.taken(ms(3));
        one.finished(ms(2), ms(5));
        other.absorb(&Tally::default());
        other.arrived(1);
        other.taken(ms(1));
        other.cpu(40.0);
        one.absorb(&other);
        assert_eq!((one.frames_arrived(), one.frames_finished(), one.work()), (2, 1, ms(2)));
        assert_eq!((one.queue_delay_min(), one.latency_max()), (Some(ms(1)), Some(ms(5))));
        assert_eq!(one.cpu_percent_mean(), Some(40.0));
        assert_eq!(Tally::default().cpu_percent_mean(), None);

        let mut all = Tally::default();
        one.drain_into(&mut all);
        assert_eq!((all.frames_arrived(), all.latency_max()), (2, Some(ms(5))));
        assert_eq!(one, Tally::default());
    }

    #[test]
    fn only_the_newest_samples_are_kept() {
        let mut tally = Tally::default();
        tally.finished(ms(50), ms(50));
        for _ in 0..SAMPLES - 1 {
            tally.finished(ms(1), ms(1));
        }
        assert_eq!(tally.latency_max(), Some(ms(50)));
        tally.finished(ms(1), ms(1));
        assert_eq!(tally.latency_max(), Some(ms(1)));
        assert_eq!(tally.frames_finished(), 101);
    }
}
