//! The gateway's speech to a device that takes turns: which packet is which frame of which speech.
//!
//! Sequences go on from speech to speech, so a gap before a speech is its own: where the end of the
//! one before was lost is not known. A gateway that begins each speech anew is followed too. What
//! comes while the device listens to its user belongs to the turn that has begun.

use protocol::Sequence;
use protocol::sequence::{Arrival, SequenceWindow};

/// The largest gap before a speech that counts as lost: a minute of 60 ms frames. A gateway that
/// leaves out more counts in another way.
const LARGEST_GAP: u64 = 1000;

/// The speech that one call received.
#[derive(Debug, Default)]
pub struct SpeechStream {
    turn: u64,
    window: SequenceWindow,
    /// The sequences of the current speech: the first that was expected, and the highest that came.
    span: Option<(u64, u64)>,
    received: u64,
}

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpeechPacket {
    /// A frame of the current speech, counted from 0.
    Frame {
        /// Which.
        frame: u64,
        /// A later one came before it.
        reordered: bool,
    },
    /// It has come before.
    Again,
    /// It belongs to a speech that is over, or is too old to tell.
    Late,
}

impl SpeechStream {
    /// The device is in this turn. When it is a new one, the speech of the turn before is over: then
    /// the number of its frames.
    pub fn turn(&mut self, number: u64) -> Option<u64> {
        if number == self.turn {
            return None;
        }
        self.turn = number;
        self.end()
    }

    /// The speech is over: the number of its frames, if there was one.
    pub fn end(&mut self) -> Option<u64> {
        self.span.take().map(|(first, highest)| highest - first + 1)
    }

    /// A packet came.
    pub fn packet(&mut self, sequence: Sequence) -> SpeechPacket {
        let position = u64::from(sequence.get());
        if self.span.is_none() {
            self.begin(position);
        }
        let reordered = match self.window.observe_certain(position) {
            Arrival::Duplicate => return SpeechPacket::Again,
            Arrival::Stale | Arrival::Jump => return SpeechPacket::Late,
            arrival => arrival == Arrival::Reordered,
        };
        self.received += 1;
        let (first, highest) = self.span.get_or_insert((position, position));
        *highest = position.max(*highest);
        match position.checked_sub(*first) {
            Some(frame) => SpeechPacket::Frame { frame, reordered },
            None => SpeechPacket::Late,
        }
    }

    /// A speech begins with a packet at `position`.
    fn begin(&mut self, position: u64) {
        let expected = self.window.highest().map(|highest| highest + 1);
        let first = match expected {
            // From the beginning of the session on.
            None if position <= LARGEST_GAP => 1.min(position),
            Some(expected) if (expected..=expected + LARGEST_GAP).contains(&position) => expected,
            Some(expected) if position >= expected => position,
            None => position,
            // It counts anew.
            Some(_) => {
                self.window = SequenceWindow::new();
                position
            }
        };
        self.span = Some((first, position));
    }

    /// Packets that came, each counted once.
    pub fn received(&self) -> u64 {
        self.received
    }
}

#[cfg(test)]
mod tests {
    use super::SpeechPacket::{Again, Frame, Late};
    use super::*;

    fn frame(frame: u64) -> SpeechPacket {
        Frame { frame, reordered: false }
    }

    fn packets(stream: &mut SpeechStream, sequences: &[u32]) -> Vec<SpeechPacket> {
        sequences.iter().map(|&sequence| stream.packet(Sequence::new(sequence))).collect()
    }

    #[test]
    fn frames_count_from_the_beginning_of_each_speech() {
        let mut stream = SpeechStream::default();
        assert_eq!(stream.turn(1), None);
        assert_eq!(packets(&mut stream, &[1, 2, 4]), [frame(0), frame(1), frame(3)]);
        assert_eq!(stream.turn(1), None, "the same turn");
        assert_eq!(stream.turn(2), Some(4));
        assert_eq!(packets(&mut stream, &[5, 6]), [frame(0), frame(1)]);
        assert_eq!((stream.end(), stream.end(), stream.received()), (Some(2), None, 5));
    }

    #[test]
    fn what_was_lost_before_a_speech_is_the_beginning_of_it() {
        let mut stream = SpeechStream::default();
        assert_eq!(packets(&mut stream, &[3, 4]), [frame(2), frame(3)], "of a session");
        assert_eq!(stream.turn(1), Some(4));
        assert_eq!(packets(&mut stream, &[7]), [frame(2)]);
        assert_eq!(stream.turn(2), Some(3));
    }

    #[test]
    fn copies_and_late_packets_are_told_apart() {
        let mut stream = SpeechStream::default();
        let heard = packets(&mut stream, &[1, 3, 2, 3]);
        assert_eq!(heard, [frame(0), frame(2), Frame { frame: 1, reordered: true }, Again]);
        stream.turn(1);
        // The last packet of the speech before was held up: 4 comes after 5.
        assert_eq!(packets(&mut stream, &[5]), [frame(1)]);
        stream.turn(2);
        assert_eq!(packets(&mut stream, &[6, 4]), [frame(0), Late]);
    }

    #[test]
    fn a_gateway_that_counts_anew_or_otherwise_is_followed() {
        let mut stream = SpeechStream::default();
        packets(&mut stream, &[1, 2, 3]);
        stream.turn(1);
        assert_eq!(packets(&mut stream, &[1, 2]), [frame(0), frame(1)]);
        stream.turn(2);
        assert_eq!(packets(&mut stream, &[90_000, 90_001]), [frame(0), frame(1)]);
        assert_eq!(stream.received(), 7);
    }

    #[test]
    fn a_speech_of_which_only_old_packets_came_has_no_beginning_of_its_own() {
        let mut stream = SpeechStream::default();
        packets(&mut stream, &[5000]);
        stream.turn(1);
        assert_eq!(packets(&mut stream, &[5001, 5000]), [frame(0), Again]);
    }
}
