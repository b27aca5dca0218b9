//! Branches merged into others.
//!
//! Source: git-merge(1): `--no-ff`, `--ff-only`, `--ff` and `--squash`.
//! Bounds: those of `git::merge`, in turn with other computations; [`TRIES`](super::TRIES) when the target moves
//! meanwhile.
//! Invariant: the source is read once, and what it was then is merged; a merge with conflicts changes nothing.

use std::{collections::BTreeSet, sync::Arc};

use super::{CommitError, TRIES};
use crate::{
    git::{
        self, ObjectKind,
        browse::Browser,
        edit::{CommitText, Person},
        merge::{Conflict, MergeError, Merged, Merger, Stage},
        receive::Composer,
    },
    hosting::{Command, Contents, Hosting, HostingError, Push, Refusal},
    model::{BranchName, ObjectId},
    policy::{self, Authorized},
    store::refs,
};

/// How a merge may come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeStrategy {
    /// By a commit with two parents.
    Commit,
    /// By moving the target forward to the source, or not at all.
    FastForwardOnly,
    /// By moving the target forward if that can be done.
    FastForward,
}

/// What is to be merged into what.
#[derive(Debug, Clone)]
pub struct AskedMerge {
    /// Where the commits are.
    pub source: BranchName,
    /// Where they go.
    pub target: BranchName,
    /// How.
    pub strategy: MergeStrategy,
    /// Whether the target gets all of it as one commit of its own.
    pub squash: bool,
    /// Where the caller knows the target to be.
    pub expected_target: Option<ObjectId>,
    /// Whether branches that have no commit in common may be merged.
    pub unrelated: bool,
    /// What the commit says, if there is one.
    pub message: Option<String>,
    /// Who wrote it.
    pub author: Person,
    /// Who committed it.
    pub committer: Person,
}

/// What a merge came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MergeResult {
    /// A commit with two parents.
    Commit,
    /// The target is where the source is.
    FastForward,
    /// One commit on the target.
    Squash,
    /// The target had everything before.
    Nothing,
}

/// A merge that is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MergeDone {
    /// How.
    pub result: MergeResult,
    /// Where the source was.
    pub source: ObjectId,
    /// Where the target was.
    pub old: ObjectId,
    /// Where the target is.
    pub new: ObjectId,
    /// The tree there.
    pub tree: ObjectId,
    /// The newest of their best common ancestors.
    pub base: Option<ObjectId>,
    /// Commits of the source that the target did not have.
    pub promoted: usize,
}

/// Why branches were not merged; nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum MergeRefusal {
    /// As for any commit.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Both sides changed the same.
    #[error("the branches conflict in {} places", .paths.len())]
    Conflict {
        /// Where.
        paths: Vec<Vec<u8>>,
        /// The newest of their best common ancestors.
        base: Option<ObjectId>,
    },
    /// The target has commits that the source has not.
    #[error("the target can't be fast-forwarded to the source")]
    NoFastForward {
        /// The newest of their best common ancestors.
        base: Option<ObjectId>,
    },
    /// They have no commit in common.
    #[error("the branches have unrelated histories")]
    Unrelated,
}

impl From<HostingError> for MergeRefusal {
    fn from(error: HostingError) -> Self {
        Self::Commit(error.into())
    }
}

impl From<MergeError> for HostingError {
    fn from(error: MergeError) -> Self {
        match error {
            MergeError::Read(error) => error.into(),
            MergeError::TooMuch(_) | MergeError::Collision => Self::TooMuch(error.to_string()),
        }
    }
}

/// How two tips relate.
struct Relation {
    base: Option<ObjectId>,
    /// The target has all of the source.
    has_all: bool,
    /// The source has all of the target.
    is_behind: bool,
}

impl Relation {
    fn of(merger: &mut Merger, target: &ObjectId, source: &ObjectId) -> Result<Self, HostingError> {
        let base = merger.bases(target, source)?.first().copied();
        Ok(Self {
            has_all: base == Some(*source),
            is_behind: base == Some(*target),
            base,
        })
    }
}

