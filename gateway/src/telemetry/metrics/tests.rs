use super::*;
use crate::telemetry::fixture;
use serde_json::json;

/// A line that is no comment, taken apart.
#[derive(Debug)]
struct Sample<'a> {
    name: &'a str,
    labels: &'a str,
    value: f64,
}

/// Reads a page as a scraper does: comments name a family, its samples follow, `# EOF` is the end.
fn parse(page: &str) -> Vec<Sample<'_>> {
    let body = page.strip_suffix("# EOF\n").expect("the end is marked");
    let mut samples = Vec::new();
    let mut family = "";
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let (kind, rest) = comment.split_once(' ').unwrap();
            let (name, text) = rest.split_once(' ').unwrap();
            assert!(matches!(kind, "HELP" | "TYPE") && !text.is_empty(), "{line}");
            assert_eq!(kind == "TYPE", name == family, "help comes first, and once: {line}");
            family = name;
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.strip_suffix('}').unwrap();
        let suffix = name.strip_prefix(family).expect("a sample follows its family");
        assert!(["", "_total", "_info", "_sum", "_count", "_bucket"].contains(&suffix), "{line}");
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{line}");
        samples.push(Sample { name, labels, value: value.parse().expect(line) });
    }
    samples
}

fn value(samples: &[Sample<'_>], name: &str, labels: &str) -> f64 {
    let mut found = samples.iter().filter(|sample| (sample.name, sample.labels) == (name, labels));
    let value = found.next().unwrap_or_else(|| panic!("no {name}{{{labels}}}")).value;
    assert!(found.next().is_none(), "{name}{{{labels}}} is there twice");
    value
}

#[test]
fn a_page_can_be_parsed_and_holds_what_the_status_says() {
    let status = fixture::status();
    let page = render(&status);
    let samples = parse(&page);
    for (name, labels, expected) in [
        ("uptime_seconds", "", 600.0),
        ("sessions", "", 21.0),
        ("frames_in_total", "", 17_650.0),
        ("dropped_total", "cause=\"late\"", 2.0),
        ("sessions_ended_total", "cause=\"silence\"", 1.0),
        ("workers", "state=\"serving\"", 2.0),
        ("load_ratio", "", 0.3),
        ("worker_busy_seconds_total", "worker=\"1\"", 12.5),
        ("scaling_decisions_total", "reason=\"queue-delay\"", 3.0),
        ("process_cpu_ratio", "", 0.5),
        ("leaked_bytes", "", 4096.0),
    ] {
        let seen = value(&samples, &format!("din_gateway_{name}"), labels);
        assert!((seen - expected).abs() < 1e-9, "{name}{{{labels}}} is {seen}");
    }
    assert!(!page.contains("worker_cpu_seconds_total{worker=\"2\"}"), "it has no thread yet");
}

#[test]
fn histograms_are_cumulative_and_end_with_their_count() {
    let status = fixture::status();
    let page = render(&status);
    let samples = parse(&page);
    for (name, histogram) in
        [("queue_delay", &status.queue_delay), ("work", &status.work), ("latency", &status.latency)]
    {
        let bucket = format!("din_gateway_{name}_seconds_bucket");
        let buckets: Vec<_> = samples.iter().filter(|sample| sample.name == bucket).collect();
        let told: Vec<_> = histogram.buckets.iter().map(|bucket| bucket.count as f64).collect();
        assert_eq!(buckets.iter().map(|bucket| bucket.value).collect::<Vec<_>>(), told);
        assert!(told.is_sorted());
        let (last, count) = (buckets.last().unwrap(), format!("din_gateway_{name}_seconds_count"));
        assert_eq!((last.labels, last.value), ("le=\"+Inf\"", value(&samples, &count, "")));
    }
}

#[test]
fn every_counter_is_on_the_page() {
    let status = fixture::status();
    let page = render(&status);
    let samples = parse(&page);
    let counters = serde_json::to_value(status.counters).unwrap();
    for (name, counted) in counters.as_object().unwrap() {
        let name = format!("din_gateway_{name}_total");
        match counted.as_object() {
            None => assert_eq!(Some(value(&samples, &name, "")), counted.as_f64(), "{name}"),
            Some(causes) => {
                for (cause, count) in causes {
                    let seen = value(&samples, &name, &format!("cause=\"{cause}\""));
                    assert_eq!(Some(seen), count.as_f64(), "{name} {cause}");
                }
            }
        }
    }
}

#[test]
fn a_gateway_that_has_just_started_has_a_page_too() {
    let mut status = fixture::status();
    status.process = None;
    status.pool.workers.clear();
    status.scaling.decisions.clear();
    let page = render(&status);
    assert!(!page.contains("process_") && parse(&page).len() > 50);
}

#[test]
fn faults_are_active_when_they_are_set_to_something() {
    for off in
        [json!(null), json!(false), json!(0), json!(0.0), json!("0%"), json!("0s"), json!([])]
    {
        assert_eq!(active_faults(&json!({ "fault": off })), [""; 0], "{off}");
    }
    for on in [json!(true), json!(4096), json!(0.001), json!("10%"), json!("0.1%"), json!("all")] {
        assert_eq!(active_faults(&json!({ "fault": on })), ["fault"], "{on}");
    }
    let stall = json!({ "every": "5s", "for": "200ms", "worker": 0 });
    let settings = json!({ "seed": 1, "worker_stall": stall, "dropped_replies": "1%" });
    assert_eq!(active_faults(&settings), ["dropped_replies", "worker_stall"]);
}

#[test]
fn the_whole_page() {
    insta::assert_snapshot!(render(&fixture::status()));
}
