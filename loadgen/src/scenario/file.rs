//! The form of a scenario file, and the checks that one value alone cannot make.
//!
//! ```toml
//! title    = "First call"
//! question = "Do 50 devices get their own speech back, in time and complete?"
//! seed     = 1
//! drain    = "1s"
//!
//! [gateway]                     # how the reference gateway is started
//! backend = "echo"
//!
//! [devices]
//! frame = "60ms"
//!
//! [[phase]]
//! name    = "talk"
//! devices = 50
//! ramp    = "3s"
//! hold    = "10s"
//!
//! [thresholds]
//! "response_latency.p99" = "< 40ms"
//! ```

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use codec::{Bitrate, Complexity, EncoderSettings};
use protocol::device_session::DeviceTimeouts;
use protocol::{FrameDuration, SampleRate};
use serde::{Deserialize, Deserializer, Serialize, de};
use toml::Spanned;

use super::duration::{Span, shown};
use super::{
    DeviceSettings, MAX_CALLS, MAX_DEVICES, MAX_PHASES, MAX_SPAN, Phase, Scenario, ScenarioError,
    Threshold,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    title: String,
    #[serde(default)]
    question: String,
    #[serde(default = "default_seed")]
    seed: Seed,
    #[serde(default = "default_drain")]
    drain: Span,
    #[serde(default)]
    gateway: GatewaySettings,
    #[serde(default)]
    devices: Devices,
    phase: Spanned<Vec<PhaseTable>>,
    #[serde(default)]
    thresholds: BTreeMap<Spanned<String>, Spanned<Limit>>,
}

/// Like every default, the same on every run.
const fn default_seed() -> Seed {
    Seed(1)
}

/// As long as the reference measurements wait before they judge loss.
const fn default_drain() -> Span {
    Span(Duration::from_secs(2))
}

/// How the reference gateway is started; ignored when a target is given.
///
/// What is left out has the gateway's own default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GatewaySettings {
    /// What it does with audio; default: `echo`.
    pub backend: Option<Backend>,
    /// Codec workers, 1 to 64; default: 2.
    #[serde(deserialize_with = "workers")]
    pub workers: Option<u32>,
    /// How its frames get a worker; default: `central-queue`.
    pub dispatch: Option<Dispatch>,
    /// Complexity of its Opus encoder, 0 to 10; default: 5.
    #[serde(deserialize_with = "gateway_complexity")]
    pub complexity: Option<u32>,
}

impl GatewaySettings {
    /// The same settings as `din-gateway --config` reads them.
    pub fn to_config(&self) -> String {
        #[derive(Serialize)]
        struct Config {
            backend: BackendTable,
            pool: PoolTable,
        }
        #[derive(Serialize)]
        struct BackendTable {
            #[serde(skip_serializing_if = "Option::is_none")]
            kind: Option<Backend>,
            #[serde(skip_serializing_if = "Option::is_none")]
            complexity: Option<u32>,
        }
        #[derive(Serialize)]
        struct PoolTable {
            #[serde(skip_serializing_if = "Option::is_none")]
            workers: Option<u32>,
            #[serde(skip_serializing_if = "Option::is_none")]
            dispatch: Option<Dispatch>,
        }
        let config = Config {
            backend: BackendTable { kind: self.backend, complexity: self.complexity },
            pool: PoolTable { workers: self.workers, dispatch: self.dispatch },
        };
        toml::to_string(&config).expect("tables of plain values can be written")
    }
}

/// What the gateway does with audio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Decrypts, encrypts again and returns each packet.
    Relay,
    /// Decodes each packet, encodes it again at 24 kHz and returns it.
    Echo,
}

/// How the gateway's frames get a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dispatch {
    /// Workers in turns.
    RoundRobin,
    /// The worker with the fewest frames pending.
    LeastPending,
    /// The worker with the least work pending, by what each session's frames took so far.
    LeastWork,
    /// The better of two workers picked at random.
    PowerOfTwo,
    /// One queue for all workers.
    CentralQueue,
    /// A session stays on one worker.
    Sticky,
}

#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Devices {
    /// WAV or Ogg Opus files, relative to the scenario; none: the voices that come with Din.
    audio: Vec<Spanned<PathBuf>>,
    frame: Frame,
    sample_rate: Rate,
    bitrate: BitrateText,
    complexity: Level,
    dtx: bool,
    hello_timeout: Span,
    audio_timeout: Span,
    decode: Count,
}

