//! Numbers that carry their meaning: identifiers, counters and audio quantities of the wire.

use std::fmt;
use std::time::Duration;

/// A number that is not one of those the protocol knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnitError {
    /// A frame duration that is not 20, 40 or 60 ms; carries the milliseconds seen.
    FrameDuration(u64),
    /// A sampling rate that Opus does not take; carries the hertz seen.
    SampleRate(u64),
}

impl fmt::Display for UnitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FrameDuration(seen) => {
                write!(f, "frame duration {seen} ms: allowed are 20, 40 and 60 ms")
            }
            Self::SampleRate(seen) => write!(
                f,
                "sample rate {seen} Hz: allowed are 8000, 12000, 16000, 24000 and 48000 Hz"
            ),
        }
    }
}

impl std::error::Error for UnitError {}

/// The connection id in every media packet, handed out by the gateway inside the nonce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ssrc(u32);

impl Ssrc {
    /// Any 32-bit number is an ssrc.
    pub const fn new(ssrc: u32) -> Self {
        Self(ssrc)
    }

    /// The number on the wire.
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Ssrc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// Position of a media packet in its direction of a session; the first packet is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(u32);

impl Sequence {
    /// The sequence of the first packet.
    pub const FIRST: Sequence = Sequence(1);

    /// Any 32-bit number can arrive.
    pub const fn new(sequence: u32) -> Self {
        Self(sequence)
    }

    /// The number on the wire.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The sequence of the packet after this one; wraps after 2³² packets (8 years of 60 ms).
    #[must_use]
    pub const fn next(self) -> Sequence {
        Sequence(self.0.wrapping_add(1))
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Media time of a packet in milliseconds, as the sender stamps it; wraps after 49.7 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MediaTimestamp(u32);

impl MediaTimestamp {
    /// Any 32-bit number can arrive; old firmware always sends 0.
    pub const fn from_millis(millis: u32) -> Self {
        Self(millis)
    }

    /// Milliseconds on the wire.
    pub const fn as_millis(self) -> u32 {
        self.0
    }
}

impl fmt::Display for MediaTimestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// How much audio one packet carries: 20, 40 or 60 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameDuration(u8);

impl FrameDuration {
    /// 20 ms.
    pub const MS_20: FrameDuration = FrameDuration(20);
    /// 40 ms.
    pub const MS_40: FrameDuration = FrameDuration(40);
    /// 60 ms, the default of device and gateway.
    pub const MS_60: FrameDuration = FrameDuration(60);

    /// A frame of `millis` milliseconds.
    ///
    /// # Errors
    /// [`UnitError::FrameDuration`] for anything but 20, 40 and 60.
    pub fn from_millis(millis: u64) -> Result<Self, UnitError> {
        match millis {
            20 => Ok(Self(20)),
            40 => Ok(Self(40)),
            60 => Ok(Self(60)),
            other => Err(UnitError::FrameDuration(other)),
        }
    }

    /// Milliseconds: 20, 40 or 60.
    pub const fn as_millis(self) -> u32 {
        self.0 as u32
    }

    /// The same as a span of time.
    pub const fn as_duration(self) -> Duration {
        Duration::from_millis(self.0 as u64)
    }

    /// Samples per channel in one frame at `rate`.
    pub const fn samples_at(self, rate: SampleRate) -> usize {
        (rate.as_hertz() / 1000 * self.as_millis()) as usize
    }

    /// Frames per second.
    pub fn frames_per_second(self) -> f64 {
        1000.0 / f64::from(self.0)
    }
}

impl fmt::Display for FrameDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

/// Samples per second of an audio stream, one of the five that Opus takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SampleRate(u32);

impl SampleRate {
    /// 16 kHz, the device's microphone.
    pub const HZ_16000: SampleRate = SampleRate(16_000);
    /// 24 kHz, the device's loudspeaker.
    pub const HZ_24000: SampleRate = SampleRate(24_000);

    /// A rate of `hertz` samples per second.
    ///
    /// # Errors
    /// [`UnitError::SampleRate`] for anything but 8000, 12000, 16000, 24000 and 48000.
    pub fn from_hertz(hertz: u64) -> Result<Self, UnitError> {
        match u32::try_from(hertz) {
            Ok(rate @ (8_000 | 12_000 | 16_000 | 24_000 | 48_000)) => Ok(Self(rate)),
            _ => Err(UnitError::SampleRate(hertz)),
        }
    }

    /// Samples per second.
    pub const fn as_hertz(self) -> u32 {
        self.0
    }
}

impl fmt::Display for SampleRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frame_durations_and_rates_outside_the_protocol_are_refused_with_what_is_allowed() {
        for refused in [0, 10, 30, 61, 120, 300] {
            let error = FrameDuration::from_millis(refused).unwrap_err().to_string();
            assert!(error.contains(&format!("{refused} ms: allowed are 20, 40 and 60")), "{error}");
        }
        for refused in [0, 44_100, u64::MAX] {
            let error = SampleRate::from_hertz(refused).unwrap_err().to_string();
            assert!(error.contains("allowed are 8000"), "{error}");
        }
    }

    #[test]
    fn a_frame_holds_rate_times_duration_samples() {
        assert_eq!(FrameDuration::MS_60.samples_at(SampleRate::HZ_16000), 960);
        assert_eq!(FrameDuration::MS_60.samples_at(SampleRate::HZ_24000), 1440);
        assert_eq!(FrameDuration::MS_20.samples_at(SampleRate::HZ_24000), 480);
    }

    #[test]
    fn the_sequence_wraps() {
        assert_eq!(Sequence::new(u32::MAX).next(), Sequence::new(0));
        assert_eq!(Sequence::FIRST.next(), Sequence::new(2));
    }
}
