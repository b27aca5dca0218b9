//! Binary files in a patch: what makes either side of the other, compressed and spelt in letters.
//!
//! Source: `git diff --binary`; the alphabet is that of RFC 1924.
//! Bounds: the text is a quarter longer than what it compresses.
//! Invariant: deflated bytes differ between compressors and deltas between those who make them, so the text need not
//! be git's; git applies it.

use std::io::Write as _;

use flate2::{Compression, write::ZlibEncoder};

use super::delta::delta;

/// Bytes told in a line.
pub(in crate::git::diff) const LINE_BYTES: usize = 52;

/// Digits to the base of 85.
pub(in crate::git::diff) const DIGITS: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

const TAKES_ALL: &str = "a vector takes everything";

/// Appends what makes the new file of the old one, and the way back.
pub(super) fn write(old: &[u8], new: &[u8], text: &mut Vec<u8>) {
    text.extend_from_slice(b"GIT binary patch\n");
    write_hunk(old, new, text);
    write_hunk(new, old, text);
}

/// Appends a delta, or the content itself if that is not longer.
fn write_hunk(from: &[u8], to: &[u8], text: &mut Vec<u8>) {
    let whole = deflated(to);
    let delta = match from.is_empty() || to.is_empty() {
        true => None,
        false => delta(from, to, whole.len()),
    };
    let delta = delta.map(|delta| (delta.len(), deflated(&delta)));
    let (word, size, data) = match delta {
        Some((size, data)) if data.len() < whole.len() => ("delta", size, data),
        _ => ("literal", to.len(), whole),
    };
    writeln!(text, "{word} {size}").expect(TAKES_ALL);
    write_lines(&data, text);
}

fn deflated(content: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).expect(TAKES_ALL);
    encoder.finish().expect(TAKES_ALL)
}

fn write_lines(data: &[u8], text: &mut Vec<u8>) {
    for line in data.chunks(LINE_BYTES) {
        // A to Z for 1 to 26 bytes, then a to z.
        let length = (b'A'..=b'Z').chain(b'a'..=b'z').nth(line.len() - 1);
        text.extend(length);
        for group in line.chunks(4) {
            let mut bytes = [0; 4];
            bytes[..group.len()].copy_from_slice(group);
            let number = u32::from_be_bytes(bytes);
            let digits = [52_200_625, 614_125, 7_225, 85, 1].map(|place| number / place % 85);
            text.extend(digits.map(|digit| DIGITS[digit as usize]));
        }
        text.push(b'\n');
    }
    text.push(b'\n');
}
