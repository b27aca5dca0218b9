//! Memory that all readers of objects share.
//!
//! Bounds: what is lent together never passes what [`Memory::new`] was given; each borrower has
//! [`FREE_BYTES`] besides that nobody counts.
//! Invariant: nobody waits. Who is lent nothing remembers less, compares less or builds in files, so a
//! slow peer that holds much takes speed from the others and never their turn.
//! Not here: memory that grows with the objects of a push (`receive`) or with what is remembered of a
//! repository (`fetch::VisibleSets`).

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// What every borrower may use uncounted.
pub(crate) const FREE_BYTES: usize = 1 << 20;
/// Memory is lent in pieces of this size, so that the count is rarely touched.
const PIECE_BYTES: usize = 1 << 20;

/// A number of bytes to be lent; clones lend from the same.
#[derive(Debug, Clone)]
pub struct Memory(Arc<AtomicUsize>);

impl Memory {
    /// What a process lends that was not told otherwise, in bytes.
    pub const DEFAULT_BYTES: usize = 256 << 20;

    /// So many bytes to be lent.
    pub fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// A loan of nothing yet.
    pub(crate) fn loan(&self) -> Loan {
        Loan {
            memory: self.clone(),
            bytes: 0,
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(Self::DEFAULT_BYTES)
    }
}

/// Bytes that one borrower has; given back when dropped.
#[derive(Debug)]
pub(crate) struct Loan {
    memory: Memory,
    bytes: usize,
}

impl Loan {
    /// Whether so many bytes may be used, [`FREE_BYTES`] among them: now borrowed if they were not.
    pub(crate) fn covers(&mut self, bytes: usize) -> bool {
        let counted = bytes.saturating_sub(FREE_BYTES);
        if counted <= self.bytes {
            return true;
        }
        let Some(more) = (counted - self.bytes).checked_next_multiple_of(PIECE_BYTES) else {
            return false;
        };
        let free = &self.memory.0;
        let taken = free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| {
            free.checked_sub(more)
        });
        if taken.is_ok() {
            self.bytes += more;
        }
        taken.is_ok()
    }

    /// Gives all of it back.
    pub(crate) fn give_back(&mut self) {
        self.memory
            .0
            .fetch_add(std::mem::take(&mut self.bytes), Ordering::Relaxed);
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_lent_than_there_is_and_what_comes_back_is_lent_again() {
        let memory = Memory::new(3 * PIECE_BYTES);
        let (mut one, mut two) = (memory.loan(), memory.loan());
        assert!(one.covers(FREE_BYTES) && two.covers(FREE_BYTES));
        assert!(one.covers(FREE_BYTES + 2 * PIECE_BYTES));
        assert!(two.covers(FREE_BYTES + 1));
        assert!(two.covers(FREE_BYTES + PIECE_BYTES));
        assert!(!two.covers(FREE_BYTES + PIECE_BYTES + 1));
        assert!(!one.covers(usize::MAX));
        drop(one);
        assert!(two.covers(FREE_BYTES + 3 * PIECE_BYTES));
        two.give_back();
        assert_eq!(memory.0.load(Ordering::Relaxed), 3 * PIECE_BYTES);
    }
}
