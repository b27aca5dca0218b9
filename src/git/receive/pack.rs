//! A pack that is not published: its entries, its bytes, and reading objects out of both.
//!
//! Bounds: a delta is held up to [`HELD_BYTES`], its base and result up to what the caller says.
//! Invariant: entries are sorted by offset and lie without gaps between header and trailer.
//! Not here: names that are not in the pack (`reader`).

use super::{
    ReceiveError,
    entry::{Base, Entry, EntryHeader},
    inflate::Inflater,
    scan::Name,
    spool::Spool,
};
use crate::git::{
    packs::{Content, HELD_BYTES, Sink, build, result_size},
    scratch::Scratch,
};

/// How much of an entry is read in the hope that it is all of it.
const AHEAD_BYTES: u64 = 64 << 10;

const BROKEN: &str = "its delta does not fit its base";

/// A pack in memory or in the quarantine folder.
#[derive(Debug)]
pub(super) struct UnpublishedPack {
    pub(super) format: gix_hash::Kind,
    /// In the order of the pack.
    pub(super) entries: Vec<Entry>,
    pub(super) spool: Spool,
    /// Where the trailer begins.
    pub(super) end: u64,
    /// The hash of everything before it.
    pub(super) trailer: Vec<u8>,
}

impl UnpublishedPack {
    pub(super) fn entry(&self, number: u32) -> &Entry {
        &self.entries[number as usize]
    }

    /// Where the entry of this number ends.
    fn end_of(&self, number: u32) -> u64 {
        let next = self.entries.get(number as usize + 1);
        next.map_or(self.end, |next| next.offset)
    }
}

/// Reads entries and objects; owns what is costly to make and free to use again.
pub(super) struct Decoder {
    inflater: Inflater,
    compressed: Vec<u8>,
    delta: Vec<u8>,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self {
            inflater: Inflater::new(),
            compressed: Vec::new(),
            delta: Vec::new(),
        }
    }

    /// What the entry holds, an object or a delta: in memory, and then in `spare`, up to `held_max` bytes.
    fn entry(
        &mut self,
        pack: &UnpublishedPack,
        number: u32,
        held_max: u64,
        mut spare: Vec<u8>,
    ) -> Result<Content, ReceiveError> {
        let storage = ReceiveError::Storage;
        let (offset, end) = (pack.entry(number).offset, pack.end_of(number));
        let fault = |reason| ReceiveError::Entry { offset, reason };
        // Nearly every entry is read at once.
        let ahead = end.min(offset + AHEAD_BYTES);
        let bytes = pack
            .spool
            .read(offset..ahead, &mut self.compressed)
            .map_err(storage)?;
        let header = EntryHeader::parse(bytes, pack.format)
            .map_err(fault)?
            .ok_or_else(|| fault("its header is cut off"))?;
        let data = offset + header.length as u64..end;
        if header.size <= held_max {
            let bytes = match ahead == end {
                true => &bytes[header.length..],
                false => pack
                    .spool
                    .read(data, &mut self.compressed)
                    .map_err(storage)?,
            };
            self.inflater
                .again(bytes, header.size, &mut spare)
                .map_err(fault)?;
            return Ok(Content::Held(spare));
        }
        let scratch = pack.spool.scratch();
        let mut sink = Sink::new(false, spare, scratch).map_err(storage)?;
        self.inflater
            .again_in_pieces(&pack.spool, data, header.size, |piece| {
                sink.write(piece, scratch)
            })
            .map_err(|fault| fault.at(offset))?;
        sink.finish().map_err(storage)
    }

    /// Builds a delta upon `base`. `begin` is told the bytes of the delta and of the result before anything is made
    /// of them; the name it answers with takes the result's bytes.
    pub(super) fn build(
        &mut self,
        (pack, number): (&UnpublishedPack, u32),
        base: &Content,
        held_max: u64,
        spare: Vec<u8>,
        begin: &mut dyn FnMut(u64, u64) -> Result<Option<Name>, ReceiveError>,
    ) -> Result<(Content, Option<Name>), ReceiveError> {
        let buffer = std::mem::take(&mut self.delta);
        let delta = self.entry(pack, number, HELD_BYTES, buffer)?;
        let built = combine(base, &delta, held_max, spare, pack.spool.scratch(), begin)?;
        if let Content::Held(buffer) = delta {
            self.delta = buffer;
        }
        built.ok_or(ReceiveError::Entry {
            offset: pack.entry(number).offset,
            reason: BROKEN,
        })
    }

    /// The object, built from the whole one it is finally based on; in memory up to `held_max` bytes.
    /// `charge` is told of all bytes that takes.
    pub(super) fn object(
        &mut self,
        pack: &UnpublishedPack,
        number: u32,
        held_max: u64,
        charge: &mut dyn FnMut(u64) -> Result<(), ReceiveError>,
    ) -> Result<Content, ReceiveError> {
        let mut chain = Vec::new();
        let mut at = number;
        while pack.entry(at).base != Base::NONE {
            let base = pack.entry(at).base.number();
            let offset = pack.entry(at).offset;
            let reason = "its base is missing";
            chain.push(at);
            at = base.ok_or(ReceiveError::Entry { offset, reason })?;
        }
        let mut content = self.entry(pack, at, held_max, Vec::new())?;
        charge(content.length())?;
        let mut spare = Vec::new();
        while let Some(next) = chain.pop() {
            let mut begin = |delta, size| charge(delta + size).map(|()| None);
            let buffer = std::mem::take(&mut spare);
            let (built, _) = self.build((pack, next), &content, held_max, buffer, &mut begin)?;
            if let Content::Held(buffer) = std::mem::replace(&mut content, built) {
                spare = buffer;
            }
        }
        Ok(content)
    }
}

/// What `delta` makes of `base`, in memory up to `held_max` bytes, and the name that `begin` began; `None` if it does
/// not fit.
fn combine(
    base: &Content,
    delta: &Content,
    held_max: u64,
    spare: Vec<u8>,
    scratch: &Scratch,
    begin: &mut dyn FnMut(u64, u64) -> Result<Option<Name>, ReceiveError>,
) -> Result<Option<(Content, Option<Name>)>, ReceiveError> {
    let storage = ReceiveError::Storage;
    let Some(size) = result_size(base, delta).map_err(storage)? else {
        return Ok(None);
    };
    let mut name = begin(delta.length(), size)?;
    let built = build(base, delta, held_max, spare, scratch, &mut |piece| {
        if let Some(name) = &mut name {
            name.update(piece);
        }
    });
    Ok(built.map_err(storage)?.map(|content| (content, name)))
}
