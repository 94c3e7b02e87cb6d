//! Datagram buffers that are used again and again, so that a frame costs no allocation.
//!
//! Workers give back one at a time; a media thread takes as many as a batch may need at once.

use std::sync::{Mutex, MutexGuard};

use platform::Datagram;

/// Buffers kept for later, at 1.5 KB each; what is given back beyond is freed.
const KEPT: usize = 4096;

/// The free list of one gateway.
#[derive(Debug)]
pub(crate) struct Buffers {
    free: Mutex<Vec<Datagram>>,
}

impl Buffers {
    /// An empty list, with room for as many buffers as it will ever hold.
    pub(crate) fn new() -> Self {
        Self { free: Mutex::new(Vec::with_capacity(KEPT)) }
    }

    /// Fills `spares` up to `count` buffers, with new ones where none are left.
    pub(crate) fn refill(&self, spares: &mut Vec<Datagram>, count: usize) {
        let missing = count.saturating_sub(spares.len());
        if missing > 0 {
            let mut free = self.free();
            let keep = free.len().saturating_sub(missing);
            spares.extend(free.drain(keep..));
            drop(free);
            spares.resize_with(count, Datagram::spare);
        }
    }

    /// Takes back a buffer.
    pub(crate) fn give_back(&self, datagram: Datagram) {
        let mut free = self.free();
        if free.len() < KEPT {
            free.push(datagram);
        }
    }

    fn free(&self) -> MutexGuard<'_, Vec<Datagram>> {
        self.free.lock().expect("nothing panics while it holds the free list")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_given_back_are_used_before_new_ones_are_made() {
        let (buffers, mut spares) = (Buffers::new(), Vec::new());
        buffers.refill(&mut spares, 2);
        let mut addresses: Vec<_> = spares.iter().map(|d| d.payload().as_ptr()).collect();
        for datagram in spares.drain(..) {
            buffers.give_back(datagram);
        }
        buffers.refill(&mut spares, 3);
        spares.retain(|d| {
            let again = addresses.iter().position(|&address| address == d.payload().as_ptr());
            again.map(|at| addresses.swap_remove(at)).is_some()
        });
        assert!(addresses.is_empty() && spares.len() == 2);
    }
}
