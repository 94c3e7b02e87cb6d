//! What the assistant says: one clip of speech, encoded when the gateway starts and replayed.
//!
//! Encoding takes a hundred milliseconds or so for all frame durations together; nothing is encoded
//! while devices are served.

use codec::{CodecError, Decoder, Encoder, EncoderSettings};
use ogg::PacketReader;
use protocol::packet::{HEADER_LEN, MAX_DATAGRAM};
use protocol::{FrameDuration, SampleRate};
use std::io::Cursor;

use crate::backend::BackendSettings;

/// The voice of the assistant: 16 kHz speech as Ogg Opus, one that comes with Din.
const CLIP: &[u8] = include_bytes!("../../scenarios/audio/04-susan.opus");
/// The rate at which devices are answered.
const RATE: SampleRate = SampleRate::HZ_24000;
/// A prime, so that the beginnings of turns are spread over the clip.
const STEP: u64 = 37;

/// The clip as packets, for each frame duration.
#[derive(Debug)]
pub(crate) struct SpeechClip {
    packets: Vec<(FrameDuration, Vec<Box<[u8]>>)>,
}

impl SpeechClip {
    /// Decodes the clip and encodes it as the backend encodes its answers.
    ///
    /// # Errors
    /// [`CodecError`] when there is no memory for a codec.
    pub(crate) fn encode(settings: &BackendSettings) -> Result<Self, CodecError> {
        let pcm = decode()?;
        let frames = [FrameDuration::MS_20, FrameDuration::MS_40, FrameDuration::MS_60];
        let packets = frames.into_iter().map(|frame| {
            let settings = EncoderSettings {
                sample_rate: RATE,
                frame,
                complexity: settings.complexity,
                ..EncoderSettings::gateway_downlink()
            };
            let (mut encoder, mut room) =
                (Encoder::new(&settings)?, [0; MAX_DATAGRAM - HEADER_LEN]);
            let packets = pcm.chunks_exact(settings.frame_samples()).map(|pcm| {
                let len = encoder.encode(pcm, &mut room)?;
                Ok(room[..len].into())
            });
            Ok((frame, packets.collect::<Result<Vec<_>, CodecError>>()?))
        });
        Ok(Self { packets: packets.collect::<Result<_, CodecError>>()? })
    }

    /// The packet of frame `index` of turn `turn`, from 0.
    pub(crate) fn packet(&self, frame: FrameDuration, turn: u64, index: u64) -> &[u8] {
        let packets = self.packets.iter().find(|(of, _)| *of == frame);
        let (_, packets) = packets.expect("there are packets of every frame duration");
        let at = (turn * STEP + index) % packets.len() as u64;
        &packets[usize::try_from(at).expect("below a length")]
    }
}

fn decode() -> Result<Vec<i16>, CodecError> {
    let mut reader = PacketReader::new(Cursor::new(CLIP));
    let mut decoder = Decoder::new(RATE)?;
    let (mut pcm, mut room) = (Vec::new(), [0; 2880]);
    let mut headers = 2;
    while let Some(packet) = reader.read_packet().expect("our own clip is whole") {
        if headers > 0 {
            headers -= 1;
            continue;
        }
        let samples = decoder.decode(&packet.data, &mut room)?;
        pcm.extend_from_slice(&room[..samples]);
    }
    Ok(pcm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::opus::PacketShape;

    #[test]
    fn every_frame_duration_has_seconds_of_well_formed_packets_that_repeat() {
        let clip = SpeechClip::encode(&BackendSettings::default()).unwrap();
        for frame in [FrameDuration::MS_20, FrameDuration::MS_40, FrameDuration::MS_60] {
            for index in 0..400 {
                let shape = PacketShape::parse(clip.packet(frame, 3, index)).unwrap();
                assert_eq!(shape.duration(), frame.as_duration());
            }
        }
        let of = |turn, index| clip.packet(FrameDuration::MS_60, turn, index);
        assert_eq!(of(0, 37), of(1, 0), "a turn begins where it begins");
        let different: std::collections::HashSet<_> = (0..100).map(|index| of(0, index)).collect();
        assert!(different.len() > 50, "speech, and not a tone: {}", different.len());
    }
}
