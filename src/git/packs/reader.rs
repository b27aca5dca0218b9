//! Reads objects out of a pack set: inflates entries and applies chains of deltas.
//!
//! Bounds: [`ObjectReader::CACHE_BYTES`] of bases are remembered; an object of more than
//! [`ObjectReader::OBJECT_BYTES_MAX`] is refused where it is to be held or made by deltas; what it is
//! made from is held up to [`HELD_BYTES`], or [`SMALL_BYTES`] where no more is lent, else in files.
//! Invariant: what is returned was read from the snapshot of packs that the reader began with.

use std::{
    io::{self, BufRead as _},
    sync::Arc,
};

use gix_hash::oid;
use gix_object::{Data, Kind};
use gix_zlib::{Decompress, FlushDecompress, Status};

use super::{
    Cache, Content, DELTA_CHAIN_MAX, Entry, HELD_BYTES, Location, Pack, PackSet, ReadError, Sink,
    Stored, content, delta,
};
use crate::git::memory::Loan;
#[cfg(test)]
use crate::model::ObjectId;

/// Bases and deltas up to this size are held whatever is lent.
const SMALL_BYTES: u64 = 1 << 20;

const BROKEN_DELTA: &str = "delta does not fit its base";

/// Inflates entries; owns the decoder, which is costly to make and free to use again.
#[derive(Default)]
pub(crate) struct Inflater {
    state: gix_zlib::Inflate,
}

impl Inflater {
    /// Replaces `output` by the inflated bytes of the entry at `offset`.
    pub(crate) fn whole(
        &mut self,
        pack: &Pack,
        offset: u64,
        entry: &Entry,
        output: &mut Vec<u8>,
    ) -> Result<(), ReadError> {
        ObjectReader::bound(entry.size)?;
        let size = usize::try_from(entry.size).expect("it is below the bound");
        let input = pack.bytes(entry.data_offset..pack.end())?;
        // A byte deflates to no less than a thousandth of itself, so that a head that lies can't
        // make us reserve more than a thousand times what is there.
        if size / 1100 > input.len() {
            return Err(pack.damaged(offset, "entry is larger than its data can be"));
        }
        output.resize(size, 0);
        self.state.reset();
        match self.state.once(input, output) {
            Ok((Status::StreamEnd, _, written)) if written == size => Ok(()),
            Ok(_) => Err(pack.damaged(offset, "entry has another size than its head says")),
            Err(_) => Err(pack.damaged(offset, "entry does not inflate")),
        }
    }

    /// Fills `output` with as many of the first inflated bytes as there are; answers how many.
    pub(crate) fn prefix(
        &mut self,
        pack: &Pack,
        offset: u64,
        entry: &Entry,
        output: &mut [u8],
    ) -> Result<usize, ReadError> {
        let input = pack.bytes(entry.data_offset..pack.end())?;
        self.state.reset();
        match self.state.prefix(input, output) {
            Ok((_, _, written)) => Ok(written),
            Err(_) => Err(pack.damaged(offset, "entry does not inflate")),
        }
    }

    /// Hands the inflated bytes of the entry at `offset` on piece by piece.
    fn pieces<E: From<ReadError>>(
        pack: &Pack,
        offset: u64,
        entry: &Entry,
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        /// Why no more of the file is wanted.
        enum Stop<E> {
            Ended,
            Failed(E),
        }
        impl<E: From<ReadError>> From<ReadError> for Stop<E> {
            fn from(error: ReadError) -> Self {
                Self::Failed(error.into())
            }
        }
        let broken = || pack.damaged(offset, "entry does not inflate");
        let mut state = Decompress::new();
        let mut buffer = vec![0; content::PIECE_BYTES];
        let end = pack.entry_end(offset, pack.end());
        let stopped = pack.pass::<Stop<E>>(entry.data_offset..end, &mut |mut input| {
            loop {
                let (before_in, before_out) = (state.total_in(), state.total_out());
                let status = state
                    .decompress(input, &mut buffer, FlushDecompress::None)
                    .map_err(|_| broken())?;
                let difference = |now: u64, before: u64| usize::try_from(now - before);
                let used = difference(state.total_in(), before_in).map_err(|_| broken())?;
                let made = difference(state.total_out(), before_out).map_err(|_| broken())?;
                input = &input[used..];
                take(&buffer[..made]).map_err(Stop::Failed)?;
                if status == Status::StreamEnd {
                    return Err(Stop::Ended);
                }
                if used == 0 && made == 0 {
                    return Ok(());
                }
            }
        });
        match stopped {
            Ok(()) => Err(broken().into()),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::Ended) if state.total_out() == entry.size => Ok(()),
            Err(Stop::Ended) => {
                let reason = "entry has another size than its head says";
                Err(pack.damaged(offset, reason).into())
            }
        }
    }
}

