//! The one writer: many closures, one write transaction, one fsync, then an answer to each.
//!
//! One flush a commit, not two: redb's two-phase commits halve the commits a second. Their gain, a
//! store that is open at once after a crash, is small: checking it all takes a tenth of a second for
//! 64 MB and less than one for 256 MB.
//!
//! Bounds: [`QUEUE_MAX`] closures wait at most, later callers wait for room; [`BATCH_MAX`] closures
//! share a transaction at most; nothing is written when the disk is nearly full.
//! Invariant: no closure is answered with success before its transaction is on disk; a closure that
//! failed has left nothing, even if it wrote before it failed.

use std::{
    cell::Cell,
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use redb::{Database, Key, ReadableTable, Table, TableDefinition, Value, WriteTransaction};
use tokio::sync::{mpsc, oneshot};

use super::{Reads, StoreError, rows::Index};
use crate::{disk::Reserve, model::Timestamp};

/// Closures that may wait for the committer.
const QUEUE_MAX: usize = 1024;

/// Closures that may share one transaction: bounds what one of them waits for the others.
const BATCH_MAX: usize = 256;

static COUNTERS: Index<&str, u64> = Index::new("counters");

/// The write transaction that is under way, as one closure sees it.
pub struct Transaction<'t> {
    database: &'t WriteTransaction,
    now: Timestamp,
    dirty: Cell<bool>,
}

impl<'t> Transaction<'t> {
    fn new(database: &'t WriteTransaction, now: Timestamp) -> Self {
        Self {
            database,
            now,
            dirty: Cell::new(false),
        }
    }

    /// When the transaction began: the one time that all its rows carry.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The next number of this counter; the first is 1.
    pub(super) fn next(&self, counter: &'static str) -> Result<u64, StoreError> {
        let next = counter_value(self, counter)? + 1;
        COUNTERS.put(self, counter, next)?;
        Ok(next)
    }

    pub(super) fn table_to_write<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'static, K, V>,
    ) -> Result<Table<'t, K, V>, StoreError> {
        self.dirty.set(true);
        self.database
            .open_table(definition)
            .map_err(StoreError::database)
    }
}

impl Reads for Transaction<'_> {
    fn table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'static, K, V>,
    ) -> Result<impl ReadableTable<K, V>, StoreError> {
        self.database
            .open_table(definition)
            .map_err(StoreError::database)
    }
}

/// The last number that this counter gave out.
pub(super) fn counter_value(from: &impl Reads, counter: &'static str) -> Result<u64, StoreError> {
    Ok(COUNTERS.get(from, counter, |value| value)?.unwrap_or(0))
}

pub(super) fn create_tables(database: &WriteTransaction) -> Result<(), StoreError> {
    COUNTERS.create(database)
}

/// Handle of the committer's thread; dropping it waits for the batch under way.
pub(super) struct Committer {
    queue: Option<mpsc::Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
    tally: Arc<Tally>,
}

/// What became of the commits so far.
#[derive(Debug, Default)]
struct Tally {
    committed: AtomicU64,
    /// Whether the database failed once: it then refuses everything until it is opened again.
    failed: AtomicBool,
}

impl Committer {
    pub(super) fn start(database: Arc<Database>, data_folder: &Path) -> io::Result<Self> {
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let tally = Arc::new(Tally::default());
        let writer = Writer {
            database,
            folder: data_folder.to_owned(),
            tally: Arc::clone(&tally),
        };
        let thread = thread::Builder::new()
            .name("committer".to_owned())
            .spawn(move || writer.run(jobs))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
            tally,
        })
    }

    pub(super) fn transactions_committed(&self) -> u64 {
        self.tally.committed.load(Ordering::Relaxed)
    }

    pub(super) fn has_failed(&self) -> bool {
        self.tally.failed.load(Ordering::Relaxed)
    }

    pub(super) async fn commit<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnMut(&Transaction<'_>) -> Result<T, E> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Waiting {
            work,
            outcome: None,
            reply,
        });
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(job).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for Committer {
    fn drop(&mut self) {
        drop(self.queue.take());
        let Some(thread) = self.thread.take() else {
            return;
        };
        // A closure that holds the last handle of the store is dropped by the thread itself.
        if thread.thread().id() != thread::current().id() && thread.join().is_err() {
            tracing::error!("the committer had panicked");
        }
    }
}

/// What is left of a closure's run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ran {
    /// It succeeded or it refused and wrote nothing.
    Clean { wrote: bool },
    /// It failed after it wrote: the transaction must not be committed.
    Tainted,
}

