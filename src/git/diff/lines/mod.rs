//! What changed between two texts, line by line, as stock git tells it.
//!
//! Source: git-diff(1) with its defaults: Myers' algorithm, `diff.indentHeuristic`.
//! Bounds: memory grows with the lines of both texts, some 60 bytes each; callers bound the texts.
//! Invariant: a line ends behind its line feed, and only the last one may lack it; lines are equal when all
//! their bytes are. Changes are in order and at least one unchanged line lies between two of them.
//! Not here: whether a file is text at all (`patch`).

mod histogram;
mod myers;
mod slide;
mod unified;
mod unmatched;

use std::{collections::HashMap, ops::Range};

pub(crate) use unified::CONTEXT;

/// Lines of the old text that make way for lines of the new one; one of the two may be none, not both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// Lines removed, counted from 0.
    pub(crate) before: Range<usize>,
    /// Lines added.
    pub(crate) after: Range<usize>,
}

/// Two texts and what changed between them.
#[derive(Debug, Clone)]
pub(crate) struct Comparison<'a> {
    /// Lines of the old text.
    pub(crate) before: Vec<&'a [u8]>,
    /// Lines of the new text.
    pub(crate) after: Vec<&'a [u8]>,
    /// All changes, the first one first.
    pub(crate) changes: Vec<Change>,
}

impl<'a> Comparison<'a> {
    /// Compares two texts.
    pub(crate) fn of(before: &'a [u8], after: &'a [u8]) -> Self {
        let (before, after) = (split(before), split(after));
        let (mut old, mut new, counts) = Side::pair(before, after);
        myers_between(&mut old, &mut new, &counts);
        slide::settle(&mut old, &new, true);
        slide::settle(&mut new, &old, true);
        Self::between(old, new)
    }

    /// Compares lines as git's merges do: by their histogram, and without weighing where a change reads best.
    pub(crate) fn by_histogram(before: Vec<&'a [u8]>, after: Vec<&'a [u8]>) -> Self {
        let (mut old, mut new, _) = Side::pair(before, after);
        histogram::mark(&mut old, &mut new);
        slide::settle(&mut old, &new, false);
        slide::settle(&mut new, &old, false);
        Self::between(old, new)
    }

    fn between(old: Side<'a>, new: Side<'a>) -> Self {
        let changes = changes(&old.changed, &new.changed);
        Self {
            before: old.lines,
            after: new.lines,
            changes,
        }
    }

    /// How many lines were added.
    pub(crate) fn additions(&self) -> usize {
        self.changes.iter().map(|change| change.after.len()).sum()
    }

    /// How many lines were removed.
    pub(crate) fn deletions(&self) -> usize {
        self.changes.iter().map(|change| change.before.len()).sum()
    }
}

/// Marks what changed by Myers' algorithm.
fn myers_between(old: &mut Side<'_>, new: &mut Side<'_>, counts: &Counts) {
    let (start, end) = common_ends(&old.classes, &new.classes);
    let middle = |side: &Side<'_>| start..side.lines.len() - end;
    let (old_middle, new_middle) = (middle(old), middle(new));
    let kept_old = old.keep(old_middle, &counts.after);
    let kept_new = new.keep(new_middle, &counts.before);
    let classes = |side: &Side<'_>, kept: &[usize]| -> Vec<u32> {
        kept.iter().map(|at| side.classes[*at]).collect()
    };
    myers::compare(
        &classes(old, &kept_old),
        &classes(new, &kept_new),
        &mut |at| old.changed[kept_old[at]] = true,
        &mut |at| new.changed[kept_new[at]] = true,
    );
}

/// Cuts a text behind each line feed.
pub(crate) fn split(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// How much shorter both texts may be made at their end before they are compared: what git's blame and its counts
/// without context do, and what makes them choose other lines now and then.
pub(crate) fn common_tail(before: &[u8], after: &[u8]) -> usize {
    /// Bytes that are equal or not, as a whole.
    const BLOCK: usize = 1024;
    let blocks = before.rchunks_exact(BLOCK).zip(after.rchunks_exact(BLOCK));
    let equal = blocks.take_while(|(before, after)| before == after).count() * BLOCK;
    // A line that begins before what is cut off stays whole.
    let tail = &before[before.len() - equal..];
    match tail.iter().position(|byte| *byte == b'\n') {
        Some(at) => equal - at - 1,
        None => 0,
    }
}

/// One text while it is compared.
struct Side<'a> {
    lines: Vec<&'a [u8]>,
    /// Equal for equal lines, whichever side they are on.
    classes: Vec<u32>,
    changed: Vec<bool>,
}

