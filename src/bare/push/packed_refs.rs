//! `packed-refs` without the refs that are removed.
//!
//! Source: gitrepository-layout(5) `packed-refs`.
//! Bounds: the file is in memory once; waits [`LOCK_WAIT`] for its lock.
//! Invariant: what will be the file is on disk before it gets its name; nobody packs a ref while one is
//! being removed.
//! Not here: the files of the refs themselves (`transaction`).

use std::{
    collections::HashSet,
    fs::{self, File},
    io::{self, Write as _},
};

use gix_lock::acquire::Fail;
use gix_object::bstr::ByteSlice as _;

use super::transaction::{Files, LOCK_WAIT, cannot_lock};
use crate::{bare::BareError, disk};

/// The file under its lock.
pub(super) struct PackedRefs {
    lock: gix_lock::File,
    /// Whether the lock holds another content than the file.
    changed: bool,
}

impl PackedRefs {
    /// Locks it and writes what is left without these refs into the lock, durably.
    pub(super) fn without(names: &HashSet<&[u8]>, files: &Files<'_>) -> Result<Self, BareError> {
        let path = files.common.join("packed-refs");
        let wait = Fail::AfterDurationWithBackoff(LOCK_WAIT);
        let lock = gix_lock::File::acquire_to_update_resource(&path, wait, None, 0);
        let mut lock = lock.map_err(cannot_lock)?;
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(BareError::io("unable to read", path)(error)),
        };
        let left = without(&text, names);
        let changed = left.len() < text.len();
        if changed {
            let written = lock
                .with_mut(|file| file.write_all(&left))
                .and_then(|()| files.sharing.apply(lock.lock_path()))
                .and_then(|()| File::open(lock.lock_path())?.sync_all());
            written.map_err(BareError::io("unable to write", path))?;
        }
        Ok(Self { lock, changed })
    }

    /// Puts it in place; answers the lock if there was nothing to put, to be held until the refs are gone.
    pub(super) fn replace(self, files: &Files<'_>) -> Result<Option<gix_lock::File>, BareError> {
        if !self.changed {
            return Ok(Some(self.lock));
        }
        let replaced = self.lock.commit().map(drop).map_err(|error| error.error);
        replaced
            .and_then(|()| disk::flush_folder(files.common))
            .map_err(BareError::io("unable to replace", "packed-refs"))?;
        Ok(None)
    }
}

/// The text without some refs, and without the lines that say what they peel to.
fn without(text: &[u8], names: &HashSet<&[u8]>) -> Vec<u8> {
    let mut left = Vec::with_capacity(text.len());
    let mut drops = false;
    for line in text.lines_with_terminator() {
        if !line.starts_with(b"^") {
            let name = line.splitn(2, |byte| *byte == b' ').nth(1);
            let names_one = name.is_some_and(|name| names.contains(name.trim_ascii_end()));
            drops = names_one && !line.starts_with(b"#");
        }
        if !drops {
            left.extend_from_slice(line);
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_refs_lose_a_ref_with_what_it_peels_to_and_nothing_else() {
        let text = "# pack-refs with: peeled fully-peeled sorted \n\
            1111 refs/heads/a\n2222 refs/heads/ab\n3333 refs/tags/a\n^4444\n5555 refs/tags/b\n^6666\n";
        let check = |names: &[&str], expected: &str| {
            let names = names.iter().map(|name| name.as_bytes()).collect();
            let left = without(text.as_bytes(), &names);
            assert_eq!(String::from_utf8(left).unwrap(), expected);
        };
        check(&["refs/heads/b", "a", "#", "4444"], text);
        check(&["refs/heads/a"], &text.replace("1111 refs/heads/a\n", ""));
        check(
            &["refs/tags/a", "refs/heads/ab"],
            &text.replace("2222 refs/heads/ab\n3333 refs/tags/a\n^4444\n", ""),
        );
        check(
            &["refs/tags/b"],
            &text.replace("5555 refs/tags/b\n^6666\n", ""),
        );
    }
}
