//! The first pass, while the pack arrives: finds the entries, names and checks the whole objects.
//!
//! Source: gitformat-pack(5).
//! Bounds: [`Limits`]; blobs above [`HELD_BYTES`] pass in pieces.
//! Invariant: afterwards each entry is either named or a delta that waits for its base; an offset
//! base is an earlier entry, so deltas by offset form no ring.
//! Not here: deltas (`resolve`).

use gix_hash::ObjectId;
use gix_object::Kind;

use super::{
    Progress, ReceiveError,
    entry::{Base, Entry, EntryHeader, Stored},
    inflate::Inflater,
    inspector::Inspector,
    limits::{Expense, Limited, Limits},
    pack::UnpublishedPack,
    stream::PackStream,
};

/// Blobs and deltas up to this size are inflated in one go.
const HELD_BYTES: u64 = 1 << 20;
/// How many objects pass between two words of progress.
const PROGRESS_OBJECTS: u32 = 1024;

/// A pack that has arrived.
#[derive(Debug)]
pub(super) struct Scanned {
    pub(super) pack: UnpublishedPack,
    /// Entries that name their base by id, in the order of the pack.
    pub(super) by_id: Vec<(ObjectId, u32)>,
}

/// Takes the pack in, up to its trailer.
pub(super) fn scan(
    mut stream: PackStream<'_>,
    format: gix_hash::Kind,
    inspector: &mut Inspector,
    expense: &mut Expense,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Result<Scanned, ReceiveError> {
    let count = header(&mut stream)?;
    ReceiveError::bound(Limited::Objects, limits.objects.into(), count.into())?;
    inspector.expect(count);
    let mut taker = Taker {
        stream,
        inflater: Inflater::new(),
        inspector,
        expense,
        limits,
    };
    let mut entries = Vec::new();
    let mut by_id = Vec::new();
    for number in 0..count {
        let stream = &mut taker.stream;
        let offset = stream.offset();
        stream.take_crc32();
        let header = loop {
            let header = EntryHeader::parse(stream.available(), format)
                .map_err(|reason| ReceiveError::Entry { offset, reason })?;
            match header {
                Some(header) => break header,
                None => stream.fill()?,
            }
        };
        stream.consume(header.length)?;
        let mut entry = Entry {
            offset,
            size: header.size,
            id: ObjectId::null(format),
            crc32: 0,
            base: Base::NONE,
            kind: None,
        };
        ReceiveError::bound(Limited::ObjectBytes, limits.object_bytes, header.size)?;
        match header.stored {
            Stored::Whole(kind) => {
                entry.kind = Some(kind);
                entry.id = taker.whole(kind, &entry)?;
            }
            Stored::OffsetDelta(distance) => {
                let base = offset
                    .checked_sub(distance)
                    .and_then(|base| {
                        entries
                            .binary_search_by_key(&base, |entry: &Entry| entry.offset)
                            .ok()
                    })
                    .ok_or(ReceiveError::Entry {
                        offset,
                        reason: "its base is no entry of the pack",
                    })?;
                entry.base = Base::entry(u32::try_from(base).expect("as many as the header says"));
                taker.skip(&entry)?;
            }
            Stored::IdDelta(base) => {
                entry.base = Base::BY_ID;
                by_id.push((base, number));
                taker.skip(&entry)?;
            }
        }
        entry.crc32 = taker.stream.take_crc32();
        entries.push(entry);
        if number % PROGRESS_OBJECTS == 0 || number + 1 == count {
            progress(Progress::Receiving {
                objects: number + 1,
                total: count,
                bytes: taker.stream.offset(),
            });
        }
    }
    let (spool, trailer) = taker.stream.finish(format)?;
    let pack = UnpublishedPack {
        format,
        entries,
        end: spool.length() - trailer.len() as u64,
        spool,
        trailer,
    };
    Ok(Scanned { pack, by_id })
}

/// `PACK`, the version, how many objects follow.
fn header(stream: &mut PackStream<'_>) -> Result<u32, ReceiveError> {
    if &stream.take::<4>()? != b"PACK" {
        return Err(ReceiveError::Header("no pack: its signature is missing"));
    }
    if !matches!(u32::from_be_bytes(stream.take()?), 2 | 3) {
        return Err(ReceiveError::Header(
            "a pack of a version other than 2 and 3",
        ));
    }
    Ok(u32::from_be_bytes(stream.take()?))
}

/// Takes the content of entry after entry.
struct Taker<'a, 'i> {
    stream: PackStream<'i>,
    inflater: Inflater,
    inspector: &'a mut Inspector,
    expense: &'a mut Expense,
    limits: &'a Limits,
}

impl Taker<'_, '_> {
    /// Names and checks an object that is stored as it is.
    fn whole(&mut self, kind: Kind, entry: &Entry) -> Result<ObjectId, ReceiveError> {
        let Entry { offset, size, .. } = *entry;
        let limits = self.limits;
        let mut name = Name::of(entry.id.kind(), kind, size);
        if kind != Kind::Blob {
            ReceiveError::bound(Limited::ParsedBytes, limits.parsed_bytes, size)?;
        } else if size > HELD_BYTES {
            self.inflater
                .pieces(&mut self.stream, size, |piece, consumed| {
                    name.update(piece);
                    self.expense.charge(piece.len() as u64, consumed, limits)
                })
                .map_err(|fault| fault.at(offset))?;
            let id = name.finish(offset)?;
            self.inspector.large_blob(id, size)?;
            return Ok(id);
        }
        let content = self
            .inflater
            .held(&mut self.stream, size)
            .map_err(|fault| fault.at(offset))?;
        self.expense.charge(size, self.stream.offset(), limits)?;
        name.update(content);
        let id = name.finish(offset)?;
        self.inspector.object(id, kind, content, None)?;
        Ok(id)
    }

    /// Passes a delta, which is read again when its base is known.
    fn skip(&mut self, entry: &Entry) -> Result<(), ReceiveError> {
        let Entry { offset, size, .. } = *entry;
        let limits = self.limits;
        ReceiveError::bound(Limited::DeltaBytes, limits.delta_bytes, size)?;
        if size > HELD_BYTES {
            let charge =
                |piece: &[u8], consumed| self.expense.charge(piece.len() as u64, consumed, limits);
            self.inflater.pieces(&mut self.stream, size, charge)
        } else {
            self.inflater.held(&mut self.stream, size).map(drop)
        }
        .map_err(|fault| fault.at(offset))
    }
}

/// The name of an object in the making.
pub(super) struct Name(gix_hash::Hasher);

impl Name {
    pub(super) fn of(format: gix_hash::Kind, kind: Kind, size: u64) -> Self {
        let mut hasher = gix_hash::hasher(format);
        hasher.update(&gix_object::encode::loose_header(kind, size));
        Self(hasher)
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// `offset` is for the message when the bytes attack the hash function.
    pub(super) fn finish(self, offset: u64) -> Result<ObjectId, ReceiveError> {
        self.0
            .try_finalize()
            .map_err(|_| ReceiveError::HashAttack(offset))
    }
}