/// How often each class occurs.
struct Counts {
    before: Vec<u32>,
    after: Vec<u32>,
}

impl<'a> Side<'a> {
    fn pair(before: Vec<&'a [u8]>, after: Vec<&'a [u8]>) -> (Self, Self, Counts) {
        let mut known = HashMap::with_capacity(before.len());
        let mut class_of = |line: &'a [u8]| {
            let next = u32::try_from(known.len()).expect("objects have fewer lines");
            *known.entry(line).or_insert(next)
        };
        let old: Vec<_> = before.iter().map(|line| class_of(line)).collect();
        let same = |(at, line): (usize, &&'a [u8])| match before.get(at) {
            // Most lines of a file stay where they are.
            Some(other) if other == line => old[at],
            _ => class_of(line),
        };
        let new: Vec<_> = after.iter().enumerate().map(same).collect();
        let mut counts = Counts {
            before: vec![0; known.len()],
            after: vec![0; known.len()],
        };
        old.iter()
            .for_each(|class| counts.before[*class as usize] += 1);
        new.iter()
            .for_each(|class| counts.after[*class as usize] += 1);
        let side = |lines: Vec<&'a [u8]>, classes| Self {
            changed: vec![false; lines.len()],
            lines,
            classes,
        };
        (side(before, old), side(after, new), counts)
    }

    /// Which lines of the part between the common ends are to be compared; the others are changed.
    fn keep(&mut self, middle: Range<usize>, counts: &[u32]) -> Vec<usize> {
        let lines = self.lines.len();
        let worth = unmatched::worth_comparing(&self.classes[middle.clone()], lines, counts);
        let mut kept = Vec::new();
        for (at, worth) in middle.zip(worth) {
            match worth {
                true => kept.push(at),
                false => self.changed[at] = true,
            }
        }
        kept
    }
}

/// How many lines are equal at the beginning and, of the others, at the end.
fn common_ends(before: &[u32], after: &[u32]) -> (usize, usize) {
    let equal = |(before, after): &(&u32, &u32)| before == after;
    let start = before.iter().zip(after).take_while(equal).count();
    let (before, after) = (&before[start..], &after[start..]);
    let pairs = before.iter().rev().zip(after.iter().rev());
    (start, pairs.take_while(equal).count())
}

/// What lies between lines that are unchanged on both sides.
fn changes(before: &[bool], after: &[bool]) -> Vec<Change> {
    let run = |changed: &[bool], from: usize| {
        let run = changed[from..].iter().position(|changed| !changed);
        from..run.map_or(changed.len(), |run| from + run)
    };
    let mut changes = Vec::new();
    let (mut old, mut new) = (0, 0);
    while old < before.len() || new < after.len() {
        let change = Change {
            before: run(before, old),
            after: run(after, new),
        };
        (old, new) = (change.before.end + 1, change.after.end + 1);
        if !change.before.is_empty() || !change.after.is_empty() {
            changes.push(change);
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_is_cut_in_whole_blocks_and_at_a_line() {
        let tail = format!("{}\n", "x".repeat(99)).repeat(30);
        let cut = |before: &str, after: &str| {
            let before = format!("{before}{tail}");
            let after = format!("{after}{tail}");
            common_tail(before.as_bytes(), after.as_bytes())
        };
        // Two blocks are 2048 bytes; they begin in the middle of a line.
        assert_eq!(cut("a\n", "b\n"), 2000);
        assert_eq!(cut("", ""), 2000);
        assert_eq!(common_tail(&[b'x'; 4096], &[b'x'; 4096]), 0);
        assert_eq!(common_tail(b"a\n", b"a\n"), 0);
    }

    #[test]
    fn changes_are_in_order_and_apart() {
        let comparison = Comparison::of(b"a\nb\nc\nd", b"x\na\nc\nd\n");
        let change = |before, after| Change { before, after };
        let expected = [change(0..0, 0..1), change(1..2, 2..2), change(3..4, 3..4)];
        assert_eq!(comparison.changes, expected);
        assert_eq!((comparison.additions(), comparison.deletions()), (2, 2));
        assert_eq!(Comparison::of(b"", b"").changes, []);
    }
}
