//! `din import mahimahi`: a recorded link, as the tools of mahimahi play it.
//!
//! Each line is a millisecond in which the link could send a packet of 1,500 bytes; after the last one
//! the trace begins anew. Audio is far below such a link's rate, so a packet of a device waits for the
//! next opportunity and shares it with others: its delay is the time to there. Queues of other traffic
//! are not in it.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, BufWriter};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use measure::heard::HeardRecord;
use simnet::{Point, Stream, Trace};

use super::{Replayed, SCENARIO, TRACE};
use crate::hearing::heard_through;
use crate::replay;

/// What an opportunity carries, in bytes.
const PACKET: u64 = 1500;
/// The longest link trace: a day.
const LONGEST_MS: u64 = 86_400_000;
/// What is played of a longer one.
const MOST: Duration = Duration::from_mins(10);

/// What was recorded of a link in one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Milliseconds in which it could send, and how often in each; in order.
    opportunities: Vec<(u64, u64)>,
}

impl Link {
    /// Reads a trace.
    ///
    /// # Errors
    /// Where a line is no millisecond or goes back, and when there is none.
    pub fn read(reader: impl BufRead) -> Result<Self, String> {
        let mut opportunities: Vec<(u64, u64)> = Vec::new();
        for (number, line) in (1..).zip(reader.lines()) {
            let line = line.map_err(|error| format!("line {number}: {error}"))?;
            let text = line.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let at: u64 = text.parse().ok().filter(|at| *at <= LONGEST_MS).ok_or_else(|| {
                format!(
                    "line {number}: `{text}`: a line is a whole number of milliseconds, up to a day"
                )
            })?;
            match opportunities.last_mut() {
                Some((last, _)) if *last > at => {
                    return Err(format!(
                        "line {number}: {at} comes after {last}: times never go back"
                    ));
                }
                Some((last, times)) if *last == at => *times += 1,
                _ => opportunities.push((at, 1)),
            }
        }
        match opportunities.last() {
            None => Err("no line in it; each is a millisecond in which the link could send".into()),
            Some((0, _)) => Err("all of it is at 0 ms: it has no length".into()),
            Some(_) => Ok(Self { opportunities }),
        }
    }

    /// After which it begins anew.
    pub fn length(&self) -> Duration {
        Duration::from_millis(self.length_ms())
    }

    fn length_ms(&self) -> u64 {
        self.opportunities.last().map_or(0, |(at, _)| *at)
    }

    /// Mean rate in Mbit/s.
    pub fn mbits_per_second(&self) -> f64 {
        let packets: u64 = self.opportunities.iter().map(|(_, times)| times).sum();
        (packets * PACKET * 8) as f64 / self.length().as_secs_f64() / 1e6
    }

    /// The longest time in which it could not send.
    pub fn longest_outage(&self) -> Duration {
        let ends = self.opportunities.iter().map(|(at, _)| *at);
        let around = ends.clone().next().map(|first| first + self.length_ms());
        let begins = ends.clone();
        let gaps = begins.zip(ends.skip(1).chain(around)).map(|(from, to)| to - from);
        Duration::from_millis(gaps.max().unwrap_or(0))
    }

    /// The delay of what enters in each millisecond up to `length`, where it changes.
    fn points(&self, length: Duration) -> Vec<Point> {
        let whole = self.length_ms();
        let (mut next, mut turns) = (0, 0);
        let mut points: Vec<Point> = Vec::new();
        let length = u64::try_from(length.as_millis()).unwrap_or(LONGEST_MS);
        for at in 0..length {
            while turns * whole + self.opportunities[next].0 < at {
                next += 1;
                if next == self.opportunities.len() {
                    (next, turns) = (0, turns + 1);
                }
            }
            let delay = Duration::from_millis(turns * whole + self.opportunities[next].0 - at);
            // The last one says how long the trace is.
            let new = points.last().is_none_or(|last| last.delay != Some(delay));
            if new || at + 1 == length {
                points.push(Point { at: Duration::from_millis(at), delay: Some(delay) });
            }
        }
        points
    }
}

/// What was made of a link's traces.
#[derive(Debug)]
pub struct Imported {
    /// To the gateway.
    pub uplink: Link,
    /// To the device; `None`: as fast as it likes.
    pub downlink: Option<Link>,
    /// What a device hears through it.
    pub heard: HeardRecord,
    /// How much of it is played.
    pub lasting: Duration,
    /// The directory with the trace and its scenario.
    pub out: PathBuf,
}

