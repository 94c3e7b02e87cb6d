//! What facts mean, case by case: each finding with facts at which it changes.

use measure::record::Summary;

use super::capacity::{Capacity, estimate};
use super::facts::{
    BufferFacts, ClockFacts, CodecFacts, Facts, FileFacts, Known, LoopbackFacts, PortFacts,
    ProcessorFacts, TimerFacts,
};
use super::judge::{Finding, Grade, judge};
use super::text::text;
use super::{FORMAT, Report};

/// 1,000 samples around a p99, in milliseconds.
fn summary(p99: f64) -> Summary {
    Summary {
        unit: "ms".to_owned(),
        count: 1_000,
        min: Some(p99 / 10.0),
        mean: Some(p99 / 2.0),
        p50: Some(p99 / 2.0),
        p90: Some(p99 * 0.9),
        p99: Some(p99),
        p999: Some(p99 * 2.0),
        max: Some(p99 * 3.0),
    }
}

fn timer(p99: f64, priority: &str) -> Known<TimerFacts> {
    let (priority, lateness) = (priority.to_owned(), summary(p99));
    Known::Measured(TimerFacts { priority, period_ms: 1.0, lateness })
}

fn loopback(latency_p99: f64, lag_p99: f64) -> LoopbackFacts {
    LoopbackFacts {
        devices: 50,
        frame_ms: 60,
        frames_sent: 1_000,
        frames_answered: 1_000,
        response_latency: summary(latency_p99),
        service_latency: summary(latency_p99),
        send_lag: summary(lag_p99),
        send_cpu_us: 12.0,
        receive_cpu_us: 6.0,
    }
}

const REAL_TIME: &str = "real-time (SCHED_RR 1)";

fn processors() -> ProcessorFacts {
    ProcessorFacts {
        model: "A processor".to_owned(),
        online: 2,
        usable: 2,
        megahertz: Some(2_445.0),
        governor: None,
        steal_percent: Some(1.0),
        load_average: Some(1.0),
        kernel: "6.18.44".to_owned(),
        hostname: "here".to_owned(),
    }
}

fn buffers(granted_bytes: u64) -> Known<BufferFacts> {
    Known::Measured(BufferFacts {
        asked_bytes: 4 << 20,
        granted_bytes,
        receive_max_bytes: Some(4 << 20),
        send_max_bytes: None,
    })
}

fn files(devices: u64) -> Known<FileFacts> {
    Known::Measured(FileFacts { soft: 1_024, hard: devices * 2 + 64, devices })
}

fn ports(devices: u64) -> Known<PortFacts> {
    Known::Measured(PortFacts { first: 32_768, last: 60_999, reserved: 0, devices })
}

fn clock(reading_ns: f64, step_us: f64) -> ClockFacts {
    ClockFacts { source: Some("tsc".to_owned()), reading_ns, batches: 101, step_us }
}

fn codec(version: &str) -> Known<CodecFacts> {
    let version = version.to_owned();
    // 10 µs to decode and 80 µs to encode, on average.
    Known::Measured(CodecFacts { version, decode: summary(0.02), encode: summary(0.16) })
}

/// A host at the limit of what is good.
fn good() -> Facts {
    Facts {
        seconds: 10.0,
        timer: timer(0.3, REAL_TIME),
        ordinary_timer: timer(1.0, "ordinary"),
        loopback: Known::Measured(loopback(1.0, 0.3)),
        crowd: Known::Measured(LoopbackFacts { devices: 500, ..loopback(1.0, 1.0) }),
        buffers: buffers(8 << 20),
        open_files: files(9_968),
        ports: ports(28_232),
        processors: Known::Measured(processors()),
        clock: clock(200.0, 100.0),
        codec: codec("libopus 1.3.1"),
    }
}

fn found(facts: &Facts) -> Vec<Finding> {
    judge(facts, estimate(facts).as_ref())
}

