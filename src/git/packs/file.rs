//! A pack file and its index: mapped when they are large, read when they are small.
//!
//! Source: Linux allows a process 65,530 maps (`vm.max_map_count`), and each map takes whole pages.
//! Bounds: [`READ_BYTES_MAX`] of memory for a pair that is read; two maps for one that is not. What is
//! looked at through a map counts as memory, so stretches of [`STRETCH_BYTES_MIN`] are read instead.
//! Invariant: the files never change while open; they may be deleted, the bytes stay.
//! Not here: what the bytes mean (`pack`), and objects that lie in no pack (`loose`).

use std::{
    fs::{self, File},
    io,
    ops::Range,
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
};

use gix_hash::{Kind, ObjectId, oid};
use gix_pack::{data, index};

use super::{OpenError, loose::Loose};

/// Pairs of no more bytes than this are read.
const READ_BYTES_MAX: u64 = 64 << 10;

/// A stretch of a mapped file that is at least so long is read.
const STRETCH_BYTES_MIN: u64 = 1 << 20;

/// The two files of a pack, or what stands for them.
pub(super) enum Files {
    /// Seen through maps.
    Mapped(Mapped, index::File),
    /// In memory.
    Read(data::File<Box<[u8]>>, index::File<Box<[u8]>>),
    /// No files at all, but loose objects.
    Loose(Loose),
}

/// A pack file seen through a map.
pub(super) struct Mapped {
    pack: data::File,
    /// Device and number of the file, which nobody else gets while it is mapped.
    identity: Option<(u64, u64)>,
}

impl Mapped {
    fn open(path: &Path, hash: Kind) -> Result<Self, OpenError> {
        let before = identity(fs::metadata(path));
        let pack = data::File::at(path, hash).map_err(unusable(path))?;
        // Who packs a plain folder anew may have put another file in its place meanwhile.
        let identity = before.filter(|_| before == identity(fs::metadata(path)));
        Ok(Self { pack, identity })
    }

    /// The same file to be read, unless another is in its place by now or none.
    fn file(&self) -> Option<File> {
        let file = File::open(self.pack.path()).ok()?;
        let known = self.identity.is_some() && self.identity == identity(file.metadata());
        known.then_some(file)
    }
}

fn identity(metadata: io::Result<fs::Metadata>) -> Option<(u64, u64)> {
    metadata.ok().map(|file| (file.dev(), file.ino()))
}

/// A file to be read instead of being looked at through a map.
pub(super) struct Stretch {
    /// The file.
    pub(super) file: File,
    /// Where the pack begins in it.
    pub(super) begin: i64,
}

impl Stretch {
    /// Fills `piece` with the bytes at `offset` of the pack.
    pub(super) fn read(&self, offset: u64, piece: &mut [u8]) -> io::Result<()> {
        let at = offset.checked_add_signed(self.begin);
        let at = at.ok_or(io::ErrorKind::UnexpectedEof)?;
        self.file.read_exact_at(piece, at)
    }
}

impl Files {
    /// Opens the index at this path and the pack beside it.
    pub(super) fn open(index_path: &Path, hash: Kind) -> Result<Self, OpenError> {
        let pack_path = &*index_path.with_extension("pack");
        let bytes = length(index_path)?.saturating_add(length(pack_path)?);
        if bytes > READ_BYTES_MAX {
            let index = index::File::at(index_path, hash).map_err(unusable(index_path))?;
            let pack = Mapped::open(pack_path, hash)?;
            return Ok(Self::Mapped(pack, index));
        }
        let index = index::File::from_data(read(index_path)?, index_path.to_owned(), hash)
            .map_err(unusable(index_path))?;
        let pack = data::File::from_data(read(pack_path)?, pack_path.to_owned(), hash)
            .map_err(unusable(pack_path))?;
        Ok(Self::Read(pack, index))
    }

    /// Objects by the head of the pack and by the index.
    pub(super) fn object_counts(&self) -> (u32, u32) {
        match self {
            Self::Mapped(Mapped { pack, .. }, index) => (pack.num_objects(), index.num_objects()),
            Self::Read(pack, index) => (pack.num_objects(), index.num_objects()),
            Self::Loose(loose) => (loose.count(), loose.count()),
        }
    }

    pub(super) fn index_path(&self) -> &Path {
        match self {
            Self::Mapped(_, index) => index.path(),
            Self::Read(_, index) => index.path(),
            Self::Loose(loose) => loose.path(),
        }
    }

    pub(super) fn hash(&self) -> Kind {
        match self {
            Self::Mapped(Mapped { pack, .. }, _) => pack.object_hash(),
            Self::Read(pack, _) => pack.object_hash(),
            Self::Loose(loose) => loose.hash(),
        }
    }

