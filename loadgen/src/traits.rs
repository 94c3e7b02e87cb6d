//! What one device keeps through all its calls: identity, voice, and when its frames are due.
//!
//! Pure and seeded: each device has a stream of random numbers of its own, so that one more device
//! changes nothing about the others.

use std::ops::Range;
use std::time::Duration;

use protocol::identity::{ClientId, MacAddress};
use protocol::{FrameDuration, Moment};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use sha2::{Digest, Sha256};

use crate::groups::{Member, Membership};
use crate::scenario::{Group, PartsPerMillion, Phasing, Scenario};
use crate::schedule::{DeviceNumber, PlannedCall, SLOT};
use crate::voice::Voices;

/// What the traits of a run's devices are drawn from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Population {
    /// Where all random choices come from.
    pub seed: u64,
    /// When within a frame duration their frames are due.
    pub phasing: Phasing,
    /// What each group has in common.
    pub kinds: Vec<Kind>,
    /// Who belongs to which.
    pub members: Membership,
}

/// What the devices of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    /// How long their frames are.
    pub frame: FrameDuration,
    /// The voices that they speak with, of all those of the run.
    pub voices: Range<usize>,
}

impl Population {
    /// The devices of `scenario`, with the voices of its groups.
    pub fn of(scenario: &Scenario, voices: &Voices) -> Self {
        let kinds = scenario.devices.groups.iter().zip(&voices.of_group);
        let kind = |(group, voices): (&Group, &Range<usize>)| Kind {
            frame: group.encoder.frame,
            voices: voices.clone(),
        };
        Self {
            seed: scenario.seed,
            phasing: scenario.devices.phasing,
            kinds: kinds.map(kind).collect(),
            members: scenario.devices.membership(scenario.most_devices()),
        }
    }

    /// How many voices they speak with.
    pub fn voices(&self) -> usize {
        self.kinds.iter().map(|kind| kind.voices.end).max().unwrap_or(0)
    }

    /// Devices that are all of one kind.
    pub fn of_one_kind(seed: u64, phasing: Phasing, kind: Kind, devices: u32) -> Self {
        Self { seed, phasing, kinds: vec![kind], members: Membership::new(&[1.0], devices) }
    }
}

/// What one device keeps through all its calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceTraits {
    /// Its name to the gateway.
    pub client_id: ClientId,
    /// The index of its group.
    pub group: usize,
    /// Which of the run's voices it speaks with.
    pub voice: usize,
    /// The packet of the voice that it begins with, as a share of the clip in 1/2³².
    pub clip_offset: u32,
    /// Its frames are due at this offset within every frame duration.
    pub phase_offset: Duration,
}

impl DeviceTraits {
    /// The traits of `device`, one of `population`.
    pub fn new(population: &Population, device: DeviceNumber) -> Self {
        let mut rng = device_rng(population.seed, device);
        let mut mac: [u8; 6] = rng.random();
        // Locally administered, unicast: no vendor's address.
        mac[0] = mac[0] & 0b1111_1100 | 0b10;
        // The reference gateway reads the device's number here, to know whose frames to burden or
        // to spoil.
        mac[3..].copy_from_slice(&device.to_be_bytes()[1..]);
        let uuid = uuid_v4(rng.random());
        let clip_offset = rng.random();
        let Member { group, rank } = population.members.of(device);
        let Kind { frame, voices } = &population.kinds[group];
        let slots = u32::try_from(frame.as_duration().as_nanos() / SLOT.as_nanos())
            .expect("a frame has few slots");
        let slot = match population.phasing {
            Phasing::Spread => rng.random_range(0..slots),
            Phasing::Staggered => staggered(device, population.members.devices(), slots),
            Phasing::Aligned => 0,
        };
        Self {
            client_id: ClientId {
                group: "GID_din".to_owned(),
                mac: MacAddress::new(mac),
                uuid: Some(uuid),
            },
            group,
            // In turn, so that neighbours differ and every voice is used equally.
            voice: voices.start + rank as usize % voices.len(),
            clip_offset,
            phase_offset: SLOT * slot,
        }
    }

