//! Stands where a gateway would: a thread that returns each datagram to who sent it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use platform::{MAX_BATCH, Priority, ReceiveBatch, UdpOptions, bind_udp, prioritise_thread};

/// How often an idle mirror looks whether it is over.
const WAIT: Duration = Duration::from_millis(20);

/// A mirror at work; stops when told to or dropped.
pub(super) struct Mirror {
    /// Where it listens.
    pub(super) address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Mirror {
    /// Starts the thread, with the priority of `wish` if that is granted.
    pub(super) fn start(wish: Priority) -> io::Result<Self> {
        let socket = bind_udp((Ipv4Addr::LOCALHOST, 0).into(), UdpOptions::default())?;
        socket.set_read_timeout(Some(WAIT))?;
        let address = socket.local_addr()?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new().name("din-mirror".to_owned()).spawn(move || {
            prioritise_thread(wish);
            reflect(&socket, &stopped);
        })?;
        Ok(Self { address, stop, thread: Some(thread) })
    }

    /// Ends the thread.
    pub(super) fn stop(self) {
        drop(self);
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the mirror does not panic");
        }
    }
}

fn reflect(socket: &UdpSocket, stop: &AtomicBool) {
    let mut batch = ReceiveBatch::new(MAX_BATCH);
    while !stop.load(Ordering::Relaxed) {
        // What cannot be read or returned is missing in the count of answers.
        let _ = batch.receive(socket, true);
        for received in batch.received() {
            if let Some(source) = received.source {
                let _ = socket.send_to(received.datagram.payload(), source);
            }
        }
    }
}
