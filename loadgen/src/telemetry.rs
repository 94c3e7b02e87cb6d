//! Asks the reference gateway about itself while a run goes on.
//!
//! Two requests over one kept connection: `/status`, and `/frames` for the way of every frame since
//! the time before. A gateway that does not answer soon is asked again later. It hands out each
//! frame once, so an answer that comes too late loses frames; they are counted at the end. A reading
//! is as large as what the gateway remembers at most, 131,072 frames or 4 MiB, and none is kept.

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::HOST;
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use protocol::{MediaTimestamp, Ssrc};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long an answer may take during a run; the next second has its own.
pub const SOON: Duration = Duration::from_millis(300);
/// How long the last one may take, which stands for the whole run.
pub const AT_LAST: Duration = Duration::from_secs(2);

/// A gateway's telemetry port.
#[derive(Debug)]
pub struct Telemetry {
    addr: SocketAddr,
    connection: Option<SendRequest<Empty<Bytes>>>,
}

/// What the gateway told.
#[derive(Debug)]
pub struct Reading {
    /// How it is.
    pub status: Status,
    /// The frames since the reading before.
    pub passages: Vec<Passage>,
    /// Frames that it had no room to remember.
    pub left_out: u64,
}

/// The way of one frame through the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage {
    /// The session.
    pub ssrc: Ssrc,
    /// The frame's timestamp.
    pub timestamp: MediaTimestamp,
    /// When the gateway's kernel received it, on `CLOCK_MONOTONIC`.
    pub arrived: Duration,
    /// How long it waited for a worker.
    pub queued: Duration,
    /// How long the worker had it; `None` when it had waited too long and was dropped.
    pub worked: Option<Duration>,
}

/// What is used of `/status`.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// When the gateway started, on `CLOCK_MONOTONIC`.
    pub started_at_monotonic_ns: u64,
    /// Time since then.
    pub uptime_s: f64,
    /// What is done with audio.
    pub backend: Backend,
    /// The workers.
    pub pool: Pool,
    /// Their number.
    pub scaling: Scaling,
    /// What is made to go wrong.
    pub faults: Faults,
    /// What was counted.
    pub counters: Counters,
}

/// What is used of `/status`'s `backend`.
#[derive(Clone, Debug, Deserialize)]
pub struct Backend {
    /// Extra work per frame.
    pub burn: Value,
}

/// What is used of `/status`'s `pool`.
#[derive(Clone, Debug, Deserialize)]
pub struct Pool {
    /// How frames get their worker.
    pub dispatch: String,
    /// Workers that take work.
    pub serving: u64,
    /// Workers on their way.
    pub starting: u64,
    /// Workers that leave.
    pub draining: u64,
    /// Frames accepted and not yet done with.
    pub pending: u64,
    /// Production's load.
    pub load_percent: f64,
    /// How long some worker was idle while work waited for another.
    pub idle_while_waiting_s: f64,
    /// Every worker there ever was.
    pub workers: Vec<Worker>,
}

/// What is used of one worker.
#[derive(Clone, Debug, Deserialize)]
pub struct Worker {
    /// Its number.
    pub worker: u64,
    /// `serving`, or something else.
    pub state: String,
    /// Frames that it has run.
    pub frames: u64,
    /// How long it had frames in its hands.
    pub busy_s: f64,
}

/// What is used of `/status`'s `scaling`.
#[derive(Clone, Debug, Deserialize)]
pub struct Scaling {
    /// What decides.
    pub policy: String,
    /// The fewest workers.
    pub min: u64,
    /// The most workers.
    pub max: u64,
    /// How many changes had which reason.
    pub decisions: BTreeMap<String, u64>,
    /// The newest changes, oldest first.
    pub events: Vec<ScalingEvent>,
}

/// A change of the number of workers.
#[derive(Clone, Debug, Deserialize)]
pub struct ScalingEvent {
    /// Since the gateway started.
    pub at_s: f64,
    /// Workers before.
    pub from: u64,
    /// Workers after.
    pub to: u64,
    /// Why, for tools.
    pub reason: String,
    /// Why, for people.
    pub sentence: String,
    /// What the policy looked at.
    pub saw: Value,
}

/// What is used of `/status`'s `faults`.
#[derive(Clone, Debug, Deserialize)]
pub struct Faults {
    /// Those that are switched on.
    pub configured: Value,
}

/// What is used of `/status`'s `counters`.
#[derive(Clone, Debug, Deserialize)]
pub struct Counters {
    /// Frames that were decoded and encoded anew.
    pub frames_encoded: u64,
    /// What was dropped.
    pub dropped: Dropped,
}

/// What is used of the frames dropped.
#[derive(Clone, Debug, Deserialize)]
pub struct Dropped {
    /// Frames that waited too long.
    pub worker_timeout: u64,
}

