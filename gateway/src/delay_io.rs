//! Holds answers back for an exact time and sends them when it is over: a known delay, against
//! which a measurement can be checked.
//!
//! A thread of its own, which asks for real time: workers go on meanwhile. When it is stopped, what
//! is still held goes out at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};

use platform::{Clock, Priority, prioritise_thread, set_timer_slack};
use protocol::Moment;

/// Where answers wait.
#[derive(Debug)]
pub(crate) struct DelayLine {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    /// The one that is due first on top; of equals the one that came first.
    answers: BinaryHeap<Reverse<Answer>>,
    handed_in: u64,
    stopping: bool,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Answer {
    due: Moment,
    number: u64,
    to: SocketAddr,
    datagram: Vec<u8>,
}

/// Answers held back at once: 2 s of 2,000 devices.
const MOST: usize = 1 << 16;

impl DelayLine {
    /// Starts the thread that sends through `socket`.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub(crate) fn start(clock: Clock, socket: Arc<UdpSocket>) -> io::Result<Self> {
        let shared = Arc::new(Shared { waiting: Mutex::default(), changed: Condvar::new() });
        let line = Arc::clone(&shared);
        let thread = thread::Builder::new().name("delay".to_owned()).spawn(move || {
            // Without either it is later by what the kernel allows itself.
            let _ = set_timer_slack();
            prioritise_thread(Priority::RealTime);
            line.run(clock, &socket);
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Sends a copy of `datagram` at `due`; tells whether there was room for it.
    #[must_use]
    pub(crate) fn send_at(&self, due: Moment, datagram: &[u8], to: SocketAddr) -> bool {
        let mut waiting = self.shared.waiting();
        if waiting.answers.len() == MOST {
            return false;
        }
        let number = waiting.handed_in;
        waiting.handed_in += 1;
        let first = waiting.answers.peek().is_none_or(|Reverse(answer)| due < answer.due);
        waiting.answers.push(Reverse(Answer { due, number, to, datagram: datagram.to_vec() }));
        drop(waiting);
        if first {
            self.shared.changed.notify_one();
        }
        true
    }
}

impl Drop for DelayLine {
    fn drop(&mut self) {
        self.shared.waiting().stopping = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the delay line does not panic");
        }
    }
}

impl Shared {
    fn run(&self, clock: Clock, socket: &UdpSocket) {
        let mut waiting = self.waiting();
        loop {
            let now = clock.now();
            let next = waiting.answers.peek().map(|Reverse(answer)| answer.due);
            match next {
                Some(due) if due <= now || waiting.stopping => {
                    let Reverse(answer) = waiting.answers.pop().expect("it was just looked at");
                    drop(waiting);
                    // A device that is gone has nothing to receive.
                    let _ = socket.send_to(&answer.datagram, answer.to);
                    waiting = self.waiting();
                }
                Some(due) => {
                    let wait = self.changed.wait_timeout(waiting, due.since(now));
                    waiting = wait.expect("nothing panics while it holds the delay line").0;
                }
                None if waiting.stopping => return,
                None => {
                    let wait = self.changed.wait(waiting);
                    waiting = wait.expect("nothing panics while it holds the delay line");
                }
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("nothing panics while it holds the delay line")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use platform::{UdpOptions, bind_udp};
    use std::time::Duration;

    fn socket() -> UdpSocket {
        let socket = bind_udp("127.0.0.1:0".parse().unwrap(), UdpOptions::default()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket
    }

    fn next(socket: &UdpSocket) -> u8 {
        let mut byte = [0];
        assert_eq!(socket.recv(&mut byte).expect("it is sent in time"), 1);
        byte[0]
    }

    #[test]
    fn answers_leave_when_they_are_due_in_that_order_and_not_before() {
        let (clock, device) = (Clock::start(), socket());
        let line = DelayLine::start(clock, Arc::new(socket())).unwrap();
        let to = device.local_addr().unwrap();
        let due = |ms| clock.now() + Duration::from_millis(ms);
        let (late, early) = (due(40), due(20));
        for (due, byte) in [(late, 3), (early, 1), (early, 2)] {
            assert!(line.send_at(due, &[byte], to));
        }
        assert_eq!(next(&device), 1);
        assert!(clock.now() >= early);
        assert_eq!((next(&device), next(&device)), (2, 3));
        assert!(clock.now() >= late);
    }

    #[test]
    fn what_is_held_goes_out_when_the_line_is_stopped() {
        let (clock, device) = (Clock::start(), socket());
        let line = DelayLine::start(clock, Arc::new(socket())).unwrap();
        let never = clock.now() + Duration::from_hours(1);
        assert!(line.send_at(never, &[7], device.local_addr().unwrap()));
        drop(line);
        assert_eq!(next(&device), 7);
    }
}
