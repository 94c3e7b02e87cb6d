//! The frames that one device sends, each sealed before it is due.

use std::sync::Arc;

use protocol::Moment;
use protocol::packet::HEADER_LEN;

use super::call::Call;
use crate::voice::Voice;

/// The uplink of one call: the next datagram, ready to go.
pub struct Uplink {
    call: Arc<Call>,
    voice: Arc<Voice>,
    /// Index into the voice's packets of the next frame's speech.
    packet: usize,
    frame: u64,
    /// As long as the voice's longest packet; the first `len` bytes are the sealed datagram.
    buffer: Box<[u8]>,
    len: usize,
}

impl Uplink {
    /// The uplink of `call`, speaking with `voice` from `clip_offset` on (a share of the clip in
    /// 1/2³²); its first datagram is sealed.
    pub fn new(call: Arc<Call>, voice: Arc<Voice>, clip_offset: u32) -> Self {
        let packet = voice.packet_at(clip_offset);
        let longest = voice.packets.iter().map(|packet| packet.len()).max().unwrap_or(0);
        let buffer = vec![0; HEADER_LEN + longest].into_boxed_slice();
        let mut uplink = Self { call, voice, packet, frame: 0, buffer, len: 0 };
        uplink.seal();
        uplink
    }

    /// The call it belongs to.
    pub fn call(&self) -> &Call {
        &self.call
    }

    /// The number of the frame that is ready.
    pub fn frame(&self) -> u64 {
        self.frame
    }

    /// When the frame that is ready is due.
    pub fn due(&self) -> Moment {
        self.call.due(self.frame)
    }

    /// The datagram of the frame that is ready.
    pub fn datagram(&self) -> &[u8] {
        &self.buffer[..self.len]
    }

    /// Makes the next frame ready; some 100 ns, no allocation.
    pub fn advance(&mut self) {
        self.frame += 1;
        self.packet = (self.packet + 1) % self.voice.packets.len();
        self.seal();
    }

    fn seal(&mut self) {
        let payload = &self.voice.packets[self.packet];
        self.len = HEADER_LEN + payload.len();
        let datagram = &mut self.buffer[..self.len];
        datagram[HEADER_LEN..].copy_from_slice(payload);
        let (timestamp, sequence) = (self.call.timestamp(self.frame), Call::sequence(self.frame));
        self.call.cipher.seal(timestamp, sequence, datagram);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::call::tests::call_to;
    use crate::scenario::Phasing;
    use crate::traits::{DeviceTraits, Population};
    use crate::voice;
    use codec::EncoderSettings;
    use protocol::FrameDuration;
    use sha2::{Digest, Sha256};
    use std::net::UdpSocket;

    /// The datagrams that the first 3 devices send in their first second, with the instants at
    /// which they are due, under `seed` and with fixed keys.
    fn first_second(seed: u64) -> String {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let voices = voice::load(&[], &EncoderSettings::firmware_uplink()).unwrap();
        let frame = FrameDuration::MS_60;
        let population =
            Population { seed, frame, voices: voices.len(), phasing: Phasing::Spread, devices: 3 };
        let mut hash = Sha256::new();
        for device in 0..3 {
            let traits = DeviceTraits::new(&population, device);
            let first_due = traits.first_due(Moment::START, frame);
            let call = Arc::new(call_to(&peer, device, first_due));
            let voice = Arc::new(voices[traits.voice].clone());
            let mut uplink = Uplink::new(call, voice, traits.clip_offset);
            while uplink.due() < Moment::from_millis(1000) {
                hash.update(uplink.due().as_nanos().to_be_bytes());
                hash.update(uplink.datagram());
                uplink.advance();
            }
        }
        hex::encode(hash.finalize())
    }

    /// Same seed, same datagrams: on every machine and with every libopus, as our voices are
    /// replayed as recorded. A change of this hash changes the load of every scenario: say so in
    /// the changelog. `traits.rs` holds the same devices' identities.
    #[test]
    fn the_first_second_of_three_devices_is_the_golden_one() {
        assert_eq!(first_second(1), GOLDEN);
        assert_ne!(first_second(2), GOLDEN);
    }

    const GOLDEN: &str = "6ef3968746301e4ffd9d730570c55c2d01041d743cdc27da16ab41894866db16";

    #[test]
    fn the_clip_starts_at_its_offset_and_repeats() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let packets = (1u8..=4).map(|byte| vec![byte; usize::from(byte)].into()).collect();
        let voice = Arc::new(Voice { name: "test".to_owned(), packets });
        let call = Arc::new(call_to(&peer, 1, Moment::START));
        let mut uplink = Uplink::new(Arc::clone(&call), voice, 1 << 31);
        let mut spoken = Vec::new();
        for frame in 0..5 {
            let mut datagram = uplink.datagram().to_vec();
            let (header, payload) = call.cipher.open(&mut datagram).unwrap();
            assert_eq!(header.timestamp, call.timestamp(frame));
            assert_eq!(header.sequence, Call::sequence(frame));
            spoken.push(payload.to_vec());
            uplink.advance();
        }
        assert_eq!(spoken, [vec![3; 3], vec![4; 4], vec![1], vec![2; 2], vec![3; 3]]);
    }
}
