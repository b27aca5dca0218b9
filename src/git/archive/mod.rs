//! Trees as archives: tar, tar with gzip, zip.
//!
//! Source: git-archive(1); stock git decides where the manual is silent.
//! Bounds: a blob of up to [`HELD_BYTES`] is held, as is one whose placeholders are filled in or that is
//! stored as a delta; the rest passes through. [`DEPTH_MAX`] folders within folders, [`ENTRIES_MAX`] entries
//! looked at: a few trees that hold each other many times have more paths than can be walked, and if none
//! leads to a file, nothing is ever written by which it shows that the peer is gone.
//! Invariant: entries come in the order of the tree, a folder before what it holds, and only if it
//! holds something that is in the archive.
//! Not here: which tree, and whether the caller may see it (`wire`).

mod attributes;
mod deflate;
mod limits;
mod substitute;
mod tar;
#[cfg(test)]
mod tests;
mod zip;

use std::sync::Arc;

use gix_zlib::Compression;

pub use self::limits::PathLimits;
use self::{attributes::Attributes, deflate::Gzip, substitute::Facts, tar::Tar, zip::Zip};
use super::{
    browse::{Browser, TreeEntry},
    fetch::Stopped,
    globs::PathGlobs,
    packs::{ObjectReader, PackSet, ReadError},
};
use crate::{
    git::ObjectKind,
    model::{ObjectId, RefSnapshot},
};

/// A blob up to this size is read at once.
const HELD_BYTES: u64 = 1 << 20;
/// Placeholders are filled in only in files up to this size.
const SUBSTITUTED_BYTES_MAX: u64 = 64 << 20;
/// Folders within folders.
const DEPTH_MAX: usize = 2048;

/// Entries looked at for one archive, or for one of its path limits.
const ENTRIES_MAX: u64 = 10_000_000;

/// How an archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// `tar`.
    Tar,
    /// `tar.gz`, compressed at this level from 0 to 9, or as gzip does by default.
    TarGz(Option<u8>),
    /// `zip`, the same.
    Zip(Option<u8>),
}

/// What to put into an archive.
#[derive(Debug, Clone)]
pub struct ArchiveRequest {
    /// The tree.
    pub tree: ObjectId,
    /// The commit whose tree it is, if it is one's: it is named in the archive.
    pub commit: Option<ObjectId>,
    /// Time of all entries, in seconds since 1970.
    pub time: u64,
    /// Put before each path as it stands.
    pub prefix: Vec<u8>,
    /// Which paths.
    pub paths: PathLimits,
    /// Which of the files there.
    pub files: FileLimits,
    /// How it is packed.
    pub format: Format,
}

/// Which files go into an archive; all of them by default.
#[derive(Debug, Clone, Default)]
pub struct FileLimits {
    /// By path.
    pub globs: PathGlobs,
    /// Files with more bytes are left out.
    pub bytes_max: Option<u64>,
}

/// Why an archive is not made to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// An object can't be read.
    #[error("cannot read an object of the archive")]
    Read(#[from] ReadError),
    /// The sink wants no more.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// Nothing in the tree is where this says.
    #[error("pathspec '{0}' did not match any files")]
    Unmatched(String),
    /// Folders are too deep in each other.
    #[error("more than {DEPTH_MAX} folders in each other")]
    TooDeep,
    /// There are too many paths in the tree.
    #[error("more entries than an archive may have")]
    TooManyEntries,
    /// The format has no room for it.
    #[error("a path of {0} bytes is too long for a zip archive")]
    PathTooLong(usize),
}

/// One entry of an archive.
struct Entry<'a> {
    id: &'a gix_hash::oid,
    /// As it stands in the archive, folders with a slash behind.
    path: &'a [u8],
    kind: EntryKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntryKind {
    Folder,
    Link,
    File { executable: bool },
}

/// Hands its bytes on, piece by piece.
type Pour<'a> = &'a mut dyn FnMut(
    &mut dyn FnMut(&[u8]) -> Result<(), ArchiveError>,
) -> Result<(), ArchiveError>;

/// What an entry holds.
enum Content<'a> {
    Whole(&'a [u8]),
    Pieces { size: u64, pour: Pour<'a> },
}

impl Content<'_> {
    fn size(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.len() as u64,
            Self::Pieces { size, .. } => *size,
        }
    }

    fn pour(
        self,
        take: &mut dyn FnMut(&[u8]) -> Result<(), ArchiveError>,
    ) -> Result<(), ArchiveError> {
        match self {
            Self::Whole(bytes) => take(bytes),
            Self::Pieces { pour, .. } => pour(take),
        }
    }
}

enum Container<'s> {
    Tar(Box<Tar<'s>>),
    Zip(Box<Zip<'s>>),
}

impl Container<'_> {
    fn entry(&mut self, entry: &Entry<'_>, content: Content<'_>) -> Result<(), ArchiveError> {
        match self {
            Self::Tar(tar) => tar.entry(entry, content),
            Self::Zip(zip) => zip.entry(entry, content),
        }
    }
}

