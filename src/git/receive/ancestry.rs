//! Whether a push only adds to what a ref had: the fast-forward test.
//!
//! Source: gitglossary(7), "fast-forward".
//! Bounds: [`COMMITS_MAX`] commits are looked at; that is beyond any honest answer's need, which
//! ends where the two histories meet.
//! Invariant: dates decide only in which order commits are looked at, never the answer.

use std::collections::{BinaryHeap, HashMap};

use gix_hash::ObjectId;

use super::{QuarantineReader, ReceiveError};

/// Most commits that one question may lead to; 60 bytes each.
pub(super) const COMMITS_MAX: usize = 4_000_000;

/// The commit is, or leads to, the old tip.
const OLD: u8 = 1;
/// The commit is reachable from the new tip.
const NEW: u8 = 2;

impl QuarantineReader<'_> {
    /// Whether `old` is reachable from `new`, which both are commits.
    ///
    /// # Errors
    /// When the repository is damaged, or there are more commits between them than are looked at.
    pub fn is_ancestor(&mut self, old: &ObjectId, new: &ObjectId) -> Result<bool, ReceiveError> {
        if old == new {
            return Ok(true);
        }
        // Both histories are painted from their tips, latest commits first, until nothing is left
        // that is not common to both.
        let mut walk = Walk::default();
        walk.paint(*old, OLD, self.commit(old)?.date);
        walk.paint(*new, NEW, self.commit(new)?.date);
        while walk.one_sided > 0 {
            let Some((_, id)) = walk.queue.pop() else {
                break;
            };
            let paint = walk.leave(&id);
            for parent in self.commit(&id)?.parents {
                if parent == *old && paint & NEW != 0 {
                    return Ok(true);
                }
                if walk.is_painted(&parent, paint) {
                    continue;
                }
                let date = self.commit(&parent)?.date;
                walk.paint(parent, paint, date);
                ReceiveError::bound(
                    super::Limited::Commits,
                    COMMITS_MAX as u64,
                    walk.seen.len() as u64,
                )?;
            }
        }
        Ok(false)
    }

    fn commit(&mut self, id: &ObjectId) -> Result<Commit, ReceiveError> {
        let mut content = std::mem::take(&mut self.scratch);
        let kind = self.find(id, &mut content)?;
        let commit = kind
            .filter(|kind| kind.is_commit())
            .map(|_| Commit::parse(&content));
        self.scratch = content;
        commit.ok_or(ReceiveError::MissingObject {
            id: *id,
            kind: "commit",
        })
    }
}

struct Commit {
    parents: Vec<ObjectId>,
    date: i64,
}

impl Commit {
    /// Reads a commit that was checked when it came; a date that can't be read is the first.
    fn parse(content: &[u8]) -> Self {
        let lines = || content.split(|byte| *byte == b'\n').skip(1);
        let parents = lines()
            .map_while(|line| line.strip_prefix(b"parent "))
            .filter_map(|hex| ObjectId::from_hex(hex).ok())
            .collect();
        let committer = lines()
            .take_while(|line| !line.is_empty())
            .find_map(|line| line.strip_prefix(b"committer "));
        let date = committer
            .and_then(|line| line.rsplit(|byte| *byte == b' ').nth(1))
            .and_then(|date| std::str::from_utf8(date).ok()?.parse().ok());
        Self {
            parents,
            date: date.unwrap_or_default(),
        }
    }
}

#[derive(Default)]
struct Walk {
    queue: BinaryHeap<(i64, ObjectId)>,
    /// The paint of each commit, and whether it is in the queue.
    seen: HashMap<ObjectId, (u8, bool)>,
    /// How many in the queue have one paint only.
    one_sided: usize,
}

impl Walk {
    fn is_painted(&self, id: &ObjectId, paint: u8) -> bool {
        self.seen
            .get(id)
            .is_some_and(|(has, _)| has & paint == paint)
    }

    fn paint(&mut self, id: ObjectId, paint: u8, date: i64) {
        let (has, queued) = self.seen.entry(id).or_default();
        if *queued {
            self.one_sided -= usize::from(*has != OLD | NEW);
        } else {
            self.queue.push((date, id));
            *queued = true;
        }
        *has |= paint;
        self.one_sided += usize::from(*has != OLD | NEW);
    }

    /// Takes a commit that left the queue into account; returns its paint.
    fn leave(&mut self, id: &ObjectId) -> u8 {
        let (paint, queued) = self.seen.get_mut(id).expect("what is queued was painted");
        *queued = false;
        self.one_sided -= usize::from(*paint != OLD | NEW);
        *paint
    }
}