/// Reads a link's traces and writes a trace of Din's and a scenario into the directory `out`.
///
/// # Errors
/// When one cannot be read or is none, or `out` cannot be written.
pub fn import_link(uplink: &Path, downlink: Option<&Path>, out: &Path) -> anyhow::Result<Imported> {
    let read = |path: &Path| {
        let shown = path.display();
        let file = File::open(path).with_context(|| format!("cannot open {shown}"))?;
        Link::read(BufReader::new(file)).map_err(|what| anyhow::anyhow!("{shown}: {what}"))
    };
    let name = uplink.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let (up, down) = (read(uplink)?, downlink.map(read).transpose()?);
    let lasting = down.iter().chain([&up]).map(Link::length).max().unwrap_or_default().min(MOST);
    let points = |link: &Link| link.points(lasting);
    let stream = Stream { up: points(&up), down: down.as_ref().map(points).unwrap_or_default() };
    let trace = Trace::new(vec![stream]);
    let frame = Duration::from_millis(60);
    let heard = heard_through(format!("link {name}"), &trace, frame);
    fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
    let write = |file: &str, written: io::Result<()>| {
        written.with_context(|| format!("cannot write {}", out.join(file).display()))
    };
    let file = File::create(out.join(TRACE));
    write(TRACE, file.and_then(|file| trace.write(BufWriter::new(file))))?;
    let replayed = Replayed {
        written_by: "din import mahimahi",
        name: &name,
        trace: TRACE,
        frame,
        devices: 1,
        lasting,
        heard: &heard,
    };
    write(SCENARIO, fs::write(out.join(SCENARIO), replayed.scenario_text()))?;
    replay::keep(&heard, out)?;
    Ok(Imported { uplink: up, downlink: down, heard, lasting, out: out.to_owned() })
}

/// What an import says, ending in a line break.
pub fn text(imported: &Imported) -> String {
    let mut out = String::new();
    for (label, link) in
        [("uplink", Some(&imported.uplink)), ("downlink", imported.downlink.as_ref())]
    {
        // Writing to a String does not fail.
        let _ = match link {
            None => writeln!(out, "{label:<10} not impaired: name its trace as well"),
            Some(link) => writeln!(
                out,
                "{label:<10} {:.1} s, {:.2} Mbit/s on average, longest outage {:.0} ms",
                link.length().as_secs_f64(),
                link.mbits_per_second(),
                link.longest_outage().as_secs_f64() * 1e3
            ),
        };
    }
    let lasting = imported.lasting.as_secs_f64();
    let _ = writeln!(out, "{}", super::heard_text(&imported.heard));
    let _ = writeln!(out, "\nplay {lasting:.1} s of it: din replay {}", imported.out.display());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(text: &str) -> Result<Link, String> {
        Link::read(text.as_bytes())
    }

    #[test]
    fn what_enters_waits_for_the_next_opportunity_and_the_trace_begins_anew() {
        let link = link("2\n2\n5\n# a tunnel\n10\n").unwrap();
        let delays = |length| -> Vec<(u128, u128)> {
            let points = link.points(Duration::from_millis(length)).into_iter();
            points.map(|point| (point.at.as_millis(), point.delay.unwrap().as_millis())).collect()
        };
        // After 10 ms come 12, 15 and 20.
        let first =
            [(0, 2), (1, 1), (2, 0), (3, 2), (4, 1), (5, 0), (6, 4), (7, 3), (8, 2), (9, 1)];
        assert_eq!(delays(10), first);
        assert_eq!(delays(14)[10..], [(10, 0), (11, 1), (12, 0), (13, 2)]);
        assert_eq!(link.longest_outage(), Duration::from_millis(5));
        assert!((link.mbits_per_second() - 4.8).abs() < 1e-9);
    }

    #[test]
    fn what_is_no_link_trace_is_told() {
        for (text, says) in [
            ("", "no line in it"),
            ("0\n0\n", "it has no length"),
            ("1\nx\n", "line 2: `x`"),
            ("1\n99999999999\n", "line 2"),
            ("7\n3\n", "line 2: 3 comes after 7"),
            ("1.5\n", "line 1: `1.5`"),
        ] {
            let error = link(text).unwrap_err();
            assert!(error.contains(says), "{text:?}: {error}");
        }
    }
}
