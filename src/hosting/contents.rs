//! What a repository holds, for those who don't speak the Git protocol: commits, folders, files.
//!
//! Source: gitrevisions(7) for the order in which names are tried; git-log(1), "History
//! simplification", for the commits that touch a path.
//! Bounds: lists take a limit, a search for the commits of a path a number of commits to look at,
//! a file a number of bytes.
//! Invariant: an object that no ref reaches is not found, whoever knows its id. All of it blocks but
//! [`Hosting::contents`].
//! Not here: rendering (`api`).

use std::{
    collections::{BinaryHeap, HashSet},
    sync::Arc,
};

use super::{Hosting, HostingError, blocking};
use crate::{
    git::{
        self, Content, LastChanges, ObjectKind, PackSet, ReadError,
        browse::{Browser, CommitDetail, Listing, TreeEntry},
        edit::{TreeEditor, notes},
        fetch,
    },
    model::{ObjectId, RefName, RefSnapshot},
    policy::{Authorized, Fetch},
};

/// A repository as it was when it was opened; refs and objects agree.
pub struct Contents {
    pub(super) refs: Arc<RefSnapshot>,
    repository: git::Repository,
    pub(super) packs: Arc<PackSet>,
    pub(super) browser: Browser,
}

/// A file in a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its blob.
    pub id: ObjectId,
    /// Bytes.
    pub size: u64,
}

/// Commits that touch a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Touching {
    /// Newest first.
    pub commits: Vec<CommitDetail>,
    /// Whether the search ended before it was known what else there is.
    pub given_up: bool,
}

impl Hosting {
    /// Opens a repository for reading.
    ///
    /// # Errors
    /// When the repository was removed meanwhile or its packs can't be opened.
    pub async fn contents(&self, authorized: &Authorized<Fetch>) -> Result<Contents, HostingError> {
        // The refs come first: what they name is in the packs opened after.
        let refs = self.refs(authorized).await?;
        let (hosting, authorized) = (self.clone(), authorized.clone());
        let repository = blocking(move || hosting.objects(&authorized)).await?;
        let packs = repository.packs();
        Ok(Contents {
            browser: Browser::new(Arc::clone(&packs)),
            refs,
            repository,
            packs,
        })
    }
}

impl Contents {
    pub(super) fn refs(&self) -> &RefSnapshot {
        &self.refs
    }

    pub(super) fn repository(&self) -> &git::Repository {
        &self.repository
    }

    /// The branch that HEAD names; it need not exist.
    pub fn default_branch(&self) -> &RefName {
        self.refs.head()
    }

    /// Whether there are no refs at all.
    pub fn is_empty(&self) -> bool {
        self.refs.entries().is_empty()
    }

    /// What a ref points at; `None` when there is none of this name.
    pub fn tip(&self, name: &RefName) -> Option<ObjectId> {
        self.refs.find(name.as_str()).map(|entry| entry.id)
    }

    /// What a name stands for: a branch, a tag, or an object's id or the unambiguous beginning of
    /// one, tried in this order.
    ///
    /// # Errors
    /// When objects can't be read.
    pub fn revision(&self, name: &str) -> Result<Option<ObjectId>, HostingError> {
        let named = ["refs/heads/", "refs/tags/"].iter().find_map(|prefix| {
            let short = name.strip_prefix(prefix).unwrap_or(name);
            self.refs.find(&format!("{prefix}{short}"))
        });
        match named {
            Some(entry) => Ok(Some(entry.id)),
            None => self.object(name),
        }
    }

    /// The object of this id, or of the unambiguous beginning of one, of four digits at least.
    ///
    /// # Errors
    /// When objects can't be read.
    pub fn object(&self, name: &str) -> Result<Option<ObjectId>, HostingError> {
        if name.len() < 4 || !name.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let Some(found) = self.browser.resolve(&self.refs, name) else {
            return Ok(None);
        };
        let id = found.id();
        let hidden = fetch::refused(&self.repository, &self.packs, &self.refs, &[id])?;
        Ok(hidden.is_none().then_some(id))
    }

    /// The commit that an object is or, as a tag, finally names.
    ///
    /// # Errors
    /// When objects can't be read.
    pub fn commit_of(&mut self, id: ObjectId) -> Result<Option<ObjectId>, HostingError> {
        let (id, kind) = self.browser.peel(&id)?;
        Ok((kind == ObjectKind::Commit).then_some(id))
    }

    /// The tree that an object is, or leads to as a commit or a tag.
    ///
    /// # Errors
    /// When objects can't be read.
    pub fn tree_of(&mut self, id: ObjectId) -> Result<Option<ObjectId>, HostingError> {
        Ok(self.browser.tree_of(&id)?)
    }

    /// For each of these paths, which all exist in `commit`, the last commit that changed it; looks at
    /// no more than `walk_max` commits.
    ///
    /// # Errors
    /// When objects can't be read.
    pub fn last_changes(
        &mut self,
        commit: ObjectId,
        paths: &[&[u8]],
        walk_max: usize,
    ) -> Result<LastChanges, HostingError> {
        Ok(self.browser.last_changes(&commit, paths, walk_max)?)
    }

