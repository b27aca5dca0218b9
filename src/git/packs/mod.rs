//! The packs of one repository as an immutable value, and where an object lies in them.
//!
//! Source: gitformat-pack(5).
//! Bounds: [`PackSet::OBJECTS_MAX`] objects and [`PackSet::PACKS_MAX`] packs a repository.
//! Invariant: packs have a fixed order; the location of an object is its entry in the *first* pack
//! that holds it. A delta's base lies in the delta's own pack, so following bases from location to
//! location never goes to a later pack, and chains of deltas can't form a ring across packs.
//! Not here: which packs exist on disk (`repository`), what the objects mean.

mod cache;
mod content;
pub(crate) mod delta;
mod file;
mod loose;
mod pack;
mod reader;
pub(crate) mod roots;
mod run;
mod shown;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use gix_hash::oid;

pub(crate) use cache::{Cache, KeyHasher};
pub use content::Content;
pub(crate) use content::{HELD_BYTES, Sink, build, result_size};
pub(crate) use delta::{Instruction, instructions};
pub(crate) use pack::{DELTA_CHAIN_MAX, Entry, Pack, Stored};
pub use pack::{OpenError, ReadError};
pub(crate) use reader::Inflater;
pub use reader::ObjectReader;
use run::Run;
pub(crate) use shown::{BORROWED, Shown};

use super::{memory::Memory, scratch::Scratch};
use crate::model::{ObjectFormat, ObjectId};

/// Where the bytes of an object lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location {
    /// Index of the pack in its [`PackSet`].
    pub pack: u32,
    /// Index of the object in the pack's sorted list of ids.
    pub position: u32,
    /// First byte of the entry in the pack file.
    pub offset: u64,
}

/// Open packs in a fixed order, never changed once made; a push makes a new value.
#[derive(Debug, Clone)]
pub struct PackSet {
    format: ObjectFormat,
    packs: Vec<Arc<Pack>>,
    /// `first_numbers[i]` is how many objects the packs before pack `i` hold; one more than packs.
    first_numbers: Vec<u32>,
    runs: Vec<Arc<Run>>,
    /// Numbers of the commits whose parents are not here, ascending; almost always none.
    cut: Vec<u32>,
    scratch: Scratch,
    memory: Memory,
}

impl PackSet {
    /// Most packs one repository may consist of; a large one costs two memory maps, a small one what it holds.
    pub const PACKS_MAX: usize = 20_000;

    /// Most objects one repository may hold, duplicates counted.
    pub const OBJECTS_MAX: u32 = u32::MAX;

    /// No objects at all.
    pub(crate) fn empty(format: ObjectFormat) -> Self {
        Self {
            format,
            packs: Vec::new(),
            first_numbers: vec![0],
            runs: Vec::new(),
            cut: Vec::new(),
            scratch: Scratch::of_system(),
            memory: Memory::default(),
        }
    }

    /// The same set, whose large objects are built in files of this folder.
    pub(crate) fn building_in(self, scratch: Scratch) -> Self {
        Self { scratch, ..self }
    }

    /// The same set, whose readers share this memory.
    pub(crate) fn sharing(self, memory: Memory) -> Self {
        Self { memory, ..self }
    }

    /// What its readers share.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Where large objects are built.
    pub(crate) fn scratch(&self) -> &Scratch {
        &self.scratch
    }

    /// Opens each pack by the path of its index, the ones with most objects first.
    pub(crate) fn open(
        format: ObjectFormat,
        indices: &[impl AsRef<Path>],
    ) -> Result<Self, OpenError> {
        let mut packs = indices
            .iter()
            .map(|path| Pack::open(path.as_ref(), format).map(Arc::new))
            .collect::<Result<Vec<_>, _>>()?;
        packs.sort_by(|a, b| {
            b.object_count()
                .cmp(&a.object_count())
                .then_with(|| a.index_path().cmp(b.index_path()))
        });
        let mut set = Self::empty(format);
        for pack in packs {
            set.push(pack)?;
        }
        Ok(set)
    }

    /// As [`Self::open`], with the loose objects of these `objects` folders behind the packs.
    pub(crate) fn open_with_loose(
        format: ObjectFormat,
        indices: &[impl AsRef<Path>],
        loose: Vec<Pack>,
    ) -> Result<Self, OpenError> {
        let mut set = Self::open(format, indices)?;
        for loose in loose.into_iter().filter(|loose| loose.object_count() > 0) {
            set.push(Arc::new(loose))?;
        }
        Ok(set)
    }

    /// This set and one more pack behind the others.
    pub(crate) fn with(&self, pack: Pack) -> Result<Self, OpenError> {
        let mut set = Self {
            format: self.format,
            packs: self.packs.clone(),
            first_numbers: self.first_numbers.clone(),
            runs: self.runs.clone(),
            cut: self.cut.clone(),
            scratch: self.scratch.clone(),
            memory: self.memory.clone(),
        };
        set.push(Arc::new(pack))?;
        Ok(set)
    }

    /// The same objects, of which these commits have no parents here: a shallow repository's boundary.
    pub(crate) fn cut_at(mut self, commits: &[ObjectId]) -> Self {
        self.cut = commits.iter().filter_map(|id| self.number(id)).collect();
        self.cut.sort_unstable();
        self
    }

    /// Whether the parents of the commit of this number are missing, and known to be.
    pub(crate) fn is_cut(&self, number: u32) -> bool {
        !self.cut.is_empty() && self.cut.binary_search(&number).is_ok()
    }

