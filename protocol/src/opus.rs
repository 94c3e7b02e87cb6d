//! What an Opus packet says about itself, without decoding it (RFC 6716, section 3).
//!
//! Used for two checks that cost nanoseconds: does a packet carry the agreed duration, and is the
//! result of a decryption plausible at all. Of 60 ms packets opened with a wrong key about 97 %
//! fail one of the two.

use std::fmt;
use std::time::Duration;

/// The longest audio one packet may hold (requirement R5).
const MAX_PACKET_MICROS: u32 = 120_000;
/// The longest single frame inside a packet, in bytes (requirement R2).
const MAX_FRAME_BYTES: usize = 1275;

/// The shape of a well-formed Opus packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketShape {
    /// Mode, bandwidth and frame size: 0 to 31 (table 2 of the RFC); 11 is SILK wideband 60 ms.
    pub config: u8,
    /// Two channels.
    pub stereo: bool,
    /// Frames inside the packet: 1 to 48.
    pub frames: u8,
    frame_micros: u32,
}

/// Bytes that are no well-formed Opus packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MalformedPacket {
    /// No bytes (R1).
    Empty,
    /// Two equal frames do not fit an odd number of bytes (R3).
    UnevenPair,
    /// The bytes end inside a length, the padding or a frame (R4, R6, R7).
    Truncated,
    /// A frame is longer than 1275 bytes (R2).
    FrameTooLong,
    /// No frame at all, or more than 120 ms of audio (R5).
    FrameCount,
}

impl fmt::Display for MalformedPacket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "an Opus packet has at least one byte",
            Self::UnevenPair => "two frames of equal length in an odd number of bytes",
            Self::Truncated => "the packet ends inside a length, the padding or a frame",
            Self::FrameTooLong => "a frame of more than 1275 bytes",
            Self::FrameCount => "no frame, or more than 120 ms of audio",
        })
    }
}

impl std::error::Error for MalformedPacket {}

impl PacketShape {
    /// Reads the table of contents and checks every length in the packet.
    ///
    /// # Errors
    /// [`MalformedPacket`] names the requirement of RFC 6716 (R1 to R7) that does not hold.
    pub fn parse(packet: &[u8]) -> Result<PacketShape, MalformedPacket> {
        let (&toc, body) = packet.split_first().ok_or(MalformedPacket::Empty)?;
        let shape = |frames| PacketShape {
            config: toc >> 3,
            stereo: toc & 0b100 != 0,
            frames,
            frame_micros: frame_micros(toc >> 3),
        };
        match toc & 0b11 {
            0 => fits_frame(body.len()).map(|()| shape(1)),
            1 if body.len() % 2 != 0 => Err(MalformedPacket::UnevenPair),
            1 => fits_frame(body.len() / 2).map(|()| shape(2)),
            2 => {
                let (first, rest) = take_length(body)?;
                let second = rest.len().checked_sub(first).ok_or(MalformedPacket::Truncated)?;
                fits_frame(second).map(|()| shape(2))
            }
            _ => {
                let frames = check_many(body)?;
                let shape = shape(frames);
                if shape.micros() > MAX_PACKET_MICROS {
                    return Err(MalformedPacket::FrameCount);
                }
                Ok(shape)
            }
        }
    }

    /// Audio in the packet.
    pub fn duration(self) -> Duration {
        Duration::from_micros(u64::from(self.micros()))
    }

    fn micros(self) -> u32 {
        self.frame_micros * u32::from(self.frames)
    }
}

/// Duration of one frame (table 2 of the RFC).
fn frame_micros(config: u8) -> u32 {
    const SILK: [u32; 4] = [10_000, 20_000, 40_000, 60_000];
    const HYBRID: [u32; 2] = [10_000, 20_000];
    const CELT: [u32; 4] = [2_500, 5_000, 10_000, 20_000];
    match config {
        0..12 => SILK[usize::from(config % 4)],
        12..16 => HYBRID[usize::from(config % 2)],
        _ => CELT[usize::from(config % 4)],
    }
}

fn fits_frame(bytes: usize) -> Result<(), MalformedPacket> {
    if bytes > MAX_FRAME_BYTES { Err(MalformedPacket::FrameTooLong) } else { Ok(()) }
}

/// A frame length of one or two bytes (section 3.2.1), and what follows it.
fn take_length(bytes: &[u8]) -> Result<(usize, &[u8]), MalformedPacket> {
    match *bytes {
        [first @ 0..252, ref rest @ ..] => Ok((usize::from(first), rest)),
        [first, second, ref rest @ ..] => Ok((usize::from(second) * 4 + usize::from(first), rest)),
        _ => Err(MalformedPacket::Truncated),
    }
}

