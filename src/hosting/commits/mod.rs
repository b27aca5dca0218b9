//! Commits made by API: objects first, then one command at the commit point of a push.
//!
//! Bounds: the engine's limits of a push for what one commit brings; [`TRIES`] when others move the
//! branch meanwhile.
//! Invariant: those who commit onto one branch by API take turns, so that none of them loses its
//! work to another; whoever pushes with git goes in between, and the change is made anew on what they
//! left. With a guard nothing is made anew: the branch is where the caller said, or nothing happens.
//! Not here: how trees are changed (`git::edit`), and who may (`policy`, asked by `push`).

use std::sync::Arc;

use super::{Command, Hosting, HostingError, Push, Refusal, blocking};
use crate::{
    git::{
        self, ObjectKind, PackSet,
        browse::Browser,
        diff::ApplyError,
        edit::{CommitText, EditError, FileMode, TreeEditor},
        receive::{BlobPieces, Composer, ReceiveError},
    },
    model::{BranchName, ObjectId, RefName},
    policy::{self, Authorized, RefChange, RefChangeKind},
    store::{Reads, refs},
};

mod merges;
mod moves;
mod notes;
mod turns;

pub use merges::{AskedMerge, MergeDone, MergePreview, MergeRefusal, MergeResult, MergeStrategy};
pub use notes::{NoteChange, NoteWritten};
pub(super) use turns::Turns;

/// How often a change is made anew because somebody pushed meanwhile.
const TRIES: usize = 16;

/// Where a commit goes.
#[derive(Debug, Clone)]
pub struct Onto {
    /// The ref that moves.
    pub name: RefName,
    /// What the first commit is put upon if the ref does not exist.
    pub start: Start,
    /// Where the caller knows the ref to be, or if that does not exist, its start.
    pub expected: Option<ObjectId>,
}

/// What a ref that does not exist begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// The tip of this branch.
    Branch(BranchName),
    /// A commit without parents, if there are no refs at all yet.
    Seed,
    /// A commit without parents.
    Root,
}

impl Onto {
    /// A branch, which begins at `start` if it does not exist.
    pub fn branch(
        branch: &BranchName,
        start: Option<BranchName>,
        expected: Option<ObjectId>,
    ) -> Self {
        Self {
            name: branch.stored().clone(),
            start: start.map_or(Start::Seed, Start::Branch),
            expected,
        }
    }

    /// The ref as people call it.
    fn label(&self) -> String {
        label(&self.name)
    }
}

/// A stored ref as people call it.
fn label(name: &RefName) -> String {
    let name = name.local();
    name.strip_prefix("refs/heads/").unwrap_or(name).to_owned()
}

/// Why a commit was not made; nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The caller may not, or the server failed.
    #[error(transparent)]
    Hosting(#[from] HostingError),
    /// The branch does not exist, and nothing says where it would begin.
    #[error("branch {0} does not exist")]
    NoBranch(String),
    /// The branch from which it would begin does not exist.
    #[error("base branch {0} does not exist")]
    NoStart(BranchName),
    /// The branch is not where the caller knows it to be.
    #[error("{branch} is {}, not {expected} as expected", place(.found.as_ref()))]
    Moved {
        /// The branch whose place was expected.
        branch: String,
        /// Where it was expected.
        expected: ObjectId,
        /// Where it is.
        found: Option<ObjectId>,
    },
    /// The ref may not move so.
    #[error(transparent)]
    Refused(Refusal),
    /// There is no note to be removed.
    #[error("{0} has no note")]
    NoNote(ObjectId),
    /// The change does not fit what is there.
    #[error("{0}")]
    Conflict(String),
    /// The change itself is not right, whatever it is applied to.
    #[error("{0}")]
    Invalid(String),
    /// The new objects are not taken.
    #[error(transparent)]
    Unfit(ReceiveError),
    /// Others moved the branch again and again.
    #[error("branch {0} moves too fast, try again")]
    Contended(String),
}

