//! Moves refs: files under locks, flushed before and after they get their names.
//!
//! Source: gitrepository-layout(5), git-config(1) `core.logAllRefUpdates`.
//! Bounds: waits [`LOCK_WAIT`] for a lock that somebody else holds.
//! Invariant: a ref's file is on disk before its name says so, and both are before anybody is told;
//! of several refs in one transaction either all are locked or none. A removed ref leaves
//! `packed-refs` first: were its file gone first, a power cut would put it back to an older place.
//! Not here: whether a ref may be moved (`judge`), the lines of a log (`reflog`), what is
//! left of `packed-refs` (`packed_refs`).

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::Duration,
};

use gix_lock::{Marker, acquire::Fail};
use gix_object::bstr::ByteSlice as _;
use gix_ref::{Target, file::Store};

use super::{packed_refs::PackedRefs, reflog::Reflog, sharing::Sharing};
use crate::{
    bare::{BareError, refs::Refs},
    disk,
    model::ObjectId,
};

/// How long a lock of somebody else is waited for.
pub(super) const LOCK_WAIT: Duration = Duration::from_secs(1);

/// One ref to be moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Move {
    /// The full name, of a ref that is not symbolic.
    pub(super) name: Vec<u8>,
    /// What it must point to; `None` if it must not exist.
    pub(super) old: Option<ObjectId>,
    /// What it will point to; `None` to remove it.
    pub(super) new: Option<ObjectId>,
}

/// The files in which refs are.
pub(super) struct Files<'a> {
    pub(super) store: Store,
    pub(super) common: &'a Path,
    pub(super) reflog: Reflog,
    pub(super) sharing: Sharing,
}

/// Refs that are locked and can be moved.
pub(super) struct Prepared<'a> {
    files: &'a Files<'a>,
    /// Each with its lock, which holds the new place, flushed, if there is one.
    moves: Vec<(Move, Marker)>,
    /// Locked if refs are to be removed.
    packed: Option<PackedRefs>,
    head: Option<Vec<u8>>,
}

impl Files<'_> {
    /// Locks the refs and checks that they point to where they should. `refs` are those of now.
    pub(super) fn prepare(&self, moves: Vec<Move>, refs: &Refs) -> Result<Prepared<'_>, BareError> {
        for moved in &moves {
            if moved.new.is_some() && moved.old.is_none() {
                no_conflict(&moved.name, refs)?;
            }
        }
        let mut locked = Vec::with_capacity(moves.len());
        for moved in moves {
            let lock = self.lock(&moved)?;
            locked.push((moved, lock));
        }
        let mut removed = locked
            .iter()
            .filter(|(moved, _)| moved.new.is_none())
            .map(|(moved, _)| moved.name.as_slice())
            .peekable();
        let packed = match removed.peek() {
            Some(_) => Some(PackedRefs::without(&removed.collect(), self)?),
            None => None,
        };
        for (moved, _) in &locked {
            let found = self.value(&moved.name)?;
            let agrees = match (moved.old, moved.new) {
                (None, None) => true,
                (None, new) => found.is_none() || found == new,
                (old, _) => found == old,
            };
            if !agrees {
                let name = moved.name.escape_ascii();
                let text = format!("cannot lock ref '{name}': it moved meanwhile");
                return Err(BareError::Refs(text));
            }
        }
        Ok(Prepared {
            files: self,
            moves: locked,
            packed,
            head: refs.head_target().map(<[u8]>::to_vec),
        })
    }

    /// Takes the lock of a ref and writes its new place there, durably.
    fn lock(&self, moved: &Move) -> Result<Marker, BareError> {
        let (path, edge) = (self.path(&moved.name), self.common.join(shelf(&moved.name)));
        let wait = Fail::AfterDurationWithBackoff(LOCK_WAIT);
        let lock = gix_lock::File::acquire_to_update_resource(&path, wait, Some(edge), 0);
        let mut lock = lock.map_err(cannot_lock)?;
        let written = match moved.new {
            None => Ok(()),
            Some(new) => lock
                .with_mut(|file| writeln!(file, "{new}"))
                .and_then(|()| self.sharing.apply(lock.lock_path()))
                .and_then(|()| fs::File::open(lock.lock_path())?.sync_all()),
        };
        written
            .and_then(|()| lock.close())
            .map_err(BareError::io("unable to write the lock of", path))
    }

    /// What a ref points to at this moment.
    fn value(&self, name: &[u8]) -> Result<Option<ObjectId>, BareError> {
        let found = self.store.try_find(name.as_bstr());
        let found = found.map_err(|error| BareError::Refs(format!("cannot read ref: {error}")))?;
        // Short names are tried too, and are none here.
        let found = found.filter(|found| found.name.as_bstr() == name);
        Ok(found.and_then(|found| match found.target {
            Target::Object(id) => Some(id),
            Target::Symbolic(_) => None,
        }))
    }

    fn path(&self, name: &[u8]) -> PathBuf {
        self.common.join(name.to_path_lossy())
    }
}

