//! What the objects of a pack name, and whether all of it exists.
//!
//! Bounds: a pack that names more objects than there are, here and in the repository, is refused as
//! soon as it does, so 36 bytes for each of those is the most this holds.
//! Invariant: every object that a published pack names is in that pack or was in the repository. So
//! everything reachable from a published object exists, by induction over the packs, and a push
//! costs what *it* brings, however long the history is.
//! Not here: reading objects (`inspector`).

use std::{
    collections::{BTreeSet, HashMap, hash_map},
    hash::{BuildHasher, Hasher, RandomState},
};

use gix_hash::ObjectId;
use gix_object::Kind;

use super::check::{Links, Special};

/// All links of the objects seen so far, each once.
#[derive(Debug)]
pub(super) struct References {
    links: HashMap<ObjectId, Kind, IdHash>,
    special: BTreeSet<(ObjectId, Special)>,
    /// Named as two kinds, which can't both be right.
    ambiguous: Option<(ObjectId, Kind)>,
}

impl References {
    pub(super) fn new() -> Self {
        Self {
            links: HashMap::with_hasher(IdHash::new()),
            special: BTreeSet::new(),
            ambiguous: None,
        }
    }

    /// How many objects are named.
    pub(super) fn count(&self) -> u64 {
        self.links.len() as u64
    }

    /// The objects and the kind each must have; one that was named as two kinds comes twice.
    pub(super) fn links(&self) -> impl Iterator<Item = (ObjectId, Kind)> {
        let all = self.links.iter().map(|(id, kind)| (*id, *kind));
        self.ambiguous.into_iter().chain(all)
    }

    /// The blobs whose name gives them a meaning.
    pub(super) fn special(&self) -> impl Iterator<Item = (ObjectId, Special)> {
        self.special.iter().copied()
    }
}

impl Links for References {
    fn link(&mut self, id: ObjectId, kind: Kind) {
        match self.links.entry(id) {
            hash_map::Entry::Vacant(entry) => {
                entry.insert(kind);
            }
            hash_map::Entry::Occupied(entry) => {
                if *entry.get() != kind {
                    self.ambiguous = Some((id, kind));
                }
            }
        }
    }

    fn special(&mut self, id: ObjectId, special: Special) {
        self.special.insert((id, special));
    }
}

/// Takes what a commit names but for its parents.
pub(super) struct WithoutParents<'a>(pub(super) &'a mut References);

impl Links for WithoutParents<'_> {
    fn link(&mut self, id: ObjectId, kind: Kind) {
        if kind != Kind::Commit {
            self.0.link(id, kind);
        }
    }

    fn special(&mut self, id: ObjectId, special: Special) {
        self.0.special(id, special);
    }
}

/// Hashes ids, which are spread well already but are chosen by strangers: two secret factors keep
/// them from choosing many that meet in one place.
#[derive(Debug, Clone)]
struct IdHash {
    secret: [u64; 2],
}

impl IdHash {
    fn new() -> Self {
        let random = RandomState::new();
        Self {
            secret: [random.hash_one(0) | 1, random.hash_one(1) | 1],
        }
    }
}

impl BuildHasher for IdHash {
    type Hasher = IdHasher;

    fn build_hasher(&self) -> IdHasher {
        IdHasher {
            state: self.secret[0],
            factor: self.secret[1],
        }
    }
}

struct IdHasher {
    state: u64,
    factor: u64,
}

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..piece.len()].copy_from_slice(piece);
            let product =
                u128::from(self.state ^ u64::from_le_bytes(word)) * u128::from(self.factor);
            let (high, low) = (product >> 64, product & u128::from(u64::MAX));
            self.state = u64::try_from(high ^ low).expect("both are below 2^64");
        }
    }

    fn write_isize(&mut self, _kind: isize) {} // one repository, one kind of hash

    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        self.state
    }
}