/// Writes the archive into `sink` and tells `listed` each path that goes into it.
///
/// # Errors
/// When a path limit matches nothing, before the first byte; when an object can't be read or the sink
/// wants no more, in the middle.
pub fn write(
    packs: Arc<PackSet>,
    refs: &RefSnapshot,
    request: &ArchiveRequest,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
    listed: &mut dyn FnMut(&[u8]),
) -> Result<(), ArchiveError> {
    write_within(ENTRIES_MAX, packs, refs, request, sink, listed)
}

/// Looks at no more than so many entries.
fn write_within(
    entries_max: u64,
    packs: Arc<PackSet>,
    refs: &RefSnapshot,
    request: &ArchiveRequest,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
    listed: &mut dyn FnMut(&[u8]),
) -> Result<(), ArchiveError> {
    let paths = &request.paths;
    paths.check(Arc::clone(&packs), &request.tree, entries_max)?;
    let (time, commit) = (request.time, request.commit);
    let level = |level: Option<u8>| {
        let level = level.and_then(|level| Compression::new(level.into()));
        level.unwrap_or_default()
    };
    let container = match request.format {
        Format::Tar => Container::Tar(Box::new(Tar::begin(sink, None, time, commit.as_ref())?)),
        Format::TarGz(asked) => {
            let gzip = Gzip::new(level(asked));
            Container::Tar(Box::new(Tar::begin(
                sink,
                Some(gzip),
                time,
                commit.as_ref(),
            )?))
        }
        Format::Zip(asked) => {
            Container::Zip(Box::new(Zip::begin(sink, level(asked), time, commit)))
        }
    };
    let mut walk = Walk {
        reader: ObjectReader::new(Arc::clone(&packs)),
        browser: Browser::new(packs),
        refs,
        request,
        container,
        listed,
        attributes: Attributes::default(),
        facts: None,
        waiting: Vec::new(),
        buffer: Vec::new(),
        entries_left: entries_max,
    };
    if request.prefix.ends_with(b"/") {
        let slashes = request
            .prefix
            .iter()
            .rev()
            .take_while(|byte| **byte == b'/');
        let end = (request.prefix.len() - slashes.count() + 1).max(1);
        walk.put(
            &request.tree,
            &request.prefix[..end],
            EntryKind::Folder,
            b"",
        )?;
    }
    walk.all(&request.tree)?;
    match walk.container {
        Container::Tar(tar) => tar.finish(),
        Container::Zip(zip) => zip.finish(),
    }
}

/// A folder on the way down.
struct Folder {
    entries: std::vec::IntoIter<TreeEntry>,
    path_bytes: usize,
    /// How many folders above it wait to be written.
    waiting: usize,
}

/// The way through the tree.
struct Walk<'a, 's> {
    reader: ObjectReader,
    browser: Browser,
    refs: &'a RefSnapshot,
    request: &'a ArchiveRequest,
    container: Container<'s>,
    listed: &'a mut dyn FnMut(&[u8]),
    attributes: Attributes,
    /// Made when a file asks for it first.
    facts: Option<Facts>,
    /// Folders entered of which nothing was written yet, with their paths.
    waiting: Vec<(ObjectId, Vec<u8>)>,
    buffer: Vec<u8>,
    entries_left: u64,
}

impl Walk<'_, '_> {
    /// Writes what the tree holds, depth first.
    fn all(&mut self, tree: &ObjectId) -> Result<(), ArchiveError> {
        let mut path = Vec::new();
        let mut folders = vec![self.folder(tree, &path, 0)?];
        while let Some(folder) = folders.last_mut() {
            path.truncate(folder.path_bytes);
            let Some(entry) = folder.entries.next() else {
                self.attributes.leave();
                // Nothing in it was written if it still waits.
                self.waiting.truncate(folder.waiting);
                folders.pop();
                continue;
            };
            let left = self.entries_left.checked_sub(1);
            self.entries_left = left.ok_or(ArchiveError::TooManyEntries)?;
            path.extend_from_slice(&entry.path);
            let is_folder = entry.mode == 0o040_000;
            if !self.request.paths.wants(&path, is_folder) {
                continue;
            }
            let exported = self.attributes.of(&path, is_folder);
            if is_folder {
                if exported.ignored {
                    continue;
                }
                if folders.len() > DEPTH_MAX {
                    return Err(ArchiveError::TooDeep);
                }
                path.push(b'/');
                let waiting = self.waiting.len();
                self.waiting.push((entry.id, path.clone()));
                folders.push(self.folder(&entry.id, &path, waiting)?);
                continue;
            }
            if !self.takes(&entry, &path)? {
                continue;
            }
            // As with git, a file that is left out by its attributes still shows its folder.
            for (id, path) in std::mem::take(&mut self.waiting) {
                self.put(&id, &self.archived(&path), EntryKind::Folder, b"")?;
            }
            if !exported.ignored {
                self.leaf(&entry.id, entry.mode, &path, exported.substituted)?;
            }
        }
        Ok(())
    }

