//! The entries of trees.
//!
//! Source: git-fsck(1), "FSCK MESSAGES"; names are ordered as if those of trees ended in `/`.
//! Bounds: [`Limits::tree_entries`](super::super::Limits::tree_entries); a name has at most
//! [`NAME_BYTES`].
//! Invariant: of entries that the base has byte for byte only what may be told to the pusher is looked
//! at again, neither their harm nor their link: the base passed before.

use std::cmp::Ordering;

use gix_hash::ObjectId;
use gix_object::Kind;

use super::{Fault, Links, Message, Refusal, Rules, Special, message::shown, names};

/// The longest name that is taken, as git itself has it.
const NAME_BYTES: usize = 4096;

impl Rules {
    /// Checks a tree whose unchanged entries, against `base`, need no check.
    pub(super) fn tree(
        &mut self,
        content: &[u8],
        base: Option<&[u8]>,
        links: &mut impl Links,
    ) -> Result<(), Refusal> {
        let mut entries = Entries::of(content, self.format);
        let mut known = Known(Entries::of(base.unwrap_or_default(), self.format));
        let mut previous: Option<TreeEntry<'_>> = None;
        // Files that a folder further on could have the name of.
        let mut files: Vec<&[u8]> = Vec::new();
        let mut count = 0;
        while let Some(entry) = entries.next_entry()? {
            count += 1;
            if count > self.tree_entries {
                return Err(Refusal::TooManyEntries);
            }
            if let Some(previous) = &previous {
                if previous.name == entry.name {
                    return Err(duplicate(entry.name).into());
                }
                if order(previous, &entry) != Ordering::Less {
                    let text = format!("{} is not where it belongs", show(entry.name));
                    return Err(Fault::new(Message::TreeNotSorted, text).into());
                }
                // Only between `a` and the folder `a` may others come, all beginning with `a`.
                while let Some(file) = files.last()
                    && !entry.name.starts_with(file)
                {
                    files.pop();
                }
                if entry.is_tree() && files.last() == Some(&entry.name) {
                    return Err(duplicate(entry.name).into());
                }
            }
            if !entry.is_tree() {
                files.push(entry.name);
            }
            self.tolerable(&entry)?;
            if !known.contains(&entry) {
                self.entry(&entry, links)?;
            }
            previous = Some(entry);
        }
        Ok(())
    }

    /// Looks for faults that may pass, and are told of each tree anew.
    fn tolerable(&mut self, entry: &TreeEntry<'_>) -> Result<(), Fault> {
        let TreeEntry { mode, name, .. } = *entry;
        if entry.is_padded {
            let text = "contains zero-padded file modes";
            self.raise(Message::ZeroPaddedFilemode, text)?;
        }
        if name.len() > NAME_BYTES {
            let text = "contains excessively large pathname";
            self.raise(Message::LargePathname, text)?;
        }
        match mode {
            TREE | 0o100_644 | 0o100_755 | GITLINK => {}
            SYMLINK => {
                for (is_special, message, text) in SYMLINKS {
                    if is_special(name) {
                        self.raise(message, text)?;
                    }
                }
            }
            _ => self.raise(Message::BadFilemode, "contains bad file modes")?,
        }
        Ok(())
    }

    fn entry(&mut self, entry: &TreeEntry<'_>, links: &mut impl Links) -> Result<(), Fault> {
        let TreeEntry { mode, name, id, .. } = *entry;
        let id = ObjectId::from_bytes_or_panic(id);
        if id.is_null() {
            let text = format!("{} names no object", show(name));
            self.raise(Message::NullSha1, text)?;
        }
        if name.contains(&b'/') {
            let text = format!("the name {} contains a slash", show(name));
            self.raise(Message::FullPathname, text)?;
        }
        match name {
            b"." => self.raise(Message::HasDot, "an entry is called .")?,
            b".." => self.raise(Message::HasDotdot, "an entry is called ..")?,
            _ if names::is_dotgit(name) => {
                let text = format!("the name {} stands for .git", show(name));
                self.raise(Message::HasDotgit, text)?;
            }
            _ => {}
        }
        let kind = match mode & FILE_TYPE {
            TREE => Some(Kind::Tree),
            FILE | SYMLINK => Some(Kind::Blob),
            GITLINK => None,
            _ => {
                let text = format!("the mode {mode:o} of {} is unknown", show(name));
                return Err(Fault::new(Message::BadFilemode, text));
            }
        };
        if names::is_gitmodules(name) {
            if mode & FILE_TYPE == SYMLINK {
                let text = "a symbolic link stands for .gitmodules";
                self.raise(Message::GitmodulesSymlink, text)?;
            } else if kind != Some(Kind::Blob) {
                self.raise(Message::GitmodulesBlob, ".gitmodules is not a file")?;
            } else {
                links.special(id, Special::Gitmodules);
            }
        }
        if names::is_gitattributes(name) && mode & FILE_TYPE != SYMLINK {
            if kind == Some(Kind::Blob) {
                links.special(id, Special::Gitattributes);
            } else {
                self.raise(Message::GitattributesBlob, ".gitattributes is not a file")?;
            }
        }
        if let Some(kind) = kind {
            links.link(id, kind);
        }
        Ok(())
    }
}

