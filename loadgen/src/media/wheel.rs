//! A wheel of time slots: who is due next, in constant time and without allocation.
//!
//! Each slot of 500 µs holds what is due since the slot before. Frames repeat every 20 to 60 ms, so a wheel of
//! 256 slots (128 ms) is never overtaken by what it holds; what is due later than that stays in its
//! slot for another turn.

use protocol::Moment;

use crate::schedule::SLOT;

const SLOTS: usize = 256;
const SLOT_NANOS: u64 = SLOT.subsec_nanos() as u64;

/// Items by the moment at which they are due.
#[derive(Debug)]
pub struct SlotWheel<T> {
    slots: Vec<Vec<(Moment, T)>>,
    /// Number of the slot, counted from the start of the run, that is looked at next.
    cursor: u64,
    len: usize,
}

impl<T> SlotWheel<T> {
    /// An empty wheel at the start of the run.
    pub fn new() -> Self {
        Self { slots: (0..SLOTS).map(|_| Vec::new()).collect(), cursor: 0, len: 0 }
    }

    /// Whether nothing will ever be due.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds an item. What should have been due already is due in the slot looked at next.
    pub fn insert(&mut self, due: Moment, item: T) {
        let slot = slot_of(due).max(self.cursor);
        self.slots[index(slot)].push((due, item));
        self.len += 1;
    }

    /// The start of the first slot that holds something due, not looking beyond `horizon`.
    pub fn next_due(&self, horizon: Moment) -> Option<Moment> {
        let last = begun_by(horizon).min(self.cursor + SLOTS as u64 - 1);
        (self.cursor..=last)
            .find(|&slot| self.slots[index(slot)].iter().any(|(due, _)| slot_of(*due) <= slot))
            .map(|slot| Moment::from_nanos(slot * SLOT_NANOS))
    }

    /// Moves everything that is due at `now` into `due`, earliest slot first.
    pub fn take_due(&mut self, now: Moment, due: &mut Vec<T>) {
        let last = begun_by(now);
        // After a long stop every slot is looked at once, not once for each turn missed.
        let first = self.cursor.max((last + 1).saturating_sub(SLOTS as u64));
        for slot in first..=last {
            let items = &mut self.slots[index(slot)];
            let before = due.len();
            due.extend(items.extract_if(.., |(at, _)| slot_of(*at) <= last).map(|(_, item)| item));
            self.len -= due.len() - before;
        }
        self.cursor = self.cursor.max(last + 1);
    }
}

impl<T> Default for SlotWheel<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The first slot that begins at or after `due`, counted from the start of the run: never early.
fn slot_of(due: Moment) -> u64 {
    due.as_nanos().div_ceil(SLOT_NANOS)
}

/// The last slot that has begun by `now`.
fn begun_by(now: Moment) -> u64 {
    now.as_nanos() / SLOT_NANOS
}

#[expect(clippy::cast_possible_truncation, reason = "the remainder is below SLOTS")]
fn index(slot: u64) -> usize {
    (slot % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn micros(micros: u64) -> Moment {
        Moment::from_nanos(micros * 1000)
    }

    fn taken(wheel: &mut SlotWheel<u64>, at: Moment) -> Vec<u64> {
        let mut due = Vec::new();
        wheel.take_due(at, &mut due);
        due
    }

    #[test]
    fn items_come_out_when_due_and_not_before() {
        let mut wheel = SlotWheel::new();
        for due in [1000, 1500, 1500, 60_000, 200_000] {
            wheel.insert(micros(due), due);
        }
        assert_eq!(wheel.next_due(micros(999_999)), Some(micros(1000)));
        assert!(taken(&mut wheel, micros(999)).is_empty());
        assert_eq!(taken(&mut wheel, micros(1500)), [1000, 1500, 1500]);
        assert_eq!(wheel.next_due(micros(59_000)), None);
        assert_eq!(wheel.next_due(micros(999_999)), Some(micros(60_000)));
        assert_eq!(taken(&mut wheel, micros(199_000)), [60_000]);
        assert_eq!(taken(&mut wheel, micros(200_000)), [200_000]);
        assert!(wheel.is_empty());
    }

    #[test]
    fn what_is_overdue_comes_next() {
        let mut wheel = SlotWheel::new();
        assert!(taken(&mut wheel, micros(50_000)).is_empty());
        wheel.insert(micros(10_000), 1);
        assert_eq!(wheel.next_due(micros(60_000)), Some(micros(50_500)));
        assert_eq!(taken(&mut wheel, micros(50_500)), [1]);
    }

    proptest! {
        /// However the clock jumps, everything comes out once, and never early.
        #[test]
        fn nothing_is_lost_or_early(
            dues in proptest::collection::vec(0u64..1_000_000, 1..60),
            steps in proptest::collection::vec(1u64..300_000, 1..40),
        ) {
            let mut wheel = SlotWheel::new();
            for &due in &dues {
                wheel.insert(micros(due), due);
            }
            let (mut now, mut seen) = (0, Vec::new());
            for step in steps.into_iter().chain([1_000_000]) {
                now += step;
                for due in taken(&mut wheel, micros(now)) {
                    prop_assert!(due <= now, "{due} came at {now}");
                    seen.push(due);
                }
            }
            seen.sort_unstable();
            let mut dues = dues;
            dues.sort_unstable();
            prop_assert_eq!(seen, dues);
        }
    }
}
