//! Every scenario of the library is a gate: shortened, it holds as it is, and fails under the fault
//! that it watches for, or in its setting before the incident was mended.
//!
//! Limits on times are not asserted to hold: a test machine may be busy. That they fail where they
//! should is asserted all the same.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::common::{Bench, end};
use measure::record::{RunRecord, ThresholdRecord};

/// Runs at the same time: they mostly wait.
const AT_ONCE: usize = 4;

/// One scenario, how it is shortened, what breaks it, and the limits that must not hold then.
struct Gate {
    scenario: &'static str,
    short: &'static [&'static str],
    /// Settings that break it; none: what was before.
    broken: &'static [&'static str],
    fails: &'static [&'static str],
}

const GATES: &[Gate] = &[
    Gate {
        scenario: "steady-100",
        short: &[
            "phase.talk.devices=6",
            "phase.talk.ramp=0s",
            "phase.talk.hold=3s",
            "devices.decode=2",
        ],
        broken: &["gateway.faults.dropped_replies=10%"],
        fails: &["frames_lost", "effective_loss.worst"],
    },
    Gate {
        scenario: "ramp-500",
        short: &[
            "phase.few.devices=4",
            "phase.few.hold=500ms",
            "phase.ramp.devices=20",
            "phase.ramp.ramp=2s",
            "phase.all.devices=20",
            "phase.all.hold=1s",
            "devices.hello_timeout=1s",
            "devices.decode=1",
        ],
        broken: &["gateway.faults.hello_limit=10"],
        fails: &["sessions_failed"],
    },
    Gate {
        scenario: "burst-autoscale",
        short: &[
            "phase.calm.devices=6",
            "phase.calm.hold=2s",
            "phase.burst.devices=60",
            "phase.recovered.devices=60",
            "phase.recovered.hold=3s",
            "gateway.burn.time=6ms",
            "devices.decode=0",
        ],
        broken: &["gateway.autoscaler=production"],
        fails: &["recovered.workers.min", "recovered.gateway_queue_delay.p99"],
    },
    Gate {
        scenario: "soak",
        short: &[
            "phase.warm-up.ramp=0s",
            "phase.warm-up.hold=1s",
            "phase.warm-up.devices=6",
            "phase.first.devices=6",
            "phase.first.hold=4s",
            "phase.second.devices=6",
            "phase.second.hold=4s",
            "devices.decode=0",
        ],
        broken: &["gateway.faults.leak_per_frame=64KiB"],
        fails: &["second.gateway_rss.mean"],
    },
    Gate {
        scenario: "reconnect-storm",
        short: &[
            "phase.talk.devices=16",
            "phase.talk.ramp=0s",
            "phase.talk.hold=7s",
            "action.0.at=talk + 2s",
            "thresholds.sessions_opened== 24",
            "devices.decode=0",
        ],
        broken: &["gateway.faults.hello_delay=2s"],
        fails: &["within 4s of storm.hello_time.max"],
    },
    Gate {
        scenario: "conversation",
        short: &[
            "phase.talk.devices=6",
            "phase.talk.ramp=0s",
            "phase.talk.hold=6s",
            "thresholds.turns=>= 4",
        ],
        broken: &["gateway.faults.dropped_replies=20%"],
        fails: &["speech_lost", "effective_loss.worst"],
    },
    Gate {
        scenario: "gateway-restart",
        short: &[
            "phase.talk.devices=6",
            "phase.talk.ramp=0s",
            "phase.talk.hold=8s",
            "action.0.at=talk + 2500ms",
            "thresholds.sessions_opened== 12",
            "devices.decode=1",
        ],
        broken: &["action.0.down=4s"],
        fails: &["sessions_opened", "sessions_failed"],
    },
    Gate {
        scenario: "burst-size",
        short: &[
            "phase.calm.devices=2",
            "phase.calm.hold=1s",
            "phase.burst.devices=20",
            "phase.burst.hold=2s",
            "phase.after.devices=2",
            "phase.after.hold=1s",
            "devices.hello_timeout=1s",
        ],
        broken: &["gateway.faults.hello_limit=10"],
        fails: &["sessions_failed"],
    },
    Gate {
        scenario: "capacity",
        short: &["phase.talk.devices=6", "phase.talk.ramp=0s", "phase.talk.hold=3s"],
        broken: &["gateway.faults.dropped_replies=10%"],
        fails: &["effective_loss"],
    },
    Gate {
        scenario: "capacity-table",
        short: &[
            "phase.devices-15.hold=1500ms",
            "phase.devices-40.hold=1s",
            "phase.devices-64.hold=1s",
            "phase.devices-100.hold=1s",
            "phase.devices-150.devices=110",
            "phase.devices-150.hold=1s",
            "phase.devices-500.devices=120",
            "phase.devices-500.ramp=1s",
            "phase.devices-500.hold=1s",
            "devices.decode=0",
        ],
        broken: &["gateway.burn.time=12ms"],
        fails: &["devices-15.workers.max"],
    },
    Gate {
        scenario: "incident-1-jitter",
        short: &["phase.talk.hold=3s", "devices.decode=0"],
        broken: &[],
        fails: &["response_latency.p99", "gateway_queue_delay.p99", "idle_while_waiting.mean"],
    },
    Gate {
        scenario: "incident-2-timeouts",
        short: &["phase.talk.hold=3s", "devices.decode=0"],
        broken: &[],
        fails: &["worker_timeouts", "frames_lost", "effective_loss.worst"],
    },
    Gate {
        scenario: "incident-3-metrics",
        short: &[
            "phase.first.devices=6",
            "phase.first.ramp=0s",
            "phase.first.hold=2s",
            "phase.second.devices=6",
            "phase.second.hold=2s",
            "devices.decode=0",
        ],
        broken: &[],
        fails: &["workers_busy.mean", "gateway_work.p99", "gateway_load.mean"],
    },
    Gate {
        scenario: "incident-4-fixed-pool",
        short: &["phase.calm.hold=1s", "phase.recovered.hold=3s", "devices.decode=0"],
        broken: &[],
        fails: &["recovered.workers.min", "recovered.frames_lost", "effective_loss.worst"],
    },
    Gate {
        scenario: "incident-5-visibility",
        short: &["phase.calm.hold=2s", "phase.burst.hold=4s", "devices.decode=0"],
        broken: &[],
        fails: &["burst.workers.max", "burst.gateway_load.max", "scaling_changes"],
    },
    Gate {
        scenario: "incident-6-scaling-test",
        short: &[
            "phase.burst.hold=4s",
            "phase.idle.hold=1s",
            "thresholds.integrity.decoded=>= 100",
            "devices.decode=2",
        ],
        broken: &[],
        fails: &[
            "frames_lost",
            "integrity.decoded",
            "burst.workers.max",
            "burst.workers_busy.mean",
        ],
    },
    Gate {
        scenario: "incident-production",
        short: &["phase.talk.hold=3s", "devices.decode=0"],
        broken: &[],
        fails: &["worker_timeouts", "frames_lost", "response_latency.p99", "response_latency.max"],
    },
];

