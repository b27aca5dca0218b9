//! Packs written by hand, entry by entry.

use std::io::Write as _;

use gix_hash::ObjectId;
use gix_object::Kind;
use gix_zlib::{Compression, stream::deflate};

use super::super::{entry::write_whole_header, scan::Name, stream::pack_hash};
use crate::model::ObjectFormat;

pub(super) const PERSON: &str = "Ann <ann@example.org> 1700000000 +0100";

pub(super) fn compress(content: &[u8]) -> Vec<u8> {
    let mut deflate = deflate::Write::new(Vec::new(), Compression::DEFAULT);
    deflate.write_all(content).unwrap();
    deflate.flush().unwrap();
    deflate.into_inner()
}

pub(super) fn id(kind: Kind, content: &[u8]) -> ObjectId {
    let mut name = Name::of(gix_hash::Kind::Sha1, kind, content.len() as u64);
    name.update(content);
    name.finish(0).unwrap()
}

/// A pack for a SHA-1 repository.
pub(super) struct Builder {
    bytes: Vec<u8>,
    count: u32,
}

impl Builder {
    pub(super) fn new() -> Self {
        Self {
            bytes: b"PACK\0\0\0\x02\0\0\0\0".to_vec(),
            count: 0,
        }
    }

    /// An entry of these bytes.
    pub(super) fn raw(mut self, header: &[u8], data: &[u8]) -> Self {
        self.bytes.extend_from_slice(header);
        self.bytes.extend_from_slice(data);
        self.count += 1;
        self
    }

    pub(super) fn whole(self, kind: Kind, content: &[u8]) -> Self {
        self.lying(kind, content.len() as u64, content)
    }

    /// Says that `content` has `size` bytes.
    pub(super) fn lying(self, kind: Kind, size: u64, content: &[u8]) -> Self {
        let mut header = Vec::new();
        write_whole_header(kind, size, &mut header);
        self.raw(&header, &compress(content))
    }

    /// A delta on the entry that begins at this offset.
    pub(super) fn on_offset(self, base: usize, delta: &[u8]) -> Self {
        let mut distance = self.offset() - base;
        let mut bytes = vec![low(distance)];
        while distance > 0x7f {
            distance = (distance >> 7) - 1;
            bytes.insert(0, low(distance) | 0x80);
        }
        let mut header = delta_header(6, delta.len());
        header.extend(bytes);
        self.raw(&header, &compress(delta))
    }

    /// A delta on the object of this name.
    pub(super) fn on_id(self, base: &ObjectId, delta: &[u8]) -> Self {
        let mut header = delta_header(7, delta.len());
        header.extend_from_slice(base.as_slice());
        self.raw(&header, &compress(delta))
    }

    /// Where the next entry begins.
    pub(super) fn offset(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes[8..12].copy_from_slice(&self.count.to_be_bytes());
        sealed(self.bytes)
    }
}

/// These bytes and the hash over them.
pub(super) fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let format = ObjectFormat::Sha1.kind();
    let hash = aws_lc_rs::digest::digest(pack_hash(format), &bytes);
    bytes.extend_from_slice(hash.as_ref());
    bytes
}

/// A delta that inserts `text` in place of all of its base.
pub(super) fn replace(base_size: usize, text: &[u8]) -> Vec<u8> {
    let mut delta = number(base_size);
    delta.extend(number(text.len()));
    for piece in text.chunks(127) {
        delta.push(low(piece.len()));
        delta.extend_from_slice(piece);
    }
    delta
}

pub(super) fn number(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 0x7f {
        bytes.push(low(value) | 0x80);
        value >>= 7;
    }
    bytes.push(low(value));
    bytes
}

pub(super) fn commit(tree: &ObjectId, parents: &[ObjectId]) -> Vec<u8> {
    let mut text = format!("tree {tree}\n");
    for parent in parents {
        text += &format!("parent {parent}\n");
    }
    text += &format!("author {PERSON}\ncommitter {PERSON}\n\nA message\n");
    text.into_bytes()
}

pub(super) fn tree(entries: &[(&str, &str, ObjectId)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (mode, name, id) in entries {
        bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
        bytes.extend_from_slice(id.as_slice());
    }
    bytes
}

fn delta_header(code: u8, size: usize) -> Vec<u8> {
    let mut header = Vec::new();
    write_whole_header(Kind::Commit, size as u64, &mut header);
    header[0] = (header[0] & 0x8f) | (code << 4);
    header
}

fn low(value: usize) -> u8 {
    value.to_le_bytes()[0] & 0x7f
}
