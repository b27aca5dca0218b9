//! `.gitattributes` as far as archives care: what is left out, and what is filled in.
//!
//! Source: gitattributes(5), "export-ignore" and "export-subst"; macros as it defines them.
//! Bounds: [`BYTES_MAX`] for one file; only lines that matter are kept.
//! Invariant: the file of the innermost folder decides, in it the last line that matches.
//! Not here: the other attributes; contents are archived as they are stored.

use std::collections::HashMap;

use crate::git::patterns::Pattern;

/// Bytes of a `.gitattributes` that are read, so much as no real one has.
pub(super) const BYTES_MAX: u64 = 8 << 20;
/// A longer line is none, as git has it.
const LINE_BYTES_MAX: usize = 2048;
/// Macros that name each other are followed so far.
const MACRO_DEPTH_MAX: u32 = 8;

/// What the attributes say of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Exported {
    /// It is left out.
    pub(super) ignored: bool,
    /// Placeholders in it are filled in.
    pub(super) substituted: bool,
}

/// The attributes of the folders on the way down.
#[derive(Debug, Default)]
pub(super) struct Attributes {
    /// By the bytes of the folder's path, the outermost first.
    folders: Vec<(usize, Vec<Line>)>,
    macros: HashMap<Vec<u8>, Vec<Assignment>>,
}

#[derive(Debug)]
struct Line {
    pattern: Pattern,
    assignments: Vec<Assignment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Assignment {
    name: Vec<u8>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Set,
    /// Unset, or with a value, which is not the same as set.
    Other,
    /// As if no line said anything.
    Unspecified,
}

/// What is known so far, the most important lines first.
#[derive(Debug, Default)]
struct Known {
    ignored: Option<State>,
    substituted: Option<State>,
}

impl Attributes {
    /// Enters a folder whose path has so many bytes, the slash behind it included.
    pub(super) fn enter(&mut self, path_bytes: usize, text: &[u8]) {
        let is_top = path_bytes == 0;
        let mut lines = Vec::new();
        for line in text.split(|byte| *byte == b'\n') {
            if line.len() >= LINE_BYTES_MAX {
                continue;
            }
            let Some((pattern, rest)) = words(line) else {
                continue;
            };
            let assignments: Vec<_> = rest.iter().map(|word| assignment(word)).collect();
            if let Some(name) = pattern.strip_prefix(b"[attr]") {
                if is_top {
                    self.macros.insert(name.to_vec(), assignments);
                }
            } else if !pattern.starts_with(b"!") {
                lines.push(Line {
                    pattern: Pattern::parse(&pattern),
                    assignments,
                });
            }
        }
        self.folders.push((path_bytes, lines));
    }

    /// Leaves the folder entered last.
    pub(super) fn leave(&mut self) {
        self.folders.pop();
    }

    /// What is said of this path.
    pub(super) fn of(&self, path: &[u8], is_folder: bool) -> Exported {
        let mut known = Known::default();
        for (path_bytes, lines) in self.folders.iter().rev() {
            let path = &path[*path_bytes..];
            for line in lines.iter().rev() {
                if line.pattern.matches(path, is_folder) {
                    self.learn(&line.assignments, &mut known, MACRO_DEPTH_MAX);
                }
            }
        }
        Exported {
            ignored: known.ignored == Some(State::Set),
            substituted: known.substituted == Some(State::Set),
        }
    }

    fn learn(&self, assignments: &[Assignment], known: &mut Known, depth: u32) {
        for Assignment { name, state } in assignments.iter().rev() {
            match &**name {
                b"export-ignore" => known.ignored = known.ignored.or(Some(*state)),
                b"export-subst" => known.substituted = known.substituted.or(Some(*state)),
                _ if *state == State::Set && depth > 0 => {
                    if let Some(more) = self.macros.get(name) {
                        self.learn(more, known, depth - 1);
                    }
                }
                _ => {}
            }
        }
    }
}

fn assignment(word: &[u8]) -> Assignment {
    let (name, state) = match word {
        [b'-', name @ ..] => (name, State::Other),
        [b'!', name @ ..] => (name, State::Unspecified),
        _ => match word.iter().position(|byte| *byte == b'=') {
            Some(equals) => (&word[..equals], State::Other),
            None => (word, State::Set),
        },
    };
    Assignment {
        name: name.to_vec(),
        state,
    }
}

/// The pattern of a line and the words after it; nothing for lines that say nothing.
fn words(line: &[u8]) -> Option<(Vec<u8>, Vec<&[u8]>)> {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let begin = line.iter().position(|byte| !is_blank(byte))?;
    let line = &line[begin..];
    if line[0] == b'#' {
        return None;
    }
    let (pattern, rest) = match unquoted(line) {
        Some(quoted) => quoted,
        None => {
            let end = line.iter().position(is_blank).unwrap_or(line.len());
            (line[..end].to_vec(), &line[end..])
        }
    };
    let words = rest.split(is_blank).filter(|word| !word.is_empty());
    Some((pattern, words.collect()))
}

/// A pattern in double quotes with C's escapes, and what follows it.
fn unquoted(line: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let mut rest = line.strip_prefix(b"\"")?;
    let mut pattern = Vec::new();
    loop {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        match byte {
            b'"' => return Some((pattern, rest)),
            b'\\' => {
                let (&escaped, after) = rest.split_first()?;
                rest = after;
                pattern.push(match escaped {
                    b'a' => 7,
                    b'b' => 8,
                    b't' => b'\t',
                    b'n' => b'\n',
                    b'v' => 11,
                    b'f' => 12,
                    b'r' => b'\r',
                    b'\\' | b'"' => escaped,
                    b'0'..=b'3' => {
                        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                        rest = &rest[2..];
                        (escaped - b'0') * 64 + u8::from_str_radix(digits, 8).ok()?
                    }
                    _ => return None,
                });
            }
            other => pattern.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_file_decides_and_in_it_the_last_line() {
        let mut attributes = Attributes::default();
        attributes.enter(
            0,
            b"# nothing\n*.o export-ignore\n/docs/ export-ignore\n[attr]release export-subst -text\n\
              VERSION release\n\"sp ace\" export-ignore\nvalue export-ignore=yes\n",
        );
        attributes.enter(4, b"keep.o -export-ignore\nback.o !export-ignore\n");
        let ignored = |path: &str| attributes.of(path.as_bytes(), path.ends_with('x')).ignored;
        assert!(ignored("lib/a.o"));
        assert!(!ignored("lib/keep.o"));
        // Unspecified is a word of its own: it does not fall through to the outer file.
        assert!(!ignored("lib/back.o"));
        assert!(ignored("lib/sp ace"));
        assert!(!ignored("lib/value"));
        assert!(attributes.of(b"lib/VERSION", false).substituted);
        attributes.leave();
        assert!(attributes.of(b"docs", true).ignored);
        assert!(!attributes.of(b"docs", false).ignored);
    }
}