impl Hosting {
    /// Merges one branch into another.
    ///
    /// # Errors
    /// [`MergeRefusal`] says why nothing happened.
    pub async fn merge(
        &self,
        authorized: Authorized<policy::Push>,
        asked: AskedMerge,
    ) -> Result<MergeDone, MergeRefusal> {
        let id = authorized.target().id;
        let _turn = self.turns.take(id, asked.target.stored()).await;
        let asked = Arc::new(asked);
        let source = self.tip(id, &asked.source).await?;
        for _ in 0..TRIES {
            let (hosting, allowed, again) = (self.clone(), authorized.clone(), Arc::clone(&asked));
            let made = self.compute(move || {
                let old = hosting.expected_tip(id, &again)?;
                hosting.make_merge(&allowed, &again, source, old)
            });
            let done = made.await?;
            if done.result == MergeResult::Nothing {
                return Ok(done);
            }
            let command = Command {
                name: asked.target.stored().clone(),
                old: Some(done.old),
                new: Some(done.new),
            };
            let push = Push {
                commands: vec![command],
                atomic: true,
            };
            let outcomes = self.push(authorized.clone(), push, None).await?;
            match outcomes.into_iter().next().map(|outcome| outcome.result) {
                Some(Ok(_)) => return Ok(done),
                Some(Err(Refusal::Stale | Refusal::NoSuchRef)) | None => {}
                Some(Err(refusal)) => return Err(CommitError::Refused(refusal).into()),
            }
        }
        Err(CommitError::Contended(asked.target.short().to_owned()).into())
    }

    async fn tip(&self, repository: u64, branch: &BranchName) -> Result<ObjectId, MergeRefusal> {
        let (hosting, branch) = (self.clone(), branch.clone());
        let tip = crate::hosting::blocking(move || hosting.tip_now(repository, &branch));
        Ok(tip.await?)
    }

    fn tip_now(&self, repository: u64, branch: &BranchName) -> Result<ObjectId, HostingError> {
        let snapshot = self.store.snapshot()?;
        let row = refs::find(&snapshot, repository, branch.stored().as_str())?;
        match row {
            Some(row) => Ok(row.id),
            None => Err(HostingError::not_found("branch", branch)),
        }
    }

    /// Where the target is, which has to be where the caller knows it.
    fn expected_tip(&self, repository: u64, asked: &AskedMerge) -> Result<ObjectId, MergeRefusal> {
        let found = self.tip_now(repository, &asked.target)?;
        match asked.expected_target {
            Some(expected) if expected != found => Err(CommitError::Moved {
                branch: asked.target.short().to_owned(),
                expected,
                found: Some(found),
            }
            .into()),
            _ => Ok(found),
        }
    }

    /// Makes and publishes what the target is to be moved to.
    fn make_merge(
        &self,
        authorized: &Authorized<policy::Push>,
        asked: &AskedMerge,
        source: ObjectId,
        old: ObjectId,
    ) -> Result<MergeDone, MergeRefusal> {
        // The tips were read before: what they name is in these packs.
        let repository = self.objects(authorized)?;
        let packs = repository.packs();
        let mut merger = Merger::new(Arc::clone(&packs));
        let relation = Relation::of(&mut merger, &old, &source)?;
        let mut browser = Browser::new(packs);
        let mut tree = |commit: &ObjectId| -> Result<ObjectId, MergeRefusal> {
            Ok(browser.commit(commit).map_err(HostingError::from)?.tree)
        };
        let mut done = MergeDone {
            result: MergeResult::Nothing,
            source,
            old,
            new: old,
            tree: tree(&old)?,
            base: relation.base,
            promoted: 0,
        };
        if relation.has_all {
            return Ok(done);
        }
        if relation.base.is_none() && !asked.unrelated {
            return Err(MergeRefusal::Unrelated);
        }
        done.promoted = merger.ahead(&old, &source).map_err(HostingError::from)?;
        if relation.is_behind && !asked.squash && asked.strategy != MergeStrategy::Commit {
            done.result = MergeResult::FastForward;
            (done.new, done.tree) = (source, tree(&source)?);
            return Ok(done);
        }
        if asked.strategy == MergeStrategy::FastForwardOnly {
            let base = relation.base;
            return Err(MergeRefusal::NoFastForward { base });
        }
        let labels = [
            asked.target.short().as_bytes(),
            asked.source.short().as_bytes(),
        ];
        let merged = merger
            .merge(&old, &source, labels)
            .map_err(HostingError::from)?;
        if !merged.clean {
            return Err(MergeRefusal::Conflict {
                paths: conflict_paths(&merged),
                base: relation.base,
            });
        }
        let parents = match asked.squash {
            true => vec![old],
            false => vec![old, source],
        };
        done.result = match asked.squash {
            true => MergeResult::Squash,
            false => MergeResult::Commit,
        };
        done.tree = merged.tree;
        done.new = self.publish(&repository, asked, merged, &parents)?;
        Ok(done)
    }

