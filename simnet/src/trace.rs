//! What a network did to packets once: when each entered, in which direction, and how late it came.
//!
//! ```csv
//! t_ms,direction,delay_ms
//! 0.000,up,12.25
//! 60.000,up,LOST
//! 71.500,down,3.100
//! ```
//!
//! `t_ms` counts from the beginning of the trace and never goes back within a direction. A fourth
//! column `stream` tells several devices apart by number, from 0; left out, all is stream 0. Lines
//! that begin with `#` are words for people.

use std::fmt::{self, Write};
use std::io::{self, BufRead};
use std::time::Duration;

/// The most streams of one trace, and the most packets of all of them.
const MAX_STREAMS: usize = 10_000;
const MAX_POINTS: usize = 20_000_000;
/// The longest time in a trace: a day.
const LONGEST: f64 = 86_400e3;

/// Which way packets go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the device to the gateway.
    Up,
    /// From the gateway to the device.
    Down,
}

/// One packet of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Point {
    /// When it entered, from the beginning of the trace.
    pub at: Duration,
    /// How much later it came; `None`: it was lost.
    pub delay: Option<Duration>,
}

/// What became of the packets of one device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stream {
    /// From the device, first ones first.
    pub up: Vec<Point>,
    /// To the device, first ones first.
    pub down: Vec<Point>,
}

/// What a network did to the packets of one device or several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    streams: Vec<Stream>,
}

/// What is wrong with a trace, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceError {
    /// The line, from 1; 0 for the whole file.
    pub line: usize,
    /// What.
    pub what: String,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.what),
            line => write!(f, "line {line}: {}", self.what),
        }
    }
}

impl std::error::Error for TraceError {}

impl Stream {
    /// Its packets in one direction.
    pub fn points(&self, direction: Direction) -> &[Point] {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// What becomes of a packet that enters `at` after the beginning: what became of the newest
    /// packet of the trace by then, or of the first. No delay where the trace has no packets.
    pub fn delay_at(&self, direction: Direction, at: Duration) -> Option<Duration> {
        let points = self.points(direction);
        let after = points.partition_point(|point| point.at <= at);
        points.get(after.saturating_sub(1)).map_or(Some(Duration::ZERO), |point| point.delay)
    }

    /// From its beginning to its last packet and the time to the one that would have followed.
    pub fn length(&self) -> Duration {
        [&self.up, &self.down].map(|points| length(points)).into_iter().max().unwrap_or_default()
    }

    /// For how long its device sends: as [`length`](Self::length), of the uplink where it has one.
    pub fn sending(&self) -> Duration {
        if self.up.is_empty() { self.length() } else { length(&self.up) }
    }
}

/// The last packet lasts as long as packets do on average.
fn length(points: &[Point]) -> Duration {
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return Duration::ZERO };
    let steps = u32::try_from(points.len() - 1).unwrap_or(u32::MAX);
    let span = last.at.saturating_sub(first.at);
    last.at + span.checked_div(steps).unwrap_or(Duration::from_millis(60))
}

impl Trace {
    /// A trace of these streams.
    pub fn new(streams: Vec<Stream>) -> Self {
        Self { streams }
    }

    /// One for each device.
    pub fn streams(&self) -> &[Stream] {
        &self.streams
    }

    /// How long it is: its longest stream.
    pub fn length(&self) -> Duration {
        self.streams.iter().map(Stream::length).max().unwrap_or_default()
    }

    /// For how long devices send: the longest of its streams.
    pub fn sending(&self) -> Duration {
        self.streams.iter().map(Stream::sending).max().unwrap_or_default()
    }

