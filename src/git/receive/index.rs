//! The index of a pack: names in order, checksums, offsets.
//!
//! Source: gitformat-pack(5), "Version 2 pack-*.idx files".
//! Invariant: equal packs give equal indices, byte for byte those of `git index-pack`.

use std::io::{self, Write};

use aws_lc_rs::digest;
use gix_hash::ObjectId;

use super::{ReceiveError, entry::Entry, pack::UnpublishedPack, stream::pack_hash};

/// Offsets from here on are in a table of their own.
const LARGE_OFFSET: u64 = 1 << 31;

/// The entries' numbers in the order of their names.
#[derive(Debug)]
pub(super) struct Order(Vec<u32>);

impl Order {
    /// Sorts the names.
    ///
    /// # Errors
    /// When an object is there twice.
    pub(super) fn of(entries: &[Entry]) -> Result<Self, ReceiveError> {
        let count = u32::try_from(entries.len()).expect("a pack holds less than 2^32 objects");
        let id = |number: &u32| &entries[*number as usize].id;
        let mut order: Vec<u32> = (0..count).collect();
        order.sort_unstable_by(|one, other| id(one).cmp(id(other)));
        if let Some(pair) = order.windows(2).find(|pair| id(&pair[0]) == id(&pair[1])) {
            return Err(ReceiveError::Duplicate(*id(&pair[0])));
        }
        Ok(Self(order))
    }

    /// The number of the entry that has this name.
    pub(super) fn find(&self, entries: &[Entry], id: &ObjectId) -> Option<u32> {
        self.0
            .binary_search_by(|number| entries[*number as usize].id.cmp(id))
            .ok()
            .map(|at| self.0[at])
    }
}

/// Writes the index.
pub(super) fn write(pack: &UnpublishedPack, order: &Order, out: impl Write) -> io::Result<()> {
    let mut out = HashedWrite {
        out: io::BufWriter::with_capacity(64 << 10, out),
        hash: digest::Context::new(pack_hash(pack.format)),
    };
    let entries = || order.0.iter().map(|number| pack.entry(*number));
    out.put(b"\xfftOc\0\0\0\x02")?;
    let mut counts = [0_u32; 256];
    for entry in entries() {
        counts[usize::from(entry.id.as_slice()[0])] += 1;
    }
    let mut sum = 0;
    for count in counts {
        sum += count;
        out.put(&sum.to_be_bytes())?;
    }
    for entry in entries() {
        out.put(entry.id.as_slice())?;
    }
    for entry in entries() {
        out.put(&entry.crc32.to_be_bytes())?;
    }
    let mut large = 0;
    for entry in entries() {
        let offset = match u32::try_from(entry.offset) {
            Ok(offset) if entry.offset < LARGE_OFFSET => offset,
            _ => {
                large += 1;
                (1 << 31) | (large - 1)
            }
        };
        out.put(&offset.to_be_bytes())?;
    }
    for entry in entries().filter(|entry| entry.offset >= LARGE_OFFSET) {
        out.put(&entry.offset.to_be_bytes())?;
    }
    out.put(&pack.trailer)?;
    let HashedWrite { mut out, hash } = out;
    out.write_all(hash.finish().as_ref())?;
    out.flush()
}

struct HashedWrite<W: Write> {
    out: io::BufWriter<W>,
    hash: digest::Context,
}

impl<W: Write> HashedWrite<W> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hash.update(bytes);
        self.out.write_all(bytes)
    }
}
