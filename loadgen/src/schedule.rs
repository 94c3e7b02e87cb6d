//! Which device calls when: phases unrolled into calls, before anything runs.
//!
//! Pure and seeded: the same scenario and seed give the same calls, identities, voices and phase
//! offsets. A ramp spreads arrivals evenly, the first at its start; when the target falls, the
//! newest devices leave first, spread the same way. Everybody leaves at the end of the last phase.

use std::time::Duration;

use protocol::identity::{ClientId, MacAddress};
use protocol::{FrameDuration, Moment};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};

use crate::scenario::Phase;

/// Number of a device within a run, from 0.
pub type DeviceNumber = u32;

/// Width of a pacer slot: planned instants are multiples of it.
pub const SLOT: Duration = Duration::from_micros(500);

/// The whole load of a run, decided in advance.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    /// Every audio session to be held, by arrival.
    pub calls: Vec<PlannedCall>,
    /// The phases on the run's time.
    pub phases: PhaseTimes,
}

/// One audio session of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedCall {
    /// Who calls.
    pub device: DeviceNumber,
    /// When it starts to connect.
    pub arrive: Moment,
    /// No frame is due at or after this moment.
    pub leave: Moment,
}

/// Start and end of each phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhaseTimes {
    starts: Vec<Moment>,
    end: Moment,
}

impl PhaseTimes {
    /// The phases one after the other, from the start of the run.
    pub fn new(phases: &[Phase]) -> Self {
        let mut at = Moment::START;
        let mut starts = Vec::with_capacity(phases.len());
        for phase in phases {
            starts.push(at);
            at += phase.length();
        }
        Self { starts, end: at }
    }

    /// Number of phases.
    pub fn count(&self) -> usize {
        self.starts.len()
    }

    /// The phase that `at` falls into; what is after the end belongs to the last.
    pub fn phase_at(&self, at: Moment) -> usize {
        self.starts.partition_point(|&start| start <= at).saturating_sub(1)
    }

    /// Start and end of phase `index`.
    pub fn bounds(&self, index: usize) -> (Moment, Moment) {
        let end = self.starts.get(index + 1).copied().unwrap_or(self.end);
        (self.starts[index], end)
    }

    /// The end of the last phase.
    pub fn end(&self) -> Moment {
        self.end
    }
}

impl Schedule {
    /// Unrolls `phases`.
    pub fn new(phases: &[Phase]) -> Self {
        let times = PhaseTimes::new(phases);
        let mut calls = Vec::new();
        // Devices that are up, by number: each with its arrival.
        let mut up: Vec<Moment> = Vec::new();
        for (index, phase) in phases.iter().enumerate() {
            let start = times.bounds(index).0;
            let before = up.len();
            let target = phase.devices as usize;
            let step_at =
                |step: usize, steps: usize| start + phase.ramp.mul_f64(step as f64 / steps as f64);
            for device in before..target {
                up.push(on_slot(step_at(device - before, target - before)));
            }
            for step in 0..before.saturating_sub(target) {
                let leave = on_slot(step_at(step, before - target));
                let device = up.len() - 1;
                let arrive = up.pop().expect("more devices are up than the target");
                calls.push(planned(device, arrive, leave));
            }
        }
        for (device, arrive) in up.into_iter().enumerate() {
            calls.push(planned(device, arrive, times.end()));
        }
        calls.retain(|call| call.leave > call.arrive);
        calls.sort_by_key(|call| (call.arrive, call.device));
        Self { calls, phases: times }
    }

    /// Frames that the schedule calls for if every handshake took no time.
    pub fn ideal_frames(&self, frame: FrameDuration) -> u64 {
        let count = |call: &PlannedCall| {
            call.leave.since(call.arrive).as_nanos() / frame.as_duration().as_nanos()
        };
        let total: u128 = self.calls.iter().map(count).sum();
        u64::try_from(total).unwrap_or(u64::MAX)
    }
}

fn planned(device: usize, arrive: Moment, leave: Moment) -> PlannedCall {
    let device = u32::try_from(device).expect("scenarios have at most 20,000 devices");
    PlannedCall { device, arrive, leave }
}

fn on_slot(at: Moment) -> Moment {
    let slot = slot_nanos();
    Moment::from_nanos(at.as_nanos() / slot * slot)
}

fn slot_nanos() -> u64 {
    u64::try_from(SLOT.as_nanos()).expect("a slot is short")
}

/// What one device keeps through all its calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceTraits {
    /// Its name to the gateway.
    pub client_id: ClientId,
    /// Which of the voices it speaks with.
    pub voice: usize,
    /// The packet of the voice that it begins with, as a share of the clip in 1/2³².
    pub clip_offset: u32,
    /// Its frames are due at this offset within every frame duration.
    pub phase_offset: Duration,
}

impl DeviceTraits {
    /// The traits of `device` under `seed`, of `voices` voices and frames of `frame`.
    pub fn new(seed: u64, device: DeviceNumber, frame: FrameDuration, voices: usize) -> Self {
        let mut rng = device_rng(seed, device);
        let mut mac: [u8; 6] = rng.random();
        // Locally administered, unicast: no vendor's address.
        mac[0] = mac[0] & 0b1111_1100 | 0b10;
        let uuid = uuid_v4(rng.random());
        let slots = u32::try_from(frame.as_duration().as_nanos() / SLOT.as_nanos())
            .expect("a frame has few slots");
        Self {
            client_id: ClientId {
                group: "GID_din".to_owned(),
                mac: MacAddress::new(mac),
                uuid: Some(uuid),
            },
            // In turn, so that neighbours differ and every voice is used equally.
            voice: device as usize % voices,
            clip_offset: rng.random(),
            phase_offset: SLOT * rng.random_range(0..slots),
        }
    }

