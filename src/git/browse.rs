//! Looks at commits, trees and files for those who don't speak the Git protocol.
//!
//! Source: gitrevisions(7) for the order in which names are tried; git-log(1), git-ls-tree(1).
//! Bounds: every list takes a limit; trees are at most [`TREE_DEPTH_MAX`] deep.
//! Invariant: nothing here tells whether a caller may see an object; an id given by a caller must be
//! found visible (`fetch::refused`) before its content is shown.
//! Not here: rendering (`api`), what differs between two trees.

use std::{ops::ControlFlow, sync::Arc};

use gix_hash::oid;
use gix_object::{Kind, TreeRefIter};

pub(crate) use super::history::BasesError;
use super::{
    commit,
    history::{ByTime, History},
    packs::{Content, PackSet, ReadError},
};
use crate::model::{ObjectId, RefSnapshot};

/// Folders within folders that a listing enters.
pub const TREE_DEPTH_MAX: usize = 4_096;

/// Who did something, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    /// Name as it stands in the commit; not always UTF-8.
    pub name: Vec<u8>,
    /// Mail address as it stands in the commit.
    pub email: Vec<u8>,
    /// Seconds since 1970.
    pub seconds: i64,
    /// Seconds east of UTC.
    pub offset_seconds: i32,
}

/// A commit with all that its header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitDetail {
    /// Its id.
    pub id: ObjectId,
    /// Id of its tree.
    pub tree: ObjectId,
    /// Ids of its parents, the first one first.
    pub parents: Vec<ObjectId>,
    /// Who wrote the change.
    pub author: Signature,
    /// Who made the commit.
    pub committer: Signature,
    /// The message, from the first byte behind the header.
    pub message: Vec<u8>,
    /// The whole object, for those who check signatures.
    pub raw: Vec<u8>,
}

/// What a tree lists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeEntry {
    /// From the root of the listing, segments joined by `/`.
    pub path: Vec<u8>,
    /// As git stores it: 0o100644, 0o100755, 0o120000, 0o040000 or 0o160000.
    pub mode: u32,
    /// Blob, tree, or commit for a submodule.
    pub kind: Kind,
    /// What it names; for a submodule, a commit of another repository.
    pub id: ObjectId,
}

/// A listing, perhaps not to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// In git's order, folders before what they hold.
    pub entries: Vec<TreeEntry>,
    /// Whether the limit left something out.
    pub truncated: bool,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolved {
    /// The object that a ref names.
    Ref(ObjectId),
    /// An object given by its id or the beginning of it; perhaps no ref reaches it.
    Id(ObjectId),
}

impl Resolved {
    /// The object, however it was named.
    pub fn id(self) -> ObjectId {
        match self {
            Self::Ref(id) | Self::Id(id) => id,
        }
    }
}

/// Is told a path and whether a folder is there: breaks when it found what it wants, else says whether
/// to enter the folder.
pub type Look<'a> = &'a mut dyn FnMut(&[u8], bool) -> ControlFlow<(), bool>;

/// Looks into one snapshot of packs.
pub struct Browser {
    history: History,
    buffer: Vec<u8>,
}

impl Browser {
    /// Looks into these packs.
    pub fn new(packs: Arc<PackSet>) -> Self {
        Self {
            history: History::new(packs),
            buffer: Vec::new(),
        }
    }

    /// What a name stands for: `HEAD`, a full ref, a branch, a tag, an id or the unambiguous beginning
    /// of one, tried in this order.
    pub fn resolve(&self, refs: &RefSnapshot, name: &str) -> Option<Resolved> {
        if name == "HEAD" {
            return refs.head_id().map(Resolved::Ref);
        }
        let named = ["", "refs/heads/", "refs/tags/"]
            .iter()
            .find_map(|prefix| refs.find(&format!("{prefix}{name}")));
        if let Some(entry) = named {
            return Some(Resolved::Ref(entry.id));
        }
        let packs = self.history.packs();
        if let Ok(id) = ObjectId::from_hex(name.as_bytes()) {
            return packs.contains(&id).then_some(Resolved::Id(id));
        }
        // What is longer than an id is the beginning of none.
        if name.len() > packs.format().kind().len_in_hex() {
            return None;
        }
        let prefix = gix_hash::Prefix::from_hex(name).ok()?;
        match packs.with_prefix(&prefix, 2)[..] {
            [id] => Some(Resolved::Id(id)),
            _ => None,
        }
    }

