//! What differs between two trees: which files, which of them moved, which lines, and the patch that says so.
//!
//! Source: git-diff(1) with its defaults in a bare repository, where no attributes apply.
//! Bounds: named in each file; what exceeds one is an error or, where it says so, told less exactly.
//! Invariant: given the same two trees, the text is byte for byte what stock git prints.
//! Not here: which trees are compared, and who may see them (`hosting`).

mod apply;
pub(crate) mod lines;
mod patch;
mod similar;
#[cfg(test)]
mod tests;
mod tree;

use std::sync::Arc;

use gix_hash::oid;
use gix_object::Kind;

use super::packs::{ObjectReader, PackSet, ReadError};
use crate::model::ObjectId;
pub use apply::{ApplyError, Edit, apply};
pub use patch::{Form, Section};
pub use similar::Detection;
pub(crate) use similar::Sketch;

/// A file as one of the trees has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileAt {
    /// From the root, segments joined by `/`.
    pub path: Vec<u8>,
    /// 0o100644, 0o100755, 0o120000, or 0o160000 for a submodule.
    pub mode: u32,
    /// Its blob; for a submodule, a commit of another repository.
    pub id: ObjectId,
}

impl FileAt {
    /// File, link or submodule: the part of the mode that tells them apart.
    fn kind(&self) -> u32 {
        self.mode & 0o170_000
    }

    fn is_regular(&self) -> bool {
        self.kind() == 0o100_000
    }

    fn is_submodule(&self) -> bool {
        self.kind() == 0o160_000
    }
}

/// How a file differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Only the new tree has it.
    Added,
    /// Only the old tree has it.
    Deleted,
    /// Both have it, with other content or another mode.
    Modified,
    /// Both have it, but one of them as a link or submodule.
    TypeChanged,
    /// It was elsewhere in the old tree.
    Renamed(Similarity),
    /// It resembles a file of the old tree that has gone elsewhere or stays where it is.
    Copied(Similarity),
}

impl State {
    /// The letter that git uses.
    pub fn letter(self) -> char {
        match self {
            Self::Added => 'A',
            Self::Deleted => 'D',
            Self::Modified => 'M',
            Self::TypeChanged => 'T',
            Self::Renamed(_) => 'R',
            Self::Copied(_) => 'C',
        }
    }
}

/// How much of a file is that of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Similarity(u32);

impl Similarity {
    /// Nothing is different.
    pub const WHOLE: Self = Self(60_000);
    /// What git asks of a rename: the half.
    pub const HALF: Self = Self(30_000);

    /// In percent, rounded down.
    pub fn percent(self) -> u32 {
        self.0 * 100 / Self::WHOLE.0
    }
}

/// A file that differs, as either tree has it; at least one of them does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// In the old tree; for a rename or copy, at its old path.
    pub before: Option<FileAt>,
    /// In the new tree.
    pub after: Option<FileAt>,
    /// How it differs.
    pub state: State,
}

impl Pair {
    /// Where the file is, or was if it is gone.
    ///
    /// # Panics
    /// When neither tree has it.
    pub fn path(&self) -> &[u8] {
        let file = self.after.as_ref().or(self.before.as_ref());
        &file.expect("one of the trees has the file").path
    }
}

/// Paths that a comparison is limited to: files, and folders with all that they hold. None is no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths(Vec<Vec<u8>>);

impl Paths {
    /// Limits to these paths, without slashes at their ends.
    pub fn new(paths: Vec<Vec<u8>>) -> Self {
        Self(paths)
    }

    /// Whether there is no limit.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn wants(&self, path: &[u8], is_folder: bool) -> bool {
        let below = |path: &[u8], folder: &[u8]| {
            path.strip_prefix(folder)
                .is_some_and(|rest| rest.starts_with(b"/"))
        };
        let wants = |wanted: &Vec<u8>| {
            wanted == path || below(path, wanted) || is_folder && below(wanted, path)
        };
        self.0.is_empty() || self.0.iter().any(wants)
    }
}