/// Reads objects from one snapshot of packs. Make one for each blocking task.
pub struct ObjectReader {
    packs: Arc<PackSet>,
    inflater: Inflater,
    bases: Cache<Arc<Vec<u8>>>,
    delta: Vec<u8>,
    chain: Vec<(u64, Entry)>,
    /// For the objects at hand, where they are not small.
    hand: Loan,
}

impl ObjectReader {
    /// Delta bases remembered by default, in bytes.
    pub const CACHE_BYTES: usize = 32 << 20;

    /// Largest object that is read into memory, in bytes.
    pub const OBJECT_BYTES_MAX: u64 = 2 << 30;

    /// A reader that remembers [`Self::CACHE_BYTES`] of bases.
    pub fn new(packs: Arc<PackSet>) -> Self {
        Self::with_cache_bytes(packs, Self::CACHE_BYTES)
    }

    /// A reader that remembers this many bytes of bases.
    pub fn with_cache_bytes(packs: Arc<PackSet>, bytes: usize) -> Self {
        Self {
            bases: Cache::new(bytes, packs.memory().loan()),
            hand: packs.memory().loan(),
            packs,
            inflater: Inflater::default(),
            delta: Vec::new(),
            chain: Vec::new(),
        }
    }

    /// The packs it reads from.
    pub fn packs(&self) -> &Arc<PackSet> {
        &self.packs
    }

