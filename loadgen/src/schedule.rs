//! Which device calls when: phases unrolled into calls, before anything runs.
//!
//! Pure: the same scenario gives the same calls. A ramp spreads arrivals evenly, the first at its start; when the target falls, the
//! newest devices leave first, spread the same way. Everybody leaves at the end of the last phase.

use std::ops::Range;
use std::time::Duration;

use measure::record::Measurements;
use protocol::{FrameDuration, Moment};

use crate::scenario::{Phase, Scenario, Scope};

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
}

/// Consecutive pieces of the run's time: its phases, or what windows cut them into.
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

    /// The same time in finer pieces: also cut at each of `moments` that lies within it.
    #[must_use]
    pub fn cut_at(&self, moments: impl IntoIterator<Item = Moment>) -> Self {
        let within = |at: &Moment| *at > self.starts[0] && *at < self.end;
        let mut starts = self.starts.clone();
        starts.extend(moments.into_iter().filter(within));
        starts.sort_unstable();
        starts.dedup();
        Self { starts, end: self.end }
    }

    /// The pieces that lie between `start` and `end`, which are cuts of it.
    pub fn between(&self, start: Moment, end: Moment) -> Range<usize> {
        let first = self.starts.partition_point(|&at| at < start);
        first..self.starts.partition_point(|&at| at < end).max(first)
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
    /// The load of `scenario`, and what is measured apart in it.
    pub fn of(scenario: &Scenario) -> Self {
        let mut schedule = Self::new(&scenario.phases);
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
        Self { calls, segments: times.clone(), phases: times }
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
    fn time_is_cut_into_finer_pieces_and_found_again() {
        let at = Moment::from_millis;
        let phases = PhaseTimes::new(&[phase(1, 0, 100), phase(2, 0, 200)]);
        // The start, the end, what lies outside and what is a cut already change nothing.
        let segments = phases.cut_at([at(150), at(100), at(0), at(300), at(900), at(150)]);
        let bounds: Vec<_> = (0..segments.count()).map(|index| segments.bounds(index)).collect();
        assert_eq!(bounds, [(at(0), at(100)), (at(100), at(150)), (at(150), at(300))]);
        for (start, end, pieces) in
            [(0, 100, 0..1), (100, 300, 1..3), (150, 300, 2..3), (100, 150, 1..2)]
        {
            assert_eq!(segments.between(at(start), at(end)), pieces, "{start} to {end}");
        }
        assert_eq!(segments.phase_at(at(149)), 1);
    }

    proptest! {
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
