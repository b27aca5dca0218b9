//! Lines of a tree's files that a regular expression matches.
//!
//! Source: git-grep(1) on a tree; RE2's syntax as the `regex` crate has it.
//! Bounds: [`PATTERN_BYTES_MAX`] and [`PROGRAM_BYTES_MAX`] for the expression, which matches in linear time;
//! [`ENTRIES_MAX`] entries, [`SCANNED_BYTES_MAX`] of files and the caller's deadline for one page;
//! [`FILE_BYTES_MAX`] a file, [`LINE_BYTES_MAX`] shown of a line, [`PAGE_BYTES_MAX`] in all.
//! Invariant: a page that stops early says where the next one begins, and pages put together tell of every
//! matching line once; files with a NUL near their beginning, larger ones, links and submodules are passed by.
//! Not here: which tree, and whether the caller may see it (`hosting`).

use std::{sync::Arc, time::Instant};

use gix_object::Kind;
use regex::bytes::{Regex, RegexBuilder};

use super::{
    browse::{Browser, TREE_DEPTH_MAX, TreeEntry},
    diff::is_binary,
    globs::PathGlobs,
    packs::{PackSet, ReadError},
};
use crate::model::ObjectId;

/// Bytes of an expression.
const PATTERN_BYTES_MAX: usize = 4096;
/// Memory that an expression may compile to.
const PROGRAM_BYTES_MAX: usize = 4 << 20;
/// Entries of trees looked at for one page.
const ENTRIES_MAX: usize = 1_000_000;
/// Bytes of files read for one page.
const SCANNED_BYTES_MAX: u64 = 512 << 20;
/// Larger files are passed by.
const FILE_BYTES_MAX: u64 = 32 << 20;
/// As much of a line is shown.
pub const LINE_BYTES_MAX: usize = 4096;
/// Bytes of lines on one page.
const PAGE_BYTES_MAX: usize = 8 << 20;

/// What is looked for, and where.
#[derive(Debug, Clone)]
pub struct GrepRequest {
    /// The expression.
    pub pattern: Pattern,
    /// Paths of files, or of folders with all that they hold; everything if there are none.
    pub paths: Vec<Vec<u8>>,
    /// Which files.
    pub globs: PathGlobs,
    /// File name extensions without the dot; all if there are none.
    pub extensions: Vec<String>,
    /// Lines shown before a match.
    pub before: usize,
    /// Lines shown after a match.
    pub after: usize,
    /// Matching lines after which a file is left.
    pub matches_per_file_max: usize,
    /// Lines on one page.
    pub lines_max: usize,
    /// Files on one page.
    pub files_max: usize,
    /// Where the page begins.
    pub from: Option<Place>,
    /// When the page has to end.
    pub deadline: Instant,
}

/// A compiled expression.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles it.
    ///
    /// # Errors
    /// What is wrong with it, for its author.
    pub fn new(text: &str, case_sensitive: bool) -> Result<Self, String> {
        if text.is_empty() {
            return Err("is empty".to_owned());
        }
        if text.len() > PATTERN_BYTES_MAX {
            let length = text.len();
            return Err(format!(
                "has {length} bytes, at most {PATTERN_BYTES_MAX} allowed"
            ));
        }
        RegexBuilder::new(text)
            .case_insensitive(!case_sensitive)
            .size_limit(PROGRAM_BYTES_MAX)
            .dfa_size_limit(PROGRAM_BYTES_MAX)
            .build()
            .map(Self)
            .map_err(|error| match error {
                regex::Error::CompiledTooBig(_) => "is too large once compiled".to_owned(),
                other => format!("is not understood: {other}"),
            })
    }
}

/// A place in a tree: the first line after the ones already shown of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file that was looked at last.
    pub path: Vec<u8>,
    /// Lines of it that are done with; `None` when all are.
    pub lines_done: Option<u64>,
}

/// Lines found, perhaps not all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Files with at least one match, in the order of the tree.
    pub files: Vec<FoundFile>,
    /// Where to go on; `None` at the end.
    pub next: Option<Place>,
}

/// A file with a match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// From the root of the tree.
    pub path: Vec<u8>,
    /// In the order of the file.
    pub lines: Vec<FoundLine>,
}

/// A line that is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLine {
    /// The first line is 1.
    pub number: u64,
    /// Without its end, and no more than [`LINE_BYTES_MAX`] of it.
    pub text: Vec<u8>,
    /// Whether it matches, or stands near one that does.
    pub is_match: bool,
}

