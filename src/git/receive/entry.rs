//! One entry of a pack: its header, and what is remembered of it.
//!
//! Source: gitformat-pack(5), "pack-*.pack files have the following format".
//! Bounds: a header has at most [`HEADER_MAX`] bytes; [`Entry`] has 64 bytes.
//! Invariant: [`EntryHeader::parse`] takes a whole header or nothing, so input may be cut anywhere.

use gix_hash::ObjectId;
use gix_object::Kind;

/// The size in nine groups of seven bits and one of four, then an id or an offset.
#[cfg(test)]
pub(super) const HEADER_MAX: usize = 10 + 32;

/// What an entry's compressed bytes stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// The object itself.
    Whole(Kind),
    /// A delta on the entry that begins so many bytes earlier.
    OffsetDelta(u64),
    /// A delta on the object of that name.
    IdDelta(ObjectId),
}

/// The bytes in front of an entry's compressed data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EntryHeader {
    /// What follows.
    pub(super) stored: Stored,
    /// Inflated bytes: the object's, or the delta's.
    pub(super) size: u64,
    /// Bytes of the header itself.
    pub(super) length: usize,
}

impl EntryHeader {
    /// Reads a header at the start of `bytes`; `None` when more of them are needed.
    pub(super) fn parse(
        bytes: &[u8],
        format: gix_hash::Kind,
    ) -> Result<Option<Self>, &'static str> {
        let mut rest = bytes;
        let mut next = || -> Option<u8> {
            let (first, tail) = rest.split_first()?;
            rest = tail;
            Some(*first)
        };
        let Some(first) = next() else {
            return Ok(None);
        };
        let mut size = u64::from(first & 0x0f);
        let (mut more, mut shift) = (first & 0x80 != 0, 4);
        while more {
            let Some(byte) = next() else {
                return Ok(None);
            };
            let group = u64::from(byte & 0x7f);
            if shift > 60 || (shift == 60 && group > 0x0f) {
                return Err("its size does not fit into 64 bits");
            }
            size |= group << shift;
            shift += 7;
            more = byte & 0x80 != 0;
        }
        let stored = match (first >> 4) & 7 {
            1 => Stored::Whole(Kind::Commit),
            2 => Stored::Whole(Kind::Tree),
            3 => Stored::Whole(Kind::Blob),
            4 => Stored::Whole(Kind::Tag),
            6 => {
                let Some(byte) = next() else {
                    return Ok(None);
                };
                let mut distance = u64::from(byte & 0x7f);
                let mut more = byte & 0x80 != 0;
                while more {
                    let Some(byte) = next() else {
                        return Ok(None);
                    };
                    if distance >= (1 << 56) - 1 {
                        return Err("the distance to its base does not fit into 64 bits");
                    }
                    distance = ((distance + 1) << 7) | u64::from(byte & 0x7f);
                    more = byte & 0x80 != 0;
                }
                Stored::OffsetDelta(distance)
            }
            7 => {
                let Some((id, tail)) = rest.split_at_checked(format.len_in_bytes()) else {
                    return Ok(None);
                };
                rest = tail;
                Stored::IdDelta(ObjectId::from_bytes_or_panic(id))
            }
            _ => return Err("its type is unknown"),
        };
        Ok(Some(Self {
            stored,
            size,
            length: bytes.len() - rest.len(),
        }))
    }
}

/// Writes the header of a whole object of `size` bytes.
pub(super) fn write_whole_header(kind: Kind, size: u64, out: &mut Vec<u8>) {
    let code: u8 = match kind {
        Kind::Commit => 1,
        Kind::Tree => 2,
        Kind::Blob => 3,
        Kind::Tag => 4,
    };
    let low = |bits: u64, mask: u8| bits.to_le_bytes()[0] & mask;
    let mut byte = (code << 4) | low(size, 0x0f);
    let mut rest = size >> 4;
    while rest > 0 {
        out.push(byte | 0x80);
        byte = low(rest, 0x7f);
        rest >>= 7;
    }
    out.push(byte);
}