    fn publish(
        &self,
        repository: &git::Repository,
        asked: &AskedMerge,
        merged: Merged,
        parents: &[ObjectId],
    ) -> Result<ObjectId, CommitError> {
        let mut composer = Composer::new(repository, &self.receive_limits);
        for made in &merged.made {
            composer.add(made.kind, &made.bytes)?;
        }
        let (source, target) = (asked.source.short(), asked.target.short());
        let message = asked.message.clone().unwrap_or_else(|| match asked.squash {
            true => format!("Squash branch '{source}' into {target}"),
            false => format!("Merge branch '{source}' into {target}"),
        });
        let text = CommitText {
            author: asked.author.clone(),
            committer: asked.committer.clone(),
            message,
        };
        let content = text.content(&merged.tree, parents);
        let commit = composer.add(ObjectKind::Commit, &content)?;
        composer.finish()?.publish()?;
        Ok(commit)
    }
}

/// Paths that people have to look at, in order.
fn conflict_paths(merged: &Merged) -> Vec<Vec<u8>> {
    let conflicts = merged.conflicts.iter().map(|conflict| &conflict.path);
    let paths: BTreeSet<_> = conflicts.chain(&merged.obstacles).collect();
    paths.into_iter().cloned().collect()
}

/// What a merge would come to.
pub struct MergePreview {
    /// How it would be done.
    pub result: MergeResult,
    /// The newest of their best common ancestors.
    pub base: Option<ObjectId>,
    /// Where people would have to decide.
    pub paths: Vec<Vec<u8>>,
    /// The same with what each side has there, for those that are files.
    pub conflicts: Vec<Conflict>,
    merger: Merger,
}

impl MergePreview {
    /// The content of one of the versions; `None` if it has more bytes.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn content(
        &mut self,
        stage: &Stage,
        bytes_max: u64,
    ) -> Result<Option<Vec<u8>>, HostingError> {
        Ok(self.merger.content(&stage.id, bytes_max)?)
    }
}

impl Contents {
    /// What it would come to if one commit were merged into another.
    ///
    /// # Errors
    /// When objects can't be read or the merge would take too much.
    pub fn preview_merge(
        &self,
        target: &ObjectId,
        source: &ObjectId,
        labels: [&str; 2],
    ) -> Result<MergePreview, HostingError> {
        let mut merger = Merger::new(Arc::clone(&self.packs));
        let relation = Relation::of(&mut merger, target, source)?;
        let mut preview = MergePreview {
            result: match (relation.has_all, relation.is_behind) {
                (true, _) => MergeResult::Nothing,
                (false, true) => MergeResult::FastForward,
                (false, false) => MergeResult::Commit,
            },
            base: relation.base,
            paths: Vec::new(),
            conflicts: Vec::new(),
            merger,
        };
        if preview.result == MergeResult::Commit {
            let labels = labels.map(str::as_bytes);
            let merged = preview.merger.merge(target, source, labels)?;
            preview.paths = conflict_paths(&merged);
            preview.conflicts = merged.conflicts;
        }
        Ok(preview)
    }
}
