//! Which processors the calling thread may run on, staying on one of them, and being taken off it.

use std::io;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{UsageWho, getrusage};
use nix::unistd::Pid;

/// The calling thread, as `sched_setaffinity` names it.
const THIS_THREAD: Pid = Pid::from_raw(0);

/// The processors that the calling thread may run on, by their numbers.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] on machines of more processors than the C library's set holds, 1,024.
pub fn allowed_processors() -> io::Result<Vec<usize>> {
    let set = sched_getaffinity(THIS_THREAD)?;
    Ok((0..CpuSet::count()).filter(|&number| set.is_set(number) == Ok(true)).collect())
}

/// Moves the calling thread to a processor, where it stays.
///
/// # Errors
/// [`io::ErrorKind::InvalidInput`] for a processor that it may not run on, or that is switched off.
pub fn stay_on(processor: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(processor)?;
    Ok(sched_setaffinity(THIS_THREAD, &set)?)
}

/// How often the scheduler took the processor from the calling thread since it started, for another thread.
///
/// # Errors
/// None in practice: the argument is valid.
pub fn times_preempted() -> io::Result<i64> {
    Ok(getrusage(UsageWho::RUSAGE_THREAD)?.involuntary_context_switches())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hint;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    #[test]
    fn a_thread_stays_where_it_was_put() {
        let allowed = allowed_processors().unwrap();
        assert!(!allowed.is_empty());
        let last = *allowed.last().unwrap();
        // A thread of its own, as it stays there.
        let stayed = thread::spawn(move || {
            stay_on(last).unwrap();
            allowed_processors().unwrap()
        });
        assert_eq!(stayed.join().unwrap(), [last]);
        assert_eq!(allowed_processors().unwrap(), allowed, "no other thread is moved");
        let nowhere = thread::spawn(|| stay_on(CpuSet::count() - 1).unwrap_err().kind());
        if allowed.len() < CpuSet::count() {
            assert_eq!(nowhere.join().unwrap(), io::ErrorKind::InvalidInput);
        }
    }

    #[test]
    fn a_thread_that_shares_its_processor_with_a_busy_one_is_preempted() {
        let done = AtomicBool::new(false);
        let processor = allowed_processors().unwrap()[0];
        thread::scope(|scope| {
            scope.spawn(|| {
                stay_on(processor).unwrap();
                while !done.load(Ordering::Relaxed) {
                    hint::spin_loop();
                }
            });
            let busy = scope.spawn(|| {
                stay_on(processor).unwrap();
                let before = times_preempted().unwrap();
                // Ends when it happens: two that are busy take turns.
                while times_preempted().unwrap() == before {
                    hint::spin_loop();
                }
                done.store(true, Ordering::Relaxed);
            });
            busy.join().unwrap();
        });
    }
}
