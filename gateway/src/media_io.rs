//! The media port: threads that read datagrams in batches and hand them to their sessions.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use platform::{
    Clock, Datagram, MAX_BATCH, RealtimeOffset, ReceiveBatch, Received, UdpOptions, bind_udp,
};
use protocol::packet::{DOWNLINK_FLAG, Header};
use protocol::{Moment, Ssrc, gateway_session};
use serde::Deserialize;
use tokio::sync::mpsc;

use crate::common::Common;
use crate::counters::DropCause;
use crate::duration_text;
use crate::mailbox::Posted;
use crate::media_session::MediaSession;
use crate::pool::RunQueue;
use crate::sessions::Sessions;

/// Where audio is received, and within which bounds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MediaSettings {
    /// The UDP address; `127.0.0.1:8884`. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// The host that devices are told to send to; the address listened on. Needed when that is
    /// unspecified (`0.0.0.0`), as devices cannot send there.
    pub advertise: Option<String>,
    /// Receiving threads, 1 to 16; 1. More than one share the port (`SO_REUSEPORT`): the kernel
    /// spreads devices over them.
    pub threads: usize,
    /// How long a session may be without audio before it is ended; `120s`.
    #[serde(deserialize_with = "duration_text::deserialize")]
    pub audio_timeout: Duration,
    /// Frames of one session that may wait for a worker, 1 to 1000; 32, which is 1.9 s of 60 ms
    /// frames. The newest frame is dropped when there are more.
    pub mailbox: usize,
}

impl Default for MediaSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8884),
            advertise: None,
            threads: 1,
            audio_timeout: gateway_session::AUDIO_TIMEOUT,
            mailbox: 32,
        }
    }
}

/// How long a thread may take to notice that it has to stop.
const STOP_LATENCY: Duration = Duration::from_millis(100);

/// How often the wall clock, which stamps datagrams, is compared with the gateway's clock.
const OFFSET_AGE: Duration = Duration::from_secs(1);

/// Opens the sockets of the media port, one for each thread.
///
/// # Errors
/// The system call that failed: most often an address in use or not of this host.
pub(crate) fn bind(settings: &MediaSettings) -> io::Result<Vec<UdpSocket>> {
    let options = UdpOptions { reuse_port: settings.threads > 1, ..UdpOptions::default() };
    let mut sockets = vec![bind_udp(settings.listen, options)?];
    // With port 0 the first socket has picked the port that all share.
    let shared = sockets[0].local_addr()?;
    for _ in 1..settings.threads {
        sockets.push(bind_udp(shared, options)?);
    }
    for socket in &sockets {
        socket.set_read_timeout(Some(STOP_LATENCY))?;
    }
    Ok(sockets)
}

/// The running threads of the media port.
#[derive(Debug)]
pub(crate) struct MediaIo {
    stopping: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

/// What a media thread works with.
#[derive(Clone, Debug)]
pub(crate) struct Intake {
    pub(crate) common: Arc<Common>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) queue: Arc<RunQueue<MediaSession>>,
}

impl MediaIo {
    /// Starts a thread for each socket. One that cannot go on says so on `failed`.
    ///
    /// # Errors
    /// When the system refuses a thread; those started before have ended by then.
    pub(crate) fn start(
        sockets: &[Arc<UdpSocket>],
        intake: &Intake,
        failed: &mpsc::Sender<io::Error>,
    ) -> io::Result<Self> {
        let mut media = Self { stopping: Arc::default(), threads: Vec::new() };
        for (index, socket) in sockets.iter().enumerate() {
            let (socket, intake) = (Arc::clone(socket), intake.clone());
            let (stopping, failed) = (Arc::clone(&media.stopping), failed.clone());
            let receive = move || {
                let run = AssertUnwindSafe(|| intake.run(&socket, &stopping));
                let ended = catch_unwind(run).unwrap_or_else(|_| Err(io::Error::other("a panic")));
                if let Err(error) = ended {
                    // Only the first failure matters: it stops the gateway.
                    let _ = failed.try_send(error);
                }
            };
            match thread::Builder::new().name(format!("media-{index}")).spawn(receive) {
                Ok(thread) => media.threads.push(thread),
                Err(error) => {
                    media.stop();
                    return Err(error);
                }
            }
        }
        Ok(media)
    }

