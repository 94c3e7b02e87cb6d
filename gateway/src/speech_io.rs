//! Sends speech at its pace: frame n leaves n frame durations after the first, on absolute time.
//!
//! A thread of its own for all speeches, which asks for real time. A speech that was broken off, or
//! whose session has ended, finds that out under the session's lock when its next frame is due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::net::UdpSocket;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use platform::{Clock, Priority, prioritise_thread, set_timer_slack};
use protocol::Moment;

use crate::media_session::MediaSession;

/// Speeches under way; the thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct SpeechLine {
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
    /// The one that is due first on top.
    speeches: BinaryHeap<Reverse<Speech>>,
    begun: u64,
    stopping: bool,
}

/// A speech whose next frame is due then.
#[derive(Debug)]
struct Speech {
    due: Moment,
    number: u64,
    frame: Duration,
    session: Arc<MediaSession>,
}

impl PartialEq for Speech {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Speech {}

impl PartialOrd for Speech {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Speech {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl Speech {
    fn key(&self) -> (Moment, u64) {
        (self.due, self.number)
    }
}

impl SpeechLine {
    /// Starts the thread that sends through `socket`.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub(crate) fn start(clock: Clock, socket: Arc<UdpSocket>) -> io::Result<Self> {
        let shared = Arc::new(Shared { waiting: Mutex::default(), changed: Condvar::new() });
        let line = Arc::clone(&shared);
        let thread = thread::Builder::new().name("speech".to_owned()).spawn(move || {
            // Without either it is later by what the kernel allows itself.
            let _ = set_timer_slack();
            prioritise_thread(Priority::RealTime);
            line.run(clock, &socket);
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Sends the speech that `session` was prepared for, its first frame at `due`. The session gives
    /// it the number by which it knows it.
    pub(crate) fn begin(&self, session: Arc<MediaSession>, due: Moment, frames: u64, turn: u64) {
        let mut waiting = self.shared.waiting();
        waiting.begun += 1;
        let number = waiting.begun;
        let frame = session.begin_speech(number, due, frames, turn);
        waiting.speeches.push(Reverse(Speech { due, number, frame, session }));
        drop(waiting);
        self.shared.changed.notify_one();
    }
}

impl Drop for SpeechLine {
    fn drop(&mut self) {
        self.shared.waiting().stopping = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the speech line does not panic");
        }
    }
}

impl Shared {
    fn run(&self, clock: Clock, socket: &UdpSocket) {
        let mut waiting = self.waiting();
        while !waiting.stopping {
            let now = clock.now();
            let next = waiting.speeches.peek().map(|Reverse(speech)| speech.due);
            match next {
                Some(due) if due <= now => {
                    let Reverse(speech) = waiting.speeches.pop().expect("it was just looked at");
                    drop(waiting);
                    let goes_on = speech.session.speak(speech.number, socket);
                    waiting = self.waiting();
                    if goes_on {
                        let due = speech.due + speech.frame;
                        waiting.speeches.push(Reverse(Speech { due, ..speech }));
                    }
                }
                Some(due) => {
                    let wait = self.changed.wait_timeout(waiting, due.since(now));
                    waiting = wait.expect("nothing panics while it holds the speech line").0;
                }
                None => {
                    let wait = self.changed.wait(waiting);
                    waiting = wait.expect("nothing panics while it holds the speech line");
                }
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().expect("nothing panics while it holds the speech line")
    }
}
