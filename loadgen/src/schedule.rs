//! Which device calls when: phases unrolled into calls, before anything runs.
//!
//! Pure: the same scenario gives the same calls. `level.rs` follows the device target, whose newest
//! devices leave first; `comings.rs` adds who comes and goes beside it, and cuts a call in two where
//! somebody leaves and comes back. Everybody leaves at the end of the last phase.

mod comings;
mod level;
mod times;

use std::collections::HashMap;
use std::time::Duration;

use measure::record::Measurements;
use protocol::Moment;

use crate::scenario::{Action, Ending, Phase, Scenario, Scope};
pub use times::PhaseTimes;

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
    /// The phases, cut where a window that a threshold looks at begins or ends: what is measured
    /// apart.
    pub segments: PhaseTimes,
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
    /// How it leaves.
    pub ending: Ending,
}

impl Schedule {
    /// The load of `scenario`, and what is measured apart in it.
    pub fn of(scenario: &Scenario) -> Self {
        let mut schedule = Self::new(&scenario.phases, &scenario.actions, scenario.seed);
        let windows = scenario.thresholds.iter().filter_map(|threshold| match &threshold.scope {
            Scope::Within(window) => Some(window),
            Scope::Run | Scope::Phase(_) => None,
        });
        let edges = windows.flat_map(|window| {
            let start = Moment::START + window.start;
            [start, start + window.span]
        });
        schedule.segments = schedule.phases.cut_at(edges);
        schedule
    }

    /// Unrolls `phases` and `actions`; what is random comes from `seed`.
    pub fn new(phases: &[Phase], actions: &[Action], seed: u64) -> Self {
        let times = PhaseTimes::new(phases);
        let mut calls = level::calls(phases, &times);
        comings::add_arrivals(&mut calls, phases, &times, seed);
        calls.retain(|call| call.leave > call.arrive);
        comings::interrupt(&mut calls, phases, actions, &times, seed);
        calls.sort_by_key(|call| (call.arrive, call.device));
        Self { calls, segments: times.clone(), phases: times }
    }

    /// How many devices take part: their numbers are below it.
    pub fn devices(&self) -> u32 {
        self.calls.iter().map(|call| call.device + 1).max().unwrap_or(0)
    }

    /// The calls that go over one connection each, in their order: where a device says hello again,
    /// it has kept the line of the call before.
    pub fn chains(&self) -> Vec<Vec<PlannedCall>> {
        let mut chains: Vec<Vec<PlannedCall>> = Vec::new();
        let mut kept: HashMap<DeviceNumber, usize> = HashMap::new();
        for &call in &self.calls {
            let index = kept.remove(&call.device).unwrap_or_else(|| {
                chains.push(Vec::new());
                chains.len() - 1
            });
            chains[index].push(call);
            if call.ending == Ending::Hello {
                kept.insert(call.device, index);
            }
        }
        chains
    }

    /// What the segments measured within phase `index`, put together.
    pub fn phase(&self, index: usize, segments: &[Measurements]) -> Measurements {
        let (start, end) = self.phases.bounds(index);
        self.merged(start, end, segments)
    }

    /// What the segments measured between two of their cuts, put together.
    pub fn merged(&self, start: Moment, end: Moment, segments: &[Measurements]) -> Measurements {
        let mut merged = Measurements::new();
        for segment in &segments[self.segments.between(start, end)] {
            merged.merge(segment);
        }
        merged
    }
}

fn on_slot(at: Moment) -> Moment {
    let slot = slot_nanos();
    Moment::from_nanos(at.as_nanos() / slot * slot)
}

fn slot_nanos() -> u64 {
    u64::try_from(SLOT.as_nanos()).expect("a slot is short")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn phase(devices: u32, ramp_ms: u64, hold_ms: u64) -> Phase {
        let ms = Duration::from_millis;
        Phase::plain(&format!("p{devices}-{ramp_ms}"), devices, ms(ramp_ms), ms(hold_ms))
    }

    fn calls(phases: &[Phase]) -> Vec<(u32, u64, u64)> {
        let millis = |at: Moment| at.as_nanos() / 1_000_000;
        let schedule = Schedule::new(phases, &[], 1);
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

    proptest! {
        /// At the end of every phase exactly its target is up.
        #[test]
        fn every_phase_reaches_its_target(
            targets in proptest::collection::vec((0u32..40, 0u64..500, 1u64..500), 1..6),
        ) {
            let phases: Vec<_> = targets.iter().map(|&(devices, ramp, hold)| phase(devices, ramp, hold)).collect();
            let schedule = Schedule::new(&phases, &[], 1);
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
