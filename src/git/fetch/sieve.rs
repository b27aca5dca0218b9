//! Filters whose answer depends on where an object lies, or on what other filters said before.
//!
//! Source: git-rev-list(1), `--filter`; stock git decides where the manual is silent: an object comes
//! along when all parts of a combination let it through *at one and the same place*, and a part that
//! has given its last word on an object stays silent when it shows up again.
//! Bounds: one bit an object for each part, 24 bytes for each tree and place that [`Sieve::first_visit`]
//! was asked about, and each path of a folder once; of these and of the entries looked at only so many,
//! since a few trees that hold each other many times have more paths than can be counted.
//! Invariant: trees are shown to it depth first, entries in their order; what it says of a tree at a
//! place never changes for the better when the tree is shown there again.
//! Not here: reading trees (`enumerate`), filters that need none of this (`filter`).

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use gix_object::Kind;

use super::filter::Filter;
use crate::git::{bits::Bits, packs::ReadError, patterns::Patterns};

/// Paths of folders, and trees at them, that may be remembered whatever the repository holds.
const PLACES: u64 = 1 << 20;
/// The same for each object of the repository; a tree is rarely found at more than a few paths.
const PLACES_PER_OBJECT: u64 = 16;
/// Entries of trees that may be looked at whatever the repository holds.
const ENTRIES: u64 = 1 << 24;
/// The same for each object of the repository.
const ENTRIES_PER_OBJECT: u64 = 64;

/// The parts of a filter and what they remember.
pub(super) struct Sieve {
    part: Part,
    places_left: u64,
    entries_left: u64,
    places: Places,
    visited: HashSet<(u32, PlaceId)>,
    /// Trees that a list of patterns let through: it does so once.
    listed: Bits,
}

/// A folder on the way down from the top.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PlaceId(u32);

/// What a part says of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Verdict {
    /// It is to be sent.
    pub(super) show: bool,
    /// It need not be asked about again.
    pub(super) done: bool,
    /// What it holds need not be looked at.
    pub(super) skip: bool,
}

impl Verdict {
    const SILENT: Self = Self {
        show: false,
        done: false,
        skip: false,
    };
    const SKIP: Self = Self {
        skip: true,
        ..Self::SILENT
    };
    const SHOW: Self = Self {
        show: true,
        ..Self::SILENT
    };
    const SHOW_FOR_GOOD: Self = Self {
        done: true,
        ..Self::SHOW
    };
    const HIDE_FOR_GOOD: Self = Self {
        done: true,
        ..Self::SILENT
    };

    fn for_good(show: bool) -> Self {
        Self {
            show,
            ..Self::HIDE_FOR_GOOD
        }
    }
}

enum Part {
    /// Blobs of this size and more are left out.
    Blobs {
        bytes_end: u64,
    },
    /// Trees and blobs this deep are left out; with the least level at which each tree was met.
    Depth {
        end: u64,
        least: HashMap<u32, u64>,
    },
    /// All of other kinds are left out.
    Only(Kind),
    /// Blobs that the patterns of this number don't want are left out.
    Listed(usize),
    Combine(Vec<Share>),
}

/// A part of a combination.
struct Share {
    part: Part,
    done: Bits,
    /// The tree in which it has nothing to say.
    skipping: Option<u32>,
}

/// One object as the walk meets it.
#[derive(Clone, Copy)]
struct Met<'a> {
    number: u32,
    /// Steps down from the tree of a commit.
    level: u64,
    place: PlaceId,
    places: &'a Places,
}

impl Sieve {
    /// The sieve that this filter needs in a repository of so many objects, if it needs one.
    pub(super) fn for_filter(filter: &Filter, object_count: u64) -> Option<Self> {
        let (mut parts, mut by_place) = (0, false);
        filter.each_part(&mut |part| {
            parts += 1;
            by_place |= matches!(part, Filter::TreeDepth(_) | Filter::Listed(_));
        });
        let mut lists = Vec::new();
        let part = Part::new(filter, object_count, &mut lists);
        (by_place && parts > 1 || !lists.is_empty()).then(|| Self {
            part,
            places_left: PLACES.saturating_add(object_count.saturating_mul(PLACES_PER_OBJECT)),
            entries_left: ENTRIES.saturating_add(object_count.saturating_mul(ENTRIES_PER_OBJECT)),
            places: Places::new(lists),
            visited: HashSet::new(),
            listed: Bits::new(object_count),
        })
    }

