//! Applies a patch to a tree, as `git apply --cached --binary` does to the index.
//!
//! Source: git-apply(1) with its defaults.
//! Bounds: sections and hunks in `parse`, work in `hunks`; a file that is read or made has at most
//! [`Differ::TEXT_BYTES_MAX`]; of the results only those are held that the patch touches again, [`AGAIN_BYTES_MAX`]
//! of them.
//! Invariant: all of it applies or nothing does; no path leads out of the tree, through a link, or into what some file
//! system takes for `.git`. Content comes from the patch and from the tree it is applied to, from nowhere else: unlike
//! git, which takes new content from the repository if a binary patch brings only its id.
//! Not here: the commit that is made of it (`git::edit`).

mod binary;
mod hunks;
mod names;
mod parse;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ops::ControlFlow,
    sync::Arc,
};

use gix_object::Kind;

use super::Differ;
use crate::{
    git::{
        browse::{Browser, TreeEntry},
        packs::{PackSet, ReadError},
        receive::is_dotgit,
    },
    model::ObjectId,
};
use hunks::Budget;
use parse::{Action, Body, FilePatch};

/// Results that are held because the patch touches them again.
const AGAIN_BYTES_MAX: usize = 64 << 20;

/// Longest path that a patch may name.
const PATH_BYTES_MAX: usize = 4096;

const SUBMODULE: u32 = 0o160_000;
const KIND: u32 = 0o170_000;

/// Why a patch is not applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// There is no section in it.
    #[error("there is no patch in the input")]
    Empty,
    /// It is not written as patches are.
    #[error("patch is malformed at line {line}: {reason}")]
    Malformed {
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: &'static str,
    },
    /// A section is understood, and nobody may do what it says.
    #[error("{path}: {reason}")]
    Refused {
        /// Of the file.
        path: String,
        /// What is wrong.
        reason: &'static str,
    },
    /// The tree is not what the patch was made for.
    #[error("patch does not apply to {path}: {reason}")]
    Conflict {
        /// Of the file.
        path: String,
        /// What is not as expected.
        reason: String,
    },
    /// There is more of it than is taken.
    #[error("patch has or makes too much: {0}")]
    TooMuch(&'static str),
    /// The tree can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl ApplyError {
    fn refused(path: &[u8], reason: &'static str) -> Self {
        Self::Refused {
            path: path.escape_ascii().to_string(),
            reason,
        }
    }

    fn conflict(path: &[u8], reason: impl Into<String>) -> Self {
        Self::Conflict {
            path: path.escape_ascii().to_string(),
            reason: reason.into(),
        }
    }
}

/// A path that the patch changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// From the root, segments joined by `/`.
    pub path: Vec<u8>,
    /// Mode and blob of the file that is there now; `None` if there is none any more.
    pub file: Option<(u32, ObjectId)>,
}

/// Applies `patch` to a tree, or to nothing. Blobs that it makes go to `write`, one by one, which names them. Paths
/// come in order, those that go before those that come.
///
/// # Errors
/// When the patch is malformed, does not apply, or `write` fails; the blobs that were written are of no use then.
pub fn apply<E: From<ApplyError>>(
    packs: Arc<PackSet>,
    tree: Option<&ObjectId>,
    patch: &[u8],
    write: &mut dyn FnMut(&[u8]) -> Result<ObjectId, E>,
) -> Result<Vec<Edit>, E> {
    let files = parse::parse(patch)?;
    let mut application = Application::new(packs, tree, &files)?;
    for file in &files {
        application.file(file, write)?;
    }
    Ok(application.finish()?)
}

/// What the sections before have done to a path.
enum Fate {
    /// A later section takes it away.
    Doomed,
    Gone,
    Here(FileNow),
}

/// A file as it is after the sections so far.
#[derive(Clone)]
struct FileNow {
    mode: u32,
    id: ObjectId,
    /// Held if a section will ask.
    content: Option<Vec<u8>>,
}

struct Application<'a> {
    browser: Browser,
    tree: Option<&'a ObjectId>,
    fates: HashMap<Vec<u8>, Fate>,
    /// Paths that more than one section names.
    again: HashSet<&'a [u8]>,
    again_bytes: usize,
    removed: BTreeSet<Vec<u8>>,
    written: BTreeMap<Vec<u8>, (u32, ObjectId)>,
    budget: Budget,
}

