//! Two commits made into one: the tree that a merge has, or the paths at which it can't be made.
//!
//! Source: git-merge-tree(1), `--write-tree`, which is git's `ort` strategy with its defaults; stock git is the
//! judge. Several best common ancestors are merged into one before, as `ort` does.
//! Bounds: named in each file; what exceeds one is refused, never merged otherwise. [`PASSES_MAX`] merges for one,
//! counting those of ancestors.
//! Invariant: a merge without conflicts has the tree that git gives it, one with conflicts has git's paths.
//! Not here: which commits are merged and what is done with the result (`hosting`).

mod collect;
mod content;
mod entries;
mod folders;
mod moves;
mod objects;
mod renames;
#[cfg(test)]
mod tests;
mod text;

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::Arc,
};

use gix_object::Kind;

use self::{
    collect::{Path, Paths},
    entries::Inside,
    objects::Objects,
};
use super::{
    history::{BasesError, CommitIndex, History},
    packs::{PackSet, ReadError},
};
use crate::model::ObjectId;

/// Merges that one may take, counting those of its ancestors.
const PASSES_MAX: usize = 100;

/// Why commits can't be merged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// An object can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It would take more than a merge may.
    #[error("the commits can't be merged here: {0}")]
    TooMuch(&'static str),
    /// Content of the merge has the marks of an attack on SHA-1.
    #[error("the merge makes an object whose hash can't be trusted")]
    Collision,
}

impl From<BasesError> for MergeError {
    fn from(error: BasesError) -> Self {
        match error {
            BasesError::Read(error) => error.into(),
            BasesError::TooMany => Self::TooMuch("their histories cross too often"),
        }
    }
}

/// An object that a merge made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// A blob or a tree.
    pub kind: Kind,
    /// What it holds.
    pub bytes: Vec<u8>,
}

/// A file as one of the three has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stage {
    /// As git stores it.
    pub mode: u32,
    /// Its blob, or a commit of another repository.
    pub id: ObjectId,
}

impl Stage {
    /// Whether it is a commit of another repository.
    pub fn is_submodule(self) -> bool {
        self.mode & objects::KIND == objects::SUBMODULE
    }
}

/// A path at which there is a conflict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// From the root.
    pub path: Vec<u8>,
    /// As the base, our side and their side have it.
    pub stages: [Option<Stage>; 3],
    /// What lies there in the tree, perhaps with markers in it.
    pub result: Option<Stage>,
}

/// What a merge comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Merged {
    /// The tree; with conflicts, what git would leave for people to settle.
    pub tree: ObjectId,
    /// Whether nothing is left to settle.
    pub clean: bool,
    /// Paths with a conflict, in order.
    pub conflicts: Vec<Conflict>,
    /// Further paths that could not be put where a moved folder would have taken them, or folders that went to
    /// several places.
    pub obstacles: Vec<Vec<u8>>,
    /// What the tree holds that the packs do not have, a tree behind all that it holds.
    pub made: Vec<Made>,
}

/// Merges commits of one snapshot of packs.
pub struct Merger {
    history: History,
    objects: Objects,
    passes_left: usize,
}

/// A commit, or what several were merged into.
#[derive(Clone)]
struct Version {
    commits: Vec<CommitIndex>,
    tree: ObjectId,
}

/// A merge of two trees under way.
struct Pass<'a> {
    objects: &'a mut Objects,
    paths: Paths,
    /// What the sides are called in markers.
    labels: [&'a [u8]; 2],
    /// 0 for the merge that was asked for, more for those of ancestors.
    depth: usize,
    inside: Inside,
    conflicted: BTreeMap<Path, usize>,
}

impl Merger {
    /// Merges commits of these packs.
    pub fn new(packs: Arc<PackSet>) -> Self {
        Self {
            history: History::new(Arc::clone(&packs)),
            objects: Objects::new(packs),
            passes_left: PASSES_MAX,
        }
    }

    /// The best common ancestors of two commits, the newest first; none if their histories are unrelated.
    ///
    /// # Errors
    /// When a commit can't be read, or there are too many of them.
    pub fn bases(
        &mut self,
        ours: &ObjectId,
        theirs: &ObjectId,
    ) -> Result<Vec<ObjectId>, MergeError> {
        let ours = self.history.commit_of_id(ours)?;
        let theirs = self.history.commit_of_id(theirs)?;
        let bases = self.history.merge_bases(&[ours], &[theirs])?;
        Ok(bases
            .into_iter()
            .map(|base| self.history.id(base))
            .collect())
    }

    /// How many commits `theirs` reaches that `ours` does not.
    ///
    /// # Errors
    /// When a commit can't be read.
    pub fn ahead(&mut self, ours: &ObjectId, theirs: &ObjectId) -> Result<usize, MergeError> {
        let ours = self.history.commit_of_id(ours)?;
        let theirs = self.history.commit_of_id(theirs)?;
        Ok(self.history.range(&[theirs], &[ours], None)?.commits.len())
    }

