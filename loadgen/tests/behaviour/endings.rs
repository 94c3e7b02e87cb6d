//! Ends that nobody planned: what ran is reported, and nothing is left behind.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Bench, SHORT, assert_gateway_gone, count, expected_code};
use crate::histograms::{assert_adds_up, series};

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

fn stand_still(pid: u32) {
    signal("STOP", pid);
    std::thread::sleep(STILL);
    signal("CONT", pid);
}

#[test]
fn a_generator_that_stood_still_says_so_and_hides_no_latency() {
    let bench = Bench::new(SHORT);
    let run = under_way_for(&bench, "4s");
    stand_still(run.din.id());
    let (code, summary) = run.end();
    let record = bench.record();
    assert_eq!((record["validity"]["state"].as_str(), code), (Some("INVALID"), Some(3)));
    assert!(summary.contains("the generator stood still: a frame was sent "), "{summary}");
    // Frames that were due meanwhile count from when they were due.
    let ms = |metric: &str| record["metrics"][metric]["max"].as_f64().unwrap();
    assert!(ms("send_lag") > 400.0 && ms("response_latency") >= ms("send_lag"), "{summary}");
    assert_eq!(count(&record, "frames_sent"), count(&record, "frames_planned"));
}

#[test]
fn a_gateway_that_stood_still_is_seen_as_slow_for_the_frames_of_that_time() {
    let scenario = format!("{SHORT}\"response_latency.max\" = \"< 200ms\"\n");
    let bench = Bench::new(&scenario);
    let run = under_way_for(&bench, "4s");
    stand_still(run.gateway);
    let (code, summary) = run.end();
    let record = bench.record();
    assert_eq!(code, Some(expected_code(&record)));
    assert_eq!(record["verdict"], "fail", "{summary}");
    assert_eq!(count(&record, "frames_lost"), 0, "{summary}");
    // Half a second of four and more: an eighth of the frames waited up to that long.
    let latency = &record["metrics"]["response_latency"];
    let (p50, max) = (latency["p50"].as_f64().unwrap(), latency["max"].as_f64().unwrap());
    assert!(max > 400.0 && p50 < 200.0, "{summary}");
    let gap = record["metrics"]["longest_gap"]["pooled"].as_f64().unwrap();
    assert!(gap > 300.0, "the device fell silent: {gap} ms");
    assert!(record["metrics"]["interruptions_per_minute"]["pooled"].as_f64().unwrap() > 0.0);
}
