//! Robots: programs that act for a namespace, named `namespace+short`.
//!
//! Invariant: short names are unique within their namespace whatever their case.

use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::{
    Reads, StoreError, Transaction,
    codec::Record,
    rows::{Index, Rows},
};
use crate::model::{NamespaceName, Timestamp};

static ROBOTS: Rows<u64, RobotRow> = Rows::new("robots");
static NAMES: Index<(u64, &str), u64> = Index::new("robots by name");

/// A robot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RobotRow {
    /// Row id.
    pub id: u64,
    /// Row id of the namespace it acts for.
    pub namespace_id: u64,
    /// The part of its name behind the plus sign.
    pub short: NamespaceName,
    /// For people; may be empty.
    pub description: String,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Record for RobotRow {}

pub(super) fn create_tables(database: &WriteTransaction) -> Result<(), StoreError> {
    ROBOTS.create(database)?;
    NAMES.create(database)
}

/// The robot of this row id.
///
/// # Errors
/// When the store fails.
pub fn by_id(from: &impl Reads, id: u64) -> Result<Option<RobotRow>, StoreError> {
    ROBOTS.get(from, id)
}

/// The robot of this short name in a namespace, whatever its case.
///
/// # Errors
/// When the store fails.
pub fn by_name(
    from: &impl Reads,
    namespace_id: u64,
    short: &str,
) -> Result<Option<RobotRow>, StoreError> {
    let lower = short.to_ascii_lowercase();
    match NAMES.get(from, (namespace_id, lower.as_str()), |id| id)? {
        Some(id) => by_id(from, id),
        None => Ok(None),
    }
}

/// At most `limit` robots of a namespace by lower-case name.
///
/// # Errors
/// When the store fails.
pub fn in_namespace(
    from: &impl Reads,
    namespace_id: u64,
    limit: usize,
) -> Result<Vec<RobotRow>, StoreError> {
    let range = (namespace_id, "")..(namespace_id + 1, "");
    let ids = NAMES.scan(from, range, limit, |_, id| id)?;
    let rows = ids.into_iter().map(|id| by_id(from, id));
    Ok(rows
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .flatten()
        .collect())
}

/// Adds a robot; `None`, and nothing written, when the name is taken.
///
/// # Errors
/// When the store fails.
pub fn insert(
    to: &Transaction<'_>,
    namespace_id: u64,
    short: &NamespaceName,
    description: &str,
) -> Result<Option<RobotRow>, StoreError> {
    if by_name(to, namespace_id, short.as_str())?.is_some() {
        return Ok(None);
    }
    let row = RobotRow {
        id: to.next("robots")?,
        namespace_id,
        short: short.clone(),
        description: description.to_owned(),
        created_at: to.now(),
    };
    ROBOTS.put(to, row.id, &row)?;
    let lower = short.as_str().to_ascii_lowercase();
    NAMES.put(to, (namespace_id, lower.as_str()), row.id)?;
    Ok(Some(row))
}

/// Removes a robot; its tokens and keys open nothing without it.
///
/// # Errors
/// When the store fails.
pub fn remove(from: &Transaction<'_>, row: &RobotRow) -> Result<(), StoreError> {
    let lower = row.short.as_str().to_ascii_lowercase();
    ROBOTS.remove(from, row.id)?;
    NAMES.remove(from, (row.namespace_id, lower.as_str()))?;
    Ok(())
}
