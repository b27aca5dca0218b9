//! Where two histories parted: their best common ancestors.
//!
//! Source: git-merge-base(1).
//! Bounds: a byte for each commit looked at; [`BASES_MAX`] ancestors, since each is held against the others.
//! Invariant: none of them reaches another one, whatever the dates say; the newest comes first.

use super::{ByTime, CommitIndex, History};
use crate::git::packs::ReadError;

/// Best common ancestors that two histories may have.
const BASES_MAX: usize = 100;

/// Why the ancestors can't be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BasesError {
    /// An object can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There are too many of them.
    #[error("more than {BASES_MAX} merge bases")]
    TooMany,
}

impl History {
    /// The best common ancestors of what the first commits reach and what the others reach.
    pub(crate) fn merge_bases(
        &mut self,
        ours: &[CommitIndex],
        theirs: &[CommitIndex],
    ) -> Result<Vec<CommitIndex>, BasesError> {
        let mut common = Painting::default().run(self, ours, theirs)?;
        if common.len() > BASES_MAX {
            return Err(BasesError::TooMany);
        }
        common.sort_by_key(|commit| std::cmp::Reverse(self.time(*commit)));
        let mut best = Vec::with_capacity(common.len());
        for commit in &common {
            let mut redundant = false;
            for other in common.iter().filter(|other| *other != commit) {
                redundant = redundant || self.is_ancestor(*commit, *other)?;
            }
            if !redundant {
                best.push(*commit);
            }
        }
        Ok(best)
    }
}

/// Both histories are painted, newest commits first, until all that is left lies behind a common ancestor.
#[derive(Default)]
struct Painting {
    paints: Vec<u8>,
    queue: ByTime,
    /// Queued commits that do not lie behind a common ancestor.
    open: usize,
}

impl Painting {
    const OURS: u8 = 1;
    const THEIRS: u8 = 2;
    const BOTH: u8 = Self::OURS | Self::THEIRS;
    /// Behind a common ancestor.
    const STALE: u8 = 4;
    const QUEUED: u8 = 8;
    const FOUND: u8 = 16;

    fn run(
        mut self,
        history: &mut History,
        ours: &[CommitIndex],
        theirs: &[CommitIndex],
    ) -> Result<Vec<CommitIndex>, ReadError> {
        for commit in ours {
            self.paint(history, *commit, Self::OURS);
        }
        for commit in theirs {
            self.paint(history, *commit, Self::THEIRS);
        }
        let mut found = Vec::new();
        while self.open > 0 {
            let Some(commit) = self.queue.pop() else {
                break;
            };
            let paint = self.paint_of(commit);
            *paint &= !Self::QUEUED;
            let mut colours = *paint & (Self::BOTH | Self::STALE);
            let is_new = *paint & Self::FOUND == 0;
            if colours == Self::BOTH {
                *paint |= Self::FOUND;
                if is_new {
                    found.push(commit);
                }
            }
            self.open -= usize::from(colours & Self::STALE == 0);
            if colours & Self::BOTH == Self::BOTH {
                colours |= Self::STALE;
            }
            for at in 0..history.parent_count(commit) {
                let parent = history.parent(commit, at)?;
                self.paint(history, parent, colours);
            }
        }
        found.retain(|commit| *self.paint_of(*commit) & Self::STALE == 0);
        Ok(found)
    }

    fn paint(&mut self, history: &History, commit: CommitIndex, colours: u8) {
        let paint = self.paint_of(commit);
        let before = *paint;
        if before & colours == colours {
            return;
        }
        *paint |= colours | Self::QUEUED;
        let is_open = *paint & Self::STALE == 0;
        let was_open = before & Self::QUEUED != 0 && before & Self::STALE == 0;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{git::fixture::Stock, model::ObjectFormat};

    #[test]
    fn bases_are_those_of_git_merge_base_even_where_histories_cross() {
        let stock = Stock::new(ObjectFormat::Sha1);
        let mut stream = String::new();
        let mut commit = |branch: &str, mark: u32, date: u32, parents: &[u32]| {
            stream += &format!(
                "commit refs/heads/{branch}\nmark :{mark}\ncommitter C <c@c> {date} +0000\ndata 1\nx\n"
            );
            for (at, parent) in parents.iter().enumerate() {
                let word = if at == 0 { "from" } else { "merge" };
                stream += &format!("{word} :{parent}\n");
            }
        };
        // Two branches that merge each other, dates that lie, and a history of its own.
        commit("a", 1, 100, &[]);
        commit("a", 2, 90, &[1]);
        commit("b", 3, 300, &[1]);
        commit("a", 4, 400, &[2, 3]);
        commit("b", 5, 50, &[3, 2]);
        commit("c", 6, 10, &[5]);
        commit("a", 7, 500, &[4]);
        commit("b", 8, 60, &[5]);
        commit("d", 9, 700, &[7, 8]);
        commit("alone", 10, 5, &[]);
        commit("e", 11, 20, &[9, 10]);
        stock.import(&stream);
        stock.git(["repack", "-q", "-a", "-d"]);
        let (_folder, repository) = stock.opened();
        let names = ["a", "b", "c", "d", "e", "alone", "a~1", "b~1", "a~2", "b~2"];
        for one in names {
            for other in names {
                let mut history = History::new(repository.packs());
                let ours = history.commit_of_id(&stock.id(one)).unwrap();
                let theirs = history.commit_of_id(&stock.id(other)).unwrap();
                let bases = history.merge_bases(&[ours], &[theirs]).unwrap();
                let found: Vec<_> = bases
                    .iter()
                    .map(|base| history.id(*base).to_string())
                    .collect();
                let command = format!("alias.x=!git merge-base --all {one} {other}; true");
                let expected = stock.git(["-c", &command, "x"]);
                assert_eq!(found, expected.lines().collect::<Vec<_>>(), "{one} {other}");
            }
        }
    }
}
