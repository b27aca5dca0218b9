//! A patch as text cut into what it says of each file.
//!
//! Source: git-diff(1), "Generating patch text with -p"; git-apply(1) for what is passed over: anything between the
//! sections, as the words of a mail are.
//! Bounds: [`FILES_MAX`] sections; hunks stay where they are in the text, a few words each remembered.
//! Invariant: what a hunk's head counts is there, line by line; a binary hunk is as long as its letters say.
//! Not here: whether it fits (`hunks`, `binary`), whether the paths are any good (`super`).

use super::{
    ApplyError,
    names::{Header, default_names, header_name, is_nothing},
};

/// Sections that a patch may have.
const FILES_MAX: usize = 100_000;
/// Hunks that all of them together may have.
const HUNKS_MAX: usize = 1_000_000;

/// What a patch does with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Modify,
    Create,
    Delete,
    Rename,
    Copy,
}

/// What a patch says of a file.
#[derive(Debug)]
pub(super) struct FilePatch<'a> {
    pub(super) action: Action,
    /// What it was; `None` for one that is new.
    pub(super) old: Option<Vec<u8>>,
    /// What it becomes; `None` for one that goes.
    pub(super) new: Option<Vec<u8>>,
    pub(super) old_mode: Option<u32>,
    pub(super) new_mode: Option<u32>,
    /// Ids of old and new content, perhaps cut.
    pub(super) ids: Option<(&'a [u8], &'a [u8])>,
    pub(super) body: Body<'a>,
}

#[derive(Debug)]
pub(super) enum Body<'a> {
    Hunks(Vec<Hunk<'a>>),
    Binary(BinaryHunk<'a>),
    /// `Binary files a/x and b/x differ`.
    Missing,
}

/// Lines to be replaced.
#[derive(Debug)]
pub(super) struct Hunk<'a> {
    /// Line of the patch that it begins at, counted from 1.
    pub(super) at: usize,
    /// First line in the old file, counted from 1; 0 if there is none.
    pub(super) old_start: usize,
    pub(super) new_start: usize,
    /// Whether unchanged lines follow the last change.
    pub(super) has_context_below: bool,
    /// Its lines without its head.
    pub(super) text: &'a [u8],
}

/// New content or how to make it.
#[derive(Debug)]
pub(super) struct BinaryHunk<'a> {
    pub(super) at: usize,
    pub(super) is_delta: bool,
    /// Bytes when inflated.
    pub(super) size: u64,
    /// Lines of digits.
    pub(super) text: &'a [u8],
}

/// What a patch says, file by file.
pub(super) fn parse(patch: &[u8]) -> Result<Vec<FilePatch<'_>>, ApplyError> {
    let mut parser = Parser {
        rest: patch,
        line: 1,
        hunks: 0,
    };
    let mut files = Vec::new();
    while let Some(file) = parser.file()? {
        if files.len() == FILES_MAX {
            return Err(ApplyError::TooMuch("files"));
        }
        files.push(file);
    }
    match files.is_empty() {
        true => Err(ApplyError::Empty),
        false => Ok(files),
    }
}

struct Parser<'a> {
    rest: &'a [u8],
    /// Number of the first line of the rest.
    line: usize,
    hunks: usize,
}

