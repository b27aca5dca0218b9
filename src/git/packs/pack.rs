//! One open pack: where its entries lie and how each is stored.
//!
//! Source: gitformat-pack(5).
//! Bounds: the table of sorted offsets costs 12 bytes an object, that of kinds one; each is made when first
//! asked for. A chain of deltas is at most [`DELTA_CHAIN_MAX`] long.
//! Not here: how the bytes of the files are reached (`file`).

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use gix_hash::oid;
use gix_object::Kind;

use super::{
    file::Files,
    loose::Loose,
    run::{first_not_below, key_of},
    shown::Shown,
};
use crate::model::{ObjectFormat, ObjectId};

/// Bytes of a long stretch that are in memory at a time.
const STRETCH_BYTES: usize = 128 << 10;

/// Why the packs of a repository can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A folder or file could not be read or made.
    #[error("cannot open {}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// A pack or index is damaged or missing.
    #[error("cannot use pack file {}", path.display())]
    Pack {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Pack and index disagree on how many objects there are.
    #[error("pack of {in_pack} objects has an index of {in_index}: {}", path.display())]
    CountsDiffer {
        /// The index.
        path: PathBuf,
        /// By the pack's header.
        in_pack: u32,
        /// By the index.
        in_index: u32,
    },
    /// The packs together hold more than [`PackSet::OBJECTS_MAX`](super::PackSet::OBJECTS_MAX).
    #[error("more than {max} objects in one repository", max = super::PackSet::OBJECTS_MAX)]
    TooManyObjects,
    /// There are [`PackSet::PACKS_MAX`](super::PackSet::PACKS_MAX) packs already.
    #[error("{0} packs in one repository, no more allowed")]
    TooManyPacks(usize),
}

/// Why an object can't be read although its pack lists it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The bytes on disk are not what they should be.
    #[error("pack {pack} is damaged at byte {offset}: {reason}")]
    Damaged {
        /// File name of the index.
        pack: String,
        /// Where the entry begins.
        offset: u64,
        /// What does not fit.
        reason: &'static str,
    },
    /// The object is larger than this reader may hold in memory.
    #[error("object of {size} bytes, at most {max} can be read")]
    TooLarge {
        /// Bytes of the object.
        size: u64,
        /// Bytes allowed.
        max: u64,
    },
    /// A large object can't be built in a file.
    #[error("cannot build a large object in a file: {0}")]
    Scratch(std::io::ErrorKind),
    /// Its trees hold each other so that a walk of all paths would not end in reasonable time.
    #[error("folders hold each other at too many paths for a filter that judges by path")]
    TooManyPaths,
    /// Something refers to an object that is nowhere.
    #[error("object {0} is missing")]
    Missing(ObjectId),
    /// An object is not what another one says it is, or can't be parsed as it.
    #[error("object {id} is not a well-formed {expected}")]
    Malformed {
        /// The object.
        id: ObjectId,
        /// What it ought to be.
        expected: Kind,
    },
}

/// A pack and its index.
pub(crate) struct Pack {
    files: Files,
    object_count: u32,
    by_offset: OnceLock<ByOffset>,
    kinds: OnceLock<Vec<Kind>>,
    /// `None` for all of them.
    shown: Option<Shown>,
}

/// Most deltas between an object and the whole entry it is made from; git writes at most 4,095.
pub(crate) const DELTA_CHAIN_MAX: usize = 4_095;

/// The objects in the order in which they lie.
struct ByOffset {
    offsets: Vec<u64>,
    positions: Vec<u32>,
}

/// The head of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// How the object is stored.
    pub(crate) stored: Stored,
    /// Inflated bytes of the entry: of the object or of the delta.
    pub(crate) size: u64,
    /// First byte of the deflated data in the pack file.
    pub(crate) data_offset: u64,
}

/// Whole or as a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    /// All of it.
    Whole(Kind),
    /// A delta against the entry at this offset of the same pack.
    OffsetDelta(u64),
    /// A delta against this object, which lies in the same pack.
    ReferenceDelta(ObjectId),
}

impl Pack {
    /// Opens the index at this path and the pack beside it.
    pub(crate) fn open(index_path: &Path, format: ObjectFormat) -> Result<Self, OpenError> {
        let files = Files::open(index_path, format.kind())?;
        let (in_pack, in_index) = files.object_counts();
        if in_pack != in_index {
            return Err(OpenError::CountsDiffer {
                path: index_path.to_owned(),
                in_pack,
                in_index,
            });
        }
        Ok(Self {
            files,
            object_count: in_index,
            by_offset: OnceLock::new(),
            kinds: OnceLock::new(),
            shown: Shown::beside(index_path, in_index)?,
        })
    }

    /// The loose objects below an `objects` folder, as if they were a pack.
    pub(crate) fn of_loose_objects(
        objects: &Path,
        format: ObjectFormat,
    ) -> Result<Self, OpenError> {
        let loose = Loose::open(objects, format).map_err(|source| OpenError::Io {
            path: objects.to_owned(),
            source,
        })?;
        Ok(Self {
            object_count: loose.count(),
            files: Files::Loose(loose),
            by_offset: OnceLock::new(),
            kinds: OnceLock::new(),
            shown: None,
        })
    }

