//! Slots: how much Git work runs at once, and who waits.
//!
//! Bounds: slots for the server, each repository and each caller; a queue of bounded length and a
//! maximal wait. Beyond them a request is refused with [`Busy`], never piled up.
//! Invariant: counts for a repository or caller vanish with their last slot, so the maps hold only
//! what is running or waiting.
//! Not here: memory per request (`git`) and how the refusal reads to the peer (the transports).

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a refused peer is asked to stay away, in seconds.
pub(crate) const RETRY_AFTER_SECONDS: u64 = 10;

/// Too much is going on; the peer should come again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the server is busy, try again in {RETRY_AFTER_SECONDS} seconds")]
pub(crate) struct Busy;

/// Hands out the slots of one kind of work.
#[derive(Debug)]
pub(crate) struct Slots {
    server: Arc<Semaphore>,
    repositories: Counted<u64>,
    callers: Counted<String>,
    waiting: AtomicUsize,
    queue_length: usize,
    queue_wait: Duration,
}

/// The right to work; given back when dropped, in the reverse order of taking.
#[derive(Debug)]
pub(crate) struct Slot {
    _server: OwnedSemaphorePermit,
    _repository: CountedPermit<u64>,
    _caller: CountedPermit<String>,
}

/// How many slots there are.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SlotBounds {
    /// For the whole server.
    pub(crate) server: usize,
    /// For one repository.
    pub(crate) repository: usize,
    /// For one caller.
    pub(crate) caller: usize,
    /// Requests that may wait.
    pub(crate) queue_length: usize,
    /// Longest wait.
    pub(crate) queue_wait: Duration,
}

impl Slots {
    pub(crate) fn new(bounds: SlotBounds) -> Self {
        Self {
            server: Arc::new(Semaphore::new(bounds.server)),
            repositories: Counted::new(bounds.repository),
            callers: Counted::new(bounds.caller),
            waiting: AtomicUsize::new(0),
            queue_length: bounds.queue_length,
            queue_wait: bounds.queue_wait,
        }
    }

    /// Takes a slot, waiting for one if need be.
    ///
    /// # Errors
    /// [`Busy`] when the queue is full or the wait took too long; nothing is held then.
    pub(crate) async fn acquire(&self, repository: u64, caller: String) -> Result<Slot, Busy> {
        let taken = self.take(repository, caller);
        tokio::pin!(taken);
        // What is free at once needs no place in the queue.
        if let Some(taken) = taken.as_mut().now_or_never() {
            return taken;
        }
        let _queued = Queued::enter(&self.waiting, self.queue_length)?;
        tokio::time::timeout(self.queue_wait, taken)
            .await
            .map_err(|_| Busy)?
    }

    async fn take(&self, repository: u64, caller: String) -> Result<Slot, Busy> {
        // The narrow bounds first: whoever waits for them must not hold what others could use.
        let caller = self.callers.acquire(caller).await;
        let repository = self.repositories.acquire(repository).await;
        let server = Arc::clone(&self.server)
            .acquire_owned()
            .await
            .map_err(|_| Busy)?;
        Ok(Slot {
            _server: server,
            _repository: repository,
            _caller: caller,
        })
    }
}

/// One place in the queue.
struct Queued<'a>(&'a AtomicUsize);

impl<'a> Queued<'a> {
    fn enter(waiting: &'a AtomicUsize, most: usize) -> Result<Self, Busy> {
        let place = Queued(waiting);
        if waiting.fetch_add(1, Ordering::Relaxed) >= most {
            return Err(Busy);
        }
        Ok(place)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One semaphore for each key that is in use.
#[derive(Debug)]
struct Counted<K> {
    bound: usize,
    semaphores: Arc<Mutex<HashMap<K, Arc<Semaphore>>>>,
}

impl<K: Hash + Eq + Clone> Counted<K> {
    fn new(bound: usize) -> Self {
        Self {
            bound,
            semaphores: Arc::default(),
        }
    }

    async fn acquire(&self, key: K) -> CountedPermit<K> {
        let semaphore = Arc::clone(
            self.semaphores
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .entry(key.clone())
                .or_insert_with(|| Arc::new(Semaphore::new(self.bound))),
        );
        // Made before waiting, so that a request cancelled in the queue cleans up too.
        let mut permit = CountedPermit {
            key,
            semaphores: Arc::clone(&self.semaphores),
            semaphore: Some(Arc::clone(&semaphore)),
            permit: None,
        };
        permit.permit = semaphore.acquire_owned().await.ok();
        permit
    }
}

#[derive(Debug)]
struct CountedPermit<K: Hash + Eq> {
    key: K,
    semaphores: Arc<Mutex<HashMap<K, Arc<Semaphore>>>>,
    semaphore: Option<Arc<Semaphore>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl<K: Hash + Eq> Drop for CountedPermit<K> {
    fn drop(&mut self) {
        drop(self.permit.take());
        drop(self.semaphore.take());
        let mut semaphores = self
            .semaphores
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // The map's own reference is the last one: nobody holds or awaits a permit of this key.
        if semaphores
            .get(&self.key)
            .is_some_and(|semaphore| Arc::strong_count(semaphore) == 1)
        {
            semaphores.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(server: usize, repository: usize, caller: usize, queue_length: usize) -> Slots {
        Slots::new(SlotBounds {
            server,
            repository,
            caller,
            queue_length,
            queue_wait: Duration::from_secs(5),
        })
    }

    #[tokio::test(start_paused = true)]
    async fn each_bound_holds_on_both_sides() {
        for (bounds, second) in [
            ((1, 9, 9), (2, "b")),
            ((9, 1, 9), (1, "b")),
            ((9, 9, 1), (2, "a")),
        ] {
            let slots = slots(bounds.0, bounds.1, bounds.2, 8);
            let first = slots.acquire(1, "a".into()).await.unwrap();
            assert_eq!(
                slots.acquire(second.0, second.1.into()).await.unwrap_err(),
                Busy,
                "{bounds:?}"
            );
            drop(first);
            slots.acquire(second.0, second.1.into()).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_queue_what_is_free_is_had_and_nobody_waits() {
        let slots = slots(1, 9, 9, 0);
        let held = slots.acquire(1, "a".into()).await.unwrap();
        let began = tokio::time::Instant::now();
        assert_eq!(slots.acquire(2, "b".into()).await.unwrap_err(), Busy);
        assert_eq!(began.elapsed(), Duration::ZERO);
        drop(held);
        slots.acquire(2, "b".into()).await.unwrap();
        assert!(slots.callers.semaphores.lock().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_refuses_at_once_and_counts_vanish() {
        let slots = Arc::new(slots(1, 9, 9, 1));
        let held = slots.acquire(1, "a".into()).await.unwrap();
        let waiting = tokio::spawn({
            let slots = Arc::clone(&slots);
            async move { slots.acquire(2, "b".into()).await.map(drop) }
        });
        tokio::task::yield_now().await;
        assert_eq!(slots.acquire(3, "c".into()).await.unwrap_err(), Busy);
        drop(held);
        waiting.await.unwrap().unwrap();
        assert!(slots.repositories.semaphores.lock().unwrap().is_empty());
        assert!(slots.callers.semaphores.lock().unwrap().is_empty());
    }
}
