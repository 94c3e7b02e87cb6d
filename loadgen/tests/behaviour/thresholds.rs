//! Each form of a threshold in real runs: one limit that is kept and one that is not.

use crate::common::{Bench, Ended, end, expected_code};
use serde_json::Value;

/// Frames of the burst wait for one worker that takes 5 ms for each; what is limited is that work
/// and that wait, which no host can make shorter.
const LOAD: &str = r#"
drain = "5s"
[gateway]
backend = "relay"
workers = 1
burn = { kind = "wait", time = "5ms" }
[devices]
phase = "aligned"
[[phase]]
name = "calm"
devices = 1
hold = "2s"
[[phase]]
name = "burst"
devices = 10
hold = "2s"
"#;

/// Runs the load with `thresholds`.
fn run(thresholds: &str, flags: &[&str]) -> (Bench, Ended) {
    let bench = Bench::new(&format!("{LOAD}\n[thresholds]\n{thresholds}"));
    let mut command = bench.din_run();
    command.args(flags);
    let ended = end(command);
    (bench, ended)
}

/// How the scenario's own thresholds were judged, in their order.
fn own(record: &Value) -> Vec<Value> {
    let all = record["thresholds"].as_array().unwrap();
    all.iter().filter(|one| one["implied"] == false).cloned().collect()
}

#[test]
fn every_form_has_a_limit_that_holds_and_one_that_does_not() {
    // In pairs: the whole run, a phase, the time after an event, a multiple of another phase, each
    // window of some seconds, the worst device.
    let (bench, ended) = run(
        r#"
"gateway_queue_delay.max" = ">= 20ms"
"gateway_queue_delay.min" = ">= 20ms"
"burst.gateway_queue_delay.p90" = ">= 20ms"
"calm.gateway_queue_delay.min" = ">= 20ms"
"within 1s of burst.gateway_queue_delay.p90" = ">= 20ms"
"within 1s of calm.gateway_queue_delay.min" = ">= 20ms"
"burst.gateway_queue_delay.p95" = "> 2x calm"
"calm.gateway_queue_delay.p50" = "> 200% burst"
"gateway_work.min" = { limit = ">= 4ms", over = "2s" }
"gateway_work.max" = { limit = "< 4ms", over = "2s" }
"longest_loss_run.worst" = "= 0"
"playout_depth.worst" = "< 1us"
"#,
        &[],
    );
    let record = bench.record();
    let judged = own(&record);
    assert_eq!(judged.len(), 12, "{}", ended.stderr);
    for pair in judged.chunks(2) {
        assert_eq!((&pair[0]["ok"], &pair[1]["ok"]), (&true.into(), &false.into()), "{pair:?}");
        assert!(pair.iter().all(|one| one["samples"].as_u64() > Some(0)), "{pair:?}");
    }
    assert_eq!(ended.code, Some(expected_code(&record)));
    assert_eq!(judged[4]["within"], "within 1s of burst");
    // A window after an event has its own frames: about 16 a device and second, here for 10.
    let (window, phase) = (judged[4]["samples"].as_u64(), judged[2]["samples"].as_u64());
    assert!(window < phase && window > Some(0), "{window:?} of {phase:?}");
    assert!(judged[6]["bound"].as_f64() > Some(0.0), "{}", judged[6]);
    let worst = &judged[9]["worst"];
    assert!(worst["at_ms"].as_f64() > Some(1900.0), "the end of a window of 2 s: {worst}");
    assert_eq!(judged[9]["observed"], worst["observed"]);
    assert!(ended.stdout.contains("gateway_work.max over 2 s"), "{}", ended.stdout);
}

#[test]
fn a_warning_is_shown_and_fails_nothing() {
    let (bench, ended) = run("\"frames_sent\" = { limit = \"= 0\", warn = true }\n", &[]);
    let record = bench.record();
    let judged = own(&record);
    assert_eq!((&judged[0]["ok"], &judged[0]["warn"]), (&false.into(), &true.into()));
    assert_eq!(record["verdict"], "pass", "{}", ended.stdout);
    assert!(ended.stdout.contains("warn  frames_sent"), "{}", ended.stdout);
}

