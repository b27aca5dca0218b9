//! The objects that a merge reads, and those it makes.
//!
//! Bounds: [`MADE_BYTES_MAX`] of objects made, [`READ_BYTES_MAX`] read, none once [`TIME_MAX`] has passed: there is no
//! long way in a merge on which none is read.
//! Invariant: an object that the packs have is not made again.

use std::{
    collections::HashMap,
    rc::Rc,
    sync::Arc,
    time::{Duration, Instant},
};

use gix_object::{Kind, TreeRefIter, tree::EntryKind};

use super::MergeError;
use crate::{
    git::packs::{ObjectReader, PackSet, ReadError},
    model::ObjectId,
};

/// Bytes of the objects that one merge makes.
const MADE_BYTES_MAX: usize = 256 << 20;
/// Bytes of the objects that one merge reads.
const READ_BYTES_MAX: u64 = 2 << 30;

/// How long one merge may take.
const TIME_MAX: Duration = Duration::from_secs(60);

/// What lies at a path: nothing if the mode is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) mode: u32,
    pub(super) id: ObjectId,
}

/// What kind of thing a mode tells of.
pub(super) const KIND: u32 = 0o170_000;
pub(super) const FOLDER: u32 = 0o040_000;
pub(super) const REGULAR: u32 = 0o100_000;
pub(super) const LINK: u32 = 0o120_000;
pub(super) const SUBMODULE: u32 = 0o160_000;

impl Version {
    pub(super) fn is_there(self) -> bool {
        self.mode != 0
    }

    pub(super) fn kind(self) -> u32 {
        self.mode & KIND
    }

    pub(super) fn is_regular(self) -> bool {
        self.kind() == REGULAR
    }
}

/// Reads from packs and from what was made before.
pub(super) struct Objects {
    reader: ObjectReader,
    made: HashMap<ObjectId, (Kind, Rc<[u8]>)>,
    made_bytes: usize,
    read_bytes: u64,
    buffer: Vec<u8>,
    deadline: Instant,
}

impl Objects {
    pub(super) fn new(packs: Arc<PackSet>) -> Self {
        Self {
            reader: ObjectReader::new(packs),
            made: HashMap::new(),
            made_bytes: 0,
            read_bytes: 0,
            buffer: Vec::new(),
            deadline: Instant::now() + TIME_MAX,
        }
    }

    fn hash(&self) -> gix_hash::Kind {
        self.reader.packs().format().kind()
    }

    /// Nothing, as a version.
    pub(super) fn nothing(&self) -> Version {
        Version {
            mode: 0,
            id: ObjectId::null(self.hash()),
        }
    }

    pub(super) fn empty_tree(&self) -> ObjectId {
        ObjectId::empty_tree(self.hash())
    }

    /// Bytes of a blob.
    pub(super) fn size(&mut self, id: &ObjectId) -> Result<u64, MergeError> {
        if id.is_empty_blob() {
            return Ok(0);
        }
        if let Some((_, bytes)) = self.made.get(id) {
            return Ok(bytes.len() as u64);
        }
        let size = self.reader.size(id)?;
        Ok(size.ok_or(ReadError::Missing(*id))?)
    }

    /// The bytes of a blob.
    pub(super) fn blob(&mut self, id: &ObjectId) -> Result<Rc<[u8]>, MergeError> {
        if id.is_empty_blob() || id.is_null() {
            return Ok(Rc::from([]));
        }
        self.read(id, Kind::Blob)
    }

    fn read(&mut self, id: &ObjectId, kind: Kind) -> Result<Rc<[u8]>, MergeError> {
        if let Some((made, bytes)) = self.made.get(id)
            && *made == kind
        {
            return Ok(Rc::clone(bytes));
        }
        if Instant::now() >= self.deadline {
            return Err(MergeError::TooMuch("it would take too long"));
        }
        let data = self.reader.require(id, &mut self.buffer)?;
        if data.kind != kind {
            let expected = kind;
            return Err(ReadError::Malformed { id: *id, expected }.into());
        }
        self.read_bytes += self.buffer.len() as u64;
        if self.read_bytes > READ_BYTES_MAX {
            return Err(MergeError::TooMuch("the files to be merged are too large"));
        }
        Ok(Rc::from(&*self.buffer))
    }

    /// Names with what they stand for, modes as git writes them.
    pub(super) fn tree(&mut self, id: &ObjectId) -> Result<Vec<(Vec<u8>, Version)>, MergeError> {
        if id.is_empty_tree() {
            return Ok(Vec::new());
        }
        let bytes = self.read(id, Kind::Tree)?;
        let entries = TreeRefIter::from_bytes(&bytes, self.hash()).map(|entry| {
            let entry = entry.map_err(|_| ReadError::Malformed {
                id: *id,
                expected: Kind::Tree,
            })?;
            let mode = match entry.mode.kind() {
                EntryKind::Tree => FOLDER,
                EntryKind::Blob => 0o100_644,
                EntryKind::BlobExecutable => 0o100_755,
                EntryKind::Link => LINK,
                EntryKind::Commit => SUBMODULE,
            };
            let version = Version {
                mode,
                id: entry.oid.to_owned(),
            };
            Ok((entry.filename.to_vec(), version))
        });
        entries.collect()
    }

    /// Makes an object and answers its id.
    pub(super) fn make(&mut self, kind: Kind, bytes: Vec<u8>) -> Result<ObjectId, MergeError> {
        let hashed = gix_object::compute_hash(self.hash(), kind, &bytes);
        let id = hashed.map_err(|_| MergeError::Collision)?;
        if !self.reader.packs().contains(&id) && !self.made.contains_key(&id) {
            self.made_bytes += bytes.len();
            if self.made_bytes > MADE_BYTES_MAX {
                return Err(MergeError::TooMuch("what the merge makes is too large"));
            }
            self.made.insert(id, (kind, Rc::from(bytes)));
        }
        Ok(id)
    }

    /// Makes a tree of these entries.
    pub(super) fn make_tree(
        &mut self,
        mut entries: Vec<(Vec<u8>, Version)>,
    ) -> Result<ObjectId, MergeError> {
        // Folders are sorted as if their names ended in a slash.
        let key = |(name, version): &(Vec<u8>, Version)| match version.kind() {
            FOLDER => [name, &b"/"[..]].concat(),
            _ => name.clone(),
        };
        entries.sort_by_cached_key(key);
        let mut bytes = Vec::new();
        for (name, version) in entries {
            bytes.extend_from_slice(format!("{:o} ", version.mode).as_bytes());
            bytes.extend_from_slice(&name);
            bytes.push(0);
            bytes.extend_from_slice(version.id.as_slice());
        }
        self.make(Kind::Tree, bytes)
    }

    /// What was made of what a tree holds, a tree behind all that it holds.
    pub(super) fn made_below(&self, root: &ObjectId) -> Vec<(Kind, Vec<u8>)> {
        let mut found = Vec::new();
        let mut seen = std::collections::HashSet::new();
        let mut todo = vec![*root];
        while let Some(id) = todo.pop() {
            let Some((kind, bytes)) = self.made.get(&id) else {
                continue;
            };
            if !seen.insert(id) {
                continue;
            }
            if *kind == Kind::Tree {
                let entries = TreeRefIter::from_bytes(bytes, self.hash()).flatten();
                todo.extend(entries.map(|entry| entry.oid.to_owned()));
            }
            found.push((*kind, bytes.to_vec()));
        }
        found.reverse();
        found
    }
}
