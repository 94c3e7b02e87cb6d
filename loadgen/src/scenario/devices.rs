//! `[devices]`: what the devices of a scenario are like; `[[group]]`: what some of them are like
//! instead.
//!
//! ```toml
//! [devices]
//! frame = "60ms"
//! talk  = "full-duplex"
//!
//! [[group]]
//! name  = "toys"
//! share = "30%"                 # of all devices; those of no group are as `[devices]` says
//! frame = "20ms"                # what is left out is as in `[devices]`
//! talk  = { listen = "1s..3s" } # `talk.rs`
//! ```

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use codec::{Bitrate, Complexity, EncoderSettings};
use protocol::device_session::DeviceTimeouts;
use protocol::{FrameDuration, SampleRate};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, de};
use toml::Spanned;

use super::duration::Span;
use super::network::{Network, NetworkValue};
use super::talk::{Talk, TalkValue};
use super::values::{PartsPerMillion, Share, whole};
use super::{Backend, Devices, Group, MAX_DEVICES, Phasing, ScenarioError};

/// The most groups one scenario may have.
const MAX_GROUPS: usize = 100;
/// The name of the group of all devices where there is no other, and of those that belong to none.
const ALL: &str = "all";
const OTHERS: &str = "others";

macro_rules! device_tables {
    ($($(#[$doc:meta])* $field:ident: $type:ty,)*) => {
        /// `[devices]` as it is written.
        #[derive(Default, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        #[schemars(rename = "Devices")]
        pub(super) struct DevicesTable {
            $($(#[$doc])* $field: Option<$type>,)*
            /// How many devices, from the first on, have their returned audio really decoded, 0 to
            /// 20,000; default: 50.
            decode: Option<Count>,
            /// When the frames of each device are due within a frame duration: `spread` at random by
            /// the seed, `staggered` in even steps, or `aligned` all at once; default: `spread`.
            phase: Phasing,
        }

        /// A `[[group]]` as it is written.
        #[derive(Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        #[schemars(rename = "Group")]
        pub(super) struct GroupTable {
            /// The group's name in reports: letters, digits, `-` and `_`.
            #[schemars(with = "String")]
            name: Spanned<String>,
            /// Which share of all devices belongs to it, more than 0% and at most 100%. Devices that
            /// belong to no group are as `[devices]` says.
            #[schemars(with = "Share")]
            share: Spanned<Share>,
            $($(#[$doc])* $field: Option<$type>,)*
        }

        /// What either says.
        #[derive(Clone, Default)]
        struct Said {
            $($field: Option<$type>,)*
        }

        impl Said {
            /// The same, with what is left out as `other` has it.
            fn or(self, other: &Self) -> Self {
                Self { $($field: self.$field.or_else(|| other.$field.clone()),)* }
            }
        }

        impl DevicesTable {
            fn split(self) -> (Said, Option<Count>, Phasing) {
                (Said { $($field: self.$field,)* }, self.decode, self.phase)
            }
        }

        impl GroupTable {
            fn split(self) -> (Spanned<String>, Spanned<Share>, Said) {
                (self.name, self.share, Said { $($field: self.$field,)* })
            }
        }
    };
}

device_tables! {
    /// What the devices say: WAV or Ogg Opus files, relative to the scenario; default: the 16 voices
    /// that come with Din.
    #[schemars(with = "Option<Vec<String>>")]
    audio: Vec<Spanned<PathBuf>>,
    /// Audio in each packet: `20ms`, `40ms` or `60ms`; default: `60ms`, as the firmware.
    frame: Frame,
    /// Sample rate of the uplink in Hz: 8000, 12000, 16000, 24000 or 48000; default: 16000.
    sample_rate: Rate,
    /// Bitrate of the uplink: `auto`, or `6kbps` to `510kbps`; default: `auto`.
    bitrate: BitrateText,
    /// Complexity of the devices' encoder, 0 to 10; default: 0. Speech is encoded before the run, so
    /// it costs the run nothing.
    complexity: Level,
    /// Whether the encoder sends next to nothing during silence (discontinuous transmission);
    /// default: true.
    dtx: bool,
    /// How long a device waits for the answer to hello; default: `10s`.
    hello_timeout: Span,
    /// How long a device waits for audio before it gives the session up; default: `120s`.
    audio_timeout: Span,
    /// When a device speaks: `full-duplex` (always), `half-duplex` (in turns), `silent` (never), or
    /// a table that says how turns are taken; default: `full-duplex`.
    #[schemars(with = "Option<TalkValue>")]
    talk: Spanned<TalkValue>,
    /// How far a device's clock may run too fast or too slow, `0ppm` to `1000ppm`: each device draws its
    /// own between both; default: `0ppm`.
    clock_drift: PartsPerMillion,
    /// What the network between a device and the gateway does to audio: the name of a preset (`din
    /// network` lists them), or a table that says it; default: nothing.
    #[schemars(with = "Option<NetworkValue>")]
    network: Spanned<NetworkValue>,
}

/// The devices of a scenario, from both tables.
pub(super) fn devices(
    path: &Path,
    text: &str,
    devices: DevicesTable,
    groups: Spanned<Vec<GroupTable>>,
    backend: Backend,
) -> Result<Devices, ScenarioError> {
    let place = Place { path, text, backend };
    let whole = groups.span();
    let (base, decode, phasing) = devices.split();
    let mut made: Vec<Group> = Vec::new();
    for table in groups.into_inner() {
        let (name, share, said) = table.split();
        place.check_name(&name, &made)?;
        let so_far: f64 = made.iter().map(|group| group.share).sum();
        place.check_share(&share, so_far)?;
        let share = share.get_ref().ratio();
        made.push(place.group(name.into_inner(), share, said.or(&base))?);
    }
    if made.len() > MAX_GROUPS {
        let message = format!("{} groups: the most is {MAX_GROUPS}", made.len());
        return Err(ScenarioError::at(path, text, whole, message));
    }
    let rest = 1.0 - made.iter().map(|group| group.share).sum::<f64>();
    if made.is_empty() {
        made.push(place.group(ALL.to_owned(), 1.0, base)?);
    } else if rest > SMALLEST_SHARE {
        made.push(place.group(OTHERS.to_owned(), rest, base)?);
    }
    Ok(Devices { groups: made, decode: decode.map_or(DECODED, |count| count.0), phasing })
}

/// Devices that are decoded where a scenario does not say.
const DECODED: u32 = 50;
/// Less than this is what adding percentages leaves.
const SMALLEST_SHARE: f64 = 1e-9;

/// The file that is read.
struct Place<'a> {
    path: &'a Path,
    text: &'a str,
    /// What the gateway does with audio.
    backend: Backend,
}

impl Place<'_> {
    fn wrong(&self, span: Range<usize>, message: String, help: &str) -> ScenarioError {
        ScenarioError::at(self.path, self.text, span, message).with_help(help.to_owned())
    }

    fn check_name(&self, name: &Spanned<String>, before: &[Group]) -> Result<(), ScenarioError> {
        let (span, name) = (name.span(), name.get_ref());
        let usable = |c: char| c.is_alphanumeric() || c == '-' || c == '_';
        if name.is_empty() || !name.chars().all(usable) {
            let message = format!("group name `{name}`: allowed are letters, digits, `-` and `_`");
            return Err(self.wrong(span, message, "name it for example \"kitchen\""));
        }
        if [ALL, OTHERS].contains(&&**name) {
            let message = format!("a group cannot be called `{name}`");
            return Err(self.wrong(span, message, "devices that belong to no group are called so"));
        }
        if before.iter().any(|group| group.name == *name) {
            let message = format!("group name `{name}` is used twice");
            return Err(self.wrong(span, message, "give each group a name of its own"));
        }
        Ok(())
    }

    fn check_share(&self, share: &Spanned<Share>, so_far: f64) -> Result<(), ScenarioError> {
        let (span, share) = (share.span(), *share.get_ref());
        if share.ratio() <= 0.0 {
            let message = "a group of 0% of the devices".to_owned();
            return Err(self.wrong(span, message, "write more than 0%, or leave the group out"));
        }
        if so_far + share.ratio() > 1.0 + SMALLEST_SHARE {
            let message = format!(
                "the shares of the groups add up to {:.4}%",
                (so_far + share.ratio()) * 1e2
            );
            return Err(self.wrong(span, message, "100% is all there is: lower one of them"));
        }
        Ok(())
    }

    /// Who waits for a speech must be spoken to, and who waits for answers must be answered.
    fn talk(&self, name: &str, said: Option<Spanned<TalkValue>>) -> Result<Talk, ScenarioError> {
        let span = said.as_ref().map_or(0..0, Spanned::span);
        let talk = said.map_or(Talk::FullDuplex, |talk| talk.into_inner().0);
        let speaks = self.backend == Backend::Assistant;
        let (message, help) = match (&talk, speaks) {
            (Talk::HalfDuplex(_), false) => (
                "half-duplex devices wait for the gateway to speak, and its backend only answers",
                "write backend = \"assistant\" in [gateway]; of a --target it says what is expected",
            ),
            (Talk::FullDuplex, true) => (
                "full-duplex devices wait for an answer to each frame, and the backend `assistant` \
                 gives none",
                "write talk = \"half-duplex\" in [devices], or another backend",
            ),
            _ => return Ok(talk),
        };
        if span.is_empty() {
            let message = format!("devices of group `{name}`: {message}");
            return Err(ScenarioError::whole(self.path, message).with_help(help.to_owned()));
        }
        Err(self.wrong(span, message.to_owned(), help))
    }

    fn group(&self, name: String, share: f64, said: Said) -> Result<Group, ScenarioError> {
        let base = self.path.parent().unwrap_or(Path::new("."));
        let mut audio = Vec::new();
        for file in said.audio.unwrap_or_default() {
            let full = base.join(file.get_ref());
            if !full.is_file() {
                let message = format!("audio file `{}` does not exist", file.get_ref().display());
                let help = format!(
                    "looked for {}; paths are relative to the scenario file",
                    full.display()
                );
                return Err(self.wrong(file.span(), message, &help));
            }
            audio.push(full);
        }
        let firmware = EncoderSettings::firmware_uplink();
        let encoder = EncoderSettings {
            sample_rate: said.sample_rate.map_or(firmware.sample_rate, |rate| rate.0),
            frame: said.frame.map_or(firmware.frame, |frame| frame.0),
            bitrate: said.bitrate.map_or(firmware.bitrate, |bitrate| bitrate.0),
            complexity: said.complexity.map_or(firmware.complexity, |level| level.0),
            dtx: said.dtx.unwrap_or(firmware.dtx),
            ..firmware
        };
        let waits = DeviceTimeouts::default();
        let or = |span: Option<Span>, default: Duration| span.map_or(default, |span| span.0);
        let timeouts = DeviceTimeouts {
            hello: or(said.hello_timeout, waits.hello),
            audio: or(said.audio_timeout, waits.audio),
            ..waits
        };
        let talk = self.talk(&name, said.talk)?;
        let network = match said.network {
            None => Network::default(),
            Some(network) => network
                .get_ref()
                .network(self.path)
                .map_err(|(what, help)| self.wrong(network.span(), what, &help))?,
        };
        let clock_drift = said.clock_drift.unwrap_or_default();
        Ok(Group { name, share, audio, encoder, timeouts, talk, clock_drift, network })
    }
}

/// Devices: 0 to [`MAX_DEVICES`].
#[derive(Clone, Copy)]
pub(super) struct Count(pub(super) u32);
#[derive(Clone, Copy)]
pub(super) struct Frame(FrameDuration);
#[derive(Clone, Copy)]
pub(super) struct Rate(SampleRate);
#[derive(Clone, Copy)]
pub(super) struct BitrateText(Bitrate);
#[derive(Clone, Copy)]
pub(super) struct Level(Complexity);

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
