//! Accounts for every packet of one direction: lost, reordered, duplicate, stale.
//!
//! Loss is what is missing between the first and the highest sequence *now*; a packet that arrives
//! late is taken off again, so judge loss after a drain. Duplicates never hide loss, unlike in
//! RFC 3550's own count. Reordering is RFC 4737's: a packet below the highest seen so far.
//! A jump beyond [`MAX_GAP`] is believed only when the next packet continues it (RFC 3550, A.1),
//! so that one forged packet cannot make a whole session look late.

use crate::Sequence;

/// How far behind the highest sequence a packet can still be told apart from its duplicate.
pub const WINDOW: u64 = 1024;

/// The largest forward gap believed at once: three minutes of 60 ms packets (RFC 3550, `MAX_DROPOUT`).
pub const MAX_GAP: u64 = 3000;

const WORDS: usize = (WINDOW / 64) as usize;

/// What one packet was, relative to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// The packet expected next, or the first of all.
    InOrder,
    /// New, with this many packets missing before it.
    AfterGap(u64),
    /// Below the highest seen, and not seen before.
    Reordered,
    /// Seen before.
    Duplicate,
    /// So far below the highest that nobody remembers whether it was seen.
    Stale,
    /// So far above the highest that it is not believed yet; not counted as received.
    Jump,
}

impl Arrival {
    /// Whether a receiver without a reordering buffer, as the device is, plays this packet.
    pub fn is_newest(self) -> bool {
        matches!(self, Self::InOrder | Self::AfterGap(_))
    }
}

/// The account of one direction of one session. 200 bytes, no allocation.
#[derive(Clone, Debug, Default)]
pub struct SequenceWindow {
    /// First and highest position accepted, extended to 64 bits.
    span: Option<(u64, u64)>,
    /// One bit for each of the last [`WINDOW`] positions, at its position modulo the window.
    seen: [u64; WORDS],
    /// Where a jump would be continued.
    jump_continues_at: Option<u64>,
    unique: u64,
    reordered: u64,
    duplicate: u64,
    stale: u64,
    jumps: u64,
}

impl SequenceWindow {
    /// An account with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Accounts for a packet of the wire, whose 32-bit sequence may have wrapped.
    pub fn observe(&mut self, sequence: Sequence) -> Arrival {
        let position = match self.span {
            None => u64::from(sequence.get()),
            Some((_, highest)) => extend(sequence.get(), highest),
        };
        self.observe_position(position)
    }

    /// Accounts for a packet whose position is known without wrapping.
    pub fn observe_position(&mut self, position: u64) -> Arrival {
        self.account(position, MAX_GAP)
    }

    /// Accounts for a packet whose position is beyond doubt: no jump is too far.
    pub fn observe_certain(&mut self, position: u64) -> Arrival {
        self.account(position, u64::MAX)
    }

    fn account(&mut self, position: u64, largest_gap: u64) -> Arrival {
        let Some((first, highest)) = self.span else {
            return self.restart_at(position);
        };
        if position > highest {
            let gap = position - highest - 1;
            if gap > largest_gap && self.jump_continues_at != Some(position) {
                self.jump_continues_at = Some(position + 1);
                self.jumps += 1;
                return Arrival::Jump;
            }
            self.jump_continues_at = None;
            self.forget(highest + 1, position);
            self.mark(position);
            self.span = Some((first, position));
            self.unique += 1;
            return if gap == 0 { Arrival::InOrder } else { Arrival::AfterGap(gap) };
        }
        if highest - position >= WINDOW {
            self.stale += 1;
            return Arrival::Stale;
        }
        if self.is_marked(position) {
            self.duplicate += 1;
            return Arrival::Duplicate;
        }
        self.mark(position);
        self.span = Some((first.min(position), highest));
        self.unique += 1;
        self.reordered += 1;
        Arrival::Reordered
    }

    /// The highest position so far; `None` before the first packet.
    pub fn highest(&self) -> Option<u64> {
        self.span.map(|(_, highest)| highest)
    }

    /// Packets accepted, each counted once.
    pub fn unique(&self) -> u64 {
        self.unique
    }

    /// Positions between the first and the highest that have not arrived; shrinks when they do.
    pub fn missing(&self) -> u64 {
        self.span.map_or(0, |(first, highest)| highest - first + 1 - self.unique)
    }

    /// Packets that arrived below the highest before them (RFC 4737), not counting duplicates.
    pub fn reordered(&self) -> u64 {
        self.reordered
    }

    /// Packets that had arrived before.
    pub fn duplicate(&self) -> u64 {
        self.duplicate
    }

    /// Packets more than [`WINDOW`] behind the highest.
    pub fn stale(&self) -> u64 {
        self.stale
    }

    /// Packets that jumped ahead by more than [`MAX_GAP`] and were not believed.
    pub fn jumps(&self) -> u64 {
        self.jumps
    }

    fn restart_at(&mut self, position: u64) -> Arrival {
        self.span = Some((position, position));
        self.mark(position);
        self.unique = 1;
        Arrival::InOrder
    }

