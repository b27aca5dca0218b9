//! Refs as their readers see them: whole snapshots, and branches page by page.
//!
//! Bounds: [`PAGE_MAX`] branches in a page.
//! Invariant: a cursor stands for a place in the order of creation, so a page neither repeats nor
//! misses a branch that exists throughout, whatever is made or deleted meanwhile.

use std::{fmt, str::FromStr, sync::Arc};

use super::{Hosting, HostingError, blocking};
use crate::{
    model::{ObjectId, RefEntry, RefSnapshot, Timestamp},
    policy::{Authorized, Denied, Fetch, RepositoryAction},
    store::{refs, refs::NumberedMove},
};

/// Most branches in one page.
const PAGE_MAX: usize = 1000;

/// Where ephemeral branches lie.
const EPHEMERAL_BRANCHES: &str = "refs/namespaces/ephemeral/refs/heads/";

/// A branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Branch {
    /// Its short name.
    pub name: String,
    /// The commit at its tip.
    pub id: ObjectId,
    /// When a branch of this name was last made.
    pub created_at: Timestamp,
    /// When it last moved.
    pub updated_at: Timestamp,
    /// Stands behind it in the order of creation.
    pub cursor: BranchCursor,
}

/// A place in the order of creation; opaque to whoever asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BranchCursor(u64);

/// The text is no cursor.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a cursor")]
pub struct BadCursor(pub String);

impl fmt::Display for BranchCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "b{:x}", self.0)
    }
}

impl FromStr for BranchCursor {
    type Err = BadCursor;

    fn from_str(text: &str) -> Result<Self, BadCursor> {
        text.strip_prefix('b')
            .filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
            .and_then(|hex| u64::from_str_radix(hex, 16).ok())
            .map(Self)
            .ok_or_else(|| BadCursor(text.to_owned()))
    }
}

/// Some of a longer list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// What is on it.
    pub items: Vec<T>,
    /// Whether there are further ones behind it.
    pub has_more: bool,
}

impl Hosting {
    /// All refs of a repository as they are now.
    ///
    /// # Errors
    /// When the repository was removed meanwhile or the store fails.
    pub async fn refs<A: RepositoryAction>(
        &self,
        authorized: &Authorized<A>,
    ) -> Result<Arc<RefSnapshot>, HostingError> {
        let id = authorized.target().id;
        if let Some(refs) = self.store.refs_if_cached(id)? {
            return Ok(refs);
        }
        let store = self.store.clone();
        let found = blocking(move || Ok(store.refs(id)?)).await?;
        found.ok_or(HostingError::Denied(Denied::NotVisible))
    }

    /// At most `limit` refs whose names begin with `prefix`, by name, those behind `after` only.
    ///
    /// # Errors
    /// When the repository was removed meanwhile or the store fails.
    pub async fn refs_below(
        &self,
        authorized: &Authorized<Fetch>,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<RefEntry>, HostingError> {
        let refs = self.refs(authorized).await?;
        let below = refs.with_prefix(prefix.as_bytes());
        let start = after.map_or(0, |after| {
            below.partition_point(|entry| entry.name.as_str() <= after)
        });
        let rest = &below[start..];
        let limit = limit.min(PAGE_MAX);
        Ok(Page {
            items: rest.iter().take(limit).cloned().collect(),
            has_more: rest.len() > limit,
        })
    }

    /// At most `limit` branches, plain or ephemeral ones, in the order they were made, those behind the
    /// cursor only.
    ///
    /// # Errors
    /// When the store fails.
    pub fn branches(
        &self,
        authorized: &Authorized<Fetch>,
        ephemeral: bool,
        after: Option<BranchCursor>,
        limit: usize,
    ) -> Result<Page<Branch>, HostingError> {
        let prefix = match ephemeral {
            true => EPHEMERAL_BRANCHES,
            false => "refs/heads/",
        };
        let snapshot = self.store.snapshot()?;
        let limit = limit.min(PAGE_MAX);
        let after = after.map_or(0, |cursor| cursor.0);
        let id = authorized.target().id;
        let mut found = refs::in_creation_order(&snapshot, id, prefix, after, limit + 1)?;
        let has_more = found.len() > limit;
        found.truncate(limit);
        let items = found.into_iter().map(|(name, row)| Branch {
            name: name
                .as_str()
                .strip_prefix(prefix)
                .unwrap_or_default()
                .to_owned(),
            id: row.id,
            created_at: row.created_at,
            updated_at: row.updated_at,
            cursor: BranchCursor(row.sequence),
        });
        Ok(Page {
            items: items.collect(),
            has_more,
        })
    }

    /// At most `limit` moves of a repository's refs, newest first, those before this number only.
    ///
    /// # Errors
    /// When the store fails.
    pub fn ref_history(
        &self,
        authorized: &Authorized<Fetch>,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<NumberedMove>, HostingError> {
        let snapshot = self.store.snapshot()?;
        let id = authorized.target().id;
        Ok(refs::history(&snapshot, id, before, limit.min(PAGE_MAX))?)
    }
}
