use std::path::Path;

use measure::interval_log;
use measure::record::{MetricMap, MetricRecord, RunRecord, Verdict};
use measure::validity::{Reason, State, Validity};

use super::*;
use crate::charts;
use crate::csv::Csv;
use crate::plot::{Content, Plot};
use crate::run_files::RunFiles;
use crate::testing::{DEVICES, SECONDS, TIMELINE, files, record, run, threshold, write};

/// What is between two texts, each time.
fn between<'a>(text: &'a str, from: &str, to: &str) -> Vec<&'a str> {
    let rests = text.split(from).skip(1);
    rests.filter_map(|rest| rest.split_once(to).map(|(inside, _)| inside)).collect()
}

/// The headings, figures and tables of a page, a line each.
fn outline(page: &str) -> String {
    let mut lines = Vec::new();
    for tag in page.split('<').skip(1) {
        let (tag, text) = tag.split_once('>').unwrap_or((tag, ""));
        let attribute =
            |name: &str| between(tag, &format!(" {name}=\""), "\"").first().copied().unwrap_or("");
        match tag.split(' ').next().unwrap_or("") {
            heading @ ("h1" | "h2" | "h3") => lines.push(format!("{heading} {text}")),
            "section" => lines.push(format!("section {}", attribute("id"))),
            "figure" => lines.push(format!("  figure {}", attribute("id"))),
            "th" if tag.contains("scope=\"row\"") => {}
            "summary" => lines.push(format!("  summary {text}")),
            "li" if tag.contains("data-tone") => lines.push("    line".to_owned()),
            _ => {}
        }
    }
    lines.join("\n")
}

/// The table of a figure, as it is downloaded.
fn data(page: &str, figure: &str) -> Csv {
    let figure = between(page, &format!("<figure id=\"{figure}\""), "</figure>")[0];
    let encoded = between(figure, "href=\"data:text/csv;charset=utf-8,", "\"")[0];
    let mut bytes = Vec::new();
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    let (csv, broken) = Csv::parse(std::str::from_utf8(&bytes).unwrap());
    assert_eq!(broken, None);
    csv
}

#[test]
fn a_page_answers_eight_questions_in_their_order() {
    insta::assert_snapshot!(outline(&page(&[files(&record())])));
}

#[test]
fn two_runs_lie_over_each_other() {
    let failed = RunRecord {
        thresholds: vec![threshold("response_latency.p99", "< 40ms", Some(84.4), false)],
        verdict: Verdict::Fail,
        ..record()
    };
    let page = page(&[files(&failed), files(&record())]);
    insta::assert_snapshot!(outline(&page));
    let latency = data(&page, "response-latency");
    assert_eq!(latency.numbers("A p99 (ms)"), latency.numbers("B p99 (ms)"));
}

