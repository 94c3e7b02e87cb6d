//! `din doctor`: what this host is worth as a place to measure on.
//!
//! `probes` measure, one after the other so that none disturbs another; [`judge`] and [`capacity`]
//! say what it means, from [`facts`] alone; [`text`] shows it.

pub mod capacity;
pub mod facts;
pub mod judge;
pub(crate) mod probes;
pub mod text;

#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use platform::{Clock, Priority, RealtimeOffset, Tuning};
use serde::{Deserialize, Serialize};

use capacity::Capacity;
use facts::Facts;
use judge::Finding;

use crate::resources::HostBefore;
use crate::watch::Interrupt;

/// The version of the report's form.
pub const FORMAT: u32 = 1;

/// What a doctor says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// The version of Din that looked.
    pub din_version: String,
    /// What was measured and read.
    pub facts: Facts,
    /// What each of it means.
    pub findings: Vec<Finding>,
    /// How many devices the host should be trusted with; `null` where it cannot be told.
    pub capacity: Option<Capacity>,
}

/// A host that was not looked at.
#[derive(Debug)]
pub enum DoctorError {
    /// Ctrl-C or SIGTERM before the probes were over.
    Interrupted,
    /// The operating system did not let the probes begin.
    System(io::Error),
}

impl fmt::Display for DoctorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Interrupted => f.write_str("interrupted before the probes were over"),
            Self::System(error) => write!(f, "cannot start the probes: {error}"),
        }
    }
}

impl std::error::Error for DoctorError {}

impl From<io::Error> for DoctorError {
    fn from(error: io::Error) -> Self {
        Self::System(error)
    }
}

/// Looks at this host for about `length`.
///
/// # Errors
/// [`DoctorError`] when there is nothing to report. What cannot be measured is no error: it is in
/// the report.
pub fn examine(length: Duration) -> Result<Report, DoctorError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (done, report) = tokio::sync::oneshot::channel();
    runtime.block_on(async {
        let mut interrupt = Interrupt::new()?;
        std::thread::Builder::new()
            .name("din-doctor".to_owned())
            // Nobody is there to hear it after an interruption.
            .spawn(move || done.send(look(length)).is_ok())?;
        tokio::select! {
            report = report => Ok(report.expect("the probes do not panic")),
            () = interrupt.next() => Err(DoctorError::Interrupted),
        }
    })
}

fn look(length: Duration) -> Report {
    let begun = Instant::now();
    let before = HostBefore::now();
    let clock = Clock::start();
    let offset = RealtimeOffset::sample(&clock);
    let tuning = Tuning::read();
    let open_files = probes::files();
    let share = |percent: u32| length * percent / 100;
    let facts = Facts {
        timer: probes::timer(Priority::RealTime, share(30)),
        ordinary_timer: probes::timer(Priority::Ordinary, share(15)),
        loopback: probes::loopback(share(30)),
        crowd: probes::crowd(share(15)),
        codec: probes::codec(share(8)),
        buffers: probes::buffers(&tuning),
        open_files,
        ports: probes::ports(),
        clock: probes::clock(&tuning, &clock, &offset),
        processors: probes::processors(&tuning, &before),
        seconds: begun.elapsed().as_secs_f64(),
    };
    let capacity = capacity::estimate(&facts);
    let findings = judge::judge(&facts, capacity.as_ref());
    let din_version = env!("CARGO_PKG_VERSION").to_owned();
    Report { format: FORMAT, din_version, facts, findings, capacity }
}
