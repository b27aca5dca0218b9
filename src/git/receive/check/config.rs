//! git's configuration syntax, as far as it matters what a file says.
//!
//! Source: git-config(1), "Syntax".
//! Bounds: one item at a time, which is no longer than the file.
//! Invariant: it stops where git's own parser gives up, and reads the same up to there.

/// A piece of a configuration file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// `[name "subsection"]`
    Section {
        name: Vec<u8>,
        subsection: Option<Vec<u8>>,
    },
    /// `key = value`, or `key` alone
    Setting {
        key: Vec<u8>,
        value: Option<Vec<u8>>,
    },
}

/// Reads git's configuration syntax item by item.
pub(super) struct Parser<'a> {
    rest: &'a [u8],
    whole: bool,
}

impl<'a> Parser<'a> {
    /// Begins behind the byte order mark, if there is one.
    pub(super) fn of(text: &'a [u8]) -> Self {
        Self {
            rest: text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text),
            whole: false,
        }
    }

    /// Whether it came to the end with nothing wrong on the way.
    pub(super) fn has_read_all(&self) -> bool {
        self.whole
    }

    /// The next item; `None` at the end and at the first thing that is no configuration.
    pub(super) fn next(&mut self) -> Option<Item> {
        let mut in_comment = false;
        while let Some(byte) = self.byte() {
            match byte {
                b'\n' => in_comment = false,
                _ if in_comment => {}
                b' ' | b'\t' | b'\r' | 0x0b | 0x0c => {}
                b'#' | b';' => in_comment = true,
                b'[' => return self.section(),
                first if first.is_ascii_alphabetic() => return self.setting(first),
                _ => return None,
            }
        }
        self.whole = true;
        None
    }

    /// The next byte, a line end in one byte however it is written.
    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        if *byte == b'\r'
            && let Some(rest) = rest.strip_prefix(b"\n")
        {
            self.rest = rest;
            return Some(b'\n');
        }
        Some(*byte)
    }

    fn section(&mut self) -> Option<Item> {
        let mut name = Vec::new();
        loop {
            match self.byte()? {
                b']' => {
                    // The old form, `[submodule.name]`.
                    let dot = name.iter().position(|byte| *byte == b'.');
                    let subsection = dot.map(|dot| name.split_off(dot)[1..].to_vec());
                    return Some(Item::Section { name, subsection });
                }
                b' ' | b'\t' => break,
                byte if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.') => {
                    name.push(byte.to_ascii_lowercase());
                }
                _ => return None,
            }
        }
        let mut quote = self.byte()?;
        while matches!(quote, b' ' | b'\t') {
            quote = self.byte()?;
        }
        if quote != b'"' {
            return None;
        }
        let mut subsection = Vec::new();
        loop {
            match self.byte()? {
                b'"' => break,
                b'\n' => return None,
                b'\\' => match self.byte()? {
                    b'\n' => return None,
                    byte => subsection.push(byte),
                },
                byte => subsection.push(byte),
            }
        }
        // `[a.b "c"]` is the section `a` with the subsection `b.c`.
        if let Some(dot) = name.iter().position(|byte| *byte == b'.') {
            let mut whole = name.split_off(dot)[1..].to_vec();
            whole.push(b'.');
            whole.append(&mut subsection);
            subsection = whole;
        }
        (self.byte()? == b']').then_some(Item::Section {
            name,
            subsection: Some(subsection),
        })
    }

    fn setting(&mut self, first: u8) -> Option<Item> {
        let mut key = vec![first.to_ascii_lowercase()];
        let mut next = self.byte();
        while let Some(byte) = next
            && (byte.is_ascii_alphanumeric() || byte == b'-')
        {
            key.push(byte.to_ascii_lowercase());
            next = self.byte();
        }
        while matches!(next, Some(b' ' | b'\t')) {
            next = self.byte();
        }
        let value = match next {
            None | Some(b'\n') => None,
            Some(b'=') => Some(self.value()?),
            Some(_) => return None,
        };
        Some(Item::Setting { key, value })
    }

    fn value(&mut self) -> Option<Vec<u8>> {
        let (mut value, mut quoted, mut comment) = (Vec::new(), false, false);
        // Blanks at the end do not count, those within do.
        let mut kept = 0;
        loop {
            match self.byte() {
                None if quoted => return None,
                None => break,
                Some(b'\n') if quoted => return None,
                Some(b'\n') => break,
                Some(_) if comment => {}
                Some(b' ' | b'\t' | 0x0b | 0x0c | b'\r') if !quoted && value.is_empty() => {}
                Some(byte @ (b' ' | b'\t' | 0x0b | 0x0c | b'\r')) if !quoted => value.push(byte),
                Some(b'#' | b';') if !quoted => comment = true,
                Some(b'"') => {
                    quoted = !quoted;
                    kept = value.len();
                }
                Some(b'\\') => {
                    match self.byte()? {
                        b'\n' => continue,
                        b't' => value.push(b'\t'),
                        b'b' => value.push(0x08),
                        b'n' => value.push(b'\n'),
                        byte @ (b'\\' | b'"') => value.push(byte),
                        _ => return None,
                    }
                    kept = value.len();
                }
                Some(byte) => {
                    value.push(byte);
                    kept = value.len();
                }
            }
        }
        value.truncate(kept);
        Some(value)
    }
}
