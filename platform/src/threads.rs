//! Processor time of each thread of this process, by the thread's name.
//!
//! Read from `/proc/self/task`. Nanoseconds come from `schedstat`; kernels without it, or with its
//! accounting switched off (all zero), leave the ticks of `stat`, 10 ms as a rule. Both lag behind
//! a thread that is running at this moment by up to one tick of the scheduler.

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use nix::errno::Errno;

/// A thread, and what it has used so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadCpu {
    /// Its name, of which the kernel keeps 15 bytes.
    pub name: String,
    /// Its processor time, user and system, since it started.
    pub cpu_time: Duration,
}

/// Every thread of this process, oldest first; one that ends meanwhile is left out.
///
/// # Errors
/// When `/proc` cannot be read, or [`io::ErrorKind::InvalidData`] when it holds something else than
/// it should.
pub fn thread_cpu_times() -> io::Result<Vec<ThreadCpu>> {
    let mut threads = Vec::new();
    for entry in fs::read_dir("/proc/self/task")? {
        match read_thread(&entry?.path()) {
            Ok(thread) => threads.push(thread),
            Err(error) if is_gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(threads)
}

/// The thread's files are no longer there, or can still be opened but no longer be read.
fn is_gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ESRCH as i32)
}

fn read_thread(task: &Path) -> io::Result<ThreadCpu> {
    let comm = fs::read(task.join("comm"))?;
    let name = String::from_utf8_lossy(comm.strip_suffix(b"\n").unwrap_or(&comm)).into_owned();
    let schedstat = fs::read_to_string(task.join("schedstat"));
    let cpu_time = match schedstat.ok().as_deref().and_then(on_cpu) {
        Some(cpu_time) => cpu_time,
        // Where the thread is gone, `stat` is missing too and says so.
        None => read_ticks(&task.join("stat"))?,
    };
    Ok(ThreadCpu { name, cpu_time })
}

fn read_ticks(path: &Path) -> io::Result<Duration> {
    let stat = String::from_utf8_lossy(&fs::read(path)?).into_owned();
    in_ticks(&stat, procfs::ticks_per_second()).ok_or_else(|| {
        let what = format!("no processor time in {}: `{stat}`", path.display());
        io::Error::new(io::ErrorKind::InvalidData, what)
    })
}

/// The first number of `schedstat`, nanoseconds; `None` where nothing was accounted.
fn on_cpu(schedstat: &str) -> Option<Duration> {
    let nanos: u64 = schedstat.split_whitespace().next()?.parse().ok()?;
    (nanos > 0).then(|| Duration::from_nanos(nanos))
}

/// utime and stime of `stat`, its fields 14 and 15. Fields are counted from behind the name, which
/// may hold blanks and brackets; the state behind it is field 3.
fn in_ticks(stat: &str, per_second: u64) -> Option<Duration> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(14 - 3).map(|field| field.parse::<u64>().ok());
    let ticks = times.next()??.checked_add(times.next()??)?;
    Some(Duration::from_nanos(ticks.checked_mul(1_000_000_000 / per_second)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::time::{ClockId, clock_gettime};
    use std::sync::mpsc;
    use std::thread;

    /// Two ticks, so that the ticks of `stat` show it too.
    const WORK: Duration = Duration::from_millis(20);

    fn own_cpu_time() -> Duration {
        clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().into()
    }

    /// Runs a thread that does its work, tells that it has, and stays until `stay` is dropped.
    fn start(name: &str, work: Duration, stay: mpsc::Receiver<()>) -> thread::JoinHandle<()> {
        let (done, wait) = mpsc::channel();
        let body = move || {
            while own_cpu_time() < work {}
            done.send(()).unwrap();
            let _ = stay.recv();
        };
        let thread = thread::Builder::new().name(name.to_owned()).spawn(body).unwrap();
        wait.recv().unwrap();
        thread
    }

    #[test]
    fn a_thread_that_works_and_one_that_does_not_are_told_apart_by_name() {
        let (go_busy, stay_busy) = mpsc::channel();
        let (go_idle, stay_idle) = mpsc::channel();
        let idle = start("threads-idle", Duration::ZERO, stay_idle);
        let busy = start("threads-busy (1", WORK, stay_busy);
        let threads = thread_cpu_times().unwrap();
        drop((go_busy, go_idle));
        busy.join().unwrap();
        idle.join().unwrap();

        let used = |name| threads.iter().find(|thread| thread.name == name).unwrap().cpu_time;
        assert!(used("threads-busy (1") >= WORK / 2, "{threads:?}");
        assert!(used("threads-idle") < WORK / 2, "{threads:?}");
    }

    #[test]
    fn nanoseconds_are_preferred_unless_nothing_is_accounted() {
        for (schedstat, expected) in [
            ("122169 91049 2\n", Some(Duration::from_nanos(122_169))),
            ("0 0 0\n", None),
            ("", None),
            ("many 0 0", None),
        ] {
            assert_eq!(on_cpu(schedstat), expected, "{schedstat}");
        }
    }

    #[test]
    fn ticks_are_found_behind_any_name() {
        for name in ["worker-0", "a) b (c", "1 2 3"] {
            let stat = format!("77 ({name}) R 1 2 3 4 5 6 7 8 9 10 250 50 13 14 20 0 1");
            assert_eq!(in_ticks(&stat, 100), Some(Duration::from_secs(3)), "{name}");
        }
        for stat in ["", "77 (name", "77 (name) R 1 2 3 4 5 6 7 8 9 10 250", "77 (name) R"] {
            assert_eq!(in_ticks(stat, 100), None, "{stat}");
        }
    }
}