    /// Whether there is any such commit.
    pub(crate) fn has_cuts(&self) -> bool {
        !self.cut.is_empty()
    }

    fn push(&mut self, pack: Arc<Pack>) -> Result<(), OpenError> {
        if self.packs.len() >= Self::PACKS_MAX {
            return Err(OpenError::TooManyPacks(self.packs.len()));
        }
        let first = self.next_number();
        let next = first
            .checked_add(pack.object_count())
            .ok_or(OpenError::TooManyObjects)?;
        let at = u32::try_from(self.packs.len()).expect("PACKS_MAX fits");
        self.packs.push(pack);
        self.first_numbers.push(next);
        let mut run = Run::of_pack(&self.packs, at);
        // Each run is kept at least twice as long as the next, so there are few of them and an
        // object moves into a new run only a logarithmic number of times.
        while let Some(last) = self.runs.last() {
            let Some(merged) = Run::merge(&self.packs, last, &run) else {
                break;
            };
            run = merged;
            self.runs.pop();
        }
        self.runs.push(Arc::new(run));
        Ok(())
    }

    fn next_number(&self) -> u32 {
        self.first_numbers.last().copied().unwrap_or_default()
    }

    /// The hash that names the objects.
    pub fn format(&self) -> ObjectFormat {
        self.format
    }

    /// Objects in all packs; one that lies in two packs counts twice.
    pub fn object_count(&self) -> u64 {
        u64::from(self.next_number())
    }

    /// How many packs there are.
    pub fn pack_count(&self) -> usize {
        self.packs.len()
    }

    /// Whether the object is here.
    pub fn contains(&self, id: &oid) -> bool {
        self.find(id).is_some()
    }

    /// Where the object lies, `None` if it is not here.
    pub fn locate(&self, id: &oid) -> Option<Location> {
        self.find(id)
            .map(|(pack, position)| self.location(pack, position))
    }

    /// The objects whose hexadecimal ids begin with `prefix`, at most `limit` of them, each once.
    pub(crate) fn with_prefix(&self, prefix: &gix_hash::Prefix, limit: usize) -> Vec<ObjectId> {
        let mut found = Vec::new();
        for pack in &self.packs {
            let positions = pack.positions_with_prefix(prefix);
            for position in positions.filter(|at| pack.shows(*at)).take(limit) {
                let id = pack.id_at(position).to_owned();
                if !found.contains(&id) {
                    found.push(id);
                }
                if found.len() >= limit {
                    return found;
                }
            }
        }
        found
    }

    /// How many digits of an id git shows by default: as many as it takes to tell it from all others,
    /// and from most of those that come.
    pub(crate) fn short_digits(&self, id: &oid) -> usize {
        /// git shows no fewer.
        const LEAST: usize = 7;
        let bits = u64::BITS - self.object_count().leading_zeros();
        let begin = usize::try_from(bits.div_ceil(2)).map_or(LEAST, |digits| digits.max(LEAST));
        let most = id.kind().len_in_hex();
        (begin..most)
            .find(|digits| {
                let prefix = gix_hash::Prefix::new(id, *digits);
                prefix.is_ok_and(|prefix| self.with_prefix(&prefix, 2).len() < 2)
            })
            .unwrap_or(most)
    }

    pub(crate) fn packs(&self) -> &[Arc<Pack>] {
        &self.packs
    }

    pub(crate) fn pack(&self, index: u32) -> &Pack {
        &self.packs[index as usize]
    }

    fn find(&self, id: &oid) -> Option<(u32, u32)> {
        if id.kind() != self.format.kind() {
            return None;
        }
        self.runs.iter().find_map(|run| run.find(&self.packs, id))
    }

    fn location(&self, pack: u32, position: u32) -> Location {
        Location {
            pack,
            position,
            offset: self.pack(pack).offset_at(position),
        }
    }

    /// A dense number for the object: equal for equal ids, below [`Self::object_count`].
    pub(crate) fn number(&self, id: &oid) -> Option<u32> {
        let (pack, position) = self.find(id)?;
        Some(self.first_number(pack) + position)
    }

    /// The number of the first object in this pack.
    pub(crate) fn first_number(&self, pack: u32) -> u32 {
        self.first_numbers[pack as usize]
    }

    /// The place that a number stands for.
    pub(crate) fn location_of(&self, number: u32) -> Location {
        let pack = self.pack_of(number);
        self.location(pack, number - self.first_number(pack))
    }

    /// The pack in which the object of this number lies.
    pub(crate) fn pack_of(&self, number: u32) -> u32 {
        let after = self.first_numbers.partition_point(|first| *first <= number);
        u32::try_from(after - 1).expect("PACKS_MAX fits")
    }

    /// The id that a number stands for.
    pub(crate) fn id_of(&self, number: u32) -> &oid {
        let pack = self.pack_of(number);
        self.pack(pack).id_at(number - self.first_number(pack))
    }
}

/// The indices of the packs in a folder.
pub(crate) fn indices(pack_folder: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let failed = |source| OpenError::Io {
        path: pack_folder.to_owned(),
        source,
    };
    let mut indices = Vec::new();
    for entry in fs::read_dir(pack_folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let named_so = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"pack-"));
        if named_so && path.extension().is_some_and(|extension| extension == "idx") {
            indices.push(path);
        }
    }
    Ok(indices)
}
