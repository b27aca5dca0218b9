//! The file that says where a shallow repository ends.
//!
//! Source: gitrepository-layout(5), `shallow`.
//! Invariant: under its lock it only grows here, and it is on disk before a ref relies on it.

use std::{fs::File, io::Write as _};

use gix_lock::acquire::Fail;

use super::transaction::LOCK_WAIT;
use crate::{
    bare::{
        BareError,
        folder::{Folder, read_shallow},
    },
    disk,
    model::ObjectId,
};

/// Adds commits whose parents are not here.
pub(super) fn extend(folder: &Folder, new: &[ObjectId]) -> Result<(), BareError> {
    let path = folder.common.join("shallow");
    let wait = Fail::AfterDurationWithBackoff(LOCK_WAIT);
    let lock = gix_lock::File::acquire_to_update_resource(&path, wait, None, 0);
    let mut lock =
        lock.map_err(|error| BareError::Refs(format!("cannot lock shallow: {error}")))?;
    // Somebody else may have added to it since this push began.
    let mut all = read_shallow(&folder.common, folder.format)?;
    all.extend_from_slice(new);
    all.sort_unstable();
    all.dedup();
    let text: String = all.iter().map(|id| format!("{id}\n")).collect();
    let written = lock
        .with_mut(|file| file.write_all(text.as_bytes()))
        .and_then(|()| File::open(lock.lock_path())?.sync_all())
        .and_then(|()| lock.commit().map(drop).map_err(|error| error.error))
        .and_then(|()| disk::flush_folder(&folder.common));
    written.map_err(BareError::io("unable to write", path))
}
