//! From a performance to the run record and the files beside it.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::time::Duration;

use measure::playout::Playout;
use measure::record::{FORMAT, NETWORKS, PhaseRecord, RunRecord, ScenarioRecord, TargetRecord};
use measure::validity::{self, Evidence, LittlesLaw};
use measure::{Distribution, Metric, Statistic};
use platform::Host;
use serde_json::{Value, json};

use crate::afterwards;
use crate::baseline::{self, Baseline};
use crate::collect::{Collected, millis};
use crate::experience;
use crate::histogram_log;
use crate::noise_floor::NoiseFloor;
use crate::run::exit_code;
use crate::run_directory::RunDirectory;
use crate::scenario::Scenario;
use crate::stage::Performed;
use crate::timeline;
use crate::timer_probe::{TimerLateness, granted};
use crate::traits::{DeviceTraits, Population};
use crate::verdict::{self, Measured};
use crate::warnings;
use crate::watch::EndedEarly;
use crate::worst_device;

/// A scenario that was performed.
pub struct Ran<'a> {
    /// What was asked.
    pub scenario: &'a Scenario,
    /// When it started, in seconds since 1970 (UTC).
    pub started_unix_s: u64,
    /// The run that thresholds compare with.
    pub baseline: Option<&'a Baseline>,
    /// What the host added by itself just before.
    pub noise_floor: io::Result<NoiseFloor>,
    /// What it left behind.
    pub performed: Performed,
}

/// Judges the run and writes everything into its directory.
///
/// # Errors
/// What the file system said.
pub fn assemble(ran: Ran<'_>, directory: &RunDirectory) -> io::Result<RunRecord> {
    let Ran { scenario, started_unix_s, baseline, noise_floor, mut performed } = ran;
    add_process_metrics(&mut performed);
    let Collected { overall, segments, .. } = &performed.collected;
    let measured = Measured::new(scenario, &performed.schedule, overall, segments, baseline);
    let reference = performed.announced.is_some();
    let due = verdict::Due::of(scenario, performed.collected.planned_with_answer);
    let implied = verdict::implied(reference, &scenario.thresholds, overall, &due);
    let courses = &performed.timeline.courses;
    let (verdict, thresholds) =
        verdict::evaluate(&scenario.thresholds, courses, &implied, &measured);
    let decided = verdict::decided_by_send_lag(&scenario.thresholds, &measured);
    let samples = verdict::integrity_samples(&scenario.thresholds, &measured);
    let validity = validity::judge(&Evidence {
        decided_by_send_lag: decided,
        integrity_samples: samples,
        ..evidence(scenario, &performed)
    });
    let host = host();
    let mut warnings = warnings::of(&scenario.thresholds, &noise_floor);
    warnings.extend(baseline.and_then(|baseline| baseline.is_of_another_host(&host)));
    let interrupted = matches!(performed.ended_early, Some(EndedEarly::Interrupted(_)));
    let record = RunRecord {
        format: FORMAT,
        din_version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at_unix_s: started_unix_s,
        duration_ms: millis(performed.duration),
        commit: baseline::commit(|name| std::env::var(name).ok()),
        scenario: ScenarioRecord {
            name: scenario.name.clone(),
            file: Some(scenario.path.display().to_string()),
            title: scenario.title.clone(),
            question: scenario.question.clone(),
            text: scenario.text.clone(),
            overrides: scenario.overrides.clone(),
        },
        seed: scenario.seed,
        target: target(&performed),
        host,
        versions: versions(&performed),
        exit_code: exit_code(interrupted, validity.state, verdict),
        validity,
        warnings,
        noise_floor: noise_floor.ok().map(|floor| floor.to_record()),
        verdict,
        ended_early: performed.ended_early.as_ref().map(ToString::to_string),
        thresholds,
        phases: phases(scenario, &performed, &measured),
        metrics: performed.collected.overall.to_map(),
        method: method(scenario, &performed),
        gateway: performed.timeline.gateway.clone(),
        players: Some(experience::players(&performed.received)),
        actions: performed.timeline.actions.clone(),
        failures: performed.collected.failures,
    };
    afterwards::complete(&mut performed.timeline.rows, &performed.received.calls);
    directory.write(timeline::FILE, &performed.timeline.to_csv())?;
    directory
        .write("devices.csv", &devices_csv(scenario, &performed.received, &performed.population))?;
    if let Some(csv) = worst_device::csv(&performed.received.calls) {
        directory.write(worst_device::FILE, &csv)?;
    }
    let json = serde_json::to_string_pretty(&record).map_err(io::Error::from)?;
    directory.write_record(&(json + "\n"))?;
    Ok(record)
}