/// Looks for lines in the files of a tree.
///
/// # Errors
/// When an object can't be read or folders are too deep in each other.
pub fn grep(
    packs: Arc<PackSet>,
    tree: &ObjectId,
    request: &GrepRequest,
) -> Result<Found, ReadError> {
    let mut page = Page {
        request,
        files: Vec::new(),
        lines_left: request.lines_max,
        bytes_left: PAGE_BYTES_MAX,
        scanned_left: SCANNED_BYTES_MAX,
    };
    let mut browser = Browser::new(packs);
    let mut todo = browser.entries(tree, b"")?;
    todo.reverse();
    // What was passed last; it lies ahead of where the page began, so that pages get on.
    let mut last: Option<Place> = None;
    let mut entries_left = ENTRIES_MAX;
    while let Some(entry) = todo.pop() {
        let is_folder = entry.kind == Kind::Tree;
        let wanted = !is_folder && request.wants(&entry);
        let late = entries_left == 0 || Instant::now() >= request.deadline;
        if let Some(place) = last.take_if(|_| late || wanted && page.is_full()) {
            return Ok(page.ends_at(place));
        }
        entries_left = entries_left.saturating_sub(1);
        let mut place = Place {
            path: entry.path.clone(),
            lines_done: None,
        };
        if is_folder {
            place.path.push(b'/');
            if request.may_be_in(&place.path) {
                if entry.path.iter().filter(|byte| **byte == b'/').count() >= TREE_DEPTH_MAX {
                    return Err(ReadError::Malformed {
                        id: entry.id,
                        expected: Kind::Tree,
                    });
                }
                todo.extend(browser.entries(&entry.id, &place.path)?.into_iter().rev());
            }
        } else if wanted {
            place.lines_done = page.search(&mut browser, &entry)?;
            if place.lines_done.is_some() {
                return Ok(page.ends_at(place));
            }
        }
        last = Some(place).filter(|place| request.is_ahead(&place.path));
    }
    Ok(Found {
        files: page.files,
        next: None,
    })
}

impl GrepRequest {
    fn wants(&self, entry: &TreeEntry) -> bool {
        let path = &*entry.path;
        let is_file = entry.mode & 0o170_000 == 0o100_000;
        let resumed = |from: &Place| from.lines_done.is_some() && path == from.path;
        let ahead = self.is_ahead(path) || self.from.as_ref().is_some_and(resumed);
        let below = |limit: &Vec<u8>| {
            let rest = path.strip_prefix(&**limit);
            rest.is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
        };
        is_file
            && ahead
            && (self.paths.is_empty() || self.paths.iter().any(below))
            && (self.extensions.is_empty() || self.has_extension(path))
            && self.globs.take(path)
    }

    fn has_extension(&self, path: &[u8]) -> bool {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        let dot = name.iter().rposition(|byte| *byte == b'.');
        let Some(extension) = dot.map(|dot| &name[dot + 1..]) else {
            return false;
        };
        let same = |wanted: &String| wanted.as_bytes().eq_ignore_ascii_case(extension);
        self.extensions.iter().any(same)
    }

    fn is_ahead(&self, path: &[u8]) -> bool {
        self.from.as_ref().is_none_or(|from| path > &*from.path)
    }

    /// Whether a folder, whose path ends in a slash, may hold something that is still wanted.
    fn may_be_in(&self, folder: &[u8]) -> bool {
        let inside = |from: &Place| from.path.starts_with(folder);
        let passed = !self.is_ahead(folder) && !self.from.as_ref().is_some_and(inside);
        let related = |limit: &Vec<u8>| {
            let limit = [&**limit, b"/"].concat();
            limit.starts_with(folder) || folder.starts_with(&limit)
        };
        !passed && (self.paths.is_empty() || self.paths.iter().any(related))
    }
}

/// A page being filled.
struct Page<'r> {
    request: &'r GrepRequest,
    files: Vec<FoundFile>,
    lines_left: usize,
    bytes_left: usize,
    scanned_left: u64,
}