/// Every number of every plot, parsed back from its table, against the files of the run.
#[test]
fn no_plot_says_anything_else_than_the_record() {
    let page_of = page;
    let page = page(&[files(&record())]);
    let (timeline, _) = Csv::parse(TIMELINE);
    for (figure, column, line) in [
        ("devices", "devices", "sessions open"),
        ("workers", "workers", "workers"),
        ("workers", "workers_busy", "busy"),
        ("load", "gateway_load_percent", "load (%)"),
        ("queue-delay", "gateway_queue_delay_p99_ms", "p99 (ms)"),
        ("queue-delay", "gateway_queue_delay_max_ms", "max (ms)"),
        ("cpu", "gateway_cpu_percent", "gateway (%)"),
        ("cpu", "generator_cpu_percent", "generator (%)"),
        ("memory", "gateway_rss_mib", "gateway (MiB)"),
        ("frames", "frames_sent", "sent (1/s)"),
        ("loss-and-stutter", "frames_lost", "frames lost"),
        ("loss-and-stutter", "stutters", "stutters"),
        ("balance", "worker_balance", "Jain's index"),
        ("balance", "idle_while_waiting_share", "idle while work waited"),
    ] {
        let data = data(&page, figure);
        assert_eq!(data.numbers("time (s)"), timeline.numbers("t_s"), "{figure}");
        assert_eq!(data.numbers(line), timeline.numbers(column), "{figure} {line}");
    }
    let unanswered = data(&page, "unanswered").numbers("without an answer");
    assert_eq!(unanswered, [3.0, 3.0, 7.0, 0.0].map(Some));
    // Where nobody awaits answers, none is missing.
    let mut talk = files(&record());
    let silent = TIMELINE.replace(",33,", ",0,").replace(",34,3", ",0,3").replace(",20,", ",0,");
    (talk.timeline, _) = Csv::parse(&silent);
    let talk = page_of(&[talk]);
    assert!(!talk.contains("id=\"unanswered\""));

    let latency = data(&page, "response-latency");
    let worst = latency.numbers("max (ms)");
    for (seen, millis) in worst.iter().zip(SECONDS) {
        let most = *millis.iter().max().unwrap() as f64;
        assert!((seen.unwrap() / most - 1.0).abs() < 1e-3, "{seen:?} {most}");
    }
    let spectrum = data(&page, "spectrum");
    let all: usize = SECONDS.iter().map(|second| second.len()).sum();
    let highest = spectrum.numbers("percentile (%)").into_iter().flatten().last().unwrap();
    assert!(highest <= 100.0 - 100.0 / all as f64 + 1e-9, "{highest} of {all} samples");
    let heat = data(&page, "heat");
    let fields: f64 = (0..heat.len())
        .map(|row| heat.row(row).skip(1).filter_map(|cell| cell.parse::<f64>().ok()).sum::<f64>())
        .sum();
    assert!((fields - all as f64).abs() < 1e-9, "every answer is in a field: {fields} of {all}");

    let (devices, _) = Csv::parse(DEVICES);
    let drawn = data(&page, "devices-jitter");
    assert_eq!(drawn.numbers("RFC 3550 jitter (ms)"), devices.numbers("rfc3550_jitter_ms"));
    let worst = data(&page, "worst-device");
    let delays = [Some(2.0), Some(3.0), None, Some(28.0)];
    assert_eq!(worst.numbers("delay of each answer (ms)"), delays);
    assert_eq!(worst.numbers("gap in what was played (ms)")[3], Some(85.0));
    let stages = data(&page, "decomposition");
    assert_eq!(stages.numbers("queue (ms)"), [3.0, 3.0].map(Some));
    assert_eq!(stages.numbers("work (ms)"), [2.0, 20.0].map(Some));
    assert_eq!(stages.texts("").unwrap().collect::<Vec<_>>(), ["calm", "burst"]);
}

/// A line is drawn where its numbers are: pixels of the drawing, back to numbers.
#[test]
fn a_drawing_says_what_its_numbers_say() {
    let run = files(&record());
    for plot in charts::over_time(std::slice::from_ref(&run)) {
        let drawing = crate::plot::svg(&plot);
        let (left, right, top, bottom) = drawing.area;
        let Content::Lines(lines) = &plot.content else { continue };
        for line in lines.iter().filter(|line| line.points.iter().all(|(_, y)| y.is_some())) {
            let stroke = format!("stroke=\"var(--tone-{})\"", line.tone);
            let drawn = drawing.svg.split("<polyline").find(|one| one.contains(&stroke)).unwrap();
            let points: Vec<(f64, f64)> = between(drawn, "points=\"", "\"")[0]
                .split_whitespace()
                .map(|point| point.split_once(',').unwrap())
                .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
                .collect();
            let place =
                |share: f64, from: i32, to: i32| f64::from(from) + share * f64::from(to - from);
            let share = |plot: &crate::plot::Axis, value: f64| {
                let (from, to) = (plot.scale.place(plot.range.0), plot.scale.place(plot.range.1));
                (plot.scale.place(value) - from) / (to - from)
            };
            for (x, y) in &line.points {
                let due = (
                    place(share(&plot.x, *x), left, right),
                    place(share(&plot.y, y.unwrap()), bottom, top),
                );
                let near =
                    |at: &(f64, f64)| (at.0 - due.0).abs() <= 1.5 && (at.1 - due.1).abs() <= 1.5;
                assert!(
                    points.iter().any(near),
                    "{} {}: {due:?} in {points:?}",
                    plot.id,
                    line.name
                );
            }
        }
    }
}

#[test]
fn what_is_missing_is_said_and_nothing_is_made_up() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &record());
    for file in ["histograms.hlog", "timeline.csv", "devices.csv"] {
        std::fs::remove_file(directory.path().join(file)).unwrap();
    }
    let run = RunFiles::read(directory.path()).unwrap();
    let page = page(&[run]);
    assert!(page.contains("Not everything is here"));
    for file in ["histograms.hlog: ", "timeline.csv: ", "devices.csv: "] {
        assert!(page.contains(file), "{file}");
    }
    assert!(page.contains("No second of the run is on record"));
    assert!(page.contains("Nothing was measured that could be drawn here."));
    assert!(!page.contains("id=\"devices-jitter\""));
}

