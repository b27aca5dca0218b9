//! What some commits reach and others do not.
//!
//! Source: git-rev-list(1), `A --not B`.
//! Bounds: a byte for each commit looked at.
//! Invariant: a commit that is shown may be hidden if dates lie, never the other way round.

use super::{ByTime, CommitIndex, History};
use crate::git::packs::ReadError;

/// What lies between some tips and some hidden commits.
#[derive(Debug, Default)]
pub(crate) struct Range {
    /// Commits reachable from the tips and not from the hidden ones, newest first.
    pub(crate) commits: Vec<CommitIndex>,
    /// Hidden parents of these commits.
    pub(crate) edges: Vec<CommitIndex>,
}

impl History {
    /// The commits that `tips` reach and `hidden` do not, none older than `since`.
    pub(crate) fn range(
        &mut self,
        tips: &[CommitIndex],
        hidden: &[CommitIndex],
        since: Option<i64>,
    ) -> Result<Range, ReadError> {
        Walk::default().run(self, tips, hidden, since)
    }
}

/// The state of [`History::range`].
#[derive(Default)]
struct Walk {
    flags: Vec<u8>,
    queue: ByTime,
    /// Queued commits that are not hidden.
    shown_queued: usize,
}

impl Walk {
    const SEEN: u8 = 1;
    const HIDDEN: u8 = 2;
    const QUEUED: u8 = 4;
    const EDGE: u8 = 8;

    /// How many hidden commits are looked at after the last shown one, in case a date is wrong. A
    /// commit shown for want of looking further is sent although the client has it, no more.
    const SLOP: u32 = 5;

    fn run(
        mut self,
        history: &mut History,
        tips: &[CommitIndex],
        hidden: &[CommitIndex],
        since: Option<i64>,
    ) -> Result<Range, ReadError> {
        for commit in hidden {
            self.enter(history, *commit);
            self.hide(history, *commit)?;
        }
        for commit in tips {
            self.enter(history, *commit);
        }
        let mut range = Range::default();
        let mut oldest_shown = i64::MAX;
        let mut slop = Self::SLOP;
        while let Some(commit) = self.queue.pop() {
            let flags = self.flags(commit);
            *flags &= !Self::QUEUED;
            if *flags & Self::HIDDEN == 0 {
                self.shown_queued -= 1;
            }
            if since.is_some_and(|since| history.time(commit) < since) {
                self.hide(history, commit)?;
            }
            let is_hidden = *self.flags(commit) & Self::HIDDEN != 0;
            for at in 0..history.parent_count(commit) {
                let parent = history.parent(commit, at)?;
                if is_hidden {
                    self.hide(history, parent)?;
                }
                self.enter(history, parent);
            }
            if !is_hidden {
                oldest_shown = oldest_shown.min(history.time(commit));
                range.commits.push(commit);
            } else if self.shown_queued == 0 {
                let may_matter = self.queue.newest().is_some_and(|time| time >= oldest_shown);
                slop = if may_matter { Self::SLOP } else { slop - 1 };
                if slop == 0 {
                    break;
                }
            } else {
                slop = Self::SLOP;
            }
        }
        range
            .commits
            .retain(|commit| *self.flags(*commit) & Self::HIDDEN == 0);
        for commit in &range.commits {
            for at in 0..history.parent_count(*commit) {
                let parent = history.parent(*commit, at)?;
                let flags = self.flags(parent);
                if *flags & (Self::HIDDEN | Self::EDGE) == Self::HIDDEN {
                    *flags |= Self::EDGE;
                    range.edges.push(parent);
                }
            }
        }
        Ok(range)
    }

    fn flags(&mut self, commit: CommitIndex) -> &mut u8 {
        let at = commit.0 as usize;
        if self.flags.len() <= at {
            self.flags.resize((at + 1).next_power_of_two(), 0);
        }
        &mut self.flags[at]
    }

    fn enter(&mut self, history: &History, commit: CommitIndex) {
        let flags = self.flags(commit);
        if *flags & Self::SEEN != 0 {
            return;
        }
        *flags |= Self::SEEN | Self::QUEUED;
        let shown = *flags & Self::HIDDEN == 0;
        self.shown_queued += usize::from(shown);
        self.queue.push(history, commit);
    }

    /// Hides a commit and all its ancestors that were seen already.
    fn hide(&mut self, history: &mut History, commit: CommitIndex) -> Result<(), ReadError> {
        let mut stack = vec![commit];
        while let Some(commit) = stack.pop() {
            let flags = self.flags(commit);
            if *flags & Self::HIDDEN != 0 {
                continue;
            }
            *flags |= Self::HIDDEN;
            if *flags & Self::QUEUED != 0 {
                self.shown_queued -= 1;
            } else if *flags & Self::SEEN != 0 {
                for at in 0..history.parent_count(commit) {
                    stack.push(history.parent(commit, at)?);
                }
            }
        }
        Ok(())
    }
}