#[test]
fn a_run_ends_as_soon_as_a_limit_that_aborts_is_not_kept() {
    let limit = |limit| {
        format!("\"gateway_work.min\" = {{ limit = \"{limit}\", abort = true, after = \"1s\" }}\n")
    };
    let (bench, ended) = run(&limit("< 4ms"), &["--set", "phase.burst.hold=60s"]);
    let record = bench.record();
    let judged = own(&record);
    assert_eq!((&judged[0]["ok"], &judged[0]["aborted"]), (&false.into(), &true.into()));
    assert_eq!(record["verdict"], "fail", "{}", ended.stdout);
    assert_eq!(ended.code, Some(expected_code(&record)));
    let why = record["ended_early"].as_str().unwrap();
    assert!(
        why.contains("gateway_work.min < 4ms, or the run ends (after 1s); observed 5."),
        "{why}"
    );
    assert!(record["duration_ms"].as_f64() < Some(60_000.0));
    assert!(ended.stdout.contains("(ended the run)"), "{}", ended.stdout);

    let (bench, ended) = run(&limit(">= 4ms"), &[]);
    let record = bench.record();
    assert_eq!((&record["verdict"], &record["ended_early"]), (&"pass".into(), &Value::Null));
    assert_eq!(own(&record)[0]["aborted"], false, "{}", ended.stdout);
}

#[test]
fn a_limit_may_be_a_multiple_of_an_earlier_run() {
    let (earlier, _) = run("\"frames_lost\" = \"= 0\"\n", &[]);
    let baseline = earlier.path("run");
    let baseline = baseline.to_str().unwrap();
    let against = "\"gateway_work.min\" = \"> 50% baseline\"\n\
                   \"calm.frames_sent\" = \"> 3x baseline\"\n";
    let (bench, ended) = run(against, &["--baseline", baseline]);
    let record = bench.record();
    let judged = own(&record);
    assert_eq!((&judged[0]["ok"], &judged[1]["ok"]), (&true.into(), &false.into()), "{judged:?}");
    let before = earlier.record()["metrics"]["gateway_work"]["min"].as_f64().unwrap();
    let came_to = judged[0]["bound"].as_f64().unwrap();
    assert!((came_to - before / 2.0).abs() < 0.001, "{came_to} of {before}");
    assert!(ended.stdout.contains("> 50% baseline ("), "{}", ended.stdout);

    // The same, kept under a name.
    let kept =
        end(bench.din(&["baseline", "save", baseline, "--as", "main", "--commit", "abc123"]));
    assert_eq!(kept.code, Some(0), "{}", kept.stderr);
    let listed = end(bench.din(&["baseline", "list"]));
    assert!(
        listed.stdout.starts_with("main  ") && listed.stdout.contains("abc123"),
        "{}",
        listed.stdout
    );
    let shown = end(bench.din(&["baseline", "show", "main"]));
    assert!(shown.stdout.contains("gateway_cpu.mean"), "{}", shown.stdout);
    let named = end(bench.din(&["run", "test.toml", "--baseline", "main", "--out", "named"]));
    assert!(named.stdout.contains("> 50% baseline ("), "{}{}", named.stdout, named.stderr);
    assert!(!named.stdout.contains("another host"), "{}", named.stdout);
    let elsewhere = bench.path("baselines/elsewhere.json");
    let record = std::fs::read_to_string(bench.path("baselines/main.json")).unwrap();
    let record = record.replace("\"cores\": ", "\"cores\": 9");
    std::fs::write(elsewhere, record).unwrap();
    let warned =
        end(bench.din(&["run", "test.toml", "--baseline", "elsewhere", "--out", "warned"]));
    assert!(warned.stdout.contains("ran on another host (cores "), "{}", warned.stdout);

    let (_, without) = run(against, &[]);
    assert_eq!(without.code, Some(2));
    assert!(without.stderr.contains("add --baseline RUN_DIRECTORY"), "{}", without.stderr);
    let odd = "\"gateway_work.p95\" = \"< 2x baseline\"\n";
    let (_, lacking) = run(odd, &["--baseline", baseline]);
    assert_eq!(lacking.code, Some(2));
    assert!(lacking.stderr.contains("has no gateway_work.p95"), "{}", lacking.stderr);
    let (_, nowhere) = run(odd, &["--baseline", "nowhere"]);
    assert_eq!(nowhere.code, Some(2));
    assert!(nowhere.stderr.contains("the baseline nowhere: "), "{}", nowhere.stderr);
}
