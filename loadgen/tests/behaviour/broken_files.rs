//! Scenario files with one mistake each (`loadgen/tests/broken`), and what their authors are told:
//! file, line, what was seen, what is allowed, the nearest name. Read the snapshot as they would.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use loadgen::scenario::Scenario;

use crate::common::{Bench, end};

fn broken() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken")
}

/// What is said of a file, with its directory left out.
fn told(path: &Path) -> String {
    let begun = Instant::now();
    let error = match Scenario::load(path, &[]) {
        Ok(_) => panic!("{} is right", path.display()),
        Err(error) => error.to_string(),
    };
    assert!(begun.elapsed() < Duration::from_secs(20), "{} took ages", path.display());
    error.replace(&format!("{}/", broken().display()), "")
}

#[test]
fn every_mistake_is_told_with_its_place_and_what_to_do() {
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(broken()).unwrap().map(|file| file.unwrap().path()).collect();
    paths.sort();
    assert!(paths.len() >= 40, "{}", paths.len());
    let mut all = String::new();
    for path in &paths {
        let name = path.file_name().unwrap().to_string_lossy();
        let told = told(path);
        assert!(told.contains(".toml"), "{name}: {told}");
        // Words of the reader of bytes, which nobody who writes a scenario knows.
        for jargon in ["invalid type", "map", "sequence", "missing field", "visitor", "struct"] {
            assert!(!told.contains(jargon), "{name} is told of a `{jargon}`:\n{told}");
        }
        let _ = writeln!(all, "── {name}\n{told}\n");
    }
    insta::assert_snapshot!(all);
}

/// What has no line of its own: the mistake is in the file as a whole.
const WHOLE: [&str; 2] = ["full-duplex-against-an-assistant.toml", "not-utf-8.toml"];

#[test]
fn every_mistake_has_a_line_but_those_of_a_whole_file() {
    for file in std::fs::read_dir(broken()).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let told = told(&path);
        let (_, place) = told.split_once(".toml:").unwrap_or_else(|| panic!("{name}: {told}"));
        let has_line = place.starts_with(|c: char| c.is_ascii_digit());
        assert_eq!(has_line, !WHOLE.contains(&&*name), "{told}");
        let way_out = ["\n  = ", "allowed", "write", "expected", "must be", "turn them"];
        let has_way_out = way_out.iter().any(|words| told.contains(words));
        assert!(has_way_out, "{name} is not told what to do:\n{told}");
    }
}

/// Mistakes that show when a run is begun: each with exit code 2, and nothing runs.
#[test]
fn mistakes_of_a_run_are_told_before_anything_runs() {
    let scenario = "[[phase]]\ndevices = 1\nhold = \"1s\"\n[thresholds]\n";
    for (limit, arguments, said) in [
        (
            "\"workers.max\" = \"< 3\"",
            &["--target", "mqtt://127.0.0.1:9"][..],
            "absent for a --target",
        ),
        ("\"send_lag.p99\" = \"< 110% baseline\"", &[], "--baseline"),
        ("\"frames_lost\" = \"= 0\"", &["--set", "phase.9.hold=1s"], "there is no `phase.9`"),
        ("\"frames_lost\" = \"= 0\"", &["--set", "gateway.backed=echo"], "unknown key `backed`"),
        ("\"frames_lost\" = \"= 0\"", &["--set", "seed"], "there is no `=`"),
        ("\"frames_lost\" = \"= 0\"", &["--set", "devices.frame=61ms"], "61 ms"),
    ] {
        let bench = Bench::new(&format!("{scenario}{limit}\n"));
        let mut command = bench.din_run();
        command.args(arguments);
        let ended = end(command);
        assert_eq!(ended.code, Some(2), "{said}: {}", ended.stderr);
        assert!(ended.stderr.contains(said), "{said}: {}", ended.stderr);
        assert!(!bench.path("run/run.json").exists());
    }
    let bench = Bench::new(scenario);
    for (path, said) in [(".", "cannot be read"), ("nobody.toml", "cannot be read")] {
        let ended = end(bench.din(&["run", path]));
        assert_eq!(ended.code, Some(2));
        assert!(ended.stderr.contains(said) && ended.stderr.contains(path), "{}", ended.stderr);
    }
    // Audio that is none is found when it is read.
    std::fs::write(bench.path("noise.wav"), b"not a sound").unwrap();
    let text = "[devices]\naudio = [\"noise.wav\"]\n[[phase]]\ndevices = 1\nhold = \"1s\"\n";
    std::fs::write(bench.path("test.toml"), text).unwrap();
    let ended = end(bench.din_run());
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("neither WAV nor Ogg"), "{}", ended.stderr);
}