#[test]
fn a_good_host_has_nothing_but_ok() {
    let findings = found(&good());
    assert_eq!(findings.len(), 16);
    for finding in &findings {
        assert_eq!((finding.grade, &finding.advice), (Grade::Ok, &None), "{finding:?}");
        assert!(finding.samples != Some(0), "{finding:?}");
    }
}

#[test]
fn each_subject_changes_with_its_own_facts_and_says_what_to_do() {
    use Grade::{Note, Warn};
    let host = |change: fn(&mut ProcessorFacts)| {
        let mut processors = processors();
        change(&mut processors);
        Facts { processors: Known::Measured(processors), ..good() }
    };
    let probe =
        |latency, lag| Facts { loopback: Known::Measured(loopback(latency, lag)), ..good() };
    let crowd = |lag| Facts { crowd: Known::Measured(loopback(1.0, lag)), ..good() };
    for (facts, subject, grade, advice) in vec![
        (Facts { timer: timer(0.31, REAL_TIME), ..good() }, "timer, as the pacer", Note, "own"),
        (
            Facts { timer: timer(1.01, REAL_TIME), ..good() },
            "timer, as the pacer",
            Warn,
            "above 1 ms a run is SUSPECT: close what else runs",
        ),
        (
            Facts { ordinary_timer: timer(1.01, "ordinary"), ..good() },
            "timer, ordinary",
            Note,
            "a gateway on this host",
        ),
        (Facts { timer: timer(0.3, "raised (nice -12)"), ..good() }, "priority", Note, "ulimit -r"),
        (Facts { timer: timer(0.3, "ordinary"), ..good() }, "priority", Warn, "CAP_SYS_NICE"),
        (probe(1.5, 0.3), "loopback latency", Note, "under 4.50 ms are warned about"),
        (probe(3.1, 0.3), "loopback latency", Warn, "under 9.30 ms are warned about"),
        (
            Facts {
                loopback: Known::Measured(LoopbackFacts {
                    frames_answered: 999,
                    ..loopback(1.0, 0.3)
                }),
                ..good()
            },
            "loopback latency",
            Warn,
            "loses frames to itself",
        ),
        (probe(1.0, 0.4), "loopback send lag", Note, "INVALID"),
        (probe(1.0, 3.1), "loopback send lag", Warn, "above 3 ms a run of 60ms frames is INVALID"),
        (probe(1.1, 0.3), "loopback service", Note, "alone take that long"),
        (crowd(1.1), "cost of a frame", Note, "use fewer"),
        (crowd(3.1), "cost of a frame", Warn, "use fewer"),
        (Facts { buffers: buffers(4 << 20), ..good() }, "socket buffers", Note, "rmem_max=4194304"),
        (Facts { buffers: buffers(425_984), ..good() }, "socket buffers", Warn, "rmem_max"),
        (Facts { open_files: files(499), ..good() }, "open files", Note, "ulimit -Hn"),
        (Facts { open_files: files(49), ..good() }, "open files", Warn, "ulimit -Hn"),
        (Facts { ports: ports(499), ..good() }, "ports", Note, "ip_local_port_range"),
        (Facts { ports: ports(49), ..good() }, "ports", Warn, "ip_local_port_range"),
        (host(|one| one.usable = 1), "processors", Warn, "share one core"),
        (
            host(|one| one.governor = Some("powersave".to_owned())),
            "processors",
            Note,
            "frequency-set -g performance",
        ),
        (host(|one| one.steal_percent = Some(1.1)), "steal, load", Note, "neighbours"),
        (host(|one| one.steal_percent = Some(10.1)), "steal, load", Warn, "neighbours"),
        (host(|one| one.steal_percent = None), "steal, load", Note, "neighbours"),
        (host(|one| one.load_average = Some(1.1)), "steal, load", Note, "close what else runs"),
        (host(|one| one.load_average = Some(2.1)), "steal, load", Warn, "close what else runs"),
        (Facts { clock: clock(201.0, 0.0), ..good() }, "clock", Note, "prefer tsc"),
        (Facts { clock: clock(2_001.0, 0.0), ..good() }, "clock", Warn, "prefer tsc"),
        (Facts { clock: clock(30.0, 101.0), ..good() }, "clock", Warn, "what sets the clock"),
        (Facts { codec: codec("libopus unknown"), ..good() }, "libopus", Note, "libopus-dev"),
        (
            Facts { ports: Known::Unknown { unknown: "no /proc".to_owned() }, ..good() },
            "ports",
            Warn,
            "cannot be judged",
        ),
        (
            Facts { crowd: Known::Unknown { unknown: "no socket".to_owned() }, ..good() },
            "devices",
            Warn,
            "lines above",
        ),
    ] {
        let findings = found(&facts);
        let finding = findings.iter().find(|one| one.subject == subject).expect(subject);
        assert_eq!(finding.grade, grade, "{finding:?}");
        let said = finding.advice.as_deref().unwrap_or_default();
        assert!(said.contains(advice), "{advice}: {finding:?}");
    }
}

