//! Where objects were found: what tells which objects are likely to be alike.
//!
//! Bounds: [`Sightings::MAX`] objects are remembered, 16 bytes each; those found later are not.
//! Invariant: an object is remembered once, with the path at which it was found first; the counterpart
//! is an object that the client surely has.
//! Not here: the walk (`enumerate`), what likeness is good for (`delta`).

/// A path shrunk to 32 bits: its last letters weigh most, and what lies more than sixteen from the
/// end does not count, so that files of one name or one suffix sort together.
///
/// git sorts by the same rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct PathHash(u32);

impl PathHash {
    /// Letters from the end that matter.
    const LETTERS: usize = 16;

    /// The top of a tree.
    pub(super) const ROOT: Self = Self(0);

    /// The path of an entry of the folder that this is the path of.
    pub(super) fn join(self, name: &[u8]) -> Self {
        let tail = &name[name.len().saturating_sub(Self::LETTERS)..];
        let step = |hash: u32, letter: &u8| (hash >> 2).wrapping_add(u32::from(*letter) << 24);
        Self(tail.iter().fold(step(self.0, &b'/'), step))
    }
}

/// An object to send and where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sighting {
    pub(super) number: u32,
    pub(super) path: PathHash,
    /// The object that the client has at the same path.
    pub(super) counterpart: Option<u32>,
}

/// Objects to send, in the order in which they were found.
#[derive(Debug, Default)]
pub(super) struct Sightings(Vec<Sighting>);

impl Sightings {
    /// Most objects remembered.
    pub(super) const MAX: usize = 1 << 20;

    pub(super) fn note(&mut self, sighting: Sighting) {
        if self.0.len() < Self::MAX {
            self.0.push(sighting);
        }
    }

    /// Bytes it takes.
    pub(super) fn memory_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Sighting>()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Sighting> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_one_name_sort_together_and_those_of_one_suffix_near() {
        let hash = |path: &str| {
            let names = path.split('/').map(str::as_bytes);
            names.fold(PathHash::ROOT, PathHash::join)
        };
        let deep = "a/long/way/down/into/the/tree/a-rather-long-file-name.txt";
        assert_eq!(hash(deep), hash("elsewhere/a-rather-long-file-name.txt"));
        assert_ne!(hash("src/main.rs"), hash("src/main.rb"));
        assert_ne!(hash("a/x.c"), hash("b/x.c"));
        let mut paths = ["a/x.c", "notes.md", "b/x.c", "y.md", "c/x.h"];
        paths.sort_by_key(|path| hash(path));
        assert_eq!(paths, ["a/x.c", "b/x.c", "c/x.h", "y.md", "notes.md"]);
    }
}
