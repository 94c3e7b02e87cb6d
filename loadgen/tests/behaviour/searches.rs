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
    // Nothing is left to do.
    let again = search(&[]);
    assert!(again.stdout.contains("going on after"), "{}", again.stdout);
    assert_eq!(capacity(&again.stdout), (lower, upper));
    // Another one is not gone on with.
    let other = search(&["--set", "gateway.workers=2"]);
    assert_eq!(other.code, Some(2));
    assert!(other.stderr.contains("name another --out"), "{}", other.stderr);
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
        (&["search", "two.toml"][..], "has 2 phases: a search needs a scenario of one"),
        (&["search", "test.toml", "--trial", "1"], "invalid value '1'"),
        (&["search", "test.toml", "--set", "gateway.wrkers=1"], "unknown key `wrkers`"),
        (&["search", "nothing.toml"], "nothing.toml"),
    ] {
        let ended = end(bench.din(arguments));
        assert_eq!(ended.code, Some(2), "{}", ended.stdout);
        assert!(ended.stderr.contains(says), "{}", ended.stderr);
    }
}
