//! The calls of a capture: what became of each frame between the device and where was captured.
//!
//! A call is told by its connection id (ssrc), and its directions by the downlink's flag or, without
//! it, by who spoke first. Where the capture was taken does not matter: the delay of the uplink is
//! that of a packet's arrival there after its media time, less the smallest of the call; that of the
//! downlink is the time from a frame to its answer, less the smallest. Taken at the gateway, all of
//! the network is in the former; taken at the device, all is in the latter.
//!
//! A device that stops to speak between its sequences has talkspurts: media time leaps while the sequence
//! goes on, or, of a device without timestamps, nothing comes for a while and then no burst. Silence
//! between them is no gap.
//!
//! Three passes over the file, so that memory stays flat: which calls there are ([`Survey`]), their
//! smallest delays ([`Floors`]), and what became of their frames ([`Telling`]).

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use measure::heard::{HeardSecond, HeardSeconds};
use measure::playout::Gaps;
use measure::{Distribution, Quantity};
use protocol::Moment;
use protocol::packet::DOWNLINK_FLAG;
use simnet::{Direction, Point, TraceWriter};

use super::call::{Call, FRAMES_MS, Frame, PAUSE, header, nanos, span};
use super::capture::Datagram;
use crate::media::experience::{Experience, Experienced};

/// The most calls of one capture.
const MAX_CALLS: usize = 10_000;
/// What is longer, as media time or as a delay, is of a broken clock: its packet is left out. A trace
/// holds a day.
const LONGEST_NS: i64 = 7 * 3600 * 1_000_000_000;
/// Frames whose fate is still open: a later packet of the call may tell it.
const REACH: usize = 1024;

/// The first pass: which calls there are.
#[derive(Debug, Default)]
pub struct Survey {
    calls: HashMap<u32, Call>,
}

impl Survey {
    /// Takes note of a datagram.
    ///
    /// # Errors
    /// When there are too many calls.
    pub fn datagram(&mut self, datagram: &Datagram<'_>) -> Result<(), String> {
        let Some(header) = header(datagram) else { return Ok(()) };
        let to_device = header.flags & DOWNLINK_FLAG != 0;
        let number = self.calls.len();
        let ssrc = header.ssrc.get();
        if number == MAX_CALLS && !self.calls.contains_key(&ssrc) {
            return Err(format!("over {MAX_CALLS} calls: cut the capture"));
        }
        let call = self.calls.entry(ssrc).or_insert_with(|| {
            let gateway = if to_device { datagram.source } else { datagram.destination };
            Call::new(number, gateway, datagram.at)
        });
        if datagram.source == call.gateway {
            call.down += 1;
        } else if datagram.destination == call.gateway {
            let (sequence, timestamp) = (header.sequence.get(), header.timestamp.as_millis());
            if !call.near(sequence) {
                return Ok(());
            }
            if call.up == 0 || sequence < call.first {
                (call.first, call.first_timestamp) = (sequence, timestamp);
            }
            if call.up > 0 && sequence == call.newest.0.wrapping_add(1) {
                call.followed += 1;
                let after = datagram.at.saturating_sub(call.newest_at);
                if after < PAUSE {
                    call.soon = (call.soon.0.saturating_add(1), call.soon.1 + after);
                }
                let step = u64::from(timestamp.wrapping_sub(call.newest.1));
                if let Some(known) = FRAMES_MS.iter().position(|ms| *ms == step) {
                    call.steps[known] += 1;
                }
            }
            call.up += 1;
            call.newest = (sequence, timestamp);
            call.newest_at = datagram.at;
        }
        Ok(())
    }

