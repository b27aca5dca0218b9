//! The remotes that one repository has: its own, that of its ephemeral branches, one to import into.
//!
//! Source: gitnamespaces(7); Code Storage API, "Ephemeral branches". The second remote is what
//! `GIT_NAMESPACE=ephemeral` makes of the first, but for HEAD, which names the default branch there too.
//! Invariant: a remote shows and moves the refs of its namespace and no others, and what it doesn't
//! show can't be reached through it.
//! Not here: who may (`policy`).

use std::sync::Arc;

use crate::model::{RefEntry, RefName, RefSnapshot};

/// Refs below this are another namespace's, whatever the remote.
pub(super) const NAMESPACES: &str = "refs/namespaces/";

/// Which of a repository's remotes a Git URL names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Remote {
    /// `novel.git`
    Ordinary,
    /// `novel+ephemeral.git`: Git's namespace `ephemeral`, over the same objects.
    Ephemeral,
    /// `novel+import.git`: the ordinary refs, but nothing is fetched from it.
    Import,
}

impl Remote {
    /// Takes the suffix that says which from the path of a repository, which holds no `.git` any more.
    pub(super) fn of(path: &str) -> (&str, Self) {
        if let Some(path) = path.strip_suffix("+ephemeral") {
            return (path, Self::Ephemeral);
        }
        match path.strip_suffix("+import") {
            Some(path) => (path, Self::Import),
            None => (path, Self::Ordinary),
        }
    }

    /// The refs as this remote shows them, of all that there are.
    pub(super) fn shows(self, all: &Arc<RefSnapshot>) -> Arc<RefSnapshot> {
        let entries = match self {
            Self::Ordinary | Self::Import => {
                let hidden = all.with_prefix(NAMESPACES.as_bytes());
                if hidden.is_empty() {
                    return Arc::clone(all);
                }
                let entries = all.entries().iter();
                let kept = entries.filter(|entry| !entry.name.as_str().starts_with(NAMESPACES));
                kept.cloned().collect()
            }
            Self::Ephemeral => {
                let inside = all.with_prefix(RefName::EPHEMERAL.as_bytes()).iter();
                inside.filter_map(seen_from_inside).collect()
            }
        };
        let (generation, head) = (all.generation(), all.head().clone());
        Arc::new(RefSnapshot::new(generation, head, entries))
    }

    /// The full name of the ref that a pusher calls by this name, or why there is none.
    pub(super) fn full_name(self, name: &[u8]) -> Result<RefName, String> {
        let name = RefName::from_bytes(name).map_err(|error| error.to_string())?;
        if name.as_str().starts_with(NAMESPACES) {
            return Err(format!("refs below {NAMESPACES} can't be pushed"));
        }
        match self {
            Self::Ordinary | Self::Import => Ok(name),
            Self::Ephemeral => name.ephemeral().map_err(|error| error.to_string()),
        }
    }
}

/// A ref of a namespace by the name it has there; those of a namespace inside are not seen.
fn seen_from_inside(entry: &RefEntry) -> Option<RefEntry> {
    let name: RefName = entry.name.local().parse().ok()?;
    (!name.as_str().starts_with(NAMESPACES)).then(|| RefEntry {
        name,
        ..entry.clone()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ObjectId;

    fn snapshot(names: &[&str]) -> Arc<RefSnapshot> {
        let entry = |name: &&str| RefEntry {
            name: name.parse().unwrap(),
            id: ObjectId::null(gix_hash::Kind::Sha1),
            peeled: None,
        };
        let head = RefName::branch("main").unwrap();
        Arc::new(RefSnapshot::new(7, head, names.iter().map(entry).collect()))
    }

    fn names(refs: &RefSnapshot) -> Vec<&str> {
        let entries = refs.entries().iter();
        entries.map(|entry| entry.name.as_str()).collect()
    }

    #[test]
    fn the_suffix_says_which_remote_is_meant() {
        for (path, expected) in [
            ("a/b", ("a/b", Remote::Ordinary)),
            ("a/b+ephemeral", ("a/b", Remote::Ephemeral)),
            ("a/b+import", ("a/b", Remote::Import)),
            ("a/b+ephemeral+import", ("a/b+ephemeral", Remote::Import)),
            ("a/b+else", ("a/b+else", Remote::Ordinary)),
        ] {
            assert_eq!(Remote::of(path), expected, "{path}");
        }
    }

    #[test]
    fn each_remote_shows_the_refs_of_its_namespace_by_their_names_there() {
        let all = snapshot(&[
            "refs/heads/main",
            "refs/namespaces/ephemeral/refs/heads/main",
            "refs/namespaces/ephemeral/refs/tags/v1",
            "refs/namespaces/ephemeral/refs/namespaces/deep/refs/heads/x",
            "refs/namespaces/other/refs/heads/y",
            "refs/tags/v2",
        ]);
        let ordinary = ["refs/heads/main", "refs/tags/v2"];
        assert_eq!(names(&Remote::Ordinary.shows(&all)), ordinary);
        assert_eq!(names(&Remote::Import.shows(&all)), ordinary);
        let ephemeral = Remote::Ephemeral.shows(&all);
        assert_eq!(names(&ephemeral), ["refs/heads/main", "refs/tags/v1"]);
        assert_eq!(ephemeral.generation(), 7);
        assert!(ephemeral.head_id().is_some());
        let plain = snapshot(&["refs/heads/main"]);
        assert!(Arc::ptr_eq(&Remote::Ordinary.shows(&plain), &plain));
        let without = Remote::Ephemeral.shows(&plain);
        assert!(without.head_id().is_none() && names(&without).is_empty());
    }

    #[test]
    fn a_pushed_name_stays_in_its_namespace() {
        let full = |remote: Remote, name: &str| remote.full_name(name.as_bytes()).map(String::from);
        assert_eq!(
            full(Remote::Ephemeral, "refs/heads/x").unwrap(),
            "refs/namespaces/ephemeral/refs/heads/x"
        );
        for remote in [Remote::Ordinary, Remote::Import] {
            assert_eq!(full(remote, "refs/heads/x").unwrap(), "refs/heads/x");
        }
        for remote in [Remote::Ordinary, Remote::Ephemeral, Remote::Import] {
            for name in [
                "refs/namespaces/ephemeral/refs/heads/x",
                "HEAD",
                "refs/heads/a..b",
            ] {
                assert!(full(remote, name).is_err(), "{remote:?} {name}");
            }
        }
    }
}
