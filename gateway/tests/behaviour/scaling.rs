//! A pool under load that grows, shrinks and drops what waited too long.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::fixture::{assert_accounts_close, callers, start_telling, status, until, until_settled};
use gateway::Backend;
use serde_json::Value;

/// A plausible packet of 60 ms: only its first byte means something.
const PACKET: [u8; 8] = [11 << 3, 1, 2, 3, 4, 5, 6, 7];

/// Frames of 10 ms, and a pool that forgets quickly.
const SCALED: &str = r#"
[autoscale]
policy = "queue-delay"
min = 2
max = 8
window = "1s"
smoothing = "100ms"
[[burn]]
kind = "wait"
time = "10ms"
"#;

fn serving(status: &Value) -> u64 {
    status["pool"]["serving"].as_u64().unwrap()
}

#[test]
fn a_pool_grows_with_the_load_and_shrinks_after_it_and_loses_no_frame() {
    let gateway = start_telling(Backend::Relay, SCALED);
    assert_eq!(serving(&status(&gateway)), 2);
    let mut devices = callers(gateway.mqtt_addr(), 8);
    let silence = AtomicBool::new(false);
    let (mut frames, mut answers) = (0, 0);
    thread::scope(|scope| {
        // Each always has a frame on its way, which is work for as many workers.
        let talkers: Vec<_> = devices
            .iter_mut()
            .map(|(_, call)| {
                scope.spawn(|| {
                    let mut answered = 0;
                    while !silence.load(Ordering::Relaxed) {
                        call.send(&PACKET);
                        assert_eq!(call.hear().1, PACKET);
                        answered += 1;
                    }
                    answered
                })
            })
            .collect();
        let grown = until("more workers", || {
            let status = status(&gateway);
            (serving(&status) > 4).then_some(status)
        });
        silence.store(true, Ordering::Relaxed);
        assert_eq!(grown["pool"]["dispatch"], "central-queue");
        assert_eq!((&grown["scaling"]["min"], &grown["scaling"]["max"]), (&2.into(), &8.into()));
        for talker in talkers {
            answers += talker.join().unwrap();
        }
        frames = gateway.counters().frames_in;
    });
    assert_eq!(frames, answers, "every frame was answered");

    let shrunk = until("as few workers as before", || {
        let status = status(&gateway);
        (serving(&status) == 2 && status["pool"]["draining"] == 0).then_some(status)
    });
    assert_eq!(shrunk["sessions_live"], 8);
    assert_told_and_consistent(&shrunk["scaling"]);
    for (_, call) in &mut devices {
        call.round_trip();
    }
    until_settled(&gateway, frames + 8);
    drop(devices);
    let counters = gateway.stop().unwrap();
    assert_eq!((counters.frames_accepted, counters.frames_settled), (frames + 8, frames + 8));
    assert_eq!((counters.frames_out, counters.dropped.total()), (frames + 8, 0));
    assert_accounts_close(&counters);
}

/// Checks that changes follow on each other from 2 workers to 2, up and down, each with a reason
/// and a sentence, and that they are counted by reason.
fn assert_told_and_consistent(scaling: &Value) {
    let events = scaling["events"].as_array().unwrap();
    let number = |event: &Value, key: &str| event[key].as_u64().unwrap();
    let mut workers = 2;
    for event in events {
        let (from, to) = (number(event, "from"), number(event, "to"));
        assert_eq!(from, workers, "{events:#?}");
        let reasons: &[&str] =
            if to > from { &["demand", "queue-delay"] } else { &["recent-demand"] };
        assert!(reasons.contains(&event["reason"].as_str().unwrap()), "{event:#}");
        let sentence = event["sentence"].as_str().unwrap();
        assert!(sentence.starts_with(&format!("{from} to {to} workers: ")), "{sentence}");
        assert!(event["saw"]["arrivals_per_s"].is_f64(), "{event:#}");
        workers = to;
    }
    assert_eq!(workers, 2, "{events:#?}");
    assert!(events.is_sorted_by(|a, b| a["at_s"].as_f64() < b["at_s"].as_f64()));
    let decisions = scaling["decisions"].as_object().unwrap();
    let counted = decisions.values().map(|count| count.as_u64().unwrap()).sum::<u64>();
    assert_eq!(counted, events.len() as u64);
}

#[test]
fn frames_that_waited_too_long_are_dropped_and_listed_with_device_and_wait() {
    let toml = "pool.workers = 1\npool.worker_timeout = \"20ms\"\n\
                [[burn]]\nkind = \"wait\"\ntime = \"30ms\"\n";
    let gateway = start_telling(Backend::Relay, toml);
    let mut devices = callers(gateway.mqtt_addr(), 5);
    let mut sent = 0;
    // While one frame is run the others wait longer than they may.
    let dropped = until("frames that waited too long", || {
        for (_, call) in &mut devices {
            (0..4).for_each(|_| call.send(&PACKET));
            sent += 4;
        }
        until_settled(&gateway, sent);
        Some(gateway.counters().dropped.worker_timeout).filter(|dropped| *dropped > 0)
    });
    let answered: usize = devices.iter().map(|(_, call)| call.heard().len()).sum();
    assert_eq!(answered as u64 + dropped, sent);

    let status = status(&gateway);
    assert_eq!(status["counters"]["dropped"]["worker_timeout"], dropped);
    assert_eq!(status["queue_delay"]["count"], sent, "the late ones waited, too");
    assert_eq!(status["work"]["count"], answered);
    let timeouts = status["timeouts"].as_array().unwrap();
    assert_eq!(timeouts.len() as u64, dropped);
    let macs: BTreeSet<_> = (0..5).map(|n| format!("aa:bb:cc:dd:ee:{n:02x}")).collect();
    for timeout in timeouts {
        assert!(timeout["waited_ms"].as_f64().unwrap() > 20.0, "{timeout}");
        assert!(macs.contains(timeout["device"].as_str().unwrap()), "{timeout}");
    }
    drop(devices);
    let counters = gateway.stop().unwrap();
    assert_eq!(counters.dropped.total(), dropped);
    assert_eq!((counters.frames_accepted, counters.frames_settled), (sent, sent));
    assert_accounts_close(&counters);
}
