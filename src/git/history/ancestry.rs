//! Whether one commit reaches another.
//!
//! Bounds: a byte for each commit looked at.
//! Invariant: exact whatever the dates say, since a fast-forward test that errs refuses honest pushes.

use super::{ByTime, CommitIndex, History};
use crate::git::packs::ReadError;

impl History {
    /// Whether `descendant` is `ancestor` or reaches it.
    pub(crate) fn is_ancestor(
        &mut self,
        ancestor: CommitIndex,
        descendant: CommitIndex,
    ) -> Result<bool, ReadError> {
        Painting::default().run(self, ancestor, descendant)
    }
}

/// The state of [`History::is_ancestor`]: ancestors of both commits are painted, newest first, until
/// nothing is left that only the descendant reaches. What the ancestor itself reaches can't lead back
/// to it, so the answer is exact whatever the dates say; they only decide how soon it is found.
#[derive(Default)]
struct Painting {
    paints: Vec<u8>,
    queue: ByTime,
    /// Queued commits that only the descendant is known to reach.
    open: usize,
}

impl Painting {
    const DESCENDANT: u8 = 1;
    const ANCESTOR: u8 = 2;
    const BOTH: u8 = Self::DESCENDANT | Self::ANCESTOR;
    const QUEUED: u8 = 4;

    fn run(
        mut self,
        history: &mut History,
        ancestor: CommitIndex,
        descendant: CommitIndex,
    ) -> Result<bool, ReadError> {
        if ancestor == descendant {
            return Ok(true);
        }
        self.paint(history, ancestor, Self::ANCESTOR);
        self.paint(history, descendant, Self::DESCENDANT);
        while self.open > 0 {
            let Some(commit) = self.queue.pop() else {
                break;
            };
            let paint = self.paint_of(commit);
            *paint &= !Self::QUEUED;
            let colours = *paint & Self::BOTH;
            self.open -= usize::from(colours == Self::DESCENDANT);
            for at in 0..history.parent_count(commit) {
                let parent = history.parent(commit, at)?;
                if parent == ancestor && colours & Self::DESCENDANT != 0 {
                    return Ok(true);
                }
                self.paint(history, parent, colours);
            }
        }
        Ok(false)
    }

    fn paint(&mut self, history: &History, commit: CommitIndex, colours: u8) {
        let paint = self.paint_of(commit);
        let before = *paint;
        if before & colours == colours {
            return;
        }
        *paint |= colours | Self::QUEUED;
        let is_open = *paint & Self::BOTH == Self::DESCENDANT;
        let was_open = before == Self::DESCENDANT | Self::QUEUED;
        self.open = self.open + usize::from(is_open) - usize::from(was_open);
        if before & Self::QUEUED == 0 {
            self.queue.push(history, commit);
        }
    }

    fn paint_of(&mut self, commit: CommitIndex) -> &mut u8 {
        let at = commit.0 as usize;
        if self.paints.len() <= at {
            self.paints.resize((at + 1).next_power_of_two(), 0);
        }
        &mut self.paints[at]
    }
}
