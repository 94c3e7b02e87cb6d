//! The 16-byte header of a media packet.
//!
//! ```text
//! offset  size  field          notes
//! 0       1     type           0x01; anything else is not a media packet
//! 1       1     flags          0 from devices
//! 2       2     payload_len    big endian; bytes after the header
//! 4       4     ssrc           connection id, as handed out inside the nonce
//! 8       4     timestamp      big endian, ms (old firmware sends 0)
//! 12      4     sequence       big endian, first packet is 1
//! 16      n     payload        AES-128-CTR ciphertext of one Opus packet
//! ```
//! The ssrc is opaque bytes to the firmware; we read and write it big endian.
//! Source: 78/xiaozhi-esp32 `docs/mqtt-udp.md`.

use std::fmt;

use crate::{MediaTimestamp, Sequence, Ssrc};

/// Bytes before the payload.
pub const HEADER_LEN: usize = 16;

/// The type byte of a media packet.
pub const MEDIA_TYPE: u8 = 0x01;

/// Set in `flags` by our gateway on everything it sends.
///
/// The header is the initial counter block and both directions share one key, so equal headers in
/// both directions would repeat keystream. Devices look only at `type`, which leaves this bit free
/// to keep the directions apart.
pub const DOWNLINK_FLAG: u8 = 0x80;

/// The largest datagram either side sends or accepts: an Ethernet frame less IP and UDP headers.
pub const MAX_DATAGRAM: usize = 1472;

/// The header of one media packet, in host order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// 0 from devices; see [`DOWNLINK_FLAG`].
    pub flags: u8,
    /// Bytes of payload that follow.
    pub payload_len: u16,
    /// The session this packet belongs to.
    pub ssrc: Ssrc,
    /// Media time of the frame.
    pub timestamp: MediaTimestamp,
    /// Position in this direction.
    pub sequence: Sequence,
}

/// Bytes that are not a media packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// Fewer bytes than a header and one byte of payload; carries how many there were.
    TooShort(usize),
    /// The type byte is not [`MEDIA_TYPE`]; carries the one seen.
    UnknownType(u8),
    /// The announced payload length is not what follows the header.
    LengthMismatch {
        /// What the header says.
        announced: u16,
        /// What is there.
        present: usize,
    },
}

impl fmt::Display for HeaderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooShort(seen) => {
                write!(f, "{seen} bytes: a media packet has at least {}", HEADER_LEN + 1)
            }
            Self::UnknownType(seen) => {
                write!(f, "type 0x{seen:02x}: a media packet has type 0x{MEDIA_TYPE:02x}")
            }
            Self::LengthMismatch { announced, present } => {
                write!(f, "header announces {announced} bytes of payload, {present} follow")
            }
        }
    }
}

impl std::error::Error for HeaderError {}

impl Header {
    /// Reads the header of a whole datagram and checks it against the datagram's length.
    ///
    /// # Errors
    /// [`HeaderError`] says what makes the bytes no media packet.
    pub fn decode(datagram: &[u8]) -> Result<Header, HeaderError> {
        let Some((head, payload)) = datagram.split_first_chunk::<HEADER_LEN>() else {
            return Err(HeaderError::TooShort(datagram.len()));
        };
        let [kind, flags, l0, l1, s0, s1, s2, s3, t0, t1, t2, t3, q0, q1, q2, q3] = *head;
        if kind != MEDIA_TYPE {
            return Err(HeaderError::UnknownType(kind));
        }
        if payload.is_empty() {
            return Err(HeaderError::TooShort(datagram.len()));
        }
        let announced = u16::from_be_bytes([l0, l1]);
        if usize::from(announced) != payload.len() {
            return Err(HeaderError::LengthMismatch { announced, present: payload.len() });
        }
        Ok(Header {
            flags,
            payload_len: announced,
            ssrc: Ssrc::new(u32::from_be_bytes([s0, s1, s2, s3])),
            timestamp: MediaTimestamp::from_millis(u32::from_be_bytes([t0, t1, t2, t3])),
            sequence: Sequence::new(u32::from_be_bytes([q0, q1, q2, q3])),
        })
    }

    /// The header as it stands on the wire.
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let [l0, l1] = self.payload_len.to_be_bytes();
        let [s0, s1, s2, s3] = self.ssrc.get().to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.as_millis().to_be_bytes();
        let [q0, q1, q2, q3] = self.sequence.get().to_be_bytes();
        [MEDIA_TYPE, self.flags, l0, l1, s0, s1, s2, s3, t0, t1, t2, t3, q0, q1, q2, q3]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GOLDEN: Header = Header {
        flags: 0,
        payload_len: 3,
        ssrc: Ssrc::new(0xDEAD_BEEF),
        timestamp: MediaTimestamp::from_millis(0x0102_0304),
        sequence: Sequence::new(0x0A0B_0C0D),
    };
    const GOLDEN_BYTES: [u8; 19] = [
        0x01, 0x00, 0x00, 0x03, 0xDE, 0xAD, 0xBE, 0xEF, 0x01, 0x02, 0x03, 0x04, 0x0A, 0x0B, 0x0C,
        0x0D, 0xAA, 0xBB, 0xCC,
    ];

    #[test]
    fn the_layout_is_the_documented_one() {
        assert_eq!(GOLDEN.encode(), GOLDEN_BYTES[..HEADER_LEN]);
        assert_eq!(Header::decode(&GOLDEN_BYTES), Ok(GOLDEN));
    }

    #[test]
    fn bytes_that_are_no_media_packet_are_refused_with_the_reason() {
        let with = |at: usize, byte: u8| {
            let mut bytes = GOLDEN_BYTES.to_vec();
            bytes[at] = byte;
            bytes
        };
        for (bytes, error) in [
            (vec![], HeaderError::TooShort(0)),
            (GOLDEN_BYTES[..15].to_vec(), HeaderError::TooShort(15)),
            (GOLDEN_BYTES[..16].to_vec(), HeaderError::TooShort(16)),
            (with(0, 0x02), HeaderError::UnknownType(0x02)),
            (with(3, 4), HeaderError::LengthMismatch { announced: 4, present: 3 }),
            (with(2, 0xFF), HeaderError::LengthMismatch { announced: 0xFF03, present: 3 }),
        ] {
            assert_eq!(Header::decode(&bytes), Err(error), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn decoding_never_panics_and_encodes_back_to_the_same_bytes(
            bytes in proptest::collection::vec(any::<u8>(), 0..64),
            media in any::<bool>(),
        ) {
            let mut bytes = bytes;
            if media && bytes.len() > HEADER_LEN {
                // Random bytes almost never carry the right type and length: give half of them both.
                let payload = u16::try_from(bytes.len() - HEADER_LEN).unwrap();
                bytes[0] = MEDIA_TYPE;
                bytes[2..4].copy_from_slice(&payload.to_be_bytes());
                prop_assert!(Header::decode(&bytes).is_ok());
            }
            if let Ok(header) = Header::decode(&bytes) {
                prop_assert_eq!(&header.encode()[..], &bytes[..HEADER_LEN]);
            }
        }
    }
}
