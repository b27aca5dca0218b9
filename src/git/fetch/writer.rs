//! Turns a set of objects into the bytes of a pack.
//!
//! Source: gitformat-pack(5).
//! Bounds: an object that must be deflated anew is in memory up to what its reader may hold, else it is
//! built in a file and deflated from there; 16 bytes for each object of the pack being copied and for each place
//! where the distance between entries changes.
//! Invariant: the head's count is exact. A delta is sent as a delta only if its base is in the pack,
//! or, in a thin pack, if the client has the base. Objects for which deltas are searched go first and
//! stand on each other in that order; deltas that are sent as they are stored stand on those or on
//! what lies in their own pack or in one before it (see `packs`). So no ring of deltas can arise.
//! Not here: which objects (`enumerate`), how bytes leave (`output`), the search (`delta`).

use std::{collections::HashMap, hash::BuildHasherDefault, sync::Arc};

use gix_object::Kind;
use gix_zlib::Compression;

use super::{
    Progress,
    delta::{Base, Candidates, Found, Search},
    enumerate::ObjectSet,
    output::{OFFSET_DELTA, Output, REFERENCE_DELTA, Written, put_distance, put_head},
    plan::{Encoding, Stopped, WriteError},
};
use crate::git::{
    Location,
    bits::Bits,
    deflate::Deflater,
    packs::{Entry, KeyHasher, ObjectReader, Pack, PackSet, ReadError, Stored},
};

/// Progress is told each time this many objects were written.
const PROGRESS_STEP: u64 = 4096;

/// git's own default is 6. On clones of depth 1, where most objects are deflated anew, this takes five
/// sixths of the time of 3 for a sixteenth more bytes; 1 takes two thirds for a third more.
const DEFLATE_LEVEL: i32 = 2;

