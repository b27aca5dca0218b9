//! Three versions of a text made into one.
//!
//! Source: git-merge-file(1) with git's defaults: changes that overlap are cut down to the lines in which they
//! differ, and conflicts with at most three lines between them become one.
//! Bounds: those of comparing (`diff::lines`).
//! Invariant: changes that both sides made are made once; without a conflict the result has no markers.

use std::ops::Range;

use crate::git::diff::lines::{Comparison, split};

/// Letters of a marker.
pub(super) const MARKER: usize = 7;
/// Conflicts that are as close as this are shown as one.
const GAP: usize = 3;

/// What stands in the lines that enclose a conflict.
#[derive(Debug, Clone, Copy)]
pub(super) struct Markers<'a> {
    pub(super) length: usize,
    pub(super) ours: &'a [u8],
    pub(super) theirs: &'a [u8],
}

/// A text made of two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Merged {
    pub(super) text: Vec<u8>,
    pub(super) conflicts: usize,
}

/// Merges two texts that came from one.
pub(super) fn merge(base: &[u8], ours: &[u8], theirs: &[u8], markers: Markers<'_>) -> Merged {
    let by_us = Comparison::by_histogram(split(base), split(ours));
    let by_them = Comparison::by_histogram(split(base), split(theirs));
    let unchanged = match (by_us.changes.is_empty(), by_them.changes.is_empty()) {
        (true, _) => Some(theirs),
        (false, true) => Some(ours),
        (false, false) => None,
    };
    if let Some(text) = unchanged {
        return Merged {
            text: text.to_vec(),
            conflicts: 0,
        };
    }
    let hunks = simplified(refined(overlaid(&by_us, &by_them), &by_us, &by_them));
    Writer {
        by_us: &by_us,
        by_them: &by_them,
        markers,
        text: Vec::with_capacity(ours.len().max(theirs.len())),
        copied: 0,
    }
    .write(&hunks)
}

/// Whose lines are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Ours,
    Theirs,
    /// They are the same.
    Either,
    Conflict,
}

/// A place where at least one side changed something.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hunk {
    taken: Taken,
    ours: Range<usize>,
    theirs: Range<usize>,
}

/// Puts a hunk behind the others, or into the last one if they touch.
fn push(hunks: &mut Vec<Hunk>, hunk: Hunk) {
    match hunks.last_mut() {
        Some(last) if hunk.ours.start <= last.ours.end || hunk.theirs.start <= last.theirs.end => {
            if last.taken != hunk.taken {
                last.taken = Taken::Conflict;
            }
            last.ours.end = hunk.ours.end;
            last.theirs.end = hunk.theirs.end;
        }
        _ => hunks.push(hunk),
    }
}

/// The changes of both sides laid over each other; those that both made alike are left out.
fn overlaid(by_us: &Comparison<'_>, by_them: &Comparison<'_>) -> Vec<Hunk> {
    let mut hunks = Vec::new();
    let base = by_us.before.len();
    let (mut ours, mut theirs) = (
        by_us.changes.iter().peekable(),
        by_them.changes.iter().peekable(),
    );
    // Where unchanged lines of the base stand on the other side.
    let moved = |from: usize, to: usize, at: usize| at + to - from;
    loop {
        match (ours.peek().copied(), theirs.peek().copied()) {
            (None, None) => return hunks,
            (Some(our), next) if next.is_none_or(|their| our.before.end < their.before.start) => {
                let start = match next {
                    Some(their) => moved(their.before.start, their.after.start, our.before.start),
                    None => moved(base, by_them.after.len(), our.before.start),
                };
                let hunk = Hunk {
                    taken: Taken::Ours,
                    ours: our.after.clone(),
                    theirs: start..start + our.before.len(),
                };
                push(&mut hunks, hunk);
                ours.next();
            }
            (next, Some(their)) if next.is_none_or(|our| their.before.end < our.before.start) => {
                let start = match next {
                    Some(our) => moved(our.before.start, our.after.start, their.before.start),
                    None => moved(base, by_us.after.len(), their.before.start),
                };
                let hunk = Hunk {
                    taken: Taken::Theirs,
                    ours: start..start + their.before.len(),
                    theirs: their.after.clone(),
                };
                push(&mut hunks, hunk);
                theirs.next();
            }
            (Some(our), Some(their)) => {
                let alike = our.before == their.before
                    && by_us.after[our.after.clone()] == by_them.after[their.after.clone()];
                if !alike {
                    let start = our.before.start.min(their.before.start);
                    let end = our.before.end.max(their.before.end);
                    // Where this runs out of lines, the hunk goes into the one before, and only its end counts.
                    let widened = |change: &Range<usize>, to: &Range<usize>| {
                        to.start.saturating_sub(change.start - start)..to.end + (end - change.end)
                    };
                    let hunk = Hunk {
                        taken: Taken::Conflict,
                        ours: widened(&our.before, &our.after),
                        theirs: widened(&their.before, &their.after),
                    };
                    push(&mut hunks, hunk);
                }
                let (our_end, their_end) = (our.before.end, their.before.end);
                if our_end >= their_end {
                    theirs.next();
                }
                if their_end >= our_end {
                    ours.next();
                }
            }
            (Some(_), None) | (None, Some(_)) => {
                unreachable!("a lone change comes before all others")
            }
        }
    }
}