/// Processor time, memory and exits, which are not known by frame.
fn add_process_metrics(performed: &mut Performed) {
    let collected = &mut performed.collected;
    let timeline = &performed.timeline;
    for (&segment, samples) in
        timeline.resources.iter().chain(&timeline.pool).chain(&performed.pace)
    {
        collected.segments[segment].merge(samples);
        collected.overall.merge(samples);
    }
    if let Some(gateway) = &timeline.gateway {
        collected.overall.count(Metric::ScalingChanges, gateway.scaling.changes);
        // What it said at its end is later than what it told last.
        let at_end = performed.counters["dropped"]["worker_timeout"].as_u64();
        let timeouts = at_end.unwrap_or(gateway.worker_timeouts);
        collected.overall.count(Metric::WorkerTimeouts, timeouts);
    }
    // Known when the gateway has told of its end.
    for (metric, counted) in [
        (Metric::WorkerPanics, &performed.counters["worker_panics"]),
        (Metric::GatewayUndecipherable, &performed.counters["dropped"]["implausible"]),
    ] {
        if let Some(counted) = counted.as_u64() {
            collected.overall.count(metric, counted);
        }
    }
    // A run of less than a second has no sample; the metric is there and says so.
    let nothing = |metric: Metric| Distribution::new(metric.quantity());
    for metric in [Metric::GeneratorCpu, Metric::GeneratorRss] {
        collected.overall.samples(metric, &nothing(metric));
    }
    if performed.announced.is_some() {
        for metric in [Metric::GatewayCpu, Metric::GatewayRss] {
            collected.overall.samples(metric, &nothing(metric));
        }
        let exited = matches!(performed.ended_early, Some(EndedEarly::GatewayExited { .. }));
        collected.overall.count(Metric::GatewayExits, u64::from(exited));
    }
}

/// Threads of the generator that can be busy at the same time: pacer, listener, control, checker.
const BUSY_THREADS: u32 = 4;

/// Without what the thresholds say.
fn evidence(scenario: &Scenario, performed: &Performed) -> Evidence {
    let overall = &performed.collected.overall;
    let count = |metric| overall.counted(metric).unwrap_or(0);
    let p99 = |metric| {
        let millis = overall.sampled(metric)?.statistic(Statistic::Quantile(0.99))?;
        Some(Duration::from_secs_f64(millis / 1e3))
    };
    let cpu = overall
        .sampled(Metric::GeneratorCpu)
        .and_then(|cpu| cpu.statistic(Statistic::Mean))
        .unwrap_or(0.0);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let impairment_lag = performed.sent.impairment_lag.statistic(Statistic::Quantile(0.99));
    Evidence {
        frames_planned: count(Metric::FramesPlanned),
        frames_sent: count(Metric::FramesSent),
        sessions_failed: count(Metric::SessionsFailed),
        sessions_not_attempted: performed.not_attempted,
        arrival_lag_p99: p99(Metric::ArrivalLag),
        turn_lag_p99: p99(Metric::TurnLag),
        actions_not_done: not_done(performed),
        decodes_left_out: performed.decodes_left_out,
        frame: scenario.shortest_frame().as_duration(),
        send_lag_p99: p99(Metric::SendLag),
        impairment_lag_p99: impairment_lag.map(|millis| Duration::from_secs_f64(millis / 1e3)),
        send_lag_max: performed.sent.largest_lag,
        receive_drops: performed.received.kernel_drops,
        generator_cpu_percent: cpu,
        generator_cores: u32::try_from(cores).unwrap_or(u32::MAX).min(BUSY_THREADS),
        clock_step: performed.received.clock_step,
        steal_percent: performed.timeline.host.steal_percent,
        send_buffer_errors: performed.timeline.host.udp.map_or(0, |udp| udp.send_buffer_errors),
        contradictions: contradictions(performed),
        littles_law: littles_law(performed),
        decided_by_send_lag: Vec::new(),
        timer_late_p99: performed.timer.quantile(0.99),
        integrity_samples: Vec::new(),
    }
}

/// What should have been done until the end and was not. What the gateway did not survive is its own
/// doing.
fn not_done(performed: &Performed) -> Vec<String> {
    if matches!(performed.ended_early, Some(EndedEarly::GatewayExited { .. })) {
        return Vec::new();
    }
    let end = millis(performed.load_end.since_start());
    let missed = performed.timeline.actions.iter().filter(|one| !one.ok && one.at_ms < end);
    let words = missed.map(|one| match &one.outcome {
        Some(outcome) => format!("{} ({outcome})", one.action),
        None => one.action.clone(),
    });
    words.collect()
}

/// Frames whose parts contradict each other, of those whose whole way is known.
fn contradictions(performed: &Performed) -> (u64, u64) {
    let gateway = performed.timeline.gateway.as_ref();
    let ways = gateway.and_then(|gateway| gateway.decomposition);
    ways.map_or((0, 0), |ways| (ways.contradictions, ways.frames))
}