impl<'a> Parser<'a> {
    /// The next line with its line feed; empty at the end.
    fn peek(&self) -> &'a [u8] {
        first_line(self.rest)
    }

    fn pass(&mut self) -> &'a [u8] {
        let line = self.peek();
        self.rest = &self.rest[line.len()..];
        self.line += usize::from(!line.is_empty());
        line
    }

    fn malformed(&self, reason: &'static str) -> ApplyError {
        ApplyError::Malformed {
            line: self.line,
            reason,
        }
    }

    /// The next section, wherever it begins.
    fn file(&mut self) -> Result<Option<FilePatch<'a>>, ApplyError> {
        let mut is_broken = false;
        while !self.rest.is_empty() {
            let line = self.peek();
            if let Some(names) = line.strip_prefix(b"diff --git ") {
                self.pass();
                if let Some(file) = self.git_file(names)? {
                    return Ok(Some(file));
                }
                is_broken = true;
            } else if line.starts_with(b"--- ") && self.is_plain_header() {
                // What git began, no other program ends.
                return match is_broken {
                    true => Err(self.malformed("the header of a section is not understood")),
                    false => self.plain_file().map(Some),
                };
            } else if line.starts_with(b"@@ -") && Head::parse(line).is_some() {
                return Err(self.malformed("a hunk belongs to no file"));
            } else {
                self.pass();
            }
        }
        Ok(None)
    }

    /// A section by git; nothing if its first line is all of it.
    fn git_file(&mut self, names: &'a [u8]) -> Result<Option<FilePatch<'a>>, ApplyError> {
        let begin = self.line;
        let mut header = Header::new(default_names(names));
        while let line = self.peek()
            && let Some(text) = line.strip_suffix(b"\n")
            && header.take(text).map_err(|reason| self.malformed(reason))?
        {
            self.pass();
        }
        let line = self.peek();
        let has_body =
            line.starts_with(b"@@ -") || line == b"GIT binary patch\n" || is_binary_note(line);
        if self.line == begin && !has_body && header.is_named() {
            return Ok(None);
        }
        let mut file = header.finish().map_err(|reason| self.malformed(reason))?;
        file.body = self.body(file.action)?;
        let says_something = match &file.body {
            Body::Hunks(hunks) => !hunks.is_empty(),
            _ => true,
        };
        let modes = file.old_mode.zip(file.new_mode);
        let changes_modes = modes.is_some_and(|(old, new)| old != new);
        if !says_something && !changes_modes && file.action == Action::Modify {
            return Err(self.malformed("the section changes nothing"));
        }
        Ok(Some(file))
    }

    fn body(&mut self, action: Action) -> Result<Body<'a>, ApplyError> {
        let line = self.peek();
        if line == b"GIT binary patch\n" {
            self.pass();
            let hunk = self.binary_hunk()?;
            let hunk = hunk.ok_or_else(|| self.malformed("a binary patch has no data"))?;
            // The way back is not needed.
            self.binary_hunk()?;
            return Ok(Body::Binary(hunk));
        }
        if is_binary_note(line) {
            self.pass();
            return Ok(Body::Missing);
        }
        let mut hunks = Vec::new();
        while self.peek().starts_with(b"@@ -") {
            if self.hunks == HUNKS_MAX {
                return Err(ApplyError::TooMuch("hunks"));
            }
            self.hunks += 1;
            hunks.push(self.hunk(action)?);
        }
        Ok(Body::Hunks(hunks))
    }

    fn hunk(&mut self, action: Action) -> Result<Hunk<'a>, ApplyError> {
        let at = self.line;
        let head = Head::parse(self.pass()).ok_or(ApplyError::Malformed {
            line: at,
            reason: "the head of a hunk is not understood",
        })?;
        let (mut old_left, mut new_left) = (head.old_count, head.new_count);
        if action == Action::Create && old_left > 0 {
            return Err(self.malformed("a new file has old lines"));
        }
        if action == Action::Delete && new_left > 0 {
            return Err(self.malformed("a deleted file has new lines"));
        }
        let text = self.rest;
        let (mut changes, mut has_context_below) = (false, false);
        while old_left > 0 || new_left > 0 {
            let line = self.peek();
            // A line without its line feed was cut off.
            let sign = line.first().filter(|_| line.ends_with(b"\n"));
            let (old, new) = match sign {
                // Some programs cut the blank that is all of an empty line of context.
                Some(b' ' | b'\n') => (1, 1),
                Some(b'-') => (1, 0),
                Some(b'+') => (0, 1),
                Some(b'\\') if is_no_line_feed(line) => (0, 0),
                _ => return Err(self.malformed("a hunk ends before all its lines came")),
            };
            let left = old_left.checked_sub(old).zip(new_left.checked_sub(new));
            (old_left, new_left) =
                left.ok_or_else(|| self.malformed("a hunk has more lines than its head says"))?;
            changes |= old != new;
            has_context_below = old == new && (has_context_below || old == 1);
            self.pass();
        }
        // Behind the last line git does not ask how long the note is.
        if self.rest.len() > NO_LINE_FEED_BYTES && self.peek().starts_with(b"\\ ") {
            self.pass();
        }
        if !changes {
            return Err(self.malformed("a hunk changes nothing"));
        }
        Ok(Hunk {
            at,
            old_start: head.old_start,
            new_start: head.new_start,
            has_context_below,
            text: &text[..text.len() - self.rest.len()],
        })
    }

    /// Data with its blank line; nothing if there is none.
    fn binary_hunk(&mut self) -> Result<Option<BinaryHunk<'a>>, ApplyError> {
        let at = self.line;
        let line = self.peek();
        let (is_delta, size) = match (line.strip_prefix(b"literal "), line.strip_prefix(b"delta "))
        {
            (Some(size), _) => (false, size),
            (_, Some(size)) => (true, size),
            _ => return Ok(None),
        };
        let size = size.strip_suffix(b"\n").and_then(number);
        let size =
            size.ok_or_else(|| self.malformed("the size of binary data is not understood"))?;
        self.pass();
        let text = self.rest;
        while self.peek() != b"\n" {
            if super::binary::line_length(self.peek()).is_none() {
                return Err(self.malformed("a line of binary data is malformed"));
            }
            self.pass();
        }
        let text = &text[..text.len() - self.rest.len()];
        self.pass();
        Ok(Some(BinaryHunk {
            at,
            is_delta,
            size: size as u64,
            text,
        }))
    }

    /// Whether a section by another program begins here: `---`, `+++` and a hunk.
    fn is_plain_header(&self) -> bool {
        let second = &self.rest[self.peek().len()..];
        let third = &second[first_line(second).len()..];
        second.starts_with(b"+++ ") && Head::parse(first_line(third)).is_some()
    }

    /// A section by another program; it tells no modes.
    fn plain_file(&mut self) -> Result<FilePatch<'a>, ApplyError> {
        let (old, new) = (self.pass(), self.pass());
        let name = |line: &'a [u8]| match is_nothing(&line[4..]) {
            true => Ok(None),
            false => match header_name(&line[4..]) {
                Some(name) => Ok(Some(name)),
                None => Err(self.malformed("a name is not understood")),
            },
        };
        let (old, new) = (name(old)?, name(new)?);
        let action = match (&old, &new) {
            (Some(_), Some(_)) => Action::Modify,
            (None, Some(_)) => Action::Create,
            (Some(_), None) => Action::Delete,
            (None, None) => return Err(self.malformed("a section names no file")),
        };
        let body = self.body(action)?;
        Ok(FilePatch {
            action,
            // The new name is that of the file to be changed, whatever a copy of it was called.
            old: old.and_then(|old| new.clone().or(Some(old))),
            new,
            old_mode: None,
            new_mode: None,
            ids: None,
            body,
        })
    }
}

