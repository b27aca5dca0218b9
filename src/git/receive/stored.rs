//! Large blobs of the repository, taken out of its packs into files.
//!
//! Source: gitformat-pack(5).
//! Bounds: chains of at most [`DELTA_CHAIN_MAX`] deltas; memory as in `content`.
//! Not here: objects that are read into memory (`ObjectReader`), which is nearly all of them.

use gix_hash::oid;

use super::{
    ReceiveError,
    content::{Content, HELD_BYTES, Sink},
    inflate::{Fault, Inflater},
    inspector::unreadable,
    pack::{BROKEN, combine},
    spool::Spool,
};
use crate::git::{
    PackSet,
    packs::{DELTA_CHAIN_MAX, Entry, Pack},
};

/// The blob of this name; `None` if it is in no pack.
pub(super) fn content(
    packs: &PackSet,
    id: &oid,
    spool: &Spool,
) -> Result<Option<Content>, ReceiveError> {
    let Some(location) = packs.locate(id) else {
        return Ok(None);
    };
    let pack = packs.pack(location.pack);
    let damaged = |offset, reason| unreadable(pack.damaged(offset, reason));
    let (mut chain, mut offset) = (Vec::new(), location.offset);
    let mut inflater = Inflater::new();
    let mut content = loop {
        let entry = pack.entry(offset).map_err(unreadable)?;
        let Some(base) = pack.base_offset(offset, &entry).map_err(unreadable)? else {
            break inflated(pack, offset, &entry, &mut inflater, spool)?;
        };
        if chain.len() == DELTA_CHAIN_MAX {
            return Err(damaged(location.offset, "chain of deltas is too long"));
        }
        chain.push((offset, entry));
        offset = base;
    };
    while let Some((offset, entry)) = chain.pop() {
        let delta = inflated(pack, offset, &entry, &mut inflater, spool)?;
        let spare = Vec::new();
        let built = combine(&content, &delta, HELD_BYTES, spare, spool, &mut |_, _| {
            Ok(None)
        })?;
        (content, _) = built.ok_or_else(|| damaged(offset, BROKEN))?;
    }
    Ok(Some(content))
}

/// What the entry holds as it is.
fn inflated(
    pack: &Pack,
    offset: u64,
    entry: &Entry,
    inflater: &mut Inflater,
    spool: &Spool,
) -> Result<Content, ReceiveError> {
    let compressed = pack
        .bytes(entry.data_offset..pack.end())
        .map_err(unreadable)?;
    let held = entry.size <= HELD_BYTES;
    let mut sink = Sink::new(held, Vec::new(), spool).map_err(ReceiveError::Storage)?;
    inflater
        .slice_in_pieces(compressed, entry.size, |piece| sink.write(piece, spool))
        .map_err(|fault| match fault {
            Fault::Entry(reason) => unreadable(pack.damaged(offset, reason)),
            Fault::Other(error) => error,
        })?;
    sink.finish().map_err(ReceiveError::Storage)
}
