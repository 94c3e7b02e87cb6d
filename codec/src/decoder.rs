//! From packets to PCM.

use std::time::Duration;

use audiopus::coder::{Decoder as OpusDecoder, GenericCtl};
use audiopus::packet::Packet;
use audiopus::{Channels, MutSignals};
use protocol::SampleRate;
use protocol::opus::PacketShape;

use crate::{CodecError, opus_rate};

/// 120 ms, the longest packet, in steps of 2.5 ms.
pub(crate) const LONGEST_GAP_STEPS: usize = 48;

/// Decodes one stream, packet after packet.
#[derive(Debug)]
pub struct Decoder {
    opus: OpusDecoder,
    rate: SampleRate,
}

impl Decoder {
    /// A decoder at the start of a stream, giving `rate` samples per second whatever rate the
    /// stream was encoded from; one channel, to which stereo is mixed down.
    ///
    /// # Errors
    /// [`CodecError::Library`] when libopus is out of memory.
    pub fn new(rate: SampleRate) -> Result<Self, CodecError> {
        let opus = OpusDecoder::new(opus_rate(rate), Channels::Mono)
            .map_err(CodecError::library("create a decoder"))?;
        Ok(Self { opus, rate })
    }

    /// Decodes `packet` into the beginning of `pcm` and returns the samples written.
    ///
    /// # Errors
    /// [`CodecError::Malformed`] when the bytes are no Opus packet, [`CodecError::NoRoomForPcm`]
    /// when `pcm` is shorter than the packet's audio (120 ms is enough for any), and
    /// [`CodecError::Library`] for what libopus alone can see.
    pub fn decode(&mut self, packet: &[u8], pcm: &mut [i16]) -> Result<usize, CodecError> {
        let shape = PacketShape::parse(packet).map_err(CodecError::Malformed)?;
        let needed = samples(shape.duration(), self.rate);
        if pcm.len() < needed {
            return Err(CodecError::NoRoomForPcm { seen: pcm.len(), needed });
        }
        self.run(Some(packet), &mut pcm[..needed], "decode a packet")
    }

    /// Fills `pcm` with what a lost packet may have sounded like: a fading continuation, silence
    /// at the start of a stream.
    ///
    /// # Errors
    /// [`CodecError::GapLength`] when `pcm` is not a multiple of 2.5 ms up to 120 ms.
    pub fn conceal(&mut self, pcm: &mut [i16]) -> Result<(), CodecError> {
        let step = samples(Duration::from_micros(2500), self.rate);
        let seen = pcm.len();
        // Beyond 120 ms libopus would take as much stack as it is asked for.
        if seen == 0 || !seen.is_multiple_of(step) || seen / step > LONGEST_GAP_STEPS {
            return Err(CodecError::GapLength { seen, step });
        }
        self.run(None, pcm, "conceal a gap")?;
        Ok(())
    }

    /// Forgets the stream: the next packet is the first of another one.
    ///
    /// # Errors
    /// [`CodecError::Library`], which libopus gives no reason for.
    pub fn reset(&mut self) -> Result<(), CodecError> {
        self.opus.reset_state().map_err(CodecError::library("reset a decoder"))
    }

    fn run(
        &mut self,
        packet: Option<&[u8]>,
        pcm: &mut [i16],
        operation: &'static str,
    ) -> Result<usize, CodecError> {
        // An empty packet is no way to say "lost": audiopus refuses to make one.
        let packet = packet.map(Packet::try_from).transpose();
        packet
            .and_then(|packet| self.opus.decode(packet, MutSignals::try_from(pcm)?, false))
            .map_err(CodecError::library(operation))
    }
}