    /// Bytes of a blob.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn size(&mut self, blob: ObjectId) -> Result<u64, HostingError> {
        Ok(self.browser.blob_size(&blob)?)
    }

    /// One commit with all that it says.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn commit(&mut self, id: ObjectId) -> Result<CommitDetail, HostingError> {
        Ok(self.browser.commit(&id)?)
    }

    /// The note on an object in the tree of a notes ref, at most `bytes_max` of it.
    ///
    /// # Errors
    /// When objects can't be read, or the note is longer.
    pub fn note(
        &mut self,
        notes: ObjectId,
        object: &ObjectId,
        bytes_max: u64,
    ) -> Result<Option<Vec<u8>>, HostingError> {
        let Some(tree) = self.browser.tree_of(&notes)? else {
            return Ok(None);
        };
        let mut editor = TreeEditor::new(Arc::clone(&self.packs), Some(&tree))?;
        match notes::find(&mut editor, object)? {
            Some((_, note)) => Ok(Some(self.browser.blob(&note, bytes_max)?)),
            None => Ok(None),
        }
    }

    /// The commits that one reaches, newest first, at most `limit` after the first `skip`.
    ///
    /// # Errors
    /// When objects can't be read.
    pub fn commits(
        &mut self,
        commit: ObjectId,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<CommitDetail>, HostingError> {
        Ok(self.browser.commits(&commit, skip, limit)?)
    }

    /// The commits behind `commit` that change what lies at `path`, newest first, at most `limit`
    /// after the first `skip`; the search looks at no more than `walk_max` commits.
    ///
    /// # Errors
    /// When objects can't be read.
    pub fn commits_touching(
        &mut self,
        commit: ObjectId,
        path: &[u8],
        (skip, limit): (usize, usize),
        walk_max: usize,
    ) -> Result<Touching, HostingError> {
        let mut queue = BinaryHeap::new();
        let mut seen = HashSet::from([commit]);
        queue.push(self.at(commit, path)?);
        let (mut touching, mut walked) = (0, 0);
        let mut commits = Vec::new();
        while let Some(here) = queue.pop() {
            if commits.len() == limit {
                break;
            }
            if walked == walk_max {
                return Ok(Touching {
                    commits,
                    given_up: true,
                });
            }
            walked += 1;
            let mut parents = Vec::with_capacity(here.commit.parents.len());
            for parent in &here.commit.parents {
                parents.push(self.at(*parent, path)?);
            }
            // A parent with the same content there tells the whole story: the others are not asked.
            let same = parents.iter().position(|parent| parent.entry == here.entry);
            if let Some(same) = same {
                parents = vec![parents.swap_remove(same)];
            } else if !parents.is_empty() || here.entry.is_some() {
                if touching >= skip {
                    commits.push(here.commit);
                }
                touching += 1;
            }
            for parent in parents {
                if seen.insert(parent.commit.id) {
                    queue.push(parent);
                }
            }
        }
        Ok(Touching {
            commits,
            given_up: false,
        })
    }

    fn at(&mut self, commit: ObjectId, path: &[u8]) -> Result<At, ReadError> {
        let commit = self.browser.commit(&commit)?;
        let entry = self.browser.at_path(&commit.tree, path)?;
        let entry = entry.map(|entry| (entry.mode, entry.id));
        Ok(At { commit, entry })
    }

    /// What a revision holds below a folder, or at a path that is a file; at most `limit` entries.
    /// `None` when nothing lies there.
    ///
    /// # Errors
    /// When objects can't be read.
    pub fn list(
        &mut self,
        revision: ObjectId,
        below: Option<&[u8]>,
        recursive: bool,
        limit: usize,
    ) -> Result<Option<Listing>, HostingError> {
        let Some(root) = self.browser.tree_of(&revision)? else {
            return Ok(None);
        };
        let Some(path) = below else {
            return Ok(Some(self.browser.list(&root, recursive, limit)?));
        };
        Ok(match self.browser.at_path(&root, path)? {
            None => None,
            Some(TreeEntry {
                kind: ObjectKind::Tree,
                id,
                ..
            }) => {
                let mut listing = self.browser.list(&id, recursive, limit)?;
                for entry in &mut listing.entries {
                    entry.path = [path, b"/", &entry.path].concat();
                }
                Some(listing)
            }
            Some(file) => Some(Listing {
                entries: vec![file],
                truncated: false,
            }),
        })
    }

    /// The file at a path; `None` when there is none, or something that is no file.
    ///
    /// # Errors
    /// When objects can't be read.
    pub fn file(&mut self, revision: ObjectId, path: &[u8]) -> Result<Option<File>, HostingError> {
        let Some(root) = self.browser.tree_of(&revision)? else {
            return Ok(None);
        };
        match self.browser.at_path(&root, path)? {
            Some(entry) if entry.kind == ObjectKind::Blob => Ok(Some(File {
                id: entry.id,
                size: self.browser.blob_size(&entry.id)?,
            })),
            _ => Ok(None),
        }
    }

    /// The bytes of a file: in memory up to `held_max`, else in a file without a name.
    ///
    /// # Errors
    /// When objects can't be read or the file not be written.
    pub fn bytes(&mut self, file: &File, held_max: u64) -> Result<Content, HostingError> {
        Ok(self.browser.content(&file.id, held_max)?)
    }
}

/// A commit and what lies at the path that is searched for.
#[derive(PartialEq, Eq)]
struct At {
    commit: CommitDetail,
    entry: Option<(u32, ObjectId)>,
}

/// The newest is the greatest.
impl Ord for At {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let key = |at: &Self| (at.commit.committer.seconds, at.commit.id);
        key(self).cmp(&key(other))
    }
}

impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
