//! Reports as people ask for them: beside the run, again, of several runs, and of a run that goes on.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Bench, SHORT, count, end};

/// Three seconds, so that on a busy machine too a second of it is on record.
fn some_seconds() -> Bench {
    Bench::new(&SHORT.replace("hold = \"1s\"", "hold = \"3s\""))
}

#[test]
fn a_run_leaves_its_report_and_it_can_be_rendered_again_and_laid_over_another() {
    let bench = some_seconds();
    let ran = end(bench.din(&["run", "test.toml", "--out", "run"]));
    assert!(ran.stdout.contains("report         run/report.html"), "{}", ran.stdout);
    let first = fs::read_to_string(bench.path("run/report.html")).unwrap();
    assert!(fs::read_to_string(bench.path("run/report.md")).unwrap().starts_with("## "));
    assert!(!bench.path("run/progress.json").exists(), "the run is over");

    fs::remove_file(bench.path("run/report.html")).unwrap();
    let again = end(bench.din(&["report", "run", "--format", "html,md,png,junit,csv"]));
    assert_eq!((again.code, again.stderr.as_str()), (Some(0), ""));
    assert_eq!(fs::read_to_string(bench.path("run/report.html")).unwrap(), first, "the same page");
    for file in ["report.md", "junit.xml", "plots/frames.png", "plots/spectrum.csv"] {
        assert!(again.stdout.contains(&format!("wrote run/{file}\n")), "{file}: {}", again.stdout);
        assert!(bench.path("run").join(file).is_file());
    }
    // What a plot says is what the run wrote.
    let timeline = fs::read_to_string(bench.path("run/timeline.csv")).unwrap();
    let plot = fs::read_to_string(bench.path("run/plots/devices.csv")).unwrap();
    assert_eq!(plot.lines().count(), timeline.lines().count());

    end(bench.din(&["run", "test.toml", "--out", "other", "--quiet", "--seed", "9"]));
    let both = end(bench.din(&["report", "run", "other/run.json", "--out", "both"]));
    assert_eq!((both.code, both.stdout.as_str()), (Some(0), "wrote both/report.html\n"));
    let page = fs::read_to_string(bench.path("both/report.html")).unwrap();
    assert!(page.contains("<h1>Short: A run, B other</h1>"));
}

/// A gateway that drops every third answer: the worst device's frames are those of its row.
#[test]
fn the_worst_device_is_kept_frame_by_frame() {
    let bench = some_seconds();
    let drops = "gateway.faults.dropped_replies=30%";
    let ran = end(bench.din(&["run", "test.toml", "--out", "run", "--quiet", "--set", drops]));
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    let rows = |file: &str| -> Vec<Vec<String>> {
        let text = fs::read_to_string(bench.path("run").join(file)).unwrap();
        text.lines().skip(1).map(|row| row.split(',').map(str::to_owned).collect()).collect()
    };
    let worst = rows("worst_device.csv");
    let devices = rows("devices.csv");
    let device = devices.iter().find(|row| row[0] == worst[0][0]).unwrap();
    let lost = worst.iter().filter(|row| row[3].is_empty()).count();
    assert_eq!((worst.len().to_string(), lost.to_string()), (device[4].clone(), device[6].clone()));
    assert!(lost > 0 && worst.iter().any(|row| !row[4].is_empty()), "a lost frame leaves a gap");
    let stutter = |row: &Vec<String>| row[17].parse::<f64>().unwrap();
    assert!(devices.iter().all(|other| stutter(other) <= stutter(device)), "{devices:?}");
    // The seconds add up to the run.
    let timeline = fs::read_to_string(bench.path("run/timeline.csv")).unwrap();
    let names: Vec<&str> = timeline.lines().next().unwrap().split(',').collect();
    let sum = |name: &str| -> u64 {
        let at = names.iter().position(|column| *column == name).unwrap();
        timeline
            .lines()
            .skip(1)
            .map(|row| row.split(',').nth(at).unwrap().parse::<u64>().unwrap())
            .sum()
    };
    assert_eq!(sum("frames_lost"), count(&bench.record(), "frames_lost"));
    assert!(sum("stutters") > 0);
    let page = fs::read_to_string(bench.path("run/report.html")).unwrap();
    assert!(page.contains(&format!("The worst device, number {}", worst[0][0])));
}

