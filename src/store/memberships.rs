//! Memberships: which role somebody was given on a namespace or a single repository.
//!
//! Invariant: a row and its mirror image in the index by target are written and removed together.

use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::{Reads, StoreError, Transaction, rows::Index};
use crate::model::Role;

/// (subject kind, subject, target kind, target) → role level.
static BY_SUBJECT: Index<(u8, u64, u8, u64), u8> = Index::new("memberships by subject");
/// (target kind, target, subject kind, subject) → role level.
static BY_TARGET: Index<(u8, u64, u8, u64), u8> = Index::new("memberships by target");

/// Who can be a member, own tokens and hold keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// A user, by row id.
    User(u64),
    /// A robot, by row id.
    Robot(u64),
}

impl Subject {
    pub(super) fn key(self) -> (u8, u64) {
        match self {
            Self::User(id) => (1, id),
            Self::Robot(id) => (2, id),
        }
    }

    fn from_key(kind: u8, id: u64) -> Option<Self> {
        match kind {
            1 => Some(Self::User(id)),
            2 => Some(Self::Robot(id)),
            _ => None,
        }
    }
}

/// What one can be a member of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberOf {
    /// A namespace, and thereby all its repositories.
    Namespace(u64),
    /// One repository.
    Repository(u64),
}

impl MemberOf {
    fn key(self) -> (u8, u64) {
        match self {
            Self::Namespace(id) => (1, id),
            Self::Repository(id) => (2, id),
        }
    }
}

pub(super) fn create_tables(database: &WriteTransaction) -> Result<(), StoreError> {
    BY_SUBJECT.create(database)?;
    BY_TARGET.create(database)
}

fn role_of(level: u8) -> Result<Role, StoreError> {
    Role::ALL
        .into_iter()
        .find(|role| role.level() == level)
        .ok_or_else(|| StoreError::Inconsistent(format!("membership with the role level {level}")))
}

/// The role of exactly this membership.
///
/// # Errors
/// When the store fails.
pub fn role(
    from: &impl Reads,
    subject: Subject,
    target: MemberOf,
) -> Result<Option<Role>, StoreError> {
    let ((subject_kind, subject), (target_kind, target)) = (subject.key(), target.key());
    let key = (subject_kind, subject, target_kind, target);
    BY_SUBJECT
        .get(from, key, |level| level)?
        .map(role_of)
        .transpose()
}

/// At most `limit` members of a namespace or repository.
///
/// # Errors
/// When the store fails.
pub fn members(
    from: &impl Reads,
    target: MemberOf,
    limit: usize,
) -> Result<Vec<(Subject, Role)>, StoreError> {
    let (kind, id) = target.key();
    let range = (kind, id, 0, 0)..=(kind, id, u8::MAX, u64::MAX);
    BY_TARGET
        .scan(from, range, limit, |(_, _, kind, id), level| {
            let subject = Subject::from_key(kind, id).ok_or_else(|| {
                StoreError::Inconsistent(format!("membership of the subject kind {kind}"))
            })?;
            Ok((subject, role_of(level)?))
        })?
        .into_iter()
        .collect()
}

/// Gives or changes a role.
///
/// # Errors
/// When the store fails.
pub fn put(
    to: &Transaction<'_>,
    subject: Subject,
    target: MemberOf,
    role: Role,
) -> Result<(), StoreError> {
    let ((subject_kind, subject), (target_kind, target)) = (subject.key(), target.key());
    let level = role.level();
    BY_SUBJECT.put(to, (subject_kind, subject, target_kind, target), level)?;
    BY_TARGET.put(to, (target_kind, target, subject_kind, subject), level)
}

/// Ends a membership and says whether there was one.
///
/// # Errors
/// When the store fails.
pub fn remove(
    from: &Transaction<'_>,
    subject: Subject,
    target: MemberOf,
) -> Result<bool, StoreError> {
    let ((subject_kind, subject), (target_kind, target)) = (subject.key(), target.key());
    BY_TARGET.remove(from, (target_kind, target, subject_kind, subject))?;
    BY_SUBJECT.remove(from, (subject_kind, subject, target_kind, target))
}

/// Ends all memberships of a namespace or repository.
///
/// # Errors
/// When the store fails.
pub(super) fn remove_all(from: &Transaction<'_>, target: MemberOf) -> Result<(), StoreError> {
    for (subject, _) in members(from, target, usize::MAX)? {
        remove(from, subject, target)?;
    }
    Ok(())
}
