//! Ref snapshots kept in memory, so that answering a request does not read every ref row.
//!
//! Bounds: [`REFS_MAX`] refs in all kept snapshots together; the least recently used go first.
//! Invariant: a snapshot is handed out only when its generation is the store's at that moment.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lru::LruCache;

use super::{Snapshot, StoreError, refs, repositories};
use crate::model::RefSnapshot;

/// Refs that the kept snapshots may hold together; at about 200 bytes each.
const REFS_MAX: usize = 500_000;

/// How many repositories may be read at once: whoever asks for one that is being read waits for it
/// instead of reading it too.
const READERS: usize = 16;

pub(super) struct RefCache {
    kept: Mutex<Kept>,
    readers: [Mutex<()>; READERS],
}

struct Kept {
    snapshots: LruCache<u64, Arc<RefSnapshot>>,
    weight: usize,
}

impl Default for RefCache {
    fn default() -> Self {
        Self {
            kept: Mutex::new(Kept {
                snapshots: LruCache::unbounded(),
                weight: 0,
            }),
            readers: Default::default(),
        }
    }
}

fn weight(snapshot: &RefSnapshot) -> usize {
    // An empty repository costs its entry too.
    snapshot.entries().len() + 1
}

impl Kept {
    fn remember(&mut self, repository: u64, snapshot: &Arc<RefSnapshot>) {
        if weight(snapshot) > REFS_MAX {
            return;
        }
        self.weight += weight(snapshot);
        if let Some(replaced) = self.snapshots.put(repository, Arc::clone(snapshot)) {
            self.weight -= weight(&replaced);
        }
        while self.weight > REFS_MAX {
            let Some((_, oldest)) = self.snapshots.pop_lru() else {
                break;
            };
            self.weight -= weight(&oldest);
        }
    }
}

impl RefCache {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Every state between two statements of `remember` is sound, if perhaps heavier counted.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kept snapshot if it shows what `now` shows.
    pub(super) fn cached(
        &self,
        repository: u64,
        now: &Snapshot,
    ) -> Result<Option<Arc<RefSnapshot>>, StoreError> {
        let generation = refs::state(now, repository)?.generation;
        let kept = self.kept().snapshots.get(&repository).cloned();
        Ok(kept.filter(|snapshot| snapshot.generation() == generation))
    }

    /// The refs as they are now; `None` when the repository is gone.
    pub(super) fn fresh(
        &self,
        repository: u64,
        now: impl Fn() -> Result<Snapshot, StoreError>,
    ) -> Result<Option<Arc<RefSnapshot>>, StoreError> {
        if let Some(found) = self.cached(repository, &now()?)? {
            return Ok(Some(found));
        }
        let reader = usize::try_from(repository % READERS as u64).unwrap_or_default();
        let _reading = self.readers[reader]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Whoever held the lock may have read it for us.
        let now = now()?;
        if let Some(found) = self.cached(repository, &now)? {
            return Ok(Some(found));
        }
        let Some(row) = repositories::by_id(&now, repository)? else {
            return Ok(None);
        };
        let snapshot = Arc::new(refs::snapshot(&now, &row)?);
        self.kept().remember(repository, &snapshot);
        Ok(Some(snapshot))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ObjectFormat, ObjectId, RefEntry, RefName};

    fn snapshot_of(refs: usize) -> Arc<RefSnapshot> {
        let id = ObjectId::null(ObjectFormat::Sha1.kind());
        let entry = |n| RefEntry {
            name: RefName::branch(&format!("b{n}")).unwrap(),
            id,
            peeled: None,
        };
        let head = RefName::branch("main").unwrap();
        Arc::new(RefSnapshot::new(1, head, (0..refs).map(entry).collect()))
    }

    #[test]
    fn the_least_recently_used_snapshots_make_room() {
        let cache = RefCache::default();
        let big = snapshot_of(REFS_MAX / 2);
        for repository in 1..=3 {
            cache.kept().remember(repository, &big);
        }
        let kept = cache.kept();
        assert!(kept.weight <= REFS_MAX);
        assert_eq!(kept.snapshots.len(), 1);
        assert!(kept.snapshots.contains(&3));
    }

    #[test]
    fn replacing_a_snapshot_counts_it_once() {
        let cache = RefCache::default();
        for _ in 0..3 {
            cache.kept().remember(1, &snapshot_of(10));
        }
        assert_eq!(cache.kept().weight, 11);
    }
}
