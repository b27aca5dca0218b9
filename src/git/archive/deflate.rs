//! Raw deflate and gzip, made as the bytes pass.
//!
//! Source: RFC 1951, RFC 1952; RFC 1950 for the wrapping that the compressor puts around and that is
//! taken off here.
//! Bounds: [`PIECE_BYTES`] of output at a time.
//! Not here: what is compressed.

use gix_zlib::{
    Compression, Status,
    stream::deflate::{Compress, FlushCompress},
};

use crate::git::fetch::Stopped;

/// Bytes of output handed on at once.
const PIECE_BYTES: usize = 32 << 10;
/// Bytes of a zlib stream before the data.
const HEAD_BYTES: usize = 2;
/// Bytes of a zlib stream after the data.
const TAIL_BYTES: usize = 4;

/// Takes compressed bytes.
pub(super) type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), Stopped>;

/// Compresses one stream after another.
pub(super) struct Deflate {
    compress: Compress,
    piece: Vec<u8>,
    /// Bytes of the head that were not seen yet.
    head: usize,
    /// The last bytes so far, which may be the tail.
    held: Vec<u8>,
}

impl Deflate {
    pub(super) fn new(level: Compression) -> Self {
        Self {
            compress: Compress::new(level),
            piece: vec![0; PIECE_BYTES],
            head: HEAD_BYTES,
            held: Vec::new(),
        }
    }

    /// Takes more of the stream.
    pub(super) fn write(&mut self, mut bytes: &[u8], sink: Sink<'_>) -> Result<(), Stopped> {
        while !bytes.is_empty() {
            let (used, _) = self.step(bytes, FlushCompress::None, sink)?;
            bytes = &bytes[used..];
        }
        Ok(())
    }

    /// Ends the stream; the next bytes begin another.
    pub(super) fn finish(&mut self, sink: Sink<'_>) -> Result<(), Stopped> {
        while self.step(&[], FlushCompress::Finish, sink)?.1 != Status::StreamEnd {}
        self.compress.reset();
        self.head = HEAD_BYTES;
        self.held.clear();
        Ok(())
    }

    fn step(
        &mut self,
        bytes: &[u8],
        flush: FlushCompress,
        sink: Sink<'_>,
    ) -> Result<(usize, Status), Stopped> {
        let (before_in, before_out) = (self.compress.total_in(), self.compress.total_out());
        let status = self
            .compress
            .compress(bytes, &mut self.piece, flush)
            .expect("the compressor is used as it is meant to be");
        let difference = |now: u64, before: u64| {
            usize::try_from(now - before).expect("no more than the slices are long")
        };
        let used = difference(self.compress.total_in(), before_in);
        let made = difference(self.compress.total_out(), before_out);
        let skipped = self.head.min(made);
        self.head -= skipped;
        self.held.extend_from_slice(&self.piece[skipped..made]);
        let ready = self.held.len().saturating_sub(TAIL_BYTES);
        if ready > 0 {
            sink(&self.held[..ready])?;
            self.held.drain(..ready);
        }
        Ok((used, status))
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