/// A packet with a frame count byte (code 3, section 3.2.5).
fn check_many(body: &[u8]) -> Result<u8, MalformedPacket> {
    let (&count_byte, mut rest) = body.split_first().ok_or(MalformedPacket::Truncated)?;
    let frames = count_byte & 0b11_1111;
    if frames == 0 {
        return Err(MalformedPacket::FrameCount);
    }
    let mut padding = 0;
    if count_byte & 0b0100_0000 != 0 {
        loop {
            let (&step, after) = rest.split_first().ok_or(MalformedPacket::Truncated)?;
            rest = after;
            // 255 stands for 254 bytes of padding and one more length byte.
            padding += usize::from(step.min(254));
            if step != 255 {
                break;
            }
        }
    }
    let mut left = rest.len().checked_sub(padding).ok_or(MalformedPacket::Truncated)?;
    let variable = count_byte & 0b1000_0000 != 0;
    if !variable {
        if left % usize::from(frames) != 0 {
            return Err(MalformedPacket::Truncated);
        }
        return fits_frame(left / usize::from(frames)).map(|()| frames);
    }
    for _ in 1..frames {
        let (length, after) = take_length(rest)?;
        let length_bytes = rest.len() - after.len();
        left = left.checked_sub(length_bytes + length).ok_or(MalformedPacket::Truncated)?;
        rest = after;
    }
    fits_frame(left).map(|()| frames)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cipher::{MediaCipher, MediaKey, NonceTemplate};
    use crate::packet::HEADER_LEN;
    use crate::{MediaTimestamp, Sequence, Ssrc};
    use proptest::prelude::*;

    /// A table-of-contents byte.
    const fn toc(config: u8, code: u8) -> u8 {
        config << 3 | code
    }

    #[test]
    fn shapes_of_well_formed_packets() {
        for (packet, frames, millis) in [
            (vec![toc(11, 0), 1, 2, 3], 1, 60),    // SILK wideband, one frame
            (vec![toc(11, 0)], 1, 60),             // DTX: nothing but the table of contents
            (vec![toc(9, 1), 1, 2, 3, 4], 2, 40),  // two frames of two bytes
            (vec![toc(9, 2), 1, 9, 8, 7], 2, 40),  // one byte, then two
            (vec![toc(31, 3), 3, 1, 2, 3], 3, 60), // CELT 20 ms, three of one byte
            (vec![toc(31, 3), 0x83, 1, 2, 9, 9, 9, 9], 3, 60), // lengths 1, 2 and the rest
            (vec![toc(31, 3), 0x43, 2, 1, 2, 3, 0, 0], 3, 60), // two bytes of padding
            (vec![toc(19, 3), 6, 1, 2, 3, 4, 5, 6], 6, 120), // 6 × 20 ms: the longest allowed
        ] {
            let shape = PacketShape::parse(&packet).unwrap();
            assert_eq!(
                (shape.frames, shape.duration().as_millis()),
                (frames, millis),
                "{packet:?}"
            );
        }
    }

    #[test]
    fn malformed_packets_name_the_broken_rule() {
        for (packet, error) in [
            (vec![], MalformedPacket::Empty),
            (vec![toc(9, 1), 1, 2, 3], MalformedPacket::UnevenPair),
            (vec![toc(9, 2)], MalformedPacket::Truncated),
            (vec![toc(9, 2), 252], MalformedPacket::Truncated),
            (vec![toc(9, 2), 9, 1], MalformedPacket::Truncated),
            (vec![toc(9, 3)], MalformedPacket::Truncated),
            (vec![toc(9, 3), 0], MalformedPacket::FrameCount),
            (vec![toc(31, 3), 7, 1, 2, 3, 4, 5, 6, 7], MalformedPacket::FrameCount),
            (vec![toc(31, 3), 3, 1, 2], MalformedPacket::Truncated),
            (vec![toc(31, 3), 0x43, 9, 1], MalformedPacket::Truncated),
            (vec![toc(31, 3), 0x82, 5, 1], MalformedPacket::Truncated),
            ([vec![toc(11, 0)], vec![0; 1276]].concat(), MalformedPacket::FrameTooLong),
        ] {
            assert_eq!(PacketShape::parse(&packet), Err(error), "{packet:?}");
        }
    }

    /// Shares of the packets of `length` bytes, and of one more, that break a rule, and that have
    /// `millis` of audio, when they are opened with another key than they were sealed with.
    fn opened_with_another_key(length: usize, millis: u64) -> [f64; 2] {
        const PACKETS: u32 = 20_000;
        let cipher = |key| {
            let template = NonceTemplate::new(Ssrc::new(1), 0);
            MediaCipher::new(&MediaKey::new([key; 16]), template)
        };
        let (ours, theirs) = (cipher(1), cipher(2));
        let (mut malformed, mut plausible) = (0, 0);
        for n in 1..=PACKETS {
            // Whether two equal frames fit depends on the parity.
            let length = length + n as usize % 2;
            let mut datagram = vec![toc(11, 0); HEADER_LEN + length];
            let timestamp = MediaTimestamp::from_millis(60 * n);
            theirs.seal(timestamp, Sequence::new(n), &mut datagram);
            let (_, opened) = ours.open(&mut datagram).unwrap();
            match PacketShape::parse(opened) {
                Err(_) => malformed += 1,
                Ok(shape) if shape.duration() == Duration::from_millis(millis) => plausible += 1,
                Ok(_) => {}
            }
        }
        [malformed, plausible].map(|count| f64::from(count) / f64::from(PACKETS))
    }

    #[test]
    fn another_key_leaves_hardly_a_packet_of_60_ms_that_looks_right() {
        let [malformed, plausible] = opened_with_another_key(94, 60);
        assert!((malformed - 0.51).abs() < 0.05, "{malformed}");
        assert!((plausible - 0.03).abs() < 0.02, "{plausible}");
        let [_, plausible] = opened_with_another_key(36, 20);
        assert!((plausible - 0.11).abs() < 0.03, "{plausible}");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_and_never_exceed_120_ms(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            if let Ok(shape) = PacketShape::parse(&bytes) {
                prop_assert!(shape.duration() <= Duration::from_millis(120));
            }
        }
    }
}
