//! One TCP connection: bytes in and out, with a bound on how long a write may take.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::counters::CloseCause;

/// Room for one read. Packets are far smaller; it is what an idle connection keeps.
const READ_LEN: usize = 1024;

/// How long a peer may take to close its side after our last word, and the bytes it may still say.
const LINGER: Duration = Duration::from_millis(500);
const LINGER_READS: usize = 64;

/// A connection whose incoming bytes wait to be understood and whose outgoing ones to be sent.
#[derive(Debug)]
pub(super) struct Line {
    stream: TcpStream,
    write_timeout: Duration,
    pub(super) incoming: BytesMut,
    pub(super) outgoing: BytesMut,
}

impl Line {
    pub(super) fn new(stream: TcpStream, write_timeout: Duration) -> Self {
        Self { stream, write_timeout, incoming: BytesMut::new(), outgoing: BytesMut::new() }
    }

    /// Waits for bytes and adds them to `incoming`; 0 when the peer has closed its side. May be
    /// cancelled without losing any.
    pub(super) async fn fill(&mut self) -> io::Result<usize> {
        self.incoming.reserve(READ_LEN);
        self.stream.read_buf(&mut self.incoming).await
    }

    /// Sends all of `outgoing`.
    ///
    /// # Errors
    /// Why the connection must be closed.
    pub(super) async fn flush(&mut self) -> Result<(), CloseCause> {
        if self.outgoing.is_empty() {
            return Ok(());
        }
        let sent = timeout(self.write_timeout, self.stream.write_all(&self.outgoing)).await;
        self.outgoing.clear();
        match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(CloseCause::SocketFailed),
            Err(_) => Err(CloseCause::WriteStalled),
        }
    }

    /// Sends what is left and closes, so that the peer gets to read it.
    ///
    /// Bytes that nobody has read turn a close into a reset, and a reset overtakes the last words.
    pub(super) async fn close_politely(mut self) {
        if self.flush().await.is_err() || self.stream.shutdown().await.is_err() {
            return;
        }
        let rest = async {
            for _ in 0..LINGER_READS {
                self.incoming.clear();
                if !matches!(self.fill().await, Ok(1..)) {
                    break;
                }
            }
        };
        // A peer that stays is left to find out by itself.
        let _ = timeout(LINGER, rest).await;
    }
}
