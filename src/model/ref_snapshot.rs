//! All refs of one repository at one generation: plain data handed from the store to the engine.
//!
//! Invariant: entries are sorted by name and names are unique, so that prefixes are ranges.

use super::{ObjectId, RefName};

/// One ref and where it points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefEntry {
    /// Full name.
    pub name: RefName,
    /// The object it names.
    pub id: ObjectId,
    /// What an annotated tag finally names; `None` when `id` is no tag.
    pub peeled: Option<ObjectId>,
}

/// The refs of a repository as of one generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefSnapshot {
    generation: u64,
    head: RefName,
    entries: Vec<RefEntry>,
}

impl RefSnapshot {
    /// Takes the refs in any order; a name given twice keeps one of its values.
    pub fn new(generation: u64, head: RefName, mut entries: Vec<RefEntry>) -> Self {
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        entries.dedup_by(|a, b| a.name == b.name);
        Self {
            generation,
            head,
            entries,
        }
    }

    /// Rises with every change of any ref or of HEAD, so equal generations mean equal refs.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The branch that HEAD names; it need not exist yet.
    pub fn head(&self) -> &RefName {
        &self.head
    }

    /// The object that HEAD finally names; `None` while its branch is unborn.
    pub fn head_id(&self) -> Option<ObjectId> {
        self.find(self.head.as_str()).map(|entry| entry.id)
    }

    /// All refs, sorted by name.
    pub fn entries(&self) -> &[RefEntry] {
        &self.entries
    }

    /// The ref of exactly this full name.
    pub fn find(&self, name: &str) -> Option<&RefEntry> {
        let at = self
            .entries
            .binary_search_by(|entry| entry.name.as_str().cmp(name))
            .ok()?;
        self.entries.get(at)
    }

    /// The refs whose names begin with these bytes, found by binary search.
    pub fn with_prefix(&self, prefix: &[u8]) -> &[RefEntry] {
        let start = self
            .entries
            .partition_point(|entry| entry.name.as_str().as_bytes() < prefix);
        let tail = self.entries.get(start..).unwrap_or_default();
        let length =
            tail.partition_point(|entry| entry.name.as_str().as_bytes().starts_with(prefix));
        tail.get(..length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(names: &[&str]) -> RefSnapshot {
        let id = ObjectId::null(gix_hash::Kind::Sha1);
        let entry = |name: &&str| RefEntry {
            name: name.parse().unwrap(),
            id,
            peeled: None,
        };
        let head = RefName::branch("main").unwrap();
        RefSnapshot::new(1, head, names.iter().map(entry).collect())
    }

    #[test]
    fn a_prefix_is_a_range_whatever_the_order_of_insertion() {
        let refs = snapshot(&[
            "refs/tags/v1",
            "refs/heads/b",
            "refs/heads/a",
            "refs/heads/main",
        ]);
        let names = |prefix: &[u8]| -> Vec<_> {
            refs.with_prefix(prefix)
                .iter()
                .map(|entry| entry.name.to_string())
                .collect()
        };
        assert_eq!(
            names(b"refs/heads/"),
            ["refs/heads/a", "refs/heads/b", "refs/heads/main"]
        );
        assert_eq!(names(b"refs/tags/v1"), ["refs/tags/v1"]);
        assert!(names(b"refs/x").is_empty());
        assert_eq!(names(b"").len(), 4);
        assert!(refs.head_id().is_some());
        assert!(refs.find("refs/heads").is_none());
    }
}