    /// The calls of one gateway, for the next pass: of `gateway`, or of the one with most frames.
    ///
    /// # Errors
    /// When there is none.
    pub fn floors(mut self, gateway: Option<SocketAddr>) -> Result<Floors, String> {
        self.calls.retain(|_, call| call.up > 1);
        let mut frames: BTreeMap<SocketAddr, (u64, usize)> = BTreeMap::new();
        for call in self.calls.values() {
            let of = frames.entry(call.gateway).or_default();
            *of = (of.0 + call.up, of.1 + 1);
        }
        let busiest = frames.iter().max_by_key(|(_, of)| **of).map(|(gateway, _)| *gateway);
        let chosen = gateway.or(busiest);
        let others: Vec<(SocketAddr, usize)> = frames
            .iter()
            .filter(|(other, _)| Some(**other) != chosen)
            .map(|(other, (_, calls))| (*other, *calls))
            .collect();
        self.calls.retain(|_, call| Some(call.gateway) == chosen);
        if let (true, Some(gateway), false) = (self.calls.is_empty(), gateway, others.is_empty()) {
            let there: Vec<_> = others.iter().map(|(other, _)| other.to_string()).collect();
            return Err(format!(
                "no call with {gateway}; there are calls with {}.",
                there.join(", ")
            ));
        }
        if self.calls.is_empty() {
            return Err("no call in it: no UDP datagrams that begin with our header (type 1, flags, \
                        length, ssrc, timestamp, sequence) from a device; was it taken at the media \
                        port?"
                .to_owned());
        }
        let mut by_age: Vec<&mut Call> = self.calls.values_mut().collect();
        by_age.sort_by_key(|call| call.number);
        for (number, call) in by_age.into_iter().enumerate() {
            call.number = number;
            let (usual, steps) = (0..FRAMES_MS.len())
                .map(|known| (known, call.steps[known]))
                .max_by_key(|(_, steps)| *steps)
                .unwrap_or_default();
            // Silence makes some steps longer; a device without a clock has none that is known.
            call.clock = steps > 0 && steps * 2 >= call.followed;
            call.frame = Duration::from_millis(if call.clock {
                FRAMES_MS[usual]
            } else {
                let (count, together) = call.soon;
                let between = together.checked_div(count).unwrap_or_default().as_millis();
                let between = u64::try_from(between).unwrap_or(u64::MAX);
                *FRAMES_MS.iter().min_by_key(|ms| ms.abs_diff(between)).unwrap_or(&60)
            });
            call.up = 0;
        }
        Ok(Floors { calls: self.calls, others })
    }
}

/// The second pass: the smallest delays.
#[derive(Debug)]
pub struct Floors {
    calls: HashMap<u32, Call>,
    others: Vec<(SocketAddr, usize)>,
}

/// What a datagram is to its call.
enum Seen {
    Up { frame: Frame, first: bool, sequence: u32 },
    Down { of: Frame, first: bool },
    Nothing,
}

fn look(calls: &mut HashMap<u32, Call>, datagram: &Datagram<'_>) -> Option<(u32, Seen)> {
    let header = header(datagram)?;
    let ssrc = header.ssrc.get();
    let call = calls.get_mut(&ssrc)?;
    let (sequence, timestamp) = (header.sequence.get(), header.timestamp.as_millis());
    let seen = if datagram.destination == call.gateway && !call.near(sequence) {
        call.left_out += 1;
        Seen::Nothing
    } else if datagram.destination == call.gateway {
        call.up += 1;
        call.newest.0 = sequence;
        let media = call.media(sequence, timestamp);
        let transit = call.transit(datagram.at, media);
        if !(0..LONGEST_NS).contains(&media) || transit.saturating_abs() > LONGEST_NS {
            call.left_out += 1;
            return None;
        }
        let frame = Frame { sequence, timestamp, media, at: datagram.at, answered: None };
        let first = !call.flight.0.contains_key(&sequence);
        if first {
            call.flight.0.insert(sequence, frame);
        }
        Seen::Up { frame, first, sequence }
    } else if datagram.source == call.gateway && call.clock {
        let mut newest_first = call.flight.0.values_mut().rev();
        match newest_first.find(|frame| frame.timestamp == timestamp) {
            Some(frame) if datagram.at.abs_diff(frame.at) < span(LONGEST_NS) => {
                let first = frame.answered.is_none();
                frame.answered.get_or_insert(datagram.at);
                Seen::Down { of: *frame, first }
            }
            Some(_) | None => Seen::Nothing,
        }
    } else {
        Seen::Nothing
    };
    Some((ssrc, seen))
}

impl Floors {
    /// Other gateways in the capture, which are left out, and their calls.
    pub fn others(&self) -> &[(SocketAddr, usize)] {
        &self.others
    }

    /// Takes note of a datagram.
    pub fn datagram(&mut self, datagram: &Datagram<'_>) {
        let Some((ssrc, seen)) = look(&mut self.calls, datagram) else { return };
        let Some(call) = self.calls.get_mut(&ssrc) else { return };
        match seen {
            Seen::Up { frame, .. } => {
                call.up_floor = call.up_floor.min(call.transit(frame.at, frame.media));
            }
            Seen::Down { of, first } => {
                call.matched += u64::from(first);
                let way = nanos(datagram.at) - nanos(of.at);
                call.down_floor = call.down_floor.min(way);
            }
            Seen::Nothing => {}
        }
        while call.flight.0.len() > REACH {
            call.note_pause();
            call.flight.0.pop_first();
        }
    }