    /// Reads a trace.
    ///
    /// # Errors
    /// When a line is not one of a trace, says times that go back, or there is none.
    pub fn read(mut reader: impl BufRead) -> Result<Self, TraceError> {
        let mut trace = Self::default();
        let (mut line, mut number, mut points, mut head) = (Vec::new(), 0, 0, None);
        loop {
            number += 1;
            let wrong = |what: String| TraceError { line: number, what };
            if read_line(&mut reader, &mut line).map_err(|error| wrong(error.to_string()))? == 0 {
                break;
            }
            let text = std::str::from_utf8(&line).map_err(|_| wrong("not UTF-8".to_owned()))?;
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let Some(columns) = head else {
                head = Some(read_head(text).map_err(wrong)?);
                continue;
            };
            points += 1;
            if points > MAX_POINTS {
                return Err(wrong(format!("over {MAX_POINTS} packets: cut the trace")));
            }
            trace.add(text, columns).map_err(wrong)?;
        }
        if points == 0 {
            let what = "no packet in it; a trace begins with the line `t_ms,direction,delay_ms`";
            return Err(TraceError { line: 0, what: what.to_owned() });
        }
        Ok(trace)
    }

    fn add(&mut self, text: &str, columns: usize) -> Result<(), String> {
        let fields: Vec<&str> = text.split(',').map(str::trim).collect();
        if fields.len() != columns {
            let seen = fields.len();
            return Err(format!("{seen} columns, and the first line names {columns}: `{text}`"));
        }
        let at = millis("t_ms", fields[0])?;
        let delay = match fields[2] {
            "LOST" => None,
            text => Some(millis("delay_ms", text)?),
        };
        let stream = match fields.get(3) {
            None => 0,
            Some(text) => text
                .parse()
                .ok()
                .filter(|stream| *stream < MAX_STREAMS)
                .ok_or_else(|| format!("stream `{text}`: write a number from 0 to 9999"))?,
        };
        if stream >= self.streams.len() {
            self.streams.resize_with(stream + 1, Stream::default);
        }
        let points = match fields[1] {
            "up" => &mut self.streams[stream].up,
            "down" => &mut self.streams[stream].down,
            text => return Err(format!("direction `{text}`: write `up` or `down`")),
        };
        if let Some(before) = points.last()
            && at < before.at
        {
            let before = before.at.as_secs_f64() * 1e3;
            return Err(format!("t_ms {} comes after {before}: sort by time", fields[0]));
        }
        points.push(Point { at, delay });
        Ok(())
    }

    /// The trace as it is written.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn write(&self, out: impl io::Write) -> io::Result<()> {
        let mut writer = TraceWriter::new(out, self.streams.len() > 1)?;
        for (number, stream) in self.streams.iter().enumerate() {
            for direction in [Direction::Up, Direction::Down] {
                for point in stream.points(direction) {
                    writer.point(number, direction, *point)?;
                }
            }
        }
        Ok(())
    }
}

/// Writes a trace packet by packet.
#[derive(Debug)]
pub struct TraceWriter<W> {
    out: W,
    several: bool,
    line: String,
}

impl<W: io::Write> TraceWriter<W> {
    /// A trace of one stream or `several`.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn new(mut out: W, several: bool) -> io::Result<Self> {
        writeln!(out, "t_ms,direction,delay_ms{}", if several { ",stream" } else { "" })?;
        Ok(Self { out, several, line: String::new() })
    }

    /// The next packet of a stream, at or after the one before it in its direction.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn point(&mut self, stream: usize, direction: Direction, point: Point) -> io::Result<()> {
        let name = match direction {
            Direction::Up => "up",
            Direction::Down => "down",
        };
        let line = &mut self.line;
        line.clear();
        // Writing to a String does not fail.
        let _ = write!(line, "{:.3},{name},", point.at.as_secs_f64() * 1e3);
        let _ = match point.delay {
            None => write!(line, "LOST"),
            Some(delay) => write!(line, "{:.3}", delay.as_secs_f64() * 1e3),
        };
        if self.several {
            let _ = write!(line, ",{stream}");
        }
        writeln!(self.out, "{line}")
    }

    /// What was written to, once all is.
    ///
    /// # Errors
    /// When `out` fails.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Reads a line of at most a few hundred bytes: a file that is no text has none.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<usize> {
    const LONGEST_LINE: u64 = 1000;
    line.clear();
    let read = io::Read::take(&mut *reader, LONGEST_LINE).read_until(b'\n', line)?;
    if read as u64 == LONGEST_LINE && !line.ends_with(b"\n") {
        return Err(io::Error::other("a line of over 1000 bytes: this is no trace"));
    }
    Ok(read)
}

