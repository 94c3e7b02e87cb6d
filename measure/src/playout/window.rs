//! Which of the latest frames have arrived: a ring of bits.

/// The last `WORDS` × 64 frames up to the newest that arrived.
#[derive(Clone, Debug)]
pub(super) struct Window<const WORDS: usize> {
    newest: Option<u64>,
    bits: [u64; WORDS],
}

impl<const WORDS: usize> Window<WORDS> {
    /// How many frames it remembers.
    const SPAN: u64 = WORDS as u64 * 64;

    /// Nothing has arrived.
    pub(super) const fn new() -> Self {
        Self { newest: None, bits: [0; WORDS] }
    }

    /// The highest frame that arrived.
    pub(super) fn newest(&self) -> Option<u64> {
        self.newest
    }

    /// Whether this frame arrived; false also for one that is too old to be remembered.
    pub(super) fn has(&self, frame: u64) -> bool {
        let (word, bit) = Self::place(frame);
        self.remembers(frame) && self.bits[word] & bit != 0
    }

    /// Notes the arrival of a frame; false when it has arrived before or is too old to tell.
    pub(super) fn insert(&mut self, frame: u64) -> bool {
        match self.newest {
            Some(newest) if frame <= newest => {
                if self.has(frame) || !self.remembers(frame) {
                    return false;
                }
            }
            Some(newest) if frame - newest < Self::SPAN => {
                for between in newest + 1..frame {
                    let (word, bit) = Self::place(between);
                    self.bits[word] &= !bit;
                }
                self.newest = Some(frame);
            }
            _ => *self = Self { newest: Some(frame), bits: [0; WORDS] },
        }
        let (word, bit) = Self::place(frame);
        self.bits[word] |= bit;
        true
    }

    fn remembers(&self, frame: u64) -> bool {
        self.newest.is_some_and(|newest| frame <= newest && newest - frame < Self::SPAN)
    }

    /// The word and the bit in it.
    fn place(frame: u64) -> (usize, u64) {
        let word = frame / 64 % WORDS as u64;
        (usize::try_from(word).expect("less than WORDS"), 1 << (frame % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_frame_is_new_once() {
        let mut window = Window::<2>::new();
        for (frame, new) in
            [(5, true), (5, false), (3, true), (7, true), (6, true), (3, false), (4, true)]
        {
            assert_eq!(window.insert(frame), new, "{frame}");
            assert!(window.has(frame), "{frame}");
        }
        assert!(!window.has(8) && !window.has(2));
    }

    #[test]
    fn what_left_the_window_is_neither_there_nor_new() {
        let mut window = Window::<2>::new();
        window.insert(0);
        window.insert(127);
        assert!(window.has(0) && window.insert(1));
        window.insert(128);
        assert!(!window.has(0) && !window.insert(0) && window.has(1));
        // Frames 129 to 254 use the places of 1 to 126 and have not arrived.
        window.insert(255);
        assert!((129..255).all(|frame| !window.has(frame)) && window.has(128));
        window.insert(u64::MAX);
        assert!(!window.has(255) && window.has(u64::MAX) && window.newest() == Some(u64::MAX));
    }
}
