//! Deflating, in one go what is held and piece by piece what is not.
//!
//! Source: RFC 1950.
//! Bounds: [`PIECE_BYTES`] of output at a time where the input comes in pieces.
//! Not here: what is deflated, and what wraps it (`fetch`, `archive`).

use gix_zlib::{
    Compression, Status,
    stream::deflate::{Compress, FlushCompress},
};

/// Bytes of output handed on at once.
pub(super) const PIECE_BYTES: usize = 32 << 10;

/// Makes one zlib stream after another.
pub(super) struct Deflater {
    compress: Compress,
    /// Made when first needed.
    piece: Vec<u8>,
}

impl Deflater {
    pub(super) fn new(level: Compression) -> Self {
        Self {
            compress: Compress::new(level),
            piece: Vec::new(),
        }
    }

    /// Replaces `output` by a whole stream.
    pub(super) fn whole(&mut self, input: &[u8], output: &mut Vec<u8>) {
        // Most levels make incompressible input longer by 5 bytes for every 16 KiB, the fastest by more.
        let length = input.len();
        output.resize(length + length / 1024 + 64, 0);
        self.compress.reset();
        let (mut used, mut written) = (0, 0);
        loop {
            let (input, room) = (&input[used..], &mut output[written..]);
            let (more_used, made, status) =
                step(&mut self.compress, input, room, FlushCompress::Finish);
            used += more_used;
            written += made;
            if status == Status::StreamEnd {
                break;
            }
            output.resize(output.len() + output.len() / 8, 0);
        }
        output.truncate(written);
        self.compress.reset();
    }

    /// Takes more of a stream.
    pub(super) fn write<E>(
        &mut self,
        mut bytes: &[u8],
        sink: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            let (used, _) = self.piece(bytes, FlushCompress::None, sink)?;
            bytes = &bytes[used..];
        }
        Ok(())
    }

    /// Ends the stream; the next bytes begin another.
    pub(super) fn finish<E>(
        &mut self,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        while self.piece(&[], FlushCompress::Finish, sink)?.1 != Status::StreamEnd {}
        self.compress.reset();
        Ok(())
    }

    fn piece<E>(
        &mut self,
        bytes: &[u8],
        flush: FlushCompress,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(usize, Status), E> {
        self.piece.resize(PIECE_BYTES, 0);
        let (used, made, status) = step(&mut self.compress, bytes, &mut self.piece, flush);
        if made > 0 {
            sink(&self.piece[..made])?;
        }
        Ok((used, status))
    }
}

/// How many bytes were used and made.
fn step(
    compress: &mut Compress,
    input: &[u8],
    output: &mut [u8],
    flush: FlushCompress,
) -> (usize, usize, Status) {
    let (before_in, before_out) = (compress.total_in(), compress.total_out());
    let status = compress
        .compress(input, output, flush)
        .expect("the compressor is used as it is meant to be");
    let difference = |now: u64, before: u64| {
        usize::try_from(now - before).expect("no more than the slices are long")
    };
    let used = difference(compress.total_in(), before_in);
    let made = difference(compress.total_out(), before_out);
    (used, made, status)
}

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, io::Read as _};

    use super::*;

    #[test]
    fn what_is_deflated_either_way_inflates_to_the_same() {
        let mut deflater = Deflater::new(Compression::BEST_SPEED);
        let mut state = 1u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        let noise: Vec<u8> = (0..200_000).map(|_| noise()).collect();
        for content in [&b""[..], b"short", &[b'x'; 1 << 20], &noise] {
            let mut streams = [Vec::new(), Vec::new()];
            deflater.whole(content, &mut streams[0]);
            let mut sink = |piece: &[u8]| {
                assert!(piece.len() <= PIECE_BYTES);
                streams[1].extend_from_slice(piece);
                Ok::<_, Infallible>(())
            };
            for piece in content.chunks(70_001) {
                deflater.write(piece, &mut sink).unwrap();
            }
            deflater.finish(&mut sink).unwrap();
            for stream in streams {
                let mut inflated = Vec::new();
                let mut reader = flate2::read::ZlibDecoder::new(&stream[..]);
                reader.read_to_end(&mut inflated).unwrap();
                assert!(inflated == content);
            }
        }
    }
}
