//! Names of files as patches write them.
//!
//! Source: git-config(1), `core.quotePath`, which is on.
//! Invariant: what [`quoted`] writes, [`unquoted`] reads.

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

/// A name in quotes at the beginning of `text`, without them, and what follows; `None` if it is none.
pub(in crate::git::diff) fn unquoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = text.strip_prefix(b"\"")?;
    let mut name = Vec::new();
    loop {
        let (byte, tail) = rest.split_first()?;
        rest = tail;
        match byte {
            b'"' => return Some((name, rest)),
            b'\\' => {
                let (letter, tail) = rest.split_first()?;
                rest = tail;
                let stands_for = LETTERS.iter().find(|(known, _)| known == letter);
                if let Some((_, stands_for)) = stands_for {
                    name.push(*stands_for);
                    continue;
                }
                let (others, tail) = rest.split_first_chunk::<2>()?;
                rest = tail;
                let digit = |byte: u8| (b'0'..=b'7').contains(&byte).then(|| byte - b'0');
                let first = digit(*letter).filter(|digit| *digit < 4)?;
                name.push(first << 6 | digit(others[0])? << 3 | digit(others[1])?);
            }
            byte => name.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_written_as_it_is_read() {
        let check = |name: &[u8], expected: &str| {
            let text = quoted(b"", name);
            assert_eq!(String::from_utf8_lossy(&text), expected);
            if text.starts_with(b"\"") {
                let (read, rest) = unquoted(&text).unwrap();
                assert_eq!((&*read, rest), (name, &b""[..]));
            }
        };
        check(b"a b", "a b");
        check(b"a\tb\"\\\n", r#""a\tb\"\\\n""#);
        check("ä".as_bytes(), r#""\303\244""#);
        check(b"\x01\x7f\x07\x08\x0b\x0c\r", r#""\001\177\a\b\v\f\r""#);
        let all: Vec<u8> = (0..=255).collect();
        assert_eq!(
            unquoted(&quoted(b"a/", &all)).unwrap().0,
            [b"a/", &*all].concat()
        );
    }

    #[test]
    fn a_name_cut_or_malformed_is_none() {
        for text in [
            "",
            "a",
            "\"",
            "\"a",
            "\"\\",
            "\"\\1",
            "\"\\12",
            "\"\\400\"",
            "\"\\x\"",
            "\"\\189\"",
        ] {
            assert_eq!(unquoted(text.as_bytes()), None, "{text}");
        }
    }
}
