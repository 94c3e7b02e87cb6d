//! The response latency of every answer of a call, kept so that the call that had the worst of it can
//! be shown frame by frame.
//!
//! Two bytes a frame, up to a number of frames for each call and for the run. Room is taken when the
//! call begins; the operating system gives memory for what is really noted.

use std::time::Duration;

/// Frames of one call that are kept: 20 minutes of 60 ms frames.
const MOST_OF_A_CALL: u64 = 20_000;
/// Frames of all calls that are kept: 16 MiB.
const MOST_OF_A_RUN: u64 = 8 << 20;
/// The unit in which a delay is kept; the longest is 6.5 s.
const UNIT: Duration = Duration::from_micros(100);

/// How many frames may still be kept in this run.
#[derive(Debug)]
pub struct Room(u64);

/// The delay of each answer of a call, by the number of its frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delays(Vec<u16>);

impl Default for Room {
    fn default() -> Self {
        Self(MOST_OF_A_RUN)
    }
}

impl Room {
    /// Room for a call of so many frames; `None` when there is none left.
    pub fn take(&mut self, frames: u64) -> Option<Delays> {
        let frames = frames.min(MOST_OF_A_CALL);
        self.0 = self.0.checked_sub(frames)?;
        Some(Delays(vec![0; usize::try_from(frames).ok()?]))
    }
}

impl Delays {
    /// Notes that the answer to `frame` came so long after its planned instant.
    #[inline]
    pub fn note(&mut self, frame: u64, delay: Duration) {
        let Ok(frame) = usize::try_from(frame) else { return };
        if let Some(kept) = self.0.get_mut(frame) {
            // 0 stands for no answer.
            let units = delay.as_nanos() / UNIT.as_nanos() + 1;
            *kept = u16::try_from(units).unwrap_or(u16::MAX);
        }
    }

    /// Of each of the first frames of a call that sent so many: when its answer came after its planned
    /// instant; `None` when there was no answer.
    pub fn iter(&self, sent: u64) -> impl Iterator<Item = Option<Duration>> {
        let sent = usize::try_from(sent).unwrap_or(usize::MAX);
        let delay = |kept: &u16| kept.checked_sub(1).map(|units| UNIT * u32::from(units));
        self.0.iter().take(sent).map(delay)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_kept_by_frame_to_a_tenth_of_a_millisecond() {
        let mut delays = Room::default().take(5).unwrap();
        for (frame, micros) in [(0, 1_250), (1, 0), (3, 9_000_000), (7, 1)] {
            delays.note(frame, Duration::from_micros(micros));
        }
        let micros: Vec<_> = delays.iter(4).map(|one| one.map(|delay| delay.as_micros())).collect();
        assert_eq!(micros, [Some(1_200), Some(0), None, Some(6_553_400)]);
    }

    #[test]
    fn there_is_a_bound_to_what_is_kept() {
        let mut room = Room::default();
        assert_eq!(room.take(u64::MAX).unwrap().iter(u64::MAX).count() as u64, MOST_OF_A_CALL);
        let calls = (0..10_000).take_while(|_| room.take(MOST_OF_A_CALL).is_some()).count() as u64;
        assert_eq!(calls + 1, MOST_OF_A_RUN / MOST_OF_A_CALL);
        assert!(room.take(1).is_some(), "a short call finds what is left");
    }
}