/// What is remembered of an entry. Small, since millions of them are held at a time.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Where its header begins in the pack.
    pub(super) offset: u64,
    /// Inflated bytes: the object's once that is known, the delta's before.
    pub(super) size: u64,
    /// The object's name; null until it is known.
    pub(super) id: ObjectId,
    /// Checksum of the header and the compressed bytes, as the index wants it.
    pub(super) crc32: u32,
    /// What it is built on.
    pub(super) base: Base,
    /// The object's kind; `None` for a delta that is not resolved.
    pub(super) kind: Option<Kind>,
}

/// What an entry is built on, in four bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Base(u32);

impl Base {
    /// The entry is whole.
    pub(super) const NONE: Self = Self(u32::MAX);
    /// The base is known by name only, so far.
    pub(super) const BY_ID: Self = Self(u32::MAX - 1);

    /// The base is the entry of this number.
    pub(super) fn entry(number: u32) -> Self {
        debug_assert!(number < Self::BY_ID.0);
        Self(number)
    }

    /// The number of the entry, where that is known.
    pub(super) fn number(self) -> Option<u32> {
        (self.0 < Self::BY_ID.0).then_some(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHA1: gix_hash::Kind = gix_hash::Kind::Sha1;

    #[track_caller]
    fn check(bytes: &[u8], expected: Result<Option<(Stored, u64)>, &'static str>) {
        let parsed = EntryHeader::parse(bytes, SHA1);
        assert_eq!(
            parsed.map(|header| header.map(|header| (header.stored, header.size))),
            expected,
            "parsing {bytes:02x?}"
        );
    }

    #[test]
    fn a_header_cut_anywhere_asks_for_more_and_a_whole_one_is_read() {
        let id = ObjectId::from_bytes_or_panic(&[7; 20]);
        let mut by_id = vec![0xff, 0x7f];
        by_id.extend_from_slice(id.as_slice());
        for (bytes, stored, size) in [
            (vec![0x35], Stored::Whole(Kind::Blob), 5),
            (vec![0x95, 0x01], Stored::Whole(Kind::Commit), 21),
            (vec![0x61, 0x80, 0x00], Stored::OffsetDelta(128), 1),
            (by_id, Stored::IdDelta(id), 0x7ff),
        ] {
            for length in 0..bytes.len() {
                check(&bytes[..length], Ok(None));
            }
            check(&bytes, Ok(Some((stored, size))));
            let mut longer = bytes.clone();
            longer.push(0xff);
            let header = EntryHeader::parse(&longer, SHA1).unwrap().unwrap();
            assert_eq!(header.length, bytes.len());
        }
    }

    #[test]
    fn types_zero_and_five_are_refused() {
        check(&[0x00], Err("its type is unknown"));
        check(&[0x50], Err("its type is unknown"));
    }

    #[test]
    fn numbers_that_overflow_are_refused() {
        let mut size = vec![0xbf; 9];
        size.push(0x0f);
        assert!(EntryHeader::parse(&size, SHA1).unwrap().is_some());
        size[9] = 0x10;
        check(&size, Err("its size does not fit into 64 bits"));
        size[9] = 0x8f;
        size.push(0);
        check(&size, Err("its size does not fit into 64 bits"));
        let mut distance = vec![0x60];
        distance.extend([0xff; 9]);
        check(
            &distance,
            Err("the distance to its base does not fit into 64 bits"),
        );
    }

    #[test]
    fn a_written_header_reads_back() {
        for size in [0, 15, 16, 2047, 2048, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            write_whole_header(Kind::Tag, size, &mut bytes);
            check(&bytes, Ok(Some((Stored::Whole(Kind::Tag), size))));
            assert!(bytes.len() <= HEADER_MAX);
        }
    }

    #[test]
    fn an_entry_is_small() {
        assert_eq!(size_of::<Entry>(), 64);
    }
}
