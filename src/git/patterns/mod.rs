//! Lists of path patterns, the last one that matches deciding.
//!
//! Source: gitignore(5), "PATTERN FORMAT"; what stock git does where that is silent.
//! Bounds: [`Patterns::BYTES_MAX`] and [`Patterns::COUNT_MAX`] for one list.
//! Invariant: letters match in their own case only; no pattern costs more than its length times that of
//! the path.
//! Not here: what a match is good for (`fetch::sieve`, `archive`).

mod wild;

use std::fmt;

use wild::Wild;

/// Patterns in the order in which a file lists them.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Patterns(Vec<Pattern>);

/// A log needs no thousand patterns.
impl fmt::Debug for Patterns {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Patterns({} of them)", self.0.len())
    }
}

/// Why patterns are not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PatternsError {
    /// A file of patterns larger than this is not read.
    #[error("a list of patterns has {0} bytes, at most {max} allowed", max = Patterns::BYTES_MAX)]
    TooLarge(u64),
    /// Each path is held against each pattern.
    #[error("a list of patterns has more than {max} of them", max = Patterns::COUNT_MAX)]
    TooMany,
}

impl Patterns {
    /// Bytes of a file of patterns.
    pub(crate) const BYTES_MAX: u64 = 1 << 20;
    /// Patterns in a list.
    pub(crate) const COUNT_MAX: usize = 8192;

    /// Reads a file such as `.gitignore` or `info/sparse-checkout`.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, PatternsError> {
        let bytes = text.len() as u64;
        if bytes > Self::BYTES_MAX {
            return Err(PatternsError::TooLarge(bytes));
        }
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let mut lines = text.split(|byte| *byte == b'\n').collect::<Vec<_>>();
        // The last line needs no line feed, and after a line feed there is none.
        lines.pop_if(|line| line.is_empty());
        let mut patterns = Vec::new();
        for line in lines {
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            if patterns.len() == Self::COUNT_MAX {
                return Err(PatternsError::TooMany);
            }
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let line = line.split(|byte| *byte == 0).next().unwrap_or_default();
            patterns.push(Pattern::parse(without_trailing_spaces(line)));
        }
        Ok(Self(patterns))
    }

    /// Whether the last pattern that matches this path wants it; `None` if no pattern matches.
    pub(crate) fn decide(&self, path: &[u8], is_folder: bool) -> Option<bool> {
        let mut latest_first = self.0.iter().rev();
        latest_first
            .find(|pattern| pattern.matches(path, is_folder))
            .map(|pattern| !pattern.negative)
    }
}

/// A pattern that is held against whole paths, and in which stars match slashes too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glob(Option<Wild>);

impl Glob {
    pub(crate) fn compile(pattern: &[u8]) -> Self {
        Self(Wild::compile_free(pattern))
    }

    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        self.0.as_ref().is_some_and(|wild| wild.matches(path))
    }
}

/// One line of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// It began with `!`.
    negative: bool,
    /// It ended in a slash.
    folders_only: bool,
    /// It has no other slash, and is held against the last name of a path.
    names_only: bool,
    /// What comes before the first wildcard.
    literal: Vec<u8>,
    rest: Rest,
}

/// What a pattern has from its first wildcard on.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Rest {
    Nothing,
    /// One star, then this.
    EndsWith(Vec<u8>),
    Wild(Wild),
    /// Something that no path matches.
    Impossible,
}

impl Pattern {
    pub(crate) fn parse(line: &[u8]) -> Self {
        let (negative, line) = match line.strip_prefix(b"!") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let (folders_only, line) = match line.strip_suffix(b"/") {
            Some(rest) => (true, rest),
            None => (false, line),
        };
        let names_only = !line.contains(&b'/');
        let wildcard = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
        let first = line.iter().position(wildcard).unwrap_or(line.len());
        let (literal, wild) = line.split_at(first);
        let rest = match wild {
            [] => Rest::Nothing,
            [b'*', end @ ..] if names_only && literal.is_empty() && !end.iter().any(wildcard) => {
                Rest::EndsWith(end.to_vec())
            }
            wild => Wild::compile(wild).map_or(Rest::Impossible, Rest::Wild),
        };
        Self {
            negative,
            folders_only,
            names_only,
            literal: literal.strip_prefix(b"/").unwrap_or(literal).to_vec(),
            rest,
        }
    }

