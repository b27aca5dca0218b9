//! Lines of one version of a file found again in another one.
//!
//! Source: git-blame(1); git compares both versions without what their ends have in common.
//! Invariant: no line is lost: what is not passed on is kept.

use crate::git::diff::lines::{Comparison, common_tail};

/// Lines of the file asked for, and where they are in another version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    /// The first one in the file asked for, counted from 0.
    pub(super) at: usize,
    /// The first one in the other version.
    pub(super) line: usize,
    pub(super) count: usize,
}

impl Span {
    /// So many lines of it from `start` on, which are at `line` of yet another version.
    pub(super) fn part(&self, start: usize, count: usize, line: usize) -> Self {
        Self {
            at: self.at + start,
            line,
            count,
        }
    }

    /// What is left of it without some of its lines.
    pub(super) fn without(&self, part: &Self) -> impl Iterator<Item = Self> + use<> {
        let before = part.at - self.at;
        let after = before + part.count;
        let parts = [
            self.part(0, before, self.line),
            self.part(after, self.count - after, self.line + after),
        ];
        parts.into_iter().filter(|part| part.count > 0)
    }
}

/// Lines in a row that two versions have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) count: usize,
}

/// Where each line begins, and where the last one ends.
pub(super) fn starts(text: &[u8]) -> Vec<usize> {
    let mut starts: Vec<_> = std::iter::once(0)
        .chain(memchr::memchr_iter(b'\n', text).map(|end| end + 1))
        .collect();
    // A last line without its end is a line, nothing after the last end is none.
    if !text.ends_with(b"\n") && !text.is_empty() {
        starts.push(text.len());
    }
    starts
}

/// The runs of lines that stayed the same from one version to the next, in order.
pub(super) fn runs(before: &[u8], after: &[u8]) -> impl Iterator<Item = Run> + use<> {
    let lines = |text: &[u8]| starts(text).len() - 1;
    let total = lines(after);
    let tail = common_tail(before, after);
    let compared = Comparison::of(&before[..before.len() - tail], &after[..after.len() - tail]);
    let mut runs = Vec::with_capacity(compared.changes.len() + 1);
    let (mut from, mut to) = (0, 0);
    for change in &compared.changes {
        runs.push(Run {
            from,
            to,
            count: change.after.start - to,
        });
        (from, to) = (change.before.end, change.after.end);
    }
    runs.push(Run {
        from,
        to,
        count: total - to,
    });
    runs.into_iter().filter(|run| run.count > 0)
}

/// Divides lines of the new version into those that the old one has, at their places there, and the others.
pub(super) fn divide(before: &[u8], after: &[u8], spans: Vec<Span>) -> (Vec<Span>, Vec<Span>) {
    let (mut passed, mut kept) = (Vec::new(), Vec::new());
    let mut runs = runs(before, after).peekable();
    for mut span in spans {
        while span.count > 0 {
            while runs
                .next_if(|run| run.to + run.count <= span.line)
                .is_some()
            {}
            let end = span.line + span.count;
            let Some(run) = runs.peek().filter(|run| run.to < end) else {
                kept.push(span);
                break;
            };
            let alone = run.to.saturating_sub(span.line);
            if alone > 0 {
                kept.push(span.part(0, alone, span.line));
            }
            let (start, stop) = (span.line + alone, end.min(run.to + run.count));
            passed.push(span.part(alone, stop - start, run.from + (start - run.to)));
            let done = stop - span.line;
            span = span.part(done, span.count - done, span.line + done);
        }
    }
    passed.sort_by_key(|span| span.line);
    (passed, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_lost_and_each_goes_where_it_came_from() {
        let (before, after) = (b"a\nb\nc\nd\n", b"x\nb\nc\ny\nd\nz\n");
        let span = |at, line, count| Span { at, line, count };
        let whole = vec![span(10, 0, 3), span(13, 3, 3)];
        let (passed, kept) = divide(before, after, whole);
        assert_eq!(passed, [span(11, 1, 2), span(14, 3, 1)]);
        assert_eq!(kept, [span(10, 0, 1), span(13, 3, 1), span(15, 5, 1)]);
        assert_eq!(
            divide(before, before, vec![span(0, 1, 2)]).0,
            [span(0, 1, 2)]
        );
        assert_eq!(divide(b"", after, vec![span(0, 1, 2)]).1, [span(0, 1, 2)]);
    }

    #[test]
    fn the_last_line_may_lack_its_end() {
        assert_eq!(starts(b""), [0]);
        assert_eq!(starts(b"a"), [0, 1]);
        assert_eq!(starts(b"a\n"), [0, 2]);
        assert_eq!(starts(b"a\nb"), [0, 2, 3]);
    }
}
