//! The section of a patch that tells what happened to one file.
//!
//! Source: git-diff(1), "Generating patch text with -p"; `core.quotePath`, `core.abbrev` and `diff.context` have their
//! defaults.
//! Bounds: both contents are held, [`Differ::TEXT_BYTES_MAX`] each; the text is no longer than both and some.
//! Invariant: in the readable form the text is what `git diff` prints; in the applicable form it holds all that it takes
//! to make the new file from the old one, although the compressed bytes may be other than git's.

mod binary;
mod delta;
mod quote;

use std::io::Write as _;

use super::{
    DiffError, Differ, FileAt, Pair, State, is_binary,
    lines::{CONTEXT, Comparison},
    read_blob,
};
use crate::model::ObjectId;
pub(super) use binary::{DIGITS, LINE_BYTES as BINARY_LINE_BYTES};
use quote::quoted;
pub(super) use quote::unquoted;

/// A text of more lines is shown as git shows binary files: how long a comparison takes grows faster than its lines.
const LINES_MAX: usize = 1_000_000;

/// Which patch is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people: ids are cut, and binary files only said to differ.
    Readable,
    /// As with `--binary --full-index`: whole ids, and binary files with their content. A patch in JSON is UTF-8, so
    /// lines that are not are told as binary data, too.
    Applicable,
}

/// What happened to one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// From `diff --git` on.
    pub text: Vec<u8>,
    /// Lines added.
    pub additions: u64,
    /// Lines removed.
    pub deletions: u64,
    /// Whether either side is no text, or too large to be looked into.
    pub is_binary: bool,
    /// Whether the file ends in a line feed: the new one, or the old one if it is gone. False if it is too large to be
    /// looked into.
    pub ends_in_line_feed: bool,
}

/// What a file holds; nothing if there is no file.
enum Content {
    Here(Vec<u8>),
    TooLarge,
}

impl Content {
    fn is_binary(&self) -> bool {
        match self {
            Self::Here(bytes) => {
                is_binary(bytes) || memchr::memchr_iter(b'\n', bytes).count() > LINES_MAX
            }
            Self::TooLarge => true,
        }
    }
}

impl Differ {
    /// Tells what happened to a file.
    ///
    /// # Errors
    /// When its content is missing or damaged, or in the applicable form has more than [`Self::TEXT_BYTES_MAX`].
    pub fn section(&mut self, pair: &Pair, form: Form) -> Result<Section, DiffError> {
        let mut section = Section {
            text: Vec::new(),
            additions: 0,
            deletions: 0,
            is_binary: false,
            ends_in_line_feed: false,
        };
        match (&pair.before, &pair.after, pair.state) {
            (Some(before), Some(after), State::TypeChanged) => {
                // What becomes of another type is a file that went and one that came.
                self.write(Some(before), None, pair.state, form, &mut section)?;
                self.write(None, Some(after), pair.state, form, &mut section)?;
            }
            (before, after, state) => {
                self.write(before.as_ref(), after.as_ref(), state, form, &mut section)?;
            }
        }
        Ok(section)
    }