    pub(crate) fn index_path(&self) -> &Path {
        self.files.index_path()
    }

    pub(crate) fn object_count(&self) -> u32 {
        self.object_count
    }

    /// Whether the object at this position is there for others than the deltas of this pack.
    pub(crate) fn shows(&self, position: u32) -> bool {
        let shown = self.shown.as_ref();
        shown.is_none_or(|shown| shown.contains(position))
    }

    /// Whether all of its objects are there.
    pub(crate) fn shows_all(&self) -> bool {
        self.shown.is_none()
    }

    /// Position of the object among the sorted ids, whether it is shown or not.
    pub(crate) fn find(&self, id: &oid) -> Option<u32> {
        let count = self.object_count();
        let key = key_of(id);
        #[expect(clippy::cast_possible_truncation, reason = "below a count of 32 bits")]
        let key_at = |at: usize| key_of(self.id_at(at as u32));
        let first = u32::try_from(first_not_below(count as usize, key, key_at)).ok()?;
        (first..count)
            .take_while(|position| key_of(self.id_at(*position)) == key)
            .find(|position| self.id_at(*position) == id)
    }

    pub(crate) fn positions_with_prefix(&self, prefix: &gix_hash::Prefix) -> std::ops::Range<u32> {
        self.files.positions_with_prefix(*prefix)
    }

    pub(crate) fn id_at(&self, position: u32) -> &oid {
        self.files.id_at(position)
    }

    pub(crate) fn offset_at(&self, position: u32) -> u64 {
        self.files.offset_at(position)
    }

    /// These bytes of the pack file.
    pub(crate) fn bytes(&self, range: std::ops::Range<u64>) -> Result<&[u8], ReadError> {
        let start = range.start;
        self.files
            .bytes(range)
            .ok_or_else(|| self.damaged(start, "entry reaches beyond the file"))
    }

    /// Hands these bytes of the file on, in order: a long stretch through a buffer, since what is seen
    /// through a map counts as memory of the process.
    pub(crate) fn pass<E: From<ReadError>>(
        &self,
        range: std::ops::Range<u64>,
        each: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let length = range.end.saturating_sub(range.start);
        let Some(stretch) = self.files.stretch(range.start, length) else {
            return each(self.bytes(range)?);
        };
        let mut buffer = vec![0; STRETCH_BYTES];
        let mut at = range.start;
        while at < range.end {
            let wanted = usize::try_from(range.end - at)
                .map_or(STRETCH_BYTES, |left| left.min(STRETCH_BYTES));
            let piece = &mut buffer[..wanted];
            stretch
                .read(at, piece)
                .map_err(|_| self.damaged(at, "entry reaches beyond the file"))?;
            each(piece)?;
            at += wanted as u64;
        }
        Ok(())
    }

    /// The first byte behind the last entry.
    pub(crate) fn end(&self) -> u64 {
        self.files.end()
    }

    /// Where the entry that begins at `offset` ends, if the one behind it begins at `next`.
    pub(crate) fn entry_end(&self, offset: u64, next: u64) -> u64 {
        self.files.entry_end(offset, next)
    }

    /// Whether entries lie one behind the other, so that several can be taken at once.
    pub(crate) fn is_dense(&self) -> bool {
        self.files.is_dense()
    }

    /// The hash at the end of the file, if all before it is what a pack of all its entries begins with.
    pub(crate) fn trailer(&self) -> Option<ObjectId> {
        self.files.trailer()
    }

    /// Parses the head of the entry that begins at `offset`.
    pub(crate) fn entry(&self, offset: u64) -> Result<Entry, ReadError> {
        /// Longest head: ten bytes of size, then an id or a distance.
        const HEAD_MAX: u64 = 10 + 32;
        let head = self.bytes(offset..self.end().min(offset.saturating_add(HEAD_MAX)))?;
        let parsed = gix_pack::data::Entry::from_bytes(head, offset, self.files.hash())
            .map_err(|_| self.damaged(offset, "entry has no valid head"))?;
        use gix_pack::data::entry::Header;
        let stored = match parsed.header {
            Header::Commit => Stored::Whole(Kind::Commit),
            Header::Tree => Stored::Whole(Kind::Tree),
            Header::Blob => Stored::Whole(Kind::Blob),
            Header::Tag => Stored::Whole(Kind::Tag),
            Header::RefDelta { base_id } => Stored::ReferenceDelta(base_id),
            Header::OfsDelta { base_distance } => Stored::OffsetDelta(
                offset
                    .checked_sub(base_distance)
                    .filter(|base| *base < offset)
                    .ok_or_else(|| self.damaged(offset, "base lies outside of the pack"))?,
            ),
        };
        Ok(Entry {
            stored,
            size: parsed.decompressed_size,
            data_offset: parsed.data_offset,
        })
    }