/// Cuts conflicts down to the lines in which the sides differ.
fn refined(hunks: Vec<Hunk>, by_us: &Comparison<'_>, by_them: &Comparison<'_>) -> Vec<Hunk> {
    let mut refined = Vec::with_capacity(hunks.len());
    for hunk in hunks {
        if hunk.taken != Taken::Conflict || hunk.ours.is_empty() || hunk.theirs.is_empty() {
            refined.push(hunk);
            continue;
        }
        let compared = Comparison::by_histogram(
            by_us.after[hunk.ours.clone()].to_vec(),
            by_them.after[hunk.theirs.clone()].to_vec(),
        );
        if compared.changes.is_empty() {
            let taken = Taken::Either;
            refined.push(Hunk { taken, ..hunk });
            continue;
        }
        let within = |start: usize, part: &Range<usize>| start + part.start..start + part.end;
        refined.extend(compared.changes.iter().map(|change| Hunk {
            taken: Taken::Conflict,
            ours: within(hunk.ours.start, &change.before),
            theirs: within(hunk.theirs.start, &change.after),
        }));
    }
    refined
}

/// Joins conflicts that are close to each other.
fn simplified(hunks: Vec<Hunk>) -> Vec<Hunk> {
    let mut joined: Vec<Hunk> = Vec::with_capacity(hunks.len());
    for hunk in hunks {
        match joined.last_mut() {
            Some(last)
                if last.taken == Taken::Conflict
                    && hunk.taken == Taken::Conflict
                    && hunk.ours.start - last.ours.end <= GAP =>
            {
                last.ours.end = hunk.ours.end;
                last.theirs.end = hunk.theirs.end;
            }
            _ => joined.push(hunk),
        }
    }
    joined
}

/// Writes lines of ours, with what else is taken in their places.
struct Writer<'a> {
    by_us: &'a Comparison<'a>,
    by_them: &'a Comparison<'a>,
    markers: Markers<'a>,
    text: Vec<u8>,
    /// Lines of ours that are done with.
    copied: usize,
}

impl Writer<'_> {
    fn write(mut self, hunks: &[Hunk]) -> Merged {
        let mut conflicts = 0;
        for hunk in hunks {
            match hunk.taken {
                Taken::Either => continue,
                Taken::Ours => self.ours_up_to(hunk.ours.end),
                Taken::Theirs => {
                    self.ours_up_to(hunk.ours.start);
                    self.lines(&self.by_them.after[hunk.theirs.clone()]);
                }
                Taken::Conflict => {
                    conflicts += 1;
                    self.ours_up_to(hunk.ours.start);
                    self.conflict(hunk);
                }
            }
            self.copied = hunk.ours.end;
        }
        self.ours_up_to(self.by_us.after.len());
        Merged {
            text: self.text,
            conflicts,
        }
    }

    fn ours_up_to(&mut self, end: usize) {
        self.lines(&self.by_us.after[self.copied.min(end)..end]);
        self.copied = end;
    }

    fn lines(&mut self, lines: &[&[u8]]) {
        for line in lines {
            self.text.extend_from_slice(line);
        }
    }

    fn conflict(&mut self, hunk: &Hunk) {
        let end: &[u8] = if self.ends_in_return(hunk) {
            b"\r\n"
        } else {
            b"\n"
        };
        let Markers { ours, theirs, .. } = self.markers;
        self.marker(b'<', Some(ours), end);
        self.ended(&self.by_us.after[hunk.ours.clone()], end);
        self.marker(b'=', None, end);
        self.ended(&self.by_them.after[hunk.theirs.clone()], end);
        self.marker(b'>', Some(theirs), end);
    }

    fn marker(&mut self, letter: u8, label: Option<&[u8]>, end: &[u8]) {
        self.text
            .extend(std::iter::repeat_n(letter, self.markers.length));
        if let Some(label) = label {
            self.text.push(b' ');
            self.text.extend_from_slice(label);
        }
        self.text.extend_from_slice(end);
    }

    /// Lines, the last one ended if it is not.
    fn ended(&mut self, lines: &[&[u8]], end: &[u8]) {
        self.lines(lines);
        if lines.last().is_some_and(|last| !last.ends_with(b"\n")) {
            self.text.extend_from_slice(end);
        }
    }

    /// Whether the lines around a conflict end in a carriage return and a line feed.
    fn ends_in_return(&self, hunk: &Hunk) -> bool {
        let before = |range: &Range<usize>| range.start.saturating_sub(1);
        let all = [
            has_return(&self.by_us.after, before(&hunk.ours)),
            has_return(&self.by_them.after, before(&hunk.theirs)),
            has_return(&self.by_us.before, 0),
        ];
        // The first that says no decides; if none does, the last has to say yes.
        all.iter().all(|has| has.unwrap_or(true)) && all[2] == Some(true)
    }
}

