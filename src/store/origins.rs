//! Where repositories come from that did not begin empty.
//!
//! Invariant: a row goes with its repository; that of a source may go at any time.

use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::{Reads, StoreError, Transaction, codec::Record, rows::Rows};

static ORIGINS: Rows<u64, OriginRow> = Rows::new("origins");

/// Where a repository comes from, in the words of whoever made it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginRow {
    /// What kind of server: `code` is this one.
    pub provider: String,
    /// The namespace there.
    pub owner: String,
    /// The repository's name there.
    pub name: String,
}

impl Record for OriginRow {}

pub(super) fn create_tables(database: &WriteTransaction) -> Result<(), StoreError> {
    ORIGINS.create(database)
}

/// Where the repository of this row id comes from; `None` if it began empty.
///
/// # Errors
/// When the store fails.
pub fn of(from: &impl Reads, repository: u64) -> Result<Option<OriginRow>, StoreError> {
    ORIGINS.get(from, repository)
}

/// Says where a repository comes from.
///
/// # Errors
/// When the store fails.
pub fn put(to: &Transaction<'_>, repository: u64, row: &OriginRow) -> Result<(), StoreError> {
    ORIGINS.put(to, repository, row)
}

pub(super) fn remove(from: &Transaction<'_>, repository: u64) -> Result<(), StoreError> {
    ORIGINS.remove(from, repository).map(drop)
}
