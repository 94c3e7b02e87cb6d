use super::*;
use crate::media::call::tests::call_to;
use crate::scenario::Phase;
use protocol::{MediaTimestamp, Ssrc};
use std::net::UdpSocket;
use std::sync::Arc;

/// What a gateway tells after so many seconds, of workers that have been busy for so long.
fn status(uptime_s: f64, workers: &[(&str, f64)], idle_s: f64) -> Status {
    let serving = workers.iter().filter(|(state, _)| *state == "serving").count();
    let workers: Vec<_> = (0..)
        .zip(workers)
        .map(|(number, (state, busy_s)): (u64, _)| {
            serde_json::json!({"worker": number, "state": state, "frames": 10, "busy_s": busy_s})
        })
        .collect();
    let event = serde_json::json!({
        "at_s": 2.5, "from": 2, "to": 3, "reason": "demand", "sentence": "2 to 3", "saw": {},
    });
    let status = serde_json::json!({
        "started_at_monotonic_ns": 1_000_000_000_u64,
        "uptime_s": uptime_s,
        "backend": {"burn": []},
        "pool": {
            "dispatch": "round-robin", "serving": serving, "starting": 1, "draining": 0,
            "pending": 4, "load_percent": 40.0, "idle_while_waiting_s": idle_s,
            "workers": workers,
        },
        "scaling": {
            "policy": "queue-delay", "min": 2, "max": 8,
            "decisions": {"demand": 2, "idle": 1}, "events": [event],
        },
        "faults": {"configured": {}},
        "counters": {"frames_encoded": 20, "dropped": {"worker_timeout": 3}},
    });
    serde_json::from_value(status).unwrap()
}

fn reading(status: Status) -> Reading {
    Reading { status, passages: Vec::new(), left_out: 0 }
}

fn phases() -> PhaseTimes {
    let phase = |name| Phase::plain(name, 1, Duration::ZERO, Duration::from_millis(100));
    PhaseTimes::new(&[phase("one"), phase("two")])
}

fn account() -> PoolAccount {
    PoolAccount::new(Clock::start(), phases())
}

fn mean(measured: &Measurements, metric: Metric) -> Option<f64> {
    measured.sampled(metric)?.statistic(Statistic::Mean)
}

fn close(seen: f64, expected: f64) -> bool {
    (seen - expected).abs() < 2e-3
}

#[tokio::test]
async fn what_happened_in_a_second_is_the_difference_of_two_readings() {
    let (mut account, calls) = (account(), CallRegistry::default());
    let first = account
        .add(reading(status(1.0, &[("serving", 5.0), ("serving", 1.0)], 0.0)), 0, &calls)
        .await;
    assert_eq!((first.serving, first.starting, first.span), (2, 1, None));
    let second = account
        .add(reading(status(3.0, &[("serving", 6.5), ("serving", 1.5)], 0.5)), 0, &calls)
        .await;
    let span = second.span.unwrap();
    assert!(close(span.busy, 1.0), "2 s of work in 2 s: {second:?}");
    assert!(close(span.idle_while_waiting, 0.25) && close(span.balance.unwrap(), 0.8), "{span:?}");
    let (measured, record) = account.finish();
    let of = |metric| mean(&measured[&0], metric).unwrap();
    assert!(close(of(Metric::WorkersBusy), 1.0));
    assert!(close(of(Metric::IdleWhileWaiting), 25.0));
    assert!(close(of(Metric::WorkerBalance), 0.8), "1.5 and 0.5 s");
    assert!(close(of(Metric::Workers), 2.0) && close(of(Metric::GatewayLoad), 40.0));
    let record = record.unwrap();
    assert!(close(record.balance.unwrap().jain_min, 0.8));
    assert!(close(record.idle_while_waiting_percent, 25.0));
    assert_eq!((record.frames_run, record.frames_encoded, record.worker_timeouts), (20, 20, 3));
    assert_eq!((record.scaling.changes, record.coverage.readings), (3, 2));
}

#[tokio::test]
async fn balance_is_scored_only_while_the_same_workers_serve_and_have_something_to_do() {
    for (before, now, scored) in [
        (vec![("serving", 0.0), ("serving", 0.0)], vec![("serving", 0.9), ("serving", 0.1)], true),
        (vec![("serving", 0.0), ("serving", 0.0)], vec![("serving", 0.2), ("serving", 0.1)], false),
        (vec![("serving", 0.0)], vec![("serving", 0.9)], false),
        (vec![("serving", 0.0)], vec![("serving", 0.9), ("serving", 0.9)], false),
        (vec![("serving", 0.0), ("gone", 0.5)], vec![("serving", 0.9), ("serving", 1.0)], false),
        (
            vec![("serving", 0.0), ("serving", 0.0), ("draining", 0.0)],
            vec![("serving", 0.9), ("serving", 0.9), ("gone", 0.1)],
            true,
        ),
    ] {
        let (mut account, calls) = (account(), CallRegistry::default());
        account.add(reading(status(1.0, &before, 0.0)), 1, &calls).await;
        account.add(reading(status(2.0, &now, 0.0)), 1, &calls).await;
        let (measured, _) = account.finish();
        let balance = mean(&measured[&1], Metric::WorkerBalance);
        assert_eq!(balance.is_some(), scored, "{before:?} {now:?}");
    }
}

