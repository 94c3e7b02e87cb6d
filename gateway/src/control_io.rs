//! The MQTT port: accepts connections and serves each in a task of its own.

mod conversation;
mod line;

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use protocol::identity::SignatureKey;
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{sleep, timeout};

use crate::common::Common;
use crate::counters::RefuseCause;
use crate::devices::Devices;
use crate::duration_text;
use crate::sessions::Sessions;
use crate::speech_io::SpeechLine;

/// Where devices connect, and within which bounds.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ControlSettings {
    /// The MQTT address; `127.0.0.1:1883`. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// Connections open at once, 1 to 1,000,000; 20,000. More are accepted and closed at once, and
    /// counted. Each needs a file descriptor.
    pub max_connections: usize,
    /// Bytes of the longest MQTT packet that is read, 128 to 1,048,576; 8192. A longer one closes
    /// the connection as soon as it is announced.
    pub max_packet: usize,
    /// How long a connection may take to send its CONNECT; `10s`.
    #[serde(deserialize_with = "duration_text::deserialize")]
    pub connect_timeout: Duration,
    /// How long a device may take to read what it is sent, once the kernel's buffers are full;
    /// `5s`.
    #[serde(deserialize_with = "duration_text::deserialize")]
    pub write_timeout: Duration,
}

impl Default for ControlSettings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1883),
            max_connections: 20_000,
            max_packet: 8192,
            connect_timeout: Duration::from_secs(10),
            write_timeout: Duration::from_secs(5),
        }
    }
}

/// How long to wait after the kernel refused to accept: it will go on refusing for a while, most
/// often for want of file descriptors, and asking at once would take all of the processor.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long connections may take to say goodbye when the gateway stops.
const HANG_UP_LIMIT: Duration = Duration::from_secs(2);

/// What every connection works with.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) settings: ControlSettings,
    pub(crate) audio_timeout: Duration,
    pub(crate) signature_key: Option<SignatureKey>,
    pub(crate) common: Arc<Common>,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) devices: Arc<Devices>,
    /// With the backend `assistant`.
    pub(crate) speech: Option<SpeechLine>,
}

/// The listening socket and the connections that came from it.
#[derive(Debug)]
pub(crate) struct Acceptor {
    control: Arc<Control>,
    listener: TcpListener,
    connections: JoinSet<()>,
    stopping: watch::Sender<bool>,
}

impl Acceptor {
    /// An acceptor on a socket that was bound before; call it inside a tokio runtime.
    ///
    /// # Errors
    /// When the socket cannot be registered with the runtime.
    pub(crate) fn new(listener: StdListener, control: Control) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self {
            control: Arc::new(control),
            listener: TcpListener::from_std(listener)?,
            connections: JoinSet::new(),
            stopping: watch::Sender::new(false),
        })
    }

    /// Accepts and serves connections until it is dropped; the connections stay.
    pub(crate) async fn accept(&mut self) -> Infallible {
        loop {
            tokio::select! {
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => self.serve(stream),
                    Err(error) => {
                        self.control.common.counters.accept_failed.add(1);
                        tracing::debug!(%error, "cannot accept");
                        sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = self.connections.join_next() => report(ended),
            }
        }
    }

    fn serve(&mut self, stream: TcpStream) {
        let counters = &self.control.common.counters;
        counters.connections.add(1);
        if self.connections.len() >= self.control.settings.max_connections {
            counters.refused.count(RefuseCause::ConnectionLimit);
            return;
        }
        let (control, stopping) = (Arc::clone(&self.control), self.stopping.subscribe());
        self.connections.spawn(conversation::serve(stream, control, stopping));
    }

    /// Ends every connection, with goodbye to the sessions that are live.
    pub(crate) async fn hang_up(mut self) {
        drop(self.listener);
        self.stopping.send_replace(true);
        let ended = timeout(HANG_UP_LIMIT, async {
            while let Some(ended) = self.connections.join_next().await {
                report(ended);
            }
        });
        if ended.await.is_err() {
            tracing::warn!(left = self.connections.len(), "connections did not end in time");
        }
    }
}

fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection's task failed");
    }
}
