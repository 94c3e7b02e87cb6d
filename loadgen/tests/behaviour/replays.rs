//! What was recorded is played again: captures, traces and runs; and what comes out otherwise is told.

use std::fs;

use loadgen::import::pcap::import_capture;

use crate::common::{Bench, SHORT, end};
use crate::imports::{Below, packet, pcap};

/// Four seconds behind a bad network: every eleventh frame is lost, every other one 40 ms late, five
/// are held and come together.
fn capture() -> Vec<u8> {
    let mut packets = Vec::new();
    for frame in (0..66).filter(|frame| frame % 11 != 10) {
        let late = match frame {
            24..=28 => (28 - frame) * 60 + 40,
            _ => frame % 2 * 40,
        };
        let at = frame * 60 + late;
        packets.push((at, packet(Below::Ethernet, true, frame)));
        packets.push((at + 3, packet(Below::Ethernet, false, frame)));
    }
    packets.sort_by_key(|(at, _)| *at);
    pcap(1, 9999, &packets)
}

/// A bench with what `din import` made of the capture.
fn imported() -> Bench {
    let bench = Bench::new(SHORT);
    fs::write(bench.path("bad.pcap"), capture()).unwrap();
    import_capture(&bench.path("bad.pcap"), None, &bench.path("bad")).unwrap();
    bench
}

/// What `din replay` printed, and its page.
fn replay(bench: &Bench, what: &str, more: &[&str]) -> (String, String) {
    let arguments = [&["replay", what, "--out", "again", "--quiet"], more].concat();
    let ended = end(bench.din(&arguments));
    let page = fs::read_to_string(bench.path("again/report.html"));
    (ended.stdout, page.unwrap_or_else(|_| panic!("{}", ended.stderr)))
}

/// The same of what is heard again as it was: on a machine as busy as a test machine may be, in one of
/// three trials.
fn reproduced(bench: &Bench, what: &str) -> (String, String) {
    for _ in 0..2 {
        let (told, page) = replay(bench, what, &[]);
        if told.contains(CLOSE) {
            return (told, page);
        }
        fs::remove_dir_all(bench.path("again")).unwrap();
    }
    let (told, page) = replay(bench, what, &[]);
    assert!(told.contains(CLOSE), "{told}");
    (told, page)
}

const CLOSE: &str = "Reproduced: each within 10 %";

#[test]
fn a_capture_is_heard_again_as_it_was() {
    let bench = imported();
    let (told, page) = reproduced(&bench, "bad");
    assert!(told.contains("bad.pcap: 1 calls, 65 frames"), "{told}");
    for id in ["replay-delay", "replay-loss", "replay-stutter"] {
        assert!(page.contains(&format!("<figure id=\"{id}\"")), "{id}");
    }
    assert!(page.contains("href=\"#replay\""));
    // The replay is a run: it can be played again itself.
    fs::rename(bench.path("again"), bench.path("first")).unwrap();
    let (told, _) = reproduced(&bench, "first");
    assert!(told.contains("original    run first: 1 calls"), "{told}");
}

#[test]
fn a_trace_alone_is_enough() {
    let bench = imported();
    let (told, _) = reproduced(&bench, "bad/trace.csv");
    assert!(told.contains("trace bad/trace.csv: 1 calls, 65 frames"), "{told}");
    assert!(bench.path("again/scenario.toml").exists());
}

#[test]
fn yesterdays_run_is_todays_scenario() {
    let bench = imported();
    replay(&bench, "bad", &["--set", "devices.network={ uplink = { delay = '7ms' } }"]);
    let made = end(bench.din(&["import", "run", "again", "--out", "made"]));
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert!(made.stdout.contains("changed as by --set devices.network="), "{}", made.stdout);
    assert!(made.stdout.contains("worst device went through, 65 frames"), "{}", made.stdout);
    let written = fs::read_to_string(bench.path("made/scenario.toml")).unwrap();
    assert!(written.contains("delay = \"7ms\""), "{written}");
    fs::rename(bench.path("again"), bench.path("first")).unwrap();
    let (told, _) = reproduced(&bench, "made");
    assert!(told.contains("original    run again: 1 calls, 65 frames"), "{told}");
    let twice = end(bench.din(&["import", "run", "first", "--out", "made"]));
    assert_eq!(twice.code, Some(2));
    assert!(twice.stderr.contains("scenario.toml is there already"), "{}", twice.stderr);
    let none = end(bench.din(&["import", "run", "nothing", "--out", "none"]));
    assert!(none.stderr.contains("nothing: No such file"), "{}", none.stderr);
}

