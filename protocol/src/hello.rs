//! The two hellos: how an audio session is asked for and granted, and their checked forms.
//!
//! A hello is read as it stands, with numbers and text of any value; [`DeviceHello::check`] and
//! [`GatewayHello::check`] turn it into what a session can be built on, or name the field that
//! cannot be served.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cipher::{KeyError, MediaKey, NonceTemplate};
use crate::{FrameDuration, SampleRate, UnitError};

/// The protocol version in a device's hello over MQTT and UDP.
pub const HELLO_VERSION: u64 = 3;

/// The transport in both hellos.
pub const TRANSPORT: &str = "udp";

/// The cipher in the gateway's hello.
pub const ENCRYPTION: &str = "aes-128-ctr";

/// The audio format in both hellos.
pub const AUDIO_FORMAT: &str = "opus";

/// A device asks for an audio session.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceHello {
    /// [`HELLO_VERSION`].
    pub version: u64,
    /// [`TRANSPORT`].
    pub transport: String,
    /// What the device can do.
    #[serde(default)]
    pub features: Features,
    /// The uplink's audio.
    pub audio_params: AudioParams,
}

/// What a device can do beyond audio.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    /// Answers the Model Context Protocol.
    #[serde(default)]
    pub mcp: bool,
    /// Cancels echo with the gateway's help.
    #[serde(default)]
    pub aec: bool,
}

/// The audio of one direction, as it stands in a hello. [`AudioFormat`] is its checked form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AudioParams {
    /// [`AUDIO_FORMAT`].
    pub format: String,
    /// Hertz.
    pub sample_rate: u64,
    /// 1.
    pub channels: u64,
    /// Milliseconds.
    pub frame_duration: u64,
}

/// The audio of one direction: mono Opus of this rate and frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioFormat {
    /// Samples per second.
    pub sample_rate: SampleRate,
    /// Audio in each packet.
    pub frame: FrameDuration,
}

/// A gateway grants an audio session. [`AudioGrant`] is its checked form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GatewayHello {
    /// [`HELLO_VERSION`]; absent from some gateways.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// The name of the session in control messages.
    pub session_id: String,
    /// [`TRANSPORT`].
    pub transport: String,
    /// Where and how to send audio.
    pub udp: UdpGrant,
    /// The downlink's audio.
    pub audio_params: AudioParams,
}

/// Where and how to send audio, as it stands in a hello.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UdpGrant {
    /// Host name or address.
    pub server: String,
    /// UDP port.
    pub port: u16,
    /// [`ENCRYPTION`].
    pub encryption: String,
    /// 32 hexadecimal digits.
    pub key: String,
    /// 32 hexadecimal digits: the packet header.
    pub nonce: String,
}

/// A granted audio session, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioGrant {
    /// The name of the session in control messages.
    pub session_id: String,
    /// Host name or address of the media port.
    pub server: String,
    /// UDP port.
    pub port: u16,
    /// The session's key, for both directions.
    pub key: MediaKey,
    /// The header of the device's packets.
    pub nonce: NonceTemplate,
    /// The downlink's audio.
    pub downlink: AudioFormat,
}

impl DeviceHello {
    /// The hello of a device that speaks `uplink`.
    pub fn new(uplink: AudioFormat, features: Features) -> Self {
        Self {
            version: HELLO_VERSION,
            transport: TRANSPORT.to_owned(),
            features,
            audio_params: uplink.into(),
        }
    }
}

impl From<AudioFormat> for AudioParams {
    fn from(format: AudioFormat) -> Self {
        Self {
            format: AUDIO_FORMAT.to_owned(),
            sample_rate: u64::from(format.sample_rate.as_hertz()),
            channels: 1,
            frame_duration: u64::from(format.frame.as_millis()),
        }
    }
}

/// A hello whose audio or media port cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HelloError {
    /// A field does not have the only value that is possible here.
    Field {
        /// The field's name.
        field: &'static str,
        /// What it held.
        seen: String,
        /// What it must hold.
        needed: String,
    },
    /// The rate or frame duration is none that the protocol knows.
    Unit(UnitError),
    /// The key or the nonce cannot be read.
    Key(KeyError),
}

