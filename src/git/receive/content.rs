//! The content of an object while deltas are built upon it: in memory while it is small, else in a file.
//!
//! Source: gitformat-pack(5), "Deltified representation", for the deltas that are read here piece by piece.
//! Bounds: [`HELD_BYTES`] of a blob or a delta in memory; files pass in pieces of [`PIECE_BYTES`].
//! Invariant: a file lies in the repository's `incoming` folder without a name, so it goes with its content.
//! Not here: deltas of which base, delta and result are held (`packs::delta`), which is nearly all of them.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, BufWriter, Seek as _, SeekFrom, Write as _},
    os::unix::fs::FileExt as _,
};

use super::spool::Spool;

/// Blobs and deltas above this size are built in files.
pub(super) const HELD_BYTES: u64 = 8 << 20;
const PIECE_BYTES: usize = 64 << 10;

/// All bytes of an object, or of a delta.
#[derive(Debug)]
pub(super) enum Content {
    Held(Vec<u8>),
    Filed { file: File, length: u64 },
}

impl Content {
    pub(super) fn length(&self) -> u64 {
        match self {
            Self::Held(bytes) => bytes.len() as u64,
            Self::Filed { length, .. } => *length,
        }
    }

    /// The bytes, where they are in memory.
    pub(super) fn held(&self) -> Option<&[u8]> {
        match self {
            Self::Held(bytes) => Some(bytes),
            Self::Filed { .. } => None,
        }
    }

    /// Reads from the start; one reader at a time.
    pub(super) fn reader(&self) -> io::Result<Box<dyn BufRead + '_>> {
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
pub(super) enum Sink {
    Held(Vec<u8>),
    Filed { file: BufWriter<File>, length: u64 },
}

impl Sink {
    /// In memory if `held`, using `spare` again; else in a file beside the pack.
    pub(super) fn new(held: bool, mut spare: Vec<u8>, spool: &Spool) -> io::Result<Self> {
        if held {
            spare.clear();
            return Ok(Self::Held(spare));
        }
        let file = BufWriter::with_capacity(PIECE_BYTES, spool.scratch()?);
        Ok(Self::Filed { file, length: 0 })
    }

    pub(super) fn write(&mut self, bytes: &[u8], spool: &Spool) -> io::Result<()> {
        match self {
            Self::Held(held) => held.extend_from_slice(bytes),
            Self::Filed { file, length } => {
                let longer = *length + bytes.len() as u64;
                spool.has_room(*length..longer)?;
                file.write_all(bytes)?;
                *length = longer;
            }
        }
        Ok(())
    }

    pub(super) fn finish(self) -> io::Result<Content> {
        Ok(match self {
            Self::Held(bytes) => Content::Held(bytes),
            Self::Filed { file, length } => {
                let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
                Content::Filed { file, length }
            }
        })
    }
}

/// The sizes of base and result, which lead a delta; `None` when they are cut or too large.
pub(super) fn sizes(delta: &mut dyn BufRead) -> io::Result<Option<(u64, u64)>> {
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
pub(super) fn apply(
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
    use super::*;
    use crate::git::packs::delta;

    const BASE: &[u8] = b"0123456789";

    /// Both ways to read a delta say the same, from memory and from files.
    #[track_caller]
    fn check(told: &[u8]) {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::new(folder.path());
        let filed = |bytes: &[u8]| {
            let mut sink = Sink::new(false, Vec::new(), &spool).unwrap();
            sink.write(bytes, &spool).unwrap();
            sink.finish().unwrap()
        };
        let mut expected = Vec::new();
        let fits = delta::apply(BASE, told, &mut expected).is_some();
        for (base, told) in [
            (Content::Held(BASE.to_vec()), Content::Held(told.to_vec())),
            (filed(BASE), filed(told)),
        ] {
            let mut reader = told.reader().unwrap();
            let mut result = Vec::new();
            let done = match sizes(&mut *reader).unwrap() {
                Some((base_size, size)) if base_size == base.length() => {
                    apply(&base, &mut *reader, size, &mut |bytes| {
                        result.extend_from_slice(bytes);
                        Ok(())
                    })
                    .unwrap()
                }
                _ => false,
            };
            assert_eq!(done, fits, "applying {told:?}");
            assert!(!fits || result == expected, "applying {told:?}");
        }
        drop(spool);
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