impl Default for Devices {
    /// The firmware's own settings.
    fn default() -> Self {
        let EncoderSettings { sample_rate, frame, bitrate, complexity, dtx, .. } =
            EncoderSettings::firmware_uplink();
        Self {
            audio: Vec::new(),
            frame: Frame(frame),
            sample_rate: Rate(sample_rate),
            bitrate: BitrateText(bitrate),
            complexity: Level(complexity),
            dtx,
            hello_timeout: Span(DeviceTimeouts::default().hello),
            audio_timeout: Span(DeviceTimeouts::default().audio),
            decode: Count(50),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PhaseTable {
    name: Option<Spanned<String>>,
    devices: Count,
    #[serde(default)]
    ramp: Span,
    hold: Span,
}

/// A limit as it is written: `"< 40ms"`.
struct Limit(String);
/// A whole number of 0 or more, of any size.
struct Seed(u64);
/// Devices: 0 to [`MAX_DEVICES`].
struct Count(u32);
struct Frame(FrameDuration);
struct Rate(SampleRate);
struct BitrateText(Bitrate);
struct Level(Complexity);

/// Reads a whole number within `allowed`, or says what was seen and what is allowed.
fn whole<'de, D: Deserializer<'de>>(
    deserializer: D,
    what: &str,
    allowed: std::ops::RangeInclusive<i64>,
) -> Result<i64, D::Error> {
    let seen = i64::deserialize(deserializer)?;
    if allowed.contains(&seen) {
        return Ok(seen);
    }
    let (least, most) = (allowed.start(), allowed.end());
    Err(de::Error::custom(format!("{seen} {what}: allowed are {least} to {most}")))
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Limit;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a limit in quotes, for example \"< 40ms\" or \"= 0\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Limit, E> {
                Ok(Limit(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

impl<'de> Deserialize<'de> for Seed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        whole(deserializer, "as seed", 0..=i64::MAX).map(|seed| Self(seed.unsigned_abs()))
    }
}

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        whole_u32(deserializer, "devices", 0, MAX_DEVICES).map(Self)
    }
}

fn whole_u32<'de, D: Deserializer<'de>>(
    deserializer: D,
    what: &str,
    least: u32,
    most: u32,
) -> Result<u32, D::Error> {
    let seen = whole(deserializer, what, i64::from(least)..=i64::from(most))?;
    Ok(u32::try_from(seen).expect("the allowed range lies within u32"))
}

fn workers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    whole_u32(deserializer, "workers", 1, 64).map(Some)
}

fn gateway_complexity<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    whole_u32(deserializer, "as complexity", 0, 10).map(Some)
}

impl<'de> Deserialize<'de> for Frame {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Span(span) = Span::deserialize(deserializer)?;
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        FrameDuration::from_millis(millis).map(Self).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Rate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let hertz = whole(deserializer, "Hz", 0..=i64::MAX)?;
        SampleRate::from_hertz(hertz.unsigned_abs()).map(Self).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let level = whole(deserializer, "as complexity", 0..=10)?;
        Complexity::new(level.unsigned_abs()).map(Self).map_err(de::Error::custom)
    }
}

impl<'de> Deserialize<'de> for BitrateText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "auto" {
            return Ok(Self(Bitrate::AUTO));
        }
        let wrong = || {
            de::Error::custom(format!(
                "bitrate `{text}`: write \"auto\" or kilobits per second, for example \"24kbps\""
            ))
        };
        let kbps = text.strip_suffix("kbps").ok_or_else(wrong)?.trim();
        let kbps: f64 = kbps.parse().map_err(|_| wrong())?;
        if !(6.0..=510.0).contains(&kbps) {
            return Err(de::Error::custom(format!(
                "bitrate `{text}`: allowed are 6kbps to 510kbps"
            )));
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "checked to lie between 6 and 510"
        )]
        let bits = (kbps * 1000.0) as u64;
        Bitrate::from_bits_per_second(bits).map(Self).map_err(de::Error::custom)
    }
}