    /// Follows tags to what they name in the end.
    ///
    /// # Errors
    /// When an object is missing or damaged.
    pub fn peel(&mut self, id: &oid) -> Result<(ObjectId, Kind), ReadError> {
        let number = self.number(id)?;
        let (number, kind) = self.history.peel(number, &mut Vec::new())?;
        Ok((self.history.packs().id_of(number).to_owned(), kind))
    }

    /// The tree of a commit, of a tag of one, or the tree itself; `None` for what has no tree.
    ///
    /// # Errors
    /// When an object is missing or damaged.
    pub fn tree_of(&mut self, id: &oid) -> Result<Option<ObjectId>, ReadError> {
        match self.peel(id)? {
            (id, Kind::Tree) => Ok(Some(id)),
            (id, Kind::Commit) => {
                let commit = self.history.commit_of_id(&id)?;
                let tree = self.history.tree(commit);
                Ok(Some(self.history.packs().id_of(tree).to_owned()))
            }
            _ => Ok(None),
        }
    }

    /// One commit.
    ///
    /// # Errors
    /// When it is missing, damaged or no commit.
    pub fn commit(&mut self, id: &oid) -> Result<CommitDetail, ReadError> {
        let malformed = || ReadError::Malformed {
            id: id.to_owned(),
            expected: Kind::Commit,
        };
        let data = self.history.reader().require(id, &mut self.buffer)?;
        if data.kind != Kind::Commit {
            return Err(malformed());
        }
        let commit = commit::Parts::of(data.data, data.object_hash).ok_or_else(malformed)?;
        let signature = |raw: &[u8]| signature(raw).ok_or_else(malformed);
        Ok(CommitDetail {
            id: id.to_owned(),
            tree: commit.tree,
            parents: commit.parents,
            author: signature(commit.author)?,
            committer: signature(commit.committer)?,
            message: commit.message.to_vec(),
            raw: data.data.to_vec(),
        })
    }

    /// The commits that `tip` reaches, newest first, at most `limit` after the first `skip`.
    ///
    /// # Errors
    /// When a commit is missing or damaged.
    pub fn commits(
        &mut self,
        tip: &oid,
        skip: usize,
        limit: usize,
    ) -> Result<Vec<CommitDetail>, ReadError> {
        let tip = self.history.commit_of_id(tip)?;
        let mut queue = ByTime::default();
        let mut seen = std::collections::HashSet::from([tip]);
        queue.push(&self.history, tip);
        let mut passed = 0;
        let mut found = Vec::new();
        while found.len() < limit {
            let Some(commit) = queue.pop() else {
                break;
            };
            if passed < skip {
                passed += 1;
            } else {
                let id = self.history.id(commit);
                found.push(self.commit(&id)?);
            }
            for at in 0..self.history.parent_count(commit) {
                let parent = self.history.parent(commit, at)?;
                if seen.insert(parent) {
                    queue.push(&self.history, parent);
                }
            }
        }
        Ok(found)
    }

    /// What a tree lists, at most `limit` entries of it; with `recursive`, what its folders list, too.
    ///
    /// # Errors
    /// When a tree is missing or damaged, or folders are more than [`TREE_DEPTH_MAX`] deep.
    pub fn list(
        &mut self,
        tree: &oid,
        recursive: bool,
        limit: usize,
    ) -> Result<Listing, ReadError> {
        let mut listing = Listing {
            entries: Vec::new(),
            truncated: false,
        };
        // Entries still to be listed, the next one last.
        let mut todo = self.entries(tree, b"")?;
        todo.reverse();
        while let Some(entry) = todo.pop() {
            if listing.entries.len() >= limit {
                listing.truncated = true;
                break;
            }
            if recursive && entry.kind == Kind::Tree {
                if entry.path.iter().filter(|byte| **byte == b'/').count() >= TREE_DEPTH_MAX {
                    return Err(ReadError::Malformed {
                        id: entry.id,
                        expected: Kind::Tree,
                    });
                }
                let mut prefix = entry.path.clone();
                prefix.push(b'/');
                let inner = self.entries(&entry.id, &prefix)?;
                todo.extend(inner.into_iter().rev());
            }
            listing.entries.push(entry);
        }
        Ok(listing)
    }