    /// Merges two commits; commits with unrelated histories as if both had come from nothing. The labels name the
    /// sides where a file has markers in it.
    ///
    /// # Errors
    /// When an object can't be read, or the merge would take too much.
    pub fn merge(
        &mut self,
        ours: &ObjectId,
        theirs: &ObjectId,
        labels: [&[u8]; 2],
    ) -> Result<Merged, MergeError> {
        let ours = self.version(ours)?;
        let theirs = self.version(theirs)?;
        let mut merged = self.merge_at(0, &ours, &theirs, labels)?;
        let made = self.objects.made_below(&merged.tree);
        merged.made = made
            .into_iter()
            .map(|(kind, bytes)| Made { kind, bytes })
            .collect();
        Ok(merged)
    }

    /// The bytes of a blob, be it one that a merge made; `None` if it has more than so many.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn content(
        &mut self,
        id: &ObjectId,
        bytes_max: u64,
    ) -> Result<Option<Vec<u8>>, MergeError> {
        if self.objects.size(id)? > bytes_max {
            return Ok(None);
        }
        Ok(Some(self.objects.blob(id)?.to_vec()))
    }

    fn version(&mut self, commit: &ObjectId) -> Result<Version, ReadError> {
        let commit = self.history.commit_of_id(commit)?;
        Ok(self.version_of(commit))
    }

    fn version_of(&self, commit: CommitIndex) -> Version {
        let tree = self.history.tree(commit);
        Version {
            commits: vec![commit],
            tree: self.history.packs().id_of(tree).to_owned(),
        }
    }

    fn merge_at(
        &mut self,
        depth: usize,
        ours: &Version,
        theirs: &Version,
        labels: [&[u8]; 2],
    ) -> Result<Merged, MergeError> {
        // The oldest first.
        let mut bases = self.history.merge_bases(&ours.commits, &theirs.commits)?;
        let mut base = bases.pop().map(|base| self.version_of(base));
        while let Some(next) = bases.pop() {
            let next = self.version_of(next);
            base = match base {
                None => Some(next),
                Some(mut base) => {
                    const LABELS: [&[u8]; 2] =
                        [b"Temporary merge branch 1", b"Temporary merge branch 2"];
                    base.tree = self.merge_at(depth + 1, &base, &next, LABELS)?.tree;
                    base.commits.extend(next.commits);
                    Some(base)
                }
            };
        }
        let left = self.passes_left.checked_sub(1);
        self.passes_left = left.ok_or(MergeError::TooMuch("their histories cross too often"))?;
        let base = base.map_or(self.objects.empty_tree(), |base| base.tree);
        merge_trees(
            &mut self.objects,
            [base, ours.tree, theirs.tree],
            labels,
            depth,
        )
    }
}

fn merge_trees(
    objects: &mut Objects,
    trees: [ObjectId; 3],
    labels: [&[u8]; 2],
    depth: usize,
) -> Result<Merged, MergeError> {
    let collect::Collected { paths, mut sides } = collect::collect(objects, trees)?;
    let [ours, theirs] = &mut sides;
    let moves = [
        renames::detect(objects, ours)?,
        renames::detect(objects, theirs)?,
    ];
    let mut pass = Pass {
        objects,
        paths,
        labels,
        depth,
        inside: Inside::new(),
        conflicted: BTreeMap::new(),
    };
    let mut obstacles = BTreeSet::new();
    // Folders are not followed when ancestors are merged.
    if depth == 0 {
        let moved = moves.map(|moves| folders::settle(&moves, &mut obstacles));
        let [ours, theirs] = moved;
        let moved = folders::without_disputed(&ours, &theirs);
        let nothing = pass.objects.nothing();
        folders::follow(&mut pass.paths, &mut sides, &moved, nothing, &mut obstacles);
    }
    pass.process_moves(sides)?;
    let tree = pass.process_entries()?;
    let conflicts: Vec<_> = pass.conflicts();
    Ok(Merged {
        tree,
        clean: conflicts.is_empty() && obstacles.is_empty(),
        conflicts,
        obstacles: obstacles.iter().map(|path| path.to_vec()).collect(),
        made: Vec::new(),
    })
}

impl Pass<'_> {
    fn conflicts(&self) -> Vec<Conflict> {
        let conflict = |(path, at): (&Path, &usize)| {
            let entry = &self.paths.entries[*at];
            let stage = |version: objects::Version| {
                version.is_there().then_some(Stage {
                    mode: version.mode,
                    id: version.id,
                })
            };
            let mut stages = entry.versions.map(stage);
            for (stage, bit) in stages.iter_mut().zip([1, 2, 4]) {
                if entry.files & bit == 0 {
                    *stage = None;
                }
            }
            Conflict {
                path: Rc::clone(path).to_vec(),
                stages,
                result: stage(entry.result).filter(|_| !entry.gone),
            }
        };
        self.conflicted.iter().map(conflict).collect()
    }
}
