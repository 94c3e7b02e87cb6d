//! Finds keystream that is used twice, and keys and nonces that are handed out twice.
//!
//! A packet's header is its first counter block, and its payload takes one block for each 16 bytes
//! begun, counted up from there as one 128-bit big-endian number (NIST SP 800-38A, CTR). Two
//! payloads under one key that share a counter block share keystream: whoever records both knows
//! their exclusive or. See [`crate::cipher`] for how the header of this protocol invites that.

use std::collections::HashSet;

use crate::cipher::{MediaKey, NonceTemplate};
use crate::packet::HEADER_LEN;

/// Packets remembered for each direction: 3.8 s of 60 ms packets.
const REMEMBERED: usize = 64;

/// Bytes of one counter block.
const BLOCK: usize = 16;

/// Which way a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the device to the gateway.
    Uplink,
    /// From the gateway to the device.
    Downlink,
}

/// A packet that takes keystream which an earlier one of the same key took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reuse {
    /// Which way the earlier packet went.
    pub direction: Direction,
    /// The earlier packet's header.
    pub earlier: [u8; HEADER_LEN],
    /// Counter blocks that both take.
    pub blocks: usize,
}

/// Watches the keystream of one session, which is one key; 4 KB, no allocation. Of these it reads a hundred bytes
/// for a packet beyond all others of its kind, as nearly every packet is, and the whole for others.
///
/// Each datagram is to be told of once: a copy that the network made has the same bytes and gives
/// nothing away. Only the caller sees the bytes, so a packet of an equal header in the same
/// direction is reuse here.
///
/// Exact for the last 64 packets of each direction. Of what was forgotten it keeps how far media
/// time and sequence had come; a packet from before that may take keystream of forgotten packets
/// without being found. Such packets are counted in [`KeystreamWatch::uncertain`]: where that is
/// zero, nothing was missed. Timestamps that advance, and constant ones with an advancing
/// sequence, are never uncertain, nor is a direction whose flags or ssrc the forgotten packets
/// never had.
#[derive(Clone, Debug, Default)]
pub struct KeystreamWatch {
    uplink: Used,
    downlink: Used,
    uncertain: u64,
}

impl KeystreamWatch {
    /// A watch over a key that nothing was sealed with yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a packet of `payload_len` bytes under `header`, and tells of the earlier packet with
    /// which it shares the most keystream, the later of two with equally much.
    pub fn used(
        &mut self,
        direction: Direction,
        header: [u8; HEADER_LEN],
        payload_len: usize,
    ) -> Option<Reuse> {
        let blocks = Blocks {
            first: u128::from_be_bytes(header),
            count: u16::try_from(payload_len.div_ceil(BLOCK)).unwrap_or(u16::MAX),
        };
        let reuse = [(Direction::Uplink, &self.uplink), (Direction::Downlink, &self.downlink)]
            .into_iter()
            .filter(|(_, used)| used.may_have_taken(blocks))
            .flat_map(|(direction, used)| used.recent().map(move |earlier| (direction, earlier)))
            .map(|(direction, earlier)| Reuse {
                direction,
                earlier: earlier.first.to_be_bytes(),
                blocks: earlier.shared_with(blocks),
            })
            .filter(|reuse| reuse.blocks > 0)
            .max_by_key(|reuse| reuse.blocks);
        let forgotten =
            self.uplink.may_have_forgotten(blocks) || self.downlink.may_have_forgotten(blocks);
        self.uncertain += u64::from(reuse.is_none() && forgotten);
        match direction {
            Direction::Uplink => self.uplink.note(blocks),
            Direction::Downlink => self.downlink.note(blocks),
        }
        reuse
    }

    /// Packets that may share keystream with a packet that is no longer remembered.
    pub fn uncertain(&self) -> u64 {
        self.uncertain
    }
}

/// The counter blocks of one packet.
#[derive(Clone, Copy, Debug, Default)]
struct Blocks {
    first: u128,
    count: u16,
}

impl Blocks {
    /// How many blocks both take. Counters wrap, so only distances are compared.
    fn shared_with(self, other: Self) -> usize {
        let shared = |low: Self, high: Self| {
            let apart = high.first.wrapping_sub(low.first);
            let left = u128::from(low.count).saturating_sub(apart).min(u128::from(high.count));
            usize::try_from(left).expect("at most a count")
        };
        shared(self, other).max(shared(other, self))
    }

    /// Flags and ssrc, with the type; without the length, which lies between them.
    fn session(self) -> u128 {
        self.first & (0xFFFF_0000_FFFF_FFFF << 64)
    }

