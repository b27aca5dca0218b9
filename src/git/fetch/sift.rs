//! The walk of trees for filters that judge by place.
//!
//! Source: git-rev-list(1) `--objects --filter`; the order is git's: depth first, entries as they stand.
//! Bounds: one frame for each folder on the way down; each tree once at each path, as many as the sieve
//! lets pass.
//! Invariant: a tree is shown to the sieve again only at another path: at the same one the answers would
//! be the same.
//! Not here: the answers (`sieve`), the walk of commits (`enumerate`).

use std::sync::Arc;

use super::{
    enumerate::Enumeration,
    paths::PathHash,
    sieve::{PlaceId, Sieve},
    trees::{EntryKind, Tree},
};
use crate::git::{bits::Bits, packs::ReadError};

/// What the walk knows of one path down from a top.
struct Sifting {
    /// Objects on which the last word was said.
    done: Bits,
    folders: Vec<Folder>,
    /// The path of the folder that is being looked at, a slash behind each name.
    path: Vec<u8>,
}

/// A folder on the way down.
struct Folder {
    number: u32,
    tree: Arc<Tree>,
    /// The entry to look at next.
    next: usize,
    place: PlaceId,
    /// Level of what it holds.
    level: u64,
    path_bytes: usize,
    hash: PathHash,
    /// The sieve was asked about it, and wants to know when it is left.
    judged: bool,
}

impl Enumeration<'_> {
    /// Selects what the sieve lets through of a tree and of what it holds.
    pub(super) fn sift(
        &mut self,
        sieve: &mut Sieve,
        root: u32,
        asked_for: bool,
    ) -> Result<(), ReadError> {
        let mut sifting = Sifting {
            done: std::mem::replace(&mut self.sifted, Bits::new(0)),
            folders: Vec::new(),
            path: Vec::new(),
        };
        if asked_for {
            self.select(root);
            if sifting.done.insert(root) {
                let tree = self.tree(root)?;
                sifting.folders.push(Folder {
                    number: root,
                    tree,
                    next: 0,
                    place: Sieve::ASKED,
                    level: 0,
                    path_bytes: 0,
                    hash: PathHash::ROOT,
                    judged: false,
                });
            }
        } else {
            self.enter(sieve, &mut sifting, root, 0, Sieve::TOP, PathHash::ROOT)?;
        }
        let hash_bytes = self.packs.format().kind().len_in_bytes();
        while let Some(folder) = sifting.folders.last_mut() {
            if folder.next == folder.tree.len() {
                if folder.judged {
                    sieve.leave(folder.number);
                }
                sifting.folders.pop();
                continue;
            }
            sieve.look()?;
            let tree = Arc::clone(&folder.tree);
            let (kind, name, id) = tree.entry(folder.next, hash_bytes);
            folder.next += 1;
            if kind == EntryKind::Link {
                continue;
            }
            let (level, place, hash) = (folder.level, folder.place, folder.hash.join(name));
            sifting.path.truncate(folder.path_bytes);
            sifting.path.extend_from_slice(name);
            let number = self.number_of(id)?;
            if kind == EntryKind::Tree {
                let place = sieve.place(place, &sifting.path, name)?;
                sifting.path.push(b'/');
                self.enter(sieve, &mut sifting, number, level, place, hash)?;
            } else if !sifting.done.contains(number) && !self.client.contains(number) {
                let location = self.packs.location_of(number);
                let mut size = || self.history.reader().size_at(location);
                let verdict = sieve.blob(number, level, place, &sifting.path, &mut size)?;
                if verdict.done {
                    sifting.done.insert(number);
                }
                if verdict.show {
                    self.select_at(number, hash, None);
                }
            }
        }
        self.sifted = sifting.done;
        Ok(())
    }

    fn enter(
        &mut self,
        sieve: &mut Sieve,
        sifting: &mut Sifting,
        number: u32,
        level: u64,
        place: PlaceId,
        hash: PathHash,
    ) -> Result<(), ReadError> {
        // What the client has it has whole.
        if sifting.done.contains(number)
            || self.client.contains(number)
            || !sieve.first_visit(number, place)?
        {
            return Ok(());
        }
        let verdict = sieve.enter(number, level, place);
        if verdict.done {
            sifting.done.insert(number);
        }
        if verdict.show {
            self.select_at(number, hash, None);
        }
        if verdict.skip {
            sieve.leave(number);
            return Ok(());
        }
        let tree = self.tree(number)?;
        sifting.folders.push(Folder {
            number,
            tree,
            next: 0,
            place,
            level: level + 1,
            path_bytes: sifting.path.len(),
            hash,
            judged: true,
        });
        Ok(())
    }

    fn tree(&mut self, number: u32) -> Result<Arc<Tree>, ReadError> {
        let location = self.packs.location_of(number);
        self.trees.read(location)
    }
}
