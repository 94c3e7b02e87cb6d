//! AES-128-CTR over the payload, the finished header being the initial counter block.
//!
//! The counter is one 128-bit big-endian number (NIST SP 800-38A, CTR) and the sequence stands in
//! its last bytes, so packet N's second block uses the counter of packet N+1's first block whenever
//! length, ssrc and timestamp are equal: see [`crate::packet::DOWNLINK_FLAG`] for what our gateway
//! does about it. There is no authentication: a wrong key still opens to bytes.
//!
//! The expanded key is kept for the session. A cache keyed by initial counter block could never
//! hit, as each packet has a new one.

use std::fmt;

use aes::Aes128;
use aes::cipher::{InnerIvInit, KeyInit, StreamCipher, StreamCipherCoreWrapper};
use ctr::{CtrCore, flavors::Ctr128BE};

use crate::packet::{HEADER_LEN, Header, HeaderError, MEDIA_TYPE};
use crate::{MediaTimestamp, Sequence, Ssrc};

/// A session's 16-byte key, as handed out in the gateway's hello.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MediaKey([u8; 16]);

/// The packet header with length, timestamp and sequence zero; the sender fills those in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NonceTemplate([u8; HEADER_LEN]);

/// Seals and opens the packets of one session in place, without allocation.
pub struct MediaCipher {
    expanded_key: Aes128,
    template: NonceTemplate,
}

/// Key or nonce of a hello that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// Not 32 hexadecimal digits; carries which field and what was seen.
    NotHex {
        /// `key` or `nonce`.
        field: &'static str,
        /// The text, shortened.
        seen: String,
    },
    /// The nonce does not start with the media packet type; carries the type seen.
    NonceType(u8),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHex { field, seen } => {
                write!(f, "{field} `{seen}`: 32 hexadecimal digits are needed")
            }
            Self::NonceType(seen) => write!(
                f,
                "nonce begins with 0x{seen:02x}: it is the packet header, which begins with 0x{MEDIA_TYPE:02x}"
            ),
        }
    }
}

impl std::error::Error for KeyError {}

impl MediaKey {
    /// A key of these bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Reads a key as it stands in a hello.
    ///
    /// # Errors
    /// [`KeyError::NotHex`] unless it is 32 hexadecimal digits.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        decode_16("key", text).map(Self)
    }

    /// The key as it stands in a hello.
    pub fn to_hex(&self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Debug for MediaKey {
    /// Keys stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MediaKey(..)")
    }
}

impl NonceTemplate {
    /// The template of a session's packets with these `flags`.
    pub fn new(ssrc: Ssrc, flags: u8) -> Self {
        let header = Header {
            flags,
            payload_len: 0,
            ssrc,
            timestamp: MediaTimestamp::from_millis(0),
            sequence: Sequence::new(0),
        };
        Self(header.encode())
    }

    /// Reads a nonce as it stands in a hello; fields that the sender overwrites are cleared.
    ///
    /// # Errors
    /// [`KeyError`] unless it is 32 hexadecimal digits that begin with the packet type.
    pub fn from_hex(text: &str) -> Result<Self, KeyError> {
        let mut bytes = decode_16("nonce", text)?;
        if bytes[0] != MEDIA_TYPE {
            return Err(KeyError::NonceType(bytes[0]));
        }
        bytes[2..4].fill(0);
        bytes[8..16].fill(0);
        Ok(Self(bytes))
    }

    /// The nonce as it stands in a hello.
    pub fn to_hex(self) -> String {
        hex::encode(self.0)
    }

    /// The connection id inside the nonce.
    pub fn ssrc(self) -> Ssrc {
        let [_, _, _, _, s0, s1, s2, s3, ..] = self.0;
        Ssrc::new(u32::from_be_bytes([s0, s1, s2, s3]))
    }

    /// The same template with other `flags`.
    #[must_use]
    pub fn with_flags(mut self, flags: u8) -> Self {
        self.0[1] = flags;
        self
    }
}

/// Hex digits echoed in an error are cut here: the text comes from the network.
const SHOWN_CHARS: usize = 40;