    /// Timestamp and sequence as one number, which a stream in order counts up.
    fn time(self) -> u64 {
        let [.., t0, t1, t2, t3, s0, s1, s2, s3] = self.first.to_be_bytes();
        u64::from_be_bytes([t0, t1, t2, t3, s0, s1, s2, s3])
    }

    /// The time after the last block.
    fn end(self) -> u128 {
        u128::from(self.time()) + u128::from(self.count)
    }

    /// Whether timestamp and sequence run over, so that the last blocks are of another ssrc.
    fn carries(self) -> bool {
        self.end() > 1 << 64
    }
}

/// Where the blocks of some packets end, and whose they are: enough to say that most packets share nothing with
/// any of them, without a look at each.
#[derive(Clone, Copy, Debug)]
struct Reach {
    /// What the packets have in common; `None` when they differ, or one counted on into the next ssrc.
    session: Option<u128>,
    /// None of them took a block at or after this time.
    end: u128,
}

impl Reach {
    fn of(blocks: Blocks) -> Self {
        Self { session: (!blocks.carries()).then(|| blocks.session()), end: blocks.end() }
    }

    fn and(self, other: Self) -> Self {
        let session = self.session.filter(|_| self.session == other.session);
        Self { session, end: self.end.max(other.end) }
    }

    /// Whether one of the packets may have taken one of `blocks`.
    fn may_have_taken(self, blocks: Blocks) -> bool {
        let same_session = self.session.is_none_or(|session| session == blocks.session());
        blocks.carries() || same_session && u128::from(blocks.time()) < self.end
    }
}

/// What the packets of one direction took.
#[derive(Clone, Debug)]
struct Used {
    /// A ring: packet n (from 0) stands at n modulo the length.
    ring: [Blocks; REMEMBERED],
    noted: usize,
    /// How far all of them came, if there are any.
    all: Option<Reach>,
    /// How far the forgotten ones came, if there are any.
    forgotten: Option<Reach>,
}

impl Default for Used {
    fn default() -> Self {
        let ring = [Blocks::default(); REMEMBERED];
        Self { ring, noted: 0, all: None, forgotten: None }
    }
}

impl Used {
    /// The packets remembered, oldest first.
    fn recent(&self) -> impl Iterator<Item = Blocks> {
        let first = self.noted.saturating_sub(REMEMBERED);
        (first..self.noted).map(|n| self.ring[n % REMEMBERED])
    }

    fn note(&mut self, blocks: Blocks) {
        let join = |reach: Option<Reach>, blocks| {
            let one = Reach::of(blocks);
            Some(reach.map_or(one, |reach| reach.and(one)))
        };
        let place = &mut self.ring[self.noted % REMEMBERED];
        if self.noted >= REMEMBERED {
            self.forgotten = join(self.forgotten, *place);
        }
        self.all = join(self.all, blocks);
        *place = blocks;
        self.noted += 1;
    }

    /// Whether a packet, remembered or not, may have taken one of `blocks`.
    fn may_have_taken(&self, blocks: Blocks) -> bool {
        self.all.is_some_and(|all| all.may_have_taken(blocks))
    }

    /// Whether a forgotten packet may have taken one of `blocks`.
    fn may_have_forgotten(&self, blocks: Blocks) -> bool {
        self.forgotten.is_some_and(|forgotten| forgotten.may_have_taken(blocks))
    }
}

/// What a gateway handed out before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Replay {
    /// The key, with another nonce: keystream of two sessions may meet.
    Key,
    /// The nonce, with another key: packets of two sessions are hard to tell apart, as the ssrc
    /// stands in it.
    Nonce,
    /// Both, together or apart: where together, two sessions use the same keystream.
    Both,
}

/// Watches the keys and nonces that a gateway hands out in a run. Remembers all of them: 64 bytes
/// or so a grant.
#[derive(Clone, Debug, Default)]
pub struct GrantWatch {
    keys: HashSet<MediaKey>,
    nonces: HashSet<NonceTemplate>,
}

impl GrantWatch {
    /// A watch of a run in which nothing was handed out yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes what a hello granted, and tells if it was handed out before.
    pub fn granted(&mut self, key: &MediaKey, nonce: NonceTemplate) -> Option<Replay> {
        let key_is_new = self.keys.insert(key.clone());
        let nonce_is_new = self.nonces.insert(nonce);
        match (key_is_new, nonce_is_new) {
            (true, true) => None,
            (false, true) => Some(Replay::Key),
            (true, false) => Some(Replay::Nonce),
            (false, false) => Some(Replay::Both),
        }
    }
}

#[cfg(test)]
mod tests;
