//! Filters of partial clones in the engine's words.
//!
//! Source: git-rev-list(1), `--filter`.
//! Bounds: the protocol bounds the parts, the engine the lists that `sparse:oid` names.
//! Not here: the grammar (`packhorse_protocol`), what a filter leaves out (`git`).

use std::sync::Arc;

use packhorse_protocol::filter::{Filter as Asked, ObjectType};

use crate::{
    git::{
        self,
        fetch::{Filter, SparseError, SparseList},
    },
    model::RefSnapshot,
};

/// Where the names in a filter are looked up.
pub(super) struct Names<'a> {
    pub(super) git: &'a git::Repository,
    pub(super) packs: &'a Arc<git::PackSet>,
    pub(super) refs: &'a RefSnapshot,
}

impl Names<'_> {
    /// The filter that is asked for.
    ///
    /// # Errors
    /// When it names a list that the caller may not see, or that can't be used.
    pub(super) fn filter(&self, asked: &Asked) -> Result<Filter, SparseError> {
        Ok(match asked {
            Asked::BlobNone => Filter::BlobNone,
            Asked::BlobLimit(bytes) => Filter::BlobLimit(*bytes),
            Asked::TreeDepth(depth) => Filter::TreeDepth(*depth),
            Asked::ObjectType(kind) => Filter::ObjectType(match kind {
                ObjectType::Blob => git::ObjectKind::Blob,
                ObjectType::Tree => git::ObjectKind::Tree,
                ObjectType::Commit => git::ObjectKind::Commit,
                ObjectType::Tag => git::ObjectKind::Tag,
            }),
            Asked::SparseOid(name) => {
                Filter::Listed(SparseList::named(self.git, self.packs, self.refs, name)?)
            }
            Asked::Combine(parts) => {
                let parts = parts.iter().map(|part| self.filter(part));
                Filter::Combine(parts.collect::<Result<_, _>>()?)
            }
        })
    }
}
