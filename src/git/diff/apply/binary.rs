//! Binary data of a patch back into bytes.
//!
//! Source: `git diff --binary`; gitformat-pack(5), "Deltified representation".
//! Bounds: the caller says how large the result may be; nothing larger is inflated.

use flate2::{Decompress, FlushDecompress, Status};

use super::parse::{BinaryHunk, first_line};
use crate::git::{
    diff::patch::{BINARY_LINE_BYTES, DIGITS},
    packs::{delta, instructions},
};

/// Why there is no result.
pub(super) enum Failure {
    /// The data is not what a hunk may hold.
    Malformed(&'static str),
    /// The result is larger than it may be.
    TooLarge,
    /// A delta is for other content.
    Misfit,
}

/// How many bytes a line tells; `None` if it is malformed.
pub(super) fn line_length(line: &[u8]) -> Option<usize> {
    let (length, digits) = line.strip_suffix(b"\n")?.split_first()?;
    let length = match length {
        b'A'..=b'Z' => length - b'A' + 1,
        b'a'..=b'z' => length - b'a' + 27,
        _ => return None,
    };
    let length = usize::from(length);
    debug_assert!(length <= BINARY_LINE_BYTES, "letters end where lines do");
    (digits.len() == length.div_ceil(4) * 5).then_some(length)
}

/// The content that a hunk makes of `old`.
pub(super) fn apply(hunk: &BinaryHunk<'_>, old: &[u8], bytes_max: u64) -> Result<Vec<u8>, Failure> {
    let data = inflate(hunk, bytes_max)?;
    if !hunk.is_delta {
        return Ok(data);
    }
    let (_, size, _) =
        instructions(&data).ok_or(Failure::Malformed("a delta has no valid head"))?;
    if size as u64 > bytes_max {
        return Err(Failure::TooLarge);
    }
    let mut result = Vec::new();
    match delta::apply(old, &data, &mut result) {
        Some(()) => Ok(result),
        None => Err(Failure::Misfit),
    }
}

fn inflate(hunk: &BinaryHunk<'_>, bytes_max: u64) -> Result<Vec<u8>, Failure> {
    const MALFORMED: Failure = Failure::Malformed("binary data does not inflate to its size");
    if hunk.size > bytes_max {
        return Err(Failure::TooLarge);
    }
    let deflated = digits(hunk.text).ok_or(Failure::Malformed("binary data has other digits"))?;
    let size = usize::try_from(hunk.size).map_err(|_| Failure::TooLarge)?;
    // A byte deflates to no less than a thousandth of itself.
    if size / 1100 > deflated.len() {
        return Err(MALFORMED);
    }
    // One byte more shows whether it would go on.
    let mut data = Vec::with_capacity(size + 1);
    let status =
        Decompress::new(true).decompress_vec(&deflated, &mut data, FlushDecompress::Finish);
    match status {
        Ok(Status::StreamEnd) if data.len() == size => Ok(data),
        _ => Err(MALFORMED),
    }
}

fn digits(mut text: &[u8]) -> Option<Vec<u8>> {
    let mut values = [None; 256];
    for (value, digit) in (0u32..).zip(DIGITS) {
        values[usize::from(*digit)] = Some(value);
    }
    let mut bytes = Vec::with_capacity(text.len() / 5 * 4);
    while !text.is_empty() {
        let line = first_line(text);
        text = &text[line.len()..];
        let end = bytes.len() + line_length(line)?;
        for group in line[1..line.len() - 1].chunks(5) {
            let number = group.iter().try_fold(0u32, |number, digit| {
                number
                    .checked_mul(85)?
                    .checked_add(values[usize::from(*digit)]?)
            });
            bytes.extend(number?.to_be_bytes());
        }
        bytes.truncate(end);
    }
    Some(bytes)
}