    /// Ends the threads; what the kernel still holds is not read any more.
    pub(crate) fn stop(self) {
        self.stopping.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().expect("media threads catch their panics");
        }
    }
}

impl Intake {
    fn run(&self, socket: &UdpSocket, stopping: &AtomicBool) -> io::Result<()> {
        let mut batch = ReceiveBatch::new(MAX_BATCH);
        let mut spares = Vec::with_capacity(MAX_BATCH);
        let mut drops = KernelDrops::default();
        let Common { clock, counters, buffers, .. } = &*self.common;
        let mut wall = WallClock::new(*clock);
        while !stopping.load(Ordering::Relaxed) {
            let stall = self.common.faults().stall_of_gateway(clock.now());
            if let Some(stall) = stall {
                self.common.sit_out(stall);
            }
            let count = batch.receive(socket, true)?;
            if count == 0 {
                continue;
            }
            counters.kernel_drops.add(drops.since_last(batch.kernel_drops()));
            counters.frames_in.add(count as u64);
            buffers.refill(&mut spares, MAX_BATCH);
            let now = clock.now();
            wall.refresh(now);
            let live = self.sessions.live();
            for received in batch.received() {
                let arrived =
                    received.kernel_time.map_or(now, |stamp| wall.offset.to_moment(stamp));
                match self.take_in(received, arrived, &live, &mut spares) {
                    Ok(()) => {}
                    Err(cause) => counters.dropped.count(cause),
                }
            }
        }
        Ok(())
    }

    /// Hands one datagram to its session, and the session to the pool.
    fn take_in(
        &self,
        received: Received<'_>,
        arrived: Moment,
        live: &HashMap<Ssrc, Arc<MediaSession>>,
        spares: &mut Vec<Datagram>,
    ) -> Result<(), DropCause> {
        let Some(source) = received.source.filter(|_| !received.datagram.truncated()) else {
            return Err(DropCause::BadHeader);
        };
        let header =
            Header::decode(received.datagram.payload()).map_err(|_| DropCause::BadHeader)?;
        if header.flags & DOWNLINK_FLAG != 0 {
            // It would open: both directions share the key.
            return Err(DropCause::Reflected);
        }
        let session = live.get(&header.ssrc).ok_or(DropCause::UnknownSsrc)?;
        if session.accept(received, source, arrived, spares)? == Posted::Activate {
            self.queue.submit(session, arrived);
        }
        Ok(())
    }
}

/// Turns the kernel's running total of drops into what is new.
#[derive(Debug, Default)]
struct KernelDrops {
    seen: u32,
}

impl KernelDrops {
    fn since_last(&mut self, total: Option<u32>) -> u64 {
        let total = total.unwrap_or(self.seen);
        let new = total.wrapping_sub(self.seen);
        self.seen = total;
        u64::from(new)
    }
}

/// Places kernel timestamps on the gateway's clock.
#[derive(Debug)]
struct WallClock {
    clock: Clock,
    offset: RealtimeOffset,
    sampled: Moment,
}

impl WallClock {
    fn new(clock: Clock) -> Self {
        Self { clock, offset: RealtimeOffset::sample(&clock), sampled: clock.now() }
    }

    fn refresh(&mut self, now: Moment) {
        if now.since(self.sampled) >= OFFSET_AGE {
            self.offset = RealtimeOffset::sample(&self.clock);
            self.sampled = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_drops_are_counted_once_and_across_the_wrap() {
        let mut drops = KernelDrops::default();
        for (total, new) in [(None, 0), (Some(3), 3), (Some(3), 0), (None, 0), (Some(5), 2)] {
            assert_eq!(drops.since_last(total), new);
        }
        drops.seen = u32::MAX;
        assert_eq!(drops.since_last(Some(1)), 2);
    }
}
