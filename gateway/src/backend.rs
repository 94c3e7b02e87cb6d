//! What the gateway does with audio: turns a device's packet into the packet that answers it.

use std::error::Error;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use codec::{CodecError, Complexity, Decoder, Encoder, EncoderSettings};
use protocol::control::AudioFormat;
use protocol::packet::{HEADER_LEN, MAX_DATAGRAM};
use protocol::{FrameDuration, SampleRate};
use serde::{Deserialize, Deserializer, Serialize, de};

use crate::assistant::AssistantSettings;
use crate::counters::DropCause;
use crate::duration_text;

/// The rate at which `echo` answers, whatever the device sends: the device's loudspeaker.
const ECHO_RATE: SampleRate = SampleRate::HZ_24000;

/// Which backend answers, and how much work it takes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackendSettings {
    /// What is done with audio; `echo`.
    pub kind: Backend,
    /// Work that the encoder of `echo` spends on a frame, 0 to 10; 5. A frame of 60 ms costs about
    /// 0.15 ms of a core at 0, 0.28 ms at 5 and 0.39 ms at 10 (our voices, libopus 1.3.1).
    #[serde(deserialize_with = "complexity")]
    pub complexity: Complexity,
    /// How long after its frame arrived an answer leaves, exactly: a list of up to 16 times of at
    /// most 2 s, for one frame after the other in turns; empty, and then answers leave when they are
    /// made. A known delay shows what a measurement is worth.
    #[serde(deserialize_with = "delays")]
    pub delay: Vec<Duration>,
    /// How `assistant` takes its turns.
    pub assistant: AssistantSettings,
}

/// The longest delay, and the most of them.
pub(crate) const LONGEST_DELAY: Duration = Duration::from_secs(2);
pub(crate) const MOST_DELAYS: usize = 16;

fn delays<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Duration>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| duration_text::parse(text).map_err(de::Error::custom)).collect()
}

impl Default for BackendSettings {
    fn default() -> Self {
        Self {
            kind: Backend::Echo,
            complexity: EncoderSettings::gateway_downlink().complexity,
            delay: Vec::new(),
            assistant: AssistantSettings::default(),
        }
    }
}

fn complexity<'de, D: Deserializer<'de>>(from: D) -> Result<Complexity, D::Error> {
    Complexity::new(u64::deserialize(from)?).map_err(de::Error::custom)
}

/// A kind of backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Returns each packet as it is, encrypted anew: no codec.
    Relay,
    /// Decodes each packet to PCM at 24 kHz and encodes that for the device.
    Echo,
    /// Decodes each packet and answers none; speaks when the device has listened.
    Assistant,
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Relay => "relay",
            Self::Echo => "echo",
            Self::Assistant => "assistant",
        })
    }
}

/// A name that no backend has; carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownBackend(String);

impl fmt::Display for UnknownBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no backend: there are relay, echo and assistant", self.0)
    }
}

impl Error for UnknownBackend {}

impl FromStr for Backend {
    type Err = UnknownBackend;

    fn from_str(name: &str) -> Result<Self, UnknownBackend> {
        [Self::Relay, Self::Echo, Self::Assistant]
            .into_iter()
            .find(|backend| backend.to_string() == name)
            .ok_or_else(|| UnknownBackend(name.to_owned()))
    }
}

/// The audio state of one session, seen by one worker at a time.
#[derive(Debug)]
pub(crate) enum BackendSession {
    Relay,
    Echo { decoder: Decoder, encoder: Encoder, frame_samples: usize },
    Assistant { decoder: Decoder, frame_samples: usize },
}

/// Room that a worker lends to the session it runs; nothing in it outlives a frame.
#[derive(Debug)]
pub(crate) struct Scratch {
    pcm: Vec<i16>,
    datagram: [u8; MAX_DATAGRAM],
}

impl Scratch {
    pub(crate) fn new() -> Self {
        let longest = FrameDuration::MS_60.samples_at(ECHO_RATE);
        Self { pcm: vec![0; longest], datagram: [0; MAX_DATAGRAM] }
    }
}

