//! Gets the facts: measures timers, loopback, clock and codec, and reads the host's limits.

use std::io;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use codec::EncoderSettings;
use measure::record::{MetricRecord, Summary};
use measure::{Distribution, Metric, Quantity};
use platform::{
    Clock, EphemeralPorts, Host, Priority, RealtimeOffset, Tuning, UdpOptions, bind_udp,
    open_files, raise_open_files, receive_buffer_bytes,
};
use protocol::{FrameDuration, Moment};

use super::facts::{
    BufferFacts, ClockFacts, CodecFacts, FileFacts, Known, LoopbackFacts, PortFacts,
    ProcessorFacts, TimerFacts,
};
use crate::codec_cost::CodecCost;
use crate::noise_floor::{FloorPlan, measure};
use crate::preflight::{FILES_BESIDE_DEVICES, FILES_PER_DEVICE};
use crate::resources::HostBefore;
use crate::timer_probe::{PERIOD, TimerProbe, granted};
use crate::voice;

/// Devices of the loopback probe: as many as the demonstration has.
const DEVICES: u32 = 50;
/// Devices of the probe for what a frame costs: enough that a wake-up serves several.
const CROWD: u32 = 500;

/// Timers for `length`, at the priority of `wish` if that is granted.
pub(super) fn timer(wish: Priority, length: Duration) -> Known<TimerFacts> {
    let clock = Clock::start();
    // The first wakes are cold: a twentieth of the probe is not counted.
    let warm = Moment::START + length / 20;
    let probe = TimerProbe::start(clock, warm, PERIOD, wish).map(|probe| {
        clock.sleep_until(Moment::START + length);
        let seen = probe.stop();
        TimerFacts {
            priority: granted(seen.priority).to_owned(),
            period_ms: seen.period.as_secs_f64() * 1e3,
            lateness: seen.summary(),
        }
    });
    probe.into()
}

/// Frames of few devices to ourselves and back.
pub(super) fn loopback(length: Duration) -> Known<LoopbackFacts> {
    there_and_back(DEVICES, length).into()
}

/// Frames of many.
pub(crate) fn crowd(length: Duration) -> Known<LoopbackFacts> {
    let needed = u64::from(CROWD) + FILES_BESIDE_DEVICES;
    // Where fewer files are allowed, fewer devices are measured.
    let devices = match (raise_open_files(needed), open_files()) {
        (Ok(_), _) => CROWD,
        (Err(_), Ok(files)) => {
            let room = files.soft.saturating_sub(FILES_BESIDE_DEVICES).min(CROWD.into());
            u32::try_from(room).unwrap_or(CROWD).max(1)
        }
        (Err(_), Err(error)) => return Err::<LoopbackFacts, _>(error).into(),
    };
    there_and_back(devices, length).into()
}

fn there_and_back(devices: u32, length: Duration) -> io::Result<LoopbackFacts> {
    let frame = FrameDuration::MS_60;
    let floor = measure(FloorPlan { devices, frame, length, priority: Priority::RealTime })?;
    let metrics = floor.measured.to_map();
    let summary = |metric: Metric| match metrics.get(metric.name()) {
        Some(MetricRecord::Distribution(summary)) => summary.clone(),
        _ => Summary::from(&Distribution::new(Quantity::Time)),
    };
    let each = |cpu: Duration, frames: u64| cpu.as_secs_f64() * 1e6 / frames.max(1) as f64;
    Ok(LoopbackFacts {
        devices,
        frame_ms: frame.as_millis(),
        frames_sent: floor.sent(),
        frames_answered: floor.answered(),
        response_latency: summary(Metric::ResponseLatency),
        service_latency: summary(Metric::ServiceLatency),
        send_lag: summary(Metric::SendLag),
        send_cpu_us: each(floor.pacer_cpu, floor.sent()),
        receive_cpu_us: each(floor.listener_cpu, floor.answered()),
    })
}

pub(super) fn buffers(tuning: &Tuning) -> Known<BufferFacts> {
    let options = UdpOptions::default();
    let granted = bind_udp((Ipv4Addr::LOCALHOST, 0).into(), options)
        .and_then(|socket| receive_buffer_bytes(&socket));
    let facts = granted.map(|granted| BufferFacts {
        asked_bytes: options.receive_buffer_bytes as u64,
        granted_bytes: granted as u64,
        receive_max_bytes: tuning.receive_buffer_max_bytes,
        send_max_bytes: tuning.send_buffer_max_bytes,
    });
    facts.into()
}

/// Before anything raises them.
pub(crate) fn files() -> Known<FileFacts> {
    let facts = open_files().map(|files| FileFacts {
        soft: files.soft,
        hard: files.hard,
        devices: files.hard.saturating_sub(FILES_BESIDE_DEVICES) / FILES_PER_DEVICE,
    });
    facts.into()
}

pub(crate) fn ports() -> Known<PortFacts> {
    let facts = EphemeralPorts::read().map(|ports| PortFacts {
        first: ports.first,
        last: ports.last,
        reserved: ports.reserved,
        devices: ports.count().into(),
    });
    facts.into()
}

/// The processors, with what was stolen since `before`.
pub(super) fn processors(tuning: &Tuning, before: &HostBefore) -> Known<ProcessorFacts> {
    let usable = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let facts = Host::read().map(|host| ProcessorFacts {
        model: host.cpu_model,
        online: u32::try_from(host.online_cores).unwrap_or(u32::MAX),
        usable: u32::try_from(usable).unwrap_or(u32::MAX),
        megahertz: tuning.megahertz,
        governor: tuning.governor.clone(),
        steal_percent: before.until_now().steal_percent,
        load_average: tuning.load_average,
        kernel: host.kernel,
        hostname: host.hostname,
    });
    facts.into()
}

/// What a reading costs, and how far the clocks moved apart since `earlier` was sampled.
pub(super) fn clock(tuning: &Tuning, clock: &Clock, earlier: &RealtimeOffset) -> ClockFacts {
    const BATCHES: usize = 101;
    let mut costs: Vec<f64> = (0..BATCHES)
        .map(|_| {
            let begun = Instant::now();
            for _ in 0..1_000 {
                std::hint::black_box(clock.now());
            }
            begun.elapsed().as_secs_f64() * 1e6
        })
        .collect();
    costs.sort_by(f64::total_cmp);
    let step = RealtimeOffset::sample(clock).drift_since_ns(earlier);
    ClockFacts {
        source: tuning.clock_source.clone(),
        reading_ns: costs[BATCHES / 2],
        batches: BATCHES as u64,
        step_us: step.unsigned_abs() as f64 / 1e3,
    }
}

/// Decodes and encodes our own voices, frame by frame, for `length`.
pub(super) fn codec(length: Duration) -> Known<CodecFacts> {
    transcode(length).map_err(|error| error.to_string()).into()
}

fn transcode(length: Duration) -> Result<CodecFacts, Box<dyn std::error::Error>> {
    let voices = voice::load(&[], &EncoderSettings::firmware_uplink())?;
    let packets = voices.iter().flat_map(|voice| &voice.packets).map(|packet| &packet[..]);
    let begun = Instant::now();
    let packets = packets.cycle().take_while(|_| begun.elapsed() < length);
    let cost = CodecCost::measure(packets, &EncoderSettings::gateway_downlink())?;
    Ok(CodecFacts {
        version: codec::library_version(),
        decode: Summary::from(&cost.decode),
        encode: Summary::from(&cost.encode),
    })
}