impl<'a> Application<'a> {
    fn new(
        packs: Arc<PackSet>,
        tree: Option<&'a ObjectId>,
        files: &'a [FilePatch<'_>],
    ) -> Result<Self, ApplyError> {
        let (mut fates, mut seen, mut again) = (HashMap::new(), HashSet::new(), HashSet::new());
        for file in files {
            if let Some(old) = &file.old
                && matches!(file.action, Action::Delete | Action::Rename)
            {
                fates.insert(old.clone(), Fate::Doomed);
            }
            let both = file
                .old
                .iter()
                .chain(file.new.iter().filter(|new| file.old.as_ref() != Some(new)));
            for path in both {
                check_path(path)?;
                if !seen.insert(&**path) {
                    again.insert(&**path);
                }
            }
        }
        Ok(Self {
            browser: Browser::new(packs),
            tree,
            fates,
            again,
            again_bytes: 0,
            removed: BTreeSet::new(),
            written: BTreeMap::new(),
            budget: Budget::new(),
        })
    }

    fn file<E: From<ApplyError>>(
        &mut self,
        file: &FilePatch<'_>,
        write: &mut dyn FnMut(&[u8]) -> Result<ObjectId, E>,
    ) -> Result<(), E> {
        let old = self.old(file)?;
        if let Some(new) = &file.new
            && file.action != Action::Modify
        {
            self.check_free(new)?;
        }
        let Some(mode) = new_mode(file, old.as_ref())? else {
            self.delete(file, old)?;
            return Ok(());
        };
        let (Some(path), is_submodule) = (&file.new, mode == SUBMODULE) else {
            return Ok(());
        };
        let unchanged = old.clone().filter(|_| file.action != Action::Create);
        let now = match self.new_content(file, old, path)? {
            None => {
                let unchanged = unchanged.ok_or_else(|| {
                    ApplyError::refused(path, "the new file has neither lines nor data")
                });
                FileNow { mode, ..unchanged? }
            }
            Some(content) => {
                let id = match is_submodule {
                    true => submodule(&content, path)?,
                    false => write(&content)?,
                };
                check_result(file, &id, path)?;
                let content = self.again.contains(&**path).then_some(content);
                self.again_bytes += content.as_ref().map_or(0, Vec::len);
                if self.again_bytes > AGAIN_BYTES_MAX {
                    return Err(ApplyError::TooMuch("files that are touched again").into());
                }
                FileNow { mode, id, content }
            }
        };
        self.written.insert(path.clone(), (now.mode, now.id));
        self.fates.insert(path.clone(), Fate::Here(now));
        if let (Action::Rename, Some(old)) = (file.action, &file.old)
            && old != path
        {
            self.remove(old);
        }
        Ok(())
    }

    /// The file that a section begins with. Renames and copies begin with the tree as it was, in whatever order they
    /// stand.
    fn old(&mut self, file: &FilePatch<'_>) -> Result<Option<FileNow>, ApplyError> {
        let Some(path) = &file.old else {
            return Ok(None);
        };
        let moves = matches!(file.action, Action::Rename | Action::Copy);
        let old = match self.fates.get(path) {
            Some(Fate::Gone) if !moves => {
                return Err(ApplyError::conflict(
                    path,
                    "it was removed or renamed before",
                ));
            }
            Some(Fate::Here(now)) if !moves => Some(now.clone()),
            _ => self.in_tree(path)?.map(|entry| FileNow {
                mode: entry.mode,
                id: entry.id,
                content: None,
            }),
        };
        let old = old.ok_or_else(|| ApplyError::conflict(path, "there is no such file"))?;
        if let Some(mode) = file.old_mode
            && (mode ^ old.mode) & KIND != 0
        {
            return Err(ApplyError::conflict(path, "it is of another type"));
        }
        Ok(Some(old))
    }

    /// What lies at a path of the tree, if that is a file.
    fn in_tree(&mut self, path: &[u8]) -> Result<Option<TreeEntry>, ReadError> {
        let Some(tree) = self.tree else {
            return Ok(None);
        };
        let entry = self.browser.at_path(tree, path)?;
        Ok(entry.filter(|entry| entry.kind != Kind::Tree))
    }

    /// Demands that no file is where one is to come.
    fn check_free(&mut self, path: &[u8]) -> Result<(), ApplyError> {
        let is_taken = match self.fates.get(path) {
            Some(Fate::Here(_)) => true,
            Some(Fate::Doomed | Fate::Gone) => false,
            None => self.in_tree(path)?.is_some(),
        };
        match is_taken {
            true => Err(ApplyError::conflict(path, "there is such a file already")),
            false => Ok(()),
        }
    }

    fn delete(&mut self, file: &FilePatch<'_>, old: Option<FileNow>) -> Result<(), ApplyError> {
        let Some(path) = &file.old else {
            return Ok(());
        };
        if let Some(left) = self.new_content(file, old, path)?
            && !left.is_empty()
        {
            return Err(ApplyError::conflict(
                path,
                "lines are left of a file that is to go",
            ));
        }
        self.remove(path);
        Ok(())
    }

    fn remove(&mut self, path: &[u8]) {
        self.removed.insert(path.to_vec());
        self.fates.insert(path.to_vec(), Fate::Gone);
    }

    /// What the file holds afterwards; nothing if the section does not touch its content.
    fn new_content(
        &mut self,
        file: &FilePatch<'_>,
        old: Option<FileNow>,
        path: &[u8],
    ) -> Result<Option<Vec<u8>>, ApplyError> {
        match &file.body {
            // Of an empty file there is nothing to tell.
            Body::Hunks(hunks) if hunks.is_empty() => match file.action {
                Action::Create => Ok(Some(Vec::new())),
                Action::Delete => self.content(old, path).map(Some),
                _ => Ok(None),
            },
            Body::Hunks(hunks) => {
                let old = self.content(old, path)?;
                match hunks::apply(&old, hunks, &mut self.budget)? {
                    Ok(new) if new.len() as u64 > Differ::TEXT_BYTES_MAX => {
                        Err(ApplyError::TooMuch("bytes of a file"))
                    }
                    Ok(new) => Ok(Some(new)),
                    Err(line) => {
                        let reason = format!("the hunk at line {line} does not match");
                        Err(ApplyError::conflict(path, reason))
                    }
                }
            }
            Body::Missing => Err(ApplyError::refused(path, "the patch has no binary data")),
            Body::Binary(hunk) => self.binary(file, hunk, old, path),
        }
    }

    fn binary(
        &mut self,
        file: &FilePatch<'_>,
        hunk: &parse::BinaryHunk<'_>,
        old: Option<FileNow>,
        path: &[u8],
    ) -> Result<Option<Vec<u8>>, ApplyError> {
        let Some((old_id, new_id)) = whole_ids(file) else {
            return Err(ApplyError::refused(
                path,
                "binary data needs an index line with whole ids",
            ));
        };
        if let Some(old) = &old
            && old.id != old_id
        {
            return Err(ApplyError::conflict(
                path,
                "its content is not that of the patch",
            ));
        }
        if new_id.is_null() {
            return Ok(Some(Vec::new()));
        }
        let old = match hunk.is_delta {
            true => self.content(old, path)?,
            false => Vec::new(),
        };
        binary::apply(hunk, &old, Differ::TEXT_BYTES_MAX)
            .map(Some)
            .map_err(|failure| match failure {
                binary::Failure::Malformed(reason) => ApplyError::Malformed {
                    line: hunk.at,
                    reason,
                },
                binary::Failure::TooLarge => ApplyError::TooMuch("bytes of a file"),
                binary::Failure::Misfit => {
                    ApplyError::conflict(path, "the binary data is for other content")
                }
            })
    }

    fn content(&mut self, file: Option<FileNow>, path: &[u8]) -> Result<Vec<u8>, ApplyError> {
        let Some(file) = file else {
            return Ok(Vec::new());
        };
        if let Some(content) = file.content {
            return Ok(content);
        }
        if file.mode == SUBMODULE {
            return Ok(format!("Subproject commit {}\n", file.id).into_bytes());
        }
        if file.id.is_empty_blob() {
            return Ok(Vec::new());
        }
        match self.browser.blob(&file.id, Differ::TEXT_BYTES_MAX) {
            Ok(content) => Ok(content),
            Err(ReadError::TooLarge { .. }) => {
                Err(ApplyError::conflict(path, "it is too large to be patched"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The edits, after a look whether files and folders would be in each other's way.
    fn finish(mut self) -> Result<Vec<Edit>, ApplyError> {
        for path in self.written.keys() {
            check_place(
                &mut self.browser,
                self.tree,
                path,
                &self.written,
                &self.removed,
            )?;
        }
        let gone = self
            .removed
            .into_iter()
            .filter(|path| !self.written.contains_key(path));
        let gone: Vec<_> = gone.map(|path| Edit { path, file: None }).collect();
        let here = self.written.into_iter().map(|(path, file)| Edit {
            path,
            file: Some(file),
        });
        Ok(gone.into_iter().chain(here).collect())
    }
}

/// Demands that no file is where the path has a folder, and that no folder is left at the path.
fn check_place(
    browser: &mut Browser,
    tree: Option<&ObjectId>,
    path: &[u8],
    written: &BTreeMap<Vec<u8>, (u32, ObjectId)>,
    removed: &BTreeSet<Vec<u8>>,
) -> Result<(), ApplyError> {
    let folder_in_way = "there is a folder of this name";
    let below = [path, b"/"].concat();
    let next = written.range(below.clone()..).next();
    if next.is_some_and(|(next, _)| next.starts_with(&below)) {
        return Err(ApplyError::conflict(path, folder_in_way));
    }
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    for (slash, _) in slashes {
        let above = &path[..slash];
        let kept = |entry: &TreeEntry| entry.kind != Kind::Tree && !removed.contains(above);
        let is_file = match tree {
            Some(tree) => browser.at_path(tree, above)?.as_ref().is_some_and(kept),
            None => false,
        };
        if is_file || written.contains_key(above) {
            return Err(ApplyError::conflict(
                path,
                "a file is where its folder would be",
            ));
        }
    }
    let Some(tree) = tree else {
        return Ok(());
    };
    let Some(folder) = browser
        .at_path(tree, path)?
        .filter(|entry| entry.kind == Kind::Tree)
    else {
        return Ok(());
    };
    let stays = browser.any(&folder.id, &mut |inside, is_folder| match is_folder
        || removed.contains(&[&*below, inside].concat())
    {
        true => ControlFlow::Continue(is_folder),
        false => ControlFlow::Break(()),
    })?;
    match stays {
        true => Err(ApplyError::conflict(path, folder_in_way)),
        false => Ok(()),
    }
}

/// The mode that the file has afterwards; none if it goes.
fn new_mode(file: &FilePatch<'_>, old: Option<&FileNow>) -> Result<Option<u32>, ApplyError> {
    let Some(path) = &file.new else {
        return Ok(None);
    };
    let told = file.old_mode.or(old.map(|old| old.mode));
    let mode = match (file.new_mode, old) {
        (Some(mode), _) => mode,
        // What an index line says of an old mode is what the new one is, too.
        (None, Some(_)) => told.unwrap_or(0o100_644),
        (None, None) => 0o100_644,
    };
    match old {
        Some(old) if (old.mode ^ mode) & KIND != 0 => Err(ApplyError::conflict(
            path,
            "it can't become of another type",
        )),
        _ => Ok(Some(mode)),
    }
}

/// The ids of an index line that has them whole.
fn whole_ids(file: &FilePatch<'_>) -> Option<(ObjectId, ObjectId)> {
    let (old, new) = file.ids?;
    Some((ObjectId::from_hex(old).ok()?, ObjectId::from_hex(new).ok()?))
}

/// Binary data must make what the patch says it makes.
fn check_result(file: &FilePatch<'_>, id: &ObjectId, path: &[u8]) -> Result<(), ApplyError> {
    match (&file.body, whole_ids(file)) {
        (Body::Binary(_), Some((_, told))) if told != *id => Err(ApplyError::conflict(
            path,
            "the binary data makes other content than the patch says",
        )),
        _ => Ok(()),
    }
}

/// The commit that the one line of a submodule names.
fn submodule(content: &[u8], path: &[u8]) -> Result<ObjectId, ApplyError> {
    content
        .strip_prefix(b"Subproject commit ")
        .and_then(|rest| ObjectId::from_hex(rest.trim_ascii_end()).ok())
        .ok_or_else(|| ApplyError::refused(path, "the line of a submodule names no commit"))
}

/// Demands a path that stays in the tree and that every file system takes for what it is.
fn check_path(path: &[u8]) -> Result<(), ApplyError> {
    let odd = |segment: &[u8]| matches!(segment, b"" | b"." | b"..") || segment.contains(&0);
    let mut segments = path.split(|byte| *byte == b'/');
    if path.len() > PATH_BYTES_MAX || segments.clone().any(odd) {
        return Err(ApplyError::refused(path, "the path is not one of a tree"));
    }
    match segments.any(is_dotgit) {
        true => Err(ApplyError::refused(path, "the path leads into .git")),
        false => Ok(()),
    }
}
