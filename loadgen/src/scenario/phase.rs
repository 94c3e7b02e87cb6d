//! Phases: the parts of a run, one after the other.

use std::time::Duration;

/// A part of the run: a ramp from the devices there were to a target, and a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phase {
    /// Its name in thresholds and reports.
    pub name: String,
    /// Devices at the end of the ramp and during the hold.
    pub devices: u32,
    /// From the previous target to this one, evenly; zero: all at once.
    pub ramp: Duration,
    /// How long the target is held.
    pub hold: Duration,
}

impl Phase {
    /// Ramp and hold.
    pub fn length(&self) -> Duration {
        self.ramp + self.hold
    }
}

/// Each phase with its start, from the start of the run.
pub(crate) fn starts(phases: &[Phase]) -> impl Iterator<Item = (&Phase, Duration)> {
    phases.iter().scan(Duration::ZERO, |at, phase| {
        let start = *at;
        *at += phase.length();
        Some((phase, start))
    })
}