fn place(found: Option<&ObjectId>) -> String {
    found.map_or_else(|| "absent".to_owned(), |id| format!("at {id}"))
}

impl From<ReceiveError> for CommitError {
    fn from(error: ReceiveError) -> Self {
        match error {
            ReceiveError::Object(_)
            | ReceiveError::Limit { .. }
            | ReceiveError::HashAttack(_)
            | ReceiveError::MissingObject { .. }
            | ReceiveError::WrongKind { .. } => Self::Unfit(error),
            error => Self::Hosting(error.into()),
        }
    }
}

impl From<ApplyError> for CommitError {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Conflict { .. } => Self::Conflict(error.to_string()),
            ApplyError::Read(error) => Self::Hosting(error.into()),
            ApplyError::Empty
            | ApplyError::Malformed { .. }
            | ApplyError::Refused { .. }
            | ApplyError::TooMuch(_) => Self::Invalid(error.to_string()),
        }
    }
}

impl From<EditError> for CommitError {
    fn from(error: EditError) -> Self {
        match error {
            EditError::Read(error) => Self::Hosting(error.into()),
            EditError::Write(error) => error.into(),
            EditError::TooManyEntries => Self::Invalid(error.to_string()),
        }
    }
}

/// A commit that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The commit.
    pub id: ObjectId,
    /// Its tree.
    pub tree: ObjectId,
    /// Where the branch was; `None` if it did not exist.
    pub old: Option<ObjectId>,
    /// Bytes of the pack that was written.
    pub pack_bytes: u64,
    /// How many files were put.
    pub files: usize,
}

/// What a change is made on.
pub struct Base<'a> {
    /// The commit that becomes the parent; `None` in an empty repository.
    pub commit: Option<ObjectId>,
    /// Its tree.
    pub tree: Option<ObjectId>,
    /// Where both are found.
    pub packs: &'a Arc<PackSet>,
    /// Takes new objects.
    pub composer: &'a mut Composer,
    /// How many files the change puts.
    files: usize,
}

/// One change of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TreeChange {
    /// A file is put at this path.
    Put {
        /// Its path.
        path: String,
        /// What it is.
        mode: FileMode,
        /// What it holds.
        id: ObjectId,
    },
    /// What is at this path goes, if anything is.
    Remove {
        /// The path of a file or a folder.
        path: String,
    },
}

impl Base<'_> {
    /// The tree with these changes, made in their order.
    ///
    /// # Errors
    /// When trees can't be read or are not taken.
    pub fn changed(&mut self, changes: &[TreeChange]) -> Result<ObjectId, CommitError> {
        let mut editor = TreeEditor::new(Arc::clone(self.packs), self.tree.as_ref())?;
        for change in changes {
            match change {
                TreeChange::Put { path, mode, id } => {
                    editor.put(path.as_bytes(), *mode, *id)?;
                    self.files += 1;
                }
                TreeChange::Remove { path } => drop(editor.remove(path.as_bytes())?),
            }
        }
        Ok(editor.write(self.composer)?)
    }

    /// The tree that this patch makes of the one there is.
    ///
    /// # Errors
    /// When the patch is malformed or does not apply, or trees can't be read or are not taken.
    pub fn patched(&mut self, patch: &[u8]) -> Result<ObjectId, CommitError> {
        let composer = &mut *self.composer;
        let mut write = |content: &[u8]| -> Result<ObjectId, CommitError> {
            Ok(composer.add(ObjectKind::Blob, content)?)
        };
        let tree = self.tree.as_ref();
        let edits = git::diff::apply(Arc::clone(self.packs), tree, patch, &mut write)?;
        let mut editor = TreeEditor::new(Arc::clone(self.packs), tree)?;
        for edit in edits {
            let file = edit
                .file
                .and_then(|(mode, id)| Some((FileMode::of_bits(mode)?, id)));
            match file {
                None => drop(editor.remove(&edit.path)?),
                Some((mode, id)) => {
                    editor.put(&edit.path, mode, id)?;
                    self.files += 1;
                }
            }
        }
        Ok(editor.write(self.composer)?)
    }
}

