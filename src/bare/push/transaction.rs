//! Moves refs: files under locks, flushed before and after they get their names.
//!
//! Source: gitrepository-layout(5), git-config(1) `core.logAllRefUpdates`.
//! Bounds: waits [`LOCK_WAIT`] for a lock that somebody else holds.
//! Invariant: a ref's file is on disk before its name says so, and both are before anybody is told;
//! of several refs in one transaction either all are locked or none.
//! Not here: whether a ref may be moved (`judge`), the lines of a log (`reflog`).

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use gix_lock::acquire::Fail;
use gix_object::bstr::ByteSlice as _;
use gix_ref::{
    FullName, Target,
    file::Store,
    store::WriteReflog,
    transaction::{Change, LogChange, PreviousValue, RefEdit, RefLog},
};

use super::{reflog::Reflog, sharing::Sharing};
use crate::{
    bare::{BareError, refs::Refs},
    disk,
    model::ObjectId,
};

/// How long a lock of somebody else is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(1);

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
    transaction: gix_ref::file::Transaction<'a, 'a>,
    files: &'a Files<'a>,
    moves: Vec<Move>,
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
        let edits = moves.iter().map(edit).collect::<Result<Vec<_>, _>>()?;
        let wait = Fail::AfterDurationWithBackoff(LOCK_WAIT);
        let transaction = self.store.transaction().prepare(edits, wait, wait);
        let transaction =
            transaction.map_err(|error| BareError::Refs(format!("cannot lock ref: {error}")))?;
        let prepared = Prepared {
            transaction,
            files: self,
            head: refs.head_target().map(<[u8]>::to_vec),
            moves,
        };
        prepared.flush_locks()?;
        Ok(prepared)
    }

    fn path(&self, name: &[u8]) -> PathBuf {
        self.common.join(name.to_path_lossy())
    }
}

impl Prepared<'_> {
    /// Makes what the locks hold durable, since gix flushes nothing.
    fn flush_locks(&self) -> Result<(), BareError> {
        for moved in self.moves.iter().filter(|moved| moved.new.is_some()) {
            let mut lock = self.files.path(&moved.name).into_os_string();
            lock.push(".lock");
            let lock = PathBuf::from(lock);
            // A ref that stays as it is has no lock.
            if lock.exists() {
                let flushed = self
                    .files
                    .sharing
                    .apply(&lock)
                    .and_then(|()| fs::File::open(&lock)?.sync_all());
                flushed.map_err(BareError::io("unable to flush", lock))?;
            }
        }
        Ok(())
    }

    /// Moves them all, and returns once that is on disk.
    pub(super) fn commit(self) -> Result<(), BareError> {
        let Self {
            transaction,
            files,
            moves,
            head,
        } = self;
        for moved in moves.iter().filter(|moved| moved.new.is_some()) {
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
        }
        transaction
            .commit(None)
            .map_err(|error| BareError::Refs(format!("cannot update ref: {error}")))?;
        let removes = moves.iter().any(|moved| moved.new.is_none());
        let mut folders = BTreeSet::new();
        for moved in &moves {
            let path = files.path(&moved.name);
            folders.extend(
                path.ancestors()
                    .skip(1)
                    .take_while(|above| above.starts_with(files.common))
                    .map(Path::to_owned),
            );
        }
        let packed = files.common.join("packed-refs");
        if removes && packed.exists() {
            let flushed = files
                .sharing
                .apply(&packed)
                .and_then(|()| fs::File::open(&packed)?.sync_all());
            flushed.map_err(BareError::io("unable to flush", &packed))?;
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

/// The files of refs, without the logs that gix would write: ours are flushed.
pub(super) fn without_logs(mut store: Store) -> Store {
    store.write_reflog = WriteReflog::Disable;
    store
}

fn edit(moved: &Move) -> Result<RefEdit, BareError> {
    let name = FullName::try_from(moved.name.as_bstr());
    let name = name.map_err(|error| BareError::Refs(error.to_string()))?;
    let existing = moved.old.map(Target::Object);
    Ok(RefEdit {
        change: match moved.new {
            Some(new) => Change::Update {
                log: LogChange::default(),
                expected: existing.map_or(
                    PreviousValue::MustNotExist,
                    PreviousValue::MustExistAndMatch,
                ),
                new: Target::Object(new),
            },
            None => Change::Delete {
                expected: existing.map_or(PreviousValue::Any, PreviousValue::MustExistAndMatch),
                log: RefLog::AndReference,
            },
        },
        name,
        deref: false,
    })
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
