//! What the objects of a large pack hang on, kept in a file beside it: so a clone of everything is known
//! to be everything without a walk, also the first one after a start.
//!
//! A push learns it on the way, since it looks at all that its objects name. From each object of a pack a
//! way up along those that name it ends at one that no other of the pack names: a *root*. Whoever
//! reaches the roots reaches all.
//!
//! Bounds: packs of [`OBJECTS_MIN`] objects or more have the file, with at most [`IDS_MAX`] ids and
//! [`NEEDS_MAX`] packs in it.
//! Invariant: the file is derived. One that is missing, torn or another pack's counts for nothing, and
//! so does one that needs a pack without such a file.
//! Not here: how it is learnt (`receive`), walks from the roots on (`fetch`).

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsStr,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;

use super::PackSet;
use crate::{git::bits::Bits, model::ObjectId};

/// Packs of fewer objects are walked in less time than it takes to open one more file.
pub(crate) const OBJECTS_MIN: usize = 1_000;

/// Ids in one file.
pub(crate) const IDS_MAX: usize = 200_000;

/// Packs that one pack may need.
pub(crate) const NEEDS_MAX: usize = 64;

/// Bytes that a file of [`IDS_MAX`] ids does not reach.
const FILE_BYTES_MAX: u64 = 32 << 20;

const FIRST_LINE: &str = "packhorse roots 1\n";

/// What is known of the objects of one pack.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Roots {
    /// Objects of the pack that no object of it names.
    pub(crate) roots: BTreeSet<ObjectId>,
    /// Commits and tags of other packs that objects of the pack name.
    pub(crate) named: BTreeSet<ObjectId>,
    /// Names of the packs in which lies what the pack's objects name besides.
    pub(crate) needs: BTreeSet<String>,
}

/// Objects that name none but each other.
#[derive(Debug)]
pub(crate) struct Closed {
    /// Who reaches these reaches all, and they are of them. Sorted.
    pub(crate) tips: Vec<ObjectId>,
    /// All of them.
    pub(crate) objects: Bits,
}

impl Roots {
    /// Where the file lies.
    pub(crate) fn path(index_path: &Path) -> PathBuf {
        index_path.with_extension("roots")
    }

    /// The bytes of the file of this pack.
    pub(crate) fn encode(&self, index_path: &Path) -> Vec<u8> {
        let mut text = format!("{FIRST_LINE}pack {}\n", name_of(index_path));
        let mut line = |word: &str, value: &dyn std::fmt::Display| {
            writeln!(text, "{word} {value}").expect("memory takes all");
        };
        self.roots.iter().for_each(|id| line("root", id));
        self.named.iter().for_each(|id| line("named", id));
        self.needs.iter().for_each(|name| line("needs", name));
        let end = hash_of(text.as_bytes());
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(end.as_ref());
        bytes
    }

    fn decode(bytes: &[u8], index_path: &Path) -> Option<Self> {
        let (text, end) = bytes.split_at_checked(bytes.len().checked_sub(HASH_BYTES)?)?;
        if hash_of(text).as_ref() != end {
            return None;
        }
        let text = std::str::from_utf8(text).ok()?;
        let mut lines = text.strip_prefix(FIRST_LINE)?.lines();
        if lines.next()?.strip_prefix("pack ")? != name_of(index_path) {
            return None;
        }
        let mut read = Self::default();
        for line in lines {
            match line.split_once(' ')? {
                ("root", id) => read.roots.insert(id.parse().ok()?),
                ("named", id) => read.named.insert(id.parse().ok()?),
                ("needs", name) => read.needs.insert(name.to_owned()),
                _ => return None,
            };
        }
        Some(read)
    }

    /// What is known of the pack with this index.
    fn read(index_path: &Path) -> Option<Self> {
        let path = Self::path(index_path);
        let read = || -> io::Result<Vec<u8>> {
            match fs::metadata(&path)?.len() {
                0..=FILE_BYTES_MAX => fs::read(&path),
                _ => Err(io::ErrorKind::FileTooLarge.into()),
            }
        };
        let bytes = match read() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(?path, %error, "cannot read what a pack's objects hang on");
                return None;
            }
        };
        let roots = Self::decode(&bytes, index_path);
        if roots.is_none() {
            tracing::warn!(?path, "a damaged file is of no use: clones are walked");
        }
        roots
    }
}

impl PackSet {
    /// The largest set of objects known to be closed that is made of whole packs, none of them at the places
    /// `left_out`; `None` if there is none.
    pub(crate) fn closed(&self, left_out: &BTreeSet<u32>) -> Option<Closed> {
        if self.has_cuts() {
            return None;
        }
        let mut members = BTreeMap::new();
        for (at, pack) in (0u32..).zip(self.packs()) {
            // Of a borrowed pack only a part is there, whatever its roots reach.
            if pack.object_count() as usize >= OBJECTS_MIN
                && pack.shows_all()
                && !left_out.contains(&at)
                && let Some(roots) = Roots::read(pack.index_path())
            {
                members.insert(name_of(pack.index_path()), roots);
            }
        }
        // One that is dropped may be what another one needs.
        loop {
            let lacks = |roots: &Roots| !roots.needs.iter().all(|name| members.contains_key(name));
            let Some(name) = members.iter().find(|(_, roots)| lacks(roots)) else {
                break;
            };
            let name = name.0.clone();
            members.remove(&name);
        }
        if members.is_empty() {
            return None;
        }
        let mut tips: BTreeSet<ObjectId> = BTreeSet::new();
        tips.extend(members.values().flat_map(|roots| &roots.roots));
        for id in members.values().flat_map(|roots| &roots.named) {
            tips.remove(id);
        }
        let mut objects = Bits::new(self.object_count());
        for (at, pack) in (0u32..).zip(self.packs()) {
            if !members.contains_key(&name_of(pack.index_path())) {
                continue;
            }
            let first = self.first_number(at);
            if at == 0 {
                objects.insert_range(first, first + pack.object_count());
                continue;
            }
            for position in 0..pack.object_count() {
                // It may lie in a pack before this one, too.
                objects.extend(self.number(pack.id_at(position)));
            }
        }
        Some(Closed {
            tips: tips.into_iter().collect(),
            objects,
        })
    }
}

/// The name of a pack without its ending.
pub(crate) fn name_of(index_path: &Path) -> String {
    let stem = index_path.file_stem().unwrap_or_default();
    OsStr::to_string_lossy(stem).into_owned()
}

const HASH_BYTES: usize = 32;

fn hash_of(text: &[u8]) -> digest::Digest {
    digest::digest(&digest::SHA256, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_as_it_was_written_and_not_if_torn_or_another_packs() {
        let id = |byte| ObjectId::from_bytes_or_panic(&[byte; 20]);
        let path = Path::new("/packs/pack-1234.idx");
        assert_eq!(Roots::path(path), Path::new("/packs/pack-1234.roots"));
        let roots = Roots {
            roots: [id(1), id(2)].into(),
            named: [id(3)].into(),
            needs: ["pack-9".to_owned()].into(),
        };
        for roots in [roots, Roots::default()] {
            let bytes = roots.encode(path);
            assert_eq!(Roots::decode(&bytes, path).as_ref(), Some(&roots));
            assert_eq!(
                Roots::decode(&bytes, Path::new("/packs/pack-1235.idx")),
                None
            );
            for length in 0..bytes.len() {
                assert_eq!(Roots::decode(&bytes[..length], path), None, "{length}");
                let mut changed = bytes.clone();
                changed[length] ^= 4;
                assert_eq!(Roots::decode(&changed, path), None, "byte {length}");
            }
        }
    }
}
