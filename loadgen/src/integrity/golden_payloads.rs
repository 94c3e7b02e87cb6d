//! Whether a gateway that returns packets as they are returned this device's, and else whose.
//!
//! One table for all voices serves all devices. Packets of a pause are the same few bytes in many
//! places of many voices: of them nobody can say whose they are.

use std::collections::HashMap;
use std::sync::Arc;

use super::Speech;
use crate::voice::Voice;

/// Up to this many bytes a packet is a pause (DTX), and other speakers have the same.
const PAUSE_BYTES: usize = 3;

/// Every packet of every voice, and where it stands; twice the size of the packets.
#[derive(Debug)]
pub struct GoldenPayloads {
    voices: Vec<Arc<Voice>>,
    /// `None` for packets that stand in several places.
    places: HashMap<Box<[u8]>, Option<Place>>,
}

/// Where in the voices a packet stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    voice: usize,
    packet: usize,
}

/// What a returned payload turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returned {
    /// What the frame carried, and nobody else says it.
    Same,
    /// What the device's voice says elsewhere: another frame, or another device of that voice.
    OtherFrame {
        /// The packet of the clip that it is.
        packet: usize,
    },
    /// What another voice says.
    OtherVoice {
        /// Which of the run's voices.
        voice: usize,
        /// The packet of its clip that it is.
        packet: usize,
    },
    /// What no voice of the run says: garbage, or encoded anew.
    Unknown,
    /// A pause, or what is said in several places: no evidence of whose it is.
    Ambiguous {
        /// Whether it is at least what the frame carried, byte for byte.
        same: bool,
    },
}

impl GoldenPayloads {
    /// The table of `voices`, those of the run in their order.
    pub fn new(voices: &[Arc<Voice>]) -> Self {
        let mut places: HashMap<Box<[u8]>, Option<Place>> = HashMap::new();
        for (voice, clip) in voices.iter().enumerate() {
            for (packet, bytes) in clip.packets.iter().enumerate() {
                let place = (bytes.len() > PAUSE_BYTES).then_some(Place { voice, packet });
                let entry = places.entry(bytes.clone());
                entry.and_modify(|place| *place = None).or_insert(place);
            }
        }
        Self { voices: voices.to_vec(), places }
    }

    /// What `frame` of a device that says `speech` carried.
    pub fn expected(&self, speech: Speech, frame: u64) -> &[u8] {
        let packets = &self.voices[speech.voice].packets;
        &packets[speech.packet(frame, packets.len())]
    }

    /// What `payload` is, which came as the answer to `frame`; one look into a hash table.
    pub fn compare(&self, speech: Speech, frame: u64, payload: &[u8]) -> Returned {
        let same = payload == self.expected(speech, frame);
        match self.places.get(payload) {
            None if payload.len() > PAUSE_BYTES => Returned::Unknown,
            None | Some(None) => Returned::Ambiguous { same },
            Some(Some(_)) if same => Returned::Same,
            Some(&Some(Place { voice, packet })) if voice == speech.voice => {
                Returned::OtherFrame { packet }
            }
            Some(&Some(Place { voice, packet })) => Returned::OtherVoice { voice, packet },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::VOICES;
    use super::*;
    use crate::media::call::tests::call_to;
    use crate::media::uplink::Uplink;
    use protocol::FrameDuration;
    use protocol::Moment;
    use std::net::UdpSocket;

    /// What a real uplink sends is what the table expects, beyond the end of the clip.
    #[test]
    fn what_an_uplink_sends_is_expected_frame_by_frame() {
        let table = GoldenPayloads::new(&VOICES);
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        for (voice, clip_offset) in [(0, 0), (7, 1 << 31), (15, u32::MAX)] {
            let call = Arc::new(call_to(&peer, 1, Moment::START));
            let clip = Arc::clone(&VOICES[voice]);
            let frames = clip.packets.len() as u64 + 5;
            let mut uplink = Uplink::new(Arc::clone(&call), clip, clip_offset);
            let speech = Speech::new(&VOICES, voice, clip_offset);
            for frame in 0..frames {
                let mut datagram = uplink.datagram().to_vec();
                let (_, payload) = call.cipher.open(&mut datagram).unwrap();
                assert_eq!(payload, table.expected(speech, frame));
                let returned = table.compare(speech, frame, payload);
                assert!(matches!(returned, Returned::Same | Returned::Ambiguous { same: true }));
                uplink.advance();
            }
        }
    }

    #[test]
    fn nine_of_ten_packets_of_our_voices_tell_whose_they_are() {
        let table = GoldenPayloads::new(&VOICES);
        for (voice, clip) in VOICES.iter().enumerate() {
            let speech = Speech { voice, first_packet: 0 };
            let telling = (0u64..).zip(&clip.packets);
            let telling = telling
                .filter(|(frame, packet)| table.compare(speech, *frame, packet) == Returned::Same);
            let (telling, all) = (telling.count(), clip.packets.len());
            assert!(telling * 10 >= all * 9, "{}: {telling} of {all}", clip.name);
        }
    }

    #[test]
    fn what_is_not_the_frames_is_named() {
        let table = GoldenPayloads::new(&VOICES);
        let speech = Speech { voice: 3, first_packet: 10 };
        let packet = |voice: usize, at: usize| &*VOICES[voice].packets[at];
        let garbage = [0xA5; 90];
        for (payload, expected) in [
            (packet(3, 30), Returned::Same),
            (packet(3, 31), Returned::OtherFrame { packet: 31 }),
            (packet(4, 30), Returned::OtherVoice { voice: 4, packet: 30 }),
            (&garbage[..], Returned::Unknown),
            (&garbage[..PAUSE_BYTES], Returned::Ambiguous { same: false }),
        ] {
            assert_eq!(table.compare(speech, 20, payload), expected);
        }
    }

    #[test]
    fn what_several_say_is_nobodys() {
        let voice = |packets: [&[u8]; 3]| {
            Arc::new(Voice {
                name: "test".to_owned(),
                frame: FrameDuration::MS_60,
                packets: packets.map(Into::into).into(),
            })
        };
        let table = GoldenPayloads::new(&[
            voice([b"shared", b"one's", b"twice"]),
            voice([b"shared", b"dtx", b"two's"]),
            voice([b"twice", b"three's", b"twice"]),
        ]);
        let compare = |voice, frame, payload: &[u8]| {
            table.compare(Speech { voice, first_packet: 0 }, frame, payload)
        };
        assert_eq!(compare(0, 0, b"shared"), Returned::Ambiguous { same: true });
        assert_eq!(compare(0, 1, b"shared"), Returned::Ambiguous { same: false });
        assert_eq!(compare(1, 1, b"dtx"), Returned::Ambiguous { same: true });
        assert_eq!(compare(2, 2, b"twice"), Returned::Ambiguous { same: true });
        assert_eq!(compare(2, 4, b"three's"), Returned::Same);
        assert_eq!(compare(2, 4, b"two's"), Returned::OtherVoice { voice: 1, packet: 2 });
    }
}
