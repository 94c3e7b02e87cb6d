//! The summary at the end of a run: read in ten seconds, worst news first.

mod experience;
mod pool;

use std::fmt::Write;

use measure::Metric;
use measure::record::{MetricRecord, RunRecord, Summary, ThresholdRecord, Verdict};
use measure::validity::State;

use experience::write_experience;
use pool::write_pool;

/// How the summary is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// Whether to colour verdict, validity and failed thresholds (ANSI).
    pub colour: bool,
}

#[derive(Clone, Copy)]
enum Colour {
    Green,
    Yellow,
    Red,
    Dim,
}

impl Style {
    fn paint(self, text: &str, colour: Colour) -> String {
        let code = match colour {
            Colour::Green => "1;32",
            Colour::Yellow => "1;33",
            Colour::Red => "1;31",
            Colour::Dim => "2",
        };
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// The latencies and lags worth a row, with their plain names.
const TIMES: [(Metric, &str); 9] = [
    (Metric::ResponseLatency, "response latency"),
    (Metric::ServiceLatency, "service latency"),
    (Metric::SendLag, "send lag"),
    (Metric::ReceiveLag, "receive lag"),
    (Metric::GatewayQueueDelay, "gateway queue"),
    (Metric::GatewayWork, "gateway work"),
    (Metric::ConnectTime, "connect time"),
    (Metric::HelloTime, "hello time"),
    (Metric::FirstAudio, "first audio"),
];

/// The whole summary, ending in a line break.
pub fn summary(run: &RunRecord, style: Style) -> String {
    let mut text = String::new();
    // Writing to a String does not fail.
    let _ = write_summary(&mut text, run, style);
    text
}

/// One line for logs: `PASS VALID first-call: …`.
pub fn one_line(run: &RunRecord) -> String {
    let failed: Vec<String> = run.thresholds.iter().filter(|one| !one.ok).map(named).collect();
    let detail = if failed.is_empty() {
        format!("{} of {} thresholds held", run.thresholds.len(), run.thresholds.len())
    } else {
        format!("failed: {}", failed.join(", "))
    };
    let verdict = verdict(run);
    let name = &run.scenario.name;
    format!("{verdict} {} {name}: {detail} (exit {})", run.validity.state, run.exit_code)
}

fn verdict(run: &RunRecord) -> &'static str {
    match (run.validity.state, run.verdict) {
        (State::Invalid, _) => "NO VERDICT",
        (_, Verdict::Pass) => "PASS",
        (_, Verdict::Fail) => "FAIL",
    }
}

fn write_summary(out: &mut String, run: &RunRecord, style: Style) -> std::fmt::Result {
    let verdict_colour = match verdict(run) {
        "PASS" => Colour::Green,
        _ => Colour::Red,
    };
    let validity_colour = match run.validity.state {
        State::Valid => Colour::Green,
        State::Suspect => Colour::Yellow,
        State::Invalid => Colour::Red,
    };
    writeln!(
        out,
        "{}  {}  {}",
        style.paint(verdict(run), verdict_colour),
        style.paint(&run.validity.state.to_string(), validity_colour),
        run.scenario.title
    )?;
    if !run.scenario.question.is_empty() {
        writeln!(out, "{}", style.paint(&run.scenario.question, Colour::Dim))?;
    }
    if let Some(why) = &run.ended_early {
        writeln!(out, "{}", style.paint(&format!("ended early: {why}"), Colour::Yellow))?;
    }
    for reason in &run.validity.reasons {
        let line = format!("{}: {}", reason.state, reason.text);
        writeln!(out, "{}", style.paint(&line, validity_colour))?;
    }
    writeln!(out)?;
    write_thresholds(out, run, style)?;
    write_load(out, run)?;
    write_times(out, run)?;
    write_experience(out, run)?;
    write_resources(out, run)?;
    write_pool(out, run)?;
    write_failures(out, run)
}

fn write_thresholds(out: &mut String, run: &RunRecord, style: Style) -> std::fmt::Result {
    let shown = |threshold: &&ThresholdRecord| !threshold.implied || !threshold.ok;
    let mut rows: Vec<&ThresholdRecord> = run.thresholds.iter().filter(shown).collect();
    // Failed first; otherwise as the scenario has them.
    rows.sort_by_key(|threshold| threshold.ok);
    let widest = |text: fn(&ThresholdRecord) -> String| {
        rows.iter().map(|row| text(row).chars().count()).max().unwrap_or(0)
    };
    let (name_width, seen_width) = (widest(named), widest(observed));
    let limit_width = widest(|row| row.limit.clone());
    for row in &rows {
        let mark = if row.ok {
            style.paint("ok  ", Colour::Green)
        } else {
            style.paint("FAIL", Colour::Red)
        };
        let implied = if row.implied { "  (always checked)" } else { "" };
        writeln!(
            out,
            "  {mark}  {:name_width$}  {:limit_width$}  observed {:<seen_width$}  n = {}{implied}",
            named(row),
            row.limit,
            observed(row),
            thousands(row.samples)
        )?;
    }
    let implied = run.thresholds.iter().filter(|row| row.implied && row.ok).count();
    if implied > 0 {
        let line = format!("  and {implied} that every run must hold");
        writeln!(out, "{}", style.paint(&line, Colour::Dim))?;
    }
    writeln!(out)
}

/// The threshold's phase and metric.
fn named(threshold: &ThresholdRecord) -> String {
    match &threshold.phase {
        Some(phase) => format!("{phase}.{}", threshold.metric),
        None => threshold.metric.clone(),
    }
}

fn observed(threshold: &ThresholdRecord) -> String {
    match threshold.observed {
        Some(observed) => with_unit(observed, &threshold.unit),
        None => "no samples".to_owned(),
    }
}

fn write_load(out: &mut String, run: &RunRecord) -> std::fmt::Result {
    let count = |metric: Metric| thousands(value(run, metric).unwrap_or(0));
    writeln!(
        out,
        "  sessions   {} of {} opened, {} failed, {} lost",
        count(Metric::SessionsOpened),
        count(Metric::SessionsPlanned),
        count(Metric::SessionsFailed),
        count(Metric::SessionsLost)
    )?;
    writeln!(
        out,
        "  frames     {} of {} planned were sent, {} answered, {} lost, {} reordered, {} duplicate",
        count(Metric::FramesSent),
        count(Metric::FramesPlanned),
        count(Metric::FramesReceived),
        count(Metric::FramesLost),
        count(Metric::FramesReordered),
        count(Metric::FramesDuplicate)
    )?;
    for (metric, what) in [
        (Metric::FramesUnserved, "were called for while a device had no session"),
        (Metric::FramesUnmatched, "answers match no frame that was sent"),
        (Metric::SendRefused, "send calls met a closed media port"),
        (Metric::GatewayExits, "time(s) the gateway ended in mid-run"),
    ] {
        if let Some(seen @ 1..) = value(run, metric) {
            writeln!(out, "             {} {what}", thousands(seen))?;
        }
    }
    writeln!(
        out,
        "  audio      {} of the answers decoded, {} failed; {} of all had a wrong duration",
        count(Metric::Decoded),
        count(Metric::DecodeFailed),
        count(Metric::WrongDuration)
    )?;
    writeln!(out)
}

fn write_times(out: &mut String, run: &RunRecord) -> std::fmt::Result {
    writeln!(
        out,
        "  {:<17} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "ms", "p50", "p90", "p99", "p99.9", "max"
    )?;
    for (metric, name) in TIMES {
        let Some(times) = distribution(run, metric) else { continue };
        write!(out, "  {name:<17}")?;
        for statistic in [times.p50, times.p90, times.p99, times.p999, times.max] {
            match statistic {
                Some(millis) => write!(out, " {:>9}", millis_text(millis))?,
                None => write!(out, " {:>9}", "-")?,
            }
        }
        writeln!(out, "   n = {}", thousands(times.count))?;
    }
    writeln!(out)
}

fn write_resources(out: &mut String, run: &RunRecord) -> std::fmt::Result {
    for (name, cpu, memory, what) in [
        ("gateway", Metric::GatewayCpu, Metric::GatewayRss, gateway_text(run)),
        ("generator", Metric::GeneratorCpu, Metric::GeneratorRss, String::new()),
    ] {
        let mean = distribution(run, cpu).and_then(|cpu| Some((cpu.mean?, cpu.max?)));
        let most = distribution(run, memory).and_then(|memory| memory.max);
        match (mean, most) {
            (Some((mean, max)), Some(most)) => writeln!(
                out,
                "  {name:<10} CPU {mean:.0} % of one core on average, {max:.0} % at most; memory {most:.0} MiB{what}"
            )?,
            _ => writeln!(out, "  {name:<10} CPU and memory not measured{what}")?,
        }
    }
    Ok(())
}

fn gateway_text(run: &RunRecord) -> String {
    if run.target.kind == "foreign" {
        return format!("; not ours: {}", run.target.mqtt);
    }
    let announced = &run.target.announced;
    let backend = announced["backend"].as_str().unwrap_or("?");
    format!("; {backend}")
}

fn write_failures(out: &mut String, run: &RunRecord) -> std::fmt::Result {
    const SHOWN: usize = 5;
    if run.failures.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    for failure in run.failures.iter().take(SHOWN) {
        writeln!(
            out,
            "  {} × {} (first: device {} at {:.1} s)",
            thousands(failure.count),
            failure.what,
            failure.first_device,
            failure.first_at_ms / 1e3
        )?;
    }
    if run.failures.len() > SHOWN {
        writeln!(out, "  and {} other kinds of failure in run.json", run.failures.len() - SHOWN)?;
    }
    Ok(())
}

fn distribution(run: &RunRecord, metric: Metric) -> Option<&Summary> {
    match run.metrics.get(metric.name()) {
        Some(MetricRecord::Distribution(summary)) => Some(summary),
        _ => None,
    }
}

fn value(run: &RunRecord, metric: Metric) -> Option<u64> {
    match run.metrics.get(metric.name()) {
        Some(MetricRecord::Value { value, .. }) => Some(whole(*value)),
        _ => None,
    }
}

/// A count as the record has it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are whole and not negative"
)]
fn whole(count: f64) -> u64 {
    count as u64
}

