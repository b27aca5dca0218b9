//! Which lines are asked for, in the words of `git blame -L`.
//!
//! Source: git-blame(1), `-L`: numbers, offsets, functions and regular expressions; the latter in the syntax of the
//! `regex` crate. A function begins, as with git where no attributes apply, with a letter, `_` or `$`.
//! Bounds: [`RANGES_MAX`], [`EXPRESSION_BYTES_MAX`].
//! Invariant: ranges come out sorted and apart from each other, within the file.

use std::ops::Range;

use regex::bytes::{Regex, RegexBuilder};

use super::lines::starts;

/// Ranges in one request.
const RANGES_MAX: usize = 100;
/// Memory that an expression may compile to.
const EXPRESSION_BYTES_MAX: usize = 1 << 20;

/// Why ranges can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangesError {
    /// There are more than anybody needs.
    #[error("more than {RANGES_MAX} ranges")]
    TooMany,
    /// One is none.
    #[error("range {0:?} is not understood")]
    Malformed(String),
    /// The file does not go so far.
    #[error("range {range:?} begins after line {lines}, the last one")]
    Beyond {
        /// As it was given.
        range: String,
        /// What the file has.
        lines: usize,
    },
    /// An expression matches no line.
    #[error("range {0:?} matches no line")]
    NoMatch(String),
}

/// The lines of these ranges, counted from 0; all of them if there are none.
pub(super) fn parse(texts: &[String], file: &[u8]) -> Result<Vec<Range<usize>>, RangesError> {
    if texts.len() > RANGES_MAX {
        return Err(RangesError::TooMany);
    }
    let starts = starts(file);
    let lines = starts.len() - 1;
    if texts.is_empty() {
        return Ok(Vec::from_iter((lines > 0).then_some(0..lines)));
    }
    let mut ranges = Vec::with_capacity(texts.len());
    let mut anchor = 1;
    for text in texts {
        let parser = Parser {
            text,
            file,
            starts: &starts,
        };
        let range = parser.range(anchor)?;
        anchor = range.end + 1;
        ranges.push(range);
    }
    ranges.sort_by_key(|range| range.start);
    let mut apart: Vec<Range<usize>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match apart.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => apart.push(range),
        }
    }
    Ok(apart)
}

struct Parser<'a> {
    text: &'a str,
    file: &'a [u8],
    starts: &'a [usize],
}

impl<'a> Parser<'a> {
    fn malformed(&self) -> RangesError {
        RangesError::Malformed(self.text.to_owned())
    }

    fn lines(&self) -> usize {
        self.starts.len() - 1
    }

    /// The lines between two places, both included; searches begin at the line `anchor`.
    fn range(&self, anchor: usize) -> Result<Range<usize>, RangesError> {
        let (from, text) = match self.text.strip_prefix('^') {
            Some(text) if text.starts_with(':') => (1, text),
            _ => (anchor, self.text),
        };
        if let Some(expression) = text.strip_prefix(':') {
            return self.function(expression, from);
        }
        let (first, rest) = self.place(self.text, anchor, None)?;
        let (last, rest) = match rest.strip_prefix(',') {
            None => (None, rest),
            Some(rest) => {
                let from = first.map_or(1, |first| first + 1);
                self.place(rest, from, Some(from))?
            }
        };
        if !rest.is_empty() || self.text.is_empty() {
            return Err(self.malformed());
        }
        let (first, last) = match (first, last) {
            (Some(first), Some(last)) if last < first => (Some(last), Some(first)),
            places => places,
        };
        let first = first.unwrap_or(1);
        if first > self.lines() {
            return Err(RangesError::Beyond {
                range: self.text.to_owned(),
                lines: self.lines(),
            });
        }
        Ok(first - 1..last.unwrap_or(self.lines()).min(self.lines()))
    }

    /// The lines of the first function from a line on whose beginning matches.
    fn function(&self, text: &str, from: usize) -> Result<Range<usize>, RangesError> {
        let unescaped = text.replace("\\:", "");
        if text.is_empty() || unescaped.contains(':') {
            return Err(self.malformed());
        }
        let expression = self.compiled(text)?;
        let begins = |line: &usize| {
            let first = self.file.get(self.starts[line - 1]);
            first.is_some_and(|byte| byte.is_ascii_alphabetic() || matches!(byte, b'_' | b'$'))
        };
        let matches = |line: &usize| expression.is_match(self.line(*line)) && begins(line);
        let first = (from..=self.lines()).find(matches);
        let first = first.ok_or_else(|| RangesError::NoMatch(self.text.to_owned()))?;
        let next = (first + 1..=self.lines()).find(begins);
        Ok(first - 1..next.map_or(self.lines(), |next| next - 1))
    }

    fn compiled(&self, expression: &str) -> Result<Regex, RangesError> {
        let built = RegexBuilder::new(expression)
            .size_limit(EXPRESSION_BYTES_MAX)
            .build();
        built.map_err(|_| self.malformed())
    }

