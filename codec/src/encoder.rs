//! From PCM to packets.

use audiopus::coder::{Encoder as OpusEncoder, GenericCtl};
use audiopus::{Channels, Signal};

use crate::{Application, CodecError, EncoderSettings, opus_rate};

/// Encodes one stream, frame after frame.
///
/// Two encoders with equal settings and input give equal bytes, as long as they are of the same
/// library version.
#[derive(Debug)]
pub struct Encoder {
    opus: OpusEncoder,
    frame_samples: usize,
}

impl Encoder {
    /// An encoder at the start of a stream.
    ///
    /// # Errors
    /// [`CodecError::Library`] when libopus is out of memory or does not know a setting.
    pub fn new(settings: &EncoderSettings) -> Result<Self, CodecError> {
        let application = match settings.application {
            Application::Audio => audiopus::Application::Audio,
            Application::Voip => audiopus::Application::Voip,
        };
        let opus = OpusEncoder::new(opus_rate(settings.sample_rate), Channels::Mono, application)
            .map_err(CodecError::library("create an encoder"))?;
        let mut encoder = Self { opus, frame_samples: settings.frame_samples() };
        encoder.apply(settings).map_err(CodecError::library("apply the encoder settings"))?;
        Ok(encoder)
    }

    /// Only audiopus's typed setters: its `set_encoder_ctl_request` takes any request number and
    /// hands libopus an integer where some requests want a pointer.
    fn apply(&mut self, settings: &EncoderSettings) -> audiopus::Result<()> {
        let bitrate = settings.bitrate.as_bits_per_second().map(i32::try_from);
        self.opus.set_bitrate(match bitrate {
            Some(bits) => audiopus::Bitrate::BitsPerSecond(bits.expect("at most 510000")),
            None => audiopus::Bitrate::Auto,
        })?;
        self.opus.set_complexity(settings.complexity.get())?;
        self.opus.set_vbr(settings.variable_bitrate)?;
        self.opus.set_dtx(settings.dtx)?;
        self.opus.set_inband_fec(settings.fec)?;
        self.opus.set_packet_loss_perc(if settings.fec { 10 } else { 0 })?;
        self.opus.set_signal(if settings.voice_signal { Signal::Voice } else { Signal::Auto })
    }

    /// Samples of one frame.
    pub fn frame_samples(&self) -> usize {
        self.frame_samples
    }

    /// Encodes one frame into `packet` and returns the bytes written.
    ///
    /// A packet never exceeds the room it is given; too little room, and the sound suffers. 1276
    /// bytes are enough for 60 ms at up to 170 kbit/s.
    ///
    /// # Errors
    /// [`CodecError::FrameLength`] when `pcm` is not exactly one frame,
    /// [`CodecError::NoRoomForPacket`] when `packet` is empty, and [`CodecError::Library`] when
    /// libopus cannot squeeze the frame into `packet`.
    pub fn encode(&mut self, pcm: &[i16], packet: &mut [u8]) -> Result<usize, CodecError> {
        if pcm.len() != self.frame_samples {
            return Err(CodecError::FrameLength { seen: pcm.len(), allowed: self.frame_samples });
        }
        if packet.is_empty() {
            return Err(CodecError::NoRoomForPacket);
        }
        self.opus.encode(pcm, packet).map_err(CodecError::library("encode a frame"))
    }

    /// Forgets the stream: the next frame is the first of another one.
    ///
    /// # Errors
    /// [`CodecError::Library`], which libopus gives no reason for.
    pub fn reset(&mut self) -> Result<(), CodecError> {
        self.opus.reset_state().map_err(CodecError::library("reset an encoder"))
    }

