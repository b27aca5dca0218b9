//! Inflating entries, from the stream while it arrives and from the spool later.
//!
//! Bounds: the buffer grows with the bytes that really come out, up to the size that the entry's
//! header gives, which the caller has tested against a limit.
//! Invariant: an entry inflates to exactly that size or is refused.

use std::{io, ops::Range};

use gix_zlib::{Decompress, FlushDecompress, Inflate, Status};

use super::{ReceiveError, spool::Spool, stream::PackStream};

/// Output buffers up to this size are made at once; longer ones grow as they fill.
const AT_ONCE_BYTES: usize = 1 << 20;
/// The piece in which entries pass that nobody wants to hold.
const PIECE_BYTES: usize = 64 << 10;
/// How much longer than its content compressed data may be, besides twice as long: room for the
/// headers of many small stored blocks, but not for endless empty ones.
const PADDING_BYTES: u64 = 64 << 10;

const TOO_LONG: &str = "it inflates to more than its size";
const TOO_SHORT: &str = "it inflates to less than its size";
const CORRUPT: &str = "its compressed data is corrupt";
const PADDED: &str = "its compressed data is padded";

/// Inflates entry after entry with the same state.
pub(super) struct Inflater {
    /// For data that is there as a whole: much faster.
    whole: Inflate,
    /// For data that comes in pieces.
    pieces: Decompress,
    buffer: Vec<u8>,
}

impl Inflater {
    pub(super) fn new() -> Self {
        Self {
            whole: Inflate::default(),
            pieces: Decompress::new(),
            buffer: Vec::new(),
        }
    }

    /// Inflates the stream's next entry into one slice of `size` bytes.
    pub(super) fn held(&mut self, stream: &mut PackStream<'_>, size: u64) -> Result<&[u8], Fault> {
        let size = usize::try_from(size).map_err(|_| Fault::Entry(TOO_LONG))?;
        // One byte more shows whether there is more.
        self.grow(size.saturating_add(1).min(AT_ONCE_BYTES));
        let ahead = stream.available();
        // Likely to be there as a whole; where that proves wrong, begin again in pieces.
        if size / 4 <= ahead.len() && size < self.buffer.len() {
            self.whole.reset();
            if let Ok((Status::StreamEnd, used, written)) =
                self.whole.once(ahead, &mut self.buffer[..=size])
            {
                if written != size {
                    return Err(Fault::Entry(if written > size {
                        TOO_LONG
                    } else {
                        TOO_SHORT
                    }));
                }
                padding(used as u64, size as u64)?;
                stream.consume(used)?;
                return Ok(&self.buffer[..size]);
            }
        }
        self.pieces.reset();
        let mut filled = 0;
        loop {
            let (status, written) = step(&mut self.pieces, stream, &mut self.buffer[filled..])?;
            filled += written;
            if filled > size {
                return Err(Fault::Entry(TOO_LONG));
            }
            if status == Status::StreamEnd {
                break;
            }
            if filled == self.buffer.len() {
                self.grow(filled.saturating_mul(2).min(size.saturating_add(1)));
            }
        }
        if filled < size {
            return Err(Fault::Entry(TOO_SHORT));
        }
        padding(self.pieces.total_in(), size as u64)?;
        Ok(&self.buffer[..size])
    }

    /// Inflates the stream's next entry piece by piece; `each` is also told how much of the pack
    /// was consumed for it.
    pub(super) fn pieces(
        &mut self,
        stream: &mut PackStream<'_>,
        size: u64,
        mut each: impl FnMut(&[u8], u64) -> Result<(), ReceiveError>,
    ) -> Result<(), Fault> {
        self.pieces.reset();
        self.grow(PIECE_BYTES);
        loop {
            let (status, written) = step(&mut self.pieces, stream, &mut self.buffer)?;
            if self.pieces.total_out() > size {
                return Err(Fault::Entry(TOO_LONG));
            }
            each(&self.buffer[..written], stream.offset())?;
            if status == Status::StreamEnd {
                break;
            }
        }
        if self.pieces.total_out() < size {
            return Err(Fault::Entry(TOO_SHORT));
        }
        padding(self.pieces.total_in(), size)
    }

