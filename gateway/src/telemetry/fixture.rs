//! A status with something in every place, for tests.

use std::collections::BTreeMap;
use std::time::Duration;

use super::histogram::TimeHistogram;
use super::status::{
    BackendStatus, FaultsStatus, Histogram, PoolStatus, ProcessStatus, ScalingEvent, ScalingStatus,
    Status, Timeout, WorkerStatus,
};
use crate::autoscale::{Policy, Saw};
use crate::backend::Backend;
use crate::counters::{CloseCause, Counters, DropCause, EndCause, RefuseCause};
use crate::dispatch::Dispatch;
use crate::faults::FaultSettings;
use crate::pool::WorkerState;

/// A gateway that has run for ten minutes.
pub(super) fn status() -> Status {
    let worker = |worker, state, frames, cpu_s| WorkerStatus {
        worker,
        state,
        pending: if state == WorkerState::Serving { worker + 1 } else { 0 },
        frames,
        busy_s: 12.5,
        cpu_s,
    };
    let saw = Saw { serving: 1, pending: 9, oldest_wait_ms: 12.0, ..Saw::default() };
    Status {
        version: "0.1.0",
        started_at_unix_s: 1_760_000_000,
        started_at_monotonic_ns: 5_000_000_000,
        uptime_s: 600.0,
        backend: BackendStatus {
            kind: Backend::Echo,
            complexity: 5,
            delay_ms: Vec::new(),
            burn: Vec::new(),
        },
        pool: PoolStatus {
            dispatch: Dispatch::CentralQueue,
            serving: 2,
            starting: 1,
            draining: 1,
            pending: 3,
            load_percent: 30.0,
            idle_while_waiting_s: 0.25,
            workers: vec![
                worker(0, WorkerState::Serving, 12_000, Some(11.5)),
                worker(1, WorkerState::Serving, 5_640, Some(6.25)),
                worker(2, WorkerState::Starting, 0, None),
                worker(3, WorkerState::Draining, 70, Some(0.5)),
                worker(4, WorkerState::Gone, 7, None),
            ],
        },
        scaling: ScalingStatus {
            policy: Policy::QueueDelay,
            min: 2,
            max: 8,
            decisions: BTreeMap::from([("below-minimum", 1), ("queue-delay", 3)]),
            events: vec![ScalingEvent {
                at_s: 0.1,
                from: 1,
                to: 2,
                reason: "below-minimum",
                sentence: "1 to 2 workers: 2 is the minimum".to_owned(),
                saw,
            }],
        },
        queue_delay: times(&[(17_000, 80), (647, 400)]),
        work: times(&[(17_647, 1200)]),
        latency: times(&[(17_000, 1280), (646, 2400), (1, 53_680)]),
        timeouts: vec![Timeout {
            at_s: 312.5,
            device: "02:00:00:00:00:07".to_owned(),
            waited_ms: 151.25,
        }],
        process: Some(ProcessStatus {
            cpu_percent: 50.0,
            cpu_percent_mean: 4.77,
            cpu_percent_max: 61.5,
            samples: 100,
            resident_bytes: 30_010_245,
            threads: 9,
        }),
        sessions_live: 21,
        faults: FaultsStatus { configured: FaultSettings::default(), leaked_bytes: 4096 },
        counters: counters().snapshot(),
    }
}

/// So many times of so many microseconds each.
fn times(of_micros: &[(u64, u64)]) -> Histogram {
    let mut histogram = TimeHistogram::default();
    for (count, micros) in of_micros {
        (0..*count).for_each(|_| histogram.record(Duration::from_micros(*micros)));
    }
    histogram.to_status()
}

fn counters() -> Counters {
    let counters = Counters::default();
    counters.frames_in.add(17_650);
    counters.frames_accepted.add(17_648);
    counters.frames_out.add(17_647);
    counters.kernel_drops.add(7);
    counters.sessions_opened.add(23);
    counters.dropped.count(DropCause::Late);
    counters.dropped.count(DropCause::Late);
    counters.dropped.count(DropCause::WorkerPanic);
    counters.sessions_ended.count(EndCause::DeviceGoodbye);
    counters.sessions_ended.count(EndCause::Silence);
    counters.refused.count(RefuseCause::NotConnect);
    counters.closed.count(CloseCause::Disconnect);
    counters
}
