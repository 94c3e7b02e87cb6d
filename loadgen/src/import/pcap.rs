//! `din import pcap`: the calls of a packet capture.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use measure::heard::{HeardRecord, HeardSecond};
use measure::loss::LossRuns;

use super::calls::{self, CallAccount, Survey};
use super::capture::{Contents, Datagram, datagrams};
use super::{Replayed, SCENARIO, TRACE};
use crate::hearing::heard_together;
use crate::replay;

/// What was made of a capture.
#[derive(Debug)]
pub struct Imported {
    /// What was in the file.
    pub contents: Contents,
    /// Other gateways in it, left out, and how many calls each has.
    pub others: Vec<(SocketAddr, usize)>,
    /// What it says about each call.
    pub calls: Vec<CallAccount>,
    /// What they heard together.
    pub heard: HeardRecord,
    /// The scenario that plays it again.
    pub scenario: PathBuf,
    /// The trace that the scenario names.
    pub trace: PathBuf,
}

/// Reads a capture and writes a trace and a scenario into the directory `out`, of the calls with
/// `gateway` or with the one that has most frames. Payloads are not kept.
///
/// # Errors
/// When the capture cannot be read, has no call in it, or `out` cannot be written.
pub fn import_capture(
    capture: &Path,
    gateway: Option<SocketAddr>,
    out: &Path,
) -> anyhow::Result<Imported> {
    let shown = capture.display();
    let open = || {
        let file = File::open(capture).with_context(|| format!("cannot open {shown}"))?;
        anyhow::ensure!(file.metadata().is_ok_and(|facts| facts.is_file()), "{shown} is no file");
        Ok(BufReader::new(file))
    };
    let wrong = |what: String| anyhow::anyhow!("{shown}: {what}");
    let mut survey = Survey::default();
    let contents = datagrams(open()?, |datagram| survey.datagram(&datagram)).map_err(wrong)?;
    let mut floors = survey.floors(gateway).map_err(|what| {
        let Contents { packets, datagrams, .. } = contents;
        anyhow::anyhow!("{shown}: {what} It has {packets} packets, {datagrams} of UDP")
    })?;
    let again = |datagram: Datagram<'_>| {
        floors.datagram(&datagram);
        Ok(())
    };
    datagrams(open()?, again).map_err(wrong)?;
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let (trace, scenario) = (out.join(TRACE), out.join(SCENARIO));
    let others = floors.others().to_vec();
    let (calls, seconds) = tell(floors, open()?, &trace, &shown.to_string())?;
    let experienced: Vec<_> = calls.iter().map(|call| (&call.heard, call.frame)).collect();
    let heard = heard_together(format!("capture {shown}"), &experienced, seconds);
    replay::keep(&heard, out)?;
    let replayed = Replayed {
        written_by: "din import pcap",
        name: &capture.file_name().unwrap_or_default().to_string_lossy(),
        trace: TRACE,
        frame: calls.first().map_or(Duration::from_millis(60), |call| call.frame),
        devices: calls.len(),
        lasting: calls.iter().map(|call| call.lasting).max().unwrap_or_default(),
        heard: &heard,
    };
    fs::write(&scenario, replayed.scenario_text())
        .with_context(|| format!("cannot write {}", scenario.display()))?;
    Ok(Imported { contents, others, calls, heard, scenario, trace })
}

fn tell(
    floors: calls::Floors,
    capture: impl io::Read + Send,
    trace: &Path,
    shown: &str,
) -> anyhow::Result<(Vec<CallAccount>, Vec<HeardSecond>)> {
    let writing = || format!("cannot write {}", trace.display());
    let mut file = BufWriter::new(File::create(trace).with_context(writing)?);
    writeln!(file, "# what a network did, from {shown}; t_ms from the first frame of each call")?;
    let mut telling = floors.telling(file).with_context(writing)?;
    let each =
        |datagram: Datagram<'_>| telling.datagram(&datagram).map_err(|error| error.to_string());
    datagrams(capture, each).map_err(|what| anyhow::anyhow!("{shown}: {what}"))?;
    telling.finish().with_context(writing)
}

