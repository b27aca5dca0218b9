//! Files without a name, for what is too large to be held in memory.
//!
//! Source: open(2), `O_TMPFILE`.
//! Bounds: the disk is not filled to its last byte, which is looked after each [`CHECK_BYTES`].
//! Invariant: a file goes with the value that holds it, and with the process at the latest.
//! Not here: what is written into them (`packs::Content`, `receive`).

use std::{
    env,
    fs::File,
    io,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::disk::Reserve;

/// How much is written before the room on the disk is looked at again.
const CHECK_BYTES: u64 = 8 << 20;

/// A folder in which such files are made.
#[derive(Debug, Clone)]
pub(crate) struct Scratch(Arc<Path>);

impl Scratch {
    /// In this folder.
    pub(crate) fn of(folder: PathBuf) -> Self {
        Self(folder.into())
    }

    /// Where the system keeps such files, for those who may write nowhere else: `TMPDIR`, or `/tmp`.
    pub(crate) fn of_system() -> Self {
        Self::of(env::temp_dir())
    }

    /// The folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// A file without a name.
    ///
    /// # Errors
    /// When it can't be made, or the disk has no room.
    pub(crate) fn file(&self) -> io::Result<File> {
        Reserve::FromPacks.check(&self.0)?;
        tempfile::tempfile_in(&self.0)
    }

    /// Looks after the disk for a file that grows by this range.
    ///
    /// # Errors
    /// When it has no room.
    pub(crate) fn has_room(&self, growth: Range<u64>) -> io::Result<()> {
        if growth.end / CHECK_BYTES > growth.start / CHECK_BYTES {
            Reserve::FromPacks.check(&self.0)?;
        }
        Ok(())
    }
}
