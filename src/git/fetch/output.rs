//! The bytes of a pack on their way out.
//!
//! Source: gitformat-pack(5).
//! Bounds: [`CHUNK_BYTES`] are held back.
//! Invariant: the sink gets what was put, in order, and at the end the hash of all of it.
//! Not here: what is put (`writer`).

use aws_lc_rs::digest;

use super::plan::Stopped;
use crate::model::{ObjectFormat, ObjectId};

/// Output is handed on in slices of about this many bytes, never more.
pub(super) const CHUNK_BYTES: usize = 64 << 10;

/// Entries that lie together are copied through the buffer when they are shorter than this.
const SHORT_RUN_BYTES: u64 = 8 << 10;

/// What is known of a pack that was written once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    /// The hash of all before it, the last bytes of the pack.
    trailer: ObjectId,
    /// Bytes, the trailer included.
    pub(super) length: u64,
}

impl Written {
    /// Of a pack with this hash behind so many bytes.
    pub(super) fn of(trailer: ObjectId, bytes_before: u64) -> Self {
        Self {
            trailer,
            length: bytes_before + trailer.as_bytes().len() as u64,
        }
    }
}

/// Counts, hashes and cuts what is written.
pub(super) struct Output<'a> {
    sink: &'a mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
    trailer: Trailer,
    buffer: Vec<u8>,
    /// Bytes put so far, those in the buffer included.
    pub(super) length: u64,
}

enum Trailer {
    /// Being found.
    Hashing(digest::Context),
    /// Known from an earlier writing of the same bytes.
    Known(Written),
}

impl<'a> Output<'a> {
    /// Begins a pack; `past` is what is known of an earlier writing of the same one.
    pub(super) fn new(
        format: ObjectFormat,
        past: Option<Written>,
        sink: &'a mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
    ) -> Self {
        let algorithm = match format {
            ObjectFormat::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            ObjectFormat::Sha256 => &digest::SHA256,
        };
        let trailer = match past {
            Some(written) => Trailer::Known(written),
            None => Trailer::Hashing(digest::Context::new(algorithm)),
        };
        Self {
            sink,
            trailer,
            buffer: Vec::with_capacity(CHUNK_BYTES),
            length: 0,
        }
    }

    pub(super) fn put(&mut self, mut bytes: &[u8]) -> Result<(), Stopped> {
        self.length += bytes.len() as u64;
        if bytes.len() as u64 >= SHORT_RUN_BYTES {
            self.flush()?;
            while !bytes.is_empty() {
                let (chunk, rest) = bytes.split_at(bytes.len().min(CHUNK_BYTES));
                self.hand_on(chunk)?;
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
        let buffer = std::mem::take(&mut self.buffer);
        let handed_on = match buffer.is_empty() {
            true => Ok(()),
            false => self.hand_on(&buffer),
        };
        self.buffer = buffer;
        self.buffer.clear();
        handed_on
    }

    fn hand_on(&mut self, bytes: &[u8]) -> Result<(), Stopped> {
        if let Trailer::Hashing(digest) = &mut self.trailer {
            digest.update(bytes);
        }
        (self.sink)(bytes)
    }

    /// Ends with the hash of everything before it.
    pub(super) fn finish(mut self) -> Result<Written, Stopped> {
        self.flush()?;
        let trailer = match self.trailer {
            Trailer::Hashing(digest) => ObjectId::from_bytes_or_panic(digest.finish().as_ref()),
            Trailer::Known(written) => {
                debug_assert_eq!(written.length, self.length + trailer_bytes(&written));
                written.trailer
            }
        };
        let bytes = trailer.as_bytes();
        (self.sink)(bytes)?;
        Ok(Written {
            trailer,
            length: self.length + bytes.len() as u64,
        })
    }
}

fn trailer_bytes(written: &Written) -> u64 {
    written.trailer.as_bytes().len() as u64
}

pub(super) const OFFSET_DELTA: u8 = 6;
pub(super) const REFERENCE_DELTA: u8 = 7;

/// Kind and size: four bits of size, then seven a byte.
pub(super) fn put_head(head: &mut Vec<u8>, kind: u8, size: u64) {
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
pub(super) fn put_distance(head: &mut Vec<u8>, distance: u64) {
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
