//! Where mirrors take their refs from: the upstream of a repository, what was taken from it, how the last
//! run ended, and the credentials for it.
//!
//! Bounds: a row for each ref that was taken; one credential a repository.
//! Invariant: a password is stored sealed and in no other form; all of it goes with its repository.
//! Not here: how a password is sealed (`auth`), who dials (`mirror`).

use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::{
    Reads, StoreError, Transaction,
    codec::Record,
    rows::{Index, Rows},
};
use crate::model::{ObjectId, Timestamp};

static UPSTREAMS: Rows<u64, UpstreamRow> = Rows::new("upstreams");
static TAKEN: Index<(u64, &str), &[u8]> = Index::new("refs taken from upstreams");
static CREDENTIALS: Rows<&str, CredentialRow> = Rows::new("upstream credentials");
static CREDENTIAL_OF: Index<u64, &str> = Index::new("upstream credentials by repository");

/// The upstream of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamRow {
    /// What git would clone.
    pub url: String,
    /// Whether the default branch follows the upstream's.
    pub follows_head: bool,
    /// Whether it is asked without a credential, be there one or not.
    pub anonymous: bool,
    /// How the runs went.
    pub runs: Runs,
}

impl Record for UpstreamRow {}

/// How the runs of a mirror went.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Runs {
    /// How many were begun.
    pub count: u64,
    /// When the last one was.
    pub started_at: Option<Timestamp>,
    /// When it ended; `None` while it runs, or if the server stopped during it.
    pub finished_at: Option<Timestamp>,
    /// Why it failed, in words fit for the repository's users.
    pub error: Option<String>,
    /// Failures since the last success.
    pub failures: u32,
}

/// A user name and a sealed password for an upstream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialRow {
    /// 32 lower-case hex digits.
    pub id: String,
    /// Row id of the repository.
    pub repository_id: u64,
    /// Row id of its namespace.
    pub namespace_id: u64,
    /// May be empty.
    pub user: String,
    /// The password, sealed for this id.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Record for CredentialRow {}

pub(super) fn create_tables(database: &WriteTransaction) -> Result<(), StoreError> {
    UPSTREAMS.create(database)?;
    TAKEN.create(database)?;
    CREDENTIALS.create(database)?;
    CREDENTIAL_OF.create(database)
}

/// The upstream of a repository, if it has one.
///
/// # Errors
/// When the store fails.
pub fn of(from: &impl Reads, repository: u64) -> Result<Option<UpstreamRow>, StoreError> {
    UPSTREAMS.get(from, repository)
}

/// Sets the upstream of a repository.
///
/// # Errors
/// When the store fails.
pub fn put(to: &Transaction<'_>, repository: u64, row: &UpstreamRow) -> Result<(), StoreError> {
    UPSTREAMS.put(to, repository, row)
}

/// The refs that were taken from the upstream, with what each was then.
///
/// # Errors
/// When the store fails.
pub fn taken(from: &impl Reads, repository: u64) -> Result<Vec<(String, ObjectId)>, StoreError> {
    let range = (repository, "")..(repository + 1, "");
    let rows = TAKEN.scan(from, range, usize::MAX, |(_, name), id| {
        ObjectId::try_from(id).map(|id| (name.to_owned(), id))
    })?;
    rows.into_iter()
        .collect::<Result<_, _>>()
        .map_err(|cause| StoreError::Inconsistent(format!("a ref taken from upstream: {cause}")))
}

/// Says what a ref was at the upstream; `None`: it is there no longer.
///
/// # Errors
/// When the store fails.
pub fn take(
    to: &Transaction<'_>,
    repository: u64,
    name: &str,
    id: Option<&ObjectId>,
) -> Result<(), StoreError> {
    match id {
        Some(id) => TAKEN.put(to, (repository, name), id.as_bytes()),
        None => TAKEN.remove(to, (repository, name)).map(drop),
    }
}

/// The credential of this id.
///
/// # Errors
/// When the store fails.
pub fn credential(from: &impl Reads, id: &str) -> Result<Option<CredentialRow>, StoreError> {
    CREDENTIALS.get(from, id)
}

/// The credential for a repository's upstream.
///
/// # Errors
/// When the store fails.
pub fn credential_of(
    from: &impl Reads,
    repository: u64,
) -> Result<Option<CredentialRow>, StoreError> {
    match CREDENTIAL_OF.get(from, repository, str::to_owned)? {
        Some(id) => credential(from, &id),
        None => Ok(None),
    }
}

/// Adds or replaces a credential.
///
/// # Errors
/// When the store fails.
pub fn put_credential(to: &Transaction<'_>, row: &CredentialRow) -> Result<(), StoreError> {
    CREDENTIALS.put(to, row.id.as_str(), row)?;
    CREDENTIAL_OF.put(to, row.repository_id, row.id.as_str())
}

/// Removes a credential.
///
/// # Errors
/// When the store fails.
pub fn remove_credential(from: &Transaction<'_>, row: &CredentialRow) -> Result<(), StoreError> {
    CREDENTIALS.remove(from, row.id.as_str())?;
    CREDENTIAL_OF.remove(from, row.repository_id).map(drop)
}

pub(super) fn remove_all(from: &Transaction<'_>, repository: u64) -> Result<(), StoreError> {
    if let Some(row) = credential_of(from, repository)? {
        remove_credential(from, &row)?;
    }
    UPSTREAMS.remove(from, repository)?;
    TAKEN.remove_range(from, (repository, "")..(repository + 1, ""))
}
