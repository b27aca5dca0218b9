//! Opaque tokens, found by the keyed hash of their secret.
//!
//! Invariant: the secret itself is never stored; a token's limits never change after it was made.
//! Not here: how secrets are made and hashed (`auth`).

use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::{
    Reads, StoreError, Transaction,
    codec::Record,
    memberships::Subject,
    rows::{Index, Rows},
};
use crate::model::{RefPolicy, Scopes, Timestamp};

static TOKENS: Rows<u64, TokenRow> = Rows::new("tokens");
static HASHES: Index<[u8; 32], u64> = Index::new("tokens by hash");
static OWNERS: Index<(u8, u64, u64), ()> = Index::new("tokens by owner");
static LAST_USES: Index<u64, i64> = Index::new("token uses");

/// A token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRow {
    /// Row id.
    pub id: u64,
    /// HMAC-SHA256 of the secret.
    pub hash: [u8; 32],
    /// On whose behalf it acts.
    pub owner: Subject,
    /// What its owner called it.
    pub name: String,
    /// What it may do at most.
    pub scopes: Scopes,
    /// The only repositories it reaches, by row id; `None` for all of its owner's.
    pub repositories: Option<Vec<u64>>,
    /// What holds for single refs.
    pub refs: RefPolicy,
    /// From when on it is worthless.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Record for TokenRow {}

/// What [`insert`] needs to know.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// HMAC-SHA256 of the secret.
    pub hash: [u8; 32],
    /// On whose behalf it acts.
    pub owner: Subject,
    /// What its owner calls it.
    pub name: String,
    /// What it may do at most.
    pub scopes: Scopes,
    /// The only repositories it reaches.
    pub repositories: Option<Vec<u64>>,
    /// What holds for single refs.
    pub refs: RefPolicy,
    /// From when on it is worthless.
    pub expires_at: Option<Timestamp>,
}

pub(super) fn create_tables(database: &WriteTransaction) -> Result<(), StoreError> {
    TOKENS.create(database)?;
    HASHES.create(database)?;
    OWNERS.create(database)?;
    LAST_USES.create(database)
}

/// The token of this row id.
///
/// # Errors
/// When the store fails.
pub fn by_id(from: &impl Reads, id: u64) -> Result<Option<TokenRow>, StoreError> {
    TOKENS.get(from, id)
}

/// The token whose secret has this keyed hash.
///
/// # Errors
/// When the store fails.
pub fn by_hash(from: &impl Reads, hash: &[u8; 32]) -> Result<Option<TokenRow>, StoreError> {
    match HASHES.get(from, *hash, |id| id)? {
        Some(id) => by_id(from, id),
        None => Ok(None),
    }
}

/// At most `limit` tokens of one owner, oldest first.
///
/// # Errors
/// When the store fails.
pub fn of_owner(
    from: &impl Reads,
    owner: Subject,
    limit: usize,
) -> Result<Vec<TokenRow>, StoreError> {
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

/// Adds a token.
///
/// # Errors
/// When the store fails.
pub fn insert(to: &Transaction<'_>, new: &NewToken) -> Result<TokenRow, StoreError> {
    let row = TokenRow {
        id: to.next("tokens")?,
        hash: new.hash,
        owner: new.owner,
        name: new.name.clone(),
        scopes: new.scopes,
        repositories: new.repositories.clone(),
        refs: new.refs.clone(),
        expires_at: new.expires_at,
        created_at: to.now(),
    };
    TOKENS.put(to, row.id, &row)?;
    HASHES.put(to, row.hash, row.id)?;
    let (kind, owner) = row.owner.key();
    OWNERS.put(to, (kind, owner, row.id), ())?;
    Ok(row)
}

/// Removes a token: from now on its secret opens nothing.
///
/// # Errors
/// When the store fails.
pub fn remove(from: &Transaction<'_>, row: &TokenRow) -> Result<(), StoreError> {
    let (kind, owner) = row.owner.key();
    TOKENS.remove(from, row.id)?;
    HASHES.remove(from, row.hash)?;
    OWNERS.remove(from, (kind, owner, row.id))?;
    LAST_USES.remove(from, row.id)?;
    Ok(())
}

/// When the token last opened something, roughly; `None` if it never did.
///
/// # Errors
/// When the store fails.
pub fn last_used_at(from: &impl Reads, id: u64) -> Result<Option<Timestamp>, StoreError> {
    LAST_USES.get(from, id, Timestamp::from_millis)
}

/// Notes that the token opened something now, unless it is gone.
///
/// # Errors
/// When the store fails.
pub fn note_use(to: &Transaction<'_>, id: u64) -> Result<(), StoreError> {
    if by_id(to, id)?.is_some() {
        LAST_USES.put(to, id, to.now().millis())?;
    }
    Ok(())
}
