//! Ends that nobody planned: what ran is reported, and nothing is left behind.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Bench, SHORT, assert_gateway_gone, count, expected_code};
use crate::histograms::{assert_adds_up, series};
use serde_json::Value;

/// A run of a minute that is under way: devices are up and frames were answered.
struct UnderWay {
    din: Child,
    stderr: BufReader<std::process::ChildStderr>,
    gateway: u32,
}

fn under_way(bench: &Bench) -> UnderWay {
    under_way_for(bench, "60s")
}

/// The same, of another length.
fn under_way_for(bench: &Bench, hold: &str) -> UnderWay {
    let mut command = bench.din_run();
    command.args(["--set", &format!("phase.0.hold={hold}")]);
    let mut din = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(din.stderr.take().unwrap());
    // The first line of progress comes after the first second.
    let mut line = String::new();
    stderr.read_line(&mut line).unwrap();
    assert!(line.contains("3/3 devices"), "{line}");
    let gateway = child_of(din.id());
    UnderWay { din, stderr, gateway }
}

/// The only child of process `parent`.
fn child_of(parent: u32) -> u32 {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let children = std::fs::read_to_string(path).unwrap();
    children.trim().parse().unwrap_or_else(|_| panic!("one child, not `{children}`"))
}

fn signal(name: &str, pid: u32) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status();
    assert!(status.unwrap().success());
}

impl UnderWay {
    /// Waits for the end; returns exit code and summary.
    fn end(mut self) -> (Option<i32>, String) {
        let output = {
            // Progress must be read on, or din could block on a full pipe.
            let mut progress = String::new();
            std::io::Read::read_to_string(&mut self.stderr, &mut progress).unwrap();
            self.din.wait_with_output().unwrap()
        };
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    }
}

#[test]
fn ctrl_c_reports_what_ran_and_exits_130() {
    let bench = Bench::new(SHORT);
    let run = under_way(&bench);
    let before = Instant::now();
    signal("INT", run.din.id());
    let (code, summary) = run.end();
    assert_eq!(code, Some(130), "{summary}");
    assert!(before.elapsed() < Duration::from_secs(30), "the rest of the minute is not waited for");
    let record = bench.record();
    assert_eq!(record["exit_code"], 130);
    assert!(summary.contains("ended early: interrupted after"), "{summary}");
    assert_eq!(count(&record, "frames_planned"), count(&record, "frames_sent"));
    assert!(count(&record, "frames_received") > 0);
    assert_eq!(count(&record, "frames_lost"), 0, "answers were waited for");
    assert_eq!(count(&record, "sessions_lost"), 0, "hanging up is not losing");
    assert_adds_up(&series(&bench), &record);
    assert_gateway_gone(&record);
}

#[test]
fn a_gateway_killed_in_mid_run_is_counted_and_fails_the_run() {
    let bench = Bench::new(SHORT);
    let run = under_way(&bench);
    signal("KILL", run.gateway);
    let (code, summary) = run.end();
    let record = bench.record();
    assert_eq!(record["verdict"], "fail", "{summary}");
    assert_eq!(code, Some(expected_code(&record)), "{summary}");
    assert_eq!(count(&record, "gateway_exits"), 1);
    assert_eq!(count(&record, "sessions_lost"), 3);
    assert_adds_up(&series(&bench), &record);
    assert!(summary.contains("the reference gateway ended after"), "{summary}");
    assert!(summary.contains("signal: 9 (SIGKILL)"), "{summary}");
    assert!(summary.contains("3 × session lost: the MQTT connection was lost"), "{summary}");
    assert_gateway_gone(&record);
}

#[test]
fn a_din_killed_outright_leaves_no_gateway_behind() {
    let bench = Bench::new(SHORT);
    let mut run = under_way(&bench);
    let gateway = run.gateway;
    let deadline = Instant::now() + Duration::from_secs(20);
    let log = bench.path("run/histograms.hlog");
    let logged = || std::fs::read_to_string(&log).unwrap();
    while !["send_lag", "response_latency"].iter().all(|tag| logged().contains(tag)) {
        assert!(Instant::now() < deadline, "nothing is logged: {}", logged());
        std::thread::yield_now();
    }
    run.din.kill().unwrap();
    run.din.wait().unwrap();
    let name = format!("/proc/{gateway}/comm");
    while std::fs::read_to_string(&name).is_ok_and(|name| name.trim() == "din-gateway") {
        assert!(Instant::now() < deadline, "the gateway outlives its din");
        std::thread::yield_now();
    }
    // Nobody closed the log; what ran until then is in it, and it can be read.
    assert!(series(&bench)["send_lag"].intervals > 0);
}

/// How long a process is made to stand still.
const STILL: Duration = Duration::from_millis(500);
/// How long the calls are in which one does.
const HOLD: Duration = Duration::from_secs(4);

