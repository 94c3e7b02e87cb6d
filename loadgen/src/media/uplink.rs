//! The frames that one device sends in a talkspurt, each sealed before it is due.

use std::sync::Arc;

use protocol::Moment;
use protocol::packet::HEADER_LEN;

use super::call::Call;
use super::talkspurt::Talkspurt;
use crate::voice::Voice;

/// The uplink of one talkspurt: the next datagram, ready to go.
pub struct Uplink {
    call: Arc<Call>,
    voice: Arc<Voice>,
    talkspurt: Talkspurt,
    /// Index into the voice's packets of the next frame's speech.
    packet: usize,
    frame: u64,
    /// As long as the voice's longest packet; the first `len` bytes are the sealed datagram.
    buffer: Box<[u8]>,
    len: usize,
}

impl Uplink {
    /// The uplink of `call` that never stops, speaking with `voice` from `clip_offset` on (a share of the clip in
    /// 1/2³²); its first datagram is sealed.
    pub fn new(call: Arc<Call>, voice: Arc<Voice>, clip_offset: u32) -> Self {
        let packet = voice.packet_at(clip_offset);
        Self::begin(call, voice, packet, Talkspurt::ENDLESS)
    }

    /// A talkspurt of `call`; its speech goes on where the one before has stopped.
    pub fn of_talkspurt(call: Arc<Call>, talkspurt: Talkspurt) -> Self {
        let voice = Arc::clone(&call.voice);
        let packet = call.speech.packet(talkspurt.before, voice.packets.len());
        Self::begin(call, voice, packet, talkspurt)
    }

    fn begin(call: Arc<Call>, voice: Arc<Voice>, packet: usize, talkspurt: Talkspurt) -> Self {
        let longest = voice.packets.iter().map(|packet| packet.len()).max().unwrap_or(0);
        let buffer = vec![0; HEADER_LEN + longest].into_boxed_slice();
        let frame = talkspurt.first;
        let mut uplink = Self { call, voice, talkspurt, packet, frame, buffer, len: 0 };
        uplink.seal();
        uplink
    }

    /// The call it belongs to.
    pub fn call(&self) -> &Arc<Call> {
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

    /// Whether the frame that is ready is to be sent: the talkspurt goes on, and so does the call.
    pub fn goes_on(&self) -> bool {
        self.frame < self.talkspurt.end() && self.due() < self.call.last_due()
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
        let timestamp = self.call.timestamp(self.frame);
        self.call.cipher.seal(timestamp, self.talkspurt.sequence(self.frame), datagram);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::call::tests::call_to;
    use crate::media::talkspurt::Talkspurts;
    use crate::scenario::Phasing;
    use crate::traits::{DeviceTraits, Kind, Population};
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
        let kind = Kind { frame, voices: 0..voices.len() };
        let population = Population::of_one_kind(seed, Phasing::Spread, kind, 3);
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
    fn a_talkspurt_goes_on_where_the_one_before_has_stopped_and_ends() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let mut call = call_to(&peer, 1, Moment::START);
        call.talkspurts = Talkspurts::in_turns();
        let packets = (1u8..=4).map(|byte| vec![byte; usize::from(byte)].into()).collect();
        call.voice =
            Arc::new(Voice { name: "test".to_owned(), frame: FrameDuration::MS_60, packets });
        let call = Arc::new(call);
        let mut sent = Vec::new();
        for (ready, frames) in [(0, 3), (600, 2)] {
            let talkspurt = call.begin_talkspurt(Moment::from_millis(ready), frames);
            let mut uplink = Uplink::of_talkspurt(Arc::clone(&call), talkspurt);
            while uplink.goes_on() {
                let mut datagram = uplink.datagram().to_vec();
                let (header, payload) = call.cipher.open(&mut datagram).unwrap();
                let due = uplink.due().since_start().as_millis();
                sent.push((due, header.sequence.get(), header.timestamp.as_millis(), payload[0]));
                uplink.advance();
            }
        }
        let first = [(0, 1, 60, 1), (60, 2, 120, 2), (120, 3, 180, 3)];
        assert_eq!(sent, [&first[..], &[(600, 4, 660, 4), (660, 5, 720, 1)]].concat());
    }

    #[test]
    fn the_clip_starts_at_its_offset_and_repeats() {
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        let packets = (1u8..=4).map(|byte| vec![byte; usize::from(byte)].into()).collect();
        let voice =
            Arc::new(Voice { name: "test".to_owned(), frame: FrameDuration::MS_60, packets });
        let call = Arc::new(call_to(&peer, 1, Moment::START));
        let mut uplink = Uplink::new(Arc::clone(&call), voice, 1 << 31);
        let mut spoken = Vec::new();
        for frame in 0..5 {
            let mut datagram = uplink.datagram().to_vec();
            let (header, payload) = call.cipher.open(&mut datagram).unwrap();
            assert_eq!(header.timestamp, call.timestamp(frame));
            assert_eq!(header.sequence.get(), u32::try_from(frame).unwrap() + 1);
            spoken.push(payload.to_vec());
            uplink.advance();
        }
        assert_eq!(spoken, [vec![3; 3], vec![4; 4], vec![1], vec![2; 2], vec![3; 3]]);
    }
}