    /// The calls, for the last pass, in which a trace is written.
    ///
    /// # Errors
    /// When the trace cannot be written.
    pub fn telling<W: io::Write>(mut self, trace: W) -> io::Result<Telling<W>> {
        for call in self.calls.values_mut() {
            while !call.flight.0.is_empty() {
                call.note_pause();
                call.flight.0.pop_first();
            }
            (call.up, call.left_out) = (0, 0);
        }
        let told = self.calls.iter().map(|(ssrc, call)| (*ssrc, Told::new(call.frame))).collect();
        let trace = TraceWriter::new(trace, self.calls.len() > 1)?;
        Ok(Telling { calls: self.calls, told, trace, seconds: HeardSeconds::default() })
    }
}

/// The last pass: what became of each frame.
pub struct Telling<W> {
    calls: HashMap<u32, Call>,
    told: HashMap<u32, Told>,
    trace: TraceWriter<W>,
    /// Of all calls, from the beginning of each.
    seconds: HeardSeconds,
}

struct Told {
    experience: Experience,
    gaps: Gaps,
    /// The sequence that follows those whose fate is written.
    next: Option<u32>,
    /// Where the next one would be if it was lost, in ns of media time.
    expected: i64,
    /// Answers whose fate is known and that are yet to be written, by when they set out.
    down: BTreeMap<(Duration, u32), Option<Duration>>,
    lost_up: u64,
    lost_down: u64,
    reordered: u64,
    newest: u32,
    /// The talkspurt that is heard.
    spurt: usize,
    /// One more than the last frame of it that was heard.
    heard: u64,
    /// How late the last frame was that came.
    last: Duration,
}

impl Told {
    fn new(frame: Duration) -> Self {
        Self {
            experience: Experience::new(frame),
            gaps: Gaps::new(frame),
            next: None,
            expected: 0,
            down: BTreeMap::new(),
            lost_up: 0,
            lost_down: 0,
            reordered: 0,
            newest: 0,
            spurt: 0,
            heard: 0,
            last: Duration::ZERO,
        }
    }

    fn hear(
        &mut self,
        call: &Call,
        frame: Frame,
        at: Duration,
        first: bool,
        seconds: &mut HeardSeconds,
    ) {
        let (spurt, _) = call.spurt(frame.sequence);
        // What comes after the next talkspurt has begun is of no use to anybody.
        if spurt < self.spurt || frame.sequence < call.begins(spurt) {
            return;
        }
        while self.spurt < spurt {
            let (from, to) = (call.begins(self.spurt), call.begins(self.spurt + 1));
            let frames = u64::from(to - from).max(self.heard);
            self.experience.pause(frames, &mut Distribution::new(Quantity::Time));
            (self.gaps, self.heard, self.spurt) = (Gaps::new(call.frame), 0, self.spurt + 1);
        }
        let position = u64::from(frame.sequence - call.begins(spurt));
        let at = nanos(at.saturating_sub(call.began));
        let at = Moment::from_nanos(u64::try_from(at).unwrap_or(0));
        self.heard = self.heard.max(position + 1);
        self.experience.arrived(position, at, first);
        if self.gaps.arrived(position, at.since_start()).is_some() {
            seconds.stutter(at.since_start());
        }
    }
}

/// What a capture says about one call.
#[derive(Debug)]
pub struct CallAccount {
    /// Its stream in the trace.
    pub stream: usize,
    /// Audio in each packet of the uplink.
    pub frame: Duration,
    /// From its first frame to its last.
    pub lasting: Duration,
    /// Frames of the uplink that did not come to where was captured.
    pub lost_up: u64,
    /// Frames seen there without an answer seen there; 0 where answers do not tell their frame.
    pub lost_down: u64,
    /// Packets of the uplink that came after a later one (RFC 4737).
    pub reordered: u64,
    /// Packets of the uplink whose media time, delay or sequence no call has: over 7 hours, or leaps.
    pub left_out: u64,
    /// Stretches of speech, with pauses between them that are no gaps.
    pub talkspurts: usize,
    /// Whether answers tell which frame they answer; if not, the uplink alone was traced and heard.
    pub echoes: bool,
    /// What somebody who listens there hears: to the answers or, without echo, to the uplink.
    pub heard: Experienced,
}