    /// How long a frame of this duration lasts by the clock of `device`, which is off by up to `most`
    /// either way.
    pub fn period(
        seed: u64,
        device: DeviceNumber,
        frame: FrameDuration,
        most: PartsPerMillion,
    ) -> Duration {
        // Of its own stream: clocks change nothing else of a device.
        let share: f64 = device_rng(seed.rotate_left(17), device).random_range(-1.0..=1.0);
        let nanos = frame.as_duration().as_nanos() as f64 * (1.0 + share * most.ratio());
        Duration::from_secs_f64(nanos / 1e9)
    }

    /// The first moment at or after `ready` at which a frame of this device is due.
    pub fn first_due(&self, ready: Moment, frame: FrameDuration) -> Moment {
        let period = u64::from(frame.as_millis()) * 1_000_000;
        let offset = u64::try_from(self.phase_offset.as_nanos()).expect("less than a frame");
        let periods = ready.as_nanos().saturating_sub(offset).div_ceil(period);
        Moment::from_nanos(offset + periods * period)
    }
}

/// The slot at `device / devices` of a frame of `slots` slots, rounded down.
fn staggered(device: DeviceNumber, devices: u32, slots: u32) -> u32 {
    assert!(device < devices, "device {device} is not one of {devices}");
    let slot = u64::from(device) * u64::from(slots) / u64::from(devices);
    u32::try_from(slot).expect("less than `slots`")
}

fn device_rng(seed: u64, device: DeviceNumber) -> StdRng {
    seeded(&[b"din device", &seed.to_be_bytes(), &device.to_be_bytes()])
}

/// The random numbers of the turns of one call.
pub fn conversation_rng(seed: u64, call: PlannedCall) -> StdRng {
    let arrive = call.arrive.as_nanos().to_be_bytes();
    seeded(&[b"din conversation", &seed.to_be_bytes(), &call.device.to_be_bytes(), &arrive])
}

