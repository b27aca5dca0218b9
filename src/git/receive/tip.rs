//! What a ref may point to.
//!
//! Source: git-update-ref(1) and git's own receive-pack: a branch names a commit, any other ref any
//! object that exists.

use gix_hash::ObjectId;
use gix_object::Kind;

use super::{QuarantineReader, ReceiveError};
use crate::model::RefName;

/// What a ref is going to point to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tip {
    /// Its kind.
    pub kind: Kind,
    /// What it finally names; `None` when it is no tag.
    pub peeled: Option<ObjectId>,
}

/// Why a ref may not point there.
#[derive(Debug, thiserror::Error)]
pub enum TipError {
    /// Neither the push nor the repository has it.
    #[error("missing necessary objects")]
    Missing,
    /// A branch would point to something other than a commit.
    #[error("cannot update ref '{name}': it would name a {kind}, not a commit")]
    NotACommit {
        /// The branch.
        name: RefName,
        /// What it would name.
        kind: &'static str,
    },
    /// It could not be found out.
    #[error(transparent)]
    Read(#[from] ReceiveError),
}

impl QuarantineReader<'_> {
    /// Whether the ref `name` may point to `id`, and what that is.
    ///
    /// # Errors
    /// When it may not, or the repository is damaged.
    pub fn tip(&mut self, name: &RefName, id: &ObjectId) -> Result<Tip, TipError> {
        let kind = self.kind(id)?.ok_or(TipError::Missing)?;
        if name.as_branch().is_some() && kind != Kind::Commit {
            return Err(TipError::NotACommit {
                name: name.clone(),
                kind: super::inspector::word(kind),
            });
        }
        let peeled = match kind {
            Kind::Tag => Some(self.peel(id)?.ok_or(TipError::Missing)?.0),
            _ => None,
        };
        Ok(Tip { kind, peeled })
    }
}