/// Not while frames were lost, which are under way for ever.
fn littles_law(performed: &Performed) -> Option<LittlesLaw> {
    let overall = &performed.collected.overall;
    let latency = overall.sampled(Metric::ServiceLatency)?;
    let all_known = overall.counted(Metric::FramesAwaited) == Some(latency.count());
    let receive_lag = overall.sampled(Metric::ReceiveLag)?.statistic(Statistic::Mean)?;
    // A frame counts as under way until its answer was read.
    let under_way =
        Duration::from_secs_f64((latency.statistic(Statistic::Mean)? + receive_lag) / 1e3);
    let law = performed.timeline.in_flight.law(latency.count(), performed.duration, under_way)?;
    all_known.then_some(law)
}

fn target(performed: &Performed) -> TargetRecord {
    let kind = if performed.announced.is_some() { "reference" } else { "foreign" };
    TargetRecord {
        kind: kind.to_owned(),
        mqtt: performed.mqtt.to_string(),
        announced: performed.announced.clone().unwrap_or(Value::Null),
        counters: performed.counters.clone(),
    }
}

fn host() -> BTreeMap<String, Value> {
    let Ok(host) = Host::read() else {
        return BTreeMap::from([("unknown".to_owned(), json!("the host could not be read"))]);
    };
    BTreeMap::from([
        ("hostname".to_owned(), json!(host.hostname)),
        ("kernel".to_owned(), json!(host.kernel)),
        ("cpu_model".to_owned(), json!(host.cpu_model)),
        ("cores".to_owned(), json!(host.online_cores)),
        ("memory_mib".to_owned(), json!(host.memory_bytes >> 20)),
    ])
}

fn versions(performed: &Performed) -> BTreeMap<String, String> {
    let mut versions = BTreeMap::from([
        ("din".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("libopus".to_owned(), codec::library_version()),
    ]);
    if let Some(announced) = &performed.announced {
        for (field, name) in [("version", "din-gateway"), ("libopus", "din-gateway libopus")] {
            if let Some(version) = announced[field].as_str() {
                versions.insert(name.to_owned(), version.to_owned());
            }
        }
    }
    versions
}

fn phases(scenario: &Scenario, performed: &Performed, measured: &Measured<'_>) -> Vec<PhaseRecord> {
    let metrics = measured.phases.iter().map(|(_, measured)| measured.to_map());
    scenario
        .phases
        .iter()
        .zip(metrics)
        .enumerate()
        .map(|(index, (phase, metrics))| {
            let (start, end) = performed.schedule.phases.bounds(index);
            PhaseRecord {
                name: phase.name.clone(),
                start_ms: millis(start.since_start()),
                end_ms: millis(end.since_start()),
                devices: phase.devices,
                metrics,
            }
        })
        .collect()
}

/// How it was measured: what a sceptic asks first.
fn method(scenario: &Scenario, performed: &Performed) -> BTreeMap<String, Value> {
    let as_recorded = scenario.devices.groups.iter().all(|group| {
        group.audio.is_empty() && group.encoder == codec::EncoderSettings::firmware_uplink()
    });
    let networks = networks(scenario);
    let networks = (!networks.is_empty()).then(|| (NETWORKS.to_owned(), json!(networks)));
    let entries = [
        ("gateway_telemetry".to_owned(), json!(telemetry(performed))),
        ("latency_from".to_owned(), json!("the planned instant of the frame")),
        ("latency_to".to_owned(), json!("kernel receive timestamp (SO_TIMESTAMPNS) of its answer")),
        ("steal_percent".to_owned(), json!(performed.timeline.host.steal_percent)),
        (
            "frames_under_way".to_owned(),
            json!(littles_law(performed).map(|law| json!({
                "counted": law.counted,
                "expected": law.expected,
                "standard_error": law.standard_error,
            }))),
        ),
        ("drain_ms".to_owned(), json!(millis(scenario.drain))),
        ("load_end_ms".to_owned(), json!(millis(performed.load_end.since_start()))),
        ("decoded_devices".to_owned(), json!(scenario.devices.decode.min(scenario.most_devices()))),
        ("duration_checked".to_owned(), json!("every answer")),
        ("pacer_priority".to_owned(), json!(granted(performed.sent.priority))),
        ("timer_probe".to_owned(), timer_probe(&performed.timer)),
        ("keystream_uncertain".to_owned(), json!(performed.received.keystream_uncertain)),
        (
            "pacer_spin_us".to_owned(),
            json!(u64::try_from(scenario.generator.spin.as_micros()).unwrap_or(u64::MAX)),
        ),
        (
            "histogram_log".to_owned(),
            json!(match &performed.histograms_broken_off {
                None => format!("{}, complete", histogram_log::FILE),
                Some(error) => format!("{}, broken off: {error}", histogram_log::FILE),
            }),
        ),
        ("voices".to_owned(), json!(performed.population.voices())),
        (
            "speech".to_owned(),
            json!(if as_recorded { "bundled packets, as recorded" } else { "encoded at start" }),
        ),
        ("histograms".to_owned(), json!("HdrHistogram, 3 significant digits, 1 µs to 60 s")),
    ];
    entries.into_iter().chain(networks).collect()
}

/// The simulated networks that devices were behind at the start, by group.
fn networks(scenario: &Scenario) -> BTreeMap<&str, &str> {
    let groups = scenario.groups().filter(|(group, _)| !group.network.is_clear());
    groups.map(|(group, _)| (&group.name[..], &group.network.said[..])).collect()
}

/// How late timers were during the run, and what it cost to know.
fn timer_probe(timer: &TimerLateness) -> Value {
    json!({
        "period_ms": millis(timer.period),
        "priority": granted(timer.priority),
        "cpu_percent": timer.cpu_percent(),
        "lateness": timer.summary(),
    })
}

/// Whether what is known from inside the gateway is known, and why not.
fn telemetry(performed: &Performed) -> &'static str {
    match (&performed.announced, &performed.timeline.gateway) {
        (None, _) => {
            "absent: a foreign gateway does not tell of its workers, load, queue delay and work"
        }
        (Some(_), None) => "absent: the gateway did not answer",
        (Some(_), Some(_)) => "read from the gateway each second, and the way of every frame",
    }
}