impl BackendSession {
    /// The state for a device that sends `uplink`, and the audio with which it will be answered, in
    /// packets of constant size where `variable_bitrate` is not wanted.
    ///
    /// # Errors
    /// [`CodecError`] when there is no memory for a codec.
    pub(crate) fn open(
        settings: &BackendSettings,
        uplink: AudioFormat,
        variable_bitrate: bool,
    ) -> Result<(Self, AudioFormat), CodecError> {
        match settings.kind {
            Backend::Relay => Ok((Self::Relay, uplink)),
            Backend::Assistant => {
                let frame_samples = uplink.frame.samples_at(ECHO_RATE);
                let session = Self::Assistant { decoder: Decoder::new(ECHO_RATE)?, frame_samples };
                Ok((session, AudioFormat { sample_rate: ECHO_RATE, frame: uplink.frame }))
            }
            Backend::Echo => {
                let encoder = EncoderSettings {
                    sample_rate: ECHO_RATE,
                    frame: uplink.frame,
                    complexity: settings.complexity,
                    variable_bitrate,
                    ..EncoderSettings::gateway_downlink()
                };
                let session = Self::Echo {
                    decoder: Decoder::new(ECHO_RATE)?,
                    encoder: Encoder::new(&encoder)?,
                    frame_samples: encoder.frame_samples(),
                };
                Ok((session, AudioFormat { sample_rate: ECHO_RATE, frame: uplink.frame }))
            }
        }
    }

    /// Whether a frame takes a codec.
    pub(crate) fn has_codec(&self) -> bool {
        matches!(self, Self::Echo { .. } | Self::Assistant { .. })
    }

    /// Whether each frame has its answer.
    pub(crate) fn answers(&self) -> bool {
        !matches!(self, Self::Assistant { .. })
    }

    /// Hears an opened datagram of the uplink, which is not answered.
    ///
    /// # Errors
    /// [`DropCause`] when the codec refuses it.
    pub(crate) fn hear(&mut self, uplink: &[u8], scratch: &mut Scratch) -> Result<(), DropCause> {
        let (Self::Echo { decoder, frame_samples, .. }
        | Self::Assistant { decoder, frame_samples }) = self
        else {
            return Ok(());
        };
        let decoded = decoder.decode(&uplink[HEADER_LEN..], &mut scratch.pcm);
        if decoded.ok() == Some(*frame_samples) { Ok(()) } else { Err(DropCause::DecodeFailed) }
    }

    /// Turns an opened datagram of the uplink into one of the downlink, of which only the header
    /// and the cipher are missing.
    ///
    /// # Errors
    /// [`DropCause`] when the codec refuses; the next frame may be answered all the same.
    pub(crate) fn answer<'a>(
        &mut self,
        uplink: &'a mut [u8],
        scratch: &'a mut Scratch,
    ) -> Result<&'a mut [u8], DropCause> {
        match self {
            Self::Relay | Self::Assistant { .. } => Ok(uplink),
            Self::Echo { decoder, encoder, frame_samples } => {
                let decoded = decoder.decode(&uplink[HEADER_LEN..], &mut scratch.pcm);
                if decoded.ok() != Some(*frame_samples) {
                    return Err(DropCause::DecodeFailed);
                }
                let pcm = &scratch.pcm[..*frame_samples];
                let encoded = encoder.encode(pcm, &mut scratch.datagram[HEADER_LEN..]);
                let payload = encoded.map_err(|_| DropCause::EncodeFailed)?;
                Ok(&mut scratch.datagram[..HEADER_LEN + payload])
            }
        }
    }
}

/// Coders of a worker that all sessions share which it runs: production's defect, where streams
/// damage each other. One for each frame duration.
#[derive(Debug)]
pub(crate) struct SharedCoders {
    settings: BackendSettings,
    coders: Vec<(FrameDuration, BackendSession)>,
}

