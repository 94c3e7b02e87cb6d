//! The most devices that a gateway carries: found, bounded, broken off and gone on with.

use std::fs;

use crate::common::{Bench, end};

/// A worker that takes 12 ms for a frame carries 5 devices of 60 ms frames; with a limit on what waits, it
/// is found out within a trial of 2 s.
const SCENARIO: &str = "title = \"Search\"\nseed = 3\ndrain = \"2s\"\n\
    [gateway]\nbackend = \"relay\"\nworkers = 1\nburn = { kind = \"wait\", time = \"12ms\" }\n\
    [[phase]]\nname = \"talk\"\ndevices = 3\nhold = \"2s\"\n\
    [thresholds]\n\"response_latency.p99\" = \"< 150ms\"\n\"effective_loss\" = \"<= 90%\"\n";
const FLAGS: [&str; 8] = ["--trial", "2", "--sum", "4", "--width", "20", "--out", "found"];

#[test]
fn a_search_goes_on_where_it_was_broken_off() {
    let bench = Bench::new(SCENARIO);
    let search = |more: &[&str]| {
        end(bench.din(&[&["search", "test.toml", "--most", "24"], &FLAGS[..], more].concat()))
    };
    let found = search(&[]);
    assert!(bench.path("found/search.json").exists(), "{}{}", found.stdout, found.stderr);
    assert!(found.stdout.contains("limit      response_latency.p99"), "{}", found.stdout);
    let capacity = |stdout: &str| {
        let line = stdout.lines().find(|line| line.starts_with("capacity")).unwrap().to_owned();
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        (words[1].parse::<u32>().unwrap(), words[3].parse::<u32>().unwrap())
    };
    let (lower, upper) = capacity(&found.stdout);
    assert!((3..=6).contains(&lower) && lower < upper && upper <= 8, "{}", found.stdout);
    assert!(bench.path("found/report.html").exists());
    // Its trials are runs like any other.
    let history = end(bench.din(&["history", "found", "--out", "history"]));
    assert_eq!(history.code, Some(0), "{}", history.stderr);
    assert!(history.stdout.contains("caution: the scenario or its changes became others"));
    assert!(bench.path("history/report.html").exists());
    let plan = end(bench.din(&["plan", "found", "found", "found"]));
    assert_eq!(plan.code, Some(2));
    assert!(plan.stderr.contains("3 numbers of workers are the fewest"), "{}", plan.stderr);
    // Nothing is left to do.
    let again = search(&[]);
    assert!(again.stdout.contains("going on after"), "{}", again.stdout);
    assert_eq!(capacity(&again.stdout), (lower, upper));
    // Another one is not gone on with.
    let other = search(&["--set", "gateway.workers=2"]);
    assert_eq!(other.code, Some(2));
    assert!(other.stderr.contains("name another --out"), "{}", other.stderr);
    let elsewhere = search(&["--target", "mqtt://127.0.0.1:1"]);
    assert_eq!(elsewhere.code, Some(2));
    assert!(elsewhere.stderr.contains("another gateway"), "{}", elsewhere.stderr);
}

/// Twelve devices keep 2.4 such workers busy.
#[test]
fn the_fewest_workers_are_searched_where_the_scenario_says_so() {
    let fewest = SCENARIO.replace("devices = 3", "devices = 12").replace(
        "[[phase]]",
        "[search]\nvary = \"gateway.workers\"\nfind = \"fewest\"\nfrom = 5\nmost = 8\n[[phase]]",
    );
    let bench = Bench::new(&fewest);
    let search = ["search", "test.toml", "--sum", "4", "--out", "found"];
    let found = end(bench.din(&search));
    assert_eq!(found.code, Some(0), "{}{}", found.stdout, found.stderr);
    let line = found.stdout.lines().find(|line| line.starts_with("capacity")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let (met, missed): (u32, u32) = (words[1].parse().unwrap(), words[5].parse().unwrap());
    // On a busy machine three may be too few.
    assert!((3..=5).contains(&met) && missed + 1 == met, "{}", found.stdout);
    assert!(
        line.ends_with(&format!(" gateway.workers of test.toml, {missed} are too few")),
        "{line}"
    );
    let longer = end(bench.din(&[&search[..], &["--trial", "9"]].concat()));
    assert_eq!(longer.code, Some(2));
    assert!(longer.stderr.contains("is run as it stands, each trial 2 s"), "{}", longer.stderr);
}

#[test]
fn what_cannot_be_searched_is_told() {
    let bench = Bench::new(&format!("{SCENARIO}\n"));
    let two = SCENARIO.replace(
        "[thresholds]",
        "[[phase]]\nname = \"b\"\ndevices = 1\nhold = \"1s\"\n[thresholds]",
    );
    fs::write(bench.path("two.toml"), two).unwrap();
    for (arguments, says) in [
        (&["search", "two.toml"][..], "has 2 phases: a search of devices needs a scenario of one"),
        (&["search", "test.toml", "--trial", "1"], "invalid value '1'"),
        (&["search", "test.toml", "--set", "gateway.wrkers=1"], "unknown key `wrkers`"),
        (&["search", "nothing.toml"], "nothing.toml"),
    ] {
        let ended = end(bench.din(arguments));
        assert_eq!(ended.code, Some(2), "{}", ended.stdout);
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
    }
}