/// Makes a process stand still; returns how long it certainly did.
fn stand_still(pid: u32) -> Duration {
    signal("STOP", pid);
    let stopped = Instant::now();
    std::thread::sleep(STILL);
    let still = stopped.elapsed();
    signal("CONT", pid);
    still
}

fn statistic(record: &Value, metric: &str, statistic: &str) -> f64 {
    let value = &record["metrics"][metric][statistic];
    value.as_f64().unwrap_or_else(|| panic!("{metric}.{statistic} in {}", record["metrics"]))
}

/// Checks that a stall of `still` has the share in the quantiles of `metric` that the plan gives it.
///
/// A frame that was due a time t into the stall waited for the rest of it, and frames are due all
/// the time: so a share s of the frames of the calls waited for at least the stall less s of the
/// calls' length, whatever else made them wait. One frame duration is the plan's own grain.
fn assert_share(record: &Value, metric: &str, still: Duration) {
    let frame = Duration::from_millis(60);
    for (name, above) in [("p90", 0.1), ("p99", 0.01), ("p999", 0.001), ("max", 0.0)] {
        let least = still.saturating_sub(HOLD.mul_f64(above)).saturating_sub(frame);
        let seen = statistic(record, metric, name);
        assert!(seen >= least.as_secs_f64() * 1e3, "{metric}.{name}: {seen} ms, not {least:?}");
    }
}

#[test]
fn a_generator_that_stood_still_says_so_and_hides_no_latency() {
    let bench = Bench::new(SHORT);
    let run = under_way_for(&bench, "4s");
    let still = stand_still(run.din.id());
    let (code, summary) = run.end();
    let record = bench.record();
    assert_eq!((record["validity"]["state"].as_str(), code), (Some("INVALID"), Some(3)));
    assert!(summary.contains("the generator stood still: a frame was sent "), "{summary}");
    assert_eq!(count(&record, "frames_sent"), count(&record, "frames_planned"));
    // Frames that were due meanwhile count from when they were due, each at least as long as it
    // was late: no quantile of the latency is below the same one of the lag.
    for metric in ["send_lag", "response_latency"] {
        assert_share(&record, metric, still);
    }
    for quantile in ["p50", "p90", "p99", "p999", "max"] {
        let [lag, latency] =
            ["send_lag", "response_latency"].map(|metric| statistic(&record, metric, quantile));
        // Three significant digits each.
        assert!(latency >= lag * 0.998, "{quantile}: latency {latency} ms, lag {lag} ms");
    }
    // From the actual send the same stall is all but invisible: that is why nobody gates on it.
    let (service, response) = (
        statistic(&record, "service_latency", "mean"),
        statistic(&record, "response_latency", "mean"),
    );
    let lag = statistic(&record, "send_lag", "mean");
    assert!((response - service - lag).abs() <= 0.02 * response, "{response} = {service} + {lag}");
}

/// What only the generator can have done wrong, and no gateway can make it do.
const GENERATORS_FAULTS: [&str; 9] = [
    "no_work",
    "planned_not_sent",
    "accounts",
    "not_attempted",
    "decodes_left_out",
    "receive_drops",
    "generator_cpu",
    "clock_step",
    "decided_by_send_lag",
];

#[test]
fn a_gateway_that_stood_still_is_seen_as_slow_for_the_frames_of_that_time() {
    let scenario = format!("{SHORT}\"response_latency.max\" = \"< 200ms\"\n");
    let bench = Bench::new(&scenario);
    let run = under_way_for(&bench, "4s");
    let still = stand_still(run.gateway);
    let (code, summary) = run.end();
    let record = bench.record();
    assert_eq!(code, Some(expected_code(&record)));
    assert_eq!(record["verdict"], "fail", "{summary}");
    assert!(summary.contains("FAIL  response_latency.max"), "{summary}");
    assert_eq!(count(&record, "frames_lost"), 0, "{summary}");
    // Half a second of four: an eighth of the frames waited, the last of them hardly.
    assert_share(&record, "response_latency", still);
    assert_share(&record, "service_latency", still);
    assert!(statistic(&record, "response_latency", "p50") < 200.0, "{summary}");
    let gap = record["metrics"]["longest_gap"]["pooled"].as_f64().unwrap();
    assert!(gap > 300.0, "the device fell silent: {gap} ms");
    assert!(record["metrics"]["interruptions_per_minute"]["pooled"].as_f64().unwrap() > 0.0);
    // The generator sent on meanwhile, and is not blamed. What a busy host does to it is its own.
    assert!(statistic(&record, "send_lag", "max") < 400.0, "{summary}");
    let reasons = record["validity"]["reasons"].as_array().unwrap();
    for rule in reasons.iter().map(|reason| reason["rule"].as_str().unwrap()) {
        assert!(!GENERATORS_FAULTS.contains(&rule), "{summary}");
    }
}
