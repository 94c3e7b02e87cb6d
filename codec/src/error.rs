//! What can go wrong between PCM and packets.

use std::error::Error;
use std::fmt;

use protocol::opus::MalformedPacket;

/// A call that the codec refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CodecError {
    /// PCM to be encoded that is not one frame.
    FrameLength {
        /// Samples given.
        seen: usize,
        /// Samples of one frame.
        allowed: usize,
    },
    /// No room at all for the encoded packet.
    NoRoomForPacket,
    /// Bytes that are no Opus packet.
    Malformed(MalformedPacket),
    /// Less room for PCM than the packet holds.
    NoRoomForPcm {
        /// Samples there is room for.
        seen: usize,
        /// Samples in the packet.
        needed: usize,
    },
    /// A gap to be concealed that is not a multiple of 2.5 ms up to 120 ms.
    GapLength {
        /// Samples asked for.
        seen: usize,
        /// Samples of 2.5 ms.
        step: usize,
    },
    /// libopus refused what should have been right.
    Library {
        /// What it was asked to do.
        operation: &'static str,
        /// What it answered.
        answer: LibraryError,
    },
}

/// What libopus, or audiopus on the way to it, answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LibraryError(audiopus::Error);

impl fmt::Display for LibraryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for LibraryError {}

impl CodecError {
    /// For `map_err` after a call into the library.
    pub(crate) fn library(operation: &'static str) -> impl FnOnce(audiopus::Error) -> Self {
        move |answer| Self::Library { operation, answer: LibraryError(answer) }
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FrameLength { seen, allowed } => {
                write!(f, "{seen} samples to encode: a frame has {allowed}")
            }
            Self::NoRoomForPacket => f.write_str("no room for a packet: at least 1 byte needed"),
            Self::Malformed(_) => f.write_str("no Opus packet"),
            Self::NoRoomForPcm { seen, needed } => {
                write!(f, "room for {seen} samples: the packet holds {needed}")
            }
            Self::GapLength { seen, step } => {
                write!(f, "{seen} samples to conceal: allowed are multiples of {step} up to ")?;
                write!(f, "{}", step * crate::decoder::LONGEST_GAP_STEPS)
            }
            Self::Library { operation, .. } => write!(f, "libopus failed to {operation}"),
        }
    }
}

impl Error for CodecError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Malformed(reason) => Some(reason),
            Self::Library { answer, .. } => Some(answer),
            _ => None,
        }
    }
}