/// Where a branch stands, and where a new commit on it would begin.
#[derive(Debug, Clone, Copy)]
struct Head {
    old: Option<ObjectId>,
    parent: Option<ObjectId>,
}

impl Onto {
    /// Looks up the branch, and judges the guard.
    fn head(&self, from: &impl Reads, repository: u64) -> Result<Head, CommitError> {
        let find = |name: &RefName| {
            let row = refs::find(from, repository, name.as_str());
            Ok::<_, CommitError>(row.map_err(HostingError::from)?.map(|row| row.id))
        };
        let guard = |name: &RefName, found: Option<ObjectId>| match self.expected {
            Some(expected) if Some(expected) != found => Err(CommitError::Moved {
                branch: label(name),
                expected,
                found,
            }),
            _ => Ok(()),
        };
        if let Some(tip) = find(&self.name)? {
            guard(&self.name, Some(tip))?;
            return Ok(Head {
                old: Some(tip),
                parent: Some(tip),
            });
        }
        let parent = match &self.start {
            Start::Branch(start) => {
                let tip = find(start.stored())?;
                let tip = tip.ok_or_else(|| CommitError::NoStart(start.clone()))?;
                guard(start.stored(), Some(tip))?;
                Some(tip)
            }
            Start::Seed => {
                let state = refs::state(from, repository).map_err(HostingError::from)?;
                if state.count > 0 {
                    return Err(CommitError::NoBranch(self.label()));
                }
                guard(&self.name, None)?;
                None
            }
            Start::Root => {
                guard(&self.name, None)?;
                None
            }
        };
        Ok(Head { old: None, parent })
    }
}

/// A commit in the making: its blobs arrive, and nobody else sees them.
pub struct Draft {
    hosting: Hosting,
    authorized: Authorized<policy::Push>,
    onto: Onto,
    repository: git::Repository,
    composer: Composer,
}

impl Hosting {
    /// Begins a commit. What can be refused before its content is known is refused here.
    ///
    /// # Errors
    /// As [`Draft::commit`], as far as that can be told.
    pub async fn draft(
        &self,
        authorized: Authorized<policy::Push>,
        onto: Onto,
    ) -> Result<Draft, CommitError> {
        let hosting = self.clone();
        off_runtime(move || {
            let snapshot = hosting.store.snapshot().map_err(HostingError::from)?;
            let head = onto.head(&snapshot, authorized.target().id)?;
            let change = RefChange {
                name: &onto.name,
                kind: match head.old {
                    Some(_) => RefChangeKind::Update { forced: false },
                    None => RefChangeKind::Create,
                },
                signed: false,
            };
            policy::judge_command(&authorized, &change)
                .map_err(|refusal| CommitError::Refused(refusal.into()))?;
            let repository = hosting.objects(&authorized)?;
            let composer = Composer::new(&repository, &hosting.receive_limits);
            Ok(Draft {
                hosting,
                authorized,
                onto,
                repository,
                composer,
            })
        })
        .await
    }
}

impl Draft {
    /// Begins a blob whose size nobody knows yet.
    pub fn blob_in_pieces(&self) -> BlobPieces {
        self.composer.blob_in_pieces()
    }

    /// Takes a blob that is complete. Blocks.
    ///
    /// # Errors
    /// When it is not taken, or the disk fails.
    pub fn add_pieces(&mut self, blob: BlobPieces) -> Result<ObjectId, CommitError> {
        Ok(self.composer.add_pieces(blob)?)
    }

