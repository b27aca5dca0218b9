//! A blob that arrives in pieces: its name begins with its size, so it waits until that is known.
//!
//! Bounds: [`HELD_BYTES`] in memory, the rest in a file without a name, whose disk is looked after;
//! never more than the limit of an object.
//! Not here: what becomes of it (`compose`).

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, Write as _},
    path::Path,
};

use super::{ReceiveError, limits::Limited};
use crate::git::scratch::Scratch;

/// What one blob may take of the memory before it goes to the disk.
const HELD_BYTES: usize = 256 << 10;

/// A blob in the making.
#[derive(Debug)]
pub struct BlobPieces {
    held: Vec<u8>,
    file: Option<File>,
    length: u64,
    most: u64,
    disk: Scratch,
}

impl BlobPieces {
    pub(super) fn new(incoming: &Path, most: u64) -> Self {
        Self {
            held: Vec::new(),
            file: None,
            length: 0,
            most,
            disk: Scratch::of(incoming.to_owned()),
        }
    }

    /// Bytes so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// When there are more than an object may have, or the disk fails.
    pub fn append(&mut self, piece: &[u8]) -> Result<(), ReceiveError> {
        let longer = self.length + piece.len() as u64;
        ReceiveError::bound(Limited::ObjectBytes, self.most, longer)?;
        self.store(piece, longer).map_err(ReceiveError::Storage)?;
        self.length = longer;
        Ok(())
    }

    fn store(&mut self, piece: &[u8], longer: u64) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            self.disk.has_room(self.length..longer)?;
            return file.write_all(piece);
        }
        if self.held.len() + piece.len() <= HELD_BYTES {
            self.held.extend_from_slice(piece);
            return Ok(());
        }
        let mut file = self.disk.file()?;
        file.write_all(&std::mem::take(&mut self.held))?;
        file.write_all(piece)?;
        self.file = Some(file);
        Ok(())
    }

    /// All of it in memory, for whom that is bounded already.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn whole(self) -> Result<Vec<u8>, ReceiveError> {
        if self.file.is_none() {
            return Ok(self.held);
        }
        let mut bytes = Vec::new();
        self.read(|piece| {
            bytes.extend_from_slice(piece);
            Ok(())
        })
        .map_err(ReceiveError::Storage)?;
        Ok(bytes)
    }

    /// Passes all bytes on, from the first.
    pub(super) fn read(&self, mut take: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        let Some(mut file) = self.file.as_ref() else {
            return take(&self.held);
        };
        file.rewind()?;
        let mut buffer = vec![0; HELD_BYTES];
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok(()),
                count => take(&buffer[..count])?,
            }
        }
    }
}
