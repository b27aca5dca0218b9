//! What a pack hangs on, gathered while its links are checked (see `packs::roots`).
//!
//! Bounds: a bit for each object of the pack, besides what [`Roots`] holds.
//! Invariant: what is not surely so is not claimed: an object that only some object beside the pack
//! names counts as a root.

use std::collections::{BTreeSet, HashSet};

use gix_hash::ObjectId;
use gix_object::Kind;

use super::pack::UnpublishedPack;
use crate::git::{
    PackSet,
    bits::Bits,
    packs::roots::{IDS_MAX, NEEDS_MAX, OBJECTS_MIN, Roots, name_of},
};

/// The links of a pack so far, as far as they matter.
pub(super) struct Gathered {
    /// Whether anything is to be claimed of this pack.
    worth: bool,
    /// So many entries were sent; those behind them the repository holds elsewhere, and what they name.
    sent: usize,
    /// Sent entries that some entry names.
    inside: Bits,
    named: BTreeSet<ObjectId>,
    /// Places of packs in the repository.
    needs: BTreeSet<u32>,
}

impl Gathered {
    pub(super) fn new(pack: &UnpublishedPack, sent: usize, shallow: &HashSet<ObjectId>) -> Self {
        Self {
            worth: sent >= OBJECTS_MIN && shallow.is_empty(),
            sent,
            inside: Bits::new(pack.entries.len() as u64),
            named: BTreeSet::new(),
            needs: BTreeSet::new(),
        }
    }

    /// Takes an object that the pack names: which entry it is, or else that the repository has it.
    pub(super) fn link(
        &mut self,
        id: &ObjectId,
        kind: Kind,
        in_pack: Option<u32>,
        repository: &PackSet,
    ) {
        if !self.worth {
            return;
        }
        match in_pack.filter(|number| (*number as usize) < self.sent) {
            Some(number) => {
                self.inside.insert(number);
            }
            None => {
                if matches!(kind, Kind::Commit | Kind::Tag) {
                    self.named.insert(*id);
                }
                self.need(id, repository);
            }
        }
        self.worth = self.named.len() <= IDS_MAX && self.needs.len() <= NEEDS_MAX;
    }

    fn need(&mut self, id: &ObjectId, repository: &PackSet) {
        let number = repository.number(id);
        self.needs
            .extend(number.map(|number| repository.pack_of(number)));
    }

    /// What there is to be said of the pack, if anything.
    pub(super) fn finish(mut self, pack: &UnpublishedPack, repository: &PackSet) -> Option<Roots> {
        if !self.worth {
            return None;
        }
        let (sent, appended) = pack.entries.split_at(self.sent);
        for entry in appended {
            self.need(&entry.id, repository);
        }
        let roots: BTreeSet<_> = (0u32..)
            .zip(sent)
            .filter(|(number, _)| !self.inside.contains(*number))
            .map(|(_, entry)| entry.id)
            .take(IDS_MAX + 1)
            .collect();
        let few = roots.len() + self.named.len() <= IDS_MAX && self.needs.len() <= NEEDS_MAX;
        let name = |at: &u32| name_of(repository.pack(*at).index_path());
        few.then(|| Roots {
            roots,
            named: self.named,
            needs: self.needs.iter().map(name).collect(),
        })
    }
}
