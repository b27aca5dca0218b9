//! Deltas: a new object told as copies out of a base and bytes of its own.
//!
//! Source: gitformat-pack(5), "Deltified representation".
//! Invariant: nothing is written or read outside of the sizes that the delta's own header and the
//! base give.

/// One step of a delta.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instruction<'a> {
    /// These bytes of the base.
    Copy {
        /// First byte.
        offset: usize,
        /// How many, never zero.
        length: usize,
    },
    /// These bytes of the delta itself.
    Insert(&'a [u8]),
}

/// The sizes of base and result, and the instructions that follow them.
///
/// Answers `None` when the header is cut or a size is beyond this machine.
pub(crate) fn instructions(delta: &[u8]) -> Option<(usize, usize, Instructions<'_>)> {
    let mut rest = delta;
    let base = size(&mut rest)?;
    let result = size(&mut rest)?;
    Some((base, result, Instructions { rest }))
}

/// A little-endian number, seven bits a byte.
fn size(rest: &mut &[u8]) -> Option<usize> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        let bits = u64::from(byte & 0x7f);
        value |= bits
            .checked_shl(shift)
            .filter(|shifted| shifted >> shift == bits)?;
        if byte & 0x80 == 0 {
            return usize::try_from(value).ok();
        }
    }
    None
}

/// Iterates over the steps; `Some(None)` is a malformed one, after which nothing follows.
pub(crate) struct Instructions<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Instructions<'a> {
    type Item = Option<Instruction<'a>>;

    fn next(&mut self) -> Option<Self::Item> {
        let (command, tail) = self.rest.split_first()?;
        self.rest = tail;
        let step = self.step(*command);
        if step.is_none() {
            self.rest = &[];
        }
        Some(step)
    }
}

impl<'a> Instructions<'a> {
    fn step(&mut self, command: u8) -> Option<Instruction<'a>> {
        if command & 0x80 == 0 {
            let (bytes, tail) = self.rest.split_at_checked(usize::from(command))?;
            self.rest = tail;
            return (command != 0).then_some(Instruction::Insert(bytes));
        }
        let mut argument = 0u64;
        for bit in 0..7 {
            if command & 1 << bit != 0 {
                let (byte, tail) = self.rest.split_first()?;
                self.rest = tail;
                argument |= u64::from(*byte) << (8 * bit);
            }
        }
        let length = match argument >> 32 {
            0 => 0x10000,
            length => length,
        };
        Some(Instruction::Copy {
            offset: usize::try_from(argument & 0xffff_ffff).ok()?,
            length: usize::try_from(length).ok()?,
        })
    }
}

/// Appends the result, whose size the caller found bearable, to `output`; `None` if the delta does
/// not fit the base or itself.
pub(crate) fn apply(base: &[u8], delta: &[u8], output: &mut Vec<u8>) -> Option<()> {
    let (base_size, result_size, steps) = instructions(delta)?;
    if base_size != base.len() {
        return None;
    }
    let start = output.len();
    output.reserve(result_size);
    for step in steps {
        let bytes = match step? {
            Instruction::Copy { offset, length } => base.get(offset..)?.get(..length)?,
            Instruction::Insert(bytes) => bytes,
        };
        if output.len() - start + bytes.len() > result_size {
            return None;
        }
        output.extend_from_slice(bytes);
    }
    (output.len() - start == result_size).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(delta: &[u8], expected: Option<&str>) {
        let mut output = b">".to_vec();
        let done = apply(b"0123456789", delta, &mut output);
        let text = String::from_utf8(output).unwrap();
        assert_eq!(done.map(|()| &text[1..]), expected, "applying {delta:?}");
    }

    #[test]
    fn copies_and_inserts_make_the_result() {
        check(&[10, 5, 0x91, 2, 3, 2, b'a', b'b'], Some("234ab"));
        check(&[10, 2, 0x90, 2], Some("01"));
        check(&[10, 0], Some(""));
    }

    #[test]
    fn what_reaches_outside_is_refused() {
        check(&[9, 1, 1, b'a'], None); // another base
        check(&[10, 4, 0x91, 8, 4], None); // beyond the base
        check(&[10, 4, 0x91, 200, 4], None);
        check(&[10, 1, 2, b'a', b'b'], None); // more than promised
        check(&[10, 3, 2, b'a', b'b'], None); // less than promised
        check(&[10, 3, 3, b'a', b'b'], None); // cut insert
        check(&[10, 3, 0x91, 1], None); // cut copy
        check(&[10, 1, 0], None); // reserved
        check(&[10, 16, 0x80], None); // 64 KiB is what no length means
        check(&[0x8a], None);
        check(
            &[
                10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
            ],
            None,
        );
    }
}
