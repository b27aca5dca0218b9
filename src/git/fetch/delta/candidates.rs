//! Which objects a delta is looked for, and in which order.
//!
//! Bounds: 48 bytes for each object sighted.
//! Invariant: an object that goes out as the delta it is stored as is never among them.
//! Not here: the comparing itself (`search`).

use std::sync::Arc;

use gix_object::Kind;

use super::{OBJECT_BYTES_MAX, WINDOW};
use crate::git::{
    Location,
    fetch::{enumerate::ObjectSet, paths::PathHash},
    packs::{ObjectReader, Pack, PackSet, ReadError},
};

/// A delta of less than this can't be smaller than the object by much.
const OBJECT_BYTES_MIN: u64 = 50;

/// Of a pack of at least this many objects, of which half or more are wanted, all is sent as it lies
/// but for what the client has something like: whoever made it has searched it, few of its deltas
/// can't be used, and copying costs next to nothing.
const LARGE_PACK_OBJECTS: u64 = 1_000;

/// Whether nearly all objects lie in packs so large that, for a whole clone, no deltas are looked for in
/// them: where objects are in the trees need not be known then.
pub(in crate::git::fetch) fn finds_little(packs: &PackSet) -> bool {
    /// Of so many objects, one may lie in a small pack.
    const OBJECTS: u64 = 64;
    let counts = packs
        .packs()
        .iter()
        .map(|pack| u64::from(pack.object_count()));
    let small: u64 = counts.filter(|count| *count < LARGE_PACK_OBJECTS).sum();
    small <= packs.object_count() / OBJECTS
}

/// An object that may become a delta or the base of one.
#[derive(Debug, Clone, Copy)]
pub(in crate::git::fetch) struct Candidate {
    pub(super) kind: Kind,
    pub(super) path: PathHash,
    pub(super) size: u64,
    pub(super) number: u32,
    pub(super) location: Location,
    /// What the client has at the same path, where deltas may stand against it.
    pub(super) counterpart: Option<u32>,
    /// It is stored as a delta that the client can't resolve.
    pub(super) unusable: bool,
}

/// Candidates so ordered that likely bases come before what is like them.
#[derive(Debug, Default)]
pub(in crate::git::fetch) struct Candidates(pub(super) Vec<Candidate>);

impl Candidates {
    /// Looks through what was sighted. `is_reused` tells whether a delta against this entry of a pack
    /// can go out as it is.
    pub(in crate::git::fetch) fn among(
        objects: &ObjectSet,
        reader: &mut ObjectReader,
        thin: bool,
        is_reused: impl Fn(u32, &Pack, u64) -> Result<bool, ReadError>,
    ) -> Result<Self, ReadError> {
        let packs = &objects.packs;
        let as_it_lies = |(at, pack): (u32, &Arc<Pack>)| {
            let count = pack.object_count();
            let first = packs.first_number(at);
            u64::from(count) >= LARGE_PACK_OBJECTS
                && objects.selected.count(first, first + count) >= count / 2
        };
        let as_they_lie: Vec<bool> = (0u32..).zip(packs.packs()).map(as_it_lies).collect();
        let mut candidates = Vec::new();
        for sighting in objects.sightings.iter() {
            let counterpart = sighting.counterpart.filter(|_| thin);
            if counterpart.is_none() && as_they_lie[packs.pack_of(sighting.number) as usize] {
                continue;
            }
            let location = packs.location_of(sighting.number);
            let pack = packs.pack(location.pack);
            let entry = pack.entry(location.offset)?;
            let base = pack.base_offset(location.offset, &entry)?;
            if let Some(base) = base
                && is_reused(location.pack, pack, base)?
            {
                continue;
            }
            let unusable = base.is_some();
            let kind = reader.kind_at(location)?;
            if !unusable && matches!(kind, Kind::Commit | Kind::Tag) {
                continue;
            }
            let size = reader.size_at(location)?;
            if (OBJECT_BYTES_MIN..=OBJECT_BYTES_MAX).contains(&size) {
                candidates.push(Candidate {
                    kind,
                    path: sighting.path,
                    size,
                    number: sighting.number,
                    location,
                    counterpart,
                    unusable,
                });
            }
        }
        Ok(Self::ordered(candidates))
    }

    pub(in crate::git::fetch) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn ordered(mut candidates: Vec<Candidate>) -> Self {
        candidates.sort_unstable_by(|a, b| {
            (a.kind as u8, a.path)
                .cmp(&(b.kind as u8, b.path))
                // Taking away costs less than adding, so the larger ones come first.
                .then_with(|| b.size.cmp(&a.size))
                .then_with(|| a.number.cmp(&b.number))
        });
        // Those for which nothing can come of it go the short way, as they lie.
        let mut useful: Vec<bool> = candidates
            .iter()
            .map(|candidate| candidate.unusable || candidate.counterpart.is_some())
            .collect();
        for at in 0..candidates.len() {
            for before in at.saturating_sub(WINDOW)..at {
                if candidates[at].may_stand_on(&candidates[before]) {
                    useful[at] = true;
                    useful[before] = true;
                }
            }
        }
        let mut useful = useful.into_iter();
        candidates.retain(|_| useful.next().unwrap_or(false));
        Self(candidates)
    }
}

impl Candidate {
    /// Whether comparing the two may be of use.
    ///
    /// Whoever made a pack compared what lies in it, and where something lies whole found nothing.
    /// Objects at different paths have little in common: of a clone of depth 1 git saves some 8 percent
    /// by comparing them, for five times the work.
    pub(super) fn may_stand_on(&self, other: &Self) -> bool {
        self.kind == other.kind
            && self.path == other.path
            && (self.unusable || self.location.pack != other.location.pack)
    }
}
