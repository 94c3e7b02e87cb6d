//! How late this host's timers are: a thread that does nothing but wake at regular instants.
//!
//! It waits for absolute instants as the pacer does, at the same priority. After a stop of the
//! whole process it catches up one instant after the other, so that a stop of a hundred
//! periods counts with a hundred samples and not with one.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use measure::record::Summary;
use measure::{Distribution, Quantity, Statistic};
use platform::{Clock, Priority, prioritise_thread, thread_cpu_time};
use protocol::Moment;

/// From one instant to the next where nothing else is measured.
pub const PERIOD: Duration = Duration::from_millis(1);
/// The same during a run. A wake-up costs 30 µs of a virtual machine's core, measured: 3 % of it at
/// a millisecond, under 1 % at five.
pub const RUN_PERIOD: Duration = Duration::from_millis(5);

/// A probe at work; stops when told to.
pub struct TimerProbe {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<TimerLateness>,
}

/// What a probe saw.
#[derive(Clone, Debug)]
pub struct TimerLateness {
    /// From the instant to the thread running.
    pub lateness: Distribution,
    /// From one instant to the next.
    pub period: Duration,
    /// How much before others the thread ran.
    pub priority: Priority,
    /// Processor time that the thread used.
    pub cpu: Duration,
    /// For how long it looked.
    pub elapsed: Duration,
}

impl TimerProbe {
    /// Starts the thread, with the priority of `wish` if that is granted. Instants before `from`
    /// are waited for and not counted: caches and pages are still cold.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn start(clock: Clock, from: Moment, period: Duration, wish: Priority) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("din-timer".to_owned())
            .spawn(move || wake_and_wake_again(clock, from, period, wish, &stopped))?;
        Ok(Self { stop, thread })
    }

    /// Ends the thread.
    pub fn stop(self) -> TimerLateness {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("the timer probe does not panic")
    }
}

fn wake_and_wake_again(
    clock: Clock,
    from: Moment,
    period: Duration,
    wish: Priority,
    stop: &AtomicBool,
) -> TimerLateness {
    // Without it the default slack of 50 µs is measured, and the pacer's is none.
    let _ = platform::set_timer_slack();
    let priority = prioritise_thread(wish);
    let begun = clock.now();
    let mut lateness = Distribution::new(Quantity::Time);
    let mut due = begun + period;
    while !stop.load(Ordering::Relaxed) {
        clock.sleep_until(due);
        let late = clock.now().since(due);
        if due >= from {
            lateness.record(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX));
        }
        due += period;
    }
    let elapsed = clock.now().since(begun);
    TimerLateness { lateness, period, priority, cpu: thread_cpu_time(), elapsed }
}

impl TimerLateness {
    /// A quantile of the lateness; `None` without samples.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let millis = self.lateness.statistic(Statistic::Quantile(share))?;
        Some(Duration::from_secs_f64(millis / 1e3))
    }

    /// What the thread used of one core, in percent.
    pub fn cpu_percent(&self) -> f64 {
        match self.elapsed {
            Duration::ZERO => 0.0,
            elapsed => self.cpu.div_duration_f64(elapsed) * 100.0,
        }
    }

    /// The lateness in a few numbers.
    pub fn summary(&self) -> Summary {
        Summary::from(&self.lateness)
    }
}

/// What a thread was granted, in words for reports.
pub fn granted(priority: Priority) -> &'static str {
    match priority {
        Priority::RealTime => "real-time (SCHED_RR 1)",
        Priority::Raised => "raised (nice -12)",
        Priority::Ordinary => "ordinary",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lateness of instants until `until`, from `from` on.
    fn probe(from: Moment, until: Moment) -> TimerLateness {
        let clock = Clock::start();
        let probe = TimerProbe::start(clock, from, PERIOD, Priority::Ordinary).unwrap();
        clock.sleep_until(until);
        probe.stop()
    }

    #[test]
    fn every_instant_is_waited_for_and_none_is_early() {
        let seen = probe(Moment::START, Moment::from_millis(50));
        // As many instants as passed, however late the thread was for each; the last may be on its
        // way.
        let passed = seen.elapsed.as_millis();
        let counted = u128::from(seen.lateness.count());
        assert!(counted.abs_diff(passed) <= 1, "{counted} in {passed} ms");
        assert!(counted > 0 && seen.quantile(0.99).is_some());
        assert!(seen.cpu > Duration::ZERO && seen.cpu_percent() > 0.0);
    }

    #[test]
    fn what_is_cold_is_not_counted() {
        let seen = probe(Moment::from_millis(60_000), Moment::from_millis(10));
        assert_eq!((seen.lateness.count(), seen.quantile(0.99)), (0, None));
    }
}
