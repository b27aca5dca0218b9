//! Binary files in a patch: the whole content of either side, compressed and spelt in letters.
//!
//! Source: `git diff --binary`; the alphabet is that of RFC 1924.
//! Bounds: the text is a quarter longer than what it compresses.
//! Invariant: deflated bytes differ between compressors, so the text need not be git's; git applies it.
//! Not here: deltas. Git writes one where that is shorter; the whole content is valid in its place.

use std::io::Write as _;

use flate2::{Compression, write::ZlibEncoder};

/// Bytes told in a line.
pub(in crate::git::diff) const LINE_BYTES: usize = 52;

/// Digits to the base of 85.
pub(in crate::git::diff) const DIGITS: &[u8; 85] =
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~";

/// Appends the content of the new file, and that of the old one for those who go back.
pub(super) fn write(old: &[u8], new: &[u8], text: &mut Vec<u8>) {
    text.extend_from_slice(b"GIT binary patch\n");
    write_whole(new, text);
    write_whole(old, text);
}

fn write_whole(content: &[u8], text: &mut Vec<u8>) {
    const TAKES_ALL: &str = "a vector takes everything";
    writeln!(text, "literal {}", content.len()).expect(TAKES_ALL);
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).expect(TAKES_ALL);
    let deflated = encoder.finish().expect(TAKES_ALL);
    for line in deflated.chunks(LINE_BYTES) {
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
