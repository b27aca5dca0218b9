//! The way from one text to another by the longest runs around their rarest common lines.
//!
//! Source: git-diff(1), `--diff-algorithm=histogram`, which git's merges use; JGit's HistogramDiff is where it
//! comes from.
//! Bounds: three numbers for each line of the old text; [`STEPS_MAX`] steps, after which, as between lines that
//! are all too frequent, Myers' algorithm takes over.
//! Invariant: what is chosen among equally good runs is what git chooses.

use std::ops::Range;

use super::{Side, myers_between};

/// A line that occurs more often is not worth following.
const FREQUENT: u32 = 64;
/// Comparisons of lines.
const STEPS_MAX: u64 = 1 << 28;
/// No line.
const NONE: u32 = u32::MAX;

/// Parts of both texts that lie between common lines.
#[derive(Clone)]
struct Region {
    old: Range<usize>,
    new: Range<usize>,
}

/// What both parts have in common.
enum Common {
    Nothing,
    Run(Region),
    /// There are common lines, but all are too frequent.
    Frequent,
}

/// Marks what changed on either side.
pub(super) fn mark(old: &mut Side<'_>, new: &mut Side<'_>) {
    let mut index = Index::new(old, new);
    let mut todo = vec![Region {
        old: 0..old.lines.len(),
        new: 0..new.lines.len(),
    }];
    while let Some(region) = todo.pop() {
        let found = match region.old.is_empty() || region.new.is_empty() {
            true => Common::Nothing,
            false => index.longest(&old.classes, &new.classes, &region),
        };
        match found {
            Common::Nothing => {
                old.changed[region.old].fill(true);
                new.changed[region.new].fill(true);
            }
            Common::Frequent => myers_within(old, new, region),
            Common::Run(run) => {
                todo.push(Region {
                    old: run.old.end..region.old.end,
                    new: run.new.end..region.new.end,
                });
                todo.push(Region {
                    old: region.old.start..run.old.start,
                    new: region.new.start..run.new.start,
                });
            }
        }
    }
}

fn myers_within(old: &mut Side<'_>, new: &mut Side<'_>, region: Region) {
    let before = old.lines[region.old.clone()].to_vec();
    let after = new.lines[region.new.clone()].to_vec();
    let (mut before, mut after, counts) = Side::pair(before, after);
    myers_between(&mut before, &mut after, &counts);
    old.changed[region.old].copy_from_slice(&before.changed);
    new.changed[region.new].copy_from_slice(&after.changed);
}

/// Where each line of a part of the old text occurs there.
struct Index {
    /// By class: the first occurrence, and how many there are.
    first: Vec<u32>,
    count: Vec<u32>,
    /// By line: the next line of its class.
    next: Vec<u32>,
    steps_left: u64,
}

/// The best run so far.
struct Best {
    run: Option<Region>,
    /// How often its rarest line occurs.
    count: u32,
    any_common: bool,
}

impl Index {
    fn new(old: &Side<'_>, new: &Side<'_>) -> Self {
        let classes = old.classes.iter().chain(&new.classes).max();
        let classes = classes.map_or(0, |most| *most as usize + 1);
        Self {
            first: vec![NONE; classes],
            count: vec![0; classes],
            next: vec![NONE; old.lines.len()],
            steps_left: STEPS_MAX,
        }
    }

    fn longest(&mut self, old: &[u32], new: &[u32], region: &Region) -> Common {
        let lines = (region.old.len() + region.new.len()) as u64;
        let Some(left) = self.steps_left.checked_sub(lines) else {
            return Common::Frequent;
        };
        self.steps_left = left;
        for at in region.old.clone().rev() {
            let class = old[at] as usize;
            self.next[at] = if self.count[class] > 0 {
                self.first[class]
            } else {
                NONE
            };
            // No text has so many lines that they could not be counted so.
            self.first[class] = u32::try_from(at).unwrap_or(NONE);
            self.count[class] += 1;
        }
        let mut best = Best {
            run: None,
            count: FREQUENT + 1,
            any_common: false,
        };
        let mut at = region.new.start;
        while at < region.new.end && self.steps_left > 0 {
            at = self.try_line(old, new, region, at, &mut best);
        }
        for at in region.old.clone() {
            self.count[old[at] as usize] = 0;
        }
        if self.steps_left == 0 || best.any_common && best.count > FREQUENT {
            return Common::Frequent;
        }
        best.run.map_or(Common::Nothing, Common::Run)
    }

    /// Looks at the runs through one line of the new text; answers the line to go on with.
    fn try_line(
        &mut self,
        old: &[u32],
        new: &[u32],
        region: &Region,
        line: usize,
        best: &mut Best,
    ) -> usize {
        let mut go_on = line + 1;
        let class = new[line] as usize;
        let occurs = self.count[class];
        if occurs == 0 {
            return go_on;
        }
        best.any_common = true;
        if occurs > best.count {
            return go_on;
        }
        let mut at = self.first[class];
        loop {
            let mut rarest = occurs;
            let mut run = Region {
                old: at as usize..at as usize + 1,
                new: line..line + 1,
            };
            while run.old.start > region.old.start
                && run.new.start > region.new.start
                && old[run.old.start - 1] == new[run.new.start - 1]
            {
                run.old.start -= 1;
                run.new.start -= 1;
                rarest = self.rarer(rarest, old[run.old.start]);
            }
            while run.old.end < region.old.end
                && run.new.end < region.new.end
                && old[run.old.end] == new[run.new.end]
            {
                rarest = self.rarer(rarest, old[run.old.end]);
                run.old.end += 1;
                run.new.end += 1;
            }
            self.steps_left = self.steps_left.saturating_sub(run.old.len() as u64);
            go_on = go_on.max(run.new.end);
            let end = run.old.end;
            // A single line counts as no longer than nothing at all.
            let longest = best.run.as_ref().map_or(1, |run| run.old.len());
            if run.old.len() > longest || rarest < best.count {
                best.count = rarest;
                best.run = Some(run);
            }
            at = self.next[at as usize];
            while at != NONE && (at as usize) < end {
                at = self.next[at as usize];
            }
            if at == NONE {
                return go_on;
            }
        }
    }

    fn rarer(&self, than: u32, class: u32) -> u32 {
        match than {
            0 | 1 => than,
            _ => than.min(self.count[class as usize]),
        }
    }
}