    /// Whether the limits on files let this one in.
    fn takes(&mut self, entry: &TreeEntry, path: &[u8]) -> Result<bool, ArchiveError> {
        let limits = &self.request.files;
        let fits = match limits.bytes_max {
            Some(most) if entry.kind == ObjectKind::Blob => {
                self.browser.blob_size(&entry.id)? <= most
            }
            _ => true,
        };
        Ok(fits && limits.globs.take(path))
    }

    /// Enters a folder; `path` ends in a slash, or is empty for the top.
    fn folder(
        &mut self,
        tree: &ObjectId,
        path: &[u8],
        waiting: usize,
    ) -> Result<Folder, ArchiveError> {
        let entries = self.browser.entries(tree, b"")?;
        let mut text = Vec::new();
        let attributes = entries.iter().find(|entry| entry.path == b".gitattributes");
        if let Some(entry) = attributes.filter(|entry| is_file(entry.mode)) {
            text = self.browser.blob(&entry.id, attributes::BYTES_MAX)?;
        }
        self.attributes.enter(path.len(), &text);
        Ok(Folder {
            entries: entries.into_iter(),
            path_bytes: path.len(),
            waiting,
        })
    }

    /// Writes a file, a symbolic link, or the empty folder of a submodule.
    fn leaf(
        &mut self,
        id: &ObjectId,
        mode: u32,
        path: &[u8],
        substituted: bool,
    ) -> Result<(), ArchiveError> {
        let mut path = self.archived(path);
        match mode & 0o170_000 {
            0o160_000 => {
                path.push(b'/');
                return self.put(id, &path, EntryKind::Folder, b"");
            }
            0o120_000 => {
                let target = self.browser.blob(id, HELD_BYTES)?;
                return self.put(id, &path, EntryKind::Link, &target);
            }
            _ => {}
        }
        let kind = EntryKind::File {
            executable: mode & 0o100 != 0,
        };
        let size = self.browser.blob_size(id)?;
        if substituted && let Some(commit) = self.request.commit {
            let text = self.browser.blob(id, SUBSTITUTED_BYTES_MAX)?;
            let text = self.facts(&commit)?.fill_in(&text);
            return self.put(id, &path, kind, &text);
        }
        if size <= HELD_BYTES {
            let mut buffer = std::mem::take(&mut self.buffer);
            self.reader.require(id, &mut buffer)?;
            self.put(id, &path, kind, &buffer)?;
            self.buffer = buffer;
            return Ok(());
        }
        (self.listed)(&path);
        let (reader, buffer) = (&mut self.reader, &mut self.buffer);
        let location = reader.packs().locate(id);
        let location = location.ok_or_else(|| ReadError::Missing(id.to_owned()))?;
        let mut pour = |take: &mut dyn FnMut(&[u8]) -> Result<(), ArchiveError>| {
            reader.pour(location, buffer, take)
        };
        let entry = Entry {
            id,
            path: &path,
            kind,
        };
        let pieces = Content::Pieces {
            size,
            pour: &mut pour,
        };
        self.container.entry(&entry, pieces)
    }

    fn put(
        &mut self,
        id: &ObjectId,
        path: &[u8],
        kind: EntryKind,
        content: &[u8],
    ) -> Result<(), ArchiveError> {
        (self.listed)(path);
        let entry = Entry { id, path, kind };
        self.container.entry(&entry, Content::Whole(content))
    }

    /// A path as it stands in the archive.
    fn archived(&self, path: &[u8]) -> Vec<u8> {
        [&*self.request.prefix, path].concat()
    }

    fn facts(&mut self, commit: &ObjectId) -> Result<&Facts, ArchiveError> {
        let facts = match self.facts.take() {
            Some(facts) => facts,
            None => {
                let commit = self.browser.commit(commit)?;
                let named = [commit.id, commit.tree].into_iter();
                let named = named.chain(commit.parents.iter().copied());
                let packs = self.reader.packs();
                Facts {
                    short: named.map(|id| packs.short_digits(&id)).collect(),
                    refs: decorations(self.refs, &commit.id),
                    commit,
                }
            }
        };
        Ok(self.facts.insert(facts))
    }
}

fn is_file(mode: u32) -> bool {
    mode & 0o170_000 == 0o100_000
}

/// The refs that name a commit, as `git log --decorate` shows them.
fn decorations(refs: &RefSnapshot, commit: &ObjectId) -> Vec<String> {
    let head = refs.head().as_str();
    let (mut branches, mut others) = (Vec::new(), Vec::new());
    let mut first = Vec::new();
    for entry in refs.entries() {
        if entry.id != *commit && entry.peeled != Some(*commit) {
            continue;
        }
        let name = entry.name.as_str();
        if name == head {
            let short = name.strip_prefix("refs/heads/").unwrap_or(name);
            first.push(format!("HEAD -> {short}"));
        } else if let Some(tag) = name.strip_prefix("refs/tags/") {
            others.push(format!("tag: {tag}"));
        } else if let Some(branch) = name.strip_prefix("refs/heads/") {
            branches.push(branch.to_owned());
        }
    }
    [first, others, branches].concat()
}