fn decode_16(field: &'static str, text: &str) -> Result<[u8; 16], KeyError> {
    let mut bytes = [0; 16];
    match hex::decode_to_slice(text, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(_) => Err(KeyError::NotHex { field, seen: text.chars().take(SHOWN_CHARS).collect() }),
    }
}

impl MediaCipher {
    /// A cipher for packets that carry `template`; expands the key, once.
    pub fn new(key: &MediaKey, template: NonceTemplate) -> Self {
        Self { expanded_key: Aes128::new(&key.0.into()), template }
    }

    /// The header of a packet, which is also its first counter block: see [`crate::keystream`].
    pub fn header(
        &self,
        timestamp: MediaTimestamp,
        sequence: Sequence,
        payload_len: u16,
    ) -> [u8; HEADER_LEN] {
        let mut header = self.template.0;
        header[2..4].copy_from_slice(&payload_len.to_be_bytes());
        header[8..12].copy_from_slice(&timestamp.as_millis().to_be_bytes());
        header[12..16].copy_from_slice(&sequence.get().to_be_bytes());
        header
    }

    /// Writes the header into the first 16 bytes of `datagram` and encrypts the rest in place.
    ///
    /// # Panics
    /// When `datagram` is shorter than a header or its payload longer than the length field can
    /// say; the caller sizes the buffer.
    pub fn seal(&self, timestamp: MediaTimestamp, sequence: Sequence, datagram: &mut [u8]) {
        let (header, payload) = datagram.split_at_mut(HEADER_LEN);
        let payload_len = u16::try_from(payload.len()).expect("a payload fits its length field");
        header.copy_from_slice(&self.header(timestamp, sequence, payload_len));
        self.apply_keystream(header, payload);
    }

    /// Checks the header of `datagram` and decrypts its payload in place.
    ///
    /// # Errors
    /// [`HeaderError`] when the bytes are no media packet; they are unchanged then.
    pub fn open<'a>(&self, datagram: &'a mut [u8]) -> Result<(Header, &'a mut [u8]), HeaderError> {
        let header = Header::decode(datagram)?;
        let (head, payload) = datagram.split_at_mut(HEADER_LEN);
        self.apply_keystream(head, payload);
        Ok((header, payload))
    }

    fn apply_keystream(&self, header: &[u8], payload: &mut [u8]) {
        let counter_block: &[u8; HEADER_LEN] =
            header.try_into().expect("the header was split off at its length");
        let core =
            CtrCore::<&Aes128, Ctr128BE>::inner_iv_init(&self.expanded_key, counter_block.into());
        StreamCipherCoreWrapper::from_core(core).apply_keystream(payload);
    }
}

impl fmt::Debug for MediaCipher {
    /// Keys stay out of logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MediaCipher").field("template", &self.template).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::DOWNLINK_FLAG;
    use proptest::prelude::*;

    /// NIST SP 800-38A, F.5.1 CTR-AES128.Encrypt: the cipher alone, with the vector's counter
    /// block in place of a header.
    #[test]
    fn ctr_agrees_with_nist_sp_800_38a() {
        let key = MediaKey::from_hex("2b7e151628aed2a6abf7158809cf4f3c").unwrap();
        let cipher = MediaCipher::new(&key, NonceTemplate::new(Ssrc::new(0), 0));
        let counter = hex::decode("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff").unwrap();
        let mut block = hex::decode(concat!(
            "6bc1bee22e409f96e93d7e117393172a",
            "ae2d8a571e03ac9c9eb76fac45af8e51",
            "30c81c46a35ce411e5fbc1191a0a52ef",
            "f69f2445df4f9b17ad2b417be66c3710",
        ))
        .unwrap();
        cipher.apply_keystream(&counter, &mut block);
        assert_eq!(
            hex::encode(&block),
            concat!(
                "874d6191b620e3261bef6864990db6ce",
                "9806f66b7970fdff8617187bb9fffdff",
                "5ae4df3edbd5d35e5b4f09020db03eab",
                "1e031dda2fbe03d1792170a0f3009cee",
            )
        );
    }

