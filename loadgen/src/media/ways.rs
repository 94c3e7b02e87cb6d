//! The simulated network between a device and its gateway, applied in user space on both ways.
//!
//! A packet of the uplink is held before it is sent, to half a slot of the pacer's wheel (250 µs);
//! how late it is let go is measured as impairment lag and judged with the validity of the run. A
//! packet of the downlink is stamped by the kernel as ever and held after it was read: its arrival
//! is that stamp and the delay, exactly, whenever the generator comes to look at it.

use std::cmp::{Ordering as Order, Reverse};
use std::collections::BinaryHeap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use protocol::Moment;
use simnet::{Delivery, Direction, Fate, Path, Rebinds};

use super::call::Call;
use crate::scenario::Network;
use crate::schedule::SLOT;

/// Both ways of one call.
#[derive(Debug)]
pub struct Ways {
    uplink: Mutex<Path>,
    downlink: Mutex<Path>,
    nat: Mutex<Rebinds>,
    lost: AtomicU64,
    rebinds: AtomicU64,
}

/// What a simulated network did to a call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Impaired {
    /// Packets of both directions that it lost.
    pub lost: u64,
    /// Source ports that its NAT gave the device after the first.
    pub rebinds: u64,
}

impl Ways {
    /// The ways of the `rank`-th device of a group under `networks`, each from its moment on, from
    /// `begin` on.
    pub fn new(networks: &[(Moment, Network)], rank: usize, begin: Moment, seed: u64) -> Self {
        let uplink: Vec<_> = networks.iter().map(|(at, one)| (*at, one.uplink.clone())).collect();
        let downlink: Vec<_> =
            networks.iter().map(|(at, one)| (*at, one.downlink.clone())).collect();
        let nat: Vec<_> = networks.iter().map(|(at, one)| (*at, one.rebind)).collect();
        let path = |courses: &[_], direction, seed| {
            Mutex::new(Path::new(courses, direction, rank, begin, seed))
        };
        Self {
            uplink: path(&uplink, Direction::Up, seed),
            // Another stream of random numbers for the other way.
            downlink: path(&downlink, Direction::Down, !seed),
            nat: Mutex::new(Rebinds::new(&nat, begin, seed.rotate_left(32))),
            lost: AtomicU64::new(0),
            rebinds: AtomicU64::new(0),
        }
    }

    /// What becomes of a packet of the uplink that leaves the device at `at`.
    pub(super) fn up(&self, at: Moment, bytes: usize) -> Fate {
        self.decide(&self.uplink, at, bytes)
    }

    /// Whether the NAT gives another port to a packet of the uplink that leaves the device at `at`.
    pub(super) fn rebinds(&self, at: Moment) -> bool {
        let strikes = self.nat.lock().unwrap_or_else(PoisonError::into_inner).strikes(at);
        if strikes {
            self.rebinds.fetch_add(1, Ordering::Relaxed);
        }
        strikes
    }

    /// What becomes of a packet of the downlink that the gateway's network delivers at `at`.
    pub(super) fn down(&self, at: Moment, bytes: usize) -> Fate {
        self.decide(&self.downlink, at, bytes)
    }

    fn decide(&self, path: &Mutex<Path>, at: Moment, bytes: usize) -> Fate {
        let fate = path.lock().unwrap_or_else(PoisonError::into_inner).packet(at, bytes);
        if fate.delivery.is_none() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
        fate
    }

    /// What it did so far.
    pub fn impaired(&self) -> Impaired {
        Impaired {
            lost: self.lost.load(Ordering::Relaxed),
            rebinds: self.rebinds.load(Ordering::Relaxed),
        }
    }
}

/// Turns the bit that the network turns.
pub(super) fn turn_bit(bytes: &mut [u8], delivery: Delivery) {
    if let Some(bit) = delivery.turned_bit
        && let Some(byte) = bytes.get_mut(bit / 8)
    {
        *byte ^= 1 << (bit % 8);
    }
}

/// The slot nearest to `at`: what the pacer can keep to.
pub(super) fn nearest_slot(at: Moment) -> Moment {
    let slot = u64::from(SLOT.subsec_nanos());
    Moment::from_nanos((at.as_nanos() + slot / 2) / slot * slot)
}

/// A packet on its way.
pub(super) struct Held {
    pub call: Arc<Call>,
    pub bytes: Vec<u8>,
    pub at: Moment,
    /// How late it was read, of one from the gateway.
    pub read_lag: Duration,
    /// Which of all; those of one moment keep their order.
    number: u64,
}

impl PartialEq for Held {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Order::Equal
    }
}

impl Eq for Held {}

impl PartialOrd for Held {
    fn partial_cmp(&self, other: &Self) -> Option<Order> {
        Some(self.cmp(other))
    }
}

