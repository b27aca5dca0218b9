//! Finds out what client and server have in common, and when that is enough.
//!
//! Source: gitprotocol-v2(5), "acknowledgments" and "ready"; gitprotocol-pack(5).
//! Bounds: what is remembered is some 40 bytes for each commit looked at.
//! Not here: which lines are sent in answer (`packhorse_protocol`).

use std::{collections::HashMap, sync::Arc};

use gix_object::Kind;

use crate::{
    git::{
        history::{CommitIndex, History},
        packs::{PackSet, ReadError},
    },
    model::ObjectId,
};

/// One conversation's view of the commit graph; keep it from round to round.
pub struct Negotiation {
    history: History,
    /// Whether a commit reaches a common one, for the common ones known when it was asked.
    reaches: HashMap<CommitIndex, bool>,
}

impl Negotiation {
    /// Begins over this snapshot.
    pub fn new(packs: Arc<PackSet>) -> Self {
        Self {
            history: History::new(packs),
            reaches: HashMap::new(),
        }
    }

    /// Those of the client's objects that exist here, in the order given.
    pub fn common(&self, haves: &[ObjectId]) -> Vec<ObjectId> {
        let there = |have: &&ObjectId| self.history.packs().contains(have);
        haves.iter().filter(there).copied().collect()
    }

    /// Whether every wanted commit reaches one of the common commits, so that telling more haves
    /// would save little. Wants that are no commits don't count; without common commits it is never so.
    ///
    /// # Errors
    /// When a commit is missing or damaged.
    pub fn ready(&mut self, wants: &[ObjectId], common: &[ObjectId]) -> Result<bool, ReadError> {
        self.reaches.clear();
        let mut oldest = i64::MAX;
        for id in common {
            if let Some(commit) = self.peeled_commit(id)? {
                oldest = oldest.min(self.history.time(commit));
                self.reaches.insert(commit, true);
            }
        }
        if self.reaches.is_empty() {
            return Ok(false);
        }
        for id in wants {
            if let Some(commit) = self.peeled_commit(id)?
                && !self.reaches_common(commit, oldest)?
            {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn peeled_commit(&mut self, id: &ObjectId) -> Result<Option<CommitIndex>, ReadError> {
        let Some(number) = self.history.packs().number(id) else {
            return Ok(None);
        };
        match self.history.peel(number, &mut Vec::new())? {
            (number, Kind::Commit) => self.history.commit(number).map(Some),
            _ => Ok(None),
        }
    }

    /// Goes down to commits as old as the oldest common one; each is entered once for all wants.
    fn reaches_common(&mut self, want: CommitIndex, oldest: i64) -> Result<bool, ReadError> {
        let mut path = vec![(want, 0)];
        while let Some((commit, next)) = path.last_mut() {
            if self.reaches.get(commit) == Some(&true) {
                self.reaches
                    .extend(path.iter().map(|(commit, _)| (*commit, true)));
                return Ok(true);
            }
            let first_visit = *next == 0;
            let told = first_visit && self.reaches.contains_key(commit);
            if told
                || *next == self.history.parent_count(*commit)
                || self.history.time(*commit) < oldest
            {
                self.reaches.insert(*commit, false);
                path.pop();
                continue;
            }
            let parent = self.history.parent(*commit, *next)?;
            *next += 1;
            path.push((parent, 0));
        }
        Ok(false)
    }
}
