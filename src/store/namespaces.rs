//! Namespaces: the first segments of repository paths.
//!
//! Invariant: names are unique whatever their case; a personal namespace has exactly one user.

use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::{
    Reads, StoreError, Transaction,
    codec::Record,
    rows::{Index, Rows},
};
use crate::model::{NamespaceName, Timestamp};

static NAMESPACES: Rows<u64, NamespaceRow> = Rows::new("namespaces");
static NAMES: Index<&str, u64> = Index::new("namespaces by name");
static UUIDS: Index<&str, u64> = Index::new("namespaces by uuid");

/// A namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamespaceRow {
    /// Row id.
    pub id: u64,
    /// 32 lower-case hex digits.
    pub uuid: String,
    /// As it was spelt when made.
    pub name: NamespaceName,
    /// Whose it is.
    pub owner: NamespaceOwner,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Whose a namespace is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NamespaceOwner {
    /// The personal namespace of this user.
    User(u64),
    /// An organization, ruled by its members.
    Organization,
}

impl Record for NamespaceRow {}

pub(super) fn create_tables(database: &WriteTransaction) -> Result<(), StoreError> {
    NAMESPACES.create(database)?;
    NAMES.create(database)?;
    UUIDS.create(database)
}

/// The namespace of this row id.
///
/// # Errors
/// When the store fails.
pub fn by_id(from: &impl Reads, id: u64) -> Result<Option<NamespaceRow>, StoreError> {
    NAMESPACES.get(from, id)
}

/// The namespace of this name, whatever its case.
///
/// # Errors
/// When the store fails.
pub fn by_name(
    from: &impl Reads,
    name: &NamespaceName,
) -> Result<Option<NamespaceRow>, StoreError> {
    let lower = name.as_str().to_ascii_lowercase();
    match NAMES.get(from, lower.as_str(), |id| id)? {
        Some(id) => by_id(from, id),
        None => Ok(None),
    }
}

/// The namespace of this uuid.
///
/// # Errors
/// When the store fails.
pub fn by_uuid(from: &impl Reads, uuid: &str) -> Result<Option<NamespaceRow>, StoreError> {
    match UUIDS.get(from, uuid, |id| id)? {
        Some(id) => by_id(from, id),
        None => Ok(None),
    }
}

/// At most `limit` namespaces with row ids above `after`, oldest first.
///
/// # Errors
/// When the store fails.
pub fn list(from: &impl Reads, after: u64, limit: usize) -> Result<Vec<NamespaceRow>, StoreError> {
    NAMESPACES.scan(from, after.saturating_add(1).., limit, |_, row| row)
}

/// Adds a namespace; `None`, and nothing written, when the name is taken.
///
/// # Errors
/// When the store fails.
pub fn insert(
    to: &Transaction<'_>,
    uuid: &str,
    name: &NamespaceName,
    owner: NamespaceOwner,
) -> Result<Option<NamespaceRow>, StoreError> {
    if by_name(to, name)?.is_some() {
        return Ok(None);
    }
    let row = NamespaceRow {
        id: to.next("namespaces")?,
        uuid: uuid.to_owned(),
        name: name.clone(),
        owner,
        created_at: to.now(),
    };
    NAMESPACES.put(to, row.id, &row)?;
    let lower = name.as_str().to_ascii_lowercase();
    NAMES.put(to, lower.as_str(), row.id)?;
    UUIDS.put(to, uuid, row.id)?;
    Ok(Some(row))
}
