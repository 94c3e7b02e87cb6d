//! What a person sees while a run goes on: a few lines that are drawn again each second on a terminal,
//! and a line every few seconds elsewhere.
//!
//! Drawn by the thread that looks after the run, never by those that send and receive.

mod block;

use std::io::{IsTerminal, Write, stderr};

use measure::progress_record::ProgressRecord;

use crate::colour;
use block::Block;

/// How often a line is written where it cannot be rewritten.
const PLAIN_EVERY: u64 = 5;

/// Where progress is shown.
pub struct Progress {
    mode: Mode,
    seconds: u64,
}

enum Mode {
    Quiet,
    Block(Block),
    Plain,
}

impl Progress {
    /// Progress on standard error; none when `quiet`.
    pub fn new(quiet: bool) -> Self {
        let terminal = stderr().is_terminal();
        let mode = match (quiet, terminal) {
            (true, _) => Mode::Quiet,
            (false, true) => Mode::Block(Block::new(colour::wanted(terminal))),
            (false, false) => Mode::Plain,
        };
        Self { mode, seconds: 0 }
    }

    /// Shows how far the run is; called once a second.
    pub fn show(&mut self, progress: &ProgressRecord) {
        self.seconds += 1;
        match &mut self.mode {
            Mode::Block(block) => write(&block.next(progress)),
            Mode::Plain if self.seconds % PLAIN_EVERY == 1 => {
                write(&format!("{}\n", line(progress)));
            }
            Mode::Quiet | Mode::Plain => {}
        }
    }

    /// Writes a line that stays.
    pub fn note(&mut self, text: &str) {
        match &mut self.mode {
            Mode::Quiet => {}
            Mode::Block(block) => write(&format!("{}{text}\n", block.clear())),
            Mode::Plain => write(&format!("{text}\n")),
        }
    }

    /// Takes away what was drawn.
    pub fn end(&mut self) {
        if let Mode::Block(block) = &mut self.mode {
            write(&block.clear());
        }
    }
}

fn write(text: &str) {
    // Nobody to tell when standard error is closed.
    let _ = stderr().write_all(text.as_bytes());
}

fn line(progress: &ProgressRecord) -> String {
    let latency = match progress.latency_ms {
        Some([_, _, p99, _]) => format!("{p99:.2} ms"),
        None => "-".to_owned(),
    };
    format!(
        "{:>6.1} / {:.0} s  {}  {}/{} devices  {} frames/s  {} unanswered  p99 {latency}",
        progress.elapsed_ms / 1e3,
        progress.length_ms / 1e3,
        progress.phase,
        progress.devices,
        progress.devices_most,
        progress.frames_sent,
        progress.unanswered,
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use measure::progress_record::{PhaseProgress, ThresholdProgress, ThresholdState};

    /// Four seconds into a run of thirteen.
    pub(crate) fn progress() -> ProgressRecord {
        let threshold = |threshold: &str, state, observed| ThresholdProgress {
            threshold: threshold.to_owned(),
            state,
            observed,
            unit: "ms".to_owned(),
        };
        ProgressRecord {
            title: "First call".to_owned(),
            elapsed_ms: 4021.0,
            length_ms: 13_000.0,
            phase: "talk".to_owned(),
            phases: vec![PhaseProgress {
                name: "talk".to_owned(),
                start_ms: 0.0,
                end_ms: 13_000.0,
                devices: 50,
            }],
            devices: 38,
            devices_most: 50,
            frames_sent: 633,
            frames_answered: 631,
            unanswered: 2,
            latency_ms: Some([0.5, 0.8, 1.234, 4.5]),
            workers: Some(2),
            workers_busy: Some(1.26),
            queue_delay_p99_ms: Some(0.25),
            thresholds: vec![
                threshold("hello_time.max < 1s", ThresholdState::NoSamples, None),
                threshold("response_latency.p99 < 40ms", ThresholdState::Ok, Some(1.234)),
                threshold("response_latency.max < 4ms", ThresholdState::Failing, Some(4.5)),
            ],
            ..ProgressRecord::default()
        }
    }

    #[test]
    fn a_line_says_how_far_and_how_well() {
        assert_eq!(
            line(&progress()),
            "   4.0 / 13 s  talk  38/50 devices  633 frames/s  2 unanswered  p99 1.23 ms"
        );
        let line = line(&ProgressRecord { latency_ms: None, ..progress() });
        assert!(line.ends_with("p99 -"));
    }
}
