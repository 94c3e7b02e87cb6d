//! What the facts mean: one finding for each subject, with what to do about it. Pure.

use measure::noise_floor::ABOVE_FLOOR;
use measure::record::Summary;
use measure::validity::{STEAL_PERCENT, TIMER_LATE, allowed_send_lag};
use serde::{Deserialize, Serialize};
use std::time::Duration;

use super::capacity::Capacity;
use super::facts::{
    BufferFacts, ClockFacts, CodecFacts, Facts, FileFacts, Known, LoopbackFacts, PortFacts,
    ProcessorFacts, TimerFacts,
};

/// What a subject means for measuring here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it should be.
    Ok,
    /// Worth knowing: it limits what can be measured.
    Note,
    /// Runs here will be doubtful.
    Warn,
}

/// One subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at.
    pub subject: String,
    /// What it means.
    pub grade: Grade,
    /// What was seen, with units.
    pub seen: String,
    /// Samples behind it; `null` for what is read and not measured.
    pub samples: Option<u64>,
    /// What to do, unless all is well.
    pub advice: Option<String>,
}

/// Send lag that an idle machine keeps at p99, in milliseconds: what a run should show here too.
const GOOD_LAG_MS: f64 = 0.3;
/// Latency without a gateway, p99 in milliseconds: above, limits of 3 and of 9 ms mean nothing.
const GOOD_FLOOR_MS: f64 = 1.0;
const BAD_FLOOR_MS: f64 = 3.0;
/// Devices: fewer are worth a note, and a warning.
const MANY_DEVICES: u64 = 500;
const FEW_DEVICES: u64 = 50;
/// Share of the processors' time that may be stolen without a note.
const GOOD_STEAL_PERCENT: f64 = 1.0;
/// What a reading of the clock may cost, in nanoseconds: with the vDSO, and beyond any use.
const GOOD_READING_NS: f64 = 200.0;
const BAD_READING_NS: f64 = 2_000.0;
/// A receive buffer in bytes that holds less than a stall of 100 devices for a second.
const SMALL_BUFFER_BYTES: u64 = 1 << 20;

const QUIET_HOST: &str = "close what else runs, or use a host of its own";

/// All findings, in the order of the report.
pub fn judge(facts: &Facts, capacity: Option<&Capacity>) -> Vec<Finding> {
    let granted = facts.timer.known().map(|timer| &timer.priority[..]);
    let real_time = granted.is_some_and(|one| one.starts_with("real-time"));
    let mut findings = vec![
        of("timer, as the pacer", &facts.timer, |timer| pacer_timer(timer, real_time)),
        of("timer, ordinary", &facts.ordinary_timer, ordinary_timer),
        priority(granted),
        of("loopback latency", &facts.loopback, floor),
        of("loopback send lag", &facts.loopback, send_lag),
        of("loopback service", &facts.loopback, service),
        of("cost of a frame", &facts.crowd, cost),
        of("socket buffers", &facts.buffers, buffers),
        of("open files", &facts.open_files, files),
        of("ports", &facts.ports, ports),
        of("processors", &facts.processors, processors),
        of("steal, load", &facts.processors, disturbance),
        clock(&facts.clock),
        of("libopus", &facts.codec, codec),
    ];
    findings.extend(devices(capacity));
    findings
}

/// What was seen, how it is graded, out of how many samples, and what to do.
struct Seen {
    text: String,
    grade: Grade,
    samples: Option<u64>,
    advice: String,
}

fn of<T>(subject: &str, fact: &Known<T>, judged: impl Fn(&T) -> Seen) -> Finding {
    match fact {
        Known::Measured(fact) => finding(subject, judged(fact)),
        Known::Unknown { unknown } => finding(
            subject,
            Seen {
                text: format!("not known: {unknown}"),
                grade: Grade::Warn,
                samples: None,
                advice: "runs cannot be judged by it".to_owned(),
            },
        ),
    }
}

