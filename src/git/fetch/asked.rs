//! Requests and filters of the protocol in the engine's words.
//!
//! Source: git-rev-list(1), `--filter`.
//! Bounds: the protocol bounds the parts, the engine the lists that `sparse:oid` names.
//! Not here: the grammar (`packhorse_protocol`), what a filter leaves out (`filter`).

use std::sync::Arc;

use packhorse_protocol::{
    filter::{Filter as Asked, ObjectType},
    upload_pack::PackRequest,
};

use super::{FetchRequest, Filter, SparseError, SparseList};
use crate::{
    git::{ObjectKind, PackSet, Repository},
    model::RefSnapshot,
};

impl FetchRequest {
    /// What is asked for, with the filter already in the engine's words.
    pub fn of(asked: PackRequest, filter: Option<Filter>) -> Self {
        Self {
            wants: asked.wants.to_vec(),
            haves: asked.common.to_vec(),
            client_shallows: asked.shallows.to_vec(),
            shallow: asked.new_shallow,
            unshallow: asked.unshallow,
            filter,
            thin_pack: asked.thin_pack,
            ofs_delta: asked.ofs_delta,
            include_tag: asked.include_tag,
        }
    }
}

/// Where the names in a filter are looked up.
pub struct Names<'a> {
    /// The repository.
    pub git: &'a Repository,
    /// Its packs as of the conversation.
    pub packs: &'a Arc<PackSet>,
    /// The refs that the caller sees.
    pub refs: &'a RefSnapshot,
}

impl Names<'_> {
    /// The filter that is asked for.
    ///
    /// # Errors
    /// When it names a list that the caller may not see, or that can't be used.
    pub fn filter(&self, asked: &Asked) -> Result<Filter, SparseError> {
        Ok(match asked {
            Asked::BlobNone => Filter::BlobNone,
            Asked::BlobLimit(bytes) => Filter::BlobLimit(*bytes),
            Asked::TreeDepth(depth) => Filter::TreeDepth(*depth),
            Asked::ObjectType(kind) => Filter::ObjectType(match kind {
                ObjectType::Blob => ObjectKind::Blob,
                ObjectType::Tree => ObjectKind::Tree,
                ObjectType::Commit => ObjectKind::Commit,
                ObjectType::Tag => ObjectKind::Tag,
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
