//! How much a scenario asks of generator, gateway and network, from what single things cost.
//!
//! ```text
//! frames/s up     u = Σ devices  frame rate × share of the time in which it speaks
//! frames/s down   d = Σ devices  frame rate × share of the time in which it is spoken to
//! generator         = u send + d receive + decode of the first devices' answers
//! gateway           = u receive + d send + codec + burn of processor time
//! workers at work   = u × (codec + burn)
//! ```
//!
//! Pure. The busiest time is meant: as many devices as ever, none of them on its way. An answer costs
//! the gateway what a frame costs the generator. It is the least that is needed: handshakes and the
//! recognition of speech are not in it, and costs are measured in a loop, where caches are warm. Of
//! runs of 100 to 500 devices the gateway took up to 1.3 times as much, the generator 2 to 3 times.

use std::time::Duration;

use protocol::Moment;
use protocol::packet::HEADER_LEN;

use super::host::{FrameCost, Host};
use crate::groups::Membership;
use crate::scenario::{
    Assistant, Backend, GatewaySettings, Group, Scenario, Talk, TimeDistribution,
};
use crate::schedule::{PlannedCall, Schedule};
use crate::voice::Voices;

/// IPv4 and UDP headers.
const BELOW_UDP: usize = 28;
/// What the reference gateway's assistant does unless it is told otherwise.
const THINK: TimeDistribution = TimeDistribution::constant(Duration::from_millis(300));
const SPEAK: TimeDistribution = TimeDistribution::constant(Duration::from_secs(3));

/// How long the assistant thinks and speaks.
pub(super) fn thinking_and_speaking(assistant: &Assistant) -> (TimeDistribution, TimeDistribution) {
    (assistant.think.unwrap_or(THINK), assistant.speak.unwrap_or(SPEAK))
}

/// How the time of a device's session is spent, on average.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Habits {
    /// Share of the time in which it sends, 0 to 1.
    pub(super) speaking: f64,
    /// Share of the time in which it is sent to, 0 to 1.
    pub(super) spoken_to: f64,
    /// From one turn to the next, if it takes turns.
    pub(super) turn: Option<Duration>,
    /// Share of the turns that it interrupts, 0 to 1.
    pub(super) barge_in: f64,
}

impl Habits {
    fn of(talk: &Talk, gateway: &GatewaySettings) -> Self {
        let usual = Self { speaking: 0.0, spoken_to: 0.0, turn: None, barge_in: 0.0 };
        match talk {
            Talk::Silent => usual,
            Talk::FullDuplex => Self { speaking: 1.0, spoken_to: 1.0, ..usual },
            Talk::HalfDuplex(turns) => {
                let assistant = gateway.assistant.clone().unwrap_or_default();
                let (think, speak) = thinking_and_speaking(&assistant);
                let turn = turns.listen.mean() + think.mean() + speak.mean() + turns.pause.mean();
                let share = |time: Duration| {
                    if turn.is_zero() { 0.0 } else { time.as_secs_f64() / turn.as_secs_f64() }
                };
                Self {
                    speaking: share(turns.listen.mean()),
                    spoken_to: share(speak.mean()),
                    turn: Some(turn),
                    barge_in: turns.barge_in,
                }
            }
        }
    }
}

/// What a scenario asks for.
#[derive(Debug)]
pub(super) struct Load<'a> {
    scenario: &'a Scenario,
    schedule: &'a Schedule,
    members: Membership,
    /// Of each group.
    habits: Vec<Habits>,
    /// In its busiest time.
    pub(super) busiest: Rates,
    /// Processor time of a second, and with it cores; `None` where a cost is not known.
    pub(super) cores: Option<Cores>,
}

/// Each second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) frames_up: f64,
    pub(super) frames_down: f64,
    pub(super) bits_up: f64,
    /// `None` where it is not known what an answer is like.
    pub(super) bits_down: Option<f64>,
}

/// How many of something are at work on average, in the busiest time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Cores {
    pub(super) generator: f64,
    pub(super) gateway: f64,
    /// Of the gateway's workers, waiting for others included.
    pub(super) workers: f64,
}

impl<'a> Load<'a> {
    /// Of `scenario` on `host`, where the frames of each group cost `codec`.
    pub(super) fn of(
        scenario: &'a Scenario,
        schedule: &'a Schedule,
        voices: &Voices,
        host: &Host,
        codec: &[Option<FrameCost>],
    ) -> Self {
        let members = scenario.devices.membership(scenario.most_devices());
        let groups = &scenario.devices.groups;
        let habits =
            groups.iter().map(|group| Habits::of(&group.talk, &scenario.gateway)).collect();
        let mut load =
            Self { scenario, schedule, members, habits, busiest: Rates::default(), cores: None };
        load.busiest = load.rates(voices, codec);
        load.cores = load.cores(host, codec);
        load
    }

    fn groups(&self) -> impl Iterator<Item = (usize, &Group, &Habits, f64)> {
        let groups = self.scenario.devices.groups.iter().zip(&self.habits);
        groups.zip(self.members.counts()).enumerate().map(|(index, ((group, habits), &count))| {
            (index, group, habits, f64::from(count) * group.encoder.frame.frames_per_second())
        })
    }