/// `@@ -1,2 +3,4 @@`
struct Head {
    old_start: usize,
    old_count: usize,
    new_start: usize,
    new_count: usize,
}

impl Head {
    fn parse(line: &[u8]) -> Option<Self> {
        let mut words = line.strip_prefix(b"@@ -")?.splitn(3, |byte| *byte == b' ');
        let range = |word: &[u8]| {
            let mut numbers = word.splitn(2, |byte| *byte == b',');
            let start = number(numbers.next()?)?;
            Some((start, numbers.next().map_or(Some(1), number)?))
        };
        let (old_start, old_count) = range(words.next()?)?;
        let (new_start, new_count) = range(words.next()?.strip_prefix(b"+")?)?;
        words.next()?.starts_with(b"@@").then_some(Self {
            old_start,
            old_count,
            new_start,
            new_count,
        })
    }
}

/// A number of at most nine digits.
fn number(digits: &[u8]) -> Option<usize> {
    let plain = (1..10).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    let digits = std::str::from_utf8(digits).ok().filter(|_| plain)?;
    digits.parse().ok()
}

pub(super) fn first_line(text: &[u8]) -> &[u8] {
    text.split_inclusive(|byte| *byte == b'\n')
        .next()
        .unwrap_or_default()
}

/// The shortest note, in whatever language.
const NO_LINE_FEED_BYTES: usize = 12;

/// `\ No newline at end of file`
fn is_no_line_feed(line: &[u8]) -> bool {
    line.len() >= NO_LINE_FEED_BYTES && line.starts_with(b"\\ ")
}

fn is_binary_note(line: &[u8]) -> bool {
    (line.starts_with(b"Binary files ") || line.starts_with(b"Files "))
        && line.ends_with(b" differ\n")
}

/// For the header's table.
pub(super) fn mode(text: &[u8]) -> Option<u32> {
    let text = std::str::from_utf8(text.trim_ascii_end()).ok()?;
    let plain =
        !text.is_empty() && text.len() <= 7 && text.bytes().all(|byte| byte.is_ascii_digit());
    let mode = u32::from_str_radix(text, 8).ok().filter(|_| plain)?;
    match mode & 0o170_000 {
        0o100_000 if mode & 0o100 != 0 => Some(0o100_755),
        0o100_000 => Some(0o100_644),
        kind @ (0o120_000 | 0o160_000) => Some(kind),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_two_ranges() {
        let head = |line: &str| {
            let head = Head::parse(line.as_bytes())?;
            Some((
                head.old_start,
                head.old_count,
                head.new_start,
                head.new_count,
            ))
        };
        assert_eq!(head("@@ -1,2 +3,4 @@ fn x()\n"), Some((1, 2, 3, 4)));
        assert_eq!(head("@@ -0,0 +1 @@"), Some((0, 0, 1, 1)));
        for line in [
            "@@ -1",
            "@@ -1,2 3,4 @@",
            "@@ -1,+2 +3 @@",
            "@@ -,1 +1 @@",
            "@@ -1 +9999999999 @@",
            "@@ -1 +1",
        ] {
            assert_eq!(head(line), None, "{line}");
        }
    }

    #[test]
    fn modes_are_those_that_a_tree_may_have() {
        assert_eq!(mode(b"100664"), Some(0o100_644));
        assert_eq!(mode(b"100744\r"), Some(0o100_755));
        assert_eq!(mode(b"120000"), Some(0o120_000));
        assert_eq!(mode(b"160000"), Some(0o160_000));
        for text in ["", "0", "644", "040000", "100648", "-1", "1000000000000"] {
            assert_eq!(mode(text.as_bytes()), None, "{text}");
        }
    }
}