    /// How late the decoded sound is against the input, in samples of the input: 6.5 ms at the
    /// settings of device and gateway.
    ///
    /// # Errors
    /// [`CodecError::Library`], which libopus gives no reason for.
    pub fn lookahead_samples(&self) -> Result<usize, CodecError> {
        let samples = self.opus.lookahead().map_err(CodecError::library("tell its lookahead"))?;
        Ok(samples as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bitrate, Complexity, voice};
    use protocol::SampleRate;

    fn encode(settings: &EncoderSettings, pcm: &[i16]) -> Vec<Vec<u8>> {
        voice::packets(&mut Encoder::new(settings).unwrap(), pcm)
    }

    #[test]
    fn equal_encoders_give_equal_bytes_also_after_a_reset() {
        for settings in [EncoderSettings::firmware_uplink(), EncoderSettings::gateway_downlink()] {
            let pcm = voice::speak(140.0, settings.sample_rate, 10 * settings.frame_samples());
            let mut encoder = Encoder::new(&settings).unwrap();
            let first = voice::packets(&mut encoder, &pcm);
            assert_eq!(first, encode(&settings, &pcm));
            assert_ne!(first, voice::packets(&mut encoder, &pcm));
            encoder.reset().unwrap();
            assert_eq!(first, voice::packets(&mut encoder, &pcm));
        }
    }

    #[test]
    fn every_setting_reaches_the_library() {
        let (uplink, downlink) =
            (EncoderSettings::firmware_uplink(), EncoderSettings::gateway_downlink());
        let bitrate = Bitrate::from_bits_per_second(12_000).unwrap();
        for (usual, other) in [
            (uplink, EncoderSettings { bitrate, ..uplink }),
            (uplink, EncoderSettings { complexity: Complexity::MAX, ..uplink }),
            (uplink, EncoderSettings { application: Application::Voip, ..uplink }),
            (uplink, EncoderSettings { variable_bitrate: false, ..uplink }),
            (uplink, EncoderSettings { dtx: false, ..uplink }),
            (uplink, EncoderSettings { fec: true, ..uplink }),
            // The uplink is in speech mode by itself.
            (downlink, EncoderSettings { voice_signal: true, ..downlink }),
        ] {
            let mut pcm = voice::speak(140.0, usual.sample_rate, 20 * usual.frame_samples());
            pcm.resize(pcm.len() + 20 * usual.frame_samples(), 0);
            assert!(encode(&other, &pcm) != encode(&usual, &pcm), "{other:?}");
        }
    }

    #[test]
    fn silence_shrinks_to_two_bytes_with_discontinuous_transmission_only() {
        let with = EncoderSettings::firmware_uplink();
        let without = EncoderSettings { dtx: false, ..with };
        let silence = vec![0; 20 * with.frame_samples()];
        let shortest = |settings| {
            let packets = encode(&settings, &silence);
            packets[10..].iter().map(Vec::len).min()
        };
        assert!(shortest(with) <= Some(2), "{:?}", shortest(with));
        assert!(shortest(without) > Some(2), "{:?}", shortest(without));
    }

    #[test]
    fn anything_but_one_frame_and_some_room_is_refused() {
        let mut encoder = Encoder::new(&EncoderSettings::firmware_uplink()).unwrap();
        for seen in [0, 320, 959, 961, 1920] {
            let error = encoder.encode(&vec![0; seen], &mut [0; 1276]).unwrap_err();
            assert_eq!(error, CodecError::FrameLength { seen, allowed: 960 });
            assert_eq!(error.to_string(), format!("{seen} samples to encode: a frame has 960"));
        }
        assert_eq!(encoder.encode(&[0; 960], &mut []), Err(CodecError::NoRoomForPacket));
    }

    #[test]
    fn a_packet_stays_within_its_room() {
        let settings = EncoderSettings::firmware_uplink();
        let pcm = voice::speak(140.0, settings.sample_rate, settings.frame_samples());
        for room in [1, 2, 3, 20, 1276] {
            let mut encoder = Encoder::new(&settings).unwrap();
            let mut memory = [0xAA; 1300];
            if let Ok(len) = encoder.encode(&pcm, &mut memory[..room]) {
                assert!((1..=room).contains(&len), "{len} bytes in {room}");
            }
            assert!(memory[room..].iter().all(|&byte| byte == 0xAA));
        }
    }

    #[test]
    fn the_lookahead_is_6_5_ms() {
        let lookahead = |settings| Encoder::new(&settings).unwrap().lookahead_samples();
        assert_eq!(lookahead(EncoderSettings::firmware_uplink()), Ok(104));
        assert_eq!(lookahead(EncoderSettings::gateway_downlink()), Ok(156));
        let sample_rate = SampleRate::from_hertz(48_000).unwrap();
        let fullband = EncoderSettings { sample_rate, ..EncoderSettings::gateway_downlink() };
        assert_eq!(lookahead(fullband), Ok(312));
    }
}