    /// Replaces `buffer` by the object's bytes; `None` if there is no such object.
    ///
    /// # Errors
    /// When the pack is damaged or the object too large.
    pub fn find<'a>(
        &mut self,
        id: &oid,
        buffer: &'a mut Vec<u8>,
    ) -> Result<Option<Data<'a>>, ReadError> {
        let Some(location) = self.packs.locate(id) else {
            return Ok(None);
        };
        let kind = self.read(location, buffer)?;
        Ok(Some(Data::new(buffer, kind, id.kind())))
    }

    /// As [`Self::find`], for an object that something refers to.
    ///
    /// # Errors
    /// As [`Self::find`], and when there is no such object.
    pub fn require<'a>(
        &mut self,
        id: &oid,
        buffer: &'a mut Vec<u8>,
    ) -> Result<Data<'a>, ReadError> {
        self.find(id, buffer)?
            .ok_or_else(|| ReadError::Missing(id.to_owned()))
    }

    /// What kind of object it is, told by the heads of its entries alone.
    ///
    /// # Errors
    /// When the pack is damaged.
    pub fn kind(&mut self, id: &oid) -> Result<Option<Kind>, ReadError> {
        self.packs
            .locate(id)
            .map(|location| self.kind_at(location))
            .transpose()
    }

    /// As [`Self::kind`], for a known place.
    ///
    /// # Errors
    /// When the pack is damaged.
    pub fn kind_at(&mut self, location: Location) -> Result<Kind, ReadError> {
        self.packs.pack(location.pack).kind(location.offset)
    }

    /// Bytes of the object, told without inflating more than the first few of them.
    ///
    /// # Errors
    /// When the pack is damaged.
    pub fn size(&mut self, id: &oid) -> Result<Option<u64>, ReadError> {
        self.packs
            .locate(id)
            .map(|location| self.size_at(location))
            .transpose()
    }

    /// As [`Self::size`], for a known place.
    ///
    /// # Errors
    /// When the pack is damaged.
    pub fn size_at(&mut self, location: Location) -> Result<u64, ReadError> {
        let pack = self.packs.pack(location.pack);
        let entry = pack.entry(location.offset)?;
        if let Stored::Whole(_) = entry.stored {
            return Ok(entry.size);
        }
        /// Two sizes of at most ten bytes each lead every delta.
        const SIZES_MAX: usize = 20;
        let mut head = [0; SIZES_MAX];
        let written = self
            .inflater
            .prefix(pack, location.offset, &entry, &mut head)?;
        match delta::instructions(&head[..written]) {
            Some((_, size, _)) => Ok(size as u64),
            None => Err(pack.damaged(location.offset, "delta has no valid head")),
        }
    }

    /// Replaces `buffer` by the bytes of the object at a known place.
    ///
    /// # Errors
    /// When the pack is damaged or the object too large.
    pub fn read(&mut self, location: Location, buffer: &mut Vec<u8>) -> Result<Kind, ReadError> {
        let kind = self.kind_at(location)?;
        let packs = Arc::clone(&self.packs);
        let pack = packs.pack(location.pack);
        let mut offset = location.offset;
        self.chain.clear();
        let mut base = loop {
            if let Some(base) = self.bases.get(location.pack, offset) {
                break Arc::clone(base);
            }
            let entry = pack.entry(offset)?;
            let Some(next) = pack.base_offset(offset, &entry)? else {
                if self.chain.is_empty() {
                    self.inflater.whole(pack, offset, &entry, buffer)?;
                    return Ok(kind);
                }
                if entry.size > self.held_max(entry.size) {
                    return self.read_large(location, kind, buffer);
                }
                let mut bytes = Vec::new();
                self.inflater.whole(pack, offset, &entry, &mut bytes)?;
                break self.remember(location.pack, offset, bytes);
            };
            if entry.size > self.held_max(entry.size) {
                return self.read_large(location, kind, buffer);
            }
            self.chain.push((offset, entry));
            offset = next;
        };
        while let Some((offset, entry)) = self.chain.pop() {
            self.inflater.whole(pack, offset, &entry, &mut self.delta)?;
            let (_, size, _) = delta::instructions(&self.delta)
                .ok_or_else(|| pack.damaged(offset, "delta has no valid head"))?;
            Self::bound(size as u64)?;
            let last = self.chain.is_empty();
            if !last && size as u64 > self.held_max(size as u64) {
                return self.read_large(location, kind, buffer);
            }
            let mut bytes = if last {
                std::mem::take(buffer)
            } else {
                Vec::new()
            };
            bytes.clear();
            delta::apply(&base, &self.delta, &mut bytes)
                .ok_or_else(|| pack.damaged(offset, BROKEN_DELTA))?;
            if last {
                *buffer = bytes;
                return Ok(kind);
            }
            base = self.remember(location.pack, offset, bytes);
        }
        buffer.clear();
        buffer.extend_from_slice(&base);
        Ok(kind)
    }

    /// As [`Self::read`], for an object that is made from something large.
    fn read_large(
        &mut self,
        location: Location,
        kind: Kind,
        buffer: &mut Vec<u8>,
    ) -> Result<Kind, ReadError> {
        let held_max = self.held_max(HELD_BYTES);
        let content = self.content(location, held_max)?;
        buffer.clear();
        pour_content(&content, &mut |piece| {
            buffer.extend_from_slice(piece);
            Ok::<_, ReadError>(())
        })?;
        Ok(kind)
    }

    /// The bytes of an object: in memory up to `held_max`, else in a file. Nothing is remembered of what
    /// it is made from.
    ///
    /// # Errors
    /// When the pack is damaged, a delta makes too large an object, or a file can't be written.
    pub(crate) fn content(
        &mut self,
        location: Location,
        held_max: u64,
    ) -> Result<Content, ReadError> {
        let packs = Arc::clone(&self.packs);
        let pack = packs.pack(location.pack);
        let (mut chain, mut offset) = (Vec::new(), location.offset);
        let mut content = loop {
            let entry = pack.entry(offset)?;
            let Some(base) = pack.base_offset(offset, &entry)? else {
                break self.inflated(pack, offset, &entry, held_max)?;
            };
            if chain.len() == DELTA_CHAIN_MAX {
                return Err(pack.damaged(location.offset, "chain of deltas is too long"));
            }
            chain.push((offset, entry));
            offset = base;
        };
        let mut spare = Vec::new();
        while let Some((offset, entry)) = chain.pop() {
            let held = self.held_max(entry.size);
            let delta = self.inflated(pack, offset, &entry, held)?;
            let broken = || pack.damaged(offset, BROKEN_DELTA);
            let size = content::result_size(&content, &delta).map_err(in_files)?;
            Self::bound(size.ok_or_else(broken)?)?;
            let scratch = packs.scratch();
            let buffer = std::mem::take(&mut spare);
            let built = content::build(&content, &delta, held_max, buffer, scratch, &mut |_| ());
            let built = built.map_err(in_files)?.ok_or_else(broken)?;
            if let Content::Held(buffer) = std::mem::replace(&mut content, built) {
                spare = buffer;
            }
        }
        Ok(content)
    }

    /// What the entry holds as it is, an object or a delta.
    fn inflated(
        &mut self,
        pack: &Pack,
        offset: u64,
        entry: &Entry,
        held_max: u64,
    ) -> Result<Content, ReadError> {
        if entry.size <= held_max {
            let mut bytes = Vec::new();
            self.inflater.whole(pack, offset, entry, &mut bytes)?;
            return Ok(Content::Held(bytes));
        }
        let scratch = self.packs.scratch();
        let mut sink = Sink::new(false, Vec::new(), scratch).map_err(in_files)?;
        Inflater::pieces(pack, offset, entry, &mut |piece| {
            sink.write(piece, scratch).map_err(in_files)
        })?;
        sink.finish().map_err(in_files)
    }

    /// Hands on the bytes of an object, in pieces if they are many, so that a large one is never held.
    /// `buffer` is room for a small one.
    ///
    /// # Errors
    /// As [`Self::content`], and what `take` fails with.
    pub(crate) fn pour<E: From<ReadError>>(
        &mut self,
        location: Location,
        buffer: &mut Vec<u8>,
        take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let size = self.size_at(location)?;
        let held_max = self.held_max(size);
        if size <= held_max {
            self.read(location, buffer)?;
            return take(buffer);
        }
        let packs = Arc::clone(&self.packs);
        let pack = packs.pack(location.pack);
        let entry = pack.entry(location.offset)?;
        if let Stored::Whole(_) = entry.stored {
            return Inflater::pieces(pack, location.offset, &entry, take);
        }
        let content = self.content(location, held_max)?;
        pour_content(&content, take)
    }

    /// How many bytes of an object of `size`, or of what it is made from, may be held at a time, here and
    /// once more by the caller in another form.
    pub(crate) fn held_max(&mut self, size: u64) -> u64 {
        /// A base, a delta, what they make, and what the caller makes of it.
        const AT_HAND_BYTES: usize = 4 << 23;
        if size <= SMALL_BYTES || self.hand.covers(AT_HAND_BYTES) {
            HELD_BYTES
        } else {
            SMALL_BYTES
        }
    }

    /// Refuses to make an object of more bytes than allowed.
    fn bound(size: u64) -> Result<(), ReadError> {
        let max = Self::OBJECT_BYTES_MAX;
        match size > max {
            true => Err(ReadError::TooLarge { size, max }),
            false => Ok(()),
        }
    }

    fn remember(&mut self, pack: u32, offset: u64, bytes: Vec<u8>) -> Arc<Vec<u8>> {
        let bytes = Arc::new(bytes);
        let length = bytes.len();
        self.bases.insert(pack, offset, Arc::clone(&bytes), length);
        bytes
    }
}