    /// Takes a blob whose bytes are at hand. Blocks.
    ///
    /// # Errors
    /// When it is not taken, or the disk fails.
    pub fn add_blob(&mut self, content: &[u8]) -> Result<ObjectId, CommitError> {
        Ok(self.composer.add(ObjectKind::Blob, content)?)
    }

    /// Makes the commit and moves the branch. `change` makes the new tree; it is asked again when
    /// the branch moved meanwhile and nothing guards it.
    ///
    /// # Errors
    /// [`CommitError`] says why nothing happened.
    pub async fn commit<F>(self, text: CommitText, change: F) -> Result<Committed, CommitError>
    where
        F: FnMut(&mut Base<'_>) -> Result<ObjectId, CommitError> + Send + 'static,
    {
        let Self {
            hosting,
            authorized,
            onto,
            repository,
            mut composer,
        } = self;
        let id = authorized.target().id;
        let onto = Arc::new(onto);
        let _turn = hosting.turns.take(id, &onto.name).await;
        let mut making = (text, change);
        for _ in 0..TRIES {
            let (store, asked, objects) =
                (hosting.store.clone(), Arc::clone(&onto), repository.clone());
            let made = off_runtime(move || {
                let snapshot = store.snapshot().map_err(HostingError::from)?;
                let head = asked.head(&snapshot, id)?;
                drop(snapshot);
                let made = make(&objects, head, composer, &mut making)?;
                Ok((head, made, making))
            });
            let (head, made, back) = made.await?;
            making = back;
            let command = Command {
                name: onto.name.clone(),
                old: head.old,
                new: Some(made.id),
            };
            let push = Push {
                commands: vec![command],
                atomic: true,
            };
            let outcomes = hosting.push(authorized.clone(), push, None).await?;
            match outcomes.into_iter().next().map(|outcome| outcome.result) {
                Some(Ok(moved)) => {
                    return Ok(Committed {
                        id: made.id,
                        tree: made.tree,
                        old: moved.old,
                        pack_bytes: made.pack_bytes,
                        files: made.files,
                    });
                }
                Some(Err(Refusal::Stale | Refusal::AlreadyExists | Refusal::NoSuchRef)) | None => {
                    composer = Composer::new(&repository, &hosting.receive_limits);
                }
                Some(Err(refusal)) => return Err(CommitError::Refused(refusal)),
            }
        }
        Err(CommitError::Contended(onto.label()))
    }
}

/// A commit that no ref names yet.
struct Made {
    id: ObjectId,
    tree: ObjectId,
    pack_bytes: u64,
    files: usize,
}

/// Makes the change, checks and publishes it.
fn make<F>(
    repository: &git::Repository,
    head: Head,
    mut composer: Composer,
    (text, change): &mut (CommitText, F),
) -> Result<Made, CommitError>
where
    F: FnMut(&mut Base<'_>) -> Result<ObjectId, CommitError>,
{
    // The head was read before: what it names is in these packs.
    let packs = repository.packs();
    let tree = match &head.parent {
        None => None,
        Some(parent) => Browser::new(Arc::clone(&packs))
            .tree_of(parent)
            .map_err(HostingError::from)?,
    };
    let mut base = Base {
        commit: head.parent,
        tree,
        packs: &packs,
        composer: &mut composer,
        files: 0,
    };
    let tree = change(&mut base)?;
    let files = base.files;
    let content = text.content(&tree, head.parent.as_slice());
    let id = composer.add(ObjectKind::Commit, &content)?;
    let quarantine = composer.finish()?;
    let pack_bytes = quarantine.pack_bytes();
    // Before the ref moves, as with a push; and if it can't, what was sent is there for the next try.
    quarantine.publish()?;
    Ok(Made {
        id,
        tree,
        pack_bytes,
        files,
    })
}

/// Runs `work` where blocking is fine.
async fn off_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CommitError> + Send + 'static,
) -> Result<T, CommitError> {
    blocking(move || Ok(work())).await?
}