/// What a machine that is busy may spoil.
fn is_about_time(threshold: &ThresholdRecord) -> bool {
    ["latency", "queue_delay", "_time.", "gateway_work"]
        .iter()
        .any(|part| threshold.metric.contains(part))
}

fn run(gate: &Gate, broken: bool) -> RunRecord {
    let bench = Bench::new("");
    let scenarios = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let path = scenarios.join(format!("{}.toml", gate.scenario));
    let mut command = bench.din(&["run", path.to_str().unwrap(), "--out", "run", "--quiet"]);
    for set in gate.short {
        command.args(["--set", set]);
    }
    match gate.broken {
        [] if broken => {
            command.arg("--before");
        }
        settings if broken => {
            for set in settings {
                command.args(["--set", set]);
            }
        }
        _ => {}
    }
    let ended = end(command);
    assert!(bench.path("run/run.json").exists(), "{}: {}", gate.scenario, ended.stderr);
    serde_json::from_value(bench.record()).unwrap()
}

/// What is wrong with a gate: nothing, when it is one.
fn judged(gate: &Gate) -> Vec<String> {
    let mut wrong = Vec::new();
    let sound = run(gate, false);
    for one in sound.thresholds.iter().filter(|one| !one.ok && !one.warn && !is_about_time(one)) {
        wrong.push(format!("{}: {} fails as it is: {one:?}", gate.scenario, one.subject()));
    }
    let broken = run(gate, true);
    for subject in gate.fails {
        let found = broken.thresholds.iter().find(|one| one.subject() == *subject);
        match found {
            Some(one) if one.ok => {
                wrong.push(format!(
                    "{}: {subject} holds though it is broken: {one:?}",
                    gate.scenario
                ));
            }
            Some(_) => {}
            None => wrong.push(format!("{}: it has no limit on {subject}", gate.scenario)),
        }
    }
    wrong
}

#[test]
fn every_scenario_holds_as_it_is_and_fails_under_what_it_watches_for() {
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(gate) = GATES.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let found = judged(gate);
                    wrong.lock().unwrap().extend(found);
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn before_and_after_are_run_one_after_the_other_and_told_in_a_line() {
    let bench = Bench::new(
        "[gateway]\nbackend = \"relay\"\n[before]\ngateway.faults.dropped_replies = \"50%\"\n\
         [devices]\ndecode = 0\n[[phase]]\ndevices = 3\nhold = \"1s\"\n\
         [thresholds]\n\"frames_lost\" = \"= 0\"\n",
    );
    let ended = end(bench.din(&["run", "test.toml", "--both", "--quiet", "--out", "runs"]));
    let record = |which: &str| -> RunRecord {
        let text = std::fs::read_to_string(bench.path(&format!("runs/{which}/run.json"))).unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let (before, after) = (record("before"), record("after"));
    assert_eq!(before.scenario.overrides, ["gateway.faults.dropped_replies=50%"]);
    assert_eq!((before.seed, after.scenario.overrides.len()), (after.seed, 0));
    let lines: Vec<_> = ended.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{}", ended.stdout);
    assert!(lines[0].starts_with("before  ") && lines[1].starts_with("after   "), "{lines:?}");
    assert!(lines[2].starts_with("improved: frames_lost "), "{lines:?}");
    let code = reports::improvement::exit_code(before.exit_code, after.exit_code);
    assert_eq!(ended.code, Some(code.into()));
    // Without anything to compare with there is nothing to run.
    std::fs::write(bench.path("test.toml"), "[[phase]]\ndevices = 1\nhold = \"1s\"\n").unwrap();
    for flag in ["--both", "--before"] {
        let ended = end(bench.din(&["run", "test.toml", flag]));
        assert_eq!(ended.code, Some(2));
        assert!(ended.stderr.contains("it has no [before]"), "{}", ended.stderr);
    }
}