    /// Where the base of an entry begins, `None` if it is stored whole.
    pub(crate) fn base_offset(&self, offset: u64, entry: &Entry) -> Result<Option<u64>, ReadError> {
        match entry.stored {
            Stored::Whole(_) => Ok(None),
            Stored::OffsetDelta(base) => Ok(Some(base)),
            Stored::ReferenceDelta(id) => {
                let position = self
                    .find(&id)
                    .ok_or_else(|| self.damaged(offset, "base is not in the pack"))?;
                Ok(Some(self.offset_at(position)))
            }
        }
    }

    /// What kind of object the entry at `offset` makes, told by heads of entries alone.
    pub(crate) fn kind(&self, offset: u64) -> Result<Kind, ReadError> {
        let mut at = offset;
        for _ in 0..=DELTA_CHAIN_MAX {
            let entry = self.entry(at)?;
            if let Stored::Whole(kind) = entry.stored {
                return Ok(kind);
            }
            at = self.base_offset(at, &entry)?.unwrap_or(at);
        }
        Err(self.damaged(offset, "chain of deltas is too long"))
    }

    /// The kinds of all objects, in the order of [`Self::offsets`].
    pub(crate) fn kinds(&self) -> Result<&[Kind], ReadError> {
        if let Some(kinds) = self.kinds.get() {
            return Ok(kinds);
        }
        let offsets = self.offsets();
        let mut kinds = Vec::with_capacity(offsets.len());
        for offset in offsets {
            let entry = self.entry(*offset)?;
            kinds.push(match self.base_offset(*offset, &entry)? {
                // Bases lie before what is made from them, but for those that are named by id.
                Some(base) => match offsets[..kinds.len()].binary_search(&base) {
                    Ok(rank) => kinds[rank],
                    Err(_) => self.kind(base)?,
                },
                None => self.kind(*offset)?,
            });
        }
        Ok(self.kinds.get_or_init(|| kinds))
    }

    /// The offsets of all entries, ascending.
    pub(crate) fn offsets(&self) -> &[u64] {
        &self.by_offset().offsets
    }

    /// The positions of all objects, in the order of [`Self::offsets`].
    pub(crate) fn positions(&self) -> &[u32] {
        &self.by_offset().positions
    }

    fn by_offset(&self) -> &ByOffset {
        self.by_offset.get_or_init(|| {
            let mut both: Vec<_> = (0..self.object_count())
                .map(|position| (self.offset_at(position), position))
                .collect();
            sort_by_offset(&mut both);
            ByOffset {
                offsets: both.iter().map(|(offset, _)| *offset).collect(),
                positions: both.iter().map(|(_, position)| *position).collect(),
            }
        })
    }

    pub(crate) fn damaged(&self, offset: u64, reason: &'static str) -> ReadError {
        let name = self.index_path().file_name().unwrap_or_default();
        ReadError::Damaged {
            pack: name.to_string_lossy().into_owned(),
            offset,
            reason,
        }
    }
}

/// Sorts by digits, the last first: for the offsets of a large pack, which are as good as shuffled, some
/// five times as fast as comparing them.
fn sort_by_offset(both: &mut Vec<(u64, u32)>) {
    const DIGIT_BITS: u32 = 11;
    const DIGITS: u64 = 1 << DIGIT_BITS;
    /// Fewer are compared.
    const FEW: usize = 1_000;
    if both.len() < FEW {
        both.sort_unstable();
        return;
    }
    let most = both.iter().map(|(offset, _)| *offset).max().unwrap_or(0);
    let mut sorted = vec![(0, 0); both.len()];
    for shift in (0..u64::BITS - most.leading_zeros()).step_by(DIGIT_BITS as usize) {
        let digit =
            |offset: u64| usize::try_from((offset >> shift) & (DIGITS - 1)).expect("11 bits");
        let mut places = [0; 1 << DIGIT_BITS];
        for (offset, _) in &*both {
            places[digit(*offset)] += 1;
        }
        let mut before = 0;
        for place in &mut places {
            before += std::mem::replace(place, before);
        }
        for pair in &*both {
            let place = &mut places[digit(pair.0)];
            sorted[*place] = *pair;
            *place += 1;
        }
        std::mem::swap(both, &mut sorted);
    }
}

impl fmt::Debug for Pack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Pack").field(&self.index_path()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_sorted_whatever_their_number_and_width() {
        for count in [0, 1, 999, 1_000, 5_000] {
            for shift in [0, 20, 31, 40] {
                let offset = |n: u32| u64::from(n.wrapping_mul(2_654_435_761) % 100_003) << shift;
                let mut both: Vec<_> = (0..count).map(|n| (offset(n), n)).collect();
                let mut expected = both.clone();
                expected.sort_unstable();
                sort_by_offset(&mut both);
                assert_eq!(both, expected, "{count} shifted by {shift}");
            }
        }
    }
}