fn capacity(facts: &Facts) -> Capacity {
    estimate(facts).expect("the cost of a frame is known")
}

#[test]
fn devices_follow_from_the_cost_of_a_frame_by_the_stated_formula() {
    let capacity = capacity(&good());
    // Sending takes 12 µs: 0.5 / 12 µs = 41,667 frames a second, of 16.67 a device.
    assert_eq!(capacity.alone.devices, 2_500);
    assert_eq!(capacity.alone.limited_by, "pacing thread, 12.0 µs a frame in half a core");
    // With the gateway here: 2 × 18 + 10 + 80 µs a frame, of 1.6 cores.
    assert_eq!(capacity.with_echo.devices, 761);
    assert!(capacity.with_echo.limited_by.starts_with("2 cores, 126.0 µs a frame"));
    // Decoding takes 10 µs: 0.8 / 10 µs = 80,000 frames a second.
    assert_eq!(capacity.decoded, Some(4_800));
    assert!(capacity.alone.limits.is_sorted_by_key(|limit| limit.devices));
}

#[test]
fn the_scarcest_resource_is_named() {
    let named = |facts: &Facts| {
        let alone = capacity(facts).alone;
        (alone.devices, alone.limited_by)
    };
    for (facts, devices, resource) in [
        (Facts { open_files: files(100), ..good() }, 100, "open files, hard limit 264"),
        (Facts { ports: ports(200), ..good() }, 200, "ephemeral ports 32768 to 60999"),
        (
            Facts { loopback: Known::Measured(loopback(5.0, 3.1)), ..good() },
            0,
            "lateness, 50 devices were sent 3.10 ms late at p99, allowed is 3.00 ms",
        ),
        (
            Facts {
                crowd: Known::Measured(LoopbackFacts { devices: 500, ..loopback(9.0, 3.1) }),
                ..good()
            },
            50,
            "lateness, 500 devices were sent 3.10 ms late at p99",
        ),
    ] {
        let (seen, limited_by) = named(&facts);
        assert_eq!(seen, devices, "{limited_by}");
        assert!(limited_by.starts_with(resource), "{limited_by}");
    }
    let free = LoopbackFacts { send_cpu_us: 0.1, receive_cpu_us: 0.1, ..loopback(1.0, 0.3) };
    let most = Facts { crowd: Known::Measured(free), open_files: files(99_999), ..good() };
    assert_eq!(named(&most), (20_000, "most of a scenario".to_owned()));
}

#[test]
fn the_report_reads_in_ten_seconds_and_survives_json() {
    let mut facts = good();
    facts.timer = timer(1.2, "ordinary");
    facts.clock = clock(30.0, 0.1);
    let report = Report {
        format: FORMAT,
        din_version: "0.1.0".to_owned(),
        findings: found(&facts),
        capacity: estimate(&facts),
        facts: Facts { codec: Known::Unknown { unknown: "no memory".to_owned() }, ..facts },
    };
    let json = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&json).unwrap(), report);
    let shown = text(&report, false);
    assert!(shown.lines().count() <= 25 && shown.lines().all(|line| line.chars().count() <= 130));
    insta::assert_snapshot!(shown);
}
