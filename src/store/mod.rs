//! The embedded transactional store: every account, key, repository, ref and audit row.
//!
//! One file per aggregate, each with its rows, its tables and the functions over them. Functions
//! that read take [`Reads`], so that they serve a [`Snapshot`] and a [`Transaction`] alike;
//! functions that write take a [`Transaction`], which only [`Store::commit`] hands out.
//!
//! Bounds: [`committer`] bounds the queue and the batch, [`ref_cache`] the snapshots kept, and
//! [`CACHE_BYTES`] the pages of the file.
//! Invariant: multi-step state is never spread over several transactions.
//! Not here: who may do what (`policy`), how secrets are made (`auth`), packs (`git`).

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use redb::{Builder, Database, DatabaseError, ReadableDatabase};

use crate::{disk, model::RefSnapshot};

pub mod audit;
mod codec;
mod committer;
pub mod deploy_keys;
pub mod issuers;
pub mod memberships;
mod migrate;
pub mod namespaces;
pub mod origins;
mod ref_cache;
pub mod refs;
pub mod repositories;
pub mod robots;
mod rows;
pub mod ssh_keys;
pub mod tokens;
pub mod upstreams;
pub mod users;

pub use committer::Transaction;
pub use rows::{Reads, Snapshot};

use committer::Committer;
use ref_cache::RefCache;

/// Pages that redb keeps in memory, nine tenths of them as read and one as written; its own default is a
/// gibibyte. The system keeps the others.
const CACHE_BYTES: usize = 32 << 20;

/// The store of one data folder; cheap to clone.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

/// Fields drop in this order: the committer ends its last batch before the file is closed and
/// the folder is free for the next server.
struct Inner {
    committer: Committer,
    database: Arc<Database>,
    ref_cache: RefCache,
    _lock: File,
}

/// Why a data folder can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another server holds the lock.
    #[error("another packhorse uses this data folder: {0:?}")]
    InUse(PathBuf),
    /// The store was written by a later release; nothing was touched.
    #[error("store version {found} is newer than {known}, the newest this release knows")]
    Newer {
        /// Version of the store.
        found: u64,
        /// Newest version of this release.
        known: u64,
    },
    /// The folder or the lock can't be read or made.
    #[error("data folder {folder:?} can't be used")]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The database refused.
    #[error("store can't be opened")]
    Database(#[source] Box<redb::Error>),
    /// A migration step could not read what it found.
    #[error("store can't be migrated from version {from}")]
    Migration {
        /// The version the store is still at.
        from: u64,
        /// Why.
        #[source]
        cause: StoreError,
    },
}

/// Why a read or a commit failed; but for [`StoreError::Database`], nothing of the commit was stored.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database failed: IO error, damaged file. Whether a commit that ended so was stored shows
    /// when the store is opened again.
    #[error("store failed")]
    Database(#[source] Arc<redb::Error>),
    /// A row can't be decoded.
    #[error("row of table {table} can't be read: {reason}")]
    Unreadable {
        /// Name of the table.
        table: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// Rows contradict each other.
    #[error("store is inconsistent: {0}")]
    Inconsistent(String),
    /// The closure given to [`Store::commit`] panicked; the store lives on.
    #[error("commit panicked")]
    Panicked,
    /// The disk has no room to spare for the commit.
    #[error("the server's disk is full")]
    DiskFull,
    /// The committer has ended; the server is going down.
    #[error("store is closed")]
    Closed,
}

impl StoreError {
    fn database(cause: impl Into<redb::Error>) -> Self {
        Self::Database(Arc::new(cause.into()))
    }
}

impl Store {
    /// Opens the store of this data folder, making both when absent and migrating older versions.
    ///
    /// # Errors
    /// When another server uses the folder, the store is newer than this release, or the disk
    /// refuses; an older store that could not be migrated is left at the version it had.
    pub fn open(data_folder: &Path) -> Result<Self, OpenError> {
        let folder = |cause| OpenError::Folder {
            folder: data_folder.to_owned(),
            cause,
        };
        disk::make_folder(data_folder).map_err(folder)?;
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(data_folder.join("lock"))
            .map_err(folder)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(OpenError::InUse(data_folder.to_owned()));
            }
            Err(TryLockError::Error(cause)) => return Err(folder(cause)),
        }
        let database = open_database(data_folder)?;
        migrate::run(&database, migrate::STEPS)?;
        let database = Arc::new(database);
        Ok(Self {
            inner: Arc::new(Inner {
                committer: Committer::start(Arc::clone(&database), data_folder).map_err(folder)?,
                database,
                ref_cache: RefCache::default(),
                _lock: lock,
            }),
        })
    }

    /// Everything committed so far, as of now; never waits for writers.
    ///
    /// # Errors
    /// When the database fails.
    pub fn snapshot(&self) -> Result<Snapshot, StoreError> {
        let transaction = self
            .inner
            .database
            .begin_read()
            .map_err(StoreError::database)?;
        Ok(Snapshot::new(transaction))
    }

    /// Runs `work` in a write transaction, together with whatever else waits, and returns when it
    /// is on disk.
    ///
    /// `work` must judge before it writes: one that returns an error must have written nothing.
    /// One that breaks this is rolled back at the price of running its batch again one by one,
    /// which is also why `work` may run more than once and must depend on nothing but what it
    /// reads.
    ///
    /// # Errors
    /// What `work` returned, or why its transaction failed; in both cases nothing of it is stored.
    pub async fn commit<T, E, F>(&self, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnMut(&Transaction<'_>) -> Result<T, E> + Send + 'static,
    {
        self.inner.committer.commit(work).await
    }

    /// How many write transactions reached the disk since the store was opened.
    pub fn transactions_committed(&self) -> u64 {
        self.inner.committer.transactions_committed()
    }

    /// Whether the database has failed. It answers nothing from then on, until the store is opened
    /// again.
    pub fn has_failed(&self) -> bool {
        self.inner.committer.has_failed()
    }

    /// The refs of a repository, from the cache unless they changed; `None` when it is gone.
    ///
    /// Reads every ref row when the cache has no fresh copy, so call it where blocking is fine
    /// unless [`Store::refs_if_cached`] answered.
    ///
    /// # Errors
    /// When the database fails or holds a row that can't be read.
    pub fn refs(&self, repository: u64) -> Result<Option<Arc<RefSnapshot>>, StoreError> {
        self.inner.ref_cache.fresh(repository, || self.snapshot())
    }

    /// The refs of a repository if the cache has them as they are now.
    ///
    /// # Errors
    /// When the database fails.
    pub fn refs_if_cached(&self, repository: u64) -> Result<Option<Arc<RefSnapshot>>, StoreError> {
        self.inner.ref_cache.cached(repository, &self.snapshot()?)
    }
}

/// Opens the database, or makes it under another name first: redb takes a file whose making was cut
/// off for that of another program.
fn open_database(data_folder: &Path) -> Result<Database, OpenError> {
    let folder = |cause| OpenError::Folder {
        folder: data_folder.to_owned(),
        cause,
    };
    let failed = |cause: DatabaseError| OpenError::Database(Box::new(cause.into()));
    let file = data_folder.join("packhorse.redb");
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    if file.try_exists().map_err(folder)? {
        return builder.open(&file).map_err(failed);
    }
    let draft = file.with_extension("new");
    File::create(&draft).map_err(folder)?;
    let database = builder.create(&draft).map_err(failed)?;
    fs::rename(&draft, &file).map_err(folder)?;
    disk::flush_folder(data_folder).map_err(folder)?;
    Ok(database)
}

#[cfg(test)]
pub(crate) mod tests;