    /// What lies at a path below a tree; `None` if nothing does.
    ///
    /// # Errors
    /// When a tree is missing or damaged.
    pub fn at_path(&mut self, tree: &oid, path: &[u8]) -> Result<Option<TreeEntry>, ReadError> {
        let mut tree = tree.to_owned();
        let mut segments = path.split(|byte| *byte == b'/').peekable();
        while let Some(segment) = segments.next() {
            let found = self.entry_named(&tree, segment)?;
            let Some((mode, kind, id)) = found else {
                return Ok(None);
            };
            if segments.peek().is_none() {
                let path = path.to_vec();
                return Ok(Some(TreeEntry {
                    path,
                    mode,
                    kind,
                    id,
                }));
            }
            if kind != Kind::Tree {
                return Ok(None);
            }
            tree = id;
        }
        Ok(None)
    }

    /// The bytes of a blob.
    ///
    /// # Errors
    /// When it is missing, damaged, no blob, or of more than `bytes_max` bytes.
    pub fn blob(&mut self, id: &oid, bytes_max: u64) -> Result<Vec<u8>, ReadError> {
        let size = self.blob_size(id)?;
        if size > bytes_max {
            return Err(ReadError::TooLarge {
                size,
                max: bytes_max,
            });
        }
        let mut bytes = Vec::new();
        self.history.reader().require(id, &mut bytes)?;
        Ok(bytes)
    }

    /// The bytes of a blob: in memory up to `held_max`, else in a file.
    ///
    /// # Errors
    /// When it is missing, damaged, no blob, or the file can't be written.
    pub fn content(&mut self, id: &oid, held_max: u64) -> Result<Content, ReadError> {
        self.blob_size(id)?;
        let location = self.history.packs().location_of(self.number(id)?);
        self.history.reader().content(location, held_max)
    }

    /// How many bytes a blob has, without reading them.
    ///
    /// # Errors
    /// When it is missing, damaged or no blob.
    pub fn blob_size(&mut self, id: &oid) -> Result<u64, ReadError> {
        let location = self.history.packs().location_of(self.number(id)?);
        let reader = self.history.reader();
        if reader.kind_at(location)? != Kind::Blob {
            return Err(ReadError::Malformed {
                id: id.to_owned(),
                expected: Kind::Blob,
            });
        }
        reader.size_at(location)
    }

    /// Whether `descendant` is `ancestor` or reaches it: whether moving a ref from `ancestor` to it is a
    /// fast-forward.
    ///
    /// # Errors
    /// When one of them is missing, damaged or no commit.
    pub fn is_ancestor(&mut self, ancestor: &oid, descendant: &oid) -> Result<bool, ReadError> {
        let ancestor = self.history.commit_of_id(ancestor)?;
        let descendant = self.history.commit_of_id(descendant)?;
        self.history.is_ancestor(ancestor, descendant)
    }

    /// The best common ancestor of two commits, the newest if there are several.
    ///
    /// # Errors
    /// When one of them is missing, damaged or no commit, or there are too many common ancestors.
    pub(crate) fn merge_base(
        &mut self,
        one: &oid,
        other: &oid,
    ) -> Result<Option<ObjectId>, BasesError> {
        let one = self.history.commit_of_id(one)?;
        let other = self.history.commit_of_id(other)?;
        let bases = self.history.merge_bases(&[one], &[other])?;
        Ok(bases.first().map(|base| self.history.id(*base)))
    }

    fn number(&self, id: &oid) -> Result<u32, ReadError> {
        let number = self.history.packs().number(id);
        number.ok_or_else(|| ReadError::Missing(id.to_owned()))
    }

