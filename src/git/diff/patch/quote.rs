//! Names of files as patches write them.
//!
//! Source: git-config(1), `core.quotePath`, which is on.

/// A name behind its prefix; both in quotes if the name has bytes that need it.
pub(super) fn quoted(prefix: &[u8], name: &[u8]) -> Vec<u8> {
    let odd = |byte: &u8| matches!(byte, ..b' ' | b'"' | b'\\' | 0x7f..);
    if !name.iter().any(odd) {
        return [prefix, name].concat();
    }
    let mut text = [b"\"", prefix].concat();
    for byte in name {
        let letter = LETTERS.iter().find(|(_, stands_for)| stands_for == byte);
        match letter {
            Some((letter, _)) => text.extend([b'\\', *letter]),
            None if odd(byte) => {
                let digit = |shift: u8| b'0' + (byte >> shift & 7);
                text.extend([b'\\', digit(6), digit(3), digit(0)]);
            }
            None => text.push(*byte),
        }
    }
    text.push(b'"');
    text
}

/// Bytes that have a letter of their own behind a backslash.
const LETTERS: [(u8, u8); 9] = [
    (b'a', 0x07),
    (b'b', 0x08),
    (b't', b'\t'),
    (b'n', b'\n'),
    (b'v', 0x0b),
    (b'f', 0x0c),
    (b'r', b'\r'),
    (b'"', b'"'),
    (b'\\', b'\\'),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_needs_it_is_quoted() {
        let check = |name: &[u8], expected: &str| {
            assert_eq!(String::from_utf8_lossy(&quoted(b"a/", name)), expected);
        };
        check(b"a b", "a/a b");
        check(b"a\tb\"\\\n", r#""a/a\tb\"\\\n""#);
        check("ä".as_bytes(), r#""a/\303\244""#);
        check(b"\x01\x7f\x07\x08\x0b\x0c\r", r#""a/\001\177\a\b\v\f\r""#);
    }
}
