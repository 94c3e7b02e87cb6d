//! How fast this machine is now and then: a thread that times the same piece of arithmetic.
//!
//! Virtual processors that share cores with somebody else's are slower while those work, and no time counts as
//! stolen from them: on one such machine a datagram's way over loopback took 3.05 µs alone and 3.75 µs beside a
//! busy neighbour, for seconds or hours, and this arithmetic 48 µs and 95, with 50 devices as with 4,500. It keeps
//! many of a core's units busy, which shows a neighbour best, and touches no memory, so that what the run itself
//! does to caches does not show.
//!
//! Of a few tries, one right after the other, the fastest counts, and none that was preempted: a thread that others
//! keep waiting is not slow. Where all were, as happens on a host that is full, the look says nothing. (The thread's
//! own processor time would not do: what the kernel deducts from it for interrupts made some tries look a quarter
//! faster than any can be.) One processor after the other is looked at, whatever their number: half a percent of one
//! core.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use measure::Metric;
use measure::record::Measurements;
use platform::{Clock, allowed_processors, stay_on, times_preempted};

use crate::schedule::PhaseTimes;

/// From one look to the next.
const PERIOD: Duration = Duration::from_millis(50);
/// Tries of which the fastest counts.
const TRIES: usize = 4;
/// Rounds of the arithmetic: some 50 µs, of which a recorder of times tells 1 %; without optimisation too.
const ROUNDS: u64 = if cfg!(debug_assertions) { 400 } else { 28_000 };

/// A probe at work; stops when told to.
pub struct PaceProbe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<BTreeMap<usize, Measurements>>,
}

impl PaceProbe {
    /// Starts the thread; its looks are told apart by the phase in which they are.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(clock: Clock, phases: PhaseTimes) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("din-pace".to_owned())
            .spawn(move || look_and_look_again(clock, &phases, &stopped))?;
        Ok(Self { stop, thread })
    }

    /// Ends the thread; how long the arithmetic took, by phase.
    pub fn stop(self) -> BTreeMap<usize, Measurements> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the pace probe does not panic")
    }
}

fn look_and_look_again(
    clock: Clock,
    phases: &PhaseTimes,
    stop: &AtomicBool,
) -> BTreeMap<usize, Measurements> {
    let mut seen: BTreeMap<usize, Measurements> = BTreeMap::new();
    // Where the kernel does not say which, the thread is looked at wherever it runs.
    let processors = allowed_processors().unwrap_or_default();
    let mut turns = processors.iter().cycle();
    // Cold: the first piece of work brings its code.
    arithmetic();
    while !stop.load(Ordering::Relaxed) {
        if let Some(&processor) = turns.next() {
            // One that was switched off meanwhile is looked at from where the thread is.
            let _ = stay_on(processor);
        }
        let fastest = fastest((0..TRIES).map(|_| {
            let (before, began) = (times_preempted().ok(), clock.now());
            arithmetic();
            let took = clock.now().since(began);
            (took, times_preempted().ok() != before)
        }));
        let now = clock.now();
        if let Some(fastest) = fastest {
            let nanos = u64::try_from(fastest.as_nanos()).unwrap_or(u64::MAX);
            seen.entry(phases.phase_at(now)).or_default().sample(Metric::MachinePace, nanos);
        }
        clock.sleep_until(now + PERIOD);
    }
    seen
}

/// The fastest of the tries, each with whether it was preempted; `None` where all were.
fn fastest(tries: impl Iterator<Item = (Duration, bool)>) -> Option<Duration> {
    tries.filter(|(_, preempted)| !preempted).map(|(took, _)| took).min()
}

/// The piece of work: eight chains of which none waits for another.
fn arithmetic() {
    let mut chains = [1_u64, 2, 3, 5, 7, 11, 13, 17];
    for round in 0..ROUNDS {
        for chain in &mut chains {
            *chain = chain.rotate_left(7).wrapping_add(round ^ *chain);
        }
    }
    black_box(chains);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Phase;
    use measure::Statistic;
    use protocol::Moment;

    #[test]
    fn each_phase_has_its_looks() {
        let clock = Clock::start();
        let hold = Duration::from_millis(300);
        let phases = ["first", "second"].map(|name| Phase::plain(name, 1, Duration::ZERO, hold));
        let probe = PaceProbe::start(clock, PhaseTimes::new(&phases)).unwrap();
        clock.sleep_until(Moment::from_millis(600));
        let seen = probe.stop();
        assert!(seen.keys().eq(&[0, 1]));
        for phase in seen.values() {
            let times = phase.sampled(Metric::MachinePace).unwrap();
            let least = times.statistic(Statistic::Min).unwrap();
            assert!(times.count() > 0 && least > 0.0, "{least} ms");
        }
    }

    #[test]
    fn a_try_that_was_preempted_says_nothing_of_the_machine() {
        let us = Duration::from_micros;
        assert_eq!(fastest([(us(95), false), (us(48), false)].into_iter()), Some(us(48)));
        assert_eq!(fastest([(us(3000), true), (us(95), false)].into_iter()), Some(us(95)));
        assert_eq!(fastest([(us(3000), true), (us(500), true)].into_iter()), None);
    }
}
