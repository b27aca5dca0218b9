//! A pack that is not published: its entries, its bytes, and reading objects out of both.
//!
//! Invariant: entries are sorted by offset and lie without gaps between header and trailer.
//! Not here: names that are not in the pack (`reader`).

use super::{
    ReceiveError,
    entry::{Base, Entry, EntryHeader},
    inflate::Inflater,
    spool::Spool,
};
use crate::git::packs::delta;

pub(super) const BROKEN: &str = "its delta does not fit its base";

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
    base: Vec<u8>,
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self {
            inflater: Inflater::new(),
            compressed: Vec::new(),
            delta: Vec::new(),
            base: Vec::new(),
        }
    }

    /// Replaces `out` by what the entry holds: an object or a delta.
    pub(super) fn entry(
        &mut self,
        pack: &UnpublishedPack,
        number: u32,
        out: &mut Vec<u8>,
    ) -> Result<(), ReceiveError> {
        let offset = pack.entry(number).offset;
        let bytes = pack
            .spool
            .read(offset..pack.end_of(number), &mut self.compressed)
            .map_err(ReceiveError::Storage)?;
        let fault = |reason| ReceiveError::Entry { offset, reason };
        let header = EntryHeader::parse(bytes, pack.format)
            .map_err(fault)?
            .ok_or_else(|| fault("its header is cut off"))?;
        self.inflater
            .again(&bytes[header.length..], header.size, out)
            .map_err(fault)
    }

    /// Replaces `out` by the object, built from the whole one it is finally based on. `charge` is
    /// told of all bytes that takes.
    pub(super) fn object(
        &mut self,
        pack: &UnpublishedPack,
        number: u32,
        out: &mut Vec<u8>,
        charge: &mut dyn FnMut(u64) -> Result<(), ReceiveError>,
    ) -> Result<(), ReceiveError> {
        let mut chain = Vec::new();
        let mut at = number;
        while pack.entry(at).base != Base::NONE {
            let base = pack.entry(at).base.number();
            let offset = pack.entry(at).offset;
            let reason = "its base is missing";
            chain.push(at);
            at = base.ok_or(ReceiveError::Entry { offset, reason })?;
        }
        self.entry(pack, at, out)?;
        charge(out.len() as u64)?;
        let mut delta = std::mem::take(&mut self.delta);
        while let Some(next) = chain.pop() {
            self.entry(pack, next, &mut delta)?;
            std::mem::swap(&mut self.base, out);
            out.clear();
            delta::apply(&self.base, &delta, out).ok_or(ReceiveError::Entry {
                offset: pack.entry(next).offset,
                reason: BROKEN,
            })?;
            charge((delta.len() + out.len()) as u64)?;
        }
        self.delta = delta;
        Ok(())
    }
}