#[test]
fn runs_of_nothing_and_of_next_to_nothing_have_a_page() {
    let empty = RunRecord {
        phases: Vec::new(),
        thresholds: Vec::new(),
        metrics: MetricMap::new(),
        gateway: None,
        players: None,
        noise_floor: None,
        duration_ms: 0.0,
        ..run()
    };
    let rendered = |record: &RunRecord, timeline: &str, devices: &str| {
        let directory = tempfile::tempdir().unwrap();
        write(directory.path(), record);
        std::fs::write(directory.path().join("timeline.csv"), timeline).unwrap();
        std::fs::write(directory.path().join("devices.csv"), devices).unwrap();
        std::fs::write(directory.path().join("histograms.hlog"), "").unwrap();
        page(&[RunFiles::read(directory.path()).unwrap()])
    };
    let header = |text: &'static str| text.lines().next().unwrap();
    let none = rendered(&empty, header(TIMELINE), header(DEVICES));
    for said in [
        "There is no threshold on record.",
        "No second of the run is on record.",
        "What this host adds by itself was not measured.",
        "The gateway told nothing of its workers",
    ] {
        assert!(none.contains(said), "{said}");
    }
    let one = format!("{}\n1.0,talk,1,1,1,2.0,2.0,2.0,,,,,,,,,,,,,,,,1,,\n", header(TIMELINE));
    let one = rendered(&record(), &one, header(DEVICES));
    assert_eq!(data(&one, "frames").numbers("sent (1/s)"), [Some(1.0)]);
}

#[test]
fn errors_are_told_with_when_they_were_first_seen() {
    let mut run = record();
    let one = |value| MetricRecord::Value { unit: String::new(), value };
    for (metric, total, burst) in [("frames_lost", 3.0, 3.0), ("frames_duplicate", 2.0, 2.0)] {
        run.metrics.insert(metric.to_owned(), one(total));
        run.phases[0].metrics.insert(metric.to_owned(), one(0.0));
        run.phases[1].metrics.insert(metric.to_owned(), one(burst));
    }
    run.metrics.insert("integrity.replayed_nonce".to_owned(), one(1.0));
    let page = page(&[files(&run)]);
    let errors = between(&page, "<section id=\"integrity\">", "</section>")[0];
    let row = |metric: &str| {
        between(errors, &format!("<th class=\"text\" scope=\"row\">{metric}</th>"), "</tr>")[0]
    };
    assert!(row("frames_lost").contains("by 3 s"), "{}", row("frames_lost"));
    assert!(row("frames_duplicate").contains("in burst"), "{}", row("frames_duplicate"));
    let whole = row("integrity.replayed_nonce");
    assert!(
        whole.contains("<strong>1</strong>") && whole.contains("<td class=\"text\"></td>"),
        "{whole}"
    );
}

#[test]
fn an_invalid_run_has_no_verdict_and_says_why() {
    let text = "12 % of the frames left late <here>".to_owned();
    let reasons = vec![Reason { rule: "send_lag".to_owned(), state: State::Invalid, text }];
    let invalid = RunRecord { validity: Validity { state: State::Invalid, reasons }, ..record() };
    let page = page(&[files(&invalid)]);
    assert!(page.contains("NO VERDICT") && !page.contains(">PASS<"));
    assert!(page.contains("12 % of the frames left late &lt;here&gt;"));
}

#[test]
fn hostile_texts_stay_texts_and_nothing_is_loaded() {
    let mut run = record();
    run.scenario.title = "<script>alert(1)</script>".to_owned();
    run.scenario.text = "</pre><img src=x onerror=alert(1)>".to_owned();
    run.phases[0].name = "\"><script>".to_owned();
    run.failures = vec![measure::record::FailureRecord {
        what: "</td><svg/onload=alert(1)>".to_owned(),
        count: 1,
        first_device: 0,
        first_at_ms: 1.0,
    }];
    let page = page(&[files(&run)]);
    assert_eq!(page.matches("<script").count(), 1, "our own");
    for tag in ["<img", "<svg/", "<link", " src=\"", "@import", "url("] {
        assert!(!page.contains(tag), "{tag}");
    }
}

