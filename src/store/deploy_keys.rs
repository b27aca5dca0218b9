//! Deploy keys: one key opens a set of repositories, each with a mode of its own.
//!
//! Invariant: a deploy key lives as long as a repository grants it something; the grant of a
//! repository is the only thing that opens it.

use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::{
    Reads, StoreError, Transaction,
    codec::Record,
    rows::{Index, Rows},
    ssh_keys::{self, KeyHolder},
};
use crate::model::{RefPolicy, Timestamp};

static DEPLOY_KEYS: Rows<u64, DeployKeyRow> = Rows::new("deploy keys");
static GRANTS: Rows<(u64, u64), DeployGrantRow> = Rows::new("deploy key grants");
/// (repository, key).
static BY_REPOSITORY: Index<(u64, u64), ()> = Index::new("deploy keys by repository");

/// A key that is nobody's but opens repositories.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployKeyRow {
    /// Row id.
    pub id: u64,
    /// `SHA256:` and the digest in base64, as OpenSSH prints it.
    pub fingerprint: String,
    /// Algorithm and key as in an OpenSSH `.pub` file, without comment.
    pub public_key: String,
    /// What it was called when it was first added.
    pub title: String,
    /// When it was first added.
    pub created_at: Timestamp,
}

impl Record for DeployKeyRow {}

/// What one repository lets one deploy key do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployGrantRow {
    /// Row id of the repository.
    pub repository_id: u64,
    /// Whether it may push, too.
    pub may_write: bool,
    /// What holds for single refs.
    pub refs: RefPolicy,
    /// What it is called in this repository.
    pub title: String,
    /// When this repository got it.
    pub created_at: Timestamp,
}

impl Record for DeployGrantRow {}

/// What [`grant`] needs to know.
#[derive(Debug, Clone)]
pub struct NewDeployKey {
    /// Row id of the repository.
    pub repository_id: u64,
    /// As OpenSSH prints it.
    pub fingerprint: String,
    /// Algorithm and key, without comment.
    pub public_key: String,
    /// What it is called in this repository.
    pub title: String,
    /// Whether it may push, too.
    pub may_write: bool,
    /// What holds for single refs.
    pub refs: RefPolicy,
}

/// A deploy key as one repository sees it.
pub type GrantedKey = (DeployKeyRow, DeployGrantRow);

/// Why a deploy key was not added; nothing was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotGranted {
    /// The key belongs to an account.
    AccountKey,
    /// The repository has the key already.
    AlreadyThere,
}

pub(super) fn create_tables(database: &WriteTransaction) -> Result<(), StoreError> {
    DEPLOY_KEYS.create(database)?;
    GRANTS.create(database)?;
    BY_REPOSITORY.create(database)
}

/// The deploy key of this row id.
///
/// # Errors
/// When the store fails.
pub fn by_id(from: &impl Reads, id: u64) -> Result<Option<DeployKeyRow>, StoreError> {
    DEPLOY_KEYS.get(from, id)
}

/// What the repository lets the key do; `None` when it does not know it.
///
/// # Errors
/// When the store fails.
pub fn grant_of(
    from: &impl Reads,
    key: u64,
    repository: u64,
) -> Result<Option<DeployGrantRow>, StoreError> {
    GRANTS.get(from, (key, repository))
}

/// At most `limit` deploy keys of a repository, by key id, those after this key only.
///
/// # Errors
/// When the store fails.
pub fn of_repository(
    from: &impl Reads,
    repository: u64,
    after: u64,
    limit: usize,
) -> Result<Vec<GrantedKey>, StoreError> {
    let range = (repository, after.saturating_add(1))..=(repository, u64::MAX);
    let keys = BY_REPOSITORY.scan(from, range, limit, |(_, key), ()| key)?;
    keys.into_iter()
        .map(|key| {
            let row = by_id(from, key)?;
            let grant = grant_of(from, key, repository)?;
            row.zip(grant).ok_or_else(|| {
                StoreError::Inconsistent(format!(
                    "repository {repository} lists the absent deploy key {key}"
                ))
            })
        })
        .collect()
}

/// At most `limit` grants of one key.
///
/// # Errors
/// When the store fails.
pub fn grants_of_key(
    from: &impl Reads,
    key: u64,
    limit: usize,
) -> Result<Vec<DeployGrantRow>, StoreError> {
    GRANTS.scan(from, (key, 0)..=(key, u64::MAX), limit, |_, row| row)
}

/// Lets a key open a repository, adding the key when it is new.
///
/// # Errors
/// When the store fails; the inner error when the key can't be a deploy key of this repository.
pub fn grant(
    to: &Transaction<'_>,
    new: &NewDeployKey,
) -> Result<Result<GrantedKey, NotGranted>, StoreError> {
    let known = match ssh_keys::holder(to, &new.fingerprint)? {
        Some(KeyHolder::Account(_)) => return Ok(Err(NotGranted::AccountKey)),
        Some(KeyHolder::Deploy(id)) => by_id(to, id)?,
        None => None,
    };
    if let Some(key) = &known
        && grant_of(to, key.id, new.repository_id)?.is_some()
    {
        return Ok(Err(NotGranted::AlreadyThere));
    }
    let key = match known {
        Some(key) => key,
        None => insert(to, new)?,
    };
    let grant = DeployGrantRow {
        repository_id: new.repository_id,
        may_write: new.may_write,
        refs: new.refs.clone(),
        title: new.title.clone(),
        created_at: to.now(),
    };
    GRANTS.put(to, (key.id, new.repository_id), &grant)?;
    BY_REPOSITORY.put(to, (new.repository_id, key.id), ())?;
    Ok(Ok((key, grant)))
}

fn insert(to: &Transaction<'_>, new: &NewDeployKey) -> Result<DeployKeyRow, StoreError> {
    let key = DeployKeyRow {
        id: to.next("deploy keys")?,
        fingerprint: new.fingerprint.clone(),
        public_key: new.public_key.clone(),
        title: new.title.clone(),
        created_at: to.now(),
    };
    DEPLOY_KEYS.put(to, key.id, &key)?;
    ssh_keys::claim_fingerprint(to, &key.fingerprint, KeyHolder::Deploy(key.id))?;
    Ok(key)
}

/// Takes a repository from a key, and removes the key when that was its last; says whether the
/// repository had it.
///
/// # Errors
/// When the store fails.
pub fn revoke(from: &Transaction<'_>, key: u64, repository: u64) -> Result<bool, StoreError> {
    if grant_of(from, key, repository)?.is_none() {
        return Ok(false);
    }
    GRANTS.remove(from, (key, repository))?;
    BY_REPOSITORY.remove(from, (repository, key))?;
    if grants_of_key(from, key, 1)?.is_empty()
        && let Some(row) = by_id(from, key)?
    {
        DEPLOY_KEYS.remove(from, key)?;
        ssh_keys::release_fingerprint(from, &row.fingerprint)?;
    }
    Ok(true)
}

pub(super) fn remove_grants_of(from: &Transaction<'_>, repository: u64) -> Result<(), StoreError> {
    let range = (repository, 0)..=(repository, u64::MAX);
    for key in BY_REPOSITORY.scan(from, range, usize::MAX, |(_, key), ()| key)? {
        revoke(from, key, repository)?;
    }
    Ok(())
}