    /// The place behind the last entry.
    pub(super) fn end(&self) -> u64 {
        match self {
            Self::Mapped(Mapped { pack, .. }, _) => pack.pack_end() as u64,
            Self::Read(pack, _) => pack.pack_end() as u64,
            Self::Loose(_) => Loose::end(),
        }
    }

    /// Where the entry that begins at `offset` ends, if the one behind it begins at `next`.
    pub(super) fn entry_end(&self, offset: u64, next: u64) -> u64 {
        match self {
            Self::Mapped(..) | Self::Read(..) => next,
            Self::Loose(loose) => loose.end_of(offset).unwrap_or(next),
        }
    }

    /// Whether entries lie one behind the other without gaps.
    pub(super) fn is_dense(&self) -> bool {
        !matches!(self, Self::Loose(_))
    }

    /// The hash behind the last entry, of a pack that begins as those that are sent do.
    pub(super) fn trailer(&self) -> Option<ObjectId> {
        let (version, trailer) = match self {
            Self::Mapped(mapped, _) => (mapped.pack.version(), mapped.pack.checksum()),
            Self::Read(pack, _) => (pack.version(), pack.checksum()),
            Self::Loose(_) => return None,
        };
        (version == data::Version::V2).then_some(trailer)
    }

    pub(super) fn bytes(&self, range: Range<u64>) -> Option<&[u8]> {
        match self {
            Self::Mapped(Mapped { pack, .. }, _) => pack.entry_slice(range),
            Self::Read(pack, _) => pack.entry_slice(range),
            Self::Loose(loose) => loose.bytes(range),
        }
    }

    /// How to read so many bytes from `start` on, if they had better not be looked at through a map.
    pub(super) fn stretch(&self, start: u64, length: u64) -> Option<Stretch> {
        if length < STRETCH_BYTES_MIN {
            return None;
        }
        match self {
            Self::Mapped(mapped, _) => mapped.file().map(|file| Stretch { file, begin: 0 }),
            Self::Read(..) => None,
            Self::Loose(loose) => loose.stretch(start),
        }
    }

    #[inline]
    pub(super) fn id_at(&self, position: u32) -> &oid {
        match self {
            Self::Mapped(_, index) => index.oid_at_index(position),
            Self::Read(_, index) => index.oid_at_index(position),
            Self::Loose(loose) => loose.id_at(position),
        }
    }

    #[inline]
    pub(super) fn offset_at(&self, position: u32) -> u64 {
        match self {
            Self::Mapped(_, index) => index.pack_offset_at_index(position),
            Self::Read(_, index) => index.pack_offset_at_index(position),
            Self::Loose(_) => Loose::offset_at(position),
        }
    }

    pub(super) fn positions_with_prefix(&self, prefix: gix_hash::Prefix) -> Range<u32> {
        let mut found = 0..0;
        match self {
            Self::Mapped(_, index) => index.lookup_prefix(prefix, Some(&mut found)),
            Self::Read(_, index) => index.lookup_prefix(prefix, Some(&mut found)),
            Self::Loose(loose) => return loose.positions_with_prefix(prefix),
        };
        found
    }
}

fn length(path: &Path) -> Result<u64, OpenError> {
    let file = fs::metadata(path).map_err(unusable(path))?;
    Ok(file.len())
}

fn read(path: &Path) -> Result<Box<[u8]>, OpenError> {
    fs::read(path).map(Into::into).map_err(unusable(path))
}

fn unusable<E: Into<Box<dyn std::error::Error + Send + Sync>>>(
    path: &Path,
) -> impl FnOnce(E) -> OpenError {
    |source| OpenError::Pack {
        path: path.to_owned(),
        source: source.into(),
    }
}

#[cfg(test)]
mod tests {
    use crate::git::{ObjectReader, fixture::Stock};

    /// Attack: a process may hold 65,530 maps; two of them for every small push would exhaust them
    /// with thousands of pushes, and no pack of anybody could be opened any more.
    #[test]
    fn small_packs_take_no_maps_and_large_ones_do() {
        for stock in Stock::each() {
            let stock = stock.with_history(6);
            let mut state = 1u32;
            let mut noise = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0]
            };
            let noise: Vec<u8> = (0..100_000).map(|_| noise()).collect();
            let id = stock.git_with_input(["hash-object", "-w", "--stdin"], &noise);
            stock.git_with_input(["pack-objects", "-q", "objects/pack/pack"], &id);
            let (folder, repository) = stock.opened();
            let packs = repository.packs();
            assert_eq!(packs.pack_count(), 2);
            let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
            let folder = folder.path().to_str().unwrap();
            let mapped = maps.lines().filter(|line| line.contains(folder)).count();
            assert_eq!(mapped, 2, "pack and index of the noise alone");
            let mut reader = ObjectReader::new(packs);
            let mut buffer = Vec::new();
            for id in stock.all_ids() {
                assert!(reader.find(&id, &mut buffer).unwrap().is_some());
            }
        }
    }
}
