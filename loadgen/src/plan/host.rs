//! What is known of the host that a plan is for: measured in half a second, or given by a test.

use std::time::Duration;

use codec::{Complexity, EncoderSettings};

use crate::codec_cost::CodecCost;
use crate::doctor::probes;
use crate::scenario::{Group, Scenario};
use crate::voice::Voices;

/// For how long frames are sent to find out what one costs.
const PACKETS_FOR: Duration = Duration::from_millis(300);
/// Frames that are coded anew to find out what one costs.
const FRAMES: usize = 100;

/// What a host allows, and what things cost there; what could not be found out is not told.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// Processor cores.
    pub cores: u32,
    /// The hard limit on open files.
    pub open_files: Option<u64>,
    /// Ephemeral ports.
    pub ports: Option<u64>,
    /// Processor time to send a packet over the loopback, and to receive one.
    pub packet: Option<(Duration, Duration)>,
}

/// What the gateway's codec makes of the frames of a group, and at what cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FrameCost {
    /// Processor time to decode a frame.
    pub decode: Duration,
    /// Processor time to encode one.
    pub encode: Duration,
    /// Bytes of an encoded frame, on average.
    pub bytes: f64,
}

impl Host {
    /// This one.
    pub fn measure() -> Self {
        let crowd = probes::crowd(PACKETS_FOR);
        let packet = crowd.known().filter(|crowd| crowd.frames_answered > 0).map(|crowd| {
            let time = |micros: f64| Duration::from_secs_f64(micros / 1e6);
            (time(crowd.send_cpu_us), time(crowd.receive_cpu_us))
        });
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            cores: u32::try_from(cores).unwrap_or(u32::MAX),
            open_files: probes::files().known().map(|files| files.hard),
            ports: probes::ports().known().map(|ports| ports.devices),
            packet,
        }
    }
}

impl FrameCost {
    /// Of each group, as the gateway of `scenario` would code its frames anew here.
    pub fn measure(scenario: &Scenario, voices: &Voices) -> Vec<Option<Self>> {
        let of_group = scenario.devices.groups.iter().zip(&voices.of_group);
        let costs = of_group.map(|(group, range)| {
            let packets = voices.all[range.clone()].iter().flat_map(|voice| &voice.packets);
            let packets = packets.map(|packet| &packet[..]).cycle().take(FRAMES);
            let cost = CodecCost::measure(packets, &answers(scenario, group)).ok()?;
            let mean = |times: &measure::Distribution| {
                let millis = times.statistic(measure::Statistic::Mean)?;
                Some(Duration::from_secs_f64(millis / 1e3))
            };
            Some(Self {
                decode: mean(&cost.decode)?,
                encode: mean(&cost.encode)?,
                bytes: cost.encoded_bytes as f64 / cost.encode.count() as f64,
            })
        });
        costs.collect()
    }
}

/// How the gateway encodes its answers to devices of `group`.
fn answers(scenario: &Scenario, group: &Group) -> EncoderSettings {
    let usual = EncoderSettings::gateway_downlink();
    let told = scenario.gateway.complexity.and_then(|level| Complexity::new(level.into()).ok());
    EncoderSettings {
        frame: group.encoder.frame,
        complexity: told.unwrap_or(usual.complexity),
        ..usual
    }
}
