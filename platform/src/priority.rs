//! Asking the scheduler to run a thread before others.
//!
//! A generator that waits for a processor is late, and what it then measures is itself. Its pacing
//! and receiving threads use a few percent of a core but need them at once, so they ask to go
//! first. All of this is a wish: without the right, a thread runs like any other.

use std::io;

/// How much before others a thread runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Before every ordinary thread of the host (`SCHED_RR`, priority 1). For threads that sleep
    /// most of the time only: the kernel stops those that use over 95 % of a second.
    RealTime,
    /// With fifteen times the weight of an ordinary thread (nice −12), within its scheduling
    /// group.
    Raised,
    /// Like any other.
    Ordinary,
}

/// Asks for `wish` for the calling thread and returns what it has now.
///
/// A real-time wish that is not granted becomes a raised one, and that an ordinary one. Both need
/// `CAP_SYS_NICE`, or a limit that allows them (`ulimit -r`, `ulimit -e`).
pub fn prioritise_thread(wish: Priority) -> Priority {
    if wish == Priority::RealTime && real_time().is_ok() {
        return Priority::RealTime;
    }
    if wish != Priority::Ordinary && raised().is_ok() {
        return Priority::Raised;
    }
    Priority::Ordinary
}

const NICE: i32 = -12;

fn raised() -> io::Result<()> {
    const CALLING_THREAD: libc::id_t = 0;
    #[expect(unsafe_code, reason = "no safe crate of ours sets the nice value of one thread")]
    // SAFETY: setpriority takes plain numbers and touches no memory of ours.
    let answer = unsafe { libc::setpriority(libc::PRIO_PROCESS, CALLING_THREAD, NICE) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn real_time() -> io::Result<()> {
    const CALLING_THREAD: libc::pid_t = 0;
    let parameters = libc::sched_param { sched_priority: 1 };
    // A child started by this thread must not inherit the wish.
    let policy = libc::SCHED_RR | libc::SCHED_RESET_ON_FORK;
    #[expect(unsafe_code, reason = "no safe crate of ours sets the scheduling policy")]
    // SAFETY: `parameters` is initialised, outlives the call, and is only read.
    let answer = unsafe { libc::sched_setscheduler(CALLING_THREAD, policy, &raw const parameters) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// What is granted depends on rights; that the kernel then says the same does not.
    #[test]
    fn the_kernel_confirms_what_was_granted() {
        for wish in [Priority::RealTime, Priority::Raised, Priority::Ordinary] {
            // A thread of its own, as priorities stay.
            let (granted, stat) = thread::spawn(move || {
                let granted = prioritise_thread(wish);
                (granted, std::fs::read_to_string("/proc/thread-self/stat").unwrap())
            })
            .join()
            .unwrap();
            // proc_pid_stat(5): fields 18 and 19 are priority and nice, counted from the state,
            // field 3, which follows the name in parentheses.
            let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
            let (priority, nice): (i32, i32) =
                (fields[15].parse().unwrap(), fields[16].parse().unwrap());
            match granted {
                Priority::RealTime => assert_eq!(priority, -2, "{stat}"),
                Priority::Raised => assert_eq!(nice, NICE, "{stat}"),
                Priority::Ordinary => assert_eq!((priority, nice), (20, 0), "{stat}"),
            }
            assert!(granted == wish || granted != Priority::RealTime);
        }
    }
}
