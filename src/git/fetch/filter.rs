//! What a partial clone leaves out.
//!
//! Source: git-rev-list(1), `--filter`.
//! Bounds: the parser of the protocol limits how many parts a combination has.
//! Invariant: objects that a client asks for by id are never left out.
//! Not here: the words on the wire (`packhorse_protocol`), filters by place and their combinations (`sieve`).

use gix_object::Kind;

use super::sparse::SparseList;

/// A rule by which objects are left out.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Filter {
    /// All blobs.
    BlobNone,
    /// Blobs of at least this many bytes.
    BlobLimit(u64),
    /// Trees and blobs at this depth or deeper; a commit's tree is at depth 0.
    TreeDepth(u64),
    /// Objects of other kinds than this one.
    ObjectType(Kind),
    /// Blobs at paths that this list does not want.
    Listed(SparseList),
    /// Whatever any of these leaves out.
    Combine(Vec<Self>),
}

impl Filter {
    /// Whether this leaves out blobs, all of them, and nothing else.
    pub(super) fn is_no_blobs(&self) -> bool {
        let mut by_place = false;
        self.each_part(&mut |part| by_place |= matches!(part, Self::Listed(_)));
        !by_place && Rules::new(Some(self)) == Rules::NO_BLOBS
    }

    /// Calls `take` with each filter that is no combination.
    pub(super) fn each_part<'a>(&'a self, take: &mut dyn FnMut(&'a Self)) {
        match self {
            Self::Combine(filters) => filters.iter().for_each(|filter| filter.each_part(take)),
            other => take(other),
        }
    }
}

/// A filter taken apart, so that walking asks plain questions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rules {
    /// Blobs of this size and more are left out.
    pub(super) blob_bytes_end: Option<u64>,
    /// Trees and blobs of this depth and deeper are left out.
    pub(super) depth_end: Option<u64>,
    pub(super) commits: bool,
    pub(super) tags: bool,
    pub(super) trees: bool,
    pub(super) blobs: bool,
}

impl Rules {
    /// Nothing is left out.
    pub(super) const ALL: Self = Self {
        blob_bytes_end: None,
        depth_end: None,
        commits: true,
        tags: true,
        trees: true,
        blobs: true,
    };

    /// Blobs alone are left out.
    pub(super) const NO_BLOBS: Self = Self {
        blobs: false,
        ..Self::ALL
    };

    /// Commits and tags, and nothing that they hold.
    pub(super) const COMMITS: Self = Self {
        trees: false,
        blobs: false,
        ..Self::ALL
    };

    pub(super) fn new(filter: Option<&Filter>) -> Self {
        let mut rules = Self::ALL;
        if let Some(filter) = filter {
            rules.narrow(filter);
        }
        rules
    }

    fn narrow(&mut self, filter: &Filter) {
        let less = |old: Option<u64>, new: u64| Some(old.map_or(new, |old| old.min(new)));
        match filter {
            Filter::BlobNone | Filter::BlobLimit(0) => self.blobs = false,
            Filter::BlobLimit(bytes) => self.blob_bytes_end = less(self.blob_bytes_end, *bytes),
            Filter::TreeDepth(depth) => self.depth_end = less(self.depth_end, *depth),
            Filter::ObjectType(kind) => {
                self.commits &= *kind == Kind::Commit;
                self.tags &= *kind == Kind::Tag;
                self.trees &= *kind == Kind::Tree;
                self.blobs &= *kind == Kind::Blob;
            }
            // A question of the place, which the sieve answers.
            Filter::Listed(_) => {}
            Filter::Combine(filters) => {
                for filter in filters {
                    self.narrow(filter);
                }
            }
        }
    }

    /// Whether looking into commits' trees can show anything to send.
    pub(super) fn enters_trees(&self) -> bool {
        (self.trees || self.blobs) && self.depth_end != Some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_combination_leaves_out_what_any_part_leaves_out() {
        let filter = Filter::Combine(vec![
            Filter::BlobLimit(100),
            Filter::TreeDepth(3),
            Filter::Combine(vec![Filter::BlobLimit(7), Filter::TreeDepth(9)]),
            Filter::ObjectType(Kind::Blob),
        ]);
        let expected = Rules {
            blob_bytes_end: Some(7),
            depth_end: Some(3),
            commits: false,
            tags: false,
            trees: false,
            blobs: true,
        };
        assert_eq!(Rules::new(Some(&filter)), expected);
        assert!(expected.enters_trees());
        assert!(!Rules::new(Some(&Filter::TreeDepth(0))).enters_trees());
        assert_eq!(
            Rules::new(Some(&Filter::BlobLimit(0))),
            Rules::new(Some(&Filter::BlobNone))
        );
    }
}