#[test]
fn a_run_whose_files_are_elsewhere_is_told() {
    let bench = imported();
    replay(&bench, "bad", &[]);
    // Its scenario names a trace beside itself.
    let ended = end(bench.din(&["import", "run", "again", "--out", "made"]));
    assert_eq!(ended.code, Some(2));
    assert!(
        ended.stderr.contains("files that it names are looked for beside it"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("trace.csv does not exist"), "{}", ended.stderr);
    assert!(!bench.path("made").exists());
}

/// A link that is away from 1 to 2 s and then sends what has waited.
#[test]
fn a_recorded_link_is_played() {
    let bench = Bench::new(SHORT);
    let seconds = (1..=1000).chain(2000..=3000).map(|ms| format!("{ms}\n"));
    fs::write(bench.path("tunnel.up"), seconds.collect::<String>()).unwrap();
    let ended = end(bench.din(&["import", "mahimahi", "tunnel.up"]));
    assert!(
        ended.stdout.contains("3.0 s, 8.00 Mbit/s on average, longest outage 1000 ms"),
        "{}{}",
        ended.stdout,
        ended.stderr
    );
    assert!(ended.stdout.contains("downlink   not impaired"), "{}", ended.stdout);
    let (told, _) = reproduced(&bench, "tunnel");
    // Of 1,000 ms without a frame the first 40 ms are those of the frame before it.
    assert!(told.contains("original    link tunnel.up: 1 calls, 51 frames"), "{told}");
    let gap = told.lines().find(|line| line.starts_with("longest gap")).unwrap();
    assert!(gap.contains(" 9"), "{gap}");
    let ended = end(bench.din(&["import", "mahimahi", "test.toml"]));
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("test.toml: line 1: `title = \"Short\"`"), "{}", ended.stderr);
}

#[test]
fn what_is_not_heard_again_is_named() {
    let bench = imported();
    let clean = "devices.network={}";
    let (told, page) = replay(&bench, "bad", &["--set", clean]);
    let far = "Not reproduced within 10 %: jitter (RFC 3550), effective loss, stutters a minute, \
               longest gap";
    assert!(told.contains(far), "{told}");
    assert!(page.contains(far));
    let ended = end(bench.din(&["run", "test.toml", "--out", "plain", "--quiet"]));
    assert_eq!(ended.stderr, "");
    let page = fs::read_to_string(bench.path("plain/report.html")).unwrap();
    assert!(!page.contains("Original and reproduced"), "a run that plays nothing again");
}

#[test]
fn what_cannot_be_played_again_is_told() {
    let bench = imported();
    fs::write(bench.path("text.csv"), "some words\n").unwrap();
    fs::create_dir(bench.path("empty")).unwrap();
    fs::write(bench.path("bad/original.json"), "{\"format\": 99}").unwrap();
    for (what, says) in [
        ("nothing", "cannot open nothing"),
        ("text.csv", "is no trace; a capture becomes one by `din import pcap text.csv`: line 1"),
        ("test.toml", "test.toml is a scenario, and no recording: `din run test.toml`"),
        ("empty", "is neither a run (run.json) nor what `din import` writes"),
        ("bad", "bad/original.json: "),
    ] {
        let ended = end(bench.din(&["replay", what, "--out", "again"]));
        assert_eq!(ended.code, Some(2), "{what}: {}", ended.stderr);
        assert!(ended.stderr.contains(says), "{what}: {}", ended.stderr);
        assert!(!bench.path("again").exists(), "{what}");
    }
}

/// What is proposed can be put into a scenario as it stands.
#[test]
fn a_trace_is_explained_in_the_words_of_a_scenario() {
    let bench = imported();
    let ended = end(bench.din(&["fit", "bad/trace.csv"]));
    assert!(
        ended.stdout.contains("trace      1 calls, 65 frames"),
        "{}{}",
        ended.stdout,
        ended.stderr
    );
    let network = ended.stdout.lines().find_map(|line| line.trim().strip_prefix("network = "));
    let set = format!("devices.network={}", network.unwrap());
    let checked = end(bench.din(&["check", "test.toml", "--set", &set]));
    assert!(checked.stdout.contains("behind a simulated network"), "{set}: {}", checked.stderr);
    let wrong = end(bench.din(&["fit", "test.toml"]));
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.stderr.contains("test.toml is no trace: line 1"), "{}", wrong.stderr);
}
