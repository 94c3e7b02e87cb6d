//! A whole gateway: from settings to open ports, and from there to what it counted.

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::{fmt, io};

use tokio::runtime;
use tokio::sync::oneshot;

use crate::counters::{Counters, CountersSnapshot};
use crate::faults::FaultSwitch;
use crate::media_io;
use crate::parts::{Parts, Ports};
use crate::settings::{Settings, SettingsError};

/// A gateway whose ports are open; it serves them once it [`run`](Self::run)s.
#[derive(Debug)]
pub struct Gateway {
    settings: Settings,
    ports: Ports,
    addrs: Addrs,
    counters: Arc<Counters>,
    switch: Arc<FaultSwitch>,
}

/// Where a gateway listens.
#[derive(Clone, Copy, Debug)]
struct Addrs {
    mqtt: SocketAddr,
    udp: SocketAddr,
    telemetry: Option<SocketAddr>,
}

/// A gateway that cannot start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The settings.
    Settings(SettingsError),
    /// A port.
    Bind {
        /// Which, as a flag names it.
        flag: &'static str,
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// A thread.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(error) => error.fmt(f),
            Self::Bind { flag, addr, .. } => {
                write!(f, "cannot listen on {addr}; try another address with {flag}, or port 0")
            }
            Self::Thread(_) => f.write_str("cannot start a thread"),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Settings(error) => error.source(),
            Self::Bind { cause, .. } | Self::Thread(cause) => Some(cause),
        }
    }
}

/// A gateway that had to stop.
#[derive(Debug)]
#[non_exhaustive]
pub enum RunError {
    /// It could not start its threads.
    Start(io::Error),
    /// The media port cannot be read any more.
    Media(io::Error),
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start(_) => "cannot start the gateway's threads",
            Self::Media(_) => "the media port failed",
        })
    }
}

impl Error for RunError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Start(cause) | Self::Media(cause) => Some(cause),
        }
    }
}

impl Gateway {
    /// Checks the settings and opens both ports.
    ///
    /// # Errors
    /// [`StartError`] says which setting or port, and what may be tried.
    pub fn bind(settings: Settings) -> Result<Self, StartError> {
        settings.check().map_err(StartError::Settings)?;
        let failed = |flag, addr| move |cause| StartError::Bind { flag, addr, cause };
        let tcp = |flag, addr| {
            let listener = platform::listen_tcp(addr).map_err(failed(flag, addr))?;
            let bound = listener.local_addr().map_err(failed(flag, addr))?;
            Ok((listener, bound))
        };
        let (control, mqtt) = tcp("--mqtt", settings.control.listen)?;
        let udp = failed("--udp", settings.media.listen);
        let sockets = media_io::bind(&settings.media).map_err(udp)?;
        let udp = sockets[0].local_addr().map_err(udp)?;
        let telemetry =
            settings.telemetry.listen.map(|addr| tcp("--telemetry", addr)).transpose()?;
        let (telemetry, telemetry_addr) = telemetry.unzip();
        let media = sockets.into_iter().map(Arc::new).collect();
        let switch = Arc::new(FaultSwitch::new(settings.faults.clone()));
        Ok(Self {
            settings,
            switch,
            ports: Ports { control, media, telemetry },
            addrs: Addrs { mqtt, udp, telemetry: telemetry_addr },
            counters: Arc::default(),
        })
    }

    /// Starts a gateway on threads of its own.
    ///
    /// # Errors
    /// As [`bind`](Self::bind), and when the system refuses the first thread.
    pub fn start(settings: Settings) -> Result<RunningGateway, StartError> {
        let gateway = Self::bind(settings)?;
        let runtime = runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(StartError::Thread)?;
        let addrs = gateway.addrs;
        let counters = Arc::clone(&gateway.counters);
        let (stop, stopped) = oneshot::channel::<()>();
        let run = move || {
            runtime.block_on(gateway.run(async {
                // Dropped without a word is a reason to stop as well.
                let _ = stopped.await;
            }))
        };
        let thread = thread::Builder::new().name("control".to_owned()).spawn(run);
        let thread = Some(thread.map_err(StartError::Thread)?);
        Ok(RunningGateway { addrs, counters, stop: Some(stop), thread })
    }

    /// Where devices connect.
    pub fn mqtt_addr(&self) -> SocketAddr {
        self.addrs.mqtt
    }

    /// Where devices send audio.
    pub fn udp_addr(&self) -> SocketAddr {
        self.addrs.udp
    }

    /// Where it tells about itself, if it does.
    pub fn telemetry_addr(&self) -> Option<SocketAddr> {
        self.addrs.telemetry
    }

    /// Switches its faults while it runs.
    pub fn fault_switch(&self) -> Arc<FaultSwitch> {
        Arc::clone(&self.switch)
    }

    /// Serves until `stop` is ready, then ends in this order: no new connection, session or packet;
    /// frames already accepted are finished, within a bound; live sessions are told goodbye.
    /// Returns what was counted.
    ///
    /// Call it inside a tokio runtime with one thread, on which all of MQTT then runs, and let it
    /// end: dropped before, it leaves its threads behind.
    ///
    /// # Errors
    /// [`RunError`] when a part of the gateway failed; it has stopped by then as if asked to.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Result<CountersSnapshot, RunError> {
        let counters = Arc::clone(&self.counters);
        let parts = Parts::start(self.settings, self.ports, self.counters, self.switch);
        let mut parts = parts.map_err(RunError::Start)?;
        let failure = tokio::select! {
            () = stop => None,
            error = parts.serve() => Some(error),
        };
        parts.stop().await;
        match failure {
            Some(error) => Err(RunError::Media(error)),
            None => Ok(counters.snapshot()),
        }
    }
}

/// A gateway on threads of its own, stopped at the latest when this is dropped.
#[derive(Debug)]
pub struct RunningGateway {
    addrs: Addrs,
    counters: Arc<Counters>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<CountersSnapshot, RunError>>>,
}

impl RunningGateway {
    /// Where devices connect.
    pub fn mqtt_addr(&self) -> SocketAddr {
        self.addrs.mqtt
    }

    /// Where devices send audio.
    pub fn udp_addr(&self) -> SocketAddr {
        self.addrs.udp
    }

    /// Where it tells about itself, if it does.
    pub fn telemetry_addr(&self) -> Option<SocketAddr> {
        self.addrs.telemetry
    }

    /// What was counted until now.
    pub fn counters(&self) -> CountersSnapshot {
        self.counters.snapshot()
    }

    /// Stops as [`Gateway::run`] does and returns what was counted.
    ///
    /// # Errors
    /// [`RunError`] when the gateway had failed before.
    pub fn stop(mut self) -> Result<CountersSnapshot, RunError> {
        self.end().expect("only this and drop end a gateway")
    }

    fn end(&mut self) -> Option<Result<CountersSnapshot, RunError>> {
        drop(self.stop.take());
        let thread = self.thread.take()?;
        Some(thread.join().expect("the control thread catches the panics of its tasks"))
    }
}

impl Drop for RunningGateway {
    fn drop(&mut self) {
        // Whoever wants to know how it went calls `stop`.
        let _ = self.end();
    }
}