fn finding(subject: &str, seen: Seen) -> Finding {
    let Seen { text, grade, samples, advice } = seen;
    let advice = (grade != Grade::Ok && !advice.is_empty()).then_some(advice);
    Finding { subject: subject.to_owned(), grade, seen: text, samples, advice }
}

/// Ok up to `good`, a warning above `bad`; unknown is a note.
fn graded(value: Option<f64>, good: f64, bad: f64) -> Grade {
    match value {
        None => Grade::Note,
        Some(value) if value <= good => Grade::Ok,
        Some(value) if value <= bad => Grade::Note,
        Some(_) => Grade::Warn,
    }
}

/// `p50   0.052  p90   0.110  p99   0.821  max   5.230 ms`.
fn times(summary: &Summary) -> String {
    let shown = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.3}"));
    let Summary { p50, p90, p99, max, .. } = summary;
    format!(
        "p50 {:>7}  p90 {:>7}  p99 {:>7}  max {:>7} ms",
        shown(*p50),
        shown(*p90),
        shown(*p99),
        shown(*max)
    )
}

fn timed(summary: &Summary, grade: Grade, advice: String) -> Seen {
    Seen { text: times(summary), grade, samples: Some(summary.count), advice }
}

fn pacer_timer(timer: &TimerFacts, real_time: bool) -> Seen {
    let late_ms = TIMER_LATE.as_secs_f64() * 1e3;
    let grade = graded(timer.lateness.p99, GOOD_LAG_MS, late_ms);
    let help = if real_time { QUIET_HOST } else { "grant real-time priority (see there)" };
    timed(&timer.lateness, grade, format!("above {late_ms:.0} ms a run is SUSPECT: {help}"))
}

fn ordinary_timer(timer: &TimerFacts) -> Seen {
    let late = timer.lateness.p99.is_none_or(|p99| p99 > TIMER_LATE.as_secs_f64() * 1e3);
    let grade = if late { Grade::Note } else { Grade::Ok };
    timed(
        &timer.lateness,
        grade,
        "what a gateway on this host wakes by: its latencies include that".to_owned(),
    )
}

fn priority(granted: Option<&str>) -> Finding {
    let grade = match granted {
        Some(granted) if granted.starts_with("real-time") => Grade::Ok,
        Some(granted) if granted.starts_with("raised") => Grade::Note,
        _ => Grade::Warn,
    };
    let seen = Seen {
        text: format!("{} is granted", granted.unwrap_or("nothing")),
        grade,
        samples: None,
        advice: "run as root, with CAP_SYS_NICE, or after `ulimit -r 1`".to_owned(),
    };
    finding("priority", seen)
}

fn floor(loopback: &LoopbackFacts) -> Seen {
    let LoopbackFacts { frames_sent, frames_answered, response_latency, .. } = loopback;
    if frames_answered < frames_sent {
        let missing = frames_sent - frames_answered;
        return Seen {
            text: format!("{}  {missing} of {frames_sent} frames lost", times(response_latency)),
            grade: Grade::Warn,
            samples: Some(response_latency.count),
            advice: "a host that loses frames to itself cannot judge another's loss".to_owned(),
        };
    }
    let grade = graded(response_latency.p99, GOOD_FLOOR_MS, BAD_FLOOR_MS);
    let least = response_latency.p99.unwrap_or(0.0) * ABOVE_FLOOR;
    timed(
        response_latency,
        grade,
        format!(
            "limits on response_latency.p99 under {least:.2} ms are warned about: {QUIET_HOST}"
        ),
    )
}

fn send_lag(loopback: &LoopbackFacts) -> Seen {
    let frame = Duration::from_millis(loopback.frame_ms.into());
    let allowed = allowed_send_lag(frame).as_secs_f64() * 1e3;
    let grade = graded(loopback.send_lag.p99, GOOD_LAG_MS, allowed);
    timed(
        &loopback.send_lag,
        grade,
        format!("above {allowed:.0} ms a run of {frame:?} frames is INVALID: {QUIET_HOST}"),
    )
}

