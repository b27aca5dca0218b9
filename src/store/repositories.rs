//! Repositories: what they are called and how they are set; their refs lie in `refs`.
//!
//! Invariant: the path is unique within its namespace whatever its case; the folder on disk is
//! named by the uuid, so that renaming moves nothing.

use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::{
    Reads, StoreError, Transaction,
    codec::Record,
    deploy_keys,
    memberships::{self, MemberOf},
    origins, refs,
    rows::{Index, Rows},
    upstreams,
};
use crate::model::{ObjectFormat, RefName, RepositoryName, Timestamp, Visibility};

/// Ids stay positive in 32 bits with a sign, since clients of some APIs read them so.
const ID_MAX: u64 = i32::MAX as u64;

static REPOSITORIES: Rows<u64, RepositoryRow> = Rows::new("repositories");
static NAMES: Index<(u64, &str), u64> = Index::new("repositories by name");
static UUIDS: Index<&str, u64> = Index::new("repositories by uuid");

/// A repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RepositoryRow {
    /// Row id, within the positive range of 32 bits.
    pub id: u64,
    /// 32 lower-case hex digits; names its folder.
    pub uuid: String,
    /// Row id of the namespace.
    pub namespace_id: u64,
    /// Name below the namespace.
    pub name: RepositoryName,
    /// Who may read without being a member.
    pub visibility: Visibility,
    /// The branch that HEAD names; it need not exist yet.
    pub default_branch: RefName,
    /// Which hash names its objects.
    pub object_format: ObjectFormat,
    /// For people; may be empty.
    pub description: String,
    /// When it was made.
    pub created_at: Timestamp,
}

impl Record for RepositoryRow {}

/// What [`insert`] needs to know.
#[derive(Debug, Clone)]
pub struct NewRepository {
    /// 32 lower-case hex digits.
    pub uuid: String,
    /// Row id of the namespace.
    pub namespace_id: u64,
    /// Name below the namespace.
    pub name: RepositoryName,
    /// Who may read without being a member.
    pub visibility: Visibility,
    /// The branch that HEAD names.
    pub default_branch: RefName,
    /// Which hash names its objects.
    pub object_format: ObjectFormat,
    /// For people; may be empty.
    pub description: String,
}

pub(super) fn create_tables(database: &WriteTransaction) -> Result<(), StoreError> {
    REPOSITORIES.create(database)?;
    NAMES.create(database)?;
    UUIDS.create(database)
}

/// The repository of this row id.
///
/// # Errors
/// When the store fails.
pub fn by_id(from: &impl Reads, id: u64) -> Result<Option<RepositoryRow>, StoreError> {
    REPOSITORIES.get(from, id)
}

/// The repository of this name in a namespace, whatever its case.
///
/// # Errors
/// When the store fails.
pub fn by_name(
    from: &impl Reads,
    namespace_id: u64,
    name: &RepositoryName,
) -> Result<Option<RepositoryRow>, StoreError> {
    let lower = name.as_str().to_ascii_lowercase();
    match NAMES.get(from, (namespace_id, lower.as_str()), |id| id)? {
        Some(id) => by_id(from, id),
        None => Ok(None),
    }
}

/// The repository of this uuid.
///
/// # Errors
/// When the store fails.
pub fn by_uuid(from: &impl Reads, uuid: &str) -> Result<Option<RepositoryRow>, StoreError> {
    match UUIDS.get(from, uuid, |id| id)? {
        Some(id) => by_id(from, id),
        None => Ok(None),
    }
}

/// At most `limit` repositories of a namespace by lower-case name, those after `after` only.
///
/// # Errors
/// When the store fails.
pub fn in_namespace(
    from: &impl Reads,
    namespace_id: u64,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<RepositoryRow>, StoreError> {
    let lower = after.map_or_else(String::new, str::to_ascii_lowercase);
    // No name holds NUL, so this is the first key behind `after` itself.
    let start = after.map_or_else(String::new, |_| lower + "\0");
    let ids = NAMES.scan(
        from,
        (namespace_id, start.as_str())..(namespace_id + 1, ""),
        limit,
        |_, id| id,
    )?;
    rows_of(from, ids)
}

/// At most `limit` repositories with row ids above `after`, oldest first.
///
/// # Errors
/// When the store fails.
pub fn list(from: &impl Reads, after: u64, limit: usize) -> Result<Vec<RepositoryRow>, StoreError> {
    REPOSITORIES.scan(from, after.saturating_add(1).., limit, |_, row| row)
}

fn rows_of(from: &impl Reads, ids: Vec<u64>) -> Result<Vec<RepositoryRow>, StoreError> {
    ids.into_iter()
        .map(|id| {
            by_id(from, id)?.ok_or_else(|| {
                StoreError::Inconsistent(format!("a name leads to the absent repository {id}"))
            })
        })
        .collect()
}

/// Adds a repository without refs; `None`, and nothing written, when the name is taken.
///
/// # Errors
/// When the store fails.
pub fn insert(
    to: &Transaction<'_>,
    new: &NewRepository,
) -> Result<Option<RepositoryRow>, StoreError> {
    if by_name(to, new.namespace_id, &new.name)?.is_some() {
        return Ok(None);
    }
    let id = to.next("repositories")?;
    if id > ID_MAX {
        return Err(StoreError::Inconsistent(format!(
            "all {ID_MAX} repository ids are used up"
        )));
    }
    let row = RepositoryRow {
        id,
        uuid: new.uuid.clone(),
        namespace_id: new.namespace_id,
        name: new.name.clone(),
        visibility: new.visibility,
        default_branch: new.default_branch.clone(),
        object_format: new.object_format,
        description: new.description.clone(),
        created_at: to.now(),
    };
    REPOSITORIES.put(to, row.id, &row)?;
    let lower = row.name.as_str().to_ascii_lowercase();
    NAMES.put(to, (row.namespace_id, lower.as_str()), row.id)?;
    UUIDS.put(to, row.uuid.as_str(), row.id)?;
    refs::begin(to, row.id)?;
    Ok(Some(row))
}

/// Replaces the settings of a repository: all but id, uuid, path and object format.
///
/// # Errors
/// When the store fails.
pub fn update(to: &Transaction<'_>, row: &RepositoryRow) -> Result<(), StoreError> {
    REPOSITORIES.put(to, row.id, row)?;
    refs::raise_generation(to, row.id)
}

/// Removes a repository with its refs, history, memberships and deploy-key grants.
///
/// # Errors
/// When the store fails.
pub fn remove(from: &Transaction<'_>, row: &RepositoryRow) -> Result<(), StoreError> {
    let lower = row.name.as_str().to_ascii_lowercase();
    REPOSITORIES.remove(from, row.id)?;
    NAMES.remove(from, (row.namespace_id, lower.as_str()))?;
    UUIDS.remove(from, row.uuid.as_str())?;
    refs::remove_all(from, row.id)?;
    origins::remove(from, row.id)?;
    upstreams::remove_all(from, row.id)?;
    memberships::remove_all(from, MemberOf::Repository(row.id))?;
    deploy_keys::remove_grants_of(from, row.id)
}
