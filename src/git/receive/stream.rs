//! The pusher's bytes: counted, then hashed and spooled (`tail`) as they are consumed.
//!
//! Bounds: one buffer of [`BUFFER_BYTES`]; never more pack than `pack_bytes`.
//! Invariant: it reads only when a byte is needed that it does not have, so it never waits for
//! bytes behind the pack; each consumed byte reaches checksum, hash and spool exactly once.

use std::io::{self, Read};

use aws_lc_rs::digest;

use super::{
    ReceiveError,
    limits::{Limited, Limits},
    spool::Spool,
    tail::Tail,
};

const BUFFER_BYTES: usize = 256 << 10;

/// A pack on its way in.
pub(super) struct PackStream<'a> {
    input: &'a mut dyn Read,
    buffer: Box<[u8]>,
    /// What lies before this in the buffer is consumed and not yet hashed or spooled.
    start: usize,
    end: usize,
    /// Where the buffer's first byte lies in the pack.
    position: u64,
    pack_bytes: u64,
    crc32: crc32fast::Hasher,
    tail: Tail,
}

impl<'a> PackStream<'a> {
    pub(super) fn new(
        input: &'a mut dyn Read,
        format: gix_hash::Kind,
        spool: Spool,
        limits: &Limits,
    ) -> Self {
        Self {
            input,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            start: 0,
            end: 0,
            position: 0,
            pack_bytes: limits.pack_bytes,
            crc32: crc32fast::Hasher::new(),
            tail: Tail::new(pack_hash(format), spool),
        }
    }

    /// How many bytes were consumed.
    pub(super) fn offset(&self) -> u64 {
        self.position + self.start as u64
    }

    /// The bytes at hand; there may be none.
    pub(super) fn available(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Gets at least one byte more.
    pub(super) fn fill(&mut self) -> Result<(), ReceiveError> {
        self.flush()?;
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(0) => return Err(ReceiveError::Truncated(self.position + self.end as u64)),
                Ok(count) => {
                    self.end += count;
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReceiveError::Input(error)),
            }
        }
    }

    /// Marks `count` of the available bytes as used.
    pub(super) fn consume(&mut self, count: usize) -> Result<(), ReceiveError> {
        self.crc32
            .update(&self.buffer[self.start..self.start + count]);
        self.start += count;
        ReceiveError::bound(Limited::PackBytes, self.pack_bytes, self.offset())
    }

    /// The checksum of everything consumed since the last call.
    pub(super) fn take_crc32(&mut self) -> u32 {
        std::mem::take(&mut self.crc32).finalize()
    }

    /// Consumes exactly `N` bytes.
    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], ReceiveError> {
        loop {
            if let Some(bytes) = self.available().first_chunk() {
                let bytes = *bytes;
                self.consume(N)?;
                return Ok(bytes);
            }
            self.fill()?;
        }
    }

    /// Reads the trailer and compares it with what came before. The spool holds the whole pack
    /// then.
    pub(super) fn finish(
        mut self,
        format: gix_hash::Kind,
    ) -> Result<(Spool, Vec<u8>), ReceiveError> {
        self.flush()?;
        let length = format.len_in_bytes();
        while self.available().len() < length {
            self.fill()?;
        }
        let trailer = self.available()[..length].to_vec();
        self.consume(length)?;
        let (expected, mut spool) = self.tail.finish().map_err(ReceiveError::Storage)?;
        if trailer != expected.as_ref() {
            return Err(ReceiveError::Checksum);
        }
        let garbage = self.end - self.start;
        if garbage > 0 {
            return Err(ReceiveError::Garbage(garbage));
        }
        spool.append(&trailer).map_err(ReceiveError::Storage)?;
        Ok((spool, trailer))
    }

    /// Lets what was consumed be hashed and spooled and moves the rest to the buffer's front.
    fn flush(&mut self) -> Result<(), ReceiveError> {
        let consumed = &self.buffer[..self.start];
        if !consumed.is_empty() {
            self.tail.take(consumed).map_err(ReceiveError::Storage)?;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.position += self.start as u64;
        self.end -= self.start;
        self.start = 0;
        Ok(())
    }
}

/// The hash at a pack's end. It guards against accidents, so attacks on SHA-1 need not be seen
/// here: they are where objects get their names.
pub(super) fn pack_hash(format: gix_hash::Kind) -> &'static digest::Algorithm {
    match format {
        gix_hash::Kind::Sha256 => &digest::SHA256,
        _ => &digest::SHA1_FOR_LEGACY_USE_ONLY,
    }
}
