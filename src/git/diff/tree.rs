//! Which files differ between two trees.
//!
//! Source: git-diff-tree(1), `-r`; the order of entries is that of gitformat-index(5) with folders sorted as if
//! their names ended in a slash.
//! Bounds: [`Differ::FILES_MAX`] differing files, [`TREES_MAX`] folders entered, folders at most
//! [`TREE_DEPTH_MAX`] deep.
//! Invariant: files come in git's order; folders that are equal are never read.
//! Not here: which of the files were moved (`similar`).

use std::cmp::Ordering;

use gix_hash::oid;
use gix_object::{Kind, TreeRefIter, tree::EntryRef};

use super::{DiffError, Differ, FileAt, Pair, Paths, State};
use crate::{
    git::{
        browse::TREE_DEPTH_MAX,
        packs::{ObjectReader, ReadError},
    },
    model::ObjectId,
};

/// Folders that one comparison enters.
const TREES_MAX: usize = 1_000_000;

const TREE: u32 = 0o040_000;

/// The files that differ, each as added, deleted, modified or of another type.
pub(super) fn compare(
    reader: &mut ObjectReader,
    before: Option<&oid>,
    after: Option<&oid>,
    paths: &Paths,
) -> Result<Vec<Pair>, DiffError> {
    let mut found = Vec::new();
    let root = |tree: Option<&oid>| tree.map(|id| (TREE, id.to_owned()));
    // What is still to be looked at, the next one last.
    let mut todo = vec![Difference {
        path: Vec::new(),
        before: root(before),
        after: root(after),
    }];
    let (mut entered, mut buffers) = (0, (Vec::new(), Vec::new()));
    while let Some(difference) = todo.pop() {
        if difference.before == difference.after {
            continue;
        }
        if !difference.is_folder() {
            if found.len() == Differ::FILES_MAX {
                return Err(DiffError::TooManyFiles);
            }
            found.push(difference.into_pair());
            continue;
        }
        entered += 1;
        let depth = difference.path.iter().filter(|byte| **byte == b'/').count();
        if entered > TREES_MAX || depth >= TREE_DEPTH_MAX {
            return Err(DiffError::TooManyFolders);
        }
        let first = todo.len();
        difference.enter(reader, &mut buffers, paths, &mut todo)?;
        todo[first..].reverse();
    }
    Ok(found)
}

/// A path at which the trees are not the same; of mode and id.
struct Difference {
    path: Vec<u8>,
    before: Option<(u32, ObjectId)>,
    after: Option<(u32, ObjectId)>,
}

impl Difference {
    /// Folders and files of one name are different paths, as they are to git.
    fn is_folder(&self) -> bool {
        let either = self.before.as_ref().or(self.after.as_ref());
        either.is_some_and(|(mode, _)| *mode == TREE)
    }

    fn into_pair(self) -> Pair {
        let file = |side: Option<(u32, ObjectId)>| {
            side.map(|(mode, id)| FileAt {
                path: self.path.clone(),
                mode,
                id,
            })
        };
        let (before, after) = (file(self.before), file(self.after));
        let state = match (&before, &after) {
            (None, _) => State::Added,
            (_, None) => State::Deleted,
            (Some(before), Some(after)) if before.kind() != after.kind() => State::TypeChanged,
            _ => State::Modified,
        };
        Pair {
            before,
            after,
            state,
        }
    }

    /// Appends what differs directly below this folder.
    fn enter(
        &self,
        reader: &mut ObjectReader,
        (old, new): &mut (Vec<u8>, Vec<u8>),
        paths: &Paths,
        found: &mut Vec<Self>,
    ) -> Result<(), DiffError> {
        let (mut old, mut new) = (
            Entries::read(reader, self.before.as_ref(), old)?,
            Entries::read(reader, self.after.as_ref(), new)?,
        );
        loop {
            let (before, after) = match (&old.next, &new.next) {
                (None, None) => return Ok(()),
                (Some(before), Some(after)) => match before.cmp(after) {
                    Ordering::Less => (old.take()?, None),
                    Ordering::Equal => (old.take()?, new.take()?),
                    Ordering::Greater => (None, new.take()?),
                },
                _ => (old.take()?, new.take()?),
            };
            let Some(name) = before.or(after).map(|entry| entry.filename) else {
                continue;
            };
            let (before, after) = (before.map(side), after.map(side));
            if before == after {
                continue;
            }
            let mut path = self.path.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            let difference = Self {
                path,
                before: before.map(|(mode, id)| (mode, id.to_owned())),
                after: after.map(|(mode, id)| (mode, id.to_owned())),
            };
            if paths.wants(&difference.path, difference.is_folder()) {
                found.push(difference);
            }
        }
    }
}

/// The entries of a tree, one ahead.
struct Entries<'a> {
    tree: Option<ObjectId>,
    next: Option<EntryRef<'a>>,
    rest: TreeRefIter<'a>,
}

impl<'a> Entries<'a> {
    fn read(
        reader: &mut ObjectReader,
        tree: Option<&(u32, ObjectId)>,
        buffer: &'a mut Vec<u8>,
    ) -> Result<Self, ReadError> {
        buffer.clear();
        let hash = reader.packs().format().kind();
        // The empty tree need not be stored.
        if let Some((_, id)) = tree.filter(|(_, id)| !id.is_empty_tree())
            && reader.require(id, buffer)?.kind != Kind::Tree
        {
            return Err(malformed(id));
        }
        let mut entries = Self {
            tree: tree.map(|(_, id)| *id),
            next: None,
            rest: TreeRefIter::from_bytes(buffer, hash),
        };
        entries.take()?;
        Ok(entries)
    }

    /// The next entry, and reads the one behind it.
    fn take(&mut self) -> Result<Option<EntryRef<'a>>, ReadError> {
        let next = self.rest.next().transpose();
        let next = next.map_err(|_| malformed(&self.tree.expect("entries are those of a tree")))?;
        Ok(std::mem::replace(&mut self.next, next))
    }
}

fn malformed(tree: &oid) -> ReadError {
    ReadError::Malformed {
        id: tree.to_owned(),
        expected: Kind::Tree,
    }
}

fn side<'a>(entry: EntryRef<'a>) -> (u32, &'a oid) {
    (canonical(&entry), entry.oid)
}

/// The mode as git shows it, whatever bits an old tree has.
fn canonical(entry: &EntryRef<'_>) -> u32 {
    use gix_object::tree::EntryKind;
    match entry.mode.kind() {
        EntryKind::Tree => TREE,
        EntryKind::Blob => 0o100_644,
        EntryKind::BlobExecutable => 0o100_755,
        EntryKind::Link => 0o120_000,
        EntryKind::Commit => 0o160_000,
    }
}