    pub(crate) fn matches(&self, path: &[u8], is_folder: bool) -> bool {
        if self.folders_only && !is_folder {
            return false;
        }
        let text = if self.names_only {
            let slash = path.iter().rposition(|byte| *byte == b'/');
            &path[slash.map_or(0, |slash| slash + 1)..]
        } else if path.is_empty() {
            // The top has no path that could match.
            return false;
        } else {
            path
        };
        let Some(text) = text.strip_prefix(&*self.literal) else {
            return false;
        };
        match &self.rest {
            Rest::Nothing => text.is_empty(),
            Rest::EndsWith(end) => text.ends_with(end),
            Rest::Wild(wild) => wild.matches(text),
            Rest::Impossible => false,
        }
    }
}

/// Cuts spaces off the end that no backslash protects.
fn without_trailing_spaces(line: &[u8]) -> &[u8] {
    let mut end = 0;
    let mut at = 0;
    while at < line.len() {
        match line[at] {
            b' ' => {}
            // A backslash at the very end keeps all spaces.
            b'\\' if at + 1 == line.len() => return line,
            b'\\' => {
                at += 1;
                end = at + 1;
            }
            _ => end = at + 1,
        }
        at += 1;
    }
    &line[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The paths among these that the patterns want.
    #[track_caller]
    fn check(patterns: &str, paths: &str, expected: &str) {
        let patterns = Patterns::parse(patterns.as_bytes()).unwrap();
        let wanted = |path: &&str| {
            let folder = path.strip_suffix('/');
            let name = folder.unwrap_or(path).as_bytes();
            patterns.decide(name, folder.is_some()) == Some(true)
        };
        let found: Vec<_> = paths.split(' ').filter(wanted).collect();
        assert_eq!(found.join(" "), expected);
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let paths = "a a/ b/a a.c b/x.c b/ x/b/y";
        check("a\n", paths, "a a/ b/a");
        check("/a\n", paths, "a a/");
        check("a/\n", paths, "a/");
        check("*.c\n", paths, "a.c b/x.c");
        check("*.c\n!b/*\n", paths, "a.c");
        check("!b/*\n*.c", paths, "a.c b/x.c");
        check("b/x*\n", paths, "b/x.c");
        check("**/b/\n", paths, "b/");
        check("x/**\n", paths, "x/b/y");
        check("[a-b]\n", paths, "a a/ b/a b/");
        check("# a\n\\a\n", paths, "a a/ b/a");
        check("a[\n", paths, "");
    }

    #[test]
    fn lines_are_trimmed_as_git_trims_them() {
        check("\u{feff}a \t\nb  \r\n", "a b", "b");
        check("a\\ \n", "a", "");
        assert_eq!(without_trailing_spaces(b"a\\  "), b"a\\ ");
        assert_eq!(without_trailing_spaces(b"a  \\"), b"a  \\");
        assert_eq!(without_trailing_spaces(b"   "), b"");
    }

    #[test]
    fn a_line_of_nothing_matches_the_top_alone() {
        for text in ["\r\n", "/\n", " \n"] {
            let patterns = Patterns::parse(text.as_bytes()).unwrap();
            assert_eq!(patterns.decide(b"", true), Some(true), "{text:?}");
            assert_eq!(patterns.decide(b"a", true), None, "{text:?}");
        }
    }

    #[test]
    fn a_list_is_bounded_in_bytes_and_in_patterns() {
        let bytes = usize::try_from(Patterns::BYTES_MAX).unwrap();
        let comment = |bytes: usize| [b"#".as_slice(), &vec![b'x'; bytes - 1]].concat();
        assert!(Patterns::parse(&comment(bytes)).is_ok());
        assert_eq!(
            Patterns::parse(&comment(bytes + 1)),
            Err(PatternsError::TooLarge(Patterns::BYTES_MAX + 1))
        );
        let lines = |count: usize| "a\n".repeat(count);
        assert!(Patterns::parse(lines(Patterns::COUNT_MAX).as_bytes()).is_ok());
        assert_eq!(
            Patterns::parse(lines(Patterns::COUNT_MAX + 1).as_bytes()),
            Err(PatternsError::TooMany)
        );
    }
}
