//! What becomes of the packets of one stream.
//!
//! In netem's order: duplicated, lost, corrupted, then delayed unless it is one that overtakes; the
//! rate is that of a link behind which the delay lies. What is due while the link is stalled comes
//! when the stall is over, and what is sent while it is down is lost.

use std::collections::VecDeque;
use std::time::Duration;

use protocol::Moment;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::loss::LossState;
use crate::random::Correlated;
use crate::{Impairment, Outage, Rate, Stall};

/// What becomes of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// When it is delivered; `None` when it is lost.
    pub delivery: Option<Delivery>,
    /// When a copy of it is delivered as well.
    pub copy: Option<Delivery>,
    /// Why it is lost, if it is.
    pub lost: Option<Cause>,
}

/// A packet at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// When.
    pub at: Moment,
    /// Which of its bits, from 0, is turned.
    pub turned_bit: Option<usize>,
}

/// Why a packet is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// By the loss that was asked for.
    Loss,
    /// Too many waited for the link.
    Queue,
    /// The link was down.
    Outage,
}

/// A stream of packets under an [`Impairment`].
#[derive(Debug)]
pub struct Impairer {
    impairment: Impairment,
    loss: LossState,
    delay: Correlated,
    /// For duplicates, corruption and reordering.
    chance: StdRng,
    stalls: Stalls,
    /// When the outages begin within their period.
    outage_phase: f64,
    link: Link,
    /// Packets since one overtook others.
    in_order: u32,
}

impl Impairer {
    /// A stream before its first packet; everything random comes from `seed`.
    pub fn new(impairment: Impairment, seed: u64) -> Self {
        let mut seeds = StdRng::seed_from_u64(seed);
        let mut seed = || seeds.random::<u64>();
        let (loss, delay, chance, stalls) = (seed(), seed(), seed(), seed());
        let outage_phase = StdRng::seed_from_u64(seed()).random();
        Self {
            loss: LossState::new(loss),
            delay: Correlated::new(delay, impairment.delay.correlation),
            chance: StdRng::seed_from_u64(chance),
            stalls: Stalls::new(stalls),
            outage_phase,
            link: Link::default(),
            in_order: 0,
            impairment,
        }
    }

    /// Other settings from now on; what is random goes on from where it was.
    pub fn change(&mut self, impairment: Impairment) {
        self.delay.set_correlation(impairment.delay.correlation);
        self.impairment = impairment;
    }

    /// What becomes of a packet of so many bytes that enters at `at`, which is not before the packet
    /// before it.
    pub fn packet(&mut self, at: Moment, bytes: usize) -> Fate {
        let copied = self.chance.random::<f64>() < self.impairment.duplicate;
        let lost = self.loss.next(&self.impairment.loss);
        let (delivery, cause) = self.deliver(at, bytes, lost);
        // A copy goes its own way, and is not lost by chance.
        let copy = if copied { self.deliver(at, bytes, false).0 } else { None };
        Fate { delivery, copy, lost: cause }
    }

    fn deliver(
        &mut self,
        at: Moment,
        bytes: usize,
        lost: bool,
    ) -> (Option<Delivery>, Option<Cause>) {
        // As many random numbers for each packet, so that one fate does not change the others.
        let (corrupt, bit, overtakes): (f64, f64, f64) = self.chance.random();
        let delay = self.impairment.delay.draw(&mut self.delay);
        if lost {
            return (None, Some(Cause::Loss));
        }
        if self.impairment.outage.is_some_and(|outage| self.is_down(outage, at)) {
            return (None, Some(Cause::Outage));
        }
        let sent = match self.impairment.rate {
            None => Some(at),
            Some(rate) => self.link.send(rate, at, bytes),
        };
        let Some(sent) = sent else { return (None, Some(Cause::Queue)) };
        let due = if self.overtakes(overtakes) { sent } else { sent + delay };
        let at = match self.impairment.stall {
            None => due,
            Some(stall) => self.stalls.release(stall, due),
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "one of its bits"
        )]
        let turned_bit =
            (corrupt < self.impairment.corrupt).then(|| (bit * (bytes * 8) as f64) as usize);
        (Some(Delivery { at, turned_bit }), None)
    }

    fn overtakes(&mut self, chance: f64) -> bool {
        let Some(reorder) = self.impairment.reorder else { return false };
        if self.in_order + 1 < reorder.gap || chance >= reorder.share {
            self.in_order += 1;
            return false;
        }
        self.in_order = 0;
        true
    }

    fn is_down(&self, outage: Outage, at: Moment) -> bool {
        let every = outage.every.as_secs_f64();
        if every <= 0.0 {
            return false;
        }
        let since = (at.since_start().as_secs_f64() / every - self.outage_phase).rem_euclid(1.0);
        since * every < outage.lasting.as_secs_f64()
    }
}

/// A link that sends one packet after the other.
#[derive(Debug, Default)]
struct Link {
    /// When each packet that is on it will have been sent.
    busy: VecDeque<Moment>,
}

impl Link {
    /// When the packet will have been sent; `None` when too many wait.
    fn send(&mut self, rate: Rate, at: Moment, bytes: usize) -> Option<Moment> {
        while self.busy.front().is_some_and(|sent| *sent <= at) {
            self.busy.pop_front();
        }
        // The first of them is being sent, the others wait.
        if self.busy.len() > rate.queue {
            return None;
        }
        let free = self.busy.back().copied().unwrap_or(at).max(at);
        let takes = (bytes * 8) as f64 / rate.bits_per_second.max(1) as f64;
        let sent = free + Duration::from_secs_f64(takes);
        self.busy.push_back(sent);
        Some(sent)
    }
}

/// When the link stalls, drawn as far as it is looked at.
#[derive(Debug)]
struct Stalls {
    rng: StdRng,
    /// The newest stalls, in their order: from, until.
    drawn: VecDeque<(Moment, Moment)>,
    /// Until when all are drawn.
    until: Moment,
}

impl Stalls {
    /// Jitter brings packets out of order, so a few stalls back are remembered.
    const REMEMBERED: usize = 16;

    fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), drawn: VecDeque::new(), until: Moment::START }
    }

    /// When what is due at `due` is released.
    fn release(&mut self, stall: Stall, due: Moment) -> Moment {
        if stall.per_minute <= 0.0 {
            return due;
        }
        while self.until <= due {
            let (gap, length): (f64, f64) = self.rng.random();
            let wait = -(1.0 - gap).ln() * 60.0 / stall.per_minute;
            let span = stall.longest.saturating_sub(stall.shortest).mul_f64(length);
            let from = self.until + Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX / 4);
            self.until = from + stall.shortest + span;
            self.drawn.push_back((from, self.until));
            if self.drawn.len() > Self::REMEMBERED {
                self.drawn.pop_front();
            }
        }
        let holds = |(from, until): &&(Moment, Moment)| *from <= due && due < *until;
        self.drawn.iter().find(holds).map_or(due, |(_, until)| *until)
    }
}

#[cfg(test)]
mod tests;