trait Job: Send {
    fn run(&mut self, transaction: &Transaction<'_>) -> Ran;
    fn answer(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Waiting<T, E, F> {
    work: F,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Job for Waiting<T, E, F>
where
    T: Send,
    E: From<StoreError> + Send,
    F: FnMut(&Transaction<'_>) -> Result<T, E> + Send,
{
    fn run(&mut self, transaction: &Transaction<'_>) -> Ran {
        let work = AssertUnwindSafe(|| (self.work)(transaction));
        let outcome = catch_unwind(work).unwrap_or_else(|_| Err(StoreError::Panicked.into()));
        let wrote = transaction.dirty.get();
        let ran = match outcome {
            Err(_) if wrote => Ran::Tainted,
            _ => Ran::Clean { wrote },
        };
        self.outcome = Some(outcome);
        ran
    }

    fn answer(self: Box<Self>, committed: Result<(), StoreError>) {
        let outcome = match (self.outcome, committed) {
            // Its own error comes first: it is what it saw, and nothing of it was stored anyway.
            (Some(Err(refused)), _) => Err(refused),
            (Some(outcome), Ok(())) => outcome,
            (_, Err(failed)) => Err(failed.into()),
            (None, Ok(())) => Err(StoreError::Closed.into()),
        };
        // Nobody listens any more when the caller was cancelled; what is committed stays so.
        drop(self.reply.send(outcome));
    }
}

/// The committer's thread at work.
struct Writer {
    database: Arc<Database>,
    folder: PathBuf,
    tally: Arc<Tally>,
}

enum Attempt {
    /// Committed, or nothing was to be committed, or the database failed.
    Ended(Result<(), StoreError>),
    /// A closure failed after it wrote.
    RolledBack,
}

impl Writer {
    fn run(self, mut jobs: mpsc::Receiver<Box<dyn Job>>) {
        while let Some(first) = jobs.blocking_recv() {
            let mut batch = vec![first];
            while batch.len() < BATCH_MAX {
                let Ok(next) = jobs.try_recv() else { break };
                batch.push(next);
            }
            match self.attempt(&mut batch) {
                Attempt::Ended(outcome) => {
                    for job in batch {
                        job.answer(outcome.clone());
                    }
                }
                Attempt::RolledBack => {
                    for job in batch {
                        self.run_alone(job);
                    }
                }
            }
        }
    }

    /// Runs one closure in a transaction of its own.
    fn run_alone(&self, job: Box<dyn Job>) {
        let mut alone = vec![job];
        let outcome = match self.attempt(&mut alone) {
            Attempt::Ended(outcome) => outcome,
            // Its own error is its answer.
            Attempt::RolledBack => Ok(()),
        };
        for job in alone {
            job.answer(outcome.clone());
        }
    }

    fn attempt(&self, batch: &mut [Box<dyn Job>]) -> Attempt {
        let attempt = self.transact(batch);
        if let Attempt::Ended(Err(StoreError::Database(cause))) = &attempt {
            tracing::error!(%cause, "the store has failed and must be opened again");
            self.tally.failed.store(true, Ordering::Relaxed);
        }
        attempt
    }

    fn transact(&self, batch: &mut [Box<dyn Job>]) -> Attempt {
        // A disk that can't be asked is no reason to write nothing.
        if let Err(full) = Reserve::FromRows.check(&self.folder)
            && full.kind() == io::ErrorKind::StorageFull
        {
            tracing::warn!(folder = ?self.folder, "the disk is nearly full, nothing is committed");
            return Attempt::Ended(Err(StoreError::DiskFull));
        }
        let transaction = match self.database.begin_write() {
            Ok(transaction) => transaction,
            Err(cause) => return Attempt::Ended(Err(StoreError::database(cause))),
        };
        let now = Timestamp::now();
        let mut anything_written = false;
        for job in batch {
            match job.run(&Transaction::new(&transaction, now)) {
                Ran::Clean { wrote } => anything_written |= wrote,
                Ran::Tainted => {
                    let rolled_back = transaction.abort().map_err(StoreError::database);
                    return match rolled_back {
                        Ok(()) => Attempt::RolledBack,
                        Err(failed) => Attempt::Ended(Err(failed)),
                    };
                }
            }
        }
        let ended = if anything_written {
            transaction.commit().map_err(StoreError::database)
        } else {
            transaction.abort().map_err(StoreError::database)
        };
        if anything_written && ended.is_ok() {
            self.tally.committed.fetch_add(1, Ordering::Relaxed);
        }
        Attempt::Ended(ended)
    }
}
