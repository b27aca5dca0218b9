//! The content of an object that may be large: in memory while it is small, else in a file.
//!
//! Source: gitformat-pack(5), "Deltified representation", for the deltas that are read here piece by piece.
//! Bounds: [`HELD_BYTES`] of a blob or a delta in memory; files pass in pieces of [`PIECE_BYTES`].
//! Invariant: a file has no name (see `scratch`), so it goes with its content.
//! Not here: deltas of which base, delta and result are held (`delta`), which is nearly all of them.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Seek as _, SeekFrom, Write as _},
    os::unix::fs::FileExt as _,
};

use super::delta;
use crate::git::scratch::Scratch;

/// Blobs, deltas and the bases of deltas above this size are not held in memory but in files.
pub(crate) const HELD_BYTES: u64 = 8 << 20;
/// Bytes of a file that are in memory at a time.
pub(super) const PIECE_BYTES: usize = 64 << 10;

/// All bytes of an object, or of a delta.
#[derive(Debug)]
pub enum Content {
    /// In memory.
    Held(Vec<u8>),
    /// In a file without a name.
    Filed {
        /// The file, which holds nothing else.
        file: File,
        /// Bytes of it.
        length: u64,
    },
}

impl Content {
    /// How many bytes there are.
    pub(crate) fn length(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::Filed { length, .. } => *length,
        }
    }

    /// So many bytes from `offset` on.
    ///
    /// # Errors
    /// When there are not so many, or the file can't be read.
    pub fn part(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut part = Vec::with_capacity(length);
        let whole = self.copy(offset, length as u64, &mut |piece| {
            part.extend_from_slice(piece);
            Ok(())
        })?;
        whole
            .then_some(part)
            .ok_or(io::ErrorKind::UnexpectedEof.into())
    }

    /// The bytes, where they are in memory.
    pub(crate) fn held(&self) -> Option<&[u8]> {
        match self {
            Self::Held(bytes) => Some(bytes),
            Self::Filed { .. } => None,
        }
    }

    /// Reads from the start; one reader at a time.
    pub(crate) fn reader(&self) -> io::Result<Box<dyn BufRead + '_>> {
        match self {
            Self::Held(bytes) => Ok(Box::new(&bytes[..])),
            Self::Filed { file, .. } => {
                let mut file = file;
                file.seek(SeekFrom::Start(0))?;
                Ok(Box::new(BufReader::with_capacity(PIECE_BYTES, file)))
            }
        }
    }

    /// Hands `length` bytes from `offset` on to `each`; false if there are not so many.
    fn copy(
        &self,
        offset: u64,
        length: u64,
        each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<bool> {
        let Some(end) = offset
            .checked_add(length)
            .filter(|end| *end <= self.length())
        else {
            return Ok(false);
        };
        match self {
            Self::Held(bytes) => {
                let at = |offset| usize::try_from(offset).expect("it lies within the slice");
                each(&bytes[at(offset)..at(end)])?;
            }
            Self::Filed { file, .. } => {
                let mut piece = [0; PIECE_BYTES];
                let mut at = offset;
                while at < end {
                    let wanted =
                        usize::try_from(end - at).map_or(PIECE_BYTES, |left| left.min(PIECE_BYTES));
                    file.read_exact_at(&mut piece[..wanted], at)?;
                    each(&piece[..wanted])?;
                    at += wanted as u64;
                }
            }
        }
        Ok(true)
    }
}

/// Takes the bytes of a content whose size is known.
pub(crate) enum Sink {
    Held(Vec<u8>),
    Filed { file: BufWriter<File>, length: u64 },
}

impl Sink {
    /// In memory if `held`, using `spare` again; else in a file.
    pub(crate) fn new(held: bool, mut spare: Vec<u8>, scratch: &Scratch) -> io::Result<Self> {
        if held {
            spare.clear();
            return Ok(Self::Held(spare));
        }
        let file = BufWriter::with_capacity(PIECE_BYTES, scratch.file()?);
        Ok(Self::Filed { file, length: 0 })
    }

    /// Takes more of them.
    pub(crate) fn write(&mut self, bytes: &[u8], scratch: &Scratch) -> io::Result<()> {
        match self {
            Self::Held(held) => held.extend_from_slice(bytes),
            Self::Filed { file, length } => {
                let longer = *length + bytes.len() as u64;
                scratch.has_room(*length..longer)?;
                file.write_all(bytes)?;
                *length = longer;
            }
        }
        Ok(())
    }

    /// All that was taken.
    pub(crate) fn finish(self) -> io::Result<Content> {
        Ok(match self {
            Self::Held(bytes) => Content::Held(bytes),
            Self::Filed { file, length } => {
                let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
                Content::Filed { file, length }
            }
        })
    }
}

/// The size of what `delta` makes of `base`; `None` if it is for another base.
pub(crate) fn result_size(base: &Content, delta: &Content) -> io::Result<Option<u64>> {
    let sizes = sizes(&mut *delta.reader()?)?;
    Ok(sizes
        .filter(|(base_size, _)| *base_size == base.length())
        .map(|(_, size)| size))
}

