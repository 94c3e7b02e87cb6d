//! Whether the answers to one call open to Opus packets at all.
//!
//! The cipher has no authentication: under another key than it was sealed with, a packet opens to
//! random bytes. About half of those break a rule of RFC 6716; most others have another duration
//! than agreed. A gateway that is merely wrong about durations breaks no rule, and damage is rare,
//! as UDP has a checksum: so malformed packets in a row name the key.

use protocol::Moment;

/// Packets that are looked back at.
const WINDOW: u32 = 20;
/// More malformed ones among them name the key: a fifth.
const ALLOWED: u32 = 4;

/// What the newest packets opened to; 32 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KeyWatch {
    /// A bit for each of the newest packets, set where it was malformed.
    newest: u32,
    wrong_since: Option<Moment>,
}

impl KeyWatch {
    /// Notes what a packet opened to that arrived at `at`.
    pub(super) fn opened(&mut self, well_formed: bool, at: Moment) {
        self.newest = (self.newest << 1 | u32::from(!well_formed)) & ((1 << WINDOW) - 1);
        if self.newest.count_ones() > ALLOWED {
            self.wrong_since.get_or_insert(at);
        }
    }

    /// When it was clear that the packets are sealed with another key; `None` when it never was.
    pub(super) fn wrong_since(self) -> Option<Moment> {
        self.wrong_since
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named_after(malformed: impl IntoIterator<Item = bool>) -> Option<u64> {
        let mut watch = KeyWatch::default();
        for (packet, malformed) in (1..).zip(malformed) {
            watch.opened(!malformed, Moment::from_millis(packet));
        }
        watch.wrong_since().map(|at| at.as_nanos() / 1_000_000)
    }

    #[test]
    fn a_fifth_of_twenty_is_damage_and_more_is_another_key() {
        let every = |n: usize| (0..1000).map(move |packet| packet % n == 0);
        assert_eq!(named_after(every(1000)), None);
        assert_eq!(named_after(every(5)), None, "4 of any 20");
        assert_eq!(named_after(every(4)), Some(17), "the fifth of 20");
        assert_eq!(named_after(every(1)), Some(5));
    }

    #[test]
    fn an_outage_in_the_middle_is_seen_and_what_left_the_window_is_forgotten() {
        let outage = |from: usize| (0..100).map(move |packet| (from..from + 5).contains(&packet));
        assert_eq!(named_after(outage(50)), Some(55));
        let apart = (0..100).map(|packet| [0, 21, 22, 23, 24].contains(&packet));
        assert_eq!(named_after(apart), None);
    }
}
