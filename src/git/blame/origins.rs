//! Files in commits, to which lines are traced.
//!
//! Invariant: there is one origin for a commit and a path; of those of one commit, the one asked for last comes
//! first, as with git, so that equal requests are served in the same order.

use std::{collections::HashMap, rc::Rc};

use super::lines::Span;
use crate::{git::history::CommitIndex, model::ObjectId};

/// A file in a commit.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) commit: CommitIndex,
    pub(super) path: Rc<[u8]>,
    pub(super) blob: Option<ObjectId>,
    pub(super) mode: u32,
    /// Its bytes, while they are needed.
    pub(super) text: Option<Rc<[u8]>>,
    /// Lines that may be from here, by their place here.
    pub(super) suspects: Vec<Span>,
    /// The first parent's file that was compared with it.
    pub(super) previous: Option<OriginIndex>,
}

/// Where an origin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct OriginIndex(usize);

#[derive(Default)]
pub(super) struct Origins {
    all: Vec<Origin>,
    by_commit: HashMap<CommitIndex, Vec<OriginIndex>>,
}

impl Origins {
    pub(super) fn at(&mut self, index: OriginIndex) -> &mut Origin {
        &mut self.all[index.0]
    }

    pub(super) fn get_at(&self, index: OriginIndex) -> &Origin {
        &self.all[index.0]
    }

    /// The origin of this commit and path, if anybody asked for it before.
    pub(super) fn find(&self, commit: CommitIndex, path: &[u8]) -> Option<OriginIndex> {
        let known = self.by_commit.get(&commit)?.iter().rev();
        known
            .copied()
            .find(|known| *self.get_at(*known).path == *path)
    }

    /// The same, made if need be, and the first of its commit from then on.
    pub(super) fn get(&mut self, commit: CommitIndex, path: &Rc<[u8]>) -> OriginIndex {
        let index = self.find(commit, path).unwrap_or_else(|| {
            self.all.push(Origin {
                commit,
                path: Rc::clone(path),
                blob: None,
                mode: 0,
                text: None,
                suspects: Vec::new(),
                previous: None,
            });
            OriginIndex(self.all.len() - 1)
        });
        let known = self.by_commit.entry(commit).or_default();
        known.retain(|known| *known != index);
        known.push(index);
        index
    }

    /// The first origin of the commit to which lines are traced.
    pub(super) fn suspected(&self, commit: CommitIndex) -> Option<OriginIndex> {
        let known = self.by_commit.get(&commit)?.iter().rev();
        known
            .copied()
            .find(|known| !self.get_at(*known).suspects.is_empty())
    }
}