    /// Where the tree of a commit lies.
    pub(super) const TOP: PlaceId = PlaceId(0);
    /// Where a tree lies that the client asks for by itself.
    pub(super) const ASKED: PlaceId = PlaceId(1);

    /// Counts an entry that is looked at.
    pub(super) fn look(&mut self) -> Result<(), ReadError> {
        spend(&mut self.entries_left)
    }

    /// The place of a folder, whose path ends in its name.
    pub(super) fn place(
        &mut self,
        parent: PlaceId,
        path: &[u8],
        name: &[u8],
    ) -> Result<PlaceId, ReadError> {
        let known = self.places.count();
        let place = self.places.enter(parent, path, name);
        if self.places.count() > known {
            spend(&mut self.places_left)?;
        }
        Ok(place)
    }

    /// Whether this tree was never entered at this place.
    pub(super) fn first_visit(&mut self, number: u32, place: PlaceId) -> Result<bool, ReadError> {
        let first = self.visited.insert((number, place));
        if first {
            spend(&mut self.places_left)?;
        }
        Ok(first)
    }

    /// Enters a tree, to be left by [`Self::leave`] whatever the verdict.
    pub(super) fn enter(&mut self, number: u32, level: u64, place: PlaceId) -> Verdict {
        let met = Met {
            number,
            level,
            place,
            places: &self.places,
        };
        self.part.enter(met, &mut self.listed)
    }

    /// Leaves a tree.
    pub(super) fn leave(&mut self, number: u32) {
        self.part.leave(number);
    }

    /// Judges a blob of this path in the folder at this place.
    pub(super) fn blob(
        &mut self,
        number: u32,
        level: u64,
        place: PlaceId,
        path: &[u8],
        size: &mut dyn FnMut() -> Result<u64, ReadError>,
    ) -> Result<Verdict, ReadError> {
        let met = Met {
            number,
            level,
            place,
            places: &self.places,
        };
        self.part.blob(met, path, size)
    }
}

fn spend(left: &mut u64) -> Result<(), ReadError> {
    *left = left.checked_sub(1).ok_or(ReadError::TooManyPaths)?;
    Ok(())
}

impl Part {
    fn new(filter: &Filter, object_count: u64, lists: &mut Vec<Arc<Patterns>>) -> Self {
        match filter {
            Filter::BlobNone => Self::Blobs { bytes_end: 0 },
            Filter::BlobLimit(bytes_end) => Self::Blobs {
                bytes_end: *bytes_end,
            },
            Filter::TreeDepth(end) => Self::Depth {
                end: *end,
                least: HashMap::new(),
            },
            Filter::ObjectType(kind) => Self::Only(*kind),
            Filter::Listed(list) => {
                lists.push(list.patterns());
                Self::Listed(lists.len() - 1)
            }
            Filter::Combine(filters) => {
                let share = |filter| Share {
                    part: Self::new(filter, object_count, lists),
                    done: Bits::new(object_count),
                    skipping: None,
                };
                Self::Combine(filters.iter().map(share).collect())
            }
        }
    }

    fn enter(&mut self, met: Met<'_>, listed: &mut Bits) -> Verdict {
        match self {
            Self::Blobs { .. } | Self::Only(Kind::Tree) => Verdict::SHOW_FOR_GOOD,
            Self::Only(Kind::Blob) => Verdict::HIDE_FOR_GOOD,
            Self::Only(_) => Verdict::SKIP,
            Self::Depth { end, least } => {
                let least = least.entry(met.number).or_insert(u64::MAX);
                if *least <= met.level {
                    return Verdict::SKIP;
                }
                *least = met.level;
                if met.level < *end {
                    Verdict::SHOW
                } else {
                    Verdict::SKIP
                }
            }
            Self::Listed(_) if listed.insert(met.number) => Verdict::SHOW,
            Self::Listed(_) => Verdict::SILENT,
            Self::Combine(shares) => {
                let mut all = Verdict {
                    skip: true,
                    ..Verdict::SHOW_FOR_GOOD
                };
                for share in shares {
                    let verdict = match share.is_silent(met.number) {
                        true => Verdict::SILENT,
                        false => share.part.enter(met, listed),
                    };
                    if verdict.done {
                        share.done.insert(met.number);
                    }
                    if verdict.skip {
                        share.skipping = Some(met.number);
                    }
                    all.show &= verdict.show;
                    all.done &= verdict.done;
                    all.skip &= share.skipping.is_some();
                }
                all
            }
        }
    }

