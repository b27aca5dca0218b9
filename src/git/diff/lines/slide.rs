//! Where a change is shown when it could be shown in several places: `}` removed after `}`.
//!
//! Source: git's diff.indentHeuristic, on by default since git 2.14, and its README at
//! github.com/mhagger/diff-slider-tools for what the weights were trained on.
//! Bounds: [`SLIDES_MAX`] places are weighed for one change, [`BLANKS_MAX`] blank lines around each.
//! Invariant: a line that is moved into a change equals the one that is moved out.

use super::Side;

/// Places weighed for one change.
const SLIDES_MAX: usize = 100;
/// Deeper than this is as deep as this.
const INDENT_MAX: i32 = 200;
/// More blank lines than this are as good as the end of the file.
const BLANKS_MAX: i32 = 20;

/// Changed lines in a row between two unchanged ones; may be none.
#[derive(Clone, Copy)]
struct Group {
    start: usize,
    end: usize,
}

impl Group {
    fn first(changed: &[bool]) -> Self {
        Self {
            start: 0,
            end: end_of_run(changed, 0),
        }
    }

    fn is_empty(self) -> bool {
        self.start == self.end
    }

    fn next(self, changed: &[bool]) -> Option<Self> {
        (self.end < changed.len()).then(|| Self {
            start: self.end + 1,
            end: end_of_run(changed, self.end + 1),
        })
    }

    fn previous(self, changed: &[bool]) -> Option<Self> {
        let end = self.start.checked_sub(1)?;
        Some(Self {
            start: start_of_run(changed, end),
            end,
        })
    }

    /// Moves the group down by a line, if the line it leaves equals the one it takes; one that it runs
    /// into becomes part of it.
    fn slide_down(&mut self, side: &mut Side<'_>) -> bool {
        let can =
            self.end < side.classes.len() && side.classes[self.start] == side.classes[self.end];
        if can {
            side.changed[self.start] = false;
            side.changed[self.end] = true;
            self.start += 1;
            self.end = end_of_run(&side.changed, self.end + 1);
        }
        can
    }

    fn slide_up(&mut self, side: &mut Side<'_>) -> bool {
        let can = self.start > 0 && side.classes[self.start - 1] == side.classes[self.end - 1];
        if can {
            self.end -= 1;
            side.changed[self.start - 1] = true;
            side.changed[self.end] = false;
            self.start = start_of_run(&side.changed, self.start - 1);
        }
        can
    }
}

fn end_of_run(changed: &[bool], from: usize) -> usize {
    let run = changed[from..].iter().position(|changed| !changed);
    run.map_or(changed.len(), |run| from + run)
}

fn start_of_run(changed: &[bool], to: usize) -> usize {
    let run = changed[..to].iter().rposition(|changed| !changed);
    run.map_or(0, |at| at + 1)
}

/// Moves each change of one side to where it reads best: beside a change of the other side, else by indentation.
pub(super) fn settle(side: &mut Side<'_>, other: &Side<'_>, by_indentation: bool) {
    let mut group = Group::first(&side.changed);
    let mut beside = Group::first(&other.changed);
    // Between two neighbouring groups lies one unchanged line, on either side the same one: so the groups of both
    // sides can be walked in step.
    const IN_STEP: &str = "as many unchanged lines on either side";
    loop {
        if !group.is_empty() {
            let (mut highest, mut aligned, mut size);
            loop {
                size = group.end - group.start;
                while group.slide_up(side) {
                    beside = beside.previous(&other.changed).expect(IN_STEP);
                }
                highest = group.end;
                aligned = !beside.is_empty();
                while group.slide_down(side) {
                    beside = beside.next(&other.changed).expect(IN_STEP);
                    aligned |= !beside.is_empty();
                }
                // It may have grown by groups it ran into, and slide farther now.
                if group.end - group.start == size {
                    break;
                }
            }
            if group.end == highest {
                // It can't be moved.
            } else if aligned {
                while beside.is_empty() {
                    let slid = group.slide_up(side);
                    debug_assert!(slid, "the place was passed on the way down");
                    beside = beside.previous(&other.changed).expect(IN_STEP);
                }
            } else if by_indentation {
                let best = best_end(side, group, highest, size);
                while group.end > best {
                    let slid = group.slide_up(side);
                    debug_assert!(slid, "the place was passed on the way down");
                    beside = beside.previous(&other.changed).expect(IN_STEP);
                }
            }
        }
        match (group.next(&side.changed), beside.next(&other.changed)) {
            (Some(next), Some(next_beside)) => (group, beside) = (next, next_beside),
            _ => break,
        }
    }
}

