//! Two sides under the same load.

use std::fs;

use crate::common::{Bench, SHORT, end};
use serde_json::Value;

/// A gateway that works for 1 ms, and one that works for 30.
#[test]
fn one_pair_is_run_and_not_enough() {
    let bench = Bench::new(SHORT);
    let burn = |time: &str| format!("gateway.burn={{ kind = 'wait', time = '{time}' }}");
    let (a, b) = (burn("1ms"), burn("30ms"));
    let arguments = ["compare", "test.toml", "--a", &a, "--b", &b, "--pairs", "1", "--out", "both"];
    let ended = end(bench.din(&arguments));
    assert_eq!(ended.code, Some(4), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("7 pairs are the fewest"), "{}", ended.stdout);
    let text = fs::read_to_string(bench.path("both/compare.json")).unwrap();
    let comparison: Value = serde_json::from_str(&text).unwrap();
    let numbers = &comparison["numbers"][0];
    assert_eq!(numbers["name"], "response_latency.p99");
    assert!(numbers["ratio"].as_f64().unwrap() > 2.0, "{comparison:#}");
    let seed = |side: &str| {
        let record = bench.path(&format!("both/pair-01-{side}/run.json"));
        let record: Value = serde_json::from_str(&fs::read_to_string(record).unwrap()).unwrap();
        record["seed"].clone()
    };
    assert_eq!(seed("a"), seed("b"));
}

#[test]
fn sides_that_are_the_same_or_wrong_are_refused_before_anything_runs() {
    let bench = Bench::new(SHORT);
    for (more, says) in [
        (&[][..], "A and B are the same"),
        (&["--b", "gateway.wrkers=4"], "unknown key `wrkers`"),
        (&["--before"], "before"),
        (&["--b", "gateway.workers=4", "--metric", "beauty"], "invalid value 'beauty'"),
        (&["--b", "gateway.workers=4", "--pairs", "0"], "invalid value '0'"),
        (&["--b", "gateway.workers=4", "--margin=-1"], "write a number from 0 to 100"),
        (&["--b", "seed=4"], "both sides of a pair have one seed"),
    ] {
        let ended = end(bench.din(&[&["compare", "test.toml", "--out", "both"], more].concat()));
        assert_eq!(ended.code, Some(2), "{more:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{more:?}: {}", ended.stderr);
        assert!(!bench.path("both").exists());
    }
}