impl Prepared<'_> {
    /// Moves them all, and returns once that is on disk.
    pub(super) fn commit(self) -> Result<(), BareError> {
        let Self {
            files,
            moves,
            packed,
            head,
        } = self;
        let mut folders = BTreeSet::new();
        let (mut removed, mut locks) = (Vec::new(), Vec::new());
        for (moved, lock) in moves {
            let path = files.path(&moved.name);
            folders.extend(
                path.ancestors()
                    .skip(1)
                    .take_while(|above| above.starts_with(files.common))
                    .map(Path::to_owned),
            );
            if moved.new.is_none() {
                removed.push(moved.name);
                locks.push(lock);
                continue;
            }
            let of_head = (head.as_ref() == Some(&moved.name)).then_some(b"HEAD".as_slice());
            for name in of_head.into_iter().chain([moved.name.as_slice()]) {
                let log =
                    files
                        .reflog
                        .append(files.common, name, moved.old, moved.new, files.sharing);
                log.map_err(BareError::io(
                    "unable to append to the log of",
                    name.to_path_lossy(),
                ))?;
            }
            put(lock, &path).map_err(BareError::io("unable to move", &path))?;
        }
        if let Some(packed) = packed {
            let _held = packed.replace(files)?;
            remove(&removed, locks, files)?;
        }
        // Folders above may have been made just now, or be gone with the last ref in them.
        for folder in folders.iter().rev().filter(|folder| folder.is_dir()) {
            if folder != files.common {
                files
                    .sharing
                    .apply(folder)
                    .map_err(BareError::io("unable to share", folder))?;
            }
            disk::flush_folder(folder).map_err(BareError::io("unable to flush", folder))?;
        }
        Ok(())
    }
}

/// Makes a lock the ref; empty folders of its name make way.
fn put(lock: Marker, path: &Path) -> io::Result<()> {
    if path.is_dir() {
        remove_empty_below(path)?;
    }
    lock.commit().map(drop).map_err(|error| error.error)
}

/// Removes the files of refs that `packed-refs` does not have any more, their logs, and the folders that
/// were there for them alone.
fn remove(names: &[Vec<u8>], locks: Vec<Marker>, files: &Files<'_>) -> Result<(), BareError> {
    let logs = files.common.join("logs");
    let roots = [files.common, logs.as_path()];
    for name in names {
        for root in roots {
            let path = root.join(name.to_path_lossy());
            match fs::remove_file(&path) {
                Err(error) if !is_absent(&error, &path) => {
                    return Err(BareError::io("unable to remove", path)(error));
                }
                _ => {}
            }
        }
    }
    drop(locks);
    for name in names {
        for root in roots {
            remove_empty_above(&root.join(name.to_path_lossy()), &root.join(shelf(name)));
        }
    }
    Ok(())
}

/// A ref that was packed has no file; there may be an empty folder of its name.
fn is_absent(error: &io::Error, path: &Path) -> bool {
    let kind = error.kind();
    matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) || path.is_dir()
}

/// The folder of a ref that stays even when it is empty: `refs/heads`.
fn shelf(name: &[u8]) -> PathBuf {
    let mut slashes = name.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    let first = slashes.next().map_or(0, |(at, _)| at);
    let end = slashes.next().map_or(first, |(at, _)| at);
    name[..end].to_path_lossy().into_owned()
}

/// Removes the folders above `path`, but for `edge`, as long as they are empty.
fn remove_empty_above(path: &Path, edge: &Path) {
    let above = path.ancestors().skip(1);
    for folder in above.take_while(|folder| *folder != edge && folder.starts_with(edge)) {
        // One that is not empty, or gone already, is where this ends.
        if fs::remove_dir(folder).is_err() {
            return;
        }
    }
}

/// Removes a folder in which there are only folders, if so.
fn remove_empty_below(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        remove_empty_below(&entry?.path())?;
    }
    fs::remove_dir(folder)
}

/// Somebody else holds a lock, or there is no place for it.
pub(super) fn cannot_lock(error: impl std::fmt::Display) -> BareError {
    BareError::Refs(format!("cannot lock ref: {error}"))
}

/// A ref can't be named as a folder of others is, or below another.
fn no_conflict(name: &[u8], refs: &Refs) -> Result<(), BareError> {
    let refuse = |other: &[u8]| {
        let (other, name) = (other.escape_ascii(), name.escape_ascii());
        Err(BareError::Refs(format!(
            "'{other}' exists; cannot create '{name}'"
        )))
    };
    for (at, _) in name.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
        if refs.find(&name[..at]).is_some() {
            return refuse(&name[..at]);
        }
    }
    match refs.first_below(&[name, b"/"].concat()) {
        Some(below) => refuse(&below.name),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shelf_of_a_ref_is_its_first_two_folders() {
        let check = |name: &str, expected: &str| {
            assert_eq!(shelf(name.as_bytes()), Path::new(expected), "{name}");
        };
        check("refs/heads/a", "refs/heads");
        check("refs/heads/a/b", "refs/heads");
        check("refs/stash", "refs");
        check("HEAD", "");
    }
}