impl Page<'_> {
    fn is_full(&self) -> bool {
        self.files.len() >= self.request.files_max
            || self.lines_left == 0
            || self.bytes_left == 0
            || self.scanned_left == 0
    }

    fn ends_at(self, place: Place) -> Found {
        Found {
            files: self.files,
            next: Some(place),
        }
    }

    /// Searches one file; the number of lines that are done with if the page is full before its end.
    fn search(
        &mut self,
        browser: &mut Browser,
        entry: &TreeEntry,
    ) -> Result<Option<u64>, ReadError> {
        let size = browser.blob_size(&entry.id)?;
        if size > FILE_BYTES_MAX {
            return Ok(None);
        }
        self.scanned_left = self.scanned_left.saturating_sub(size);
        let text = browser.blob(&entry.id, FILE_BYTES_MAX)?;
        if is_binary(&text) {
            return Ok(None);
        }
        let done = match &self.request.from {
            Some(from) if from.path == entry.path => from.lines_done.unwrap_or(0),
            _ => 0,
        };
        let (lines, stopped) = self.lines(&text, done);
        if !lines.is_empty() {
            self.files.push(FoundFile {
                path: entry.path.clone(),
                lines,
            });
        }
        Ok(stopped)
    }

    fn lines(&mut self, text: &[u8], done: u64) -> (Vec<FoundLine>, Option<u64>) {
        let request = self.request;
        let mut shown: Vec<FoundLine> = Vec::new();
        // Lines passed of late, which the next match may want to show before it.
        let mut passed = std::collections::VecDeque::with_capacity(request.before + 1);
        let (mut matches, mut after) = (0, 0);
        for (number, line) in (1..).zip(lines_of(text)) {
            let is_match = number > done
                && matches < request.matches_per_file_max
                && request.pattern.0.is_match(line);
            if is_match {
                // What comes before a match counts with it, so that a match is never lost for want of room.
                if self.lines_left == 0 || self.bytes_left == 0 {
                    return (shown, Some(number - 1));
                }
                for (number, line) in passed.drain(..) {
                    self.show(&mut shown, number, line, false);
                }
                self.show(&mut shown, number, line, true);
                matches += 1;
                after = request.after;
            } else if after > 0 {
                after -= 1;
                self.show(&mut shown, number, line, false);
            } else if matches == request.matches_per_file_max {
                break;
            } else if request.before > 0 {
                if passed.len() == request.before {
                    passed.pop_front();
                }
                passed.push_back((number, line));
            }
        }
        (shown, None)
    }

    fn show(&mut self, shown: &mut Vec<FoundLine>, number: u64, line: &[u8], is_match: bool) {
        let text = line[..line.len().min(LINE_BYTES_MAX)].to_vec();
        self.lines_left = self.lines_left.saturating_sub(1);
        self.bytes_left = self.bytes_left.saturating_sub(text.len());
        shown.push(FoundLine {
            number,
            text,
            is_match,
        });
    }
}