/// Reads and checks a scenario's text.
pub(super) fn parse(path: &Path, text: String) -> Result<Scenario, ScenarioError> {
    let file: File =
        toml::from_str(&text).map_err(|error| ScenarioError::from_toml(path, &text, &error))?;
    let phases = phases(path, &text, file.phase)?;
    let thresholds = thresholds(path, &text, &phases, file.thresholds)?;
    let name =
        path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let devices = devices(path, &text, file.devices)?;
    Ok(Scenario {
        title: if file.title.is_empty() { name.clone() } else { file.title },
        name,
        question: file.question,
        seed: file.seed.0,
        gateway: file.gateway,
        devices,
        phases,
        thresholds,
        drain: file.drain.0,
        text,
        overrides: Vec::new(),
    })
}

fn phases(
    path: &Path,
    text: &str,
    tables: Spanned<Vec<PhaseTable>>,
) -> Result<Vec<Phase>, ScenarioError> {
    let whole = tables.span();
    let tables = tables.into_inner();
    let wrong = |span, message| Err(ScenarioError::at(path, text, span, message));
    if tables.is_empty() || tables.len() > MAX_PHASES {
        let message = format!("{} phases: allowed are 1 to {MAX_PHASES}", tables.len());
        return wrong(whole, message);
    }
    let mut phases: Vec<Phase> = Vec::new();
    for (index, table) in tables.into_iter().enumerate() {
        let (name, span) = match table.name {
            Some(name) => (name.get_ref().clone(), name.span()),
            None => (format!("phase-{}", index + 1), whole.clone()),
        };
        let usable = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(usable) {
            let message = format!("phase name `{name}`: allowed are letters, digits, `-` and `_`");
            return wrong(span, message);
        }
        if phases.iter().any(|phase| phase.name == name) {
            let message =
                format!("phase name `{name}` is used twice; thresholds need to tell phases apart");
            return wrong(span, message);
        }
        phases.push(Phase {
            name,
            devices: table.devices.0,
            ramp: table.ramp.0,
            hold: table.hold.0,
        });
    }
    if phases.iter().all(|phase| phase.devices == 0) {
        return wrong(whole, "no phase has a device: there is nothing to run".to_owned());
    }
    let length: Duration = phases.iter().map(Phase::length).sum();
    if length > MAX_SPAN {
        let message =
            format!("ramps and holds add up to {}, the longest run is 24h", shown(length));
        return wrong(whole, message);
    }
    let mut before = 0;
    let mut arrivals = 0;
    for phase in &phases {
        arrivals += phase.devices.saturating_sub(before);
        before = phase.devices;
    }
    if arrivals > MAX_CALLS {
        let message = format!("the phases call for {arrivals} sessions, the most is {MAX_CALLS}");
        return wrong(whole, message);
    }
    if length.is_zero() {
        return wrong(
            whole,
            "ramps and holds add up to no time: there is nothing to run".to_owned(),
        );
    }
    Ok(phases)
}

fn thresholds(
    path: &Path,
    text: &str,
    phases: &[Phase],
    table: BTreeMap<Spanned<String>, Spanned<Limit>>,
) -> Result<Vec<Threshold>, ScenarioError> {
    let names: Vec<&str> = phases.iter().map(|phase| phase.name.as_str()).collect();
    let mut entries: Vec<_> = table.into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let parsed = entries.iter().map(|(key, limit)| {
        Threshold::parse(key.get_ref(), &limit.get_ref().0, &names).map_err(|error| {
            let span = if error.in_key { key.span() } else { limit.span() };
            ScenarioError::at(path, text, span, error.message).with_help(error.help)
        })
    });
    parsed.collect()
}

fn devices(path: &Path, text: &str, table: Devices) -> Result<DeviceSettings, ScenarioError> {
    let base = path.parent().unwrap_or(Path::new("."));
    let mut audio = Vec::new();
    for file in table.audio {
        let full = base.join(file.get_ref());
        if !full.is_file() {
            let message = format!("audio file `{}` does not exist", file.get_ref().display());
            let help =
                format!("looked for {}; paths are relative to the scenario file", full.display());
            return Err(ScenarioError::at(path, text, file.span(), message).with_help(help));
        }
        audio.push(full);
    }
    let encoder = EncoderSettings {
        sample_rate: table.sample_rate.0,
        frame: table.frame.0,
        bitrate: table.bitrate.0,
        complexity: table.complexity.0,
        dtx: table.dtx,
        ..EncoderSettings::firmware_uplink()
    };
    Ok(DeviceSettings {
        audio,
        encoder,
        timeouts: DeviceTimeouts {
            hello: table.hello_timeout.0,
            audio: table.audio_timeout.0,
            ..DeviceTimeouts::default()
        },
        decode: table.decode.0,
    })
}
