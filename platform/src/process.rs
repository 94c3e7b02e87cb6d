//! What a process has used so far: processor time, memory, threads.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use nix::errno::Errno;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::Pid;
use procfs::ProcError;
use procfs::process::Process;

/// Samples one process; a process that later gets the same number is not mistaken for it.
#[derive(Debug)]
pub struct ProcessSampler {
    pid: u32,
    process: Process,
    cpu_clock: ClockId,
}

/// What a process had used when it was sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Processor time of all its threads, user and system, also of those that ended; exact to the
    /// nanosecond, not to the 10 ms tick of `/proc`.
    pub cpu_time: Duration,
    /// Resident memory; the kernel's count may be some hundred kilobytes behind per core.
    pub resident_bytes: u64,
    /// Threads alive.
    pub threads: u32,
}

impl ProcessSampler {
    /// A sampler for the process `pid`, which may belong to anybody.
    ///
    /// # Errors
    /// [`GoneError`] when there is no such process.
    pub fn new(pid: u32) -> Result<Self, GoneError> {
        let gone = |cause| GoneError { pid, cause };
        let number = i32::try_from(pid).map_err(|_| gone(Cause::NoPid))?;
        // The handle on /proc/<pid> stays with this process and outlives its number.
        let process = Process::new(number).map_err(|error| gone(Cause::Proc(error)))?;
        let cpu_clock = ClockId::pid_cpu_clock_id(Pid::from_raw(number))
            .map_err(|errno| gone(Cause::CpuClock(errno)))?;
        Ok(Self { pid, process, cpu_clock })
    }

    /// What the process has used until now. Takes some 20 µs.
    ///
    /// # Errors
    /// [`GoneError`] when the process has ended, also while nobody has waited for it yet.
    pub fn sample(&self) -> Result<Usage, GoneError> {
        let gone = |cause| GoneError { pid: self.pid, cause };
        // The clock goes by number, the handle does not: as long as the handle still works after
        // the clock was read, the number belonged to our process.
        let cpu_time =
            clock_gettime(self.cpu_clock).map_err(|errno| gone(Cause::CpuClock(errno)))?;
        let stat = self.process.stat().map_err(|error| gone(Cause::Proc(error)))?;
        if matches!(stat.state, 'Z' | 'X') {
            return Err(gone(Cause::Ended));
        }
        Ok(Usage {
            cpu_time: cpu_time.into(),
            resident_bytes: stat.rss * procfs::page_size(),
            threads: u32::try_from(stat.num_threads).unwrap_or(0),
        })
    }
}

impl Usage {
    /// Processor time since `earlier`, `elapsed` ago, in percent of one core: 250 means that two
    /// and a half cores were busy. Zero when no time has passed.
    pub fn core_percent_since(&self, earlier: &Usage, elapsed: Duration) -> f64 {
        if elapsed.is_zero() {
            return 0.0;
        }
        100.0 * self.cpu_time.saturating_sub(earlier.cpu_time).div_duration_f64(elapsed)
    }
}

/// The process to be sampled does not exist (any more).
#[derive(Debug)]
pub struct GoneError {
    pid: u32,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    NoPid,
    Ended,
    Proc(ProcError),
    CpuClock(Errno),
}

impl fmt::Display for GoneError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} is gone: ", self.pid)?;
        match &self.cause {
            Cause::NoPid => write!(f, "process numbers end at {}", i32::MAX),
            Cause::Ended => f.write_str("it has ended"),
            Cause::Proc(_) => f.write_str("its entry in /proc cannot be read"),
            Cause::CpuClock(_) => f.write_str("its processor time cannot be read"),
        }
    }
}

impl Error for GoneError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            Cause::NoPid | Cause::Ended => None,
            Cause::Proc(error) => Some(error),
            Cause::CpuClock(errno) => Some(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    use std::process::{Child, Command, Stdio};

    /// A process that lives until its standard input is closed.
    fn child() -> Child {
        Command::new("cat").stdin(Stdio::piped()).spawn().unwrap()
    }

    #[test]
    fn a_process_that_works_uses_more_and_more() {
        let sampler = ProcessSampler::new(std::process::id()).unwrap();
        let before = sampler.sample().unwrap();
        let work = std::hint::black_box(vec![1_u8; 32 << 20]);
        let after = sampler.sample().unwrap();
        assert!(after.cpu_time > before.cpu_time);
        assert!(after.resident_bytes > before.resident_bytes + (16 << 20));
        assert!(after.threads >= 1);
        drop(work);
    }

    #[test]
    fn a_process_is_gone_when_it_ends_and_stays_gone_when_it_is_reaped() {
        let mut child = child();
        let sampler = ProcessSampler::new(child.id()).unwrap();
        assert_eq!(sampler.sample().unwrap().threads, 1);

        drop(child.stdin.take());
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT).unwrap();
        let error = sampler.sample().unwrap_err().to_string();
        assert_eq!(error, format!("process {} is gone: it has ended", child.id()));

        child.wait().unwrap();
        let error = sampler.sample().unwrap_err();
        assert!(error.to_string().contains("cannot be read"), "{error}");
        assert!(error.source().is_some());
    }

    #[test]
    fn numbers_of_no_process_are_refused() {
        for pid in [u32::MAX, 0x7FFF_FFFF] {
            let error = ProcessSampler::new(pid).unwrap_err().to_string();
            assert!(error.starts_with(&format!("process {pid} is gone")), "{error}");
        }
    }

    #[test]
    fn percent_is_of_one_core() {
        let usage = |millis| Usage {
            cpu_time: Duration::from_millis(millis),
            resident_bytes: 0,
            threads: 1,
        };
        for (from, to, elapsed, percent) in
            [(0, 500, 1000, 50.0), (100, 600, 200, 250.0), (5, 5, 1000, 0.0), (0, 9, 0, 0.0)]
        {
            let seen = usage(to).core_percent_since(&usage(from), Duration::from_millis(elapsed));
            assert!((seen - percent).abs() < 1e-9, "{seen} is not {percent}");
        }
    }
}
