//! Repeats the reference gateway's echo, to know its answers byte by byte.
//!
//! Holds for an echo of the same libopus that was given every frame of the session in order: both
//! codecs carry state. After a frame that the gateway never got, or dropped, the next four answers
//! or more differ, and many of the following seconds: the chain is worth nothing from there on. A
//! frame costs as much here as there, a third of a millisecond: for a few devices only.
//!
//! Source of what it repeats: `gateway/src/backend.rs`, down to the room that a packet may take.

use codec::{CodecError, Complexity, Decoder, Encoder, EncoderSettings};
use protocol::packet::{HEADER_LEN, MAX_DATAGRAM};
use protocol::{FrameDuration, SampleRate};

/// The rate at which the reference gateway answers.
const ECHO_RATE: SampleRate = SampleRate::HZ_24000;

/// The coders of one session of the reference gateway.
#[derive(Debug)]
pub struct GoldenChain {
    decoder: Decoder,
    encoder: Encoder,
    pcm: Box<[i16]>,
    answer: [u8; MAX_DATAGRAM - HEADER_LEN],
}

impl GoldenChain {
    /// The chain at the start of a session with frames of `frame`, for a gateway whose backend has
    /// `complexity`; `variable_bitrate` unless it sends packets of constant size.
    ///
    /// # Errors
    /// [`CodecError`] when there is no memory for a codec.
    pub fn new(
        frame: FrameDuration,
        complexity: Complexity,
        variable_bitrate: bool,
    ) -> Result<Self, CodecError> {
        let settings = EncoderSettings {
            sample_rate: ECHO_RATE,
            frame,
            complexity,
            variable_bitrate,
            ..EncoderSettings::gateway_downlink()
        };
        Ok(Self {
            decoder: Decoder::new(ECHO_RATE)?,
            encoder: Encoder::new(&settings)?,
            pcm: vec![0; settings.frame_samples()].into(),
            answer: [0; MAX_DATAGRAM - HEADER_LEN],
        })
    }

    /// The payload that answers `uplink_packet`, the next one of the session.
    ///
    /// # Errors
    /// [`CodecError`] when it is no packet of one frame duration: the gateway gives no answer.
    pub fn next(&mut self, uplink_packet: &[u8]) -> Result<&[u8], CodecError> {
        let samples = self.decoder.decode(uplink_packet, &mut self.pcm)?;
        // A shorter packet is no frame: the encoder says so.
        let len = self.encoder.encode(&self.pcm[..samples], &mut self.answer)?;
        Ok(&self.answer[..len])
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::spoken;
    use super::*;

    fn chain() -> GoldenChain {
        let complexity = EncoderSettings::gateway_downlink().complexity;
        GoldenChain::new(FrameDuration::MS_60, complexity, true).unwrap()
    }

    fn answers(chain: &mut GoldenChain, voice: usize, count: usize) -> Vec<Vec<u8>> {
        spoken(voice, 20, count).map(|packet| chain.next(packet).unwrap().to_vec()).collect()
    }

    #[test]
    fn chains_that_hear_the_same_agree_byte_by_byte() {
        assert_eq!(answers(&mut chain(), 3, 150), answers(&mut chain(), 3, 150));
    }

    /// Shared coders, the defect of production: one frame of another session between ours.
    #[test]
    fn a_chain_that_heard_another_stream_in_between_disagrees() {
        let (mut own, mut shared) = (chain(), chain());
        assert_eq!(answers(&mut own, 3, 10), answers(&mut shared, 3, 10));
        answers(&mut shared, 5, 1);
        let (own, shared) = (answers(&mut own, 3, 20), answers(&mut shared, 3, 20));
        let differing = own.iter().zip(&shared).filter(|(own, shared)| own != shared).count();
        assert!(differing >= 15, "{differing} of 20");
    }

    #[test]
    fn after_a_missed_frame_a_chain_disagrees_until_its_coders_have_forgotten() {
        let (mut whole, mut gap) = (chain(), chain());
        let mut differing = Vec::new();
        for (n, packet) in spoken(3, 20, 30).enumerate() {
            let expected = whole.next(packet).unwrap();
            if n != 10 && gap.next(packet).unwrap() != expected {
                differing.push(n);
            }
        }
        assert!(differing.starts_with(&[11, 12, 13, 14]), "{differing:?}");
        assert!(differing.len() >= 10, "{differing:?}");
    }

    #[test]
    fn settings_of_the_gateway_reach_the_encoder() {
        let mut usual = chain();
        let complexity = EncoderSettings::gateway_downlink().complexity;
        for (complexity, variable_bitrate) in [(Complexity::MIN, true), (complexity, false)] {
            let other = GoldenChain::new(FrameDuration::MS_60, complexity, variable_bitrate);
            assert_ne!(answers(&mut other.unwrap(), 3, 10), answers(&mut usual, 3, 10));
        }
    }

    #[test]
    fn what_is_no_frame_has_no_answer() {
        let mut twenty = GoldenChain::new(FrameDuration::MS_20, Complexity::MIN, true).unwrap();
        let sixty = spoken(3, 20, 1).next().unwrap();
        assert!(matches!(twenty.next(sixty), Err(CodecError::NoRoomForPcm { .. })));
        let short = twenty.next(&[]).unwrap_err();
        assert!(matches!(short, CodecError::Malformed(_)), "{short}");
        // SILK wideband of 20 ms where 60 ms are agreed.
        assert!(matches!(chain().next(&[9 << 3, 0]), Err(CodecError::FrameLength { .. })));
    }
}