fn read_head(text: &str) -> Result<usize, String> {
    let names: Vec<&str> = text.split(',').map(str::trim).collect();
    match &names[..] {
        ["t_ms", "direction", "delay_ms"] => Ok(3),
        ["t_ms", "direction", "delay_ms", "stream"] => Ok(4),
        _ => Err(format!("`{text}`: a trace begins with the line `t_ms,direction,delay_ms`")),
    }
}

fn millis(column: &str, text: &str) -> Result<Duration, String> {
    let value: Option<f64> = text.parse().ok().filter(|millis| (0.0..=LONGEST).contains(millis));
    let nanos = value.map(|millis| Duration::from_secs_f64(millis / 1e3));
    nanos.ok_or_else(|| {
        let or = if column == "delay_ms" { ", or LOST" } else { "" };
        format!("{column} `{text}`: write milliseconds from 0 to {LONGEST}{or}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Trace, TraceError> {
        Trace::read(text.as_bytes())
    }

    const SMALL: &str = "t_ms,direction,delay_ms\n0,up,12.25\n60,up,LOST\n71.5,down,3.1\n";

    #[test]
    fn a_trace_is_read_and_written_again() {
        let trace = read(SMALL).unwrap();
        let mut written = Vec::new();
        trace.write(&mut written).unwrap();
        assert_eq!(Trace::read(&written[..]).unwrap(), trace);
        let several = "# of two\nt_ms,direction,delay_ms,stream\n0,up,1,1\n0,up,2,0\n";
        let several = read(several).unwrap();
        let mut written = Vec::new();
        several.write(&mut written).unwrap();
        assert_eq!(Trace::read(&written[..]).unwrap(), several);
        assert_eq!(several.streams().len(), 2);
    }

    #[test]
    fn packets_share_the_fate_of_the_newest_of_the_trace() {
        let trace = read(SMALL).unwrap();
        let stream = &trace.streams()[0];
        let at = |ms| stream.delay_at(Direction::Up, Duration::from_millis(ms));
        let first = Some(Duration::from_micros(12_250));
        assert_eq!([at(0), at(59), at(60), at(500)], [first, first, None, None]);
        let down = stream.delay_at(Direction::Down, Duration::ZERO);
        assert_eq!(down, Some(Duration::from_micros(3100)), "before the first: as the first");
        assert_eq!(stream.length(), Duration::from_micros(131_500));
        let nothing = Stream::default().delay_at(Direction::Up, Duration::ZERO);
        assert_eq!(nothing, Some(Duration::ZERO));
    }

    #[test]
    fn what_is_no_trace_is_told_where() {
        let head = "t_ms,direction,delay_ms\n";
        for (text, says) in [
            (String::new(), "no packet in it"),
            (head.to_owned(), "no packet in it"),
            ("time,delay\n".to_owned(), "line 1: `time,delay`"),
            (format!("{head}1,up"), "line 2: 2 columns"),
            (format!("{head}x,up,1"), "line 2: t_ms `x`: write milliseconds"),
            (format!("{head}-1,up,1"), "t_ms `-1`"),
            (
                format!("{head}1,up,NaN"),
                "delay_ms `NaN`: write milliseconds from 0 to 86400000, or LOST",
            ),
            (format!("{head}1,side,1"), "direction `side`"),
            (format!("{head}9,up,1\n1,up,1"), "line 3: t_ms 1 comes after 9"),
            ("t_ms,direction,delay_ms,stream\n1,up,1,99999".to_owned(), "stream `99999`"),
            ("x".repeat(2000), "a line of over 1000 bytes"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(says), "{error} <> {says}");
        }
    }
}