/// Lines without their ends; nothing after the last line feed is no line.
fn lines_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memchr(b'\n', rest);
        let line = &rest[..end.unwrap_or(rest.len())];
        rest = &rest[end.map_or(rest.len(), |end| end + 1)..];
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{git::fixture::Stock, model::ObjectFormat};

    fn stock() -> Stock {
        let stock = Stock::new(ObjectFormat::Sha1).with_history(40);
        let mut stream =
            String::from("commit refs/heads/odd\ncommitter C <c@c> 1 +0000\ndata 1\nm\n");
        for (mode, path, text) in [
            ("100644", "binary", "line 1\0line 2\n"),
            ("100644", "crlf.txt", "line one\r\nother\r\nline two"),
            ("100644", "a.b/x", "line in a.b\n"),
            ("100644", "a/x", "line in a\n"),
            ("100644", "a-b", "line in a-b\n"),
            (
                "100644",
                "a/deep/er/y.TXT",
                "no\nno\nline 9\nno\nline 10\nno\nno\nno\nline 11\n",
            ),
            ("120000", "link", "line"),
        ] {
            stream += &format!("M {mode} inline {path}\ndata {}\n{text}\n", text.len());
        }
        stock.import(&stream);
        stock.git(["repack", "-q", "-a", "-d"]);
        stock
    }

    fn request(pattern: &str) -> GrepRequest {
        GrepRequest {
            pattern: Pattern::new(pattern, true).unwrap(),
            paths: Vec::new(),
            globs: PathGlobs::default(),
            extensions: Vec::new(),
            before: 0,
            after: 0,
            matches_per_file_max: usize::MAX,
            lines_max: usize::MAX,
            files_max: usize::MAX,
            from: None,
            deadline: Instant::now() + Duration::from_secs(600),
        }
    }

    /// `path:number:text` for a match, with dashes for what stands near one, as git shows it.
    fn shown(found: &Found) -> Vec<String> {
        let mut all = Vec::new();
        for file in &found.files {
            let path = String::from_utf8_lossy(&file.path);
            for line in &file.lines {
                let sign = if line.is_match { ':' } else { '-' };
                let text = String::from_utf8_lossy(&line.text);
                all.push(format!("{path}{sign}{}{sign}{text}", line.number));
            }
        }
        all
    }

    fn by_git(stock: &Stock, arguments: &[&str], revision: &str, paths: &[&str]) -> Vec<String> {
        let command = [
            &["grep", "-n", "-I", "-P"],
            arguments,
            &[revision, "--"],
            paths,
        ]
        .concat();
        let text = stock.git(command);
        let lines = text.lines().filter(|line| *line != "--");
        lines
            .map(|line| line[revision.len() + 1..].trim_end_matches('\r').to_owned())
            .collect()
    }

    #[test]
    fn lines_are_those_that_git_grep_finds() {
        let stock = stock();
        let (_folder, repository) = stock.opened();
        for revision in ["main", "odd"] {
            let tree = stock.id(&format!("{revision}^{{tree}}"));
            let check = |asked: GrepRequest, arguments: &[&str], paths: &[&str]| {
                let found = grep(repository.packs(), &tree, &asked).unwrap();
                assert_eq!(found.next, None);
                assert_eq!(shown(&found), by_git(&stock, arguments, revision, paths));
            };
            for pattern in ["line 1", "^line (9|1\\d)\\b", "o\\b", "(?i)LINE"] {
                check(request(pattern), &["-e", pattern], &[]);
                for (before, after) in [(1, 0), (0, 2), (3, 3)] {
                    let asked = GrepRequest {
                        before,
                        after,
                        ..request(pattern)
                    };
                    let (before, after) = (format!("-B{before}"), format!("-A{after}"));
                    check(asked, &[&before, &after, "-e", pattern], &[]);
                }
            }
            let folded = GrepRequest {
                pattern: Pattern::new("LINE 1", false).unwrap(),
                ..request("x")
            };
            check(folded, &["-i", "-e", "LINE 1"], &[]);
            let capped = GrepRequest {
                matches_per_file_max: 2,
                after: 1,
                ..request("line")
            };
            check(capped, &["-m2", "-A1", "-e", "line"], &[]);
        }
        let tree = stock.id("odd^{tree}");
        for (paths, globs, extensions, expected) in [
            (&["a"][..], &[][..], &[][..], &["a"][..]),
            (&["a/deep", "crlf.txt"], &[], &[], &["a/deep", "crlf.txt"]),
            (&[], &["*.txt"], &[], &["crlf.txt"]),
            (&[], &[], &["txt"], &["crlf.txt", "a/deep/er/y.TXT"]),
            (&["a.b"], &["a/**"], &[], &["nothing"]),
        ] {
            let owned = |list: &[&str]| {
                list.iter()
                    .map(|text| (*text).to_owned())
                    .collect::<Vec<_>>()
            };
            let asked = GrepRequest {
                paths: paths.iter().map(|path| path.as_bytes().to_vec()).collect(),
                globs: PathGlobs::new(&owned(globs), &[]).unwrap(),
                extensions: owned(extensions),
                ..request("line")
            };
            let found = grep(repository.packs(), &tree, &asked).unwrap();
            let expected = match expected {
                ["nothing"] => Vec::new(),
                expected => by_git(&stock, &["-e", "line"], "odd", expected),
            };
            assert_eq!(
                shown(&found),
                expected,
                "{paths:?} {globs:?} {extensions:?}"
            );
        }
    }

    #[test]
    fn pages_put_together_are_the_whole_whatever_ends_them() {
        let stock = stock();
        let (_folder, repository) = stock.opened();
        for revision in ["main", "odd"] {
            let tree = stock.id(&format!("{revision}^{{tree}}"));
            let whole = shown(&grep(repository.packs(), &tree, &request("line")).unwrap());
            let long_ago = Instant::now();
            for asked in [
                GrepRequest {
                    files_max: 1,
                    ..request("line")
                },
                GrepRequest {
                    lines_max: 7,
                    ..request("line")
                },
                GrepRequest {
                    deadline: long_ago,
                    ..request("line")
                },
            ] {
                let mut pages = Vec::new();
                let mut from = None;
                let mut count = 0;
                loop {
                    let asked = GrepRequest {
                        from: from.take(),
                        ..asked.clone()
                    };
                    let found = grep(repository.packs(), &tree, &asked).unwrap();
                    assert!(found.files.len() <= asked.files_max);
                    let page = shown(&found);
                    assert!(page.len() <= asked.lines_max);
                    pages.extend(page);
                    count += 1;
                    match found.next {
                        Some(next) => from = Some(next),
                        None => break,
                    }
                }
                assert!(count > 1, "{count} pages");
                assert_eq!(pages, whole);
            }
        }
    }

    #[test]
    fn an_expression_has_bounds_and_its_author_is_told() {
        for (pattern, told) in [
            ("", "is empty"),
            ("(", "is not understood"),
            ("(a{1000}){1000}", "is too large"),
            ("(?=a)b", "look-around"),
        ] {
            let error = Pattern::new(pattern, true).unwrap_err();
            assert!(error.contains(told), "{pattern}: {error}");
        }
        let long = "a".repeat(PATTERN_BYTES_MAX);
        assert!(Pattern::new(&long, true).is_ok());
        assert!(Pattern::new(&format!("{long}a"), true).is_err());
    }
}