    fn write(
        &mut self,
        before: Option<&FileAt>,
        after: Option<&FileAt>,
        state: State,
        form: Form,
        section: &mut Section,
    ) -> Result<(), DiffError> {
        let Some(path) = after.or(before).map(|file| &*file.path) else {
            return Ok(());
        };
        let same = matches!((before, after), (Some(before), Some(after)) if before.id == after.id);
        let new = self.content(after)?;
        let old = match same {
            true => Content::Here(Vec::new()),
            false => self.content(before)?,
        };
        if let Content::Here(bytes) = if after.is_some() { &new } else { &old } {
            section.ends_in_line_feed = bytes.ends_with(b"\n");
        }
        let binary = new.is_binary() || old.is_binary();
        section.is_binary |= binary;

        let old_name = quoted(b"a/", before.map_or(path, |file| &file.path));
        let new_name = quoted(b"b/", path);
        let text = &mut section.text;
        put(text, &[b"diff --git ", &old_name, b" ", &new_name, b"\n"]);
        write_header(before, after, state, text);
        let whole = form == Form::Applicable;
        if !same {
            self.write_index(before, after, whole, text);
        }
        let (old_label, new_label): (&[u8], &[u8]) = (
            before.map_or(b"/dev/null", |_| &old_name),
            after.map_or(b"/dev/null", |_| &new_name),
        );
        match (&old, &new) {
            _ if same => {}
            (Content::Here(old), Content::Here(new)) if !binary => {
                let comparison = Comparison::of(old, new);
                section.additions += comparison.additions() as u64;
                section.deletions += comparison.deletions() as u64;
                let begin = text.len();
                if !comparison.changes.is_empty() {
                    for (sign, label) in [(b"--- ", old_label), (b"+++ ", new_label)] {
                        // A tab ends a name that a blank could seem to end.
                        let end: &[u8] = match label.contains(&b' ') {
                            true => b"\t\n",
                            false => b"\n",
                        };
                        put(text, &[sign, label, end]);
                    }
                    comparison.write_hunks(CONTEXT, text);
                }
                if whole && std::str::from_utf8(&text[begin..]).is_err() {
                    text.truncate(begin);
                    binary::write(old, new, text);
                }
            }
            (Content::Here(old), Content::Here(new)) if whole => binary::write(old, new, text),
            _ if whole => return Err(DiffError::TooLarge(path.escape_ascii().to_string())),
            _ => {
                put(
                    text,
                    &[
                        b"Binary files ",
                        old_label,
                        b" and ",
                        new_label,
                        b" differ\n",
                    ],
                );
            }
        }
        Ok(())
    }

    fn content(&mut self, file: Option<&FileAt>) -> Result<Content, DiffError> {
        let Some(file) = file else {
            return Ok(Content::Here(Vec::new()));
        };
        if file.is_submodule() {
            let line = format!("Subproject commit {}\n", file.id);
            return Ok(Content::Here(line.into_bytes()));
        }
        let mut bytes = Vec::new();
        match read_blob(&mut self.reader, &file.id, Self::TEXT_BYTES_MAX, &mut bytes)? {
            true => Ok(Content::Here(bytes)),
            false => Ok(Content::TooLarge),
        }
    }

    fn write_index(
        &self,
        before: Option<&FileAt>,
        after: Option<&FileAt>,
        whole: bool,
        text: &mut Vec<u8>,
    ) {
        let packs = self.reader.packs();
        let shown = |file: Option<&FileAt>| {
            let id = file.map_or(ObjectId::null(packs.format().kind()), |file| file.id);
            match whole {
                true => id.to_string(),
                false => id.to_hex_with_len(packs.short_digits(&id)).to_string(),
            }
        };
        let mode = match (before, after) {
            (Some(before), Some(after)) if before.mode == after.mode => {
                format!(" {:06o}", after.mode)
            }
            _ => String::new(),
        };
        let line = format!("index {}..{}{mode}\n", shown(before), shown(after));
        text.extend_from_slice(line.as_bytes());
    }
}

/// What a header says of modes and moves.
fn write_header(before: Option<&FileAt>, after: Option<&FileAt>, state: State, text: &mut Vec<u8>) {
    let mut mode = |words: &str, file: &FileAt| {
        writeln!(text, "{words} {:06o}", file.mode).expect("a vector takes everything");
    };
    match (before, after) {
        (None, Some(after)) => mode("new file mode", after),
        (Some(before), None) => mode("deleted file mode", before),
        (Some(before), Some(after)) if before.mode != after.mode => {
            mode("old mode", before);
            mode("new mode", after);
        }
        _ => {}
    }
    let moved = match state {
        State::Renamed(similarity) => Some(("rename", similarity)),
        State::Copied(similarity) => Some(("copy", similarity)),
        _ => None,
    };
    if let (Some((word, similarity)), Some(before), Some(after)) = (moved, before, after) {
        let (word, percent) = (word.as_bytes(), similarity.percent());
        let (from, to) = (quoted(b"", &before.path), quoted(b"", &after.path));
        put(
            text,
            &[b"similarity index ", percent.to_string().as_bytes(), b"%\n"],
        );
        put(
            text,
            &[word, b" from ", &from, b"\n", word, b" to ", &to, b"\n"],
        );
    }
}

fn put(text: &mut Vec<u8>, parts: &[&[u8]]) {
    parts.iter().for_each(|part| text.extend_from_slice(part));
}
