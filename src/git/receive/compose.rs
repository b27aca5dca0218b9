//! Objects that the server makes itself take the same road as those that are pushed.
//!
//! Bounds: [`Limits`] as for a push. Memory does not depend on the size of the blobs: the pack lies in
//! a file once it has outgrown `spool`'s share of memory, and so do the pieces of a blob.
//! Invariant: nothing is published that did not pass the checks of a push. An object that the
//! repository has is not written again.
//! Not here: which trees and commits are made (`edit`).

use std::{collections::HashSet, io, io::Write as _};

use gix_hash::ObjectId;
use gix_object::Kind;
use gix_zlib::{Compression, stream::deflate};

use super::{
    Limits, Quarantine, ReceiveError,
    check::Notices,
    entry::{Base, Entry, write_whole_header},
    index::Order,
    inspector::Inspector,
    limits::{Expense, Limited},
    pack::UnpublishedPack,
    pieces::BlobPieces,
    quarantine,
    scan::Name,
    spool::Spool,
    stream::pack_hash,
};
use crate::git::Repository;

/// Where the number of objects stands in a pack.
const COUNT_OFFSET: usize = 8;
/// Bytes of a pack that are hashed at a time.
const HASHED_BYTES: u64 = 256 << 10;

/// New objects, made one after the other: blobs first, then what names them.
pub struct Composer {
    repository: Repository,
    limits: Limits,
    spool: Spool,
    entries: Vec<Entry>,
    seen: HashSet<ObjectId>,
    /// Made when the first object comes that names others, so that it knows all that was published
    /// while the blobs arrived.
    inspector: Option<Inspector>,
}

impl Composer {
    /// Makes objects for this repository.
    pub fn new(repository: &Repository, limits: &Limits) -> Self {
        Self {
            repository: repository.clone(),
            limits: limits.clone(),
            spool: Spool::new(&quarantine::incoming(repository)),
            entries: Vec::new(),
            seen: HashSet::new(),
            inspector: None,
        }
    }

    /// Begins a blob whose size nobody knows yet.
    pub fn blob_in_pieces(&self) -> BlobPieces {
        let incoming = quarantine::incoming(&self.repository);
        BlobPieces::new(&incoming, self.limits.object_bytes)
    }

    /// Adds a blob that is complete and returns its name.
    ///
    /// # Errors
    /// When a limit is passed, the disk fails, or the content attacks the hash function.
    pub fn add_pieces(&mut self, blob: BlobPieces) -> Result<ObjectId, ReceiveError> {
        let mut name = self.name(Kind::Blob, blob.length());
        let storage = ReceiveError::Storage;
        blob.read(|piece| {
            name.update(piece);
            Ok(())
        })
        .map_err(storage)?;
        let id = name.finish(self.spool.length())?;
        if self.is_there(&id) {
            return Ok(id);
        }
        self.entry(Kind::Blob, blob.length(), id, |deflate| {
            blob.read(|piece| deflate.write_all(piece))
        })?;
        Ok(id)
    }

    /// Adds an object and returns its name.
    ///
    /// # Errors
    /// When it breaks a rule of its kind, a limit is passed, the disk fails, or the content attacks
    /// the hash function.
    pub fn add(&mut self, kind: Kind, content: &[u8]) -> Result<ObjectId, ReceiveError> {
        self.add_based(kind, content, None)
    }