/// What `delta` makes of `base`: in memory, and then in `spare`, up to `held_max` bytes. Its bytes are
/// shown to `seen` in order. `None` if the delta does not fit.
pub(crate) fn build(
    base: &Content,
    delta: &Content,
    held_max: u64,
    spare: Vec<u8>,
    scratch: &Scratch,
    seen: &mut dyn FnMut(&[u8]),
) -> io::Result<Option<Content>> {
    let Some(size) = result_size(base, delta)? else {
        return Ok(None);
    };
    if let (Some(base), Some(delta)) = (base.held(), delta.held())
        && size <= held_max
    {
        let mut result = spare;
        result.clear();
        let fits = delta::apply(base, delta, &mut result).is_some();
        seen(&result);
        return Ok(fits.then_some(Content::Held(result)));
    }
    let mut reader = delta.reader()?;
    sizes(&mut *reader)?;
    let mut sink = Sink::new(size <= held_max, spare, scratch)?;
    let fits = apply(base, &mut *reader, size, &mut |piece| {
        seen(piece);
        sink.write(piece, scratch)
    })?;
    fits.then(|| sink.finish()).transpose()
}

/// The sizes of base and result, which lead a delta; `None` when they are cut or too large.
fn sizes(delta: &mut dyn BufRead) -> io::Result<Option<(u64, u64)>> {
    let Some(base) = size(delta)? else {
        return Ok(None);
    };
    Ok(size(delta)?.map(|result| (base, result)))
}

fn size(delta: &mut dyn BufRead) -> io::Result<Option<u64>> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let Some(byte) = byte(delta)? else {
            return Ok(None);
        };
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return Ok(None);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            return Ok(Some(value));
        }
    }
    Ok(None)
}

fn byte(delta: &mut dyn BufRead) -> io::Result<Option<u8>> {
    let Some(byte) = delta.fill_buf()?.first().copied() else {
        return Ok(None);
    };
    delta.consume(1);
    Ok(Some(byte))
}

/// Hands what the delta, whose sizes were read, makes of `base` to `each`; false if it does not fit
/// the base, or makes other than `size` bytes.
fn apply(
    base: &Content,
    delta: &mut dyn BufRead,
    size: u64,
    each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<bool> {
    let mut left = size;
    while let Some(command) = byte(delta)? {
        let taken = if command & 0x80 == 0 {
            insert(delta, command, left, each)?
        } else {
            copy(base, delta, command, left, each)?
        };
        let Some(taken) = taken else {
            return Ok(false);
        };
        left -= taken;
    }
    Ok(left == 0)
}

/// The bytes of the delta that follow; `None` if they are cut or more than are wanted.
fn insert(
    delta: &mut dyn BufRead,
    count: u8,
    left: u64,
    each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Option<u64>> {
    if count == 0 || u64::from(count) > left {
        return Ok(None);
    }
    let mut bytes = [0; 0x7f];
    let bytes = &mut bytes[..usize::from(count)];
    match delta.read_exact(bytes) {
        Ok(()) => each(bytes)?,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    Ok(Some(u64::from(count)))
}

/// The bytes of the base that the command names; `None` if there are none, or more than are wanted.
fn copy(
    base: &Content,
    delta: &mut dyn BufRead,
    command: u8,
    left: u64,
    each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<Option<u64>> {
    let mut argument = 0;
    for bit in 0..7 {
        if command & 1 << bit != 0 {
            let Some(byte) = byte(delta)? else {
                return Ok(None);
            };
            argument |= u64::from(byte) << (8 * bit);
        }
    }
    let length = match argument >> 32 {
        0 => 0x10000,
        length => length,
    };
    let fits = length <= left && base.copy(argument & 0xffff_ffff, length, each)?;
    Ok(fits.then_some(length))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    const BASE: &[u8] = b"0123456789";

    /// Both ways to read a delta say the same, from memory and from files.
    #[track_caller]
    fn check(told: &[u8]) {
        let folder = tempfile::tempdir().unwrap();
        let scratch = Scratch::of(folder.path().to_owned());
        let filed = |bytes: &[u8]| {
            let mut sink = Sink::new(false, Vec::new(), &scratch).unwrap();
            sink.write(bytes, &scratch).unwrap();
            sink.finish().unwrap()
        };
        let mut expected = Vec::new();
        let fits = delta::apply(BASE, told, &mut expected).is_some();
        for (base, told) in [
            (Content::Held(BASE.to_vec()), Content::Held(told.to_vec())),
            (filed(BASE), filed(told)),
        ] {
            for held_max in [0, HELD_BYTES] {
                let mut seen = Vec::new();
                let mut see = |piece: &[u8]| seen.extend_from_slice(piece);
                let built = build(&base, &told, held_max, Vec::new(), &scratch, &mut see).unwrap();
                assert_eq!(built.is_some(), fits, "applying {told:?}");
                if let Some(built) = built {
                    let mut bytes = Vec::new();
                    built.reader().unwrap().read_to_end(&mut bytes).unwrap();
                    assert_eq!(built.held().is_some(), held_max >= built.length());
                    assert!(bytes == expected && seen == expected, "applying {told:?}");
                }
            }
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn deltas_read_from_files_are_those_read_from_memory() {
        check(&[10, 5, 0x91, 2, 3, 2, b'a', b'b']);
        check(&[10, 2, 0x90, 2]);
        check(&[10, 0]);
        check(&[9, 1, 1, b'a']); // another base
        check(&[10, 4, 0x91, 8, 4]); // beyond the base
        check(&[10, 1, 2, b'a', b'b']); // more than promised
        check(&[10, 3, 2, b'a', b'b']); // less than promised
        check(&[10, 3, 3, b'a', b'b']); // cut insert
        check(&[10, 3, 0x91, 1]); // cut copy
        check(&[10, 1, 0]); // reserved
        check(&[10, 16, 0x80]); // 64 KiB is what no length means
        check(&[0x8a]);
        check(&[
            10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        ]);
    }
}
