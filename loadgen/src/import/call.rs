//! One call of a capture: its clock, its talkspurts, and its frames on their way.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use protocol::packet::{HEADER_LEN, Header};

use super::capture::Datagram;

/// Sequence numbers further off than this from the one before belong to no call.
const LONGEST_GAP: u32 = 2000;
/// Of a device without timestamps: so long without a packet is a pause, unless packets held back follow.
pub(super) const PAUSE: Duration = Duration::from_millis(400);
/// The most talkspurts of one call.
const MAX_SPURTS: usize = 100_000;
/// The frame durations that devices use, in ms.
pub(super) const FRAMES_MS: [u64; 6] = [20, 40, 60, 80, 100, 120];

/// The header of a datagram, if it is one of our protocol, and whether it goes to the device.
pub(super) fn header(datagram: &Datagram<'_>) -> Option<Header> {
    let head = datagram.bytes.get(..HEADER_LEN)?;
    let mut whole = [0; HEADER_LEN + 1];
    whole[..HEADER_LEN].copy_from_slice(head);
    let said = u16::from_be_bytes([head[2], head[3]]);
    // The payload may be cut off: it is the wire's length that has to agree.
    if usize::from(said) + HEADER_LEN != datagram.wire_len {
        return None;
    }
    whole[2..4].copy_from_slice(&1u16.to_be_bytes());
    Header::decode(&whole).ok()
}

/// What the passes agree on about one call.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// In the order of their first packets, from 0.
    pub(super) number: usize,
    pub(super) gateway: SocketAddr,
    pub(super) began: Duration,
    pub(super) first: u32,
    pub(super) first_timestamp: u32,
    pub(super) newest: (u32, u32),
    pub(super) newest_at: Duration,
    pub(super) up: u64,
    pub(super) down: u64,
    /// By entry of [`FRAMES_MS`], how many packets followed the one before by that much media time.
    pub(super) steps: [u64; FRAMES_MS.len()],
    /// How many packets followed the one before at all.
    pub(super) followed: u64,
    /// How many of them before a pause, and how long after the one before, together.
    pub(super) soon: (u32, Duration),
    pub(super) frame: Duration,
    /// Whether timestamps tell media time; if not, the sequence does.
    pub(super) clock: bool,
    pub(super) up_floor: i64,
    pub(super) down_floor: i64,
    pub(super) matched: u64,
    /// Packets of the uplink that are of no use.
    pub(super) left_out: u64,
    /// After the first one, in their order.
    pub(super) spurts: Vec<Spurt>,
    pub(super) flight: Flight,
}

/// A stretch of speech.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spurt {
    /// The sequence of its first frame.
    pub(super) first: u32,
    /// Silence before it and the earlier ones that the sequence does not tell, in ns.
    pub(super) silence: i64,
}

/// Frames on their way, by sequence.
#[derive(Clone, Debug, Default)]
pub(super) struct Flight(pub(super) BTreeMap<u32, Frame>);

#[derive(Clone, Copy, Debug)]
pub(super) struct Frame {
    pub(super) sequence: u32,
    pub(super) timestamp: u32,
    /// Its media time after that of the first frame, in ns.
    pub(super) media: i64,
    pub(super) at: Duration,
    pub(super) answered: Option<Duration>,
}

impl Call {
    pub(super) fn new(number: usize, gateway: SocketAddr, at: Duration) -> Self {
        Self {
            number,
            gateway,
            began: at,
            first: 0,
            first_timestamp: 0,
            newest: (0, 0),
            newest_at: at,
            up: 0,
            down: 0,
            steps: [0; FRAMES_MS.len()],
            followed: 0,
            soon: (0, Duration::ZERO),
            frame: Duration::from_millis(60),
            clock: false,
            up_floor: i64::MAX,
            down_floor: i64::MAX,
            matched: 0,
            left_out: 0,
            spurts: Vec::new(),
            flight: Flight::default(),
        }
    }

    /// Whether a sequence can be of this call.
    pub(super) fn near(&self, sequence: u32) -> bool {
        self.up == 0 || sequence.abs_diff(self.newest.0) <= LONGEST_GAP
    }

    /// Media time of a packet after that of the first one, in ns.
    pub(super) fn media(&self, sequence: u32, timestamp: u32) -> i64 {
        if self.clock {
            (i64::from(timestamp) - i64::from(self.first_timestamp)) * 1_000_000
        } else {
            let (_, silence) = self.spurt(sequence);
            (i64::from(sequence) - i64::from(self.first)) * nanos(self.frame) + silence
        }
    }

    /// How many talkspurts are before that of a frame, and the silence before it.
    pub(super) fn spurt(&self, sequence: u32) -> (usize, i64) {
        let before = self.spurts.partition_point(|spurt| spurt.first <= sequence);
        (before, before.checked_sub(1).map_or(0, |last| self.spurts[last].silence))
    }

    /// The first sequence of a talkspurt.
    pub(super) fn begins(&self, spurt: usize) -> u32 {
        spurt.checked_sub(1).map_or(self.first, |index| self.spurts[index].first)
    }

    /// Takes note of a pause after the oldest frame on its way, if the next ones show one.
    pub(super) fn note_pause(&mut self) {
        let mut oldest = self.flight.0.values();
        let (Some(a), Some(b)) = (oldest.next(), oldest.next()) else { return };
        let due = i64::from(b.sequence - a.sequence) * nanos(self.frame);
        let silence = if self.clock {
            b.media - a.media - due
        } else {
            let burst = oldest.next().is_some_and(|c| c.at.saturating_sub(b.at) < self.frame / 2);
            let quiet = b.at.saturating_sub(a.at);
            if burst || quiet < PAUSE { 0 } else { nanos(quiet) - due }
        };
        let (_, before) = self.spurt(b.sequence);
        let newest = self.spurts.last().map_or(self.first, |spurt| spurt.first);
        if silence > nanos(self.frame) && b.sequence > newest && self.spurts.len() < MAX_SPURTS {
            let silence = before + if self.clock { 0 } else { silence };
            self.spurts.push(Spurt { first: b.sequence, silence });
        }
    }

    /// How long after its media time a packet was seen, in ns, plus something constant.
    pub(super) fn transit(&self, at: Duration, media: i64) -> i64 {
        (nanos(at) - nanos(self.began)).saturating_sub(media)
    }

    /// Whether its answers tell which frame they answer.
    pub(super) fn echoes(&self) -> bool {
        self.clock && self.matched * 2 > self.down && self.down > 0
    }
}

pub(super) fn nanos(span: Duration) -> i64 {
    i64::try_from(span.as_nanos()).unwrap_or(i64::MAX)
}

pub(super) fn span(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}