impl Telemetry {
    /// The port that a gateway announced when it was up.
    pub fn announced(announcement: &Value) -> Option<Self> {
        let addr = announcement["telemetry"].as_str()?.parse().ok()?;
        Some(Self { addr, connection: None })
    }

    /// What the gateway tells now; `None` when it does not, or not within `patience`.
    pub async fn read(&mut self, patience: Duration) -> Option<Reading> {
        let reading = match timeout(patience, self.ask()).await {
            Ok(answer) => answer.ok(),
            Err(_) => None,
        };
        if reading.is_none() {
            // An answer that comes late is one to another question.
            self.connection = None;
        }
        reading
    }

    async fn ask(&mut self) -> Result<Reading, Box<dyn Error>> {
        let status = serde_json::from_slice(&self.get("/status").await?)?;
        let frames = self.get("/frames").await?;
        let (left_out, passages) = passages(&frames).ok_or("frames of another form")?;
        Ok(Reading { status, passages, left_out })
    }

    async fn get(&mut self, path: &'static str) -> Result<Bytes, Box<dyn Error>> {
        let request = Request::get(path).header(HOST, self.addr.to_string());
        let request = request.body(Empty::new())?;
        let connection = self.connected().await?;
        connection.ready().await?;
        let response = connection.send_request(request).await?;
        if response.status() != StatusCode::OK {
            return Err(format!("{path}: {}", response.status()).into());
        }
        Ok(response.into_body().collect().await?.to_bytes())
    }

    async fn connected(&mut self) -> Result<&mut SendRequest<Empty<Bytes>>, Box<dyn Error>> {
        if self.connection.as_ref().is_none_or(SendRequest::is_closed) {
            let stream = TcpStream::connect(self.addr).await?;
            let (connection, driver) = handshake(TokioIo::new(stream)).await?;
            // It ends with the connection; how is seen by the request that fails.
            tokio::spawn(async {
                let _ = driver.await;
            });
            self.connection = Some(connection);
        }
        Ok(self.connection.as_mut().expect("it was made just now"))
    }
}

/// Bytes of one record of `/frames`: ssrc, timestamp, arrived, queued, worked; little endian.
const RECORD: usize = 32;

/// How many frames were left out, and those that were not.
fn passages(frames: &[u8]) -> Option<(u64, Vec<Passage>)> {
    let (left_out, records) = frames.split_first_chunk::<8>()?;
    let (records, rest) = records.as_chunks::<RECORD>();
    let passages = records.iter().map(passage).collect();
    rest.is_empty().then_some((u64::from_le_bytes(*left_out), passages))
}

fn passage(record: &[u8; RECORD]) -> Passage {
    let word = |at: usize| {
        let bytes = record[at..at + 8].try_into().expect("eight bytes are eight bytes");
        u64::from_le_bytes(bytes)
    };
    let (ssrc, timestamp) = (word(0) & u64::from(u32::MAX), word(0) >> 32);
    let half = |half: u64| u32::try_from(half).expect("half of 64 bits");
    Passage {
        ssrc: Ssrc::new(half(ssrc)),
        timestamp: MediaTimestamp::from_millis(half(timestamp)),
        arrived: Duration::from_nanos(word(8)),
        queued: Duration::from_nanos(word(16)),
        worked: (word(24) != u64::MAX).then(|| Duration::from_nanos(word(24))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_as_the_gateway_writes_them() {
        let mut frames = 3_u64.to_le_bytes().to_vec();
        assert_eq!(passages(&frames), Some((3, Vec::new())));
        frames.extend(7_u32.to_le_bytes());
        frames.extend(60_u32.to_le_bytes());
        for nanos in [1_000_u64, 2_000, 3_000] {
            frames.extend(nanos.to_le_bytes());
        }
        let us = Duration::from_micros;
        let passage = Passage {
            ssrc: Ssrc::new(7),
            timestamp: MediaTimestamp::from_millis(60),
            arrived: us(1),
            queued: us(2),
            worked: Some(us(3)),
        };
        assert_eq!(passages(&frames), Some((3, vec![passage])));
        for odd in [4, 39, 41] {
            frames.resize(odd, 0);
            assert_eq!(passages(&frames), None, "{odd} bytes");
        }
    }

    #[tokio::test]
    async fn a_gateway_that_is_not_there_tells_nothing() {
        let addr = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let announcement = serde_json::json!({ "telemetry": addr.to_string() });
        let mut telemetry = Telemetry::announced(&announcement).unwrap();
        assert!(telemetry.read(AT_LAST).await.is_none());
        assert!(Telemetry::announced(&serde_json::json!({ "telemetry": null })).is_none());
    }
}
