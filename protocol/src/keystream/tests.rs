use super::*;
use crate::packet::{DOWNLINK_FLAG, Header};
use crate::{MediaTimestamp, Sequence, Ssrc};
use proptest::prelude::*;

/// A packet as the watch is told of it.
#[derive(Clone, Copy, Debug)]
struct Packet {
    direction: Direction,
    flags: u8,
    ssrc: u32,
    timestamp: u32,
    sequence: u32,
    payload_len: u16,
}

/// 60 ms after 60 ms, a hundred bytes each.
const fn nth(n: u32) -> Packet {
    let direction = Direction::Uplink;
    Packet { direction, flags: 0, ssrc: 7, timestamp: n * 60, sequence: n, payload_len: 100 }
}

impl Packet {
    fn header(self) -> [u8; HEADER_LEN] {
        Header {
            flags: self.flags,
            payload_len: self.payload_len,
            ssrc: Ssrc::new(self.ssrc),
            timestamp: MediaTimestamp::from_millis(self.timestamp),
            sequence: Sequence::new(self.sequence),
        }
        .encode()
    }

    fn answered(self, flags: u8) -> Self {
        Self { direction: Direction::Downlink, flags, ..self }
    }

    fn tell(self, watch: &mut KeystreamWatch) -> Option<Reuse> {
        watch.used(self.direction, self.header(), usize::from(self.payload_len))
    }

    fn shares(self, blocks: usize) -> Reuse {
        Reuse { direction: self.direction, earlier: self.header(), blocks }
    }
}

#[test]
fn streams_whose_timestamps_advance_never_meet_each_other_or_what_they_forgot() {
    let mut watch = KeystreamWatch::new();
    for n in 1..1000 {
        let packet = Packet { payload_len: 1 + (n * 37 % 1400) as u16, ..nth(n) };
        assert_eq!(packet.tell(&mut watch), None);
        assert_eq!(packet.answered(DOWNLINK_FLAG).tell(&mut watch), None);
    }
    assert_eq!(watch.uncertain(), 0);
}

#[test]
fn constant_timestamps_and_lengths_share_all_blocks_but_the_first() {
    for (payload_len, shared) in [(16, None), (17, Some(1)), (100, Some(6)), (1456, Some(90))] {
        let mut watch = KeystreamWatch::new();
        let constant = |n| Packet { timestamp: 0, payload_len, ..nth(n) };
        assert_eq!(constant(1).tell(&mut watch), None);
        for n in 2..200 {
            let reuse = constant(n).tell(&mut watch);
            assert_eq!(reuse, shared.map(|blocks| constant(n - 1).shares(blocks)), "{n}");
        }
        assert_eq!(watch.uncertain(), 0);
    }
}

#[test]
fn another_length_or_a_step_of_the_sequence_as_wide_as_the_packet_keeps_packets_apart() {
    let mut watch = KeystreamWatch::new();
    for (n, step) in [(7u32, 0u16), (14, 0), (15, 1), (16, 2)] {
        let packet = Packet { timestamp: 0, payload_len: 100 + step, ..nth(n) };
        assert_eq!(packet.tell(&mut watch), None, "{n}");
    }
    let closer = Packet { timestamp: 0, ..nth(20) };
    assert_eq!(closer.tell(&mut watch), Some(Packet { timestamp: 0, ..nth(14) }.shares(1)));
}

#[test]
fn equal_headers_in_both_directions_share_everything_and_the_flag_keeps_them_apart() {
    let mut watch = KeystreamWatch::new();
    assert_eq!(nth(1).tell(&mut watch), None);
    assert_eq!(nth(1).answered(DOWNLINK_FLAG).tell(&mut watch), None);
    assert_eq!(nth(1).answered(0).tell(&mut watch), Some(nth(1).shares(7)));
    let again = nth(1).answered(DOWNLINK_FLAG);
    assert_eq!(again.tell(&mut watch), Some(again.shares(7)));
}

#[test]
fn of_several_the_packet_with_most_keystream_in_common_is_named() {
    let mut watch = KeystreamWatch::new();
    let constant = |n| Packet { timestamp: 0, ..nth(n) };
    for n in [10, 30] {
        assert_eq!(constant(n).tell(&mut watch), None);
    }
    assert_eq!(constant(33).tell(&mut watch), Some(constant(30).shares(4)));
    assert_eq!(constant(28).tell(&mut watch), Some(constant(30).shares(5)));
}