impl SharedCoders {
    pub(crate) fn new(settings: BackendSettings) -> Self {
        Self { settings, coders: Vec::new() }
    }

    /// The coders for frames of `uplink`; `None` when there is no memory for them.
    pub(crate) fn of(&mut self, uplink: AudioFormat) -> Option<&mut BackendSession> {
        let known = self.coders.iter().position(|(frame, _)| *frame == uplink.frame);
        let index = known.unwrap_or(self.coders.len());
        if known.is_none() {
            let (coders, _) = BackendSession::open(&self.settings, uplink, true).ok()?;
            self.coders.push((uplink.frame, coders));
        }
        Some(&mut self.coders[index].1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::opus::PacketShape;

    /// One datagram of a device, opened: room for a header and a packet of a quiet tone.
    fn uplink(frame: FrameDuration) -> Vec<u8> {
        let settings = EncoderSettings { frame, ..EncoderSettings::firmware_uplink() };
        let tone: Vec<i16> = (0..settings.frame_samples())
            .map(|n| i16::try_from(n % 40).expect("small") * 100)
            .collect();
        let mut datagram = vec![0; MAX_DATAGRAM];
        let packet = &mut datagram[HEADER_LEN..];
        let len = Encoder::new(&settings).unwrap().encode(&tone, packet).unwrap();
        datagram.truncate(HEADER_LEN + len);
        datagram
    }

    fn open(kind: Backend, frame: FrameDuration) -> (BackendSession, AudioFormat) {
        let settings = BackendSettings { kind, ..BackendSettings::default() };
        let uplink = AudioFormat { sample_rate: SampleRate::HZ_16000, frame };
        BackendSession::open(&settings, uplink, true).unwrap()
    }

    #[test]
    fn echo_answers_at_24_khz_with_frames_as_long_as_the_devices() {
        for millis in [20, 40, 60] {
            let frame = FrameDuration::from_millis(millis).unwrap();
            let (mut session, downlink) = open(Backend::Echo, frame);
            assert_eq!(downlink, AudioFormat { sample_rate: SampleRate::HZ_24000, frame });
            let (mut datagram, mut scratch) = (uplink(frame), Scratch::new());
            let answer = session.answer(&mut datagram, &mut scratch).unwrap();
            let shape = PacketShape::parse(&answer[HEADER_LEN..]).unwrap();
            assert_eq!(shape.duration(), Duration::from_millis(millis));
        }
    }

    #[test]
    fn relay_announces_and_returns_what_the_device_sent() {
        let (mut session, downlink) = open(Backend::Relay, FrameDuration::MS_60);
        assert_eq!(downlink.sample_rate, SampleRate::HZ_16000);
        let mut datagram = uplink(FrameDuration::MS_60);
        let sent = datagram.clone();
        assert_eq!(session.answer(&mut datagram, &mut Scratch::new()), Ok(&mut sent.clone()[..]));
    }

    #[test]
    fn what_the_decoder_refuses_is_named_and_leaves_the_session_usable() {
        let (mut session, _) = open(Backend::Echo, FrameDuration::MS_60);
        let mut scratch = Scratch::new();
        let mut twenty = uplink(FrameDuration::MS_20);
        assert_eq!(session.answer(&mut twenty, &mut scratch), Err(DropCause::DecodeFailed));
        let mut empty = vec![0; HEADER_LEN];
        assert_eq!(session.answer(&mut empty, &mut scratch), Err(DropCause::DecodeFailed));
        assert!(session.answer(&mut uplink(FrameDuration::MS_60), &mut scratch).is_ok());
    }

    #[test]
    fn backends_have_names() {
        for backend in [Backend::Relay, Backend::Echo, Backend::Assistant] {
            assert_eq!(backend.to_string().parse(), Ok(backend));
        }
        let error = "websocket".parse::<Backend>().unwrap_err().to_string();
        assert_eq!(error, "`websocket` is no backend: there are relay, echo and assistant");
    }
}