/// Whether a name is that of some file of git's.
type NameRule = fn(&[u8]) -> bool;

/// What a symbolic link in place of one of git's own files is called.
const SYMLINKS: [(NameRule, Message, &str); 3] = [
    (
        names::is_gitattributes,
        Message::GitattributesSymlink,
        ".gitattributes is a symlink",
    ),
    (
        names::is_gitignore,
        Message::GitignoreSymlink,
        ".gitignore is a symlink",
    ),
    (
        names::is_mailmap,
        Message::MailmapSymlink,
        ".mailmap is a symlink",
    ),
];

const FILE_TYPE: u32 = 0o170_000;
const TREE: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const SYMLINK: u32 = 0o120_000;
const GITLINK: u32 = 0o160_000;

#[derive(Clone, Copy)]
struct TreeEntry<'a> {
    mode: u32,
    is_padded: bool,
    name: &'a [u8],
    id: &'a [u8],
    /// All of it.
    bytes: &'a [u8],
}

impl TreeEntry<'_> {
    fn is_tree(&self) -> bool {
        self.mode & FILE_TYPE == TREE
    }
}

struct Entries<'a> {
    rest: &'a [u8],
    id_bytes: usize,
}

impl<'a> Entries<'a> {
    fn of(content: &'a [u8], format: gix_hash::Kind) -> Self {
        Self {
            rest: content,
            id_bytes: format.len_in_bytes(),
        }
    }

    fn next_entry(&mut self) -> Result<Option<TreeEntry<'a>>, Fault> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let bad = |text| Fault::new(Message::BadTree, text);
        let (mut mode, mut digits) = (0_u32, 0);
        for byte in self.rest {
            match byte {
                b'0'..=b'7' if mode < 1 << 18 => mode = mode << 3 | u32::from(byte - b'0'),
                b' ' if digits > 0 => break,
                _ => return Err(bad("an entry without a mode")),
            }
            digits += 1;
        }
        let rest = self.rest.get(digits + 1..).unwrap_or_default();
        let length = memchr::memchr(0, rest).ok_or_else(|| bad("an entry cut off"))?;
        let (name, rest) = rest.split_at(length);
        if name.is_empty() {
            return Err(bad("an entry without a name"));
        }
        let (id, rest) = rest[1..]
            .split_at_checked(self.id_bytes)
            .ok_or_else(|| bad("an entry cut off"))?;
        let entry = TreeEntry {
            mode,
            is_padded: self.rest[0] == b'0',
            name,
            id,
            bytes: &self.rest[..self.rest.len() - rest.len()],
        };
        self.rest = rest;
        Ok(Some(entry))
    }
}

/// The entries of the base, passed once, beside those of the tree.
struct Known<'a>(Entries<'a>);

impl Known<'_> {
    /// Whether the base has exactly this entry; asked in order, it is answered in linear time. A
    /// base that cannot be read on knows nothing more.
    fn contains(&mut self, entry: &TreeEntry<'_>) -> bool {
        loop {
            // Nearly always the next one, which need not be taken apart then: what begins where an
            // entry does, with the bytes of one, is one.
            if let Some(rest) = self.0.rest.strip_prefix(entry.bytes) {
                self.0.rest = rest;
                return true;
            }
            let rest = self.0.rest;
            match self.0.next_entry() {
                Ok(Some(known)) if order(&known, entry) != Ordering::Greater => {}
                _ => {
                    self.0.rest = rest;
                    return false;
                }
            }
        }
    }
}

fn order(one: &TreeEntry<'_>, other: &TreeEntry<'_>) -> Ordering {
    let shared = one.name.len().min(other.name.len());
    let end = |entry: &TreeEntry<'_>| match entry.name.get(shared) {
        Some(byte) => *byte,
        None if entry.is_tree() => b'/',
        None => 0,
    };
    one.name[..shared]
        .cmp(&other.name[..shared])
        .then_with(|| end(one).cmp(&end(other)))
}

fn duplicate(name: &[u8]) -> Fault {
    let text = format!("the name {} appears twice", show(name));
    Fault::new(Message::DuplicateEntries, text)
}

