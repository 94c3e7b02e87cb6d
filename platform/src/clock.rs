//! The run's clock: reading it, waiting on it, and placing kernel timestamps on it.

use std::io;
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_gettime, clock_nanosleep};
use protocol::Moment;

/// Turns readings of `CLOCK_MONOTONIC` into [`Moment`]s of one run; copies share the same start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Duration,
}

impl Clock {
    /// Fixes the start of the run at this instant.
    pub fn start() -> Self {
        Self { start: read(ClockId::CLOCK_MONOTONIC) }
    }

    /// Time passed in the run.
    pub fn now(&self) -> Moment {
        Moment::from(read(ClockId::CLOCK_MONOTONIC).saturating_sub(self.start))
    }

    /// `CLOCK_MONOTONIC` at `moment`: what other processes of this host can place on their clocks.
    pub fn to_monotonic(&self, moment: Moment) -> Duration {
        self.start + moment.since_start()
    }

    /// The moment of the run at which `CLOCK_MONOTONIC` shows `monotonic`; the start, for any time
    /// before.
    pub fn from_monotonic(&self, monotonic: Duration) -> Moment {
        Moment::from(monotonic.saturating_sub(self.start))
    }

    /// Blocks the calling thread until `due`, never less; returns at once when `due` has passed.
    ///
    /// Sleeps on absolute time, so that neither preemption before the call nor a signal during it
    /// adds to the wait. How late the thread wakes is up to the kernel: see [`set_timer_slack`].
    pub fn sleep_until(&self, due: Moment) {
        let due = TimeSpec::from_duration(self.to_monotonic(due));
        let absolute = ClockNanosleepFlags::TIMER_ABSTIME;
        loop {
            match clock_nanosleep(ClockId::CLOCK_MONOTONIC, absolute, &due) {
                Ok(_) => return,
                Err(Errno::EINTR) => {}
                Err(other) => unreachable!("a monotonic sleep can only be interrupted: {other}"),
            }
        }
    }
}

/// Asks the kernel to wake the calling thread within 1 ns of its timers instead of within 50 µs.
///
/// Slack belongs to a thread and is inherited by the threads it starts afterwards.
///
/// # Errors
/// Whatever `prctl(PR_SET_TIMERSLACK)` reports; kernels since 2.6.28 accept it.
pub fn set_timer_slack() -> io::Result<()> {
    Ok(prctl::set_timerslack(1)?)
}

/// Processor time that the calling thread has used, in user and kernel mode.
///
/// Only differences mean anything, and only between readings of the same thread. A reading is a
/// system call, unlike one of a [`Clock`].
pub fn thread_cpu_time() -> Duration {
    read(ClockId::CLOCK_THREAD_CPUTIME_ID)
}

/// When the kernel received a datagram: `CLOCK_REALTIME`, nanoseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelTime(u64);

impl KernelTime {
    /// The time `nanos` nanoseconds after the Unix epoch; the year 2554 is the last.
    pub const fn from_unix_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// Nanoseconds since the Unix epoch.
    pub const fn as_unix_nanos(self) -> u64 {
        self.0
    }

    /// What the kernel would stamp now.
    fn now() -> Self {
        let since_epoch = read(ClockId::CLOCK_REALTIME).as_nanos();
        Self(u64::try_from(since_epoch).unwrap_or(u64::MAX))
    }
}

/// How far `CLOCK_REALTIME` is ahead of a run's clock, measured once.
///
/// Kernel timestamps are `CLOCK_REALTIME`. NTP slews that clock and `CLOCK_MONOTONIC` alike, so
/// the offset between them stays put until somebody steps the wall clock or the machine is
/// suspended (`clock_gettime(2)`). Sample again now and then, and compare with
/// [`drift_since_ns`](Self::drift_since_ns): beyond 100 µs the clock was stepped and the latencies
/// in between cannot be trusted.
#[derive(Clone, Copy, Debug)]
pub struct RealtimeOffset {
    ahead_ns: i128,
    bracket: Duration,
}

impl RealtimeOffset {
    /// Brackets to choose from: one preemption, interrupt or cold cache must not decide.
    const READS: usize = 10;