    /// Looks at what a tree holds, depth first, until `look` finds what it wants; it says of each path
    /// whether the folder there is to be entered. Answers whether it found it.
    ///
    /// # Errors
    /// When a tree is missing or damaged, or folders are more than [`TREE_DEPTH_MAX`] deep.
    pub fn any(&mut self, tree: &oid, look: Look<'_>) -> Result<bool, ReadError> {
        let mut todo = self.entries(tree, b"")?;
        while let Some(entry) = todo.pop() {
            let is_folder = entry.kind == Kind::Tree;
            match look(&entry.path, is_folder) {
                ControlFlow::Break(()) => return Ok(true),
                ControlFlow::Continue(false) => continue,
                ControlFlow::Continue(true) => {}
            }
            if is_folder {
                let depth = entry.path.iter().filter(|byte| **byte == b'/').count();
                if depth >= TREE_DEPTH_MAX {
                    return Err(ReadError::Malformed {
                        id: entry.id,
                        expected: Kind::Tree,
                    });
                }
                let prefix = [&*entry.path, b"/"].concat();
                todo.extend(self.entries(&entry.id, &prefix)?);
            }
        }
        Ok(false)
    }

    pub(super) fn entries(
        &mut self,
        tree: &oid,
        prefix: &[u8],
    ) -> Result<Vec<TreeEntry>, ReadError> {
        let mut found = Vec::new();
        self.each_entry(tree, |name, mode, kind, id| {
            let path = [prefix, name].concat();
            let id = id.to_owned();
            found.push(TreeEntry {
                path,
                mode,
                kind,
                id,
            });
        })?;
        Ok(found)
    }

    fn entry_named(
        &mut self,
        tree: &oid,
        wanted: &[u8],
    ) -> Result<Option<(u32, Kind, ObjectId)>, ReadError> {
        let mut found = None;
        self.each_entry(tree, |name, mode, kind, id| {
            if name == wanted {
                found = Some((mode, kind, id.to_owned()));
            }
        })?;
        Ok(found)
    }

    pub(super) fn each_entry(
        &mut self,
        tree: &oid,
        mut take: impl FnMut(&[u8], u32, Kind, &oid),
    ) -> Result<(), ReadError> {
        let malformed = || ReadError::Malformed {
            id: tree.to_owned(),
            expected: Kind::Tree,
        };
        let data = self.history.reader().require(tree, &mut self.buffer)?;
        if data.kind != Kind::Tree {
            return Err(malformed());
        }
        for entry in TreeRefIter::from_bytes(data.data, data.object_hash) {
            let entry = entry.map_err(|_| malformed())?;
            let kind = match entry.mode.kind() {
                gix_object::tree::EntryKind::Tree => Kind::Tree,
                gix_object::tree::EntryKind::Commit => Kind::Commit,
                _ => Kind::Blob,
            };
            take(entry.filename, entry.mode.value().into(), kind, entry.oid);
        }
        Ok(())
    }
}

