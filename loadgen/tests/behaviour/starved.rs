//! A generator that gets no processor time: it is never a quiet pass.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::common::{Bench, SHORT};

/// For how long others take the processor.
const STARVED: Duration = Duration::from_secs(2);

/// Processes that do nothing but keep a processor busy; they end with this.
struct Busy(Vec<Child>);

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // Fails only for one that has ended.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A processor that this process may use, if `taskset` is there to name it.
fn one_processor() -> Option<String> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    let first = allowed.trim().split([',', '-']).next()?.to_owned();
    let tried = Command::new("taskset").args(["-c", &first, "true"]).status();
    tried.is_ok_and(|status| status.success()).then_some(first)
}

/// `program` on that processor alone.
fn pinned(processor: Option<&str>, program: &str) -> Command {
    match processor {
        Some(processor) => {
            let mut command = Command::new("taskset");
            command.args(["-c", processor, program]);
            command
        }
        None => Command::new(program),
    }
}

#[test]
fn a_generator_without_processor_time_is_suspect_or_invalid() {
    let bench = Bench::new(SHORT);
    let processor = one_processor();
    let processor = processor.as_deref();
    let mut command = pinned(processor, "nice");
    command.args(["-n", "19", env!("CARGO_BIN_EXE_din"), "run", "test.toml", "--out", "run"]);
    command.args(["--priority", "ordinary", "--set", "phase.0.hold=5s"]);
    command.env_remove("MQTT_SIGNATURE_KEY").current_dir(bench.path(""));
    let mut din = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();

    // Devices are up when the first line of progress comes, after a second.
    let mut progress = BufReader::new(din.stderr.take().unwrap());
    let mut line = String::new();
    progress.read_line(&mut line).unwrap();
    assert!(line.contains("3/3 devices"), "{line}");
    // Without a processor of its own to starve on, all of them are taken.
    let everywhere = 2 * thread::available_parallelism().map_or(1, usize::from);
    let busy = || {
        let mut shell = pinned(processor, "sh");
        shell.args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn().unwrap()
    };
    let hogs = if processor.is_some() { 3 } else { everywhere };
    let busy = Busy((0..hogs).map(|_| busy()).collect());
    // Not a wait for something to happen: this is how long the processor is taken.
    thread::sleep(STARVED);
    drop(busy);

    let mut rest = String::new();
    progress.read_to_string(&mut rest).unwrap();
    let output = din.wait_with_output().unwrap();
    let summary = String::from_utf8(output.stdout).unwrap();
    let record = bench.record();
    let state = record["validity"]["state"].as_str().unwrap();
    let code = output.status.code();
    assert!(
        matches!((state, code), ("INVALID", Some(3)) | ("SUSPECT", Some(0 | 1))),
        "{state}, exit {code:?}: {summary}"
    );
    assert_eq!(record["method"]["pacer_priority"], "ordinary");
    // It is said of the generator, in words and figures, and stands at the top.
    let reasons = record["validity"]["reasons"].as_array().unwrap();
    let generator = ["send_lag_p99", "send_lag_max", "generator_cpu", "planned_not_sent"];
    let blamed = |rule: &str| generator.contains(&rule);
    let reason = reasons.iter().find(|reason| blamed(reason["rule"].as_str().unwrap()));
    let text = reason.unwrap_or_else(|| panic!("{reasons:?}"))["text"].as_str().unwrap();
    assert!(summary.contains(&format!(": {text}")), "{summary}");
    assert!(!summary.starts_with("PASS  VALID"), "{summary}");
}