    /// One whole packet, computed independently with OpenSSL:
    /// `printf '%b' ... | openssl enc -aes-128-ctr -K 000102…0f -iv 010000150a0b0c0d0000003c00000001`.
    #[test]
    fn a_whole_packet_is_sealed_to_the_golden_bytes() {
        let key = MediaKey::from_hex("000102030405060708090a0b0c0d0e0f").unwrap();
        let cipher = MediaCipher::new(&key, NonceTemplate::new(Ssrc::new(0x0A0B_0C0D), 0));
        let mut datagram = [0; HEADER_LEN + 21];
        datagram[HEADER_LEN..].copy_from_slice(b"sixteen bytes and 5 m");
        cipher.seal(MediaTimestamp::from_millis(60), Sequence::FIRST, &mut datagram);
        assert_eq!(hex::encode(datagram), GOLDEN_PACKET);
        let (header, payload) = cipher.open(&mut datagram).unwrap();
        assert_eq!(header.sequence, Sequence::FIRST);
        assert_eq!(payload, b"sixteen bytes and 5 m");
    }

    const GOLDEN_PACKET: &str =
        "010000150a0b0c0d0000003c00000001ded90884720e205796f212c3a0b2a3854054a2af72";

    #[test]
    fn directions_differ_by_a_flag_and_so_does_their_keystream() {
        let key = MediaKey::new([7; 16]);
        let template = NonceTemplate::new(Ssrc::new(1), 0);
        let sealed = |template| {
            let mut datagram = [0; HEADER_LEN + 8];
            MediaCipher::new(&key, template).seal(
                MediaTimestamp::from_millis(60),
                Sequence::FIRST,
                &mut datagram,
            );
            datagram[HEADER_LEN..].to_vec()
        };
        assert_ne!(sealed(template), sealed(template.with_flags(DOWNLINK_FLAG)));
    }

    #[test]
    fn unusable_keys_and_nonces_say_what_is_needed() {
        for (result, expected) in [
            (MediaKey::from_hex("12").err(), "key `12`: 32 hexadecimal digits are needed"),
            (
                NonceTemplate::from_hex(&"zz".repeat(16)).err(),
                "nonce `zzzzzzzzzzzzzzzzzzzzzzzzzzzzzzzz`: 32 hexadecimal digits are needed",
            ),
            (
                NonceTemplate::from_hex(&"02".repeat(16)).err(),
                "nonce begins with 0x02: it is the packet header, which begins with 0x01",
            ),
        ] {
            assert_eq!(result.unwrap().to_string(), expected);
        }
    }

    #[test]
    fn a_foreign_nonce_keeps_ssrc_and_flags_and_loses_what_the_sender_overwrites() {
        let nonce = NonceTemplate::from_hex("0140ffff0a0b0c0dffffffffffffffff").unwrap();
        assert_eq!(nonce.to_hex(), "014000000a0b0c0d0000000000000000");
        assert_eq!(nonce.ssrc(), Ssrc::new(0x0A0B_0C0D));
    }

    proptest! {
        #[test]
        fn opening_what_was_sealed_gives_it_back(
            key in any::<[u8; 16]>(),
            ssrc in any::<u32>(),
            timestamp in any::<u32>(),
            sequence in any::<u32>(),
            payload in proptest::collection::vec(any::<u8>(), 1..1400),
        ) {
            let cipher = MediaCipher::new(&MediaKey::new(key), NonceTemplate::new(Ssrc::new(ssrc), 0));
            let mut datagram = vec![0; HEADER_LEN + payload.len()];
            datagram[HEADER_LEN..].copy_from_slice(&payload);
            cipher.seal(MediaTimestamp::from_millis(timestamp), Sequence::new(sequence), &mut datagram);
            let (header, opened) = cipher.open(&mut datagram).unwrap();
            prop_assert_eq!(header.ssrc.get(), ssrc);
            prop_assert_eq!(header.timestamp.as_millis(), timestamp);
            prop_assert_eq!(header.sequence.get(), sequence);
            prop_assert_eq!(&*opened, &payload[..]);
        }

        #[test]
        fn opening_arbitrary_bytes_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let cipher = MediaCipher::new(&MediaKey::new([0; 16]), NonceTemplate::new(Ssrc::new(0), 0));
            let mut bytes = bytes;
            let _ = cipher.open(&mut bytes);
        }
    }
}