/// What an import says, ending in a line break.
pub fn text(imported: &Imported) -> String {
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = write_text(&mut out, imported);
    out
}

fn write_text(out: &mut String, imported: &Imported) -> std::fmt::Result {
    let Imported { contents, others, calls, heard, scenario, trace } = imported;
    let Contents { packets, datagrams, cut_short, truncated } = contents;
    write!(out, "capture    {packets} packets, {datagrams} of UDP")?;
    if *cut_short > 0 {
        write!(out, ", {cut_short} of them cut short (their headers are enough)")?;
    }
    writeln!(out)?;
    if *truncated {
        writeln!(out, "           it ends in the middle of a packet: what came before was read")?;
    }
    for (gateway, calls) in others {
        writeln!(out, "left out   {calls} calls with {gateway}: choose with --gateway {gateway}")?;
    }
    let silent = calls.iter().filter(|call| !call.echoes).count();
    let sum = |count: fn(&CallAccount) -> u64| calls.iter().map(count).sum::<u64>();
    let longest = calls.iter().map(|call| call.lasting).max().unwrap_or_default();
    writeln!(
        out,
        "calls      {}, the longest {:.1} s; {} frames of {} ms",
        calls.len(),
        longest.as_secs_f64(),
        heard.frames,
        calls.first().map_or(0, |call| call.frame.as_millis())
    )?;
    let frames: BTreeSet<Duration> = calls.iter().map(|call| call.frame).collect();
    let talkspurts: usize = calls.iter().map(|call| call.talkspurts).sum();
    if talkspurts > calls.len() {
        writeln!(
            out,
            "           in {talkspurts} talkspurts: pauses between them are no gaps; a replay speaks all \
             the time"
        )?;
    }
    if frames.len() > 1 {
        let first = calls[0].frame.as_millis();
        writeln!(
            out,
            "           of several frame durations: the scenario has {first} ms for all"
        )?;
    }
    let left_out = sum(|call| call.left_out);
    if left_out > 0 {
        writeln!(
            out,
            "left out   {left_out} packets: their media time or sequence leaps, or is over 7 hours from \
             the first"
        )?;
    }
    if silent > 0 {
        writeln!(
            out,
            "           of {silent} the answers do not tell which frame they answer: their uplink \
             alone was traced, and is what is heard below"
        )?;
    }
    writeln!(
        out,
        "network    {} frames lost on the uplink, {} without an answer, {} reordered",
        sum(|call| call.lost_up),
        sum(|call| call.lost_down),
        sum(|call| call.reordered)
    )?;
    let mut loss = LossRuns::default();
    for call in calls {
        loss.merge(&call.heard.loss);
    }
    if let Some(mean) = loss.mean_run() {
        writeln!(
            out,
            "bursts     {mean:.1} frames lost in a row on average, {} at most",
            loss.longest_run()
        )?;
    }
    if let Some(mean) = heard.rfc3550_jitter_ms {
        let of_calls = calls.iter().filter_map(|call| Some(call.heard.rfc3550?.settled));
        let worst = of_calls.max().unwrap_or_default().as_secs_f64() * 1e3;
        writeln!(out, "jitter     rfc3550 {mean:.2} ms (worst call {worst:.2})")?;
    }
    if let (Some(stutters), Some(gap), Some(loss)) =
        (heard.stutter_per_minute, heard.longest_gap_ms, heard.effective_loss_percent)
    {
        writeln!(
            out,
            "playout    {stutters:.1} stutters a minute, longest gap {gap:.0} ms, effective loss {loss:.2} %"
        )?;
    }
    writeln!(out, "\nwrote {} and {}", trace.display(), scenario.display())?;
    let directory = scenario.parent().unwrap_or(Path::new("."));
    writeln!(out, "play it again: din replay {}", directory.display())
}
