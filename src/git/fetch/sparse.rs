//! The list of patterns that a `sparse:oid` filter names.
//!
//! Source: git-rev-list(1), `--filter=sparse:oid=<blob-ish>`; git-sparse-checkout(1).
//! Bounds: those of [`Patterns`].
//! Invariant: a list is read only where a ref shown to the caller reaches it, and what its name goes
//! through.
//! Not here: what the patterns let through (`sieve`).

use std::{
    hash::{Hash, Hasher},
    sync::Arc,
};

use gix_object::Kind;

use super::visibility;
use crate::{
    git::{
        Repository,
        browse::Browser,
        packs::{PackSet, ReadError},
        patterns::{Patterns, PatternsError},
    },
    model::{ObjectId, RefSnapshot},
};

/// Patterns of a sparse checkout, read from a blob.
#[derive(Debug, Clone)]
pub struct SparseList {
    id: ObjectId,
    patterns: Arc<Patterns>,
}

/// Why there is no such list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SparseError {
    /// Nothing that the caller may see has this name.
    #[error("unable to access sparse blob in '{0}'")]
    NotFound(String),
    /// It is no blob, or not one that can be used.
    #[error("unable to parse sparse filter data in {0}")]
    NotAList(ObjectId, #[source] Option<PatternsError>),
    /// The objects can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl SparseList {
    /// Reads the list that a client names: an id or a ref, perhaps with `:` and a path after it.
    ///
    /// # Errors
    /// When the caller may see nothing of that name, it is no list, or too long a one.
    pub fn named(
        repository: &Repository,
        packs: &Arc<PackSet>,
        refs: &RefSnapshot,
        name: &[u8],
    ) -> Result<Self, SparseError> {
        let not_found = || SparseError::NotFound(name.escape_ascii().to_string());
        let colon = name.iter().position(|byte| *byte == b':');
        let (revision, path) = match colon {
            Some(colon) => (&name[..colon], Some(&name[colon + 1..])),
            None => (name, None),
        };
        let revision = std::str::from_utf8(revision).map_err(|_| not_found())?;
        let mut browser = Browser::new(Arc::clone(packs));
        let start = browser.resolve(refs, revision).ok_or_else(not_found)?.id();
        // The path must not tell of objects that the caller may not see.
        if visibility::refused(repository, packs, refs, &[start])?.is_some() {
            return Err(not_found());
        }
        let id = match path {
            None => start,
            Some(path) => {
                let tree = browser.tree_of(&start)?.ok_or_else(not_found)?;
                let entry = browser.at_path(&tree, path)?;
                let entry = entry.filter(|entry| entry.kind != Kind::Commit);
                entry.ok_or_else(not_found)?.id
            }
        };
        let number = packs.number(&id).ok_or_else(not_found)?;
        let mut history = crate::git::history::History::new(Arc::clone(packs));
        if history.reader().kind_at(packs.location_of(number))? != Kind::Blob {
            return Err(SparseError::NotAList(id, None));
        }
        let not_a_list = |error| SparseError::NotAList(id, Some(error));
        let bytes = match browser.blob(&id, Patterns::BYTES_MAX) {
            Err(ReadError::TooLarge { size, .. }) => {
                return Err(not_a_list(PatternsError::TooLarge(size)));
            }
            other => other?,
        };
        let patterns = Patterns::parse(&bytes).map_err(not_a_list)?;
        Ok(Self {
            id,
            patterns: Arc::new(patterns),
        })
    }

    pub(super) fn patterns(&self) -> Arc<Patterns> {
        Arc::clone(&self.patterns)
    }
}

// The id tells all of the patterns.
impl PartialEq for SparseList {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for SparseList {}

impl Hash for SparseList {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.id.hash(state);
    }
}