fn show(name: &[u8]) -> String {
    format!("\"{}\"", shown(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::receive::check::Strictness;

    #[derive(Default)]
    struct Found(Vec<(u8, Kind)>, Vec<Special>);

    impl Links for Found {
        fn link(&mut self, id: ObjectId, kind: Kind) {
            self.0.push((id.as_slice()[0], kind));
        }
        fn special(&mut self, _: ObjectId, special: Special) {
            self.1.push(special);
        }
    }

    fn tree(entries: &[(&str, &str, u8)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (mode, name, id) in entries {
            bytes.extend_from_slice(format!("{mode} {name}\0").as_bytes());
            bytes.extend([*id; 20]);
        }
        bytes
    }

    fn rules() -> Rules {
        Rules::new(gix_hash::Kind::Sha1, Strictness::strict(), 5)
    }

    #[track_caller]
    fn check(entries: &[(&str, &str, u8)], expected: Result<(), Message>) {
        let found = rules()
            .tree(&tree(entries), None, &mut Found::default())
            .map_err(|refusal| match refusal {
                Refusal::Fault(fault) => fault.message,
                Refusal::TooManyEntries => panic!("{entries:?}"),
            });
        assert_eq!(found, expected, "{entries:?}");
    }

    #[test]
    fn entries_are_ordered_with_folders_as_if_they_ended_in_a_slash() {
        check(&[("100644", "a.c", 1), ("40000", "a", 2)], Ok(()));
        check(&[("100644", "a", 1), ("100644", "a.c", 2)], Ok(()));
        let wrong = Err(Message::TreeNotSorted);
        check(&[("40000", "a", 1), ("100644", "a.c", 2)], wrong);
        check(&[("100644", "b", 1), ("100644", "a", 2)], wrong);
    }

    #[test]
    fn a_name_appears_once_even_where_others_come_between() {
        let twice = Err(Message::DuplicateEntries);
        check(&[("100644", "a", 1), ("100755", "a", 2)], twice);
        check(&[("100644", "a", 1), ("40000", "a", 2)], twice);
        let between = [
            ("100644", "foo", 1),
            ("100644", "foo.bar", 1),
            ("100644", "foo.bar.baz", 1),
            ("40000", "foo.bar", 1),
        ];
        check(&between, twice);
        check(&between[..3], Ok(()));
        check(&[between[0], between[1], ("40000", "foo", 1)], twice);
    }

    #[test]
    fn modes_and_names_that_harm_are_refused() {
        check(&[("100664", "a", 1)], Ok(()));
        check(&[("160000", "a", 1)], Ok(()));
        check(&[("040000", "a", 1)], Err(Message::ZeroPaddedFilemode));
        check(&[("110000", "a", 1)], Err(Message::BadFilemode));
        check(&[("10000000", "a", 1)], Err(Message::BadTree));
        check(&[("", "a", 1)], Err(Message::BadTree));
        check(&[("100648", "a", 1)], Err(Message::BadTree));
        check(&[("100644", "", 1)], Err(Message::BadTree));
        check(&[("100644", "a", 0)], Err(Message::NullSha1));
        check(&[("100644", "a/b", 1)], Err(Message::FullPathname));
        check(&[("40000", ".", 1)], Err(Message::HasDot));
        check(&[("40000", "..", 1)], Err(Message::HasDotdot));
        check(&[("40000", ".GIT", 1)], Err(Message::HasDotgit));
        check(
            &[("120000", ".gitmodules", 1)],
            Err(Message::GitmodulesSymlink),
        );
        check(&[("40000", ".gitmodules", 1)], Err(Message::GitmodulesBlob));
        let long = "x".repeat(4097);
        check(&[("100644", &long[1..], 1)], Ok(()));
        check(&[("100644", &long, 1)], Err(Message::LargePathname));
    }

    #[test]
    fn a_tree_cut_anywhere_but_between_entries_is_refused() {
        let bytes = tree(&[("100644", "a", 1), ("40000", "b", 2)]);
        let first = tree(&[("100644", "a", 1)]).len();
        for length in 0..bytes.len() {
            let passed = rules().tree(&bytes[..length], None, &mut Found::default());
            assert_eq!(passed.is_ok(), length == 0 || length == first, "{length}");
        }
    }

    #[test]
    fn the_number_of_entries_is_limited() {
        let names = ["a", "b", "c", "d", "e", "f"];
        let entries = names.map(|name| ("100644", name, 1));
        check(&entries[..5], Ok(()));
        let too_many = rules().tree(&tree(&entries), None, &mut Found::default());
        assert_eq!(too_many, Err(Refusal::TooManyEntries));
    }

    #[test]
    fn only_entries_that_the_base_lacks_are_linked() {
        let base = tree(&[("100644", "a", 1), ("100644", "b", 2), ("40000", "d", 4)]);
        let next = [
            ("100644", "a", 1),
            ("100755", "b", 2),
            ("100644", "c", 3),
            ("40000", "d", 5),
        ];
        let mut found = Found::default();
        rules().tree(&tree(&next), Some(&base), &mut found).unwrap();
        assert_eq!(found.0, [(2, Kind::Blob), (3, Kind::Blob), (5, Kind::Tree)]);
        // A base that ends alike but is cut elsewhere into entries knows none of them.
        let mut shifted = b"100644 x".to_vec();
        shifted.extend(tree(&next));
        let mut found = Found::default();
        rules()
            .tree(&tree(&next), Some(&shifted), &mut found)
            .unwrap();
        assert!(found.0.contains(&(1, Kind::Blob)));
    }

    #[test]
    fn names_with_a_meaning_are_told() {
        let mut found = Found::default();
        let entries = [
            ("100644", ".gitattributes", 1),
            ("100644", ".gitmodules", 2),
        ];
        rules().tree(&tree(&entries), None, &mut found).unwrap();
        assert_eq!(found.1, [Special::Gitattributes, Special::Gitmodules]);
    }
}
