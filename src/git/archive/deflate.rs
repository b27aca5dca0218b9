//! Raw deflate and gzip, made as the bytes pass.
//!
//! Source: RFC 1951, RFC 1952; RFC 1950 for the wrapping that the compressor puts around and that is
//! taken off here.
//! Bounds: [`PIECE_BYTES`] of output at a time.
//! Not here: what is compressed.

use gix_zlib::Compression;

use crate::git::{
    deflate::{Deflater, PIECE_BYTES},
    fetch::Stopped,
};

/// Bytes of a zlib stream before the data.
const HEAD_BYTES: usize = 2;
/// Bytes of a zlib stream after the data.
const TAIL_BYTES: usize = 4;

/// Takes compressed bytes.
pub(super) type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), Stopped>;

/// Compresses one stream after another.
pub(super) struct Deflate {
    deflater: Deflater,
    wrapping: Wrapping,
}

/// What is taken off a stream.
struct Wrapping {
    /// Bytes of the head that were not seen yet.
    head: usize,
    /// The last bytes so far, which may be the tail.
    held: Vec<u8>,
}

impl Deflate {
    pub(super) fn new(level: Compression) -> Self {
        Self {
            deflater: Deflater::new(level),
            wrapping: Wrapping {
                head: HEAD_BYTES,
                held: Vec::new(),
            },
        }
    }

    /// Takes more of the stream.
    pub(super) fn write(&mut self, bytes: &[u8], sink: Sink<'_>) -> Result<(), Stopped> {
        let wrapping = &mut self.wrapping;
        self.deflater
            .write(bytes, &mut |piece| wrapping.take_off(piece, sink))
    }

    /// Ends the stream; the next bytes begin another.
    pub(super) fn finish(&mut self, sink: Sink<'_>) -> Result<(), Stopped> {
        let wrapping = &mut self.wrapping;
        self.deflater
            .finish(&mut |piece| wrapping.take_off(piece, sink))?;
        self.wrapping.head = HEAD_BYTES;
        self.wrapping.held.clear();
        Ok(())
    }
}

impl Wrapping {
    fn take_off(&mut self, piece: &[u8], sink: Sink<'_>) -> Result<(), Stopped> {
        let skipped = self.head.min(piece.len());
        self.head -= skipped;
        self.held.extend_from_slice(&piece[skipped..]);
        let ready = self.held.len().saturating_sub(TAIL_BYTES);
        if ready > 0 {
            sink(&self.held[..ready])?;
            self.held.drain(..ready);
        }
        Ok(())
    }
}

/// A gzip stream of one member.
pub(super) struct Gzip {
    deflate: Deflate,
    crc: crc32fast::Hasher,
    /// Modulo 2^32.
    bytes: u32,
    begun: bool,
}

impl Gzip {
    pub(super) fn new(level: Compression) -> Self {
        Self {
            deflate: Deflate::new(level),
            crc: crc32fast::Hasher::new(),
            bytes: 0,
            begun: false,
        }
    }

    /// Takes more of the content.
    pub(super) fn write(&mut self, bytes: &[u8], sink: Sink<'_>) -> Result<(), Stopped> {
        self.begin(sink)?;
        self.crc.update(bytes);
        for piece in bytes.chunks(PIECE_BYTES) {
            let length = u32::try_from(piece.len()).expect("a piece is short");
            self.bytes = self.bytes.wrapping_add(length);
        }
        self.deflate.write(bytes, sink)
    }

    /// Ends the member.
    pub(super) fn finish(mut self, sink: Sink<'_>) -> Result<(), Stopped> {
        self.begin(sink)?;
        self.deflate.finish(sink)?;
        sink(&self.crc.finalize().to_le_bytes())?;
        sink(&self.bytes.to_le_bytes())
    }

    fn begin(&mut self, sink: Sink<'_>) -> Result<(), Stopped> {
        if std::mem::replace(&mut self.begun, true) {
            return Ok(());
        }
        // Deflate, no flags, no time, no hint, Unix: the same archive is the same bytes.
        sink(&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3])
    }
}