impl Ord for Held {
    fn cmp(&self, other: &Self) -> Order {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

/// Packets of the downlink on their way, the next first. Buffers are used again.
#[derive(Default)]
pub(super) struct OnTheWay {
    held: BinaryHeap<Reverse<Held>>,
    spare: Vec<Vec<u8>>,
    number: u64,
}

impl OnTheWay {
    /// Takes a packet that arrived at `at` and was read `read_lag` later, unless it is lost.
    pub(super) fn enter(
        &mut self,
        call: &Arc<Call>,
        ways: &Ways,
        bytes: &[u8],
        at: Moment,
        read_lag: Duration,
    ) {
        let fate = ways.down(at, bytes.len());
        for delivery in [fate.delivery, fate.copy].into_iter().flatten() {
            let mut copy = self.spare.pop().unwrap_or_default();
            copy.clear();
            copy.extend_from_slice(bytes);
            turn_bit(&mut copy, delivery);
            self.number += 1;
            let (call, number) = (Arc::clone(call), self.number);
            self.held.push(Reverse(Held { call, bytes: copy, at: delivery.at, read_lag, number }));
        }
    }

    /// When the next one arrives.
    pub(super) fn next(&self) -> Option<Moment> {
        self.held.peek().map(|Reverse(held)| held.at)
    }

    /// The next one that has arrived by `now`.
    pub(super) fn arrived(&mut self, now: Moment) -> Option<Held> {
        if self.next()? > now {
            return None;
        }
        self.held.pop().map(|Reverse(held)| held)
    }

    /// Takes back a buffer.
    pub(super) fn reuse(&mut self, bytes: Vec<u8>) {
        self.spare.push(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::call::tests::call_to;
    use simnet::{Delay, Impairment, Loss};
    use std::net::UdpSocket;

    fn ms(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    /// 5 ms up; 30 ms down, from 1 s on 10 ms, from 2 s on nothing comes through.
    fn ways() -> Ways {
        let delay = |millis| {
            let delay = Delay { time: Duration::from_millis(millis), ..Delay::default() };
            Impairment { delay, ..Impairment::default() }
        };
        let nothing = Impairment { loss: Loss::Random(1.0), ..Impairment::default() };
        let network = |downlink: Impairment| Network {
            uplink: delay(5).into(),
            downlink: downlink.into(),
            rebind: None,
            said: "test".to_owned(),
        };
        let networks = [
            (Moment::START, network(delay(30))),
            (ms(1000), network(delay(10))),
            (ms(2000), network(nothing)),
        ];
        Ways::new(&networks, 0, ms(0), 7)
    }

    #[test]
    fn each_way_has_its_own_fate_and_what_is_lost_is_counted() {
        let ways = ways();
        let at = |fate: Fate| fate.delivery.map(|delivery| delivery.at);
        assert_eq!(at(ways.up(ms(100), 80)), Some(ms(105)));
        assert_eq!(at(ways.down(ms(110), 80)), Some(ms(140)));
        assert_eq!(at(ways.down(ms(1000), 80)), Some(ms(1010)));
        assert_eq!(ways.impaired().lost, 0);
        assert_eq!(at(ways.down(ms(2000), 80)), None);
        assert_eq!(ways.impaired().lost, 1);
    }

    #[test]
    fn packets_of_the_downlink_arrive_in_the_order_of_their_arrivals() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let call = Arc::new(call_to(&peer, 1, ms(0)));
        let (ways, mut on_the_way) = (ways(), OnTheWay::default());
        let lag = Duration::from_micros(3);
        for (at, byte) in [(985, 1), (1000, 2), (1000, 3), (2000, 4)] {
            on_the_way.enter(&call, &ways, &[byte], ms(at), lag);
        }
        // Overtaken: 985 + 30 after 1000 + 10; lost: the last.
        assert_eq!(on_the_way.next(), Some(ms(1010)));
        assert!(on_the_way.arrived(ms(1009)).is_none());
        let arrived: Vec<_> = std::iter::from_fn(|| on_the_way.arrived(ms(5000))).collect();
        let seen: Vec<_> = arrived.iter().map(|held| (held.bytes[0], held.at)).collect();
        assert_eq!(seen, [(2, ms(1010)), (3, ms(1010)), (1, ms(1015))]);
        assert!(arrived.iter().all(|held| held.read_lag == lag));
    }

    #[test]
    fn the_bit_that_is_turned_is_the_one_said() {
        let mut bytes = [0, 0, 0];
        turn_bit(&mut bytes, Delivery { at: ms(0), turned_bit: Some(10) });
        assert_eq!(bytes, [0, 4, 0]);
        turn_bit(&mut bytes, Delivery { at: ms(0), turned_bit: None });
        assert_eq!(bytes, [0, 4, 0]);
    }

    #[test]
    fn moments_go_to_the_nearest_slot() {
        let us = |micros: u64| Moment::from_nanos(micros * 1000);
        for (at, slot) in [(0, 0), (249, 0), (250, 500), (749, 500), (1000, 1000)] {
            assert_eq!(nearest_slot(us(at)), us(slot), "{at} µs");
        }
    }
}