    /// A line without its end; the first is 1.
    fn line(&self, number: usize) -> &[u8] {
        let line = &self.file[self.starts[number - 1]..self.starts[number]];
        line.strip_suffix(b"\n").unwrap_or(line)
    }

    /// The line that a text begins with, if it does, and what follows; `after` is the line behind the beginning
    /// of the range.
    fn place(
        &self,
        text: &'a str,
        from: usize,
        after: Option<usize>,
    ) -> Result<(Option<usize>, &'a str), RangesError> {
        let number = |text: &'a str| {
            let end = text
                .find(|letter: char| !letter.is_ascii_digit())
                .unwrap_or(text.len());
            let number = text[..end].parse::<usize>().map_err(|_| self.malformed())?;
            Ok::<_, RangesError>((number, &text[end..]))
        };
        let (from, text) = match text.strip_prefix('^') {
            Some(text) if after.is_none() => (1, text),
            _ => (from, text),
        };
        match (text.as_bytes().first(), after) {
            (None | Some(b','), _) => Ok((None, text)),
            (Some(sign @ (b'+' | b'-')), Some(after)) => {
                let (count, rest) = number(&text[1..])?;
                if count == 0 {
                    return Err(self.malformed());
                }
                // The first line counts as one of them.
                let line = match sign {
                    b'+' => after.saturating_add(count) - 2,
                    _ => after.saturating_sub(count).max(1),
                };
                Ok((Some(line), rest))
            }
            (Some(b'/'), _) => {
                let (expression, rest) = self.expression(&text[1..])?;
                Ok((Some(self.search(&expression, from)?), rest))
            }
            _ => {
                let (line, rest) = number(text)?;
                match line {
                    0 => Err(self.malformed()),
                    line => Ok((Some(line), rest)),
                }
            }
        }
    }

    /// An expression up to the next slash without a backslash before it.
    fn expression(&self, text: &'a str) -> Result<(Regex, &'a str), RangesError> {
        let mut letters = text.char_indices();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\\' => drop(letters.next()),
                '/' => {
                    let expression = self.compiled(&text[..at].replace("\\/", "/"))?;
                    return Ok((expression, &text[at + 1..]));
                }
                _ => {}
            }
        }
        Err(self.malformed())
    }

    fn search(&self, expression: &Regex, from: usize) -> Result<usize, RangesError> {
        let matches = |line: &usize| expression.is_match(self.line(*line));
        let found = (from..=self.lines()).find(matches);
        found.ok_or_else(|| RangesError::NoMatch(self.text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"one\ntwo\nthree\nfour\nfive\nsix";

    fn ranges(texts: &[&str]) -> Result<Vec<Range<usize>>, RangesError> {
        let texts: Vec<_> = texts.iter().map(|text| (*text).to_owned()).collect();
        parse(&texts, FILE)
    }

    #[test]
    #[expect(
        clippy::single_range_in_vec_init,
        reason = "lists of ranges, most of them of one"
    )]
    fn ranges_are_those_of_git() {
        for (texts, expected) in [
            (&[][..], &[0..6][..]),
            (&["2,4"], &[1..4]),
            (&["4,2"], &[1..4]),
            (&["3"], &[2..6]),
            (&[",2"], &[0..2]),
            (&["2,"], &[1..6]),
            (&["2,+3"], &[1..4]),
            (&["4,-3"], &[1..4]),
            (&["2,-9"], &[0..2]),
            (&["2,99"], &[1..6]),
            (&["/three/,+2"], &[2..4]),
            (&["/t/,/i/"], &[1..5]),
            (&["5,6", "1,2", "2,3"], &[0..3, 4..6]),
            (&["3,4", "^/t/,2"], &[1..4]),
            (&[":th"], &[2..3]),
            (&["3,4", "^:w"], &[1..4]),
        ] {
            assert_eq!(ranges(texts).unwrap(), expected, "{texts:?}");
        }
        for texts in [
            "x",
            "0,3",
            "1,2,3",
            "1,+0",
            "/a",
            "/(/",
            "",
            "-1,2",
            "1;2",
            "/seven/",
            "7",
            ":",
            ":zz",
            ":a:b",
            "99999999999999999999999",
        ] {
            assert!(ranges(&[texts]).is_err(), "{texts:?}");
        }
        // A search begins behind the range before.
        let nothing = RangesError::NoMatch("/t/,5".to_owned());
        assert_eq!(ranges(&["2,3", "/t/,5"]), Err(nothing));
        assert_eq!(ranges(&["1"; RANGES_MAX + 1]), Err(RangesError::TooMany));
        assert_eq!(parse(&[], b""), Ok(vec![]));
        let code = b"int one()\n{\n}\n\nint two()\n{\n}\n";
        assert_eq!(parse(&[":two".to_owned()], code), Ok(vec![4..7]));
        assert_eq!(parse(&[":int".to_owned()], code), Ok(vec![0..4]));
    }
}