    /// Inflates `compressed`, which did so before, into `out`, whose former content goes.
    pub(super) fn again(
        &mut self,
        compressed: &[u8],
        size: u64,
        out: &mut Vec<u8>,
    ) -> Result<(), &'static str> {
        let size = usize::try_from(size).map_err(|_| TOO_LONG)?;
        out.resize(size, 0);
        self.whole.reset();
        match self.whole.once(compressed, out) {
            Ok((Status::StreamEnd, _, written)) if written == size => Ok(()),
            _ => Err(CORRUPT),
        }
    }

    /// Inflates the range of `spool`, which did so before to `size` bytes, piece by piece.
    pub(super) fn again_in_pieces(
        &mut self,
        spool: &Spool,
        range: Range<u64>,
        size: u64,
        mut each: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), Fault> {
        self.pieces.reset();
        let (mut at, mut scratch) = (range.start, Vec::new());
        while at < range.end {
            let end = range.end.min(at + PIECE_BYTES as u64);
            let compressed = spool
                .read(at..end, &mut scratch)
                .map_err(ReceiveError::Storage)?;
            if self.feed(compressed, &mut each)? {
                break;
            }
            at = end;
        }
        self.ended_at(size)
    }

    /// Inflates as much as there is; true at the end of the compressed data.
    fn feed(
        &mut self,
        mut compressed: &[u8],
        each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<bool, Fault> {
        self.grow(PIECE_BYTES);
        loop {
            let before = (self.pieces.total_in(), self.pieces.total_out());
            let status = self
                .pieces
                .decompress(compressed, &mut self.buffer, FlushDecompress::None)
                .map_err(|_| Fault::Entry(CORRUPT))?;
            let used = difference(self.pieces.total_in(), before.0);
            let written = difference(self.pieces.total_out(), before.1);
            each(&self.buffer[..written]).map_err(ReceiveError::Storage)?;
            compressed = &compressed[used..];
            if status == Status::StreamEnd {
                return Ok(true);
            }
            if used == 0 && written == 0 {
                return Ok(false);
            }
        }
    }

    fn ended_at(&self, size: u64) -> Result<(), Fault> {
        match self.pieces.total_out() == size {
            true => Ok(()),
            false => Err(Fault::Entry(CORRUPT)),
        }
    }

    fn grow(&mut self, length: usize) {
        if self.buffer.len() < length {
            self.buffer.resize(length, 0);
        }
    }
}

/// What went wrong with an entry; the caller knows which one it was.
#[derive(Debug)]
pub(super) enum Fault {
    /// The entry is not right.
    Entry(&'static str),
    /// Anything else.
    Other(ReceiveError),
}

impl From<ReceiveError> for Fault {
    fn from(error: ReceiveError) -> Self {
        Self::Other(error)
    }
}

impl Fault {
    /// Names the entry.
    pub(super) fn at(self, offset: u64) -> ReceiveError {
        match self {
            Self::Entry(reason) => ReceiveError::Entry { offset, reason },
            Self::Other(error) => error,
        }
    }
}

/// Inflates from what the stream has at hand, and gets more where there is nothing.
fn step(
    state: &mut Decompress,
    stream: &mut PackStream<'_>,
    out: &mut [u8],
) -> Result<(Status, usize), Fault> {
    if stream.available().is_empty() {
        stream.fill()?;
    }
    let (before_in, before_out) = (state.total_in(), state.total_out());
    let status = state
        .decompress(stream.available(), out, FlushDecompress::None)
        .map_err(|_| Fault::Entry(CORRUPT))?;
    let used = difference(state.total_in(), before_in);
    let written = difference(state.total_out(), before_out);
    if used == 0 && written == 0 && status != Status::StreamEnd {
        return Err(Fault::Entry(CORRUPT));
    }
    stream.consume(used)?;
    Ok((status, written))
}

fn difference(now: u64, before: u64) -> usize {
    usize::try_from(now - before).expect("no more than the slices are long")
}

fn padding(compressed: u64, size: u64) -> Result<(), Fault> {
    if compressed > size.saturating_mul(2).saturating_add(PADDING_BYTES) {
        return Err(Fault::Entry(PADDED));
    }
    Ok(())
}
