//! When a device speaks within a call: all the time, or in talkspurts that are begun one by one.
//!
//! Frames are counted on the device's grid from the call's first due instant on, spoken or not: that
//! is their media time. Sequences count what is sent alone, as the firmware's do.

use std::sync::{Mutex, MutexGuard, PoisonError};

use protocol::Sequence;

/// Consecutive frames that are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Talkspurt {
    /// The first frame.
    pub first: u64,
    /// How many frames it has.
    pub frames: u64,
    /// How many frames the talkspurts before it had.
    pub before: u64,
}

impl Talkspurt {
    /// A device that never stops.
    pub const ENDLESS: Self = Self { first: 0, frames: u64::MAX, before: 0 };

    /// The frame after its last.
    pub fn end(self) -> u64 {
        self.first + self.frames
    }

    /// How many frames were sent before `frame`, which is one of its own.
    pub fn index(self, frame: u64) -> u64 {
        self.before + (frame - self.first)
    }

    /// The sequence that `frame` carries; the first of a session is 1.
    pub fn sequence(self, frame: u64) -> Sequence {
        Sequence::new(super::call::wrapped(self.index(frame) + 1))
    }
}

/// When a device speaks within a call.
#[derive(Debug)]
pub enum Talkspurts {
    /// From its first frame to its last; each frame has its answer.
    Endless,
    /// In turns, or never. Grows by turns.
    Turns(Mutex<Vec<Talkspurt>>),
}

impl Talkspurts {
    /// A device that has not spoken, and will in turns, or never.
    pub fn in_turns() -> Self {
        Self::Turns(Mutex::default())
    }

    /// Begins a talkspurt of `frames` frames at `ready` or right after the one before.
    ///
    /// # Panics
    /// For a device that never stops.
    pub fn begin(&self, ready: u64, frames: u64) -> Talkspurt {
        let Self::Turns(turns) = self else { panic!("who never stops cannot begin") };
        let mut turns = held(turns);
        let (free, before) =
            turns.last().map_or((0, 0), |last| (last.end(), last.index(last.end())));
        let talkspurt = Talkspurt { first: ready.max(free), frames, before };
        turns.push(talkspurt);
        talkspurt
    }

    /// The talkspurt that `frame` belongs to.
    pub fn of(&self, frame: u64) -> Option<Talkspurt> {
        match self {
            Self::Endless => Some(Talkspurt::ENDLESS),
            Self::Turns(turns) => {
                let turns = held(turns);
                let after = turns.partition_point(|talkspurt| talkspurt.first <= frame);
                let last = *turns.get(after.checked_sub(1)?)?;
                (frame < last.end()).then_some(last)
            }
        }
    }

    /// All that were begun.
    pub fn all(&self) -> Vec<Talkspurt> {
        match self {
            Self::Endless => vec![Talkspurt::ENDLESS],
            Self::Turns(turns) => held(turns).clone(),
        }
    }
}

fn held(turns: &Mutex<Vec<Talkspurt>>) -> MutexGuard<'_, Vec<Talkspurt>> {
    turns.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn talkspurts_are_found_by_frame_and_sequences_count_what_is_sent() {
        let turns = Talkspurts::in_turns();
        assert_eq!(turns.of(0), None);
        let first = turns.begin(3, 2);
        let second = turns.begin(10, 4);
        assert_eq!((first.first, first.before, second.first, second.before), (3, 0, 10, 2));
        for (frame, sequence) in [
            (2, None),
            (3, Some(1)),
            (4, Some(2)),
            (5, None),
            (9, None),
            (10, Some(3)),
            (13, Some(6)),
            (14, None),
        ] {
            let found = turns.of(frame).map(|talkspurt| talkspurt.sequence(frame).get());
            assert_eq!(found, sequence, "{frame}");
        }
        assert_eq!(turns.all(), [first, second]);
    }

    #[test]
    fn a_talkspurt_does_not_begin_before_the_one_before_has_ended() {
        let turns = Talkspurts::in_turns();
        turns.begin(3, 2);
        assert_eq!(turns.begin(0, 1).first, 5);
    }

    #[test]
    fn one_without_end_has_every_frame() {
        for frame in [0, 1 << 40] {
            let talkspurt = Talkspurts::Endless.of(frame).unwrap();
            assert_eq!(talkspurt.index(frame), frame);
        }
    }
}
