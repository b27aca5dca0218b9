//! The list of files once it is known which of them moved.
//!
//! Source: gitdiffcore(7), "diffcore-rename": a file stands where its new path stands, and what went elsewhere is not
//! told to be deleted.

use std::collections::HashMap;

use super::super::{Pair, Similarity, State};

/// What was found, by places in the list of files.
pub(super) struct Moves {
    /// For each file that moved, its origin and how much of it that is.
    pub(super) origins: HashMap<usize, (usize, Similarity)>,
    /// Of how many files a file is the origin, itself included if it stays where it is.
    pub(super) uses: HashMap<usize, u32>,
}

impl Moves {
    /// Puts the moves into the list. Of several files with one origin that is gone, the last took it along and the others
    /// are copies.
    pub(super) fn put_into(mut self, pairs: &[Pair]) -> Vec<Pair> {
        let mut arranged = Vec::with_capacity(pairs.len());
        for (place, pair) in pairs.iter().enumerate() {
            let Some((source, score)) = self.origins.get(&place) else {
                let is_gone = pair.after.is_none() && self.uses.contains_key(&place);
                arranged.extend((!is_gone).then(|| pair.clone()));
                continue;
            };
            // A key stays when its count is used up: the file is still the origin of others.
            let left = self.uses.get_mut(source).expect("an origin is used");
            *left -= 1;
            arranged.push(Pair {
                before: pairs[*source].before.clone(),
                after: pair.after.clone(),
                state: match *left {
                    0 => State::Renamed(*score),
                    _ => State::Copied(*score),
                },
            });
        }
        arranged
    }
}