fn with_unit(value: f64, unit: &str) -> String {
    match unit {
        "ms" => format!("{} ms", millis_text(value)),
        "" if value.fract() == 0.0 => thousands(whole(value)),
        "" => format!("{value:.3}"),
        unit => format!("{value:.1} {unit}"),
    }
}

/// Three significant digits or so: `0.052`, `4.31`, `153`.
fn millis_text(millis: f64) -> String {
    match millis {
        millis if millis < 1.0 => format!("{millis:.3}"),
        millis if millis < 100.0 => format!("{millis:.2}"),
        millis => format!("{millis:.0}"),
    }
}

/// `12345678` as `12 345 678`.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use measure::Quantity;
    use measure::gateway_record::{
        BalanceRecord, CoverageRecord, DecompositionRecord, GatewayRecord, ScalingEventRecord,
        ScalingRecord,
    };
    use measure::per_device::{PerDevice, Worse};
    use measure::record::{
        FORMAT, FailureRecord, Measurements, PhaseRecord, ScenarioRecord, TargetRecord,
    };
    use measure::validity::{Reason, Validity};
    use serde_json::json;
    use std::collections::BTreeMap;

    fn threshold(metric: &str, limit: &str, observed: Option<f64>, ok: bool) -> ThresholdRecord {
        let unit = if metric.contains(".p") { Quantity::Time.unit() } else { "" }.to_owned();
        ThresholdRecord {
            metric: metric.to_owned(),
            phase: None,
            limit: limit.to_owned(),
            observed,
            unit,
            samples: if observed.is_some() { 9412 } else { 0 },
            ok,
            implied: false,
        }
    }

    fn gateway() -> GatewayRecord {
        let event = ScalingEventRecord {
            at_ms: 5214.5,
            from: 2,
            to: 5,
            reason: "demand".to_owned(),
            sentence: "2 to 5 workers: work arrives for 4.20 workers".to_owned(),
            saw: json!({}),
        };
        GatewayRecord {
            dispatch: "central-queue".to_owned(),
            scaling: ScalingRecord {
                policy: "queue-delay".to_owned(),
                min: 2,
                max: 8,
                at_start: 2,
                most: 5,
                at_end: 5,
                changes: 1,
                events: vec![event],
            },
            burn: json!([{"kind": "wait", "time": "20ms"}]),
            faults: json!({}),
            frames_run: 9412,
            frames_encoded: 9412,
            worker_timeouts: 0,
            workers: Vec::new(),
            balance: Some(BalanceRecord { jain_min: 0.912, jain_mean: 0.987, windows: 11 }),
            idle_while_waiting_percent: 0.0,
            decomposition: Some(DecompositionRecord {
                frames: 9412,
                generator_ms: 0.06,
                up_ms: 0.031,
                queue_ms: 0.12,
                work_ms: 0.35,
                back_ms: 0.049,
                whole_ms: 0.61,
                contradictions: 0,
            }),
            coverage: CoverageRecord {
                readings: 13,
                to_the_end: true,
                frames: 9412,
                ..CoverageRecord::default()
            },
        }
    }

    fn run() -> RunRecord {
        let mut measured = Measurements::new();
        for (metric, count) in [
            (Metric::SessionsPlanned, 50),
            (Metric::SessionsOpened, 50),
            (Metric::FramesPlanned, 9412),
            (Metric::FramesSent, 9412),
            (Metric::FramesReceived, 9412),
            (Metric::Decoded, 9412),
        ] {
            measured.count(metric, count);
        }
        for metric in [Metric::ResponseLatency, Metric::SendLag] {
            for micros in 1..=1000u64 {
                measured.sample(metric, micros * 2_000);
            }
        }
        for (metric, sample) in [
            (Metric::GatewayCpu, 34_000),
            (Metric::WorkersBusy, 3_100),
            (Metric::GatewayRss, 18 << 20),
            (Metric::GeneratorCpu, 12_000),
            (Metric::GeneratorRss, 9 << 20),
        ] {
            measured.sample(metric, sample);
        }
        measured.sample(Metric::Pdv, 1_700_000);
        for (metric, devices, pooled) in [
            (Metric::Rfc3550Jitter, [0.1, 0.4], 0.25),
            (Metric::InterarrivalSigma, [0.2, 0.9], 0.55),
            (Metric::EffectiveLoss, [0.0, 0.5], 0.25),
            (Metric::StutterPerMinute, [0.0, 3.0], 1.5),
            (Metric::InterruptionsPerMinute, [0.0, 0.0], 0.0),
            (Metric::LongestGap, [0.0, 60.0], 60.0),
        ] {
            let devices = PerDevice::new(devices.to_vec(), Some(pooled), Worse::Higher);
            measured.of_devices(metric, devices);
        }
        let scores = PerDevice::new(vec![4.2, 4.1], Some(4.15), Worse::Lower);
        measured.of_devices(Metric::MosIndicative, scores);
        for (metric, count) in [
            (Metric::Recognised, 310),
            (Metric::ForeignAudio, 0),
            (Metric::Unrecognised, 1),
            (Metric::GoldenCompared, 660),
            (Metric::GoldenMismatch, 0),
            (Metric::KeystreamReuse, 0),
        ] {
            measured.count(metric, count);
        }
        RunRecord {
            format: FORMAT,
            din_version: "0.1.0".to_owned(),
            started_at_unix_s: 0,
            duration_ms: 13_000.0,
            scenario: ScenarioRecord {
                name: "first-call".to_owned(),
                title: "First call".to_owned(),
                question: "Do 50 devices get their own speech back?".to_owned(),
                text: String::new(),
                overrides: Vec::new(),
            },
            seed: 1,
            target: TargetRecord {
                kind: "reference".to_owned(),
                mqtt: "127.0.0.1:1883".to_owned(),
                announced: json!({"backend": "echo", "workers": 2}),
                counters: json!(null),
            },
            host: BTreeMap::new(),
            versions: BTreeMap::new(),
            validity: Validity { state: State::Valid, reasons: Vec::new() },
            verdict: Verdict::Pass,
            exit_code: 0,
            ended_early: None,
            thresholds: vec![
                threshold("response_latency.p99", "< 40ms", Some(1.98), true),
                threshold("frames_lost", "= 0", Some(0.0), true),
                ThresholdRecord {
                    implied: true,
                    ..threshold("sessions_failed", "= 0", Some(0.0), true)
                },
            ],
            phases: Vec::<PhaseRecord>::new(),
            metrics: measured.to_map(),
            gateway: Some(gateway()),
            players: None,
            failures: Vec::new(),
            method: BTreeMap::new(),
        }
    }

    const PLAIN: Style = Style { colour: false };

    #[test]
    fn a_good_run() {
        insta::assert_snapshot!(summary(&run(), PLAIN));
        insta::assert_snapshot!(one_line(&run()), @"PASS VALID first-call: 3 of 3 thresholds held (exit 0)");
    }

    #[test]
    fn a_bad_run_begins_with_what_is_bad() {
        let mut run = run();
        run.verdict = Verdict::Fail;
        run.exit_code = 130;
        run.ended_early = Some("interrupted after 4.2 s".to_owned());
        run.validity = Validity {
            state: State::Suspect,
            reasons: vec![Reason {
                rule: "generator_cpu".to_owned(),
                state: State::Suspect,
                text: "the generator used 170 % of one core on average".to_owned(),
            }],
        };
        run.thresholds[1] = threshold("frames_lost", "= 0", Some(12.0), false);
        run.thresholds.push(threshold("hello_time.p99", "< 1s", None, false));
        run.failures = vec![FailureRecord {
            what: "hello was not answered within 10s".to_owned(),
            count: 3,
            first_device: 7,
            first_at_ms: 1234.5,
        }];
        run.metrics.remove("gateway_cpu");
        run.target.kind = "foreign".to_owned();
        run.gateway = None;
        insta::assert_snapshot!(summary(&run, PLAIN));
        insta::assert_snapshot!(one_line(&run), @"FAIL SUSPECT first-call: failed: frames_lost, hello_time.p99 (exit 130)");
    }

    #[test]
    fn what_was_asked_of_the_gateway_is_shown_with_what_came_of_it() {
        let mut run = run();
        let gateway = run.gateway.as_mut().unwrap();
        gateway.scaling.policy = "fixed".to_owned();
        gateway.scaling.events.clear();
        gateway.faults = json!({"dropped_replies": "1%", "worker_stall": {"every": "5s"}});
        gateway.worker_timeouts = 12;
        gateway.balance = None;
        gateway.coverage.unread = 2;
        let text = summary(&run, PLAIN);
        let (_, pool) = text.split_once("  pool ").unwrap();
        insta::assert_snapshot!(pool);
    }

    #[test]
    fn an_invalid_run_has_no_verdict() {
        let mut run = run();
        run.validity.state = State::Invalid;
        assert!(summary(&run, PLAIN).starts_with("NO VERDICT  INVALID  First call\n"));
    }

    #[test]
    fn colour_is_only_added_where_it_is_asked_for() {
        assert!(!summary(&run(), PLAIN).contains('\x1b'));
        assert!(summary(&run(), Style { colour: true }).contains("\x1b[1;32mPASS\x1b[0m"));
    }

    #[test]
    fn large_numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(thousands(number), text);
        }
    }
}