    fn rates(&self, voices: &Voices, codec: &[Option<FrameCost>]) -> Rates {
        let mut rates = Rates { bits_down: Some(0.0), ..Rates::default() };
        for (index, _, habits, frames) in self.groups() {
            let (up, down) = (frames * habits.speaking, frames * habits.spoken_to);
            let payload = mean_payload(voices, index);
            let answer = match self.scenario.gateway.backend {
                Some(Backend::Relay) => Some(payload),
                _ => codec[index].map(|cost| cost.bytes),
            };
            rates.frames_up += up;
            rates.frames_down += down;
            rates.bits_up += up * on_the_wire(payload);
            rates.bits_down =
                rates.bits_down.zip(answer).map(|(bits, answer)| bits + down * on_the_wire(answer));
        }
        rates
    }

    fn cores(&self, host: &Host, codec: &[Option<FrameCost>]) -> Option<Cores> {
        let (send, receive) = host.packet?;
        let (send, receive) = (send.as_secs_f64(), receive.as_secs_f64());
        let gateway = &self.scenario.gateway;
        let mut cores = Cores::default();
        for (index, group, habits, _) in self.groups() {
            let cost = codec[index]?;
            let (decode, encode) = (cost.decode.as_secs_f64(), cost.encode.as_secs_f64());
            let work = match gateway.backend {
                Some(Backend::Relay) => 0.0,
                Some(Backend::Assistant) => decode,
                Some(Backend::Echo) | None => decode + encode,
            };
            let frames = group.encoder.frame.frames_per_second();
            let (up, down) = (frames * habits.speaking, frames * habits.spoken_to);
            for device in 0..self.members.devices() {
                if self.members.of(device).group != index {
                    continue;
                }
                let burn = gateway.burn.iter().find(|burn| burn.applies_to(device));
                let (burnt, on_a_core) =
                    burn.map_or((0.0, false), |burn| (burn.mean().as_secs_f64(), burn.is_cpu()));
                let decoded = if device < self.scenario.devices.decode { decode } else { 0.0 };
                cores.generator += up * send + down * (receive + decoded);
                cores.gateway += up * (receive + work) + down * send;
                cores.gateway += if on_a_core { up * burnt } else { 0.0 };
                cores.workers += up * (work + burnt);
            }
        }
        Some(cores)
    }

    /// Frames that devices send, and that they are sent, if every handshake took no time.
    pub(super) fn frames(&self) -> (f64, f64) {
        let (start, end) = (Moment::START, self.schedule.phases.end());
        (self.count(start, end, frames_up), self.count(start, end, frames_down))
    }

    /// The sum of what `amount` says of each second that each call spends between two moments.
    pub(super) fn count(
        &self,
        start: Moment,
        end: Moment,
        amount: impl Fn(&Group, &Habits) -> f64,
    ) -> f64 {
        self.count_of(|_| true, start, end, amount)
    }

    /// The same of the devices whose answers are decoded.
    pub(super) fn count_decoded(
        &self,
        start: Moment,
        end: Moment,
        amount: impl Fn(&Group, &Habits) -> f64,
    ) -> f64 {
        self.count_of(|call| call.device < self.scenario.devices.decode, start, end, amount)
    }

    fn count_of(
        &self,
        whom: impl Fn(&PlannedCall) -> bool,
        start: Moment,
        end: Moment,
        amount: impl Fn(&Group, &Habits) -> f64,
    ) -> f64 {
        let within = |call: &PlannedCall| {
            let (from, to) = (call.arrive.max(start), call.leave.min(end));
            let (group, habits) = self.of_call(call);
            if from < to { to.since(from).as_secs_f64() * amount(group, habits) } else { 0.0 }
        };
        self.schedule.calls.iter().filter(|call| whom(call)).map(within).sum()
    }

    /// The group that a call belongs to, and how its time is spent.
    pub(super) fn of_call(&self, call: &PlannedCall) -> (&Group, &Habits) {
        let index = self.members.of(call.device).group;
        (&self.scenario.devices.groups[index], &self.habits[index])
    }
}

/// Frames that a device sends in each second of a call.
pub(super) fn frames_up(group: &Group, habits: &Habits) -> f64 {
    group.encoder.frame.frames_per_second() * habits.speaking
}

/// Packets that it is sent.
pub(super) fn frames_down(group: &Group, habits: &Habits) -> f64 {
    group.encoder.frame.frames_per_second() * habits.spoken_to
}

/// Bits of a packet with a payload of so many bytes.
fn on_the_wire(payload: f64) -> f64 {
    (payload + (HEADER_LEN + BELOW_UDP) as f64) * 8.0
}

/// Bytes of a packet's payload, on average over the voices of a group.
fn mean_payload(voices: &Voices, group: usize) -> f64 {
    let voices = &voices.all[voices.of_group[group].clone()];
    let packets = voices.iter().flat_map(|voice| &voice.packets);
    let (bytes, count) =
        packets.fold((0, 0), |(bytes, count), packet| (bytes + packet.len(), count + 1));
    bytes as f64 / f64::from(count.max(1))
}
