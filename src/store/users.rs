//! Users: people who sign in.
//!
//! Invariant: names are unique whatever their case; a password is stored as an argon2id hash only.

use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::{
    Reads, StoreError, Transaction,
    codec::Record,
    rows::{Index, Rows},
};
use crate::model::{NamespaceName, Timestamp};

static USERS: Rows<u64, UserRow> = Rows::new("users");
static NAMES: Index<&str, u64> = Index::new("users by name");

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserRow {
    /// Row id.
    pub id: u64,
    /// Login name; also the name of the personal namespace.
    pub name: NamespaceName,
    /// Where mail would go.
    pub email: Option<String>,
    /// The password as a PHC string; without one only keys and tokens sign in.
    pub password_hash: Option<String>,
    /// May administer the whole server.
    pub admin: bool,
    /// When the account was made.
    pub created_at: Timestamp,
    /// A blocked user signs in by no credential.
    pub blocked: bool,
}

impl Record for UserRow {}

/// What [`insert`] needs to know.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// Login name.
    pub name: NamespaceName,
    /// Where mail would go.
    pub email: Option<String>,
    /// The password as a PHC string.
    pub password_hash: Option<String>,
    /// May administer the whole server.
    pub admin: bool,
}

pub(super) fn create_tables(database: &WriteTransaction) -> Result<(), StoreError> {
    USERS.create(database)?;
    NAMES.create(database)
}

/// The user of this row id.
///
/// # Errors
/// When the store fails.
pub fn by_id(from: &impl Reads, id: u64) -> Result<Option<UserRow>, StoreError> {
    USERS.get(from, id)
}

/// The user of this login name, whatever its case.
///
/// # Errors
/// When the store fails.
pub fn by_name(from: &impl Reads, name: &str) -> Result<Option<UserRow>, StoreError> {
    let lower = name.to_ascii_lowercase();
    match NAMES.get(from, lower.as_str(), |id| id)? {
        Some(id) => by_id(from, id),
        None => Ok(None),
    }
}

/// At most `limit` users with row ids above `after`, oldest first.
///
/// # Errors
/// When the store fails.
pub fn list(from: &impl Reads, after: u64, limit: usize) -> Result<Vec<UserRow>, StoreError> {
    USERS.scan(from, after.saturating_add(1).., limit, |_, row| row)
}

/// Adds a user; `None`, and nothing written, when the name is taken.
///
/// # Errors
/// When the store fails.
pub fn insert(to: &Transaction<'_>, new: &NewUser) -> Result<Option<UserRow>, StoreError> {
    let lower = new.name.as_str().to_ascii_lowercase();
    if by_name(to, &lower)?.is_some() {
        return Ok(None);
    }
    let row = UserRow {
        id: to.next("users")?,
        name: new.name.clone(),
        email: new.email.clone(),
        password_hash: new.password_hash.clone(),
        admin: new.admin,
        created_at: to.now(),
        blocked: false,
    };
    USERS.put(to, row.id, &row)?;
    NAMES.put(to, lower.as_str(), row.id)?;
    Ok(Some(row))
}

/// Replaces everything about a user but the id and the name.
///
/// # Errors
/// When the store fails.
pub fn update(to: &Transaction<'_>, row: &UserRow) -> Result<(), StoreError> {
    USERS.put(to, row.id, row)
}