fn service(loopback: &LoopbackFacts) -> Seen {
    let grade = graded(loopback.service_latency.p99, GOOD_FLOOR_MS, BAD_FLOOR_MS);
    let advice = format!("the kernel and the loopback alone take that long: {QUIET_HOST}");
    timed(&loopback.service_latency, grade, advice)
}

fn cost(crowd: &LoopbackFacts) -> Seen {
    let frame = Duration::from_millis(crowd.frame_ms.into());
    let allowed = allowed_send_lag(frame).as_secs_f64() * 1e3;
    let lag = crowd.send_lag.p99;
    let shown = lag.map_or("-".to_owned(), |lag| format!("{lag:.3}"));
    Seen {
        text: format!(
            "send {:.1} µs, receive {:.1} µs of a core; send lag p99 {shown} ms with {} devices",
            crowd.send_cpu_us, crowd.receive_cpu_us, crowd.devices
        ),
        grade: graded(lag, GOOD_FLOOR_MS, allowed),
        samples: Some(crowd.frames_sent),
        advice: format!("{} devices are much for this host: use fewer", crowd.devices),
    }
}

fn buffers(buffers: &BufferFacts) -> Seen {
    let BufferFacts { asked_bytes, granted_bytes, receive_max_bytes, send_max_bytes } = *buffers;
    let kib = |bytes: Option<u64>| bytes.map_or("?".to_owned(), |bytes| (bytes >> 10).to_string());
    let grade = match granted_bytes {
        // The kernel doubles what it grants.
        granted if granted >= 2 * asked_bytes => Grade::Ok,
        granted if granted >= SMALL_BUFFER_BYTES => Grade::Note,
        _ => Grade::Warn,
    };
    Seen {
        text: format!(
            "SO_RCVBUF {} KiB granted for {} asked; rmem_max {} KiB, wmem_max {} KiB",
            granted_bytes >> 10,
            asked_bytes >> 10,
            kib(receive_max_bytes),
            kib(send_max_bytes)
        ),
        grade,
        samples: None,
        advice: format!("a gateway here drops sooner: sysctl -w net.core.rmem_max={asked_bytes}"),
    }
}

/// How a limit on the number of devices is graded.
fn enough(devices: u64) -> Grade {
    match devices {
        MANY_DEVICES.. => Grade::Ok,
        FEW_DEVICES.. => Grade::Note,
        _ => Grade::Warn,
    }
}

fn files(files: &FileFacts) -> Seen {
    let FileFacts { soft, hard, devices } = *files;
    Seen {
        text: format!("soft {soft}, hard {hard}: {devices} devices"),
        grade: enough(devices),
        samples: None,
        advice: "raise it: `ulimit -Hn`, `LimitNOFILE=`, `--ulimit nofile=`".to_owned(),
    }
}

fn ports(ports: &PortFacts) -> Seen {
    let PortFacts { first, last, reserved, devices } = *ports;
    let kept = if reserved > 0 { format!(", {reserved} kept back") } else { String::new() };
    Seen {
        text: format!("{first} to {last}{kept}: {devices} devices to one target"),
        grade: enough(devices),
        samples: None,
        advice: "widen it: sysctl -w net.ipv4.ip_local_port_range='1024 65535'".to_owned(),
    }
}

fn processors(processors: &ProcessorFacts) -> Seen {
    let ProcessorFacts { model, online, usable, megahertz, governor, .. } = processors;
    let frequency = megahertz.map_or("? MHz".to_owned(), |mhz| format!("{mhz:.0} MHz"));
    let how = governor.as_deref().unwrap_or("governor not told");
    let saving = governor.as_deref().is_some_and(|governor| governor != "performance");
    let (grade, advice) = match (usable, saving) {
        (1, _) => (Grade::Warn, "gateway and generator share one core: use a host with two"),
        (_, true) => (Grade::Note, "it may slow down: cpupower frequency-set -g performance"),
        _ => (Grade::Ok, ""),
    };
    Seen {
        text: format!("{usable} of {online} × {model}, {frequency}, {how}"),
        grade,
        samples: None,
        advice: advice.to_owned(),
    }
}