/// Whether a line ends in both; a last line without an end takes after the one before it.
fn has_return(lines: &[&[u8]], at: usize) -> Option<bool> {
    let line = lines.get(at)?;
    if line.ends_with(b"\n") {
        return Some(line.ends_with(b"\r\n"));
    }
    let above = lines.get(at.checked_sub(1)?)?;
    Some(above.ends_with(b"\r\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::fixture::Stock;

    /// Numbers that look random and are the same every time.
    struct Dice(u64);

    impl Dice {
        fn roll(&mut self, sides: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            usize::try_from((self.0 >> 33) % sides as u64).unwrap()
        }

        fn edited(&mut self, lines: &[String]) -> Vec<String> {
            let mut edited = lines.to_vec();
            for _ in 0..1 + self.roll(4) {
                let at = self.roll(edited.len() + 1);
                match self.roll(4) {
                    0 => edited.insert(at, format!("new {}\n", self.roll(3))),
                    1 if at < edited.len() => drop(edited.remove(at)),
                    2 if at < edited.len() => edited[at] = format!("changed {}\n", self.roll(3)),
                    _ => {
                        let to = (at + 1 + self.roll(4)).min(edited.len());
                        let part = edited[at..to].to_vec();
                        edited.splice(at..to, part.iter().chain(&part).cloned());
                    }
                }
            }
            edited
        }
    }

    fn check(stock: &Stock, texts: [&[u8]; 3]) {
        let [base, ours, theirs] = texts;
        for (name, text) in [("base", base), ("ours", ours), ("theirs", theirs)] {
            std::fs::write(stock.path().join(name), text).unwrap();
        }
        let command = "git merge-file -p --diff-algorithm=histogram -L OURS -L BASE -L THEIRS ours base theirs; test $? -lt 128";
        let expected = stock.git_with_input(["-c", &format!("alias.x=!{command}"), "x"], b"");
        let markers = Markers {
            length: MARKER,
            ours: b"OURS",
            theirs: b"THEIRS",
        };
        let merged = merge(base, ours, theirs, markers);
        let shown = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
        assert_eq!(
            shown(&merged.text),
            shown(&expected),
            "of {:?}, {:?} and {:?}",
            shown(base),
            shown(ours),
            shown(theirs)
        );
        let markers = expected
            .split(|byte| *byte == b'\n')
            .filter(|line| line.starts_with(b"<<<<<<< OURS"));
        assert_eq!(merged.conflicts, markers.count());
    }

    #[test]
    fn texts_merge_as_with_git_merge_file() {
        let stock = Stock::new(crate::model::ObjectFormat::Sha1);
        for texts in [
            ["", "", ""],
            ["", "a\n", "b\n"],
            ["", "a\nb\nc\n", "a\nx\nc\n"],
            ["a\n", "", "b\n"],
            ["a\nb\nc", "a\nb\nc\n", "a\nb\nd"],
            ["a\r\nb\r\n", "x\r\nb\r\n", "y\r\nb\r\n"],
            ["a\r\nb\r\n", "x\r\nb\r\n", "y\nb\r\n"],
            ["a\r\nb", "a\r\nc", "a\r\nd"],
            ["a", "b", "c"],
            ["1\n2\n3\n4\n5\n", "1\nx\n3\ny\n5\n", "1\nz\n3\nw\n5\n"],
        ] {
            check(&stock, texts.map(str::as_bytes));
        }
        let mut dice = Dice(7);
        for round in 0..300 {
            let lines: Vec<_> = (0..dice.roll(25))
                .map(|_| format!("line {}\n", dice.roll(9)))
                .collect();
            let (ours, theirs) = (dice.edited(&lines), dice.edited(&lines));
            let mut texts = [lines, ours, theirs].map(|lines| lines.concat().into_bytes());
            if round % 7 == 0 {
                texts[round % 3].pop();
            }
            if round % 11 == 0 {
                texts = texts.map(|text| {
                    String::from_utf8(text)
                        .unwrap()
                        .replace('\n', "\r\n")
                        .into_bytes()
                });
            }
            check(&stock, [&texts[0], &texts[1], &texts[2]]);
        }
    }
}