/// The end of the group, from `highest` on, at which its two edges read best; of equals the lowest place.
fn best_end(side: &Side<'_>, group: Group, highest: usize, size: usize) -> usize {
    let first = highest
        .max(group.end.saturating_sub(size + 1))
        .max(group.end.saturating_sub(SLIDES_MAX));
    let mut best: Option<(usize, Score)> = None;
    for end in first..=group.end {
        let mut score = Score::default();
        score.add(&Edge::measure(side, end));
        score.add(&Edge::measure(side, end - size));
        if best.is_none_or(|(_, best)| score.is_no_worse_than(best)) {
            best = Some((end, score));
        }
    }
    best.map_or(group.end, |(end, _)| end)
}

/// What stands around the place between two lines.
struct Edge {
    at_end: bool,
    /// Of the line below; `None` if it is blank or there is none.
    indent: Option<i32>,
    /// Blank lines above, and the indentation of the line above them.
    blanks_above: i32,
    indent_above: Option<i32>,
    /// The same below the line below.
    blanks_below: i32,
    indent_below: Option<i32>,
}

impl Edge {
    fn measure(side: &Side<'_>, at: usize) -> Self {
        let lines = &side.lines;
        let line = lines.get(at);
        let (blanks_above, indent_above) = past_blanks(lines[..at].iter().rev());
        let (blanks_below, indent_below) = past_blanks(lines.iter().skip(at + 1));
        Self {
            at_end: line.is_none(),
            indent: line.and_then(|line| indent(line)),
            blanks_above,
            indent_above,
            blanks_below,
            indent_below,
        }
    }
}

fn past_blanks<'a>(lines: impl Iterator<Item = &'a &'a [u8]>) -> (i32, Option<i32>) {
    let mut blanks = 0;
    for line in lines {
        if let Some(indent) = indent(line) {
            return (blanks, Some(indent));
        }
        blanks += 1;
        if blanks == BLANKS_MAX {
            return (blanks, Some(0));
        }
    }
    (blanks, None)
}

/// The column of the first letter; `None` for a blank line.
fn indent(line: &[u8]) -> Option<i32> {
    let mut column = 0;
    for byte in line {
        match byte {
            b' ' => column += 1,
            b'\t' => column += 8 - column % 8,
            b'\n' | b'\r' => {}
            _ => return Some(column),
        }
        if column >= INDENT_MAX {
            return Some(INDENT_MAX);
        }
    }
    None
}

/// How badly the edges of a change read.
#[derive(Clone, Copy, Default)]
struct Score {
    indent: i32,
    penalty: i32,
}

impl Score {
    /// What a deeper edge costs against a shallower one.
    const INDENT: i32 = 60;
    const AT_START: i32 = 1;
    const AT_END: i32 = 21;
    /// For each blank line at the edge: a bonus.
    const BLANK: i32 = -30;
    /// For each of those that stand below it.
    const BLANK_BELOW: i32 = 6;
    /// Deeper than the line above; with blank lines between.
    const DEEPER: [i32; 2] = [-4, 10];
    /// Shallower than both neighbours, as `else` is.
    const BETWEEN: [i32; 2] = [24, 17];
    /// Shallower than the line above, as `}` is.
    const SHALLOWER: [i32; 2] = [23, 17];

    fn add(&mut self, edge: &Edge) {
        if edge.indent_above.is_none() && edge.blanks_above == 0 {
            self.penalty += Self::AT_START;
        }
        if edge.at_end {
            self.penalty += Self::AT_END;
        }
        let below = match edge.indent {
            None => 1 + edge.blanks_below,
            Some(_) => 0,
        };
        let blanks = edge.blanks_above + below;
        self.penalty += Self::BLANK * blanks + Self::BLANK_BELOW * below;
        let indent = edge.indent.or(edge.indent_below);
        self.indent += indent.unwrap_or(-1);
        let (Some(indent), Some(above)) = (indent, edge.indent_above) else {
            return;
        };
        let blank = usize::from(blanks != 0);
        if indent > above {
            self.penalty += Self::DEEPER[blank];
        } else if indent < above {
            let is_between = edge.indent_below.is_some_and(|below| below > indent);
            self.penalty += match is_between {
                true => Self::BETWEEN[blank],
                false => Self::SHALLOWER[blank],
            };
        }
    }

    fn is_no_worse_than(self, other: Self) -> bool {
        let deeper = (self.indent - other.indent).signum();
        Self::INDENT * deeper + self.penalty - other.penalty <= 0
    }
}
