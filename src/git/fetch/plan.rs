//! Turns a set of objects into the bytes of a pack.
//!
//! Source: gitformat-pack(5).
//! Bounds: [`CHUNK_BYTES`] of output are held back; an object that must be deflated anew is in
//! memory whole; 16 bytes for each object of the pack being copied and for each place where the
//! distance between entries changes.
//! Invariant: the head's count is exact. A delta is sent as a delta only if its base is in the pack,
//! or, in a thin pack, if the client has the base. Bases lie in the delta's own pack or in one before
//! it (see `packs`), so no ring of deltas can arise.
//! Not here: which objects (`enumerate`), how the transport frames the bytes.

use std::sync::Arc;

use aws_lc_rs::digest;
use gix_object::Kind;

use super::{Progress, enumerate::ObjectSet};
use crate::{
    git::packs::{Entry, ObjectReader, Pack, PackSet, ReadError, Stored},
    model::ObjectFormat,
};

/// Output is handed on in slices of about this many bytes, never more.
const CHUNK_BYTES: usize = 64 << 10;

/// Entries that lie together are copied through the buffer when they are shorter than this.
const SHORT_RUN_BYTES: u64 = 8 << 10;

/// Progress is told each time this many objects were written.
const PROGRESS_STEP: u64 = 4096;

/// git's own default is 6; this costs a third of the time and a few percent of size, for the few
/// objects whose stored delta can't be used.
const DEFLATE_LEVEL: i32 = 3;

/// The receiver of a pack wants no more of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the receiver of the pack is gone")]
pub struct Stopped;

/// Why a pack is not written to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// An object can't be read.
    #[error("cannot read an object of the pack")]
    Read(#[from] ReadError),
    /// The sink refused bytes.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// How the client takes packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Encoding {
    /// Deltas may stand against objects outside of the pack.
    pub(super) thin: bool,
    /// Deltas may name their base by distance.
    pub(super) offset_deltas: bool,
}

/// A pack ready to be written: what is in it is decided, no byte exists yet.
#[derive(Debug)]
pub struct PackPlan {
    objects: ObjectSet,
    encoding: Encoding,
    count: u32,
}

impl PackPlan {
    pub(super) fn new(objects: ObjectSet, encoding: Encoding) -> Self {
        let count = u32::try_from(objects.selected.len()).expect("object numbers have 32 bits");
        Self {
            objects,
            encoding,
            count,
        }
    }

    /// How many objects the pack will hold.
    pub fn object_count(&self) -> u32 {
        self.count
    }

    /// Bytes of memory it takes, the packs not counted.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.objects.selected.memory_bytes()
            + self.objects.client.memory_bytes()
    }

    /// Ids of the objects the pack will hold, in no useful order.
    pub fn object_ids(&self) -> impl Iterator<Item = crate::model::ObjectId> + '_ {
        let all = 0..u32::try_from(self.objects.packs.object_count()).unwrap_or(u32::MAX);
        all.filter(|number| self.objects.selected.contains(*number))
            .map(|number| self.objects.packs.id_of(number).to_owned())
    }

    /// Writes the pack into `sink`, in slices of at most 64 KiB, and tells how far it is.
    ///
    /// # Errors
    /// When an object can't be read or the sink wants no more; what was written is no whole pack.
    pub fn write_to(
        &self,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), WriteError> {
        let mut writer = Writer::new(self, sink, progress);
        writer.output.put(b"PACK\0\0\0\x02")?;
        writer.output.put(&self.count.to_be_bytes())?;
        for at in 0..self.objects.packs.packs().len() {
            writer.pack(u32::try_from(at).expect("PACKS_MAX fits"))?;
        }
        debug_assert_eq!(writer.written, u64::from(self.count));
        (writer.progress)(Progress::Writing(writer.written));
        writer.output.finish()?;
        Ok(())
    }
}

/// Counts, hashes and cuts what is written.
struct Output<'a> {
    sink: &'a mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
    digest: digest::Context,
    buffer: Vec<u8>,
    /// Bytes put so far, those in the buffer included.
    length: u64,
}