fn disturbance(processors: &ProcessorFacts) -> Seen {
    let ProcessorFacts { usable, steal_percent, load_average, .. } = processors;
    let cores = f64::from(*usable);
    let steal = graded(*steal_percent, GOOD_STEAL_PERCENT, STEAL_PERCENT);
    let load = graded(*load_average, cores / 2.0, cores);
    let shown = |value: Option<f64>| value.map_or("?".to_owned(), |value| format!("{value:.2}"));
    let advice = if steal >= load {
        "this machine's host gives its time to others: a host without neighbours has none"
    } else {
        QUIET_HOST
    };
    Seen {
        text: format!(
            "{} % of the time stolen; {} threads ran in the minute before",
            shown(*steal_percent),
            shown(*load_average)
        ),
        grade: steal.max(load),
        samples: None,
        advice: advice.to_owned(),
    }
}

fn clock(clock: &ClockFacts) -> Finding {
    let source = clock.source.as_deref().unwrap_or("not told");
    let stepped = clock.step_us > 100.0;
    let reading = graded(Some(clock.reading_ns), GOOD_READING_NS, BAD_READING_NS);
    let (grade, advice) = if stepped {
        (Grade::Warn, "stop what sets the clock; arrivals are stamped by it")
    } else {
        (reading, "a slow clock source: see current_clocksource, and prefer tsc")
    };
    let seen = Seen {
        text: format!(
            "{source}, {:.0} ns a reading; stepped {:.1} µs meanwhile",
            clock.reading_ns, clock.step_us
        ),
        grade,
        samples: Some(clock.batches * 1_000),
        advice: advice.to_owned(),
    };
    finding("clock", seen)
}

fn codec(codec: &CodecFacts) -> Seen {
    let cost = |summary: &Summary| summary.p50.map_or("-".to_owned(), |ms| format!("{ms:.3}"));
    let unknown = codec.version.ends_with("unknown");
    Seen {
        text: format!(
            "{}; CPU for 60 ms: decoding {} ms, encoding {} ms at p50",
            codec.version,
            cost(&codec.decode),
            cost(&codec.encode)
        ),
        grade: if unknown { Grade::Note } else { Grade::Ok },
        samples: Some(codec.decode.count + codec.encode.count),
        advice: "figures compare only with the same version: install libopus-dev and build anew"
            .to_owned(),
    }
}

fn devices(capacity: Option<&Capacity>) -> Vec<Finding> {
    let Some(capacity) = capacity else {
        let seen = Seen {
            text: "not known: what a frame costs was not measured".to_owned(),
            grade: Grade::Warn,
            samples: None,
            advice: "see the lines above".to_owned(),
        };
        return vec![finding("devices", seen)];
    };
    let Capacity { alone, with_echo, decoded } = capacity;
    let line = |subject: &str, estimate: &super::capacity::Estimate, more: &str| {
        let seen = Seen {
            text: format!("about {}, {more}; limit: {}", estimate.devices, estimate.limited_by),
            grade: enough(estimate.devices),
            samples: None,
            advice: match estimate.devices {
                0 => "no run here can be trusted at this moment: see the lines above".to_owned(),
                _ => "an estimate; trust a larger run only if it says VALID".to_owned(),
            },
        };
        finding(subject, seen)
    };
    let decoding =
        decoded.map_or(String::new(), |most| format!(" ({} decoded)", most.min(alone.devices)));
    vec![
        line("devices, alone", alone, &format!("gateway elsewhere{decoding}")),
        line("devices, with echo", with_echo, "reference gateway here"),
    ]
}