    /// The first moment at or after `ready` at which a frame of this device is due.
    pub fn first_due(&self, ready: Moment, frame: FrameDuration) -> Moment {
        let period = u64::from(frame.as_millis()) * 1_000_000;
        let offset = u64::try_from(self.phase_offset.as_nanos()).expect("less than a frame");
        let periods = ready.as_nanos().saturating_sub(offset).div_ceil(period);
        Moment::from_nanos(offset + periods * period)
    }
}

/// A stream of random numbers of its own for each device, so that one more device changes nothing
/// about the others.
fn device_rng(seed: u64, device: DeviceNumber) -> StdRng {
    let mut hash = Sha256::new();
    hash.update(b"din device");
    hash.update(seed.to_be_bytes());
    hash.update(device.to_be_bytes());
    StdRng::from_seed(hash.finalize().into())
}

fn uuid_v4(mut bytes: [u8; 16]) -> String {
    bytes[6] = bytes[6] & 0x0F | 0x40;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let hex = hex::encode(bytes);
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn phase(devices: u32, ramp_ms: u64, hold_ms: u64) -> Phase {
        Phase {
            name: format!("p{devices}-{ramp_ms}"),
            devices,
            ramp: Duration::from_millis(ramp_ms),
            hold: Duration::from_millis(hold_ms),
        }
    }

    fn calls(phases: &[Phase]) -> Vec<(u32, u64, u64)> {
        let millis = |at: Moment| at.as_nanos() / 1_000_000;
        let schedule = Schedule::new(phases);
        let mut calls: Vec<_> = schedule
            .calls
            .iter()
            .map(|call| (call.device, millis(call.arrive), millis(call.leave)))
            .collect();
        calls.sort_unstable();
        calls
    }

    #[test]
    fn ramps_spread_arrivals_and_bursts_do_not() {
        assert_eq!(calls(&[phase(3, 300, 700)]), [(0, 0, 1000), (1, 100, 1000), (2, 200, 1000)]);
        assert_eq!(
            calls(&[phase(1, 0, 1000), phase(3, 0, 500)]),
            [(0, 0, 1500), (1, 1000, 1500), (2, 1000, 1500)]
        );
    }

    #[test]
    fn the_newest_leave_first_and_may_call_again() {
        assert_eq!(
            calls(&[phase(3, 0, 100), phase(1, 200, 100), phase(2, 0, 100)]),
            [(0, 0, 500), (1, 0, 200), (1, 400, 500), (2, 0, 100)]
        );
    }

    #[test]
    fn phases_are_found_by_moment() {
        let times = PhaseTimes::new(&[phase(1, 50, 50), phase(2, 0, 100)]);
        for (millis, index) in [(0, 0), (99, 0), (100, 1), (199, 1), (200, 1), (9999, 1)] {
            assert_eq!(times.phase_at(Moment::from_millis(millis)), index, "{millis} ms");
        }
        assert_eq!(times.bounds(1), (Moment::from_millis(100), Moment::from_millis(200)));
    }

    #[test]
    fn traits_depend_on_seed_and_device_alone() {
        let of = |seed, device| DeviceTraits::new(seed, device, FrameDuration::MS_60, 16);
        assert_eq!(of(1, 5), of(1, 5));
        assert_ne!(of(1, 5).client_id, of(2, 5).client_id);
        assert_ne!(of(1, 5).client_id, of(1, 6).client_id);
        assert_eq!((of(1, 0).voice, of(1, 17).voice), (0, 1));
        let id = of(1, 5).client_id.to_string();
        assert_eq!(ClientId::parse(&id).unwrap().to_string(), id);
    }

    #[test]
    fn phase_offsets_fill_the_frame() {
        let mut offsets: Vec<_> = (0..2000)
            .map(|device| DeviceTraits::new(7, device, FrameDuration::MS_60, 16).phase_offset)
            .collect();
        offsets.sort_unstable();
        offsets.dedup();
        assert_eq!(offsets.len(), 120, "each slot of 500 µs in 60 ms is used");
        assert!(*offsets.last().unwrap() < Duration::from_millis(60));
    }

    proptest! {
        #[test]
        fn the_first_frame_is_due_on_the_devices_grid_within_one_frame(ready in 0u64..10_000_000_000) {
            let ready = Moment::from_nanos(ready);
            let traits = DeviceTraits::new(1, 3, FrameDuration::MS_60, 16);
            let due = traits.first_due(ready, FrameDuration::MS_60);
            prop_assert!(due >= ready);
            prop_assert!(due.since(ready) < Duration::from_millis(60) || due.since_start() == traits.phase_offset);
            prop_assert_eq!(u128::from(due.as_nanos() % 60_000_000), traits.phase_offset.as_nanos());
        }

        /// At the end of every phase exactly its target is up.
        #[test]
        fn every_phase_reaches_its_target(
            targets in proptest::collection::vec((0u32..40, 0u64..500, 1u64..500), 1..6),
        ) {
            let phases: Vec<_> = targets.iter().map(|&(devices, ramp, hold)| phase(devices, ramp, hold)).collect();
            let schedule = Schedule::new(&phases);
            for (index, phase) in phases.iter().enumerate() {
                let before_end = schedule.phases.bounds(index).1.saturating_sub(Duration::from_nanos(1));
                let up = schedule.calls.iter()
                    .filter(|call| call.arrive <= before_end && before_end < call.leave)
                    .count();
                prop_assert_eq!(up, phase.devices as usize, "phase {}", index);
            }
        }
    }
}
