//! How a stream is encoded.

use std::fmt;

use protocol::{FrameDuration, SampleRate};

/// Everything that decides what an encoder makes of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of libopus by itself")]
pub struct EncoderSettings {
    /// Samples per second of the input; one channel.
    pub sample_rate: SampleRate,
    /// Audio in each packet.
    pub frame: FrameDuration,
    /// Bits to spend.
    pub bitrate: Bitrate,
    /// Work to spend: more of it sounds better at the same bitrate.
    pub complexity: Complexity,
    /// What to optimise for.
    pub application: Application,
    /// Lets packets differ in size as the sound demands.
    pub variable_bitrate: bool,
    /// Discontinuous transmission: shrinks the packets of silence to one byte or two, which
    /// decoders fill in. All of them are still sent.
    pub dtx: bool,
    /// In-band forward error correction: packets repeat a coarse copy of the frame before, as for a
    /// network that loses 10 % (libopus spends nothing on one that loses none). Speech mode only.
    pub fec: bool,
    /// Tells the encoder that it hears speech. Without the hint it judges for itself, and may pick
    /// the music mode (CELT), which costs a fraction of the processor time: measurements compare
    /// only when this is the same in both, and the packets' table-of-contents byte shows the mode.
    pub voice_signal: bool,
}

impl EncoderSettings {
    /// What the device does: 16 kHz, 60 ms, complexity 0, DTX; no hint that it hears speech.
    ///
    /// Source: 78/xiaozhi-esp32, `main/audio/audio_service.h`, `AS_OPUS_ENC_CONFIG`.
    pub fn firmware_uplink() -> Self {
        Self {
            sample_rate: SampleRate::HZ_16000,
            frame: FrameDuration::MS_60,
            bitrate: Bitrate::AUTO,
            complexity: Complexity::MIN,
            application: Application::Audio,
            variable_bitrate: true,
            dtx: true,
            fec: false,
            voice_signal: false,
        }
    }

    /// What our gateway does: 24 kHz, 60 ms, complexity 5, no DTX; no hint that it hears speech,
    /// which at this bitrate means music mode in libopus 1.3.1.
    pub fn gateway_downlink() -> Self {
        Self {
            sample_rate: SampleRate::HZ_24000,
            complexity: Complexity(5),
            dtx: false,
            ..Self::firmware_uplink()
        }
    }

    /// Samples in the frame that each call of the encoder takes.
    pub fn frame_samples(&self) -> usize {
        self.frame.samples_at(self.sample_rate)
    }
}

/// What the encoder optimises for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Application {
    /// Faithfulness to the input, whatever it is.
    Audio,
    /// Intelligible speech.
    Voip,
}

/// Bits per second of a stream: 6000 to 510000, or left to the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bitrate(Option<u32>);

impl Bitrate {
    /// libopus decides by sample rate and frame duration: for 60 ms, 17 kbit/s at 16 kHz and 25
    /// kbit/s at 24 kHz.
    pub const AUTO: Bitrate = Bitrate(None);

    /// A fixed target of `bits_per_second`.
    ///
    /// # Errors
    /// [`SettingsError::Bitrate`] outside 6000 to 510000, the range that Opus is made for.
    pub fn from_bits_per_second(bits_per_second: u64) -> Result<Self, SettingsError> {
        match u32::try_from(bits_per_second) {
            Ok(bits @ 6_000..=510_000) => Ok(Self(Some(bits))),
            _ => Err(SettingsError::Bitrate(bits_per_second)),
        }
    }

    /// The target in bits per second; `None` when left to the encoder.
    pub const fn as_bits_per_second(self) -> Option<u32> {
        self.0
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bits) => write!(f, "{bits} bit/s"),
            None => f.write_str("auto"),
        }
    }
}

/// Work that the encoder spends on a frame: 0, the cheapest, to 10, the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Complexity(u8);

impl Complexity {
    /// 0, what the device can afford.
    pub const MIN: Complexity = Complexity(0);
    /// 10, some five times the work of 0.
    pub const MAX: Complexity = Complexity(10);

    /// The complexity `level`.
    ///
    /// # Errors
    /// [`SettingsError::Complexity`] above 10.
    pub fn new(level: u64) -> Result<Self, SettingsError> {
        match u8::try_from(level) {
            Ok(level @ 0..=10) => Ok(Self(level)),
            _ => Err(SettingsError::Complexity(level)),
        }
    }

    /// The level: 0 to 10.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Complexity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A number that Opus has no setting for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SettingsError {
    /// A bitrate out of range; carries the bits per second seen.
    Bitrate(u64),
    /// A complexity out of range; carries the level seen.
    Complexity(u64),
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bitrate(seen) => {
                write!(f, "bitrate {seen} bit/s: allowed are 6000 to 510000 bit/s")
            }
            Self::Complexity(seen) => write!(f, "complexity {seen}: allowed are 0 to 10"),
        }
    }
}

impl std::error::Error for SettingsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_are_refused_with_what_is_allowed() {
        for bits in [6_000, 24_000, 510_000] {
            let bitrate = Bitrate::from_bits_per_second(bits).unwrap();
            assert_eq!(bitrate.to_string(), format!("{bits} bit/s"));
        }
        for bits in [0, 5_999, 510_001, u64::MAX] {
            let error = Bitrate::from_bits_per_second(bits).unwrap_err().to_string();
            assert_eq!(error, format!("bitrate {bits} bit/s: allowed are 6000 to 510000 bit/s"));
        }
        assert_eq!(Complexity::new(0), Ok(Complexity::MIN));
        assert_eq!(Complexity::new(10), Ok(Complexity::MAX));
        for level in [11, 256, u64::MAX] {
            let error = Complexity::new(level).unwrap_err().to_string();
            assert_eq!(error, format!("complexity {level}: allowed are 0 to 10"));
        }
    }
}