    fn mark(&mut self, position: u64) {
        self.seen[word(position)] |= 1 << (position % 64);
    }

    fn is_marked(&self, position: u64) -> bool {
        self.seen[word(position)] & (1 << (position % 64)) != 0
    }

    /// Clears the bits of positions `from` to `to`, which older positions used before them.
    fn forget(&mut self, from: u64, to: u64) {
        if to - from >= WINDOW {
            self.seen = [0; WORDS];
            return;
        }
        for position in from..=to {
            self.seen[word(position)] &= !(1 << (position % 64));
        }
    }
}

fn word(position: u64) -> usize {
    ((position % WINDOW) / 64) as usize
}

/// The 64-bit position nearest to `highest` whose low half is `sequence`.
fn extend(sequence: u32, highest: u64) -> u64 {
    let ahead = sequence.wrapping_sub(low_half(highest));
    if ahead < 1 << 31 {
        highest + u64::from(ahead)
    } else {
        // Behind; before the very first position there is nothing, so stay at the start.
        highest.saturating_sub(u64::from(ahead.wrapping_neg()))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the low half is what is asked for")]
fn low_half(position: u64) -> u32 {
    position as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn window_after(sequences: &[u32]) -> SequenceWindow {
        let mut window = SequenceWindow::new();
        for &sequence in sequences {
            window.observe(Sequence::new(sequence));
        }
        window
    }

    #[test]
    fn arrivals_are_named() {
        use Arrival::{AfterGap, Duplicate, InOrder, Jump, Reordered, Stale};
        for (sequences, last) in [
            (&[1][..], InOrder),
            (&[7], InOrder),
            (&[1, 2], InOrder),
            (&[1, 5], AfterGap(3)),
            (&[1, 3, 2], Reordered),
            (&[5, 4], Reordered),
            (&[1, 1], Duplicate),
            (&[1, 3, 2, 2], Duplicate),
            (&[1, 1025, 1], Stale),
            (&[1, 1024, 1], Duplicate),
            (&[1, 3002], AfterGap(3000)),
            (&[1, 3003], Jump),
            (&[1, 9000, 2], InOrder),
            (&[1, 9000, 9001], AfterGap(8999)),
        ] {
            let mut window = window_after(&sequences[..sequences.len() - 1]);
            let arrival = window.observe(Sequence::new(*sequences.last().unwrap()));
            assert_eq!(arrival, last, "{sequences:?}");
        }
    }

    /// RFC 4737's example: 4, 5 and 6 are reordered, nothing is lost in the end.
    #[test]
    fn reordering_is_counted_as_rfc_4737_does() {
        let window = window_after(&[1, 2, 3, 7, 8, 9, 10, 4, 5, 6, 11]);
        assert_eq!((window.reordered(), window.missing(), window.unique()), (3, 0, 11));
    }

    #[test]
    fn duplicates_do_not_hide_loss() {
        let window = window_after(&[1, 2, 2, 2, 5]);
        assert_eq!((window.missing(), window.duplicate(), window.unique()), (2, 2, 3));
    }

    #[test]
    fn the_sequence_may_wrap() {
        let window = window_after(&[u32::MAX - 1, u32::MAX, 0, 2, 1]);
        assert_eq!((window.unique(), window.missing(), window.reordered()), (5, 0, 1));
    }

    #[test]
    fn one_forged_jump_does_not_make_the_session_late() {
        let mut window = window_after(&[1, 2, 4_000_000]);
        assert_eq!(window.observe(Sequence::new(3)), Arrival::InOrder);
        assert_eq!((window.jumps(), window.missing()), (1, 0));
    }

    #[test]
    fn a_position_beyond_doubt_may_be_any_distance_ahead() {
        let mut window = window_after(&[1]);
        assert_eq!(window.observe_certain(9000), Arrival::AfterGap(8998));
    }

    proptest! {
        /// The bitmap agrees with a set that forgets nothing.
        #[test]
        fn the_account_agrees_with_a_set(steps in proptest::collection::vec(-40i64..60, 1..400)) {
            let (mut window, mut model) = (SequenceWindow::new(), HashSet::new());
            let (mut position, mut duplicates) = (1000i64, 0u64);
            for step in steps {
                position = (position + step).max(0);
                let position = u64::try_from(position).unwrap();
                match window.observe_position(position) {
                    Arrival::Duplicate => { duplicates += 1; prop_assert!(!model.insert(position)); }
                    Arrival::Stale => {}
                    _ => prop_assert!(model.insert(position)),
                }
            }
            let span = model.iter().max().unwrap() - model.iter().min().unwrap() + 1;
            prop_assert_eq!(window.unique(), model.len() as u64);
            prop_assert_eq!(window.duplicate(), duplicates);
            prop_assert_eq!(window.missing(), span - model.len() as u64);
        }

        #[test]
        fn any_sequence_of_the_wire_is_accounted_for(sequences in proptest::collection::vec(any::<u32>(), 1..50)) {
            let window = window_after(&sequences);
            let accounted = window.unique() + window.duplicate() + window.stale() + window.jumps();
            prop_assert_eq!(accounted, sequences.len() as u64);
        }
    }
}