#[test]
fn records_that_are_none_are_told_from_those_that_are_cut_or_too_new() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let error = |text: Option<&str>| {
        if let Some(text) = text {
            std::fs::write(path.join("run.json"), text).unwrap();
        }
        RunFiles::read(path).unwrap_err().to_string()
    };
    assert!(error(None).contains("a run directory, or its run.json, is needed"));
    let whole = serde_json::to_string(&record()).unwrap();
    for (text, said) in [
        ("", "it ends in the middle"),
        (&whole[..whole.len() / 2], "it ends in the middle"),
        ("{}", "it has no `format`"),
        ("[1, 2]", "it has no `format`"),
        ("{\"format\": 99}", "its format is 99 and this Din reads up to 1; use a newer Din"),
        ("{\"format\": 1}", "missing field"),
        ("PK\u{3}\u{4}", "no run record"),
    ] {
        let error = error(Some(text));
        assert!(error.contains(said), "{text:.20}: {error}");
        assert!(error.starts_with(&path.display().to_string()), "{error}");
    }
    std::fs::write(path.join("run.json"), b"\xff\xfe").unwrap();
    assert!(RunFiles::read(path).unwrap_err().to_string().contains("byte 0 is not UTF-8"));
    std::fs::write(path.join("run.json"), &whole).unwrap();
    std::fs::write(path.join("timeline.csv"), "t_s,phase\n1,a\n2").unwrap();
    std::fs::write(path.join("histograms.hlog"), "Tag=x,1").unwrap();
    let run = RunFiles::read(&path.join("run.json")).unwrap();
    assert_eq!(run.timeline.len(), 1);
    let missing = run.missing.join("\n");
    assert!(
        missing.contains("timeline.csv: line 3 and what follows: 1 cells, and 2 are due"),
        "{missing}"
    );
    assert!(
        missing.contains("histograms.hlog: line 1 and what follows: an interval has 5 fields"),
        "{missing}"
    );
}

/// What is left of a second at the end belongs to the second before.
#[test]
fn the_last_short_interval_is_no_second_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), &record());
    let path = directory.path().join("histograms.hlog");
    let log = std::fs::read_to_string(&path).unwrap();
    let late =
        log.lines().last().unwrap().replace("send_lag,3.000,1.000", "response_latency,4.000,0.020");
    std::fs::write(&path, format!("{log}{late}\n")).unwrap();
    assert_eq!(interval_log::read(&std::fs::read_to_string(&path).unwrap()).count(), 9);
    let run = RunFiles::read(directory.path()).unwrap();
    assert_eq!(run.intervals.len(), 8);
    let last = run.intervals.iter().rfind(|one| one.metric == "response_latency").unwrap();
    assert_eq!(last.times.count(), 2);
    assert!((last.length_s - 1.02).abs() < 1e-9);
}

/// A run of a day is read into no more intervals than can be drawn, and none of its samples is lost.
#[test]
fn the_intervals_of_a_long_run_are_put_together() {
    let directory = tempfile::tempdir().unwrap();
    let day = RunRecord { duration_ms: 6_000_000.0, ..record() };
    write(directory.path(), &day);
    let path = directory.path().join("histograms.hlog");
    let log = std::fs::read_to_string(&path).unwrap();
    let one = log.lines().find(|line| line.starts_with("Tag=send_lag")).unwrap();
    let encoded = one.rsplit(',').next().unwrap();
    let lines = (0..6000).map(|second| format!("Tag=send_lag,{second}.000,1.000,3.0,{encoded}\n"));
    std::fs::write(&path, lines.collect::<Vec<_>>().concat()).unwrap();
    let run = RunFiles::read(directory.path()).unwrap();
    assert_eq!(run.intervals.len(), 1200);
    assert!(run.intervals.iter().all(|one| (one.length_s - 5.0).abs() < 1e-9));
    let samples: u64 = run.intervals.iter().map(|one| one.times.count()).sum();
    assert_eq!(samples, 6000 * SECONDS[0].len() as u64);
}

#[test]
fn png_files_are_written_of_every_kind_of_plot() {
    let directory = tempfile::tempdir().unwrap();
    let runs = [files(&record())];
    let plots = [charts::spectrum(&runs), charts::heat(&runs, 0), charts::decomposition(&runs)];
    let file = |plot: &Plot, directory: &Path| directory.join(format!("{}.png", plot.id));
    for plot in &plots {
        let path = file(plot, directory.path());
        crate::plot::write_png(plot, &path).unwrap();
        let bytes = std::fs::read(path).unwrap();
        assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 2_000, "{}", plot.id);
    }
    let nowhere = directory.path().join("missing/x.png");
    assert!(crate::plot::write_png(&plots[0], &nowhere).unwrap_err().contains("missing/x.png"));
}