    fn leave(&mut self, number: u32) {
        if let Self::Combine(shares) = self {
            for share in shares {
                match share.skipping {
                    Some(tree) if tree != number => {}
                    _ => {
                        share.skipping = None;
                        share.part.leave(number);
                    }
                }
            }
        }
    }

    fn blob(
        &mut self,
        met: Met<'_>,
        path: &[u8],
        size: &mut dyn FnMut() -> Result<u64, ReadError>,
    ) -> Result<Verdict, ReadError> {
        Ok(match self {
            Self::Blobs { bytes_end: 0 } => Verdict::HIDE_FOR_GOOD,
            Self::Blobs { bytes_end } => Verdict::for_good(size()? < *bytes_end),
            Self::Depth { end, .. } if met.level < *end => Verdict::SHOW_FOR_GOOD,
            Self::Depth { .. } => Verdict::SILENT,
            Self::Only(kind) => Verdict::for_good(*kind == Kind::Blob),
            Self::Listed(at) if met.places.wants_file(met.place, path, *at) => {
                Verdict::SHOW_FOR_GOOD
            }
            Self::Listed(_) => Verdict::SILENT,
            Self::Combine(shares) => {
                let mut all = Verdict::SHOW_FOR_GOOD;
                for share in shares {
                    let verdict = match share.is_silent(met.number) {
                        true => Verdict::SILENT,
                        false => share.part.blob(met, path, size)?,
                    };
                    if verdict.done {
                        share.done.insert(met.number);
                    }
                    all.show &= verdict.show;
                    all.done &= verdict.done;
                }
                all
            }
        })
    }
}

impl Share {
    fn is_silent(&self, number: u32) -> bool {
        self.skipping.is_some() || self.done.contains(number)
    }
}

/// The folders met so far, each path once, and what the lists of patterns say of them.
struct Places {
    lists: Vec<Arc<Patterns>>,
    by_name: HashMap<(PlaceId, Box<[u8]>), PlaceId>,
    /// For each place, whether each list wants what lies there and is not matched itself.
    wanted: Vec<Box<[bool]>>,
}

impl Places {
    fn new(lists: Vec<Arc<Patterns>>) -> Self {
        let top = |list: &Arc<Patterns>| list.decide(b"", true).unwrap_or(false);
        let wanted = vec![
            lists.iter().map(top).collect(),
            // Nothing was held against the patterns above a tree that is asked for by itself.
            vec![false; lists.len()].into(),
        ];
        Self {
            lists,
            by_name: HashMap::new(),
            wanted,
        }
    }

    fn count(&self) -> usize {
        self.wanted.len()
    }

    fn enter(&mut self, parent: PlaceId, path: &[u8], name: &[u8]) -> PlaceId {
        let key = (parent, Box::from(name));
        if let Some(known) = self.by_name.get(&key) {
            return *known;
        }
        let inherited = &self.wanted[parent.0 as usize];
        let own = |(list, inherited): (&Arc<Patterns>, &bool)| {
            list.decide(path, true).unwrap_or(*inherited)
        };
        let wanted = self.lists.iter().zip(inherited).map(own).collect();
        let place = PlaceId(u32::try_from(self.wanted.len()).expect("fewer than tree entries"));
        self.wanted.push(wanted);
        self.by_name.insert(key, place);
        place
    }

    fn wants_file(&self, place: PlaceId, path: &[u8], list: usize) -> bool {
        let own = self.lists[list].decide(path, false);
        own.unwrap_or(self.wanted[place.0 as usize][list])
    }
}
