//! The last commit that changed what lies at each of many paths, found in one walk.
//!
//! Source: git-log(1), "History simplification": of several parents the first that holds the same tells
//! the whole story.
//! Bounds: as many commits as the caller allows; each path is with one commit at a time.
//! Invariant: a commit hands the paths that it did not change to a parent that holds the same there, and
//! is the answer for the rest; trees that are equal are not looked into.

use std::collections::{BinaryHeap, HashMap};

use gix_object::Kind;

use super::{ReadError, browse::Browser};
use crate::model::ObjectId;

/// The walk looked at as many commits as it may, and paths are left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GaveUp;

/// The last change of each path, or why they are not all known.
pub type LastChanges = Result<Vec<ObjectId>, GaveUp>;

/// Mode, kind and name of what a tree holds at a name.
type Entry = (u32, Kind, ObjectId);

impl Browser {
    /// For each of these paths, all of which exist in `tip`, the last commit behind it that changed
    /// what lies there. Looks at no more than `walk_max` commits.
    ///
    /// # Errors
    /// When an object is missing or damaged.
    pub fn last_changes(
        &mut self,
        tip: &ObjectId,
        paths: &[&[u8]],
        walk_max: usize,
    ) -> Result<LastChanges, ReadError> {
        let mut answers = vec![*tip; paths.len()];
        let mut order: Vec<usize> = (0..paths.len()).collect();
        order.sort_by_key(|at| paths[*at]);
        let mut queue = Queue::default();
        queue.hand(self.commit(tip)?.committer.seconds, *tip, order);
        let mut walked = 0;
        while let Some((id, mut here)) = queue.pop() {
            if walked == walk_max {
                return Ok(Err(GaveUp));
            }
            walked += 1;
            let commit = self.commit(&id)?;
            for parent in &commit.parents {
                let parent = self.commit(parent)?;
                let mut comparison = Comparison {
                    browser: self,
                    paths,
                    same: Vec::new(),
                    changed: Vec::new(),
                };
                comparison.trees(&commit.tree, &parent.tree, 0, &here)?;
                let Comparison { same, changed, .. } = comparison;
                queue.hand(parent.committer.seconds, parent.id, same);
                here = changed;
                if here.is_empty() {
                    break;
                }
            }
            for at in here {
                answers[at] = id;
            }
        }
        Ok(Ok(answers))
    }
}

/// Commits with the paths they have to answer for, the newest first.
#[derive(Default)]
struct Queue {
    order: BinaryHeap<(i64, ObjectId)>,
    /// Numbers of paths, in the order of the paths.
    paths: HashMap<ObjectId, Vec<usize>>,
}

impl Queue {
    fn hand(&mut self, seconds: i64, commit: ObjectId, mut paths: Vec<usize>) {
        if paths.is_empty() {
            return;
        }
        match self.paths.get_mut(&commit) {
            Some(there) => there.append(&mut paths),
            None => {
                self.paths.insert(commit, paths);
                self.order.push((seconds, commit));
            }
        }
    }

    fn pop(&mut self) -> Option<(ObjectId, Vec<usize>)> {
        let (_, commit) = self.order.pop()?;
        let paths = self.paths.remove(&commit).unwrap_or_default();
        Some((commit, paths))
    }
}

/// Parts paths into those that hold the same in two trees, and the rest.
struct Comparison<'a> {
    browser: &'a mut Browser,
    paths: &'a [&'a [u8]],
    same: Vec<usize>,
    changed: Vec<usize>,
}

impl Comparison<'_> {
    /// Compares below a folder; the paths in `which` all begin with it, in their first `depth` bytes.
    fn trees(
        &mut self,
        ours: &ObjectId,
        theirs: &ObjectId,
        depth: usize,
        which: &[usize],
    ) -> Result<(), ReadError> {
        if ours == theirs {
            self.same.extend_from_slice(which);
            return Ok(());
        }
        let mut groups: HashMap<&[u8], Vec<usize>> = HashMap::new();
        for at in which {
            let rest = &self.paths[*at][depth..];
            let end = rest.iter().position(|byte| *byte == b'/');
            let name = &rest[..end.unwrap_or(rest.len())];
            groups.entry(name).or_default().push(*at);
        }
        let names = |name: &[u8]| groups.contains_key(name);
        let ours = self.entries(ours, names)?;
        let theirs = self.entries(theirs, names)?;
        for (name, group) in &groups {
            let (mine, other) = (ours.get(*name), theirs.get(*name));
            if mine == other {
                self.same.extend_from_slice(group);
                continue;
            }
            let (Some((_, Kind::Tree, mine)), Some((_, Kind::Tree, other))) = (mine, other) else {
                self.changed.extend_from_slice(group);
                continue;
            };
            self.trees(mine, other, depth + name.len() + 1, group)?;
        }
        Ok(())
    }

    fn entries(
        &mut self,
        tree: &ObjectId,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<HashMap<Vec<u8>, Entry>, ReadError> {
        let mut found = HashMap::new();
        self.browser.each_entry(tree, |name, mode, kind, id| {
            if wanted(name) {
                found.insert(name.to_vec(), (mode, kind, id.to_owned()));
            }
        })?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::fixture::Stock;

    #[test]
    fn each_path_was_last_changed_where_git_log_says() {
        for stock in Stock::each() {
            let stock = stock.with_history(60);
            let (_folder, repository) = stock.opened();
            let mut browser = Browser::new(repository.packs());
            let tip = stock.id("main");
            let listed = stock.git(["ls-tree", "-r", "--name-only", "main"]);
            let paths: Vec<_> = listed.lines().map(str::as_bytes).collect();
            let found = browser.last_changes(&tip, &paths, 1000).unwrap().unwrap();
            for (path, found) in listed.lines().zip(found) {
                let expected = stock.git(["log", "-1", "--format=%H", "main", "--", path]);
                assert_eq!(found.to_string(), expected, "{path}");
            }
            let few = browser.last_changes(&tip, &paths, 3).unwrap();
            assert_eq!(few, Err(GaveUp));
        }
    }
}