/// Hands a content on piece by piece.
fn pour_content<E: From<ReadError>>(
    content: &Content,
    take: &mut dyn FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = content.reader().map_err(in_files)?;
    loop {
        let piece = reader.fill_buf().map_err(in_files)?;
        let length = piece.len();
        if length == 0 {
            return Ok(());
        }
        take(piece)?;
        reader.consume(length);
    }
}

fn in_files(error: io::Error) -> ReadError {
    ReadError::Scratch(error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::fixture::Stock;

    fn check_all(stock: &Stock, cache_bytes: usize) {
        let (_folder, repository) = stock.opened();
        let mut reader = ObjectReader::with_cache_bytes(repository.packs(), cache_bytes);
        let mut buffer = Vec::new();
        let ids = stock.all_ids();
        assert!(ids.len() > 100);
        for id in ids {
            let kind = stock.git(["cat-file", "-t", &id.to_string()]);
            let bytes = stock.git_with_input(["cat-file", &kind, &id.to_string()], b"");
            assert_eq!(reader.kind(&id).unwrap().unwrap().to_string(), kind);
            assert_eq!(reader.size(&id), Ok(Some(bytes.len() as u64)));
            let data = reader.find(&id, &mut buffer).unwrap().unwrap();
            assert_eq!(
                (data.kind.to_string(), data.data),
                (kind, &bytes[..]),
                "{id}"
            );
        }
        let nowhere = ObjectId::null(stock.format().kind());
        assert_eq!(reader.find(&nowhere, &mut buffer), Ok(None));
        assert_eq!(
            reader.require(&nowhere, &mut buffer),
            Err(ReadError::Missing(nowhere))
        );
    }

    #[test]
    fn every_object_reads_as_git_reads_it_with_and_without_a_cache() {
        for stock in Stock::each() {
            let stock = stock.with_history(40);
            check_all(&stock, ObjectReader::CACHE_BYTES);
            check_all(&stock, 0);
        }
    }

    #[test]
    fn objects_read_alike_where_nothing_is_lent() {
        let stock = Stock::new(crate::model::ObjectFormat::Sha1);
        let mut state = 1u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        let first: Vec<u8> = (0..3 << 20).map(|_| noise()).collect();
        let second = [&first[..2 << 20], b"more", &first[1 << 20..]].concat();
        let contents = [first, second];
        let mut listed = Vec::new();
        for content in &contents {
            let id = stock.git_with_input(["hash-object", "-w", "--stdin"], content);
            listed.push(id.trim_ascii_end().to_vec());
        }
        let lines = listed.join(&b'\n');
        stock.git_with_input(["pack-objects", "-q", "objects/pack/pack"], &lines);
        let (_folder, repository) = stock.opened();
        let packs = PackSet::clone(&repository.packs()).sharing(crate::git::Memory::new(0));
        let packs = Arc::new(packs);
        let mut deltas = 0;
        let mut reader = ObjectReader::new(Arc::clone(&packs));
        for (id, content) in listed.iter().zip(&contents) {
            let id = ObjectId::from_hex(id).unwrap();
            let location = packs.locate(&id).unwrap();
            let entry = packs.pack(location.pack).entry(location.offset).unwrap();
            deltas += usize::from(!matches!(entry.stored, Stored::Whole(_)));
            let (mut buffer, mut poured) = (Vec::new(), Vec::new());
            reader.read(location, &mut buffer).unwrap();
            assert!(buffer == *content);
            let mut take = |piece: &[u8]| {
                assert!(piece.len() as u64 <= SMALL_BYTES);
                poured.extend_from_slice(piece);
                Ok::<_, ReadError>(())
            };
            reader.pour(location, &mut buffer, &mut take).unwrap();
            assert!(poured == *content);
        }
        assert_eq!(deltas, 1);
    }

    #[test]
    fn reference_deltas_read_like_offset_deltas() {
        let stock = Stock::new(crate::model::ObjectFormat::Sha1).with_history(40);
        stock.git(["config", "repack.useDeltaBaseOffset", "false"]);
        stock.git(["repack", "-q", "-a", "-d"]);
        check_all(&stock, ObjectReader::CACHE_BYTES);
    }
}
