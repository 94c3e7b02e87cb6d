//! How well a pool's size followed its load, from what was seen each second.
//!
//! Demand is the offered load in workers: frames sent in a second times the mean work of a frame in
//! this run (Erlang). It is rounded up to whole workers for the scores.

use std::time::Duration;

use measure::Metric;
use measure::gateway_record::ScalingRecord;
use measure::scaling::{Elasticity, Steps, flaps};

use crate::figures::distribution;
use crate::run_files::RunFiles;

/// How supply followed demand.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scorecard {
    /// The scores.
    pub elasticity: Elasticity,
    /// Changes against the direction of the one before, without a change of demand.
    pub flaps: usize,
}

/// The offered load in workers at the end of each second; empty where it is not known.
pub fn demand(run: &RunFiles) -> Vec<(f64, Option<f64>)> {
    let work = distribution(&run.record, Metric::GatewayWork).and_then(|work| work.mean);
    let Some(work_ms) = work else { return Vec::new() };
    let mut before = 0.0;
    let seconds = run.timeline.numbers("t_s").into_iter().zip(run.timeline.numbers("frames_sent"));
    let demanded = seconds.filter_map(|(at, sent)| {
        let at = at?;
        let length = at - before;
        before = at;
        let rate = sent.filter(|_| length > 0.0).map(|sent| sent / length);
        Some((at, rate.map(|rate| rate * work_ms / 1e3)))
    });
    demanded.collect()
}

/// The size of the pool, change by change; `None` when not every change is on record.
fn changes(scaling: &ScalingRecord) -> Option<Steps> {
    if scaling.events.len() as u64 != scaling.changes {
        return None;
    }
    let at = |millis: f64| Duration::try_from_secs_f64(millis / 1e3).ok();
    let whole = |workers: u64| u32::try_from(workers).ok();
    let mut steps = vec![(Duration::ZERO, whole(scaling.at_start)?)];
    for event in &scaling.events {
        steps.push((at(event.at_ms)?, whole(event.to)?));
    }
    Steps::new(steps)
}

/// The scores of a pool that can change; `None` for a fixed one, and where demand or supply is not
/// known.
pub fn scorecard(run: &RunFiles) -> Option<Scorecard> {
    let gateway = run.record.gateway.as_ref()?;
    if gateway.scaling.policy == "fixed" {
        return None;
    }
    let seconds = |points: Vec<(f64, Option<f64>)>| {
        // What was seen at the end of a second counts for that second.
        let mut start = Duration::ZERO;
        let mut steps: Vec<(Duration, u32)> = Vec::new();
        for (at, value) in points {
            let Some(value) = value else { continue };
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "workers are few and not negative"
            )]
            let whole = value.ceil() as u32;
            if steps.last().is_none_or(|(_, last)| *last != whole) {
                steps.push((start, whole));
            }
            start = Duration::try_from_secs_f64(at).ok()?.max(start + Duration::from_nanos(1));
        }
        Some((Steps::new(steps)?, start))
    };
    let (demand, end) = seconds(demand(run))?;
    let supply = changes(&gateway.scaling)?;
    Some(Scorecard {
        elasticity: Elasticity::of(&demand, &supply, end)?,
        flaps: flaps(&demand, &supply, end),
    })
}
