//! The process around a gateway: flags, log, signals, and the two lines on standard output.

mod cli;
mod commands;

use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::{env, thread};

use anyhow::Context;
use clap::Parser;
use gateway::autoscale::Policy;
use gateway::{Backend, CountersSnapshot, Dispatch, FaultSwitch, Gateway, Settings};
use protocol::identity::SignatureKey;
use serde::Serialize;
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::cli::Flags;

/// Exit code for flags, settings and addresses that cannot be used.
const BAD_INPUT: u8 = 2;

/// What is printed on standard output, a line each.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Announcement {
    Listening {
        mqtt: SocketAddr,
        udp: SocketAddr,
        pid: u32,
        version: &'static str,
        libopus: String,
        backend: Backend,
        /// With which the pool starts.
        workers: usize,
        workers_max: usize,
        autoscaler: Policy,
        dispatch: Dispatch,
        /// Where the gateway tells about itself.
        telemetry: Option<SocketAddr>,
    },
    Stopped {
        counters: Box<CountersSnapshot>,
    },
    /// Other faults are switched on.
    Faults,
    /// A line of standard input was no command, or one that cannot be followed.
    Refused {
        error: String,
    },
}

fn main() -> ExitCode {
    let flags = Flags::parse();
    tracing_subscriber::fmt()
        .with_max_level(flags.log)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        .init();
    let settings = match flags.settings() {
        Ok(settings) => settings,
        Err(error) => return bad_input(error),
    };
    let settings = Settings { signature_key: signature_key(), ..fit_open_files(settings) };
    let backend = settings.backend.kind;
    let (scaling, dispatch) = (settings.scaling(), settings.pool.dispatch);
    let gateway = match Gateway::bind(settings) {
        Ok(gateway) => gateway,
        Err(error) => return bad_input(error),
    };
    let listening = Announcement::Listening {
        mqtt: gateway.mqtt_addr(),
        udp: gateway.udp_addr(),
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION"),
        libopus: codec::library_version(),
        backend,
        workers: scaling.min,
        workers_max: scaling.max(),
        autoscaler: scaling.policy,
        dispatch,
        telemetry: gateway.telemetry_addr(),
    };
    match serve(gateway, &listening, flags.until_stdin_closes) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the gateway on this thread until it is asked to stop.
fn serve(
    gateway: Gateway,
    listening: &Announcement,
    until_stdin_closes: bool,
) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the runtime")?.block_on(async {
        let signals = [signal(SignalKind::interrupt()), signal(SignalKind::terminate())];
        let [interrupt, terminate] = signals.map(|s| s.context("cannot listen for signals"));
        let (interrupt, terminate) = (interrupt?, terminate?);
        announce(listening)?;
        let commanded = until_stdin_closes.then(|| gateway.fault_switch());
        tracing::info!(mqtt = %gateway.mqtt_addr(), udp = %gateway.udp_addr(), "listening");
        let counters = gateway.run(asked_to_stop(interrupt, terminate, commanded)).await?;
        tracing::info!("stopped");
        announce(&Announcement::Stopped { counters: Box::new(counters) })
    })
}

async fn asked_to_stop(
    mut interrupt: Signal,
    mut terminate: Signal,
    commanded: Option<Arc<FaultSwitch>>,
) {
    let stdin_closed = async {
        match commanded.map(follow_stdin) {
            // The thread holds the sender until standard input ends, so both outcomes mean that.
            Some(closed) => drop(closed.await),
            None => std::future::pending().await,
        }
    };
    let why = tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
        () = stdin_closed => "standard input closed",
    };
    tracing::info!("stopping: {why}");
}

/// Follows what is said on standard input, and tells when that ends. Reading it blocks, so that
/// takes a thread, which is left behind.
fn follow_stdin(switch: Arc<FaultSwitch>) -> oneshot::Receiver<()> {
    let (closed, watch) = oneshot::channel();
    thread::spawn(move || {
        commands::follow(io::stdin().lock(), &switch, |answer| {
            let answer = match answer {
                Ok(()) => Announcement::Faults,
                Err(error) => Announcement::Refused { error },
            };
            // Where nobody reads, nobody waits for an answer.
            let _ = announce(&answer);
        });
        drop(closed);
    });
    watch
}

fn announce(announcement: &Announcement) -> anyhow::Result<()> {
    let line = serde_json::to_string(announcement).context("cannot write an announcement")?;
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}").and_then(|()| stdout.flush()).context("nobody reads standard output")
}

/// One message on standard error: what was seen, where, and what to try.
fn bad_input(error: impl Into<anyhow::Error>) -> ExitCode {
    let message = format!("{:#}", error.into());
    // Where standard error is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "error: {}\n\nFor all flags, try `--help`.", message.trim_end());
    ExitCode::from(BAD_INPUT)
}

fn signature_key() -> Option<SignatureKey> {
    let key = env::var_os(SignatureKey::VARIABLE)
        .and_then(|secret| SignatureKey::new(secret.into_encoded_bytes()));
    if key.is_none() {
        tracing::info!("{} is not set: credentials are not checked", SignatureKey::VARIABLE);
    }
    key
}

/// Descriptors that are no connections: standard streams, sockets, runtime, telemetry.
const OTHER_FILES: usize = 64;

/// Raises the limit on open files to what the connections need, or lowers the connections to what
/// the limit allows: connections beyond are refused and counted, which is better than sockets that
/// cannot be accepted.
fn fit_open_files(mut settings: Settings) -> Settings {
    let wanted = settings.control.max_connections;
    let Ok(limits) = platform::open_files() else { return settings };
    let hard = usize::try_from(limits.hard).unwrap_or(usize::MAX);
    let possible = wanted.min(hard.saturating_sub(OTHER_FILES)).max(1);
    let raised = platform::raise_open_files(possible.saturating_add(OTHER_FILES).min(hard) as u64);
    if let Err(error) = raised {
        tracing::warn!("{error}");
    } else if possible < wanted {
        tracing::info!("open files are limited to {hard}: {possible} connections, not {wanted}");
        settings.control.max_connections = possible;
    }
    settings
}
