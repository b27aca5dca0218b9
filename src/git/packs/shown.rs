//! Which objects of a borrowed pack are there for the borrower.
//!
//! Bounds: a bit an object.
//! Invariant: a pack in the folder of borrowed ones has such a list beside it, or can't be opened: what
//! the list leaves out is not found, whoever asks for it by whatever way, and serves as the base of
//! deltas only.
//! Not here: what goes into the list (`fork`).

use std::{
    ffi::OsStr,
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;

use super::OpenError;

/// The folder of borrowed packs, below that of the repository.
pub(crate) const BORROWED: &str = "borrowed";

const MAGIC: &[u8; 8] = b"PHSHOWN1";
const HASH_BYTES: usize = 32;

/// The positions of a pack's index that are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown(Vec<u8>);

impl Shown {
    /// None of so many objects.
    pub(crate) fn none(count: u32) -> Self {
        Self(vec![0; length(count)])
    }

    /// Adds a position.
    pub(crate) fn insert(&mut self, position: u32) {
        self.0[position as usize / 8] |= 1 << (position % 8);
    }

    /// Whether the object at this position is there.
    pub(crate) fn contains(&self, position: u32) -> bool {
        let byte = self.0.get(position as usize / 8);
        byte.is_some_and(|byte| byte & (1 << (position % 8)) != 0)
    }

    /// Whether nothing is shown at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|byte| *byte == 0)
    }

    /// Writes the list to its place beside the index, flushed; the name is left to the caller to flush.
    pub(crate) fn write(&self, index_path: &Path) -> io::Result<()> {
        let mut file = fs::File::create_new(path(index_path))?;
        file.write_all(MAGIC)?;
        file.write_all(&self.0)?;
        file.write_all(digest::digest(&digest::SHA256, &self.0).as_ref())?;
        file.sync_all()
    }

    /// The list of a pack of so many objects, if the pack is a borrowed one.
    ///
    /// # Errors
    /// When a borrowed pack has no list, or one that is damaged.
    pub(super) fn beside(index_path: &Path, count: u32) -> Result<Option<Self>, OpenError> {
        let folder = index_path.parent().and_then(Path::file_name);
        if folder != Some(OsStr::new(BORROWED)) {
            return Ok(None);
        }
        let path = path(index_path);
        let bytes = fs::read(&path).map_err(|source| OpenError::Io {
            path: path.clone(),
            source,
        })?;
        match decode(&bytes, count) {
            Some(shown) => Ok(Some(shown)),
            None => Err(OpenError::Pack {
                path,
                source: "the list of what is shown is damaged".into(),
            }),
        }
    }
}

fn decode(bytes: &[u8], count: u32) -> Option<Shown> {
    let body = bytes.strip_prefix(MAGIC)?;
    let (list, hash) = body.split_at_checked(body.len().checked_sub(HASH_BYTES)?)?;
    let whole =
        list.len() == length(count) && digest::digest(&digest::SHA256, list).as_ref() == hash;
    whole.then(|| Shown(list.to_vec()))
}

fn length(count: u32) -> usize {
    count.div_ceil(8) as usize
}

fn path(index_path: &Path) -> PathBuf {
    index_path.with_extension("shown")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_it_was_written_and_a_damaged_one_never() {
        let folder = tempfile::tempdir().unwrap();
        let borrowed = folder.path().join(BORROWED);
        fs::create_dir(&borrowed).unwrap();
        let index = borrowed.join("pack-1.idx");
        assert!(matches!(
            Shown::beside(&index, 20),
            Err(OpenError::Io { .. })
        ));
        let mut shown = Shown::none(20);
        assert!(shown.is_empty());
        for position in [0, 7, 8, 19] {
            shown.insert(position);
        }
        shown.write(&index).unwrap();
        let read = Shown::beside(&index, 20).unwrap().unwrap();
        assert_eq!(read, shown);
        let positions: Vec<_> = (0..40).filter(|at| read.contains(*at)).collect();
        assert_eq!(positions, [0, 7, 8, 19]);
        let damaged = |count| matches!(Shown::beside(&index, count), Err(OpenError::Pack { .. }));
        assert!(damaged(16) && damaged(25) && !damaged(17) && !damaged(24));
        let file = index.with_extension("shown");
        let whole = fs::read(&file).unwrap();
        for cut in 0..whole.len() {
            fs::write(&file, &whole[..cut]).unwrap();
            assert!(damaged(20), "{cut} bytes");
        }
        for at in 0..whole.len() {
            let mut other = whole.clone();
            other[at] ^= 4;
            fs::write(&file, &other).unwrap();
            assert!(damaged(20), "byte {at}");
        }
        let own = folder.path().join("pack-1.idx");
        assert_eq!(Shown::beside(&own, 20).unwrap(), None);
    }
}