    /// The same for an object that differs little from `base`, which the repository has: only what
    /// differs is checked.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn add_based(
        &mut self,
        kind: Kind,
        content: &[u8],
        base: Option<(&ObjectId, &[u8])>,
    ) -> Result<ObjectId, ReceiveError> {
        let size = content.len() as u64;
        let (what, most) = match kind {
            Kind::Blob => (Limited::ObjectBytes, self.limits.object_bytes),
            _ => (Limited::ParsedBytes, self.limits.parsed_bytes),
        };
        ReceiveError::bound(what, most, size)?;
        let mut name = self.name(kind, size);
        name.update(content);
        let id = name.finish(self.spool.length())?;
        if self.is_there(&id) {
            return Ok(id);
        }
        if kind != Kind::Blob {
            self.inspector().object(id, kind, content, base)?;
        }
        self.entry(kind, size, id, |deflate| deflate.write_all(content))?;
        Ok(id)
    }

    fn inspector(&mut self) -> &mut Inspector {
        let (repository, limits) = (&self.repository, &self.limits);
        self.inspector.get_or_insert_with(|| {
            let mut inspector = Inspector::new(repository.packs(), limits);
            // How many there will be is not known before the last one is made.
            inspector.expect(limits.objects);
            inspector
        })
    }

    fn name(&self, kind: Kind, size: u64) -> Name {
        Name::of(self.repository.format().kind(), kind, size)
    }

    fn is_there(&self, id: &ObjectId) -> bool {
        self.seen.contains(id) || self.repository.packs().contains(id)
    }

    /// Writes one entry, whose content `write` puts into the deflating writer.
    fn entry(
        &mut self,
        kind: Kind,
        size: u64,
        id: ObjectId,
        write: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ) -> Result<(), ReceiveError> {
        let storage = ReceiveError::Storage;
        let count = self.entries.len() as u64 + 1;
        ReceiveError::bound(Limited::Objects, self.limits.objects.into(), count)?;
        if self.spool.length() == 0 {
            self.spool
                .append(b"PACK\0\0\0\x02\0\0\0\0")
                .map_err(storage)?;
        }
        let offset = self.spool.length();
        let mut out = EntryWriter {
            spool: &mut self.spool,
            crc32: crc32fast::Hasher::new(),
            most: self.limits.pack_bytes,
        };
        let mut header = Vec::new();
        write_whole_header(kind, size, &mut header);
        let written = out.write_all(&header).and_then(|()| {
            let mut deflate = deflate::Write::new(out, Compression::DEFAULT);
            write(&mut deflate)?;
            deflate.flush()?;
            Ok(deflate.into_inner().crc32.finalize())
        });
        let crc32 = written.map_err(|error| match error.kind() {
            io::ErrorKind::FileTooLarge => ReceiveError::Limit {
                what: Limited::PackBytes,
                limit: self.limits.pack_bytes,
            },
            _ => storage(error),
        })?;
        self.seen.insert(id);
        self.entries.push(Entry {
            offset,
            size,
            id,
            crc32,
            base: Base::NONE,
            kind: Some(kind),
        });
        Ok(())
    }

    /// Demands that everything that the objects name exists, and hands them over.
    ///
    /// # Errors
    /// When something is missing, a blob whose name gives it a meaning is not fit for it, or a limit
    /// is passed. Nothing is left behind.
    pub fn finish(mut self) -> Result<Quarantine, ReceiveError> {
        let repository = self.repository.clone();
        if self.entries.is_empty() {
            return Ok(Quarantine::empty(&repository));
        }
        let format = repository.format().kind();
        let count = u32::try_from(self.entries.len()).expect("bounded by a u32");
        let storage = ReceiveError::Storage;
        let mut spool = self.spool;
        spool
            .overwrite(COUNT_OFFSET, &count.to_be_bytes())
            .map_err(storage)?;
        let end = spool.length();
        let mut hash = aws_lc_rs::digest::Context::new(pack_hash(format));
        let (mut at, mut scratch) = (0, Vec::new());
        while at < end {
            let next = end.min(at + HASHED_BYTES);
            hash.update(spool.read(at..next, &mut scratch).map_err(storage)?);
            at = next;
        }
        let trailer = hash.finish().as_ref().to_vec();
        spool.append(&trailer).map_err(storage)?;
        let pack = UnpublishedPack {
            format,
            entries: self.entries,
            spool,
            end,
            trailer,
        };
        let order = Order::of(&pack.entries)?;
        let packs = repository.packs();
        let sent = pack.entries.len();
        let (roots, notices) = match self.inspector.take() {
            None => (None, Notices::default()),
            Some(inspector) => {
                inspector.connect(&pack, sent, &order, &mut Expense::new(), &self.limits)?
            }
        };
        let quarantine = Quarantine::new(&repository, packs, pack, order, sent);
        Ok(quarantine.hanging_on(roots).telling(notices))
    }
}

/// Puts what is written behind the pack, and sums it up.
struct EntryWriter<'a> {
    spool: &'a mut Spool,
    crc32: crc32fast::Hasher,
    most: u64,
}

impl io::Write for EntryWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.spool.length() + bytes.len() as u64 > self.most {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.crc32.update(bytes);
        self.spool.append(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
