//! A scenario that extends another, and what is said when one of them is wrong.

use crate::common::{Bench, Ended, end};

/// `din check test.toml`, with a `base.toml` beside it.
fn check(test: &str, base: &str) -> Ended {
    let bench = Bench::new(test);
    std::fs::write(bench.path("base.toml"), base).unwrap();
    end(bench.din(&["check", "test.toml"]))
}

const BASE: &str = "title = \"Base\"\nseed = 9\n[gateway]\nbackend = \"relay\"\nworkers = 3\n\
[[phase]]\nname = \"calm\"\ndevices = 4\nhold = \"6s\"\n\
[thresholds]\n\"frames_lost\" = \"= 0\"\n\"send_lag.p99\" = \"< 1ms\"\n";

#[test]
fn what_the_nearer_file_says_counts_and_the_rest_is_the_bases() {
    let ended = check(
        "extends = \"base.toml\"\n[gateway]\nworkers = 5\n[thresholds]\n\"send_lag.p99\" = \"< 2ms\"\n",
        BASE,
    );
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    for part in [
        "test: Base",
        "seed        9",
        "relay",
        "workers     5",
        "calm",
        "send_lag.p99 < 2ms",
        "frames_lost = 0",
    ] {
        assert!(ended.stdout.contains(part), "{part}: {}", ended.stdout);
    }
    // A list is taken whole.
    let phases =
        "extends = \"base.toml\"\n[[phase]]\nname = \"other\"\ndevices = 1\nhold = \"1s\"\n";
    let ended = check(phases, BASE);
    assert!(ended.stdout.contains("other") && !ended.stdout.contains("calm"), "{}", ended.stdout);
}

#[test]
fn what_is_wrong_is_shown_in_the_file_that_says_it() {
    let wrong_base = BASE.replace("workers = 3", "workers = 3000");
    for (test, base, parts) in [
        (
            "extends = \"base.toml\"\n",
            wrong_base.as_str(),
            &["base.toml:5:", "workers = 3000", "allowed are 1 to 256"][..],
        ),
        (
            "extends = \"base.toml\"\n[gateway]\nbakend = \"echo\"\n",
            BASE,
            &["test.toml:3:1", "unknown key `bakend` in `gateway`", "did you mean `backend`"],
        ),
        (
            "extends = \"base.toml\"\n[thresholds]\n\"storm.frames_lost\" = \"= 0\"\n",
            BASE,
            &["test.toml:3:", "names no metric", "phases here: calm"],
        ),
        (
            "extends = \"bsae.toml\"\n",
            BASE,
            &["test.toml:1:", "`bsae.toml`, which does not exist", "relative to the file"],
        ),
        (
            "extends = \"base.toml\"\n",
            "extends = \"test.toml\"\n",
            &["base.toml:1:", "in a circle: test.toml -> base.toml -> test.toml"],
        ),
        ("extends = 3\n", BASE, &["test.toml:1:11", "`extends`"]),
    ] {
        let ended = check(test, base);
        assert_eq!(ended.code, Some(2), "{}", ended.stdout);
        for part in parts {
            let text = ended.stderr.replace("./", "");
            assert!(text.contains(part), "{part} is missing in: {text}");
        }
    }
}
