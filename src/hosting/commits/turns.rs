//! Turns: who commits onto a branch while others want to.
//!
//! Bounds: one entry for each branch that somebody commits onto; those left behind are swept when
//! their number has doubled.
//! Invariant: first come, first served; a turn ends when it is dropped. Turns spare work, they are no
//! safeguard: that is the comparison at the commit point.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use crate::model::RefName;

/// Entries that are kept without looking whether anybody wants them.
const UNSWEPT: usize = 64;

/// The branches onto which somebody commits.
#[derive(Debug, Clone, Default)]
pub(in crate::hosting) struct Turns(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    branches: HashMap<(u64, RefName), Weak<Turn<()>>>,
    sweep_at: usize,
}

impl Turns {
    /// Waits for one's turn on this branch of this repository.
    pub(super) async fn take(&self, repository: u64, branch: &RefName) -> OwnedMutexGuard<()> {
        let turn = self.turn((repository, branch.clone()));
        turn.lock_owned().await
    }

    fn turn(&self, key: (u64, RefName)) -> Arc<Turn<()>> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = waiting.branches.get(&key).and_then(Weak::upgrade) {
            return turn;
        }
        if waiting.branches.len() >= waiting.sweep_at.max(UNSWEPT) {
            waiting.branches.retain(|_, turn| turn.strong_count() > 0);
            waiting.sweep_at = 2 * waiting.branches.len();
        }
        let turn = Arc::default();
        waiting.branches.insert(key, Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn branch(number: usize) -> RefName {
        RefName::branch(&format!("b{number}")).unwrap()
    }

    #[tokio::test]
    async fn turns_are_taken_one_after_the_other_on_each_branch() {
        let turns = Turns::default();
        let branch_one = branch(1);
        let first = turns.take(1, &branch_one).await;
        let second = turns.take(1, &branch_one);
        tokio::pin!(second);
        assert!(second.as_mut().now_or_never().is_none());
        assert!(turns.take(1, &branch(2)).now_or_never().is_some());
        assert!(turns.take(2, &branch(1)).now_or_never().is_some());
        drop(first);
        drop(second.await);
    }

    #[tokio::test]
    async fn branches_that_nobody_wants_are_forgotten() {
        let turns = Turns::default();
        let held = turns.take(1, &branch(0)).await;
        for number in 1..10 * UNSWEPT {
            drop(turns.take(1, &branch(number)).await);
        }
        assert!(turns.0.lock().unwrap().branches.len() <= UNSWEPT);
        assert!(turns.take(1, &branch(0)).now_or_never().is_none());
        drop(held);
    }
}
