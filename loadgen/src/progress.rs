//! What a person sees while a run goes on: one line that is rewritten on a terminal, and a line
//! every few seconds elsewhere.

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

/// How often a line is written where it cannot be rewritten.
const PLAIN_EVERY: u64 = 5;

/// The state of a run at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Snapshot<'a> {
    /// Since the start.
    pub elapsed: Duration,
    /// From start to end of the last phase.
    pub length: Duration,
    /// The phase that is under way.
    pub phase: &'a str,
    /// Sessions that are open.
    pub devices: u32,
    /// The most that the scenario asks for.
    pub devices_most: u32,
    /// Frames sent in the last second.
    pub frames_per_second: u64,
    /// Frames that were sent and not answered, those under way included.
    pub unanswered: u64,
    /// The 99th percentile of the response latency in the last second, in milliseconds.
    pub latency_p99_ms: Option<f64>,
}

/// Where progress is shown.
pub struct Progress {
    mode: Mode,
    seconds: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Quiet,
    Rewritten,
    Plain,
}

impl Progress {
    /// Progress on standard error; none when `quiet`.
    pub fn new(quiet: bool) -> Self {
        let mode = match (quiet, stderr().is_terminal()) {
            (true, _) => Mode::Quiet,
            (false, true) => Mode::Rewritten,
            (false, false) => Mode::Plain,
        };
        Self { mode, seconds: 0 }
    }

    /// Shows `snapshot`; called once a second.
    pub fn show(&mut self, snapshot: &Snapshot<'_>) {
        self.seconds += 1;
        let line = line(snapshot);
        match self.mode {
            Mode::Rewritten => self.write(&format!("\r\x1b[K{line}")),
            Mode::Plain if self.seconds % PLAIN_EVERY == 1 => self.write(&format!("{line}\n")),
            Mode::Quiet | Mode::Plain => {}
        }
    }

    /// Writes a line that stays.
    pub fn note(&self, text: &str) {
        match self.mode {
            Mode::Quiet => {}
            Mode::Rewritten => self.write(&format!("\r\x1b[K{text}\n")),
            Mode::Plain => self.write(&format!("{text}\n")),
        }
    }

    /// Takes the rewritten line away.
    pub fn end(&self) {
        if self.mode == Mode::Rewritten {
            self.write("\r\x1b[K");
        }
    }

    #[expect(clippy::unused_self, reason = "only a Progress writes to standard error")]
    fn write(&self, text: &str) {
        // Nobody to tell when standard error is closed.
        let _ = stderr().write_all(text.as_bytes());
    }
}

fn line(snapshot: &Snapshot<'_>) -> String {
    let latency = match snapshot.latency_p99_ms {
        Some(millis) => format!("{millis:.2} ms"),
        None => "-".to_owned(),
    };
    format!(
        "{:>6.1} / {:.0} s  {}  {}/{} devices  {} frames/s  {} unanswered  p99 {latency}",
        snapshot.elapsed.as_secs_f64(),
        snapshot.length.as_secs_f64(),
        snapshot.phase,
        snapshot.devices,
        snapshot.devices_most,
        snapshot.frames_per_second,
        snapshot.unanswered,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_and_how_well() {
        let snapshot = Snapshot {
            elapsed: Duration::from_millis(4021),
            length: Duration::from_secs(13),
            phase: "talk",
            devices: 38,
            devices_most: 50,
            frames_per_second: 633,
            unanswered: 2,
            latency_p99_ms: Some(1.234),
        };
        assert_eq!(
            line(&snapshot),
            "   4.0 / 13 s  talk  38/50 devices  633 frames/s  2 unanswered  p99 1.23 ms"
        );
        let line = line(&Snapshot { latency_p99_ms: None, ..snapshot });
        assert!(line.ends_with("p99 -"));
    }
}
