//! `[devices]`: what the devices of a scenario are like.

use std::path::{Path, PathBuf};

use codec::{Bitrate, Complexity, EncoderSettings};
use protocol::device_session::DeviceTimeouts;
use protocol::{FrameDuration, SampleRate};
use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use super::duration::Span;
use super::values::whole;
use super::{DeviceSettings, MAX_DEVICES, Phasing, ScenarioError};

/// The table as it is written.
#[derive(Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct DevicesTable {
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
    phase: Phasing,
}

impl Default for DevicesTable {
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
            phase: Phasing::default(),
        }
    }
}

impl DevicesTable {
    /// The same settings, with the audio found.
    pub(super) fn checked(self, path: &Path, text: &str) -> Result<DeviceSettings, ScenarioError> {
        let base = path.parent().unwrap_or(Path::new("."));
        let mut audio = Vec::new();
        for file in self.audio {
            let full = base.join(file.get_ref());
            if !full.is_file() {
                let message = format!("audio file `{}` does not exist", file.get_ref().display());
                let help = format!(
                    "looked for {}; paths are relative to the scenario file",
                    full.display()
                );
                return Err(ScenarioError::at(path, text, file.span(), message).with_help(help));
            }
            audio.push(full);
        }
        let encoder = EncoderSettings {
            sample_rate: self.sample_rate.0,
            frame: self.frame.0,
            bitrate: self.bitrate.0,
            complexity: self.complexity.0,
            dtx: self.dtx,
            ..EncoderSettings::firmware_uplink()
        };
        Ok(DeviceSettings {
            audio,
            encoder,
            timeouts: DeviceTimeouts {
                hello: self.hello_timeout.0,
                audio: self.audio_timeout.0,
                ..DeviceTimeouts::default()
            },
            decode: self.decode.0,
            phasing: self.phase,
        })
    }
}

/// Devices: 0 to [`MAX_DEVICES`].
pub(super) struct Count(pub(super) u32);
struct Frame(FrameDuration);
struct Rate(SampleRate);
struct BitrateText(Bitrate);
struct Level(Complexity);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let seen = whole(deserializer, "devices", 0..=MAX_DEVICES.into())?;
        Ok(Self(u32::try_from(seen).expect("the allowed range lies within u32")))
    }
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
