//! The parts of a running gateway: wired together, started and stopped in the right order.

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use platform::Clock;
use tokio::sync::mpsc;
use tokio::task::spawn_blocking;

use crate::backend::Scratch;
use crate::buffers::Buffers;
use crate::control_io::{Acceptor, Control};
use crate::counters::Counters;
use crate::devices::Devices;
use crate::digest;
use crate::media_io::{Intake, MediaIo};
use crate::media_session::{Desk, MediaSession};
use crate::pool::{Pool, PoolSettings};
use crate::sessions::{GrantTerms, Sessions};
use crate::settings::Settings;

/// Everything that has a thread, and what is needed to end it.
#[derive(Debug)]
pub(crate) struct Parts {
    counters: Arc<Counters>,
    sessions: Arc<Sessions>,
    acceptor: Acceptor,
    media: MediaIo,
    /// Says why when a media thread cannot go on.
    failures: mpsc::Receiver<io::Error>,
    pool: Pool<MediaSession>,
    drain: Duration,
}

impl Parts {
    /// Starts all threads; call it inside a tokio runtime.
    ///
    /// # Errors
    /// What the system refused; nothing runs then.
    pub(crate) fn start(
        settings: Settings,
        listener: TcpListener,
        sockets: &[Arc<UdpSocket>],
        counters: Arc<Counters>,
    ) -> io::Result<Self> {
        let Settings { control, media, backend, pool, signature_key } = settings;
        let clock = Clock::start();
        let buffers = Arc::new(Buffers::new());
        let udp_addr = sockets[0].local_addr()?;
        let terms = GrantTerms {
            server: media.advertise.unwrap_or_else(|| udp_addr.ip().to_string()),
            port: udp_addr.port(),
            backend,
            mailbox: media.mailbox,
        };
        let sessions = Arc::new(Sessions::new(terms, Arc::clone(&counters), Arc::clone(&buffers)));
        let control = Control {
            settings: control,
            audio_timeout: media.audio_timeout,
            signature_key,
            clock,
            sessions: Arc::clone(&sessions),
            devices: Arc::new(Devices::default()),
            counters: Arc::clone(&counters),
        };
        let acceptor = Acceptor::new(listener, control)?;
        let drain = pool.drain;
        let pool = start_pool(&pool, clock, &sockets[0], &buffers)?;
        let intake = Intake {
            clock,
            sessions: Arc::clone(&sessions),
            queue: pool.queue(),
            buffers,
            counters: Arc::clone(&counters),
        };
        let (failed, failures) = mpsc::channel(1);
        match MediaIo::start(sockets, &intake, &failed) {
            Ok(media) => Ok(Self { counters, sessions, acceptor, media, failures, pool, drain }),
            Err(error) => {
                pool.drain(drain);
                Err(error)
            }
        }
    }

    /// Serves until a part fails, and returns why it did.
    pub(crate) async fn serve(&mut self) -> io::Error {
        tokio::select! {
            failure = self.failures.recv() => {
                failure.unwrap_or_else(|| io::Error::other("all media threads have ended"))
            }
            never = self.acceptor.accept() => match never {},
            never = digest::warn_of_what_is_counted(&self.counters) => match never {},
        }
    }

    /// Ends all threads, in the order that [`Gateway::run`](crate::Gateway::run) promises.
    pub(crate) async fn stop(self) {
        self.sessions.stop_granting();
        let drained = spawn_blocking(move || {
            self.media.stop();
            self.pool.drain(self.drain)
        });
        let busy = drained.await.expect("neither media threads nor workers hand on a panic");
        if busy > 0 {
            tracing::warn!(busy, "workers did not finish in time and are left behind");
        }
        self.acceptor.hang_up().await;
    }
}

/// Workers answer through `socket`: whichever socket of the port a packet leaves by, devices see
/// the same address.
fn start_pool(
    settings: &PoolSettings,
    clock: Clock,
    socket: &Arc<UdpSocket>,
    buffers: &Arc<Buffers>,
) -> io::Result<Pool<MediaSession>> {
    let (socket, buffers) = (Arc::clone(socket), Arc::clone(buffers));
    Pool::start(settings.workers, settings.dispatch, clock, move || Desk {
        socket: Arc::clone(&socket),
        buffers: Arc::clone(&buffers),
        scratch: Scratch::new(),
    })
}