    /// Measures the offset: reads the wall clock between two readings of `clock`, ten times, and
    /// keeps the tightest bracket. Takes about a microsecond.
    pub fn sample(clock: &Clock) -> Self {
        let tightest = (0..Self::READS)
            .map(|_| {
                let before = clock.now();
                let wall = KernelTime::now();
                Self::from_bracket(before, wall, clock.now())
            })
            .min_by_key(|offset| offset.bracket);
        tightest.expect("READS is not zero")
    }

    /// The offset when `wall` was read between `before` and `after`.
    fn from_bracket(before: Moment, wall: KernelTime, after: Moment) -> Self {
        let bracket = after.since(before);
        let middle = before + bracket / 2;
        Self { ahead_ns: i128::from(wall.0) - i128::from(middle.as_nanos()), bracket }
    }

    /// The moment of the run at which the kernel stamped `stamp`; the start, for any time before.
    pub fn to_moment(&self, stamp: KernelTime) -> Moment {
        let nanos = i128::from(stamp.0) - self.ahead_ns;
        Moment::from_nanos(u64::try_from(nanos.max(0)).unwrap_or(u64::MAX))
    }

    /// Nanoseconds that the wall clock gained on the run's clock since `earlier` was sampled from
    /// the same [`Clock`]; negative when it was set back.
    pub fn drift_since_ns(&self, earlier: &RealtimeOffset) -> i64 {
        let gained = self.ahead_ns - earlier.ahead_ns;
        i64::try_from(gained).unwrap_or(if gained < 0 { i64::MIN } else { i64::MAX })
    }

    /// The offset is known to within half of this.
    pub fn bracket(&self) -> Duration {
        self.bracket
    }
}

fn read(clock: ClockId) -> Duration {
    clock_gettime(clock).expect("every Linux has this clock").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL_NS: u64 = 1_700_000_000_000_000_000;

    #[test]
    fn a_sleep_never_ends_early_and_a_past_moment_does_not_wait() {
        set_timer_slack().unwrap();
        let clock = Clock::start();
        clock.sleep_until(Moment::START);
        let due = clock.now() + Duration::from_micros(50);
        clock.sleep_until(due);
        assert!(clock.now() >= due);
    }

    #[test]
    fn copies_share_the_start() {
        let clock = Clock::start();
        let copy = clock;
        let (first, second, third) = (clock.now(), copy.now(), clock.now());
        assert!(first <= second && second <= third);
    }

    #[test]
    fn a_thread_uses_processor_time_by_working_and_none_of_anothers() {
        let end = thread_cpu_time() + Duration::from_millis(20);
        let mut used = Duration::ZERO;
        while used < end {
            used = thread_cpu_time();
        }
        let fresh = std::thread::spawn(thread_cpu_time).join().unwrap();
        assert!(fresh < used, "a thread starts at nothing: {fresh:?}");
    }

    /// The wall clock `shift_ns` away from `WALL_NS`.
    fn wall(shift_ns: i64) -> KernelTime {
        KernelTime::from_unix_nanos(WALL_NS.saturating_add_signed(shift_ns))
    }

    #[test]
    fn a_stamp_lands_where_the_wall_clock_was_read() {
        let (before, after) = (Moment::from_nanos(100), Moment::from_nanos(300));
        let offset = RealtimeOffset::from_bracket(before, wall(0), after);
        for (shift_ns, run_ns) in [(0, 200), (1_000, 1_200), (-150, 50), (-201, 0)] {
            let moment = offset.to_moment(wall(shift_ns));
            assert_eq!(moment, Moment::from_nanos(run_ns), "{shift_ns}");
        }
        assert_eq!(offset.bracket(), Duration::from_nanos(200));
    }

    #[test]
    fn drift_tells_how_far_and_which_way_the_clock_was_stepped() {
        let at =
            |shift_ns| RealtimeOffset::from_bracket(Moment::START, wall(shift_ns), Moment::START);
        for step_ns in [1_000_000, -1_000_000, 0] {
            assert_eq!(at(step_ns).drift_since_ns(&at(0)), step_ns);
        }
    }

    #[test]
    fn a_sampled_offset_places_the_wall_clock_inside_its_bracket() {
        let clock = Clock::start();
        let offset = RealtimeOffset::sample(&clock);
        let before = clock.now();
        let wall = KernelTime::now();
        let after = clock.now();
        let placed = offset.to_moment(wall);
        assert!(placed + offset.bracket() >= before && placed <= after + offset.bracket());
    }
}