pub(super) struct Writer<'a> {
    objects: &'a ObjectSet,
    encoding: Encoding,
    packs: Arc<PackSet>,
    output: Output<'a>,
    progress: &'a mut dyn FnMut(Progress),
    written: u64,
    /// For each pack done or under way: from this offset on, entries lie this much further in the
    /// output than in the pack (wrapping).
    moved: Vec<Vec<(u64, u64)>>,
    /// Objects written ahead of the others, for which deltas were searched.
    ahead: Bits,
    /// Where these went.
    offsets_ahead: HashMap<u32, u64, BuildHasherDefault<KeyHasher>>,
    reader: Option<ObjectReader>,
    /// Made when first needed: it takes hundreds of kilobytes, and most clones need none.
    deflater: Option<Deflater>,
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
    pub(super) fn new(
        objects: &'a ObjectSet,
        encoding: Encoding,
        past: Option<Written>,
        sink: &'a mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Self {
        let packs = Arc::clone(&objects.packs);
        Self {
            objects,
            encoding,
            ahead: Bits::new(0),
            offsets_ahead: HashMap::default(),
            moved: vec![Vec::new(); packs.packs().len()],
            output: Output::new(packs.format(), past, sink),
            packs,
            progress,
            written: 0,
            reader: None,
            deflater: None,
            object: Vec::new(),
            deflated: Vec::new(),
            head: Vec::new(),
        }
    }

    /// Writes all of a pack of `count` objects.
    pub(super) fn run(mut self, count: u32) -> Result<Written, WriteError> {
        self.output.put(b"PACK\0\0\0\x02")?;
        self.output.put(&count.to_be_bytes())?;
        self.searched()?;
        for at in 0..self.packs.packs().len() {
            self.pack(u32::try_from(at).expect("PACKS_MAX fits"))?;
        }
        debug_assert_eq!(self.written, u64::from(count));
        (self.progress)(Progress::Writing(self.written));
        Ok(self.output.finish()?)
    }

    /// Writes the objects for which it is worth to look for a delta.
    fn searched(&mut self) -> Result<(), WriteError> {
        let packs = Arc::clone(&self.packs);
        let mut reader = ObjectReader::new(Arc::clone(&packs));
        let is_reused = |at: u32, pack: &Pack, base_offset: u64| {
            let number = base_number(&packs, &self.objects.selected, at, pack, base_offset);
            let number = number.ok_or_else(|| pack.damaged(base_offset, NO_ENTRY))?;
            let at_client = self.encoding.thin && self.objects.client.contains(number);
            Ok(at_client || self.objects.selected.contains(number))
        };
        let candidates =
            Candidates::among(self.objects, &mut reader, self.encoding.thin, is_reused)?;
        if candidates.is_empty() {
            return Ok(());
        }
        self.ahead = Bits::new(packs.object_count());
        let mut search = Search::new(
            Arc::clone(&packs),
            candidates,
            self.encoding.search_bytes_max,
        );
        while let Some(found) = search.next(&mut reader)? {
            let offset = self.output.length;
            self.put_found(&found, search.delta(), &mut reader)?;
            self.ahead.insert(found.number);
            self.offsets_ahead.insert(found.number, offset);
            self.count(1);
        }
        self.reader = Some(reader);
        Ok(())
    }

    /// Writes one object as the delta that was found, or else as it lies.
    fn put_found(
        &mut self,
        found: &Found,
        delta: &[u8],
        reader: &mut ObjectReader,
    ) -> Result<(), WriteError> {
        let packs = Arc::clone(&self.packs);
        let Location {
            pack: at, offset, ..
        } = found.location;
        let pack = packs.pack(at);
        let rank = pack.offsets().partition_point(|other| *other <= offset);
        let next = pack.offsets().get(rank).copied().unwrap_or(pack.end());
        let end = pack.entry_end(offset, next);
        if let Some(base) = found.base {
            self.head.clear();
            match self.distance_to(base) {
                Some(distance) => {
                    self.set_head(OFFSET_DELTA, delta.len() as u64);
                    put_distance(&mut self.head, distance);
                }
                None => {
                    let (Base::AtClient(number) | Base::InPack(number)) = base;
                    self.set_head(REFERENCE_DELTA, delta.len() as u64);
                    self.head.extend_from_slice(packs.id_of(number).as_bytes());
                }
            }
            deflater(&mut self.deflater).whole(delta, &mut self.deflated);
            let length = (self.head.len() + self.deflated.len()) as u64;
            if found.unusable || length < end - offset {
                self.output.put(&self.head)?;
                self.output.put(&self.deflated)?;
                return Ok(());
            }
        }
        if found.unusable {
            return self.put_whole(found.location, reader);
        }
        self.put_run(pack, Some(Run { start: offset, end }))
    }

    /// How far back a base begins, if it may be told so.
    fn distance_to(&self, base: Base) -> Option<u64> {
        match base {
            Base::InPack(number) if self.encoding.offset_deltas => {
                let offset = self.offsets_ahead.get(&number)?;
                Some(self.output.length - offset)
            }
            Base::InPack(_) | Base::AtClient(_) => None,
        }
    }

    /// Writes what is selected of one pack, in the order in which it lies there.
    fn pack(&mut self, at: u32) -> Result<(), WriteError> {
        let packs = Arc::clone(&self.packs);
        let pack = packs.pack(at);
        let first = packs.first_number(at);
        let end = first + pack.object_count();
        let selected = &self.objects.selected;
        let count = selected.count(first, end);
        if count == 0 {
            return Ok(());
        }
        let whole = count == pack.object_count();
        let all_as_they_lie = whole && pack.is_dense() && self.ahead.count(first, end) == 0;
        if all_as_they_lie && self.encoding.offset_deltas {
            return self.whole_pack(at, pack);
        }
        let is_due = |position: &u32| {
            let number = first + position;
            selected.contains(number) && !self.ahead.contains(number)
        };
        let offsets = pack.offsets();
        let entries: Vec<_> = if count > pack.object_count() / 8 {
            let in_order = offsets
                .iter()
                .copied()
                .zip(pack.positions().iter().copied());
            in_order.filter(|(_, position)| is_due(position)).collect()
        } else {
            let numbers = selected.range(first, end);
            let due = numbers.map(|number| number - first).filter(is_due);
            let mut entries: Vec<_> = due
                .map(|position| (pack.offset_at(position), position))
                .collect();
            entries.sort_unstable();
            entries
        };
        let mut run: Option<Run> = None;
        let mut rank = 0;
        for (offset, position) in entries {
            // Neighbours are common: look at the next entry first.
            rank += 1;
            if offsets.get(rank) != Some(&offset) {
                let found = offsets.binary_search(&offset);
                rank = found.map_err(|_| pack.damaged(offset, "entry is not in the index"))?;
            }
            let next = offsets.get(rank + 1).copied().unwrap_or(pack.end());
            let entry_end = pack.entry_end(offset, next);
            let entry = pack.entry(offset)?;
            let pending = run.map_or(0, |run| run.end - run.start);
            let shift = (self.output.length + pending).wrapping_sub(offset);
            let moves = &mut self.moved[at as usize];
            if moves.last().is_none_or(|(_, last)| *last != shift) {
                moves.push((offset, shift));
            }
            match self.sent(at, pack, offset, &entry, shift)? {
                Sent::AsItLies => match &mut run {
                    Some(run) if run.end == offset && pack.is_dense() => run.end = entry_end,
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
                    let location = Location {
                        pack: at,
                        position,
                        offset,
                    };
                    let mut reader = match self.reader.take() {
                        Some(reader) => reader,
                        None => ObjectReader::new(Arc::clone(&packs)),
                    };
                    self.put_whole(location, &mut reader)?;
                    self.reader = Some(reader);
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
            self.put_run(pack, Some(Run { start, end: stop }))?;
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
        let selected = &self.objects.selected;
        let number = base_number(&self.packs, selected, at, pack, base_offset)
            .ok_or_else(|| pack.damaged(offset, NO_ENTRY))?;
        let new_offset = offset.wrapping_add(shift);
        if selected.contains(number) {
            if let Some(new_base) = self.new_offset(number, new_offset)
                && self.encoding.offset_deltas
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
        } else if !(self.encoding.thin && self.objects.client.contains(number)) {
            return Ok(Sent::Whole);
        }
        if let Stored::ReferenceDelta(_) = entry.stored {
            return Ok(Sent::AsItLies);
        }
        self.set_head(REFERENCE_DELTA, entry.size);
        self.head
            .extend_from_slice(self.packs.id_of(number).as_bytes());
        Ok(Sent::NewHead)
    }

    /// Where a selected object went, if it is written already.
    fn new_offset(&self, number: u32, written_end: u64) -> Option<u64> {
        if self.ahead.contains(number) {
            return self.offsets_ahead.get(&number).copied();
        }
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
        let Some(run) = run else {
            return Ok(());
        };
        let output = &mut self.output;
        pack.pass(run.start..run.end, &mut |piece| Ok(output.put(piece)?))
    }

    fn put_whole(
        &mut self,
        location: Location,
        reader: &mut ObjectReader,
    ) -> Result<(), WriteError> {
        let size = reader.size_at(location)?;
        let kind = match reader.kind_at(location)? {
            Kind::Commit => 1,
            Kind::Tree => 2,
            Kind::Blob => 3,
            Kind::Tag => 4,
        };
        self.set_head(kind, size);
        self.output.put(&self.head)?;
        let deflater = deflater(&mut self.deflater);
        let output = &mut self.output;
        let mut put = |piece: &[u8]| Ok::<_, WriteError>(output.put(piece)?);
        if size > reader.held_max(size) {
            let mut deflate = |piece: &[u8]| deflater.write(piece, &mut put);
            reader.pour(location, &mut self.object, &mut deflate)?;
            return deflater.finish(&mut put);
        }
        reader.read(location, &mut self.object)?;
        deflater.whole(&self.object, &mut self.deflated);
        put(&self.deflated)
    }

    fn count(&mut self, objects: u64) {
        self.written += objects;
        if self.written.is_multiple_of(PROGRESS_STEP) {
            (self.progress)(Progress::Writing(self.written));
        }
    }
}

const NO_ENTRY: &str = "base is no entry of the pack";

/// The object that a delta of this pack stands on: where the same object lies in several packs, the
/// one that is sent.
fn base_number(
    packs: &PackSet,
    selected: &Bits,
    at: u32,
    pack: &Pack,
    base_offset: u64,
) -> Option<u32> {
    // The common case first: the base lies in this pack and is sent from it.
    let rank = pack.offsets().binary_search(&base_offset).ok()?;
    let position = pack.positions()[rank];
    let number = packs.first_number(at) + position;
    if selected.contains(number) || at == 0 {
        return Some(number);
    }
    // The same object may be sent from a pack before this one.
    Some(packs.number(pack.id_at(position)).unwrap_or(number))
}

fn deflater(made: &mut Option<Deflater>) -> &mut Deflater {
    made.get_or_insert_with(|| Deflater::new(Compression::new(DEFLATE_LEVEL).unwrap_or_default()))
}
