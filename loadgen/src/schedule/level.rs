//! The device target over time: ramps, stairs, bursts and waves.

use std::f64::consts::TAU;
use std::time::Duration;

use protocol::Moment;

use super::{PhaseTimes, PlannedCall, on_slot};
use crate::scenario::{Ending, Phase, Wave};

/// How finely a wave is followed.
const WAVE_STEP: Duration = Duration::from_millis(100);

/// The calls of the devices that the target asks for; numbers count from 0, and the newest leave
/// first.
pub(super) fn calls(phases: &[Phase], times: &PhaseTimes) -> Vec<PlannedCall> {
    let mut calls = Vec::new();
    // Devices that are up, by number: each with its arrival.
    let mut up: Vec<Moment> = Vec::new();
    let mut follow = |at: Moment, target: usize| {
        let at = on_slot(at);
        while up.len() < target {
            up.push(at);
        }
        while up.len() > target {
            let arrive = up.pop().expect("more devices are up than the target");
            calls.push(planned(up.len(), arrive, at));
        }
    };
    let mut before = 0;
    for (index, phase) in phases.iter().enumerate() {
        let start = times.bounds(index).0;
        for (at, target) in ramp(phase, before) {
            follow(start + at, target);
        }
        before = phase.devices as usize;
        if let Some(wave) = phase.wave {
            for (at, target) in swing(phase, wave) {
                before = target;
                follow(start + phase.ramp + at, target);
            }
        }
    }
    for (device, arrive) in up.into_iter().enumerate() {
        calls.push(planned(device, arrive, times.end()));
    }
    calls
}

fn planned(device: usize, arrive: Moment, leave: Moment) -> PlannedCall {
    let device = u32::try_from(device).expect("scenarios have at most 20,000 devices");
    PlannedCall { device, arrive, leave, ending: Ending::default() }
}

/// The targets of the ramp from `before` devices, the first at its start.
fn ramp(phase: &Phase, before: usize) -> Vec<(Duration, usize)> {
    let target = phase.devices as usize;
    let way = before.abs_diff(target);
    let steps = phase.steps.map_or(way, |steps| (steps as usize).min(way));
    let at = |step: usize| phase.ramp.mul_f64(step as f64 / steps as f64);
    let reached = |step: usize| {
        let gone = way * (step + 1) / steps;
        if target > before { before + gone } else { before - gone }
    };
    (0..steps).map(|step| (at(step), reached(step))).collect()
}

/// The targets of a wave, by time from the start of the hold.
fn swing(phase: &Phase, wave: Wave) -> impl Iterator<Item = (Duration, usize)> {
    let steps = phase.hold.as_millis() / WAVE_STEP.as_millis();
    let steps = u32::try_from(steps).expect("the longest run has fewer steps");
    let (from, to) = (f64::from(phase.devices), f64::from(wave.to));
    (1..=steps).map(move |step| {
        let at = WAVE_STEP * step;
        let turn = at.as_secs_f64() / wave.period.as_secs_f64() * TAU;
        let level = from + (to - from) * (1.0 - turn.cos()) / 2.0;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between two device targets"
        )]
        (at, level.round() as usize)
    })
}
