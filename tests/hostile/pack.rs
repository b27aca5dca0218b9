//! Packs that no git would make, for SHA-1.

use std::io::Write as _;

use gix_object::Kind;
use gix_zlib::{Compression, stream::deflate};

/// A pack in the making.
pub(super) struct Pack {
    bytes: Vec<u8>,
    count: u32,
}

impl Pack {
    pub(super) fn new() -> Self {
        Self {
            bytes: b"PACK\0\0\0\x02\0\0\0\0".to_vec(),
            count: 0,
        }
    }

    /// Where the next entry begins.
    pub(super) fn offset(&self) -> usize {
        self.bytes.len()
    }

    /// An object as it is.
    pub(super) fn whole(self, kind: Kind, content: &[u8]) -> Self {
        self.claims(kind, content.len() as u64, content)
    }

    /// An object that says it has `size` bytes.
    pub(super) fn claims(self, kind: Kind, size: u64, content: &[u8]) -> Self {
        let code = match kind {
            Kind::Commit => 1,
            Kind::Tree => 2,
            Kind::Blob => 3,
            Kind::Tag => 4,
        };
        self.entry(code, size, b"", &compress(content))
    }

    /// A delta upon the entry that begins at this offset.
    pub(super) fn on_offset(self, base: usize, delta: &[u8]) -> Self {
        let mut distance = self.offset() - base;
        let mut back = vec![low(distance, 0x7f)];
        while distance > 0x7f {
            distance = (distance >> 7) - 1;
            back.insert(0, low(distance, 0x7f) | 0x80);
        }
        self.entry(6, delta.len() as u64, &back, &compress(delta))
    }

    /// A delta upon the object of this name.
    pub(super) fn on_id(self, base: &[u8], delta: &[u8]) -> Self {
        self.entry(7, delta.len() as u64, base, &compress(delta))
    }

    /// An entry of which the compressed bytes are given.
    pub(super) fn entry(mut self, code: u8, size: u64, base: &[u8], data: &[u8]) -> Self {
        let mut byte = code << 4 | size.to_le_bytes()[0] & 0x0f;
        let mut rest = size >> 4;
        while rest > 0 {
            self.bytes.push(byte | 0x80);
            byte = rest.to_le_bytes()[0] & 0x7f;
            rest >>= 7;
        }
        self.bytes.push(byte);
        self.bytes.extend_from_slice(base);
        self.bytes.extend_from_slice(data);
        self.count += 1;
        self
    }

    pub(super) fn finish(self) -> Vec<u8> {
        let count = self.count;
        self.counting(count)
    }

    /// A pack that says it has so many entries.
    pub(super) fn counting(mut self, count: u32) -> Vec<u8> {
        self.bytes[8..12].copy_from_slice(&count.to_be_bytes());
        let mut hasher = gix_hash::hasher(gix_hash::Kind::Sha1);
        hasher.update(&self.bytes);
        self.bytes
            .extend_from_slice(hasher.try_finalize().unwrap().as_slice());
        self.bytes
    }
}

pub(super) fn compress(content: &[u8]) -> Vec<u8> {
    let mut deflate = deflate::Write::new(Vec::new(), Compression::BEST_SPEED);
    deflate.write_all(content).unwrap();
    deflate.flush().unwrap();
    deflate.into_inner()
}

/// The name of an object.
pub(super) fn id(kind: Kind, content: &[u8]) -> gix_hash::ObjectId {
    gix_object::compute_hash(gix_hash::Kind::Sha1, kind, content).unwrap()
}

/// A number as deltas write sizes.
pub(super) fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(low(value, 0x7f) | 0x80);
        value >>= 7;
    }
    bytes.push(low(value, 0x7f));
    bytes
}

/// A delta that makes `size` bytes out of copies of the base's first `piece` ones, both powers of two.
pub(super) fn repeats(base_size: usize, piece: usize, size: usize) -> Vec<u8> {
    let mut delta = number(base_size);
    delta.extend(number(size));
    let length = piece.to_le_bytes();
    for _ in 0..size / piece {
        delta.extend([0xf0, length[0], length[1], length[2]]);
    }
    delta
}

/// A delta that puts `text` in place of a base of `base_size` bytes.
pub(super) fn replaces(base_size: usize, text: &[u8]) -> Vec<u8> {
    let mut delta = number(base_size);
    delta.extend(number(text.len()));
    for piece in text.chunks(127) {
        delta.push(low(piece.len(), 0x7f));
        delta.extend_from_slice(piece);
    }
    delta
}

/// A tree with these entries.
pub(super) fn tree(entries: &[(&str, &str, gix_hash::ObjectId)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        bytes.extend_from_slice(id.as_slice());
    }
    bytes
}

fn low(value: usize, mask: u8) -> u8 {
    value.to_le_bytes()[0] & mask
}