impl<W: io::Write> Telling<W> {
    /// Takes note of a datagram.
    ///
    /// # Errors
    /// When the trace cannot be written.
    pub fn datagram(&mut self, datagram: &Datagram<'_>) -> io::Result<()> {
        let Some((ssrc, seen)) = look(&mut self.calls, datagram) else { return Ok(()) };
        let (Some(call), Some(told)) = (self.calls.get_mut(&ssrc), self.told.get_mut(&ssrc)) else {
            return Ok(());
        };
        match seen {
            Seen::Up { frame, first, sequence } => {
                told.reordered += u64::from(first && sequence < told.newest);
                told.newest = told.newest.max(sequence);
                if !call.echoes() {
                    told.hear(call, frame, datagram.at, first, &mut self.seconds);
                }
            }
            Seen::Down { of, first } if call.echoes() => {
                told.hear(call, of, datagram.at, first, &mut self.seconds);
            }
            Seen::Down { .. } | Seen::Nothing => {}
        }
        while call.flight.0.len() > REACH {
            settle(call, told, &mut self.trace, &mut self.seconds)?;
        }
        Ok(())
    }

    /// What was told, by stream, and second by second of all.
    ///
    /// # Errors
    /// When the trace cannot be written.
    pub fn finish(mut self) -> io::Result<(Vec<CallAccount>, Vec<HeardSecond>)> {
        let mut calls: Vec<(u32, Call)> = self.calls.into_iter().collect();
        calls.sort_by_key(|(_, call)| call.number);
        let mut accounts = Vec::new();
        for (ssrc, mut call) in calls {
            let Some(mut told) = self.told.remove(&ssrc) else { continue };
            while !call.flight.0.is_empty() {
                settle(&mut call, &mut told, &mut self.trace, &mut self.seconds)?;
            }
            while let Some(((at, _), delay)) = told.down.pop_first() {
                self.trace.point(call.number, Direction::Down, Point { at, delay })?;
            }
            let begun = call.begins(told.spurt);
            let sent = told.next.unwrap_or(begun).saturating_sub(begun);
            let frames = u64::from(sent).max(told.heard);
            accounts.push(CallAccount {
                stream: call.number,
                frame: call.frame,
                lasting: span(told.expected),
                lost_up: told.lost_up,
                lost_down: told.lost_down,
                reordered: told.reordered,
                left_out: call.left_out,
                echoes: call.echoes(),
                talkspurts: call.spurts.len() + 1,
                heard: told.experience.finish(frames, &mut Distribution::new(Quantity::Time)),
            });
        }
        self.trace.finish()?;
        Ok((accounts, self.seconds.finish()))
    }
}

/// Writes what became of the oldest frame, and of those before it that never came.
fn settle<W: io::Write>(
    call: &mut Call,
    told: &mut Told,
    trace: &mut TraceWriter<W>,
    seconds: &mut HeardSeconds,
) -> io::Result<()> {
    let Some((sequence, frame)) = call.flight.0.pop_first() else { return Ok(()) };
    let next = told.next.unwrap_or(call.first);
    // Later than the reach: its fate is written, as lost.
    if sequence < next {
        return Ok(());
    }
    let missing = i64::from(sequence - next).saturating_mul(nanos(call.frame));
    if told.expected.saturating_add(missing) > LONGEST_NS {
        call.left_out += 1;
        return Ok(());
    }
    for _ in next..sequence {
        let point = Point { at: span(told.expected), delay: None };
        trace.point(call.number, Direction::Up, point)?;
        seconds.frame(point.at, None);
        told.lost_up += 1;
        told.expected += nanos(call.frame);
    }
    // A device whose clock goes back is taken to stand still.
    let media = frame.media.max(told.expected.saturating_sub(nanos(call.frame)));
    if media > told.expected + nanos(call.frame) {
        // Whatever is sent in silence comes as what was last heard, not as what was last lost.
        let silence = Point { at: span(told.expected), delay: Some(told.last) };
        trace.point(call.number, Direction::Up, silence)?;
    }
    told.expected = media + nanos(call.frame);
    told.next = Some(sequence.saturating_add(1));
    let delay = span(call.transit(frame.at, frame.media) - call.up_floor);
    told.last = delay;
    trace.point(call.number, Direction::Up, Point { at: span(media), delay: Some(delay) })?;
    let mut whole = Some(delay);
    if call.echoes() {
        let way = frame.answered.map(|at| span(nanos(at) - nanos(frame.at) - call.down_floor));
        told.lost_down += u64::from(way.is_none());
        whole = way.map(|way| delay + way);
        told.down.insert((span(media) + delay, sequence), way);
        while told.down.len() > REACH {
            if let Some(((at, _), delay)) = told.down.pop_first() {
                trace.point(call.number, Direction::Down, Point { at, delay })?;
            }
        }
    }
    seconds.frame(span(media), whole);
    Ok(())
}
