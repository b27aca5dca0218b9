//! Whether a push moves a branch forward: is the old tip an ancestor of the new one.
//!
//! Bounds: [`COMMITS_MAX`] commits are looked at; a history that needs more counts as rewritten.
//! Invariant: clocks of committers decide how much is read, never what is answered.

use std::collections::{BinaryHeap, HashMap};

use gix_object::Kind;

use crate::{
    git::{ObjectReader, ReadError},
    model::ObjectId,
};

/// Commits looked at for one branch, at some 100 bytes each.
const COMMITS_MAX: usize = 2_000_000;

const FROM_NEW: u8 = 1;
const FROM_OLD: u8 = 2;
const BOTH: u8 = FROM_NEW | FROM_OLD;

/// Walks both histories by date until only what they share is left.
struct Walk<'r> {
    reader: &'r mut ObjectReader,
    buffer: Vec<u8>,
    commits: HashMap<ObjectId, Commit>,
    queue: BinaryHeap<(i64, ObjectId)>,
    /// Places in the queue whose commits were reached from one side only.
    undecided: usize,
}

struct Commit {
    parents: Vec<ObjectId>,
    seconds: i64,
    sides: u8,
    /// How often it is in the queue.
    queued: usize,
}

/// Whether `old` is `new` or one of its ancestors. What is no commit has no ancestors.
///
/// # Errors
/// When the repository is damaged.
pub(super) fn is_ancestor(
    reader: &mut ObjectReader,
    old: &ObjectId,
    new: &ObjectId,
) -> Result<bool, ReadError> {
    if old == new {
        return Ok(true);
    }
    let mut walk = Walk {
        reader,
        buffer: Vec::new(),
        commits: HashMap::new(),
        queue: BinaryHeap::new(),
        undecided: 0,
    };
    if !walk.reach(*old, FROM_OLD)? || !walk.reach(*new, FROM_NEW)? {
        return Ok(false);
    }
    while walk.undecided > 0 && walk.commits.len() <= COMMITS_MAX {
        let Some((parents, sides)) = walk.next() else {
            break;
        };
        for parent in parents {
            walk.reach(parent, sides)?;
        }
        if walk.commits.get(old).is_some_and(|old| old.sides == BOTH) {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Walk<'_> {
    /// Marks a commit as reached from these sides, and queues it when that is news; says whether
    /// it is a commit.
    fn reach(&mut self, id: ObjectId, sides: u8) -> Result<bool, ReadError> {
        if !self.commits.contains_key(&id) {
            let Some(data) = self.reader.find(&id, &mut self.buffer)? else {
                return Ok(false);
            };
            if data.kind != Kind::Commit {
                return Ok(false);
            }
            let commit = Commit::parse(data.data);
            self.commits.insert(id, commit);
        }
        let Some(commit) = self.commits.get_mut(&id) else {
            return Ok(false);
        };
        if commit.sides | sides == commit.sides {
            return Ok(true);
        }
        if commit.sides != BOTH && commit.sides | sides == BOTH {
            self.undecided -= commit.queued;
        }
        commit.sides |= sides;
        commit.queued += 1;
        self.undecided += usize::from(commit.sides != BOTH);
        self.queue.push((commit.seconds, id));
        Ok(true)
    }

    /// Takes the newest commit from the queue: its parents and the sides it was reached from.
    fn next(&mut self) -> Option<(Vec<ObjectId>, u8)> {
        let (_, id) = self.queue.pop()?;
        let commit = self.commits.get_mut(&id)?;
        commit.queued -= 1;
        self.undecided -= usize::from(commit.sides != BOTH);
        Some((commit.parents.clone(), commit.sides))
    }
}

impl Commit {
    /// Reads the header lines of a commit; every published commit was checked to have them.
    fn parse(content: &[u8]) -> Self {
        let mut commit = Self {
            parents: Vec::new(),
            seconds: 0,
            sides: 0,
            queued: 0,
        };
        for line in content.split(|byte| *byte == b'\n') {
            if line.is_empty() {
                break;
            }
            if let Some(hex) = line.strip_prefix(b"parent ") {
                commit.parents.extend(ObjectId::from_hex(hex));
            } else if let Some(signature) = line.strip_prefix(b"committer ") {
                commit.seconds = seconds(signature).unwrap_or(0);
                break;
            }
        }
        commit
    }
}

/// The time in `name <email> seconds zone`.
fn seconds(signature: &[u8]) -> Option<i64> {
    let mut words = signature.rsplit(|byte| *byte == b' ');
    std::str::from_utf8(words.nth(1)?).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::fixture::Stock;

    /// A side branch from the second commit, a merge of it, and a root of its own. The dates of
    /// the side branch run backwards, as they do after a rebase on a machine with a wrong clock.
    const STORY: &str = "\
commit refs/heads/main
mark :1
committer A <a@b> 1000 +0000
data 1
1
commit refs/heads/main
mark :2
committer A <a@b> 2000 +0000
data 1
2
from :1
commit refs/heads/main
mark :3
committer A <a@b> 3000 +0000
data 1
3
from :2
commit refs/heads/side
mark :4
committer A <a@b> 900 +0000
data 1
4
from :2
commit refs/heads/side
mark :5
committer A <a@b> 100 +0000
data 1
5
from :4
commit refs/heads/merge
mark :6
committer A <a@b> 4000 +0000
data 1
6
from :3
merge :5
commit refs/heads/alien
mark :7
committer A <a@b> 5000 +0000
data 1
7
";

    #[test]
    fn ancestors_are_found_whatever_the_dates_say_and_git_agrees() {
        for stock in Stock::each() {
            stock.import(STORY);
            stock.git(["repack", "-adq"]);
            let (_folder, repository) = stock.opened();
            let names = [
                "main~2", "main~1", "main", "side~1", "side", "merge", "alien",
            ];
            for old in names {
                for new in names {
                    let (old_id, new_id) = (stock.id(old), stock.id(new));
                    let beyond = stock.git([
                        "rev-list",
                        "--count",
                        &old_id.to_string(),
                        "--not",
                        &new_id.to_string(),
                    ]);
                    let mut reader = ObjectReader::new(repository.packs());
                    let found = is_ancestor(&mut reader, &old_id, &new_id).unwrap();
                    assert_eq!(found, beyond == "0", "{old} of {new}");
                }
            }
        }
    }
}
