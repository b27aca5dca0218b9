//! Changes as text: hunks with some lines of context, as git prints them.
//!
//! Source: git-diff(1), "Generating patch text with -p"; the rule for the text behind the second `@@` is that of
//! gitattributes(5), "Defining a custom hunk-header", where no driver is set.
//! Bounds: the text is less than both texts and [`HEADING_BYTES_MAX`] and some digits for each change.

use std::{io::Write as _, ops::Range};

use super::{Change, Comparison};

/// Unchanged lines shown around a change.
pub(crate) const CONTEXT: usize = 3;

/// Bytes of the line that tells in which function a hunk lies.
const HEADING_BYTES_MAX: usize = 80;

impl Comparison<'_> {
    /// Appends all changes as hunks with so many lines of context.
    pub(crate) fn write_hunks(&self, context: usize, output: &mut Vec<u8>) {
        let mut heading: &[u8] = b"";
        let mut searched = 0;
        for hunk in self.hunks(context) {
            let (first, last) = (&hunk[0], &hunk[hunk.len() - 1]);
            let before = first.before.start.saturating_sub(context);
            let after = first.after.start.saturating_sub(context);
            let rest = (self.before.len() - last.before.end).min(self.after.len() - last.after.end);
            let below = rest.min(context);
            // What was searched for the last hunk need not be searched again.
            let above = self.before[searched..before].iter();
            heading = above
                .rev()
                .find_map(|line| self::heading(line))
                .unwrap_or(heading);
            searched = before;
            let mut header = b"@@ -".to_vec();
            write_range(&(before..last.before.end + below), &mut header);
            header.extend_from_slice(b" +");
            write_range(&(after..last.after.end + below), &mut header);
            header.extend_from_slice(b" @@");
            if !heading.is_empty() {
                header.push(b' ');
                header.extend_from_slice(heading);
            }
            output.extend_from_slice(valid_part(&header));
            output.push(b'\n');
            let mut shown = before;
            for change in hunk {
                self.write_lines(b' ', &self.before[shown..change.before.start], output);
                self.write_lines(b'-', &self.before[change.before.clone()], output);
                self.write_lines(b'+', &self.after[change.after.clone()], output);
                shown = change.before.end;
            }
            self.write_lines(b' ', &self.before[shown..shown + below], output);
        }
    }

    /// Changes whose context touches belong together.
    fn hunks(&self, context: usize) -> impl Iterator<Item = &[Change]> {
        let touching =
            move |one: &Change, next: &Change| next.before.start - one.before.end <= 2 * context;
        self.changes.chunk_by(touching)
    }

    fn write_lines(&self, sign: u8, lines: &[&[u8]], output: &mut Vec<u8>) {
        for line in lines {
            output.push(sign);
            output.extend_from_slice(line);
            if !line.ends_with(b"\n") {
                output.extend_from_slice(b"\n\\ No newline at end of file\n");
            }
        }
    }
}

/// `start,count`, the first line being 1 and a count of 1 left out; no lines lie behind the one before them.
fn write_range(range: &Range<usize>, output: &mut Vec<u8>) {
    let start = range.start + usize::from(!range.is_empty());
    let written = match range.len() {
        1 => write!(output, "{start}"),
        count => write!(output, "{start},{count}"),
    };
    written.expect("a vector takes everything");
}

/// What a line gives as heading: lines that begin like a name do.
fn heading(line: &[u8]) -> Option<&[u8]> {
    let first = line.first()?;
    let is_heading = first.is_ascii_alphabetic() || matches!(first, b'_' | b'$');
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    is_heading.then(|| {
        let cut = &line[..line.len().min(HEADING_BYTES_MAX)];
        let end = cut.iter().rposition(|byte| !is_space(byte));
        &cut[..end.map_or(0, |at| at + 1)]
    })
}

/// What comes before the first byte that git takes for the end of UTF-8.
fn valid_part(header: &[u8]) -> &[u8] {
    let valid = header
        .utf8_chunks()
        .next()
        .map_or("", |chunk| chunk.valid());
    // These two are valid, but not to git.
    let end = valid.find(['\u{fffe}', '\u{ffff}']);
    &header[..end.unwrap_or(valid.len())]
}