fn seeded(parts: &[&[u8]]) -> StdRng {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
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
    use serde::Deserialize;

    use super::*;
    use proptest::prelude::*;

    fn population(phasing: Phasing, frame: FrameDuration, devices: u32) -> Population {
        Population::of_one_kind(1, phasing, Kind { frame, voices: 0..16 }, devices)
    }

    fn crowd() -> Population {
        population(Phasing::Spread, FrameDuration::MS_60, 2000)
    }

    #[test]
    fn traits_depend_on_seed_and_device_alone() {
        let of = |seed, device| DeviceTraits::new(&Population { seed, ..crowd() }, device);
        assert_eq!(of(1, 5), of(1, 5));
        assert_ne!(of(1, 5).client_id, of(2, 5).client_id);
        assert_ne!(of(1, 5).client_id, of(1, 6).client_id);
        assert_eq!((of(1, 0).voice, of(1, 17).voice), (0, 1));
        let id = of(1, 5).client_id.to_string();
        assert_eq!(ClientId::parse(&id).unwrap().to_string(), id);
    }

    #[test]
    fn clocks_are_off_by_up_to_what_was_said_and_always_the_same() {
        let period = |device, text: &str| {
            let most = PartsPerMillion::deserialize(toml::Value::from(text)).unwrap();
            DeviceTraits::period(7, device, FrameDuration::MS_60, most)
        };
        let frame = FrameDuration::MS_60.as_duration();
        assert!((0..100).all(|device| period(device, "0ppm") == frame));
        let off: Vec<f64> = (0..2000)
            .map(|device| {
                (period(device, "100ppm").as_secs_f64() / frame.as_secs_f64() - 1.0) * 1e6
            })
            .collect();
        let (least, most) = off
            .iter()
            .fold((0.0, 0.0), |(least, most), &one| (f64::min(least, one), f64::max(most, one)));
        assert!(
            (-100.01..-95.0).contains(&least) && (95.0..100.01).contains(&most),
            "{least} {most}"
        );
        assert_eq!(period(5, "100ppm"), period(5, "100ppm"));
        for text in ["50", "-1ppm", "1001ppm", "x ppm"] {
            assert!(PartsPerMillion::deserialize(toml::Value::from(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn phase_offsets_fill_the_frame() {
        let crowd = crowd();
        let mut offsets: Vec<_> =
            (0..2000).map(|device| DeviceTraits::new(&crowd, device).phase_offset).collect();
        offsets.sort_unstable();
        offsets.dedup();
        assert_eq!(offsets.len(), 120, "each slot of 500 µs in 60 ms is used");
        assert!(*offsets.last().unwrap() < Duration::from_millis(60));
    }

    /// All that is drawn by the seed is as it was when all six bytes of the address were: a change
    /// of these values changes the load of every scenario.
    #[test]
    fn the_address_ends_in_the_devices_number_and_the_rest_is_by_the_seed() {
        let population = population(Phasing::Spread, FrameDuration::MS_60, 70_000);
        for (device, id, clip_offset, phase_offset_us) in [
            (0, "5a_2d_c4_00_00_00@@@6d6af286-75b9-49a1-a835-99272251ef01", 815_354_597, 15_500),
            (17, "96_7a_48_00_00_11@@@ebf02066-5146-4da7-b1e1-726d2146191a", 1_376_937_195, 23_000),
            (
                300,
                "3e_13_23_00_01_2c@@@83ac6ed1-c0ff-4f12-b803-1c3c8058daaa",
                1_438_996_200,
                43_000,
            ),
        ] {
            let traits = DeviceTraits::new(&population, device);
            assert_eq!(traits.client_id.to_string(), format!("GID_din@@@{id}"));
            assert_eq!(traits.clip_offset, clip_offset, "{device}");
            assert_eq!(traits.phase_offset, Duration::from_micros(phase_offset_us), "{device}");
        }
        let far = DeviceTraits::new(&population, 65_793).client_id.mac.with_underscores();
        assert!(far.ends_with("_01_01_01"), "{far}");
    }

    #[test]
    fn staggered_devices_share_the_frame_evenly_and_aligned_ones_not_at_all() {
        let offsets = |phasing, devices, frame| -> Vec<u128> {
            let population = population(phasing, frame, devices);
            let offset = |device| DeviceTraits::new(&population, device).phase_offset;
            (0..devices).map(|device| offset(device).as_micros()).collect()
        };
        let staggered = |devices, frame| offsets(Phasing::Staggered, devices, frame);
        assert_eq!(staggered(4, FrameDuration::MS_60), [0, 15_000, 30_000, 45_000]);
        assert_eq!(staggered(3, FrameDuration::MS_20), [0, 6500, 13_000], "down to a slot");
        assert_eq!(staggered(1, FrameDuration::MS_20), [0]);
        let crowd = staggered(20_000, FrameDuration::MS_60);
        assert_eq!((crowd[166], crowd[167], crowd[19_999]), (0, 500, 59_500));
        assert_eq!(offsets(Phasing::Aligned, 3, FrameDuration::MS_60), [0, 0, 0]);
    }

    #[test]
    fn phasing_changes_nothing_else_about_a_device() {
        let spread = DeviceTraits::new(&crowd(), 7);
        for phasing in [Phasing::Staggered, Phasing::Aligned] {
            let other = DeviceTraits::new(&Population { phasing, ..crowd() }, 7);
            let phase_offset = spread.phase_offset;
            assert_ne!(other.phase_offset, phase_offset);
            assert_eq!(DeviceTraits { phase_offset, ..other }, spread);
        }
    }

    #[test]
    fn groups_have_frames_and_voices_of_their_own_and_change_nothing_else() {
        let kinds = vec![
            Kind { frame: FrameDuration::MS_60, voices: 0..2 },
            Kind { frame: FrameDuration::MS_20, voices: 2..5 },
        ];
        let mixed = Population { kinds, members: Membership::new(&[0.5, 0.5], 10), ..crowd() };
        let traits = |device| DeviceTraits::new(&mixed, device);
        let voices: Vec<_> = (0..10).map(|device| traits(device).voice).collect();
        assert_eq!(voices, [0, 2, 1, 3, 0, 4, 1, 2, 0, 3], "in turn within each group");
        assert!((1..10).step_by(2).all(|device| traits(device).phase_offset.as_millis() < 20));
        assert_eq!(traits(7).client_id, DeviceTraits::new(&crowd(), 7).client_id);
    }

    proptest! {
        #[test]
        fn the_first_frame_is_due_on_the_devices_grid_within_one_frame(ready in 0u64..10_000_000_000) {
            let ready = Moment::from_nanos(ready);
            let traits = DeviceTraits::new(&crowd(), 3);
            let due = traits.first_due(ready, FrameDuration::MS_60);
            prop_assert!(due >= ready);
            prop_assert!(due.since(ready) < Duration::from_millis(60) || due.since_start() == traits.phase_offset);
            prop_assert_eq!(u128::from(due.as_nanos() % 60_000_000), traits.phase_offset.as_nanos());
        }
    }
}
