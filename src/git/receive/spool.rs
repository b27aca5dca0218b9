//! Where the bytes of an unpublished pack are: in memory while they are few, else in a file.
//!
//! Bounds: at most [`IN_MEMORY_BYTES`] are held in memory; the disk is looked after as by [`Scratch`].
//! Invariant: the file lies in the repository's `incoming` folder and goes when this value does.
//! Not here: fsync and renaming (`quarantine`). Files are read, never mapped, so that a failing
//! disk is an error of this push and not the end of the server.

use std::{
    io::{self, Write as _},
    ops::Range,
    os::unix::fs::FileExt as _,
    path::Path,
};

use tempfile::NamedTempFile;

use crate::{disk::Reserve, git::scratch::Scratch};

/// Packs up to this size touch no disk before they are published.
pub(super) const IN_MEMORY_BYTES: usize = 4 << 20;

/// The bytes of a pack, appended as they come and read back at random.
#[derive(Debug)]
pub(super) struct Spool {
    incoming: Scratch,
    bytes: Bytes,
}

#[derive(Debug)]
enum Bytes {
    Memory(Vec<u8>),
    File { file: NamedTempFile, length: u64 },
}

impl Spool {
    /// An empty one, which will make its file in `incoming` when it needs one.
    pub(super) fn new(incoming: &Path) -> Self {
        Self {
            incoming: Scratch::of(incoming.to_owned()),
            bytes: Bytes::Memory(Vec::new()),
        }
    }

    /// How many bytes there are.
    pub(super) fn length(&self) -> u64 {
        match &self.bytes {
            Bytes::Memory(bytes) => bytes.len() as u64,
            Bytes::File { length, .. } => *length,
        }
    }

    /// Adds bytes at the end.
    pub(super) fn append(&mut self, more: &[u8]) -> io::Result<()> {
        if let Bytes::Memory(bytes) = &mut self.bytes {
            if bytes.len() + more.len() <= IN_MEMORY_BYTES {
                bytes.extend_from_slice(more);
                return Ok(());
            }
            let mut file = temporary(self.incoming.folder())?;
            file.write_all(bytes)?;
            let length = bytes.len() as u64;
            self.bytes = Bytes::File { file, length };
        }
        if let Bytes::File { file, length } = &mut self.bytes {
            let longer = *length + more.len() as u64;
            self.incoming.has_room(*length..longer)?;
            file.write_all(more)?;
            *length = longer;
        }
        Ok(())
    }

    /// The bytes of `range`, through `scratch` where they are not in memory.
    ///
    /// # Errors
    /// Also when the range passes the end.
    pub(super) fn read<'a>(
        &'a self,
        range: Range<u64>,
        scratch: &'a mut Vec<u8>,
    ) -> io::Result<&'a [u8]> {
        let past_end = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let at = |offset: u64| usize::try_from(offset).map_err(|_| past_end());
        match &self.bytes {
            Bytes::Memory(bytes) => bytes
                .get(at(range.start)?..at(range.end)?)
                .ok_or_else(past_end),
            Bytes::File { file, length } => {
                if range.end > *length {
                    return Err(past_end());
                }
                let wanted = at(range.end.saturating_sub(range.start))?;
                if scratch.len() < wanted {
                    scratch.resize(wanted, 0);
                }
                file.as_file()
                    .read_exact_at(&mut scratch[..wanted], range.start)?;
                Ok(&scratch[..wanted])
            }
        }
    }

    /// Puts `bytes` in place of those at `offset`.
    pub(super) fn overwrite(&mut self, offset: usize, bytes: &[u8]) -> io::Result<()> {
        match &mut self.bytes {
            Bytes::Memory(held) => {
                held.get_mut(offset..offset + bytes.len())
                    .ok_or(io::ErrorKind::UnexpectedEof)?
                    .copy_from_slice(bytes);
                Ok(())
            }
            Bytes::File { file, .. } => file.as_file().write_all_at(bytes, offset as u64),
        }
    }

    /// Cuts everything after `length` bytes off.
    pub(super) fn truncate(&mut self, length: u64) -> io::Result<()> {
        use std::io::Seek as _;
        match &mut self.bytes {
            Bytes::Memory(held) => {
                held.truncate(usize::try_from(length).unwrap_or(usize::MAX));
                Ok(())
            }
            Bytes::File { file, length: was } => {
                *was = length.min(*was);
                file.as_file().set_len(*was)?;
                file.seek(io::SeekFrom::Start(*was)).map(drop)
            }
        }
    }

    /// Where files without a name are made beside it.
    pub(super) fn scratch(&self) -> &Scratch {
        &self.incoming
    }

    /// Brings what is in a file to the disk.
    pub(super) fn flush(&self) -> io::Result<()> {
        match &self.bytes {
            Bytes::Memory(_) => Ok(()),
            Bytes::File { file, .. } => file.as_file().sync_data(),
        }
    }

    /// The file that holds everything, written now if it was not before.
    pub(super) fn into_file(self) -> io::Result<NamedTempFile> {
        match self.bytes {
            Bytes::File { file, .. } => Ok(file),
            Bytes::Memory(bytes) => {
                let mut file = temporary(self.incoming.folder())?;
                file.write_all(&bytes)?;
                Ok(file)
            }
        }
    }
}

/// A file of its own in the quarantine folder; it is removed unless it is renamed.
pub(super) fn temporary(incoming: &Path) -> io::Result<NamedTempFile> {
    Reserve::FromPacks.check(incoming)?;
    tempfile::Builder::new()
        .prefix("push-")
        .tempfile_in(incoming)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_back_alike_from_memory_and_from_a_file() {
        let folder = tempfile::tempdir().unwrap();
        for (length, files) in [(IN_MEMORY_BYTES, 0), (IN_MEMORY_BYTES + 1, 1)] {
            let mut spool = Spool::new(folder.path());
            let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
            for piece in bytes.chunks(100_000) {
                spool.append(piece).unwrap();
            }
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), files);
            let (mut scratch, end) = (Vec::new(), length as u64);
            assert_eq!(spool.read(3..9, &mut scratch).unwrap(), [3, 4, 5, 6, 7, 8]);
            assert!(spool.read(end..end + 1, &mut scratch).is_err());
            spool.overwrite(4, b"xy").unwrap();
            spool.truncate(8).unwrap();
            spool.append(b"z").unwrap();
            assert_eq!(spool.read(3..9, &mut scratch).unwrap(), b"\x03xy\x06\x07z");
            drop(spool);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }
}
