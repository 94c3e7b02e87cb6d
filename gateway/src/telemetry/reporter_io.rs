//! Tells what there is to tell: over HTTP to whoever asks, and in the log now and then.

use std::convert::Infallible;
use std::future;
use std::io;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::TelemetrySettings;
use super::http_io::{self, Source};
use super::log_block;

/// Everything that tells.
#[derive(Debug)]
pub(crate) struct Reporter {
    port: Option<TcpListener>,
    log_every: Duration,
}

impl Reporter {
    /// Tells on `port`, if there is one; call it inside a tokio runtime.
    ///
    /// # Errors
    /// When the socket cannot be registered with the runtime.
    pub(crate) fn new(settings: &TelemetrySettings, port: Option<StdListener>) -> io::Result<Self> {
        let register = |port: StdListener| {
            port.set_nonblocking(true)?;
            TcpListener::from_std(port)
        };
        Ok(Self { port: port.map(register).transpose()?, log_every: settings.log_every })
    }

    /// Tells until it is dropped.
    pub(crate) async fn report<S: Source>(&mut self, source: &Arc<S>) -> Infallible {
        let serve = async {
            match self.port.take() {
                Some(port) => http_io::serve(port, Arc::clone(source)).await,
                None => future::pending().await,
            }
        };
        tokio::select! {
            never = serve => match never {},
            never = write_blocks(self.log_every, &**source) => match never {},
        }
    }
}

async fn write_blocks(every: Duration, source: &impl Source) -> Infallible {
    if every.is_zero() {
        return future::pending().await;
    }
    let mut ticks = interval_at(Instant::now() + every, every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut before = None;
    loop {
        ticks.tick().await;
        let now = source.status();
        tracing::info!("{}", log_block::block(before.as_ref(), &now));
        before = Some(now);
    }
}