impl fmt::Display for HelloError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Field { field, seen, needed } => {
                write!(f, "hello: {field} is `{seen}`, only `{needed}` is served")
            }
            Self::Unit(error) => write!(f, "hello: {error}"),
            Self::Key(error) => write!(f, "hello: {error}"),
        }
    }
}

impl std::error::Error for HelloError {}

fn only(
    field: &'static str,
    seen: impl fmt::Display,
    needed: impl fmt::Display,
) -> Result<(), HelloError> {
    let (seen, needed) = (seen.to_string(), needed.to_string());
    if seen == needed { Ok(()) } else { Err(HelloError::Field { field, seen, needed }) }
}

impl AudioParams {
    /// The checked form.
    ///
    /// # Errors
    /// [`HelloError`] unless it is mono Opus of a rate and frame that the protocol knows.
    pub fn check(&self) -> Result<AudioFormat, HelloError> {
        only("audio_params.format", &self.format, AUDIO_FORMAT)?;
        only("audio_params.channels", self.channels, 1)?;
        Ok(AudioFormat {
            sample_rate: SampleRate::from_hertz(self.sample_rate).map_err(HelloError::Unit)?,
            frame: FrameDuration::from_millis(self.frame_duration).map_err(HelloError::Unit)?,
        })
    }
}

impl DeviceHello {
    /// The uplink's audio, checked together with version and transport.
    ///
    /// # Errors
    /// [`HelloError`] names the field that cannot be served.
    pub fn check(&self) -> Result<AudioFormat, HelloError> {
        only("version", self.version, HELLO_VERSION)?;
        only("transport", &self.transport, TRANSPORT)?;
        self.audio_params.check()
    }
}

impl GatewayHello {
    /// The granted session, checked.
    ///
    /// # Errors
    /// [`HelloError`] names the field that cannot be used.
    pub fn check(&self) -> Result<AudioGrant, HelloError> {
        only("transport", &self.transport, TRANSPORT)?;
        only("udp.encryption", &self.udp.encryption, ENCRYPTION)?;
        Ok(AudioGrant {
            session_id: self.session_id.clone(),
            server: self.udp.server.clone(),
            port: self.udp.port,
            key: MediaKey::from_hex(&self.udp.key).map_err(HelloError::Key)?,
            nonce: NonceTemplate::from_hex(&self.udp.nonce).map_err(HelloError::Key)?,
            downlink: self.audio_params.check()?,
        })
    }
}

impl AudioGrant {
    /// The hello that grants this session.
    pub fn to_hello(&self) -> GatewayHello {
        GatewayHello {
            version: Some(HELLO_VERSION),
            session_id: self.session_id.clone(),
            transport: TRANSPORT.to_owned(),
            udp: UdpGrant {
                server: self.server.clone(),
                port: self.port,
                encryption: ENCRYPTION.to_owned(),
                key: self.key.to_hex(),
                nonce: self.nonce.to_hex(),
            },
            audio_params: self.downlink.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hellos_that_cannot_be_served_name_the_field() {
        let format = AudioFormat { sample_rate: SampleRate::HZ_16000, frame: FrameDuration::MS_60 };
        let good = DeviceHello::new(format, Features::default());
        assert_eq!(good.check(), Ok(format));
        let audio = |change: fn(&mut AudioParams)| {
            let mut hello = good.clone();
            change(&mut hello.audio_params);
            hello
        };
        for (hello, expected) in [
            (
                DeviceHello { version: 1, ..good.clone() },
                "hello: version is `1`, only `3` is served",
            ),
            (
                DeviceHello { transport: "websocket".into(), ..good.clone() },
                "hello: transport is `websocket`, only `udp` is served",
            ),
            (
                audio(|a| a.format = "pcm".into()),
                "hello: audio_params.format is `pcm`, only `opus` is served",
            ),
            (audio(|a| a.channels = 2), "hello: audio_params.channels is `2`, only `1` is served"),
            (
                audio(|a| a.frame_duration = 90),
                "hello: frame duration 90 ms: allowed are 20, 40 and 60 ms",
            ),
        ] {
            assert_eq!(hello.check().unwrap_err().to_string(), expected);
        }
    }
}