/// Parses `Name <email> seconds zone`, with the same patience for odd ones as git has.
fn signature(raw: &[u8]) -> Option<Signature> {
    let open = raw.iter().position(|byte| *byte == b'<')?;
    let close = raw.iter().rposition(|byte| *byte == b'>')?;
    let email = raw.get(open + 1..close)?;
    let mut words = raw[close + 1..]
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty());
    let mut number = || std::str::from_utf8(words.next()?).ok()?.parse::<i64>().ok();
    let seconds = number().unwrap_or(0);
    // `+0130` is an hour and a half.
    let zone = number().filter(|zone| zone.abs() < 10_000).unwrap_or(0);
    let offset = zone / 100 * 3600 + zone % 100 * 60;
    Some(Signature {
        name: raw[..open].trim_ascii().to_vec(),
        email: email.to_vec(),
        seconds,
        offset_seconds: i32::try_from(offset).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{git::fixture::Stock, model::ObjectFormat};

    fn each() -> impl Iterator<Item = (Stock, Browser, tempfile::TempDir)> {
        Stock::each().into_iter().map(|stock| {
            let stock = stock.with_history(40);
            let (folder, repository) = stock.opened();
            (stock, Browser::new(repository.packs()), folder)
        })
    }

    #[test]
    fn names_resolve_to_branches_then_tags_then_ids() {
        for (stock, browser, _folder) in each() {
            stock.git(["branch", "v21", "main~5"]);
            let refs = stock.refs();
            let resolve = |name: &str| browser.resolve(&refs, name);
            let id = |name: &str| stock.id(name);
            assert_eq!(resolve("main"), Some(Resolved::Ref(id("main"))));
            assert_eq!(resolve("HEAD"), Some(Resolved::Ref(id("main"))));
            assert_eq!(resolve("v21"), Some(Resolved::Ref(id("main~5"))));
            assert_eq!(resolve("v11"), Some(Resolved::Ref(id("refs/tags/v11"))));
            assert_eq!(
                resolve("refs/tags/v21"),
                Some(Resolved::Ref(id("refs/tags/v21")))
            );
            let blob = id("main:README");
            assert_eq!(resolve(&blob.to_string()), Some(Resolved::Id(blob)));
            assert_eq!(resolve(&blob.to_string()[..12]), Some(Resolved::Id(blob)));
            let too_long = format!("{blob}0");
            let zeros = "0".repeat(40);
            for name in ["", "nothing", "main~1", "zz", &zeros, &too_long, "../main"] {
                assert_eq!(resolve(name), None, "{name:?}");
            }
            let first = |id: &ObjectId| id.to_string()[..2].to_owned();
            let ids = stock.all_ids();
            let twice = ids
                .windows(2)
                .find(|pair| first(&pair[0]) == first(&pair[1]))
                .unwrap();
            assert_eq!(resolve(&first(&twice[0])), None);
        }
    }

    #[test]
    fn commits_come_newest_first_with_all_that_their_headers_say() {
        for (stock, mut browser, _folder) in each() {
            let tip = stock.id("main");
            let text = stock.git(["log", "--date-order", "--format=%H", "main"]);
            let expected: Vec<ObjectId> = text.lines().map(|line| line.parse().unwrap()).collect();
            let all = browser.commits(&tip, 0, usize::MAX).unwrap();
            assert_eq!(
                all.iter().map(|commit| commit.id).collect::<Vec<_>>(),
                expected
            );
            let some = browser.commits(&tip, 3, 5).unwrap();
            assert_eq!(some, all[3..8]);
            assert_eq!(browser.commits(&tip, 1000, 5).unwrap(), []);
            for commit in &all {
                let id = commit.id.to_string();
                let raw = stock.git_with_input(["cat-file", "commit", &id], b"");
                assert_eq!(commit.raw, raw);
                let format = "--format=%T|%P|%an|%ae|%at|%cn|%ce|%ct|%s";
                let person = |who: &Signature| {
                    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                    format!("{}|{}|{}", text(&who.name), text(&who.email), who.seconds)
                };
                let parents: Vec<_> = commit.parents.iter().map(ToString::to_string).collect();
                let subject = commit.message.split(|byte| *byte == b'\n').next().unwrap();
                let shown = format!(
                    "{}|{}|{}|{}|{}",
                    commit.tree,
                    parents.join(" "),
                    person(&commit.author),
                    person(&commit.committer),
                    String::from_utf8_lossy(subject)
                );
                assert_eq!(shown, stock.git(["show", "-s", format, &id]));
                assert_eq!(commit.author.offset_seconds, 3600);
                assert_eq!(commit.committer.offset_seconds, -(2 * 3600 + 30 * 60));
            }
        }
    }

    #[test]
    fn listings_and_paths_agree_with_ls_tree() {
        for (stock, mut browser, _folder) in each() {
            let tree = browser.tree_of(&stock.id("v31")).unwrap().unwrap();
            let show = |entry: &TreeEntry| {
                let path = String::from_utf8_lossy(&entry.path);
                format!("{:06o} {} {}\t{path}", entry.mode, entry.kind, entry.id)
            };
            let lines = |args: &[&str]| -> Vec<String> {
                stock.git(args).lines().map(str::to_owned).collect()
            };
            let whole = browser.list(&tree, true, 1000).unwrap();
            assert!(!whole.truncated && whole.entries.len() > 20);
            let shown: Vec<_> = whole.entries.iter().map(show).collect();
            assert_eq!(shown, lines(&["ls-tree", "-r", "-t", "v31"]));
            let flat = browser.list(&tree, false, 1000).unwrap();
            let shown: Vec<_> = flat.entries.iter().map(show).collect();
            assert_eq!(shown, lines(&["ls-tree", "v31"]));
            let count = whole.entries.len();
            assert!(!browser.list(&tree, true, count).unwrap().truncated);
            let cut = browser.list(&tree, true, count - 1).unwrap();
            assert!(cut.truncated);
            assert_eq!(cut.entries, whole.entries[..count - 1]);
            for entry in &whole.entries {
                assert_eq!(
                    browser.at_path(&tree, &entry.path).unwrap().as_ref(),
                    Some(entry)
                );
            }
            for path in [
                "nothing",
                "README/below",
                "src/",
                "",
                "/README",
                "module/inside",
            ] {
                assert_eq!(
                    browser.at_path(&tree, path.as_bytes()),
                    Ok(None),
                    "{path:?}"
                );
            }
        }
    }

    #[test]
    fn blobs_are_read_up_to_a_size() {
        for (stock, mut browser, _folder) in each() {
            let id = stock.id("main:README");
            let bytes = stock.git_with_input(["cat-file", "blob", "main:README"], b"");
            let size = bytes.len() as u64;
            assert_eq!(browser.blob_size(&id), Ok(size));
            assert_eq!(browser.blob(&id, size), Ok(bytes));
            let max = size - 1;
            assert_eq!(
                browser.blob(&id, max),
                Err(ReadError::TooLarge { size, max })
            );
            let tree = stock.id("main:src");
            assert!(matches!(
                browser.blob(&tree, max),
                Err(ReadError::Malformed { .. })
            ));
        }
    }

    #[test]
    fn tags_peel_to_what_they_name_in_the_end() {
        for (stock, mut browser, _folder) in each() {
            for (name, kind) in [
                ("nested", Kind::Commit),
                ("tree-tag", Kind::Tree),
                ("blob-tag", Kind::Blob),
                ("main", Kind::Commit),
            ] {
                let peeled = stock.id(&format!("{name}^{{}}"));
                assert_eq!(browser.peel(&stock.id(name)), Ok((peeled, kind)), "{name}");
            }
        }
    }

    #[test]
    fn ancestry_is_exact_even_when_dates_run_backwards() {
        for (stock, mut browser, _folder) in each() {
            for (ancestor, descendant, expected) in [
                ("main~9", "main", true),
                ("main", "main", true),
                ("main", "main~9", false),
                ("side", "main~1", false),
                ("side", "main", true),
                ("side~3", "side", true),
                ("main~5", "side", false),
                ("v1^{}", "side", true),
            ] {
                let answer = browser.is_ancestor(&stock.id(ancestor), &stock.id(descendant));
                assert_eq!(answer, Ok(expected), "{ancestor} of {descendant}");
            }
        }
        let stock = Stock::new(ObjectFormat::Sha1);
        let mut stream = String::new();
        for (n, date) in [(1, 500), (2, 400), (3, 900), (4, 10), (5, 800), (6, 5)] {
            stream += &format!(
                "commit refs/heads/main\nmark :{n}\ncommitter C <c@c> {date} +0000\ndata 1\n{n}\n"
            );
        }
        stock.import(&stream);
        stock.git(["branch", "fork", "main~4"]);
        stock.import("commit refs/heads/fork\ncommitter C <c@c> 7 +0000\ndata 1\nx\nfrom refs/heads/fork^0\n");
        stock.git(["repack", "-q", "-a", "-d"]);
        let (_folder, repository) = stock.opened();
        let mut browser = Browser::new(repository.packs());
        for back in 0..6 {
            for other in 0..6 {
                let (a, b) = (
                    stock.id(&format!("main~{back}")),
                    stock.id(&format!("main~{other}")),
                );
                assert_eq!(
                    browser.is_ancestor(&a, &b),
                    Ok(back >= other),
                    "{back} {other}"
                );
            }
            let (main, fork) = (stock.id(&format!("main~{back}")), stock.id("fork"));
            assert_eq!(browser.is_ancestor(&main, &fork), Ok(back >= 4));
            assert_eq!(browser.is_ancestor(&fork, &main), Ok(false));
        }
    }
}