impl Output<'_> {
    fn put(&mut self, mut bytes: &[u8]) -> Result<(), Stopped> {
        self.length += bytes.len() as u64;
        if bytes.len() as u64 >= SHORT_RUN_BYTES {
            self.flush()?;
            while !bytes.is_empty() {
                let (chunk, rest) = bytes.split_at(bytes.len().min(CHUNK_BYTES));
                self.digest.update(chunk);
                (self.sink)(chunk)?;
                bytes = rest;
            }
            return Ok(());
        }
        if self.buffer.len() + bytes.len() > CHUNK_BYTES {
            self.flush()?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Stopped> {
        if !self.buffer.is_empty() {
            self.digest.update(&self.buffer);
            (self.sink)(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Ends with the hash of everything before it.
    fn finish(mut self) -> Result<(), Stopped> {
        self.flush()?;
        (self.sink)(self.digest.finish().as_ref())
    }
}

struct Writer<'a> {
    plan: &'a PackPlan,
    packs: Arc<PackSet>,
    output: Output<'a>,
    progress: &'a mut dyn FnMut(Progress),
    written: u64,
    /// For each pack done or under way: from this offset on, entries lie this much further in the
    /// output than in the pack (wrapping).
    moved: Vec<Vec<(u64, u64)>>,
    reader: Option<ObjectReader>,
    compress: gix_zlib::stream::deflate::Compress,
    object: Vec<u8>,
    deflated: Vec<u8>,
    head: Vec<u8>,
}

/// Bytes of one pack that go out as they lie, not written yet.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: u64,
    end: u64,
}

/// What becomes of an entry.
enum Sent {
    /// All bytes as they lie.
    AsItLies,
    /// The deflated data as it lies, behind the head in `Writer::head`.
    NewHead,
    /// Inflated and deflated again.
    Whole,
}

impl<'a> Writer<'a> {
    fn new(
        plan: &'a PackPlan,
        sink: &'a mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Self {
        let packs = Arc::clone(&plan.objects.packs);
        let algorithm = match packs.format() {
            ObjectFormat::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            ObjectFormat::Sha256 => &digest::SHA256,
        };
        let level = gix_zlib::Compression::new(DEFLATE_LEVEL).unwrap_or_default();
        Self {
            plan,
            moved: vec![Vec::new(); packs.packs().len()],
            packs,
            output: Output {
                sink,
                digest: digest::Context::new(algorithm),
                buffer: Vec::with_capacity(CHUNK_BYTES),
                length: 0,
            },
            progress,
            written: 0,
            reader: None,
            compress: gix_zlib::stream::deflate::Compress::new(level),
            object: Vec::new(),
            deflated: Vec::new(),
            head: Vec::new(),
        }
    }

    /// Writes what is selected of one pack, in the order in which it lies there.
    fn pack(&mut self, at: u32) -> Result<(), WriteError> {
        let packs = Arc::clone(&self.packs);
        let pack = packs.pack(at);
        let first = packs.first_number(at);
        let end = first + pack.object_count();
        let selected = &self.plan.objects.selected;
        let mut entries: Vec<_> = selected
            .range(first, end)
            .map(|number| {
                let position = number - first;
                (pack.offset_at(position), position)
            })
            .collect();
        if entries.is_empty() {
            return Ok(());
        }
        if self.plan.encoding.offset_deltas && entries.len() == pack.object_count() as usize {
            return self.whole_pack(at, pack);
        }
        let offsets = pack.offsets();
        let mut run: Option<Run> = None;
        entries.sort_unstable();
        let mut rank = 0;
        for (offset, position) in entries {
            // Neighbours are common: look at the next entry first.
            rank += 1;
            if offsets.get(rank) != Some(&offset) {
                let found = offsets.binary_search(&offset);
                rank = found.map_err(|_| pack.damaged(offset, "entry is not in the index"))?;
            }
            let entry_end = offsets.get(rank + 1).copied().unwrap_or(pack.end());
            let entry = pack.entry(offset)?;
            let pending = run.map_or(0, |run| run.end - run.start);
            let shift = (self.output.length + pending).wrapping_sub(offset);
            let moves = &mut self.moved[at as usize];
            if moves.last().is_none_or(|(_, last)| *last != shift) {
                moves.push((offset, shift));
            }
            match self.sent(at, pack, offset, &entry, shift)? {
                Sent::AsItLies => match &mut run {
                    Some(run) if run.end == offset => run.end = entry_end,
                    _ => {
                        self.put_run(pack, run.take())?;
                        run = Some(Run {
                            start: offset,
                            end: entry_end,
                        });
                    }
                },
                Sent::NewHead => {
                    self.put_run(pack, run.take())?;
                    self.output.put(&self.head)?;
                    self.put_run(
                        pack,
                        Some(Run {
                            start: entry.data_offset,
                            end: entry_end,
                        }),
                    )?;
                }
                Sent::Whole => {
                    self.put_run(pack, run.take())?;
                    self.put_whole(at, position, offset)?;
                }
            }
            self.count(1);
        }
        self.put_run(pack, run)?;
        Ok(())
    }

    /// All of a pack: every base is in it, at the distance that its deltas tell.
    fn whole_pack(&mut self, at: u32, pack: &Pack) -> Result<(), WriteError> {
        /// Bytes between two reports of progress.
        const STRIDE: u64 = 8 << 20;
        let (mut start, end) = (super::PACK_HEAD_BYTES, pack.end());
        let shift = self.output.length.wrapping_sub(start);
        self.moved[at as usize].push((start, shift));
        let (all, before) = (u64::from(pack.object_count()), self.written);
        while start < end {
            let stop = end.min(start + STRIDE);
            self.output.put(pack.bytes(start..stop)?)?;
            let share = all * (stop - super::PACK_HEAD_BYTES) / (end - super::PACK_HEAD_BYTES);
            (self.progress)(Progress::Writing(before + share));
            start = stop;
        }
        self.written = before + all;
        Ok(())
    }

    /// Decides how an entry goes out that will begin `shift` further on than it lies.
    fn sent(
        &mut self,
        at: u32,
        pack: &Pack,
        offset: u64,
        entry: &Entry,
        shift: u64,
    ) -> Result<Sent, ReadError> {
        let Some(base_offset) = pack.base_offset(offset, entry)? else {
            return Ok(Sent::AsItLies);
        };
        // The common case first: the base lies in this pack and is sent from it.
        let base_at = pack.offsets().binary_search(&base_offset);
        let Ok(base_rank) = base_at else {
            return Err(pack.damaged(offset, "base is no entry of the pack"));
        };
        let position = pack.positions()[base_rank];
        let mut number = self.packs.first_number(at) + position;
        let selected = &self.plan.objects.selected;
        if !selected.contains(number) && at > 0 {
            // The same object may be sent from a pack before this one.
            number = self.packs.number(pack.id_at(position)).unwrap_or(number);
        }
        let new_offset = offset.wrapping_add(shift);
        if selected.contains(number) {
            if let Some(new_base) = self.new_offset(number, new_offset)
                && self.plan.encoding.offset_deltas
            {
                if entry.stored == Stored::OffsetDelta(base_offset)
                    && new_offset - new_base == offset - base_offset
                {
                    return Ok(Sent::AsItLies);
                }
                self.set_head(OFFSET_DELTA, entry.size);
                put_distance(&mut self.head, new_offset - new_base);
                return Ok(Sent::NewHead);
            }
        } else if !(self.plan.encoding.thin && self.plan.objects.client.contains(number)) {
            return Ok(Sent::Whole);
        }
        if let Stored::ReferenceDelta(_) = entry.stored {
            return Ok(Sent::AsItLies);
        }
        self.set_head(REFERENCE_DELTA, entry.size);
        self.head.extend_from_slice(pack.id_at(position).as_bytes());
        Ok(Sent::NewHead)
    }

    /// Where a selected object went, if it is written already.
    fn new_offset(&self, number: u32, written_end: u64) -> Option<u64> {
        let location = self.packs.location_of(number);
        let moves = &self.moved[location.pack as usize];
        let after = moves.partition_point(|(offset, _)| *offset <= location.offset);
        let (_, shift) = moves.get(after.checked_sub(1)?)?;
        let new_offset = location.offset.wrapping_add(*shift);
        (new_offset < written_end).then_some(new_offset)
    }

    fn set_head(&mut self, kind: u8, size: u64) {
        self.head.clear();
        put_head(&mut self.head, kind, size);
    }

    fn put_run(&mut self, pack: &Pack, run: Option<Run>) -> Result<(), WriteError> {
        if let Some(run) = run {
            self.output.put(pack.bytes(run.start..run.end)?)?;
        }
        Ok(())
    }

    fn put_whole(&mut self, at: u32, position: u32, offset: u64) -> Result<(), WriteError> {
        let packs = &self.packs;
        let reader = self
            .reader
            .get_or_insert_with(|| ObjectReader::new(Arc::clone(packs)));
        let location = crate::git::Location {
            pack: at,
            position,
            offset,
        };
        let kind = match reader.read(location, &mut self.object)? {
            Kind::Commit => 1,
            Kind::Tree => 2,
            Kind::Blob => 3,
            Kind::Tag => 4,
        };
        self.set_head(kind, self.object.len() as u64);
        self.deflate()
            .ok_or_else(|| packs_damaged(&self.packs, location))?;
        self.output.put(&self.head)?;
        self.output.put(&self.deflated)?;
        Ok(())
    }

    /// Deflates `object` into `deflated`.
    fn deflate(&mut self) -> Option<()> {
        use gix_zlib::{Status, stream::deflate::FlushCompress};
        // Incompressible input grows by 5 bytes for every 16 KiB at most, besides head and trailer.
        let length = self.object.len();
        self.deflated.resize(length + length / 1024 + 64, 0);
        self.compress.reset();
        let status = self
            .compress
            .compress(&self.object, &mut self.deflated, FlushCompress::Finish)
            .ok()?;
        let written = usize::try_from(self.compress.total_out()).ok()?;
        self.deflated.truncate(written);
        (status == Status::StreamEnd).then_some(())
    }

    fn count(&mut self, objects: u64) {
        self.written += objects;
        if self.written.is_multiple_of(PROGRESS_STEP) {
            (self.progress)(Progress::Writing(self.written));
        }
    }
}

fn packs_damaged(packs: &PackSet, location: crate::git::Location) -> ReadError {
    packs
        .pack(location.pack)
        .damaged(location.offset, "object does not deflate")
}

const OFFSET_DELTA: u8 = 6;
const REFERENCE_DELTA: u8 = 7;

/// Kind and size: four bits of size, then seven a byte.
fn put_head(head: &mut Vec<u8>, kind: u8, size: u64) {
    let low = |value: u64, mask: u64| u8::try_from(value & mask).expect("mask has 8 bits at most");
    let mut byte = kind << 4 | low(size, 0x0f);
    let mut rest = size >> 4;
    while rest > 0 {
        head.push(byte | 0x80);
        byte = low(rest, 0x7f);
        rest >>= 7;
    }
    head.push(byte);
}

/// A distance: big-endian, seven bits a byte, each byte but the last counting one more.
fn put_distance(head: &mut Vec<u8>, distance: u64) {
    let low = |value: u64| u8::try_from(value & 0x7f).expect("mask has 7 bits");
    let mut bytes = [0; 10];
    let mut at = bytes.len() - 1;
    bytes[at] = low(distance);
    let mut rest = distance >> 7;
    while rest > 0 {
        rest -= 1;
        at -= 1;
        bytes[at] = 0x80 | low(rest);
        rest >>= 7;
    }
    head.extend_from_slice(&bytes[at..]);
}
