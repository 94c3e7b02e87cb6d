//! A wheel of time slots: who is due next, in constant time and without allocation.
//!
//! Each slot of 500 µs holds what is due since the slot before. Frames repeat every 20 to 60 ms, so a wheel of
//! 256 slots (128 ms) is never overtaken by what it holds; what is due later than that stays in its
//! slot for another turn.
//!
//! A slot is a list through one store of entries, which has as many as the wheel ever held items:
//! memory for each item once, wherever it comes to lie, and none to be found when a late item comes
//! to a slot that never had so many.

use std::mem;

use protocol::Moment;

use crate::schedule::SLOT;

const SLOTS: usize = 256;
const SLOT_NANOS: u64 = SLOT.subsec_nanos() as u64;
/// No entry.
const NONE: usize = usize::MAX;

/// Items by the moment at which they are due.
#[derive(Debug)]
pub struct SlotWheel<T> {
    slots: [Slot; SLOTS],
    entries: Vec<Entry<T>>,
    /// The first of the entries that hold nothing.
    free: usize,
    /// Number of the slot, counted from the start of the run, that is looked at next.
    cursor: u64,
    len: usize,
}

/// A list of entries in the order in which they came.
#[derive(Clone, Copy, Debug)]
struct Slot {
    first: usize,
    last: usize,
}

#[derive(Debug)]
struct Entry<T> {
    due: Moment,
    /// `None` in the list of entries that hold nothing.
    item: Option<T>,
    next: usize,
}

impl<T> SlotWheel<T> {
    /// An empty wheel at the start of the run.
    pub fn new() -> Self {
        let slots = [Slot { first: NONE, last: NONE }; SLOTS];
        Self { slots, entries: Vec::new(), free: NONE, cursor: 0, len: 0 }
    }

    /// Whether nothing will ever be due.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many items it holds.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Adds an item. What should have been due already is due in the slot looked at next.
    pub fn insert(&mut self, due: Moment, item: T) {
        let entry = Entry { due, item: Some(item), next: NONE };
        let at = self.free;
        if at == NONE {
            self.entries.push(entry);
        } else {
            self.free = self.entries[at].next;
            self.entries[at] = entry;
        }
        let at = if at == NONE { self.entries.len() - 1 } else { at };
        self.append(index(slot_of(due).max(self.cursor)), at);
        self.len += 1;
    }

    /// The start of the first slot that holds something due, not looking beyond `horizon`.
    pub fn next_due(&self, horizon: Moment) -> Option<Moment> {
        let last = begun_by(horizon).min(self.cursor + SLOTS as u64 - 1);
        (self.cursor..=last)
            .find(|&slot| self.in_slot(index(slot)).any(|entry| slot_of(entry.due) <= slot))
            .map(|slot| Moment::from_nanos(slot * SLOT_NANOS))
    }

    /// Moves everything that is due at `now` into `due`, earliest slot first.
    pub fn take_due(&mut self, now: Moment, due: &mut Vec<T>) {
        let last = begun_by(now);
        // After a long stop every slot is looked at once, not once for each turn missed.
        let first = self.cursor.max((last + 1).saturating_sub(SLOTS as u64));
        for slot in first..=last {
            let slot = index(slot);
            let list = mem::replace(&mut self.slots[slot], Slot { first: NONE, last: NONE });
            let mut at = list.first;
            while at != NONE {
                let entry = &mut self.entries[at];
                let next = entry.next;
                if slot_of(entry.due) <= last {
                    due.extend(entry.item.take());
                    entry.next = mem::replace(&mut self.free, at);
                    self.len -= 1;
                } else {
                    entry.next = NONE;
                    self.append(slot, at);
                }
                at = next;
            }
        }
        self.cursor = self.cursor.max(last + 1);
    }

    /// Puts entry `at`, which is in no list, at the end of a slot's.
    fn append(&mut self, slot: usize, at: usize) {
        let Slot { first, last } = &mut self.slots[slot];
        if *first == NONE {
            *first = at;
        } else {
            self.entries[*last].next = at;
        }
        *last = at;
    }

    fn in_slot(&self, slot: usize) -> impl Iterator<Item = &Entry<T>> {
        let mut at = self.slots[slot].first;
        std::iter::from_fn(move || {
            let entry = self.entries.get(at)?;
            at = entry.next;
            Some(entry)
        })
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

    #[test]
    fn memory_is_for_as_many_items_as_there_were_at_once() {
        let mut wheel = SlotWheel::new();
        let mut now = 0;
        for item in 0..10 {
            wheel.insert(micros(item * 700), item);
        }
        // Each comes back 20 ms later, through all slots and more than once.
        while now < 1_000_000 {
            now += 3_300;
            for item in taken(&mut wheel, micros(now)) {
                wheel.insert(micros(now + 20_000), item);
            }
        }
        assert_eq!((wheel.len(), wheel.entries.len()), (10, 10));
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
