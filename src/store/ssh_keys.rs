//! SSH keys of users and robots, and the one index of all fingerprints.
//!
//! Invariant: a fingerprint belongs to one account or is one deploy key, never both, so that a
//! proven key names exactly one principal.

use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::{
    Reads, StoreError, Transaction,
    codec::Record,
    memberships::Subject,
    rows::{Index, Rows},
};
use crate::model::Timestamp;

static SSH_KEYS: Rows<u64, SshKeyRow> = Rows::new("ssh keys");
static OWNERS: Index<(u8, u64, u64), ()> = Index::new("ssh keys by owner");
/// Fingerprint → (kind, row id).
static FINGERPRINTS: Index<&str, (u8, u64)> = Index::new("ssh fingerprints");

/// The key of an account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SshKeyRow {
    /// Row id.
    pub id: u64,
    /// Whose it is.
    pub owner: Subject,
    /// What its owner called it.
    pub title: String,
    /// `SHA256:` and the digest in base64, as OpenSSH prints it.
    pub fingerprint: String,
    /// Algorithm and key as in an OpenSSH `.pub` file, without comment.
    pub public_key: String,
    /// When it was added.
    pub created_at: Timestamp,
}

impl Record for SshKeyRow {}

/// What a fingerprint stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyHolder {
    /// The key of an account: row id in this file.
    Account(u64),
    /// A deploy key: row id in `deploy_keys`.
    Deploy(u64),
}

impl KeyHolder {
    fn key(self) -> (u8, u64) {
        match self {
            Self::Account(id) => (1, id),
            Self::Deploy(id) => (2, id),
        }
    }
}

/// What [`insert`] needs to know.
#[derive(Debug, Clone)]
pub struct NewSshKey {
    /// Whose it is.
    pub owner: Subject,
    /// What its owner calls it.
    pub title: String,
    /// As OpenSSH prints it.
    pub fingerprint: String,
    /// Algorithm and key, without comment.
    pub public_key: String,
}

pub(super) fn create_tables(database: &WriteTransaction) -> Result<(), StoreError> {
    SSH_KEYS.create(database)?;
    OWNERS.create(database)?;
    FINGERPRINTS.create(database)
}

/// Whose key this is, if anybody's.
///
/// # Errors
/// When the store fails.
pub fn holder(from: &impl Reads, fingerprint: &str) -> Result<Option<KeyHolder>, StoreError> {
    let Some(found) = FINGERPRINTS.get(from, fingerprint, |found| found)? else {
        return Ok(None);
    };
    match found {
        (1, id) => Ok(Some(KeyHolder::Account(id))),
        (2, id) => Ok(Some(KeyHolder::Deploy(id))),
        (kind, _) => Err(StoreError::Inconsistent(format!(
            "a fingerprint of the kind {kind}"
        ))),
    }
}

pub(super) fn claim_fingerprint(
    to: &Transaction<'_>,
    fingerprint: &str,
    holder: KeyHolder,
) -> Result<(), StoreError> {
    FINGERPRINTS.put(to, fingerprint, holder.key())
}

pub(super) fn release_fingerprint(
    from: &Transaction<'_>,
    fingerprint: &str,
) -> Result<(), StoreError> {
    FINGERPRINTS.remove(from, fingerprint).map(drop)
}

/// The key of this row id.
///
/// # Errors
/// When the store fails.
pub fn by_id(from: &impl Reads, id: u64) -> Result<Option<SshKeyRow>, StoreError> {
    SSH_KEYS.get(from, id)
}

/// At most `limit` keys of one account, oldest first.
///
/// # Errors
/// When the store fails.
pub fn of_owner(
    from: &impl Reads,
    owner: Subject,
    limit: usize,
) -> Result<Vec<SshKeyRow>, StoreError> {
    let (kind, owner) = owner.key();
    let range = (kind, owner, 0)..=(kind, owner, u64::MAX);
    let ids = OWNERS.scan(from, range, limit, |(_, _, id), ()| id)?;
    let rows = ids.into_iter().map(|id| by_id(from, id));
    Ok(rows
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .collect())
}

/// Adds a key; `None`, and nothing written, when the fingerprint is somebody's already.
///
/// # Errors
/// When the store fails.
pub fn insert(to: &Transaction<'_>, new: &NewSshKey) -> Result<Option<SshKeyRow>, StoreError> {
    if holder(to, &new.fingerprint)?.is_some() {
        return Ok(None);
    }
    let row = SshKeyRow {
        id: to.next("ssh keys")?,
        owner: new.owner,
        title: new.title.clone(),
        fingerprint: new.fingerprint.clone(),
        public_key: new.public_key.clone(),
        created_at: to.now(),
    };
    SSH_KEYS.put(to, row.id, &row)?;
    let (kind, owner) = row.owner.key();
    OWNERS.put(to, (kind, owner, row.id), ())?;
    claim_fingerprint(to, &row.fingerprint, KeyHolder::Account(row.id))?;
    Ok(Some(row))
}

/// Removes a key: from now on it opens nothing.
///
/// # Errors
/// When the store fails.
pub fn remove(from: &Transaction<'_>, row: &SshKeyRow) -> Result<(), StoreError> {
    let (kind, owner) = row.owner.key();
    SSH_KEYS.remove(from, row.id)?;
    OWNERS.remove(from, (kind, owner, row.id))?;
    release_fingerprint(from, &row.fingerprint)
}