#[test]
fn what_is_too_long_ago_is_uncertain_and_counted() {
    let mut watch = KeystreamWatch::new();
    for n in 1..=65 {
        assert_eq!(nth(n).tell(&mut watch), None);
    }
    assert_eq!(nth(2).tell(&mut watch), Some(nth(2).shares(7)), "the oldest remembered");
    assert_eq!(watch.uncertain(), 0);
    assert_eq!(nth(1).tell(&mut watch), None, "forgotten");
    assert_eq!(watch.uncertain(), 1);
    assert_eq!(nth(1).answered(DOWNLINK_FLAG).tell(&mut watch), None);
    assert_eq!(watch.uncertain(), 1, "flags that no forgotten packet had");
    assert_eq!(Packet { ssrc: 8, ..nth(1) }.tell(&mut watch), None);
    assert_eq!(watch.uncertain(), 1, "an ssrc that no forgotten packet had");
}

#[test]
fn counting_on_past_the_last_sequence_reaches_the_next_timestamp_and_ssrc() {
    let last = |timestamp| Packet { timestamp, sequence: u32::MAX, ..nth(1) };
    let first = |ssrc, timestamp| Packet { ssrc, timestamp, sequence: 0, ..nth(1) };
    for (one, other) in [(last(59), first(7, 60)), (last(u32::MAX), first(8, 0))] {
        for (earlier, later) in [(one, other), (other, one)] {
            let mut watch = KeystreamWatch::new();
            assert_eq!(earlier.tell(&mut watch), None);
            assert_eq!(later.tell(&mut watch), Some(earlier.shares(6)));
        }
    }
}

#[test]
fn keys_and_nonces_are_granted_once() {
    let (key, nonce) =
        (|byte| MediaKey::new([byte; 16]), |ssrc| NonceTemplate::new(Ssrc::new(ssrc), 0));
    let mut watch = GrantWatch::new();
    for (granted, expected) in [
        ((1, 1), None),
        ((2, 2), None),
        ((1, 3), Some(Replay::Key)),
        ((3, 2), Some(Replay::Nonce)),
        ((1, 1), Some(Replay::Both)),
        ((3, 3), Some(Replay::Both)),
        ((4, 4), None),
    ] {
        assert_eq!(watch.granted(&key(granted.0), nonce(granted.1)), expected, "{granted:?}");
    }
}

/// Packets so alike that many of them meet, also across the ends of sequence and timestamp.
fn packet() -> impl Strategy<Value = Packet> {
    let near_wrap = |range: u32| (0..range).prop_map(move |n| n.wrapping_sub(range / 2));
    let payload_len = prop_oneof![Just(0u16), Just(16), Just(40), Just(200)];
    (any::<bool>(), any::<bool>(), 0..2u32, near_wrap(4), near_wrap(60), payload_len).prop_map(
        |(up, flag, ssrc, timestamp, sequence, payload_len)| Packet {
            direction: if up { Direction::Uplink } else { Direction::Downlink },
            flags: if flag { DOWNLINK_FLAG } else { 0 },
            ssrc,
            timestamp,
            sequence,
            payload_len,
        },
    )
}

proptest! {
    /// Against the set of all blocks: what is found is there; what is neither found nor uncertain
    /// is not.
    #[test]
    fn the_watch_agrees_with_a_set_of_all_blocks(
        packets in proptest::collection::vec(packet(), 1..400),
    ) {
        let mut watch = KeystreamWatch::new();
        let mut taken = HashSet::new();
        for (told, packet) in packets.into_iter().enumerate() {
            let first = u128::from_be_bytes(packet.header());
            let blocks = u128::from(packet.payload_len.div_ceil(16));
            let meets = (0..blocks).any(|n| taken.contains(&first.wrapping_add(n)));
            let uncertain = watch.uncertain();
            let found = packet.tell(&mut watch).is_some();
            prop_assert!(!found || meets, "{packet:?}");
            if watch.uncertain() == uncertain {
                prop_assert_eq!(found, meets, "{:?}", packet);
            } else {
                prop_assert!(told >= 64 && !found);
            }
            taken.extend((0..blocks).map(|n| first.wrapping_add(n)));
        }
    }
}
