//! Text that came from outside, made fit to be shown or sent.
//!
//! Source: house rule: what a peer sent is never echoed with control characters in it.
//! Bounds: an [`Excerpt`] holds at most [`EXCERPT_CHARS`] characters.
//! Invariant: no control character (C0, DEL, C1) passes but those that a function names.
//! Not here: whether a ref name is well formed.

use std::fmt;

/// Characters kept of an offending value.
const EXCERPT_CHARS: usize = 100;

/// The beginning of something a peer sent, fit for logs and terminals.
#[derive(Clone, PartialEq, Eq)]
pub struct Excerpt(String);

impl Excerpt {
    /// The first characters of `bytes`, with `?` in place of control characters and of what is not UTF-8.
    pub fn of(bytes: &[u8]) -> Self {
        let head = bytes.get(..EXCERPT_CHARS * 4).unwrap_or(bytes);
        let text = String::from_utf8_lossy(head);
        let mut shown: String = text.chars().take(EXCERPT_CHARS).map(harmless).collect();
        if text.chars().nth(EXCERPT_CHARS).is_some() || head.len() < bytes.len() {
            shown.push('…');
        }
        Self(shown)
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// `text` as one line: control characters become `?`.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(harmless).collect()
}

/// `text` as a terminal may show it: control characters but tab, line feed and carriage return become `?`.
pub(crate) fn lines(text: &str) -> String {
    text.chars()
        .map(|c| {
            if matches!(c, '\t' | '\n' | '\r') {
                c
            } else {
                harmless(c)
            }
        })
        .collect()
}

fn harmless(c: char) -> char {
    if c.is_control() || c == char::REPLACEMENT_CHARACTER {
        '?'
    } else {
        c
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_holds_no_control_characters_and_says_where_it_was_cut() {
        assert_eq!(
            Excerpt::of(b"a\x1b[2J\r\n\0\x7f\xffz").to_string(),
            "a?[2J?????z"
        );
        assert_eq!(Excerpt::of("\u{9b}31m é".as_bytes()).to_string(), "?31m é");
        assert_eq!(
            Excerpt::of(&[b'x'; EXCERPT_CHARS]).to_string(),
            "x".repeat(EXCERPT_CHARS)
        );
        let cut = "x".repeat(EXCERPT_CHARS) + "…";
        assert_eq!(Excerpt::of(&[b'x'; EXCERPT_CHARS + 1]).to_string(), cut);
        assert_eq!(Excerpt::of(&[b'x'; 10_000]).to_string(), cut);
    }

    #[test]
    fn progress_keeps_its_line_ends_and_nothing_else() {
        assert_eq!(lines("50%\r\tdone\n\x07\x1b[0m"), "50%\r\tdone\n??[0m");
        assert_eq!(one_line("a\nb\tc"), "a?b?c");
    }
}