/// Samples in `span`; exact for every multiple of 2.5 ms.
fn samples(span: Duration, rate: SampleRate) -> usize {
    let samples = span.as_micros() * u128::from(rate.as_hertz()) / 1_000_000;
    usize::try_from(samples).expect("at most 120 ms")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Encoder, EncoderSettings, voice};
    use proptest::prelude::*;
    use protocol::opus::MalformedPacket;

    const RATE: SampleRate = SampleRate::HZ_24000;
    const FRAME: usize = 1440;
    const FRAMES: usize = 20;

    /// The uplink packets of a voice of this pitch.
    fn packets(pitch_hz: f64) -> Vec<Vec<u8>> {
        packets_with(EncoderSettings::firmware_uplink(), pitch_hz)
    }

    fn packets_with(settings: EncoderSettings, pitch_hz: f64) -> Vec<Vec<u8>> {
        let mut encoder = Encoder::new(&settings).unwrap();
        let pcm = voice::speak(pitch_hz, settings.sample_rate, FRAMES * settings.frame_samples());
        voice::packets(&mut encoder, &pcm)
    }

    fn decode(decoder: &mut Decoder, packet: &[u8]) -> Vec<i16> {
        let mut pcm = vec![0; FRAME];
        assert_eq!(decoder.decode(packet, &mut pcm), Ok(FRAME));
        pcm
    }

    /// A decoder that has heard the first `count` packets.
    fn after(packets: &[Vec<u8>], count: usize) -> Decoder {
        let mut decoder = Decoder::new(RATE).unwrap();
        for packet in &packets[..count] {
            decode(&mut decoder, packet);
        }
        decoder
    }

    #[test]
    fn a_voice_sent_at_16_khz_is_heard_at_24_khz() {
        let mut decoder = Decoder::new(RATE).unwrap();
        let heard: Vec<i16> =
            packets(140.0).iter().flat_map(|packet| decode(&mut decoder, packet)).collect();
        let spoken = voice::speak(140.0, RATE, FRAMES * FRAME);
        // The codec needs some frames to settle; its delay is some milliseconds.
        let settled = &heard[5 * FRAME..];
        let best = (0..FRAME / 2)
            .map(|delay| voice::correlation(settled, &spoken[5 * FRAME - delay..]))
            .fold(0.0, f64::max);
        assert!(best > 0.8, "correlation {best}");
        let stranger = voice::speak(190.0, RATE, FRAMES * FRAME);
        assert!(voice::correlation(settled, &stranger[5 * FRAME..]).abs() < 0.5);
    }

    #[test]
    fn a_packet_decodes_rightly_only_with_the_state_of_its_own_stream() {
        for settings in [EncoderSettings::firmware_uplink(), EncoderSettings::gateway_downlink()] {
            let (ours, theirs) = (packets_with(settings, 140.0), packets_with(settings, 190.0));
            let next = &theirs[FRAMES - 1];
            let right = decode(&mut after(&theirs, FRAMES - 1), next);
            assert!(right == decode(&mut after(&theirs, FRAMES - 1), next));
            let other_stream = decode(&mut after(&ours, FRAMES - 1), next);
            let no_stream = decode(&mut Decoder::new(RATE).unwrap(), next);
            let skipped_one = decode(&mut after(&theirs, FRAMES - 2), next);
            for wrong in [other_stream, no_stream, skipped_one] {
                assert!(wrong != right);
            }
        }
    }

    #[test]
    fn a_reset_decoder_is_like_a_new_one() {
        let packets = packets(140.0);
        let mut decoder = after(&packets, FRAMES);
        decoder.reset().unwrap();
        assert_eq!(decode(&mut decoder, &packets[0]), decode(&mut after(&packets, 0), &packets[0]));
    }

    #[test]
    fn a_gap_is_silent_at_first_and_continues_the_voice_later() {
        let mut pcm = [7; FRAME];
        Decoder::new(RATE).unwrap().conceal(&mut pcm).unwrap();
        assert_eq!(pcm, [0; FRAME]);
        let packets = packets(140.0);
        after(&packets, FRAMES).conceal(&mut pcm).unwrap();
        assert!(pcm.iter().any(|sample| sample.abs() > 1000));
    }

    #[test]
    fn what_cannot_be_decoded_or_concealed_is_refused_with_what_could() {
        let mut decoder = Decoder::new(RATE).unwrap();
        let mut pcm = vec![0; 3000];
        let empty = CodecError::Malformed(MalformedPacket::Empty);
        assert_eq!(decoder.decode(&[], &mut pcm), Err(empty));
        let packet = &packets(140.0)[0];
        let error = decoder.decode(packet, &mut pcm[..1439]).unwrap_err();
        assert_eq!(error.to_string(), "room for 1439 samples: the packet holds 1440");
        assert_eq!(decoder.decode(packet, &mut pcm), Ok(FRAME));
        for seen in [0, 59, 61, 2940] {
            let error = decoder.conceal(&mut pcm[..seen]).unwrap_err().to_string();
            let expected = "samples to conceal: allowed are multiples of 60 up to 2880";
            assert_eq!(error, format!("{seen} {expected}"));
        }
        decoder.conceal(&mut pcm[..2880]).unwrap();
    }

    proptest! {
        /// Also: the shape of a packet and libopus agree on what a packet is.
        #[test]
        fn arbitrary_bytes_never_panic_and_well_formed_ones_decode(
            packets in proptest::collection::vec(
                proptest::collection::vec(any::<u8>(), 0..300), 1..8),
            hertz in proptest::sample::select(vec![8_000, 12_000, 16_000, 24_000, 48_000]),
        ) {
            let rate = SampleRate::from_hertz(hertz).unwrap();
            let mut decoder = Decoder::new(rate).unwrap();
            let mut pcm = vec![0; samples(Duration::from_millis(120), rate)];
            for packet in packets {
                match (decoder.decode(&packet, &mut pcm), PacketShape::parse(&packet)) {
                    (Ok(len), Ok(shape)) => prop_assert_eq!(len, samples(shape.duration(), rate)),
                    (Err(CodecError::Malformed(seen)), Err(malformed)) => {
                        prop_assert_eq!(seen, malformed);
                    }
                    disagreement => prop_assert!(false, "{disagreement:?} {packet:?}"),
                }
            }
        }

        #[test]
        fn the_shape_refuses_nothing_that_libopus_takes(
            packet in proptest::collection::vec(any::<u8>(), 1..300),
        ) {
            let mut decoder = Decoder::new(RATE).unwrap();
            let taken = decoder.run(Some(&packet), &mut [0; 2880], "decode a packet").is_ok();
            prop_assert_eq!(taken, PacketShape::parse(&packet).is_ok());
        }
    }
}