/// Files that differ between two trees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pairs {
    /// In git's order.
    pub pairs: Vec<Pair>,
    /// Whether so many files came and went that only those moved without a change were sought.
    pub detection_cut: bool,
}

/// Why a difference can't be told.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// More files than [`Differ::FILES_MAX`].
    #[error("more than {max} files differ", max = Differ::FILES_MAX)]
    TooManyFiles,
    /// More folders differ, or deeper ones, than are looked into.
    #[error("too many folders differ, or folders are too deep")]
    TooManyFolders,
    /// A file that a patch must hold whole.
    #[error("{0} is too large for a patch")]
    TooLarge(String),
    /// An object can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Compares what one snapshot of packs holds.
pub struct Differ {
    reader: ObjectReader,
}

impl Differ {
    /// Files that may differ between two trees.
    pub const FILES_MAX: usize = 200_000;

    /// Larger files are not compared by their lines or as moved ones; they are shown as git shows binary files.
    pub const TEXT_BYTES_MAX: u64 = 64 << 20;

    /// Compares objects of these packs.
    pub fn new(packs: Arc<PackSet>) -> Self {
        Self {
            reader: ObjectReader::new(packs),
        }
    }

    /// The files below `paths` that differ between two trees, of which one may be missing, and those among them
    /// that moved, as far as they are to be detected.
    ///
    /// # Errors
    /// When there are too many of them, or an object is missing or damaged.
    pub fn pairs(
        &mut self,
        before: Option<&oid>,
        after: Option<&oid>,
        paths: &Paths,
        detection: Option<Detection>,
    ) -> Result<Pairs, DiffError> {
        let pairs = tree::compare(&mut self.reader, before, after, paths)?;
        match detection {
            Some(detection) => similar::detect(&mut self.reader, pairs, detection),
            None => Ok(Pairs {
                pairs,
                detection_cut: false,
            }),
        }
    }

    /// The file of the old tree that became the one at `path` in the new tree; `None` if it was there before, or
    /// resembles none that is gone.
    ///
    /// # Errors
    /// As [`Self::pairs`].
    pub fn origin_of(
        &mut self,
        before: &oid,
        after: &oid,
        path: &[u8],
    ) -> Result<Option<FileAt>, DiffError> {
        let all = tree::compare(
            &mut self.reader,
            Some(before),
            Some(after),
            &Paths::default(),
        )?;
        let concerned = |pair: &Pair| match pair.state {
            State::Added => pair.path() == path,
            state => state == State::Deleted,
        };
        let concerned = all.into_iter().filter(concerned).collect();
        let found = similar::detect(&mut self.reader, concerned, Detection::DEFAULT)?;
        let moved = found.pairs.into_iter().find(|pair| {
            let after = pair.after.as_ref();
            pair.before.is_some() && after.is_some_and(|after| *after.path == *path)
        });
        Ok(moved.and_then(|pair| pair.before))
    }
}

/// Whether git takes a file for binary: by a zero byte near its beginning.
pub(crate) fn is_binary(bytes: &[u8]) -> bool {
    const LOOKED_AT: usize = 8000;
    memchr::memchr(0, &bytes[..bytes.len().min(LOOKED_AT)]).is_some()
}

/// Replaces `buffer` by the bytes of a blob; false, and nothing is read, if it has more than `bytes_max`.
fn read_blob(
    reader: &mut ObjectReader,
    id: &oid,
    bytes_max: u64,
    buffer: &mut Vec<u8>,
) -> Result<bool, ReadError> {
    buffer.clear();
    // The empty blob need not be stored.
    if id.is_empty_blob() {
        return Ok(true);
    }
    let size = reader
        .size(id)?
        .ok_or_else(|| ReadError::Missing(id.to_owned()))?;
    if size > bytes_max {
        return Ok(false);
    }
    match reader.require(id, buffer)?.kind {
        Kind::Blob => Ok(true),
        _ => Err(ReadError::Malformed {
            id: id.to_owned(),
            expected: Kind::Blob,
        }),
    }
}
