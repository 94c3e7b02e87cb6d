//! What the benchmarks share: inputs of the sizes that are on the wire.

use protocol::cipher::{MediaCipher, MediaKey, NonceTemplate};
use protocol::control::{AudioFormat, AudioGrant, DeviceHello, DeviceMessage, Features};
use protocol::packet::HEADER_LEN;
use protocol::{FrameDuration, SampleRate, Ssrc};

/// Bytes of a 60 ms packet of the firmware's uplink, on average.
pub const UPLINK_PAYLOAD: usize = 94;
/// Bytes of a 60 ms packet of the gateway's downlink.
pub const DOWNLINK_PAYLOAD: usize = 185;

/// The device's microphone audio.
pub const UPLINK: AudioFormat =
    AudioFormat { sample_rate: SampleRate::HZ_16000, frame: FrameDuration::MS_60 };

/// What a gateway grants.
pub fn grant() -> AudioGrant {
    AudioGrant {
        session_id: "0123456789abcdef0123456789abcdef".to_owned(),
        server: "127.0.0.1".to_owned(),
        port: 8884,
        key: MediaKey::new([7; 16]),
        nonce: NonceTemplate::new(Ssrc::new(0x0102_0304), 0),
        downlink: AudioFormat { sample_rate: SampleRate::HZ_24000, ..UPLINK },
    }
}

/// A session's cipher.
pub fn cipher() -> MediaCipher {
    let grant = grant();
    MediaCipher::new(&grant.key, grant.nonce)
}

/// Room for a header and `payload` bytes.
pub fn datagram(payload: usize) -> Vec<u8> {
    vec![0x58; HEADER_LEN + payload]
}

/// A device's hello as it is published.
pub fn hello_json() -> String {
    DeviceMessage::Hello(DeviceHello::new(UPLINK, Features { mcp: true, aec: false })).to_json()
}
