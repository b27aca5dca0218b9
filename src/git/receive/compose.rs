//! Objects that the server makes itself take the same road as those that are pushed.
//!
//! Bounds: the pack is in memory; whoever makes the objects held them there already.
//! Invariant: nothing is published that did not pass the checks of a push.

use std::{collections::HashSet, io::Write as _};

use gix_hash::ObjectId;
use gix_object::Kind;
use gix_zlib::{Compression, stream::deflate};

use super::{
    Limits, Quarantine, ReceiveError, entry::write_whole_header, ingest, scan::Name,
    stream::pack_hash,
};
use crate::git::Repository;

/// New objects, made one after the other.
#[derive(Debug)]
pub struct Composer {
    repository: Repository,
    pack: Vec<u8>,
    count: u32,
    seen: HashSet<ObjectId>,
}

impl Composer {
    /// Makes objects for this repository.
    pub fn new(repository: &Repository) -> Self {
        Self {
            repository: repository.clone(),
            pack: b"PACK\0\0\0\x02\0\0\0\0".to_vec(),
            count: 0,
            seen: HashSet::new(),
        }
    }

    /// Adds an object, unless the repository has it, and returns its name.
    ///
    /// # Errors
    /// When the content attacks the hash function.
    pub fn add(&mut self, kind: Kind, content: &[u8]) -> Result<ObjectId, ReceiveError> {
        let size = content.len() as u64;
        let mut name = Name::of(self.repository.format().kind(), kind, size);
        name.update(content);
        let id = name.finish(self.pack.len() as u64)?;
        if self.repository.packs().contains(&id) || !self.seen.insert(id) {
            return Ok(id);
        }
        write_whole_header(kind, size, &mut self.pack);
        let pack = std::mem::take(&mut self.pack);
        let mut deflate = deflate::Write::new(pack, Compression::DEFAULT);
        deflate
            .write_all(content)
            .and_then(|()| deflate.flush())
            .map_err(ReceiveError::Storage)?;
        self.pack = deflate.into_inner();
        self.count += 1;
        Ok(id)
    }

    /// Checks them all, as if they had been pushed.
    ///
    /// # Errors
    /// As [`ingest`].
    pub fn finish(mut self, limits: &Limits) -> Result<Quarantine, ReceiveError> {
        self.pack[8..12].copy_from_slice(&self.count.to_be_bytes());
        let algorithm = pack_hash(self.repository.format().kind());
        let trailer = aws_lc_rs::digest::digest(algorithm, &self.pack);
        self.pack.extend_from_slice(trailer.as_ref());
        ingest(
            &self.repository,
            &mut self.pack.as_slice(),
            limits,
            &mut |_| {},
        )
    }
}