#[tokio::test]
async fn a_frame_counts_in_the_phase_in_which_it_was_planned() {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (mut account, calls) = (account(), CallRegistry::default());
    let call = Arc::new(call_to(&peer, 1, Moment::from_millis(60)));
    (0..2).for_each(|frame| call.note_sending(frame, Duration::ZERO));
    calls.add(Arc::clone(&call));
    let passage = |ssrc, timestamp| Passage {
        ssrc,
        timestamp,
        arrived: Duration::ZERO,
        queued: Duration::from_millis(2),
        worked: Some(Duration::from_millis(3)),
    };
    let passages = vec![
        passage(call.ssrc, call.timestamp(0)),
        passage(call.ssrc, call.timestamp(1)),
        passage(call.ssrc, MediaTimestamp::from_millis(7)),
        passage(Ssrc::new(9), call.timestamp(1)),
    ];
    let told = Reading { status: status(1.0, &[("serving", 0.0)], 0.0), passages, left_out: 5 };
    let second = account.add(told, 1, &calls).await;
    assert!(close(second.queue_delay_p50_ms.unwrap(), 2.0), "{second:?}");
    account.missed();
    let (measured, record) = account.finish();
    // Due at 60 and 120 ms: one in each phase.
    for phase in [0, 1] {
        assert!(close(mean(&measured[&phase], Metric::GatewayQueueDelay).unwrap(), 2.0));
        let work = measured[&phase].sampled(Metric::GatewayWork).unwrap();
        assert_eq!(work.count(), 1, "phase {phase}");
    }
    let coverage = record.unwrap().coverage;
    let expected = CoverageRecord {
        readings: 1,
        unread: 1,
        frames: 2,
        to_the_end: false,
        frames_left_out: 5,
        frames_missing: 4,
        frames_unmatched: 2,
    };
    assert_eq!(coverage, expected);
}

#[tokio::test]
async fn changes_are_placed_on_the_clock_of_the_run() {
    let (mut account, calls) = (account(), CallRegistry::default());
    let started = account.clock.to_monotonic(Moment::from_millis(500));
    let mut told = status(9.0, &[("serving", 0.0)], 0.0);
    told.started_at_monotonic_ns = nanos(started);
    account.add(reading(told), 0, &calls).await;
    let record = account.finish().1.unwrap();
    let event = &record.scaling.events[0];
    assert!(close(event.at_ms, 3000.0), "2.5 s after 0.5 s: {event:?}");
    assert_eq!((event.from, event.to, event.reason.as_str()), (2, 3, "demand"));
}

#[test]
fn a_gateway_that_told_nothing_has_no_record() {
    let mut account = account();
    account.missed();
    let (measured, record) = account.finish();
    assert!(measured.is_empty() && record.is_none());
}

#[tokio::test]
async fn a_gateway_that_was_restarted_counts_on() {
    let (mut account, calls) = (account(), CallRegistry::default());
    let again = |uptime_s| Status {
        started_at_monotonic_ns: 9_000_000_000,
        ..status(uptime_s, &[("serving", 0.5)], 0.25)
    };
    account.add(reading(status(1.0, &[("serving", 1.0), ("serving", 1.0)], 0.0)), 0, &calls).await;
    account.add(reading(status(3.0, &[("serving", 2.0), ("serving", 2.0)], 0.5)), 0, &calls).await;
    let second = account.add(reading(again(0.5)), 0, &calls).await;
    assert_eq!(second.span, None, "of two gateways nothing can be said");
    account.add(reading(again(2.5)), 0, &calls).await;
    let record = account.finish().1.unwrap();
    assert_eq!((record.frames_run, record.frames_encoded, record.worker_timeouts), (30, 40, 6));
    assert_eq!((record.scaling.changes, record.scaling.events.len()), (6, 2));
    let workers: Vec<_> = record.workers.iter().map(|one| (one.frames, one.busy_ms)).collect();
    assert_eq!(workers, [(20, 2500.0), (10, 2000.0)]);
    // 0.5 s in 2 s of the first, nothing in 2 s of the second.
    assert!(close(record.idle_while_waiting_percent, 12.5), "{record:?}");
}
