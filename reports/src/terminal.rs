//! The summary at the end of a run: read in ten seconds, worst news first.

mod experience;
mod pool;
mod thresholds;

use std::fmt::Write;

use measure::Metric;
use measure::record::{RunRecord, ThresholdRecord};
use measure::validity::State;

use crate::figures::{
    distribution, millis_text, networks, slower_than_at_best, thousands, value, verdict,
};
use experience::write_experience;
use pool::write_pool;
use thresholds::write_thresholds;

/// How the summary is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether to colour verdict, validity and failed thresholds (ANSI).
    pub colour: bool,
}

#[derive(Clone, Copy)]
enum Colour {
    Green,
    Yellow,
    Red,
    Dim,
}

impl Style {
    fn paint(self, text: &str, colour: Colour) -> String {
        let code = match colour {
            Colour::Green => "1;32",
            Colour::Yellow => "1;33",
            Colour::Red => "1;31",
            Colour::Dim => "2",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The latencies and lags worth a row, with their plain names.
const TIMES: [(Metric, &str); 13] = [
    (Metric::TurnLatency, "turn latency"),
    (Metric::BargeIn, "barge-in"),
    (Metric::TurnLag, "turn lag"),
    (Metric::ResponseLatency, "response latency"),
    (Metric::ServiceLatency, "service latency"),
    (Metric::SendLag, "send lag"),
    (Metric::ImpairmentLag, "impairment lag"),
    (Metric::ReceiveLag, "receive lag"),
    (Metric::GatewayQueueDelay, "gateway queue"),
    (Metric::GatewayWork, "gateway work"),
    (Metric::ConnectTime, "connect time"),
    (Metric::HelloTime, "hello time"),
    (Metric::FirstAudio, "first audio"),
];

/// The whole summary, ending in a line break. `seconds` has the p99 of the response latency of each
/// second, in milliseconds, as far as it is known.
pub fn summary(run: &RunRecord, seconds: &[Option<f64>], style: Style) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write_summary(&mut text, run, seconds, style);
    text
}

/// One line for logs, without a line break. Its form is a contract (`docs/ci.md`):
///
/// ```text
/// PASS|FAIL|NO VERDICT VALID|SUSPECT|INVALID SCENARIO: DETAIL (exit CODE)
/// ```
///
/// DETAIL says how many thresholds held, or `failed:` and which; `; warned:` and which may follow.
pub fn one_line(run: &RunRecord) -> String {
    let missed = |warn: bool| {
        let missed = run
            .thresholds
            .iter()
            .filter(|one| !one.ok && one.warn == warn)
            .map(ThresholdRecord::subject);
        missed.collect::<Vec<_>>().join(", ")
    };
    let (failed, warned) = (missed(false), missed(true));
    let held = run.thresholds.iter().filter(|one| one.ok).count();
    let detail = if failed.is_empty() {
        format!("{held} of {} thresholds held", run.thresholds.len())
    } else {
        format!("failed: {failed}")
    };
    let warned = if warned.is_empty() { warned } else { format!("; warned: {warned}") };
    let verdict = verdict(run);
    let name = &run.scenario.name;
    format!("{verdict} {} {name}: {detail}{warned} (exit {})", run.validity.state, run.exit_code)
}

fn write_summary(
    out: &mut String,
    run: &RunRecord,
    seconds: &[Option<f64>],
    style: Style,
) -> std::fmt::Result {
    let verdict_colour = match verdict(run) {
        "PASS" => Colour::Green,
        _ => Colour::Red,
    };
    let validity_colour = match run.validity.state {
        State::Valid => Colour::Green,
        State::Suspect => Colour::Yellow,
        State::Invalid => Colour::Red,
    };
    writeln!(
        out,
        "{}  {}  {}",
        style.paint(verdict(run), verdict_colour),
        style.paint(&run.validity.state.to_string(), validity_colour),
        run.scenario.title
    )?;
    if !run.scenario.question.is_empty() {
        writeln!(out, "{}", style.paint(&run.scenario.question, Colour::Dim))?;
    }
    if let Some(why) = &run.ended_early {
        writeln!(out, "{}", style.paint(&format!("ended early: {why}"), Colour::Yellow))?;
    }
    for reason in &run.validity.reasons {
        let line = format!("{}: {}", reason.state, reason.text);
        writeln!(out, "{}", style.paint(&line, validity_colour))?;
    }
    for warning in &run.warnings {
        let line = format!("warning: {}", warning.text);
        writeln!(out, "{}", style.paint(&line, Colour::Yellow))?;
    }
    writeln!(out)?;
    write_thresholds(out, run, style)?;
    write_load(out, run)?;
    write_actions(out, run)?;
    write_times(out, run, seconds)?;
    write_experience(out, run)?;
    write_resources(out, run)?;
    write_pool(out, run)?;
    write_failures(out, run)
}

fn write_load(out: &mut String, run: &RunRecord) -> std::fmt::Result {
    let count = |metric: Metric| thousands(value(run, metric).unwrap_or(0));
    writeln!(
        out,
        "  sessions   {} of {} opened, {} failed, {} lost",
        count(Metric::SessionsOpened),
        count(Metric::SessionsPlanned),
        count(Metric::SessionsFailed),
        count(Metric::SessionsLost)
    )?;
    writeln!(
        out,
        "  frames     {} of {} planned were sent, {} answered, {} lost, {} reordered, {} duplicate",
        count(Metric::FramesSent),
        count(Metric::FramesPlanned),
        count(Metric::FramesReceived),
        count(Metric::FramesLost),
        count(Metric::FramesReordered),
        count(Metric::FramesDuplicate)
    )?;
    if let Some(lost) = value(run, Metric::ImpairedLost) {
        let networks = networks(run).unwrap_or_else(|| "by actions alone".to_owned());
        let lost = thousands(lost);
        writeln!(out, "  network    simulated: {networks}; {lost} packets were lost in it")?;
    }
    if value(run, Metric::Turns).is_some() {
        writeln!(
            out,
            "  turns      {} were taken, {} answered, {} not; {} packets of speech, {} lost",
            count(Metric::Turns),
            count(Metric::TurnsAnswered),
            count(Metric::TurnsUnanswered),
            count(Metric::SpeechReceived),
            count(Metric::SpeechLost)
        )?;
    }
    for (metric, what) in [
        (Metric::FramesUnserved, "were called for while a device had no session"),
        (Metric::FramesUnmatched, "answers match no frame that was sent"),
        (
            Metric::GatewayUndecipherable,
            "opened to no audio at the gateway: it uses another key than it granted",
        ),
        (
            Metric::Undecipherable,
            "answers open to no Opus packet: another key than granted, or no audio",
        ),
        (Metric::Silent, "time(s) a device spoke for two seconds and silence came back"),
        (Metric::WrongSession, "packets name another session than their own"),
        (Metric::ReplayedNonce, "grants repeat a key or a nonce"),
        (Metric::WorkerPanics, "time(s) a worker panicked and lost its frame"),
        (Metric::SendRefused, "send calls met a closed media port"),
        (Metric::GatewayExits, "time(s) the gateway ended in mid-run"),
    ] {
        if let Some(seen @ 1..) = value(run, metric) {
            writeln!(out, "             {} {what}", thousands(seen))?;
        }
    }
    writeln!(
        out,
        "  audio      {} of the answers decoded, {} failed; {} of all had a wrong duration",
        count(Metric::Decoded),
        count(Metric::DecodeFailed),
        count(Metric::WrongDuration)
    )?;
    writeln!(out)
}

fn write_actions(out: &mut String, run: &RunRecord) -> std::fmt::Result {
    for (index, action) in run.actions.iter().enumerate() {
        let label = if index == 0 { "actions" } else { "" };
        let at = action.at_ms / 1e3;
        let name = action.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
        let outcome = match (&action.outcome, action.ok) {
            (Some(outcome), _) => format!("; {outcome}"),
            (None, true) => String::new(),
            (None, false) => "; not done".to_owned(),
        };
        writeln!(out, "  {label:<10} at {at:.1} s  {name}{}{outcome}", action.action)?;
    }
    if run.actions.is_empty() { Ok(()) } else { writeln!(out) }
}

fn write_times(out: &mut String, run: &RunRecord, seconds: &[Option<f64>]) -> std::fmt::Result {
    writeln!(
        out,
        "  {:<17} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "ms", "p50", "p90", "p99", "p99.9", "max"
    )?;
    for (metric, name) in TIMES {
        let Some(times) = distribution(run, metric) else { continue };
        // Where nobody awaits answers, answers that did not come are no news.
        let answers = matches!(metric, Metric::ResponseLatency | Metric::ServiceLatency);
        if answers && value(run, Metric::FramesAwaited) == Some(0) {
            continue;
        }
        write!(out, "  {name:<17}")?;
        for statistic in [times.p50, times.p90, times.p99, times.p999, times.max] {
            match statistic {
                Some(millis) => write!(out, " {:>9}", millis_text(millis))?,
                None => write!(out, " {:>9}", "-")?,
            }
        }
        writeln!(out, "   n = {}", thousands(times.count))?;
    }
    if let Some(line) = sparkline(seconds) {
        writeln!(out, "  {:<17} {line}", "p99 over time")?;
    }
    writeln!(out)
}

/// What happened over time in a line: `▁▁▁█▂▁  1.20 to 84.4 ms`; `None` where too little is known.
pub fn sparkline(seconds: &[Option<f64>]) -> Option<String> {
    let (drawn, (least, most)) = bars(seconds)?;
    Some(format!("{drawn}  {} to {} ms", millis_text(least), millis_text(most)))
}

/// Numbers as bars in a line of 50 characters at most, the largest of each character's; and the least and
/// the most of them. `None` where fewer than two are known.
pub fn bars(seconds: &[Option<f64>]) -> Option<(String, (f64, f64))> {
    const WIDTH: usize = 50;
    const EIGHTHS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let known = || seconds.iter().flatten().copied();
    let (least, most) = (known().reduce(f64::min)?, known().reduce(f64::max)?);
    if known().count() < 2 {
        return None;
    }
    // Each character shows the worst of its seconds.
    let each = seconds.len().div_ceil(WIDTH);
    let drawn = seconds.chunks(each).map(|chunk| {
        let Some(worst) = chunk.iter().flatten().copied().reduce(f64::max) else { return ' ' };
        let share = if most > least { (worst - least) / (most - least) } else { 0.0 };
        let step = (0..7).take_while(|step| share > (f64::from(*step) + 0.5) / 7.0).count();
        EIGHTHS[step]
    });
    Some((drawn.collect(), (least, most)))
}

fn write_resources(out: &mut String, run: &RunRecord) -> std::fmt::Result {
    for (name, cpu, memory, what) in [
        ("gateway", Metric::GatewayCpu, Metric::GatewayRss, gateway_text(run)),
        ("generator", Metric::GeneratorCpu, Metric::GeneratorRss, String::new()),
    ] {
        let mean = distribution(run, cpu).and_then(|cpu| Some((cpu.mean?, cpu.max?)));
        let most = distribution(run, memory).and_then(|memory| memory.max);
        match (mean, most) {
            (Some((mean, max)), Some(most)) => writeln!(
                out,
                "  {name:<10} CPU {mean:.0} % of one core on average, {max:.0} % at most; memory {most:.0} MiB{what}"
            )?,
            _ => writeln!(out, "  {name:<10} CPU and memory not measured{what}")?,
        }
    }
    if let Some(slower) = slower_than_at_best(run).filter(|slower| *slower >= MUCH_SLOWER) {
        writeln!(
            out,
            "  machine    {slower:.0} % slower on average than at its best: its cores are shared or clocked down at times"
        )?;
    }
    Ok(())
}

/// From here on it is said how much slower a machine was, in percent.
const MUCH_SLOWER: f64 = 10.0;

fn gateway_text(run: &RunRecord) -> String {
    if run.target.kind == "foreign" {
        return format!("; not ours: {}", run.target.mqtt);
    }
    let announced = &run.target.announced;
    let backend = announced["backend"].as_str().unwrap_or("?");
    format!("; {backend}")
}

fn write_failures(out: &mut String, run: &RunRecord) -> std::fmt::Result {
    const SHOWN: usize = 5;
    if run.failures.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    for failure in run.failures.iter().take(SHOWN) {
        writeln!(
            out,
            "  {} × {} (first: device {} at {:.1} s)",
            thousands(failure.count),
            failure.what,
            failure.first_device,
            failure.first_at_ms / 1e3
        )?;
    }
    if run.failures.len() > SHOWN {
        writeln!(out, "  and {} other kinds of failure in run.json", run.failures.len() - SHOWN)?;
    }
    Ok(())
}

#[cfg(test)]
pub(crate) mod tests;