/// Three decimals, or nothing.
fn cell(number: Option<f64>) -> String {
    number.map(|number| format!("{number:.3}")).unwrap_or_default()
}

/// `devices.csv`: one row for each device that had a session.
fn devices_csv(
    scenario: &Scenario,
    received: &crate::media::listener::ListenerReport,
    population: &Population,
) -> String {
    #[derive(Default)]
    struct Device {
        sessions: u32,
        sent: u64,
        lost: u64,
        answered: u64,
        turns: u64,
        turns_answered: u64,
        speech: u64,
        reordered: u64,
        duplicate: u64,
        latency_sum: Duration,
        latency_max: Duration,
        /// Of its worst call.
        jitter: Option<Duration>,
        sigma: Option<Duration>,
        played: Playout,
    }
    let mut devices: BTreeMap<u32, Device> = BTreeMap::new();
    for call in &received.calls {
        let device = devices.entry(call.device).or_default();
        device.sessions += 1;
        device.sent += call.sent;
        device.answered += call.answered;
        if call.is_answered {
            device.lost += call.sent.saturating_sub(call.answered);
        }
        device.turns += call.turns.0;
        device.turns_answered += call.turns.1;
        device.speech += call.speech;
        device.reordered += call.reordered;
        device.duplicate += call.duplicate;
        device.latency_sum += call.latency_sum;
        device.latency_max = device.latency_max.max(call.latency_max);
        let experienced = &call.experienced;
        device.jitter = device.jitter.max(experienced.rfc3550.as_ref().map(|one| one.settled));
        device.sigma = device.sigma.max(experienced.interarrival_sigma);
        device.played.merge(&experienced.xiaozhi);
    }
    let mut csv = "device,client_id,voice,sessions,frames_sent,frames_answered,frames_lost,\
frames_reordered,frames_duplicate,response_latency_mean_ms,response_latency_max_ms,\
group,turns,turns_answered,speech_received,rfc3550_jitter_ms,interarrival_sigma_ms,\
stutter_per_minute,longest_gap_ms,effective_loss_percent\n"
        .to_owned();
    for (number, device) in devices {
        let traits = DeviceTraits::new(population, number);
        let (mean, max) = match device.answered {
            0 => (String::new(), String::new()),
            answered => (
                format!("{:.3}", millis(device.latency_sum) / answered as f64),
                format!("{:.3}", millis(device.latency_max)),
            ),
        };
        // Writing to a String does not fail.
        let _ = writeln!(
            csv,
            "{number},{},{},{},{},{},{},{},{},{mean},{max},{},{},{},{},{},{},{},{},{}",
            traits.client_id,
            traits.voice,
            device.sessions,
            device.sent,
            device.answered,
            device.lost,
            device.reordered,
            device.duplicate,
            scenario.devices.groups[traits.group].name,
            device.turns,
            device.turns_answered,
            device.speech,
            cell(device.jitter.map(millis)),
            cell(device.sigma.map(millis)),
            cell(device.played.stutter_per_minute()),
            cell((device.played.frames_played > 0).then(|| millis(device.played.longest_gap()))),
            cell(device.played.effective_loss().map(|share| share * 100.0)),
        );
    }
    csv
}