#[test]
fn what_is_no_run_is_told_with_what_is_needed() {
    let bench = Bench::new(SHORT);
    fs::create_dir_all(bench.path("cut")).unwrap();
    fs::write(bench.path("cut/run.json"), "{\"format\": 1, \"din").unwrap();
    fs::create_dir_all(bench.path("new")).unwrap();
    fs::write(bench.path("new/run.json"), "{\"format\": 99}").unwrap();
    for (arguments, said) in [
        (
            &["report", "nowhere"][..],
            "nowhere: No such file or directory (os error 2); a run directory, or its run.json, is needed",
        ),
        (&["report", "cut"], "cut/run.json: no run record: it ends in the middle"),
        (&["report", "new"], "use a newer Din"),
        (&["report", "cut", "cut", "cut", "cut", "cut"], "at most 4 can be laid over each other"),
        (&["watch"], "no run is going on under target/runs; start one with `din run`"),
        (&["watch", "cut"], "no run is going on in cut"),
        (&["network", "wifi"], "there is no network `wifi`: "),
    ] {
        let ended = end(bench.din(arguments));
        assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{arguments:?}");
        assert!(ended.stderr.contains(said), "{arguments:?}: {}", ended.stderr);
    }
}

/// Ends with the test, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_mins(1);
    while !holds() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn ask(address: &str, head: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "{head}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Rows of the timeline that the page was told of.
fn rows(page: &str) -> usize {
    let figure = page.split("<figure id=\"frames\"").nth(1);
    figure
        .and_then(|rest| rest.split("</figure>").next())
        .map_or(0, |one| one.matches("<tr>").count())
}

#[test]
fn a_running_test_can_be_watched_and_leaves_nothing_but_its_run() {
    let bench = Bench::new(&SHORT.replace("hold = \"1s\"", "hold = \"8s\""));
    let run = bench.din(&["run", "test.toml", "--out", "run", "--quiet"]).spawn().unwrap();
    let mut run = Running(run);
    until("the first second", || bench.path("run/progress.json").exists());
    let mut watch = bench.din(&["watch", "run"]);
    let mut watch = Running(watch.stdout(Stdio::piped()).spawn().unwrap());
    let mut told = String::new();
    BufReader::new(watch.0.stdout.take().unwrap()).read_line(&mut told).unwrap();
    let address = told.trim_end().rsplit("http://").next().unwrap().to_owned();
    assert!(told.starts_with("watching run at http://127.0.0.1:"), "{told}");

    let host = format!("Host: {address}");
    let page = ask(&address, &format!("GET / HTTP/1.1\r\n{host}"));
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("Short"), "{page:.300}");
    assert!(page.contains("cache-control: no-store") && page.contains("default-src 'none'"));
    let before = rows(&page);
    until("another second", || {
        rows(&ask(&address, &format!("GET /update HTTP/1.1\r\n{host}"))) > before
    });
    for (head, status) in [
        (format!("GET /else HTTP/1.1\r\n{host}"), "404"),
        (format!("POST / HTTP/1.1\r\n{host}"), "405"),
        ("GET / HTTP/1.1\r\nHost: evil.example".to_owned(), "403"),
    ] {
        let answer = ask(&address, &head);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{head}: {answer:.200}");
    }

    assert!(run.0.wait().unwrap().code().is_some());
    let last = ask(&address, &format!("GET /update HTTP/1.1\r\n{host}"));
    assert!(last.contains("din-state: over") && rows(&last) > before, "{last:.300}");
    let left = |name: &str| Path::new(&bench.path("run")).join(name).exists();
    assert!(!left("progress.json") && !left("progress.partial") && left("report.html"));
}

#[test]
fn a_killed_run_leaves_the_seconds_that_it_had() {
    let bench = Bench::new(&SHORT.replace("hold = \"1s\"", "hold = \"30s\""));
    let run = bench.din(&["run", "test.toml", "--out", "run", "--quiet"]).spawn().unwrap();
    let run = Running(run);
    let rows =
        || fs::read_to_string(bench.path("run/timeline.csv")).map_or(0, |csv| csv.lines().count());
    until("two seconds", || rows() > 2);
    drop(run);
    let csv = fs::read_to_string(bench.path("run/timeline.csv")).unwrap();
    assert!(csv.starts_with("t_s,phase,") && csv.ends_with('\n') && csv.lines().count() > 2);
    let ended = end(bench.din(&["report", "run"]));
    assert_eq!(ended.code, Some(2), "without a record there is no report");
}
