//! A tree under edit: paths are put and removed, and only the folders on their way are read.
//!
//! Source: git-ls-tree(1) for modes; the order of names is git's, folders as if they ended in `/`.
//! Bounds: [`ENTRIES_MAX`] entries held; paths as deep as the trees of a push may be.
//! Invariant: a name is a file or a folder, never both: the last one put wins, as with `git add`.
//! Folders that become empty vanish.

use std::{cmp::Ordering, collections::BTreeMap, fmt, str::FromStr, sync::Arc};

use gix_object::{Kind, TreeRefIter};

use super::ENTRIES_MAX;
use crate::{
    git::{
        ObjectReader, PackSet, ReadError,
        receive::{Composer, ReceiveError},
    },
    model::ObjectId,
};

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FileMode {
    /// Not to be executed.
    Plain,
    /// To be executed.
    Executable,
    /// A symbolic link; its content is where it points.
    Symlink,
    /// A commit of another repository.
    Submodule,
}

/// The text is no mode that a file can have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mode {0:?} is none of 100644, 100755, 120000, 160000")]
pub struct UnknownMode(pub String);

impl FileMode {
    /// What a stored mode means, be it one that git no longer writes; `None` for a folder's.
    pub fn of_bits(bits: u32) -> Option<Self> {
        match bits & TYPE_BITS {
            0o100_000 if bits & 0o100 == 0 => Some(Self::Plain),
            0o100_000 => Some(Self::Executable),
            0o120_000 => Some(Self::Symlink),
            0o160_000 => Some(Self::Submodule),
            _ => None,
        }
    }

    /// The mode as a number, whose octal digits everybody knows.
    pub fn bits(self) -> u32 {
        match self {
            Self::Plain => 0o100_644,
            Self::Executable => 0o100_755,
            Self::Symlink => 0o120_000,
            Self::Submodule => 0o160_000,
        }
    }
}

impl FromStr for FileMode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "100644" => Ok(Self::Plain),
            "100755" => Ok(Self::Executable),
            "120000" => Ok(Self::Symlink),
            "160000" => Ok(Self::Submodule),
            _ => Err(UnknownMode(text.to_owned())),
        }
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06o}", self.bits())
    }
}

/// Why a tree can't be edited or written.
#[derive(Debug, thiserror::Error)]
pub enum EditError {
    /// The repository's trees can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The new trees are not taken.
    #[error(transparent)]
    Write(#[from] ReceiveError),
    /// More of the tree is touched than can be held.
    #[error("the folders that are changed hold more than {ENTRIES_MAX} entries")]
    TooManyEntries,
}

/// What lies at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A file with its mode as stored and its blob, or the commit of a submodule.
    File {
        /// Its mode, which may be one that git no longer writes.
        mode: u32,
        /// What it holds.
        id: ObjectId,
    },
    /// A folder.
    Folder,
}

/// One version of a tree on its way to the next.
pub struct TreeEditor {
    reader: ObjectReader,
    root: Folder,
    /// Entries of the folders that were read, and those put since.
    held: usize,
}

#[derive(Debug, Default)]
struct Folder {
    /// The folder as it was read.
    base: Option<(ObjectId, Vec<u8>)>,
    nodes: BTreeMap<Vec<u8>, Node>,
}

#[derive(Debug)]
enum Node {
    /// As the tree has it; perhaps a folder that was not looked into.
    Entry { mode: u32, id: ObjectId },
    /// A folder that was.
    Open(Box<Folder>),
}

const TREE_MODE: u32 = 0o040_000;
const TYPE_BITS: u32 = 0o170_000;

fn is_folder(mode: u32) -> bool {
    mode & TYPE_BITS == TREE_MODE
}

impl TreeEditor {
    /// Begins with this tree, or with nothing.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn new(packs: Arc<PackSet>, tree: Option<&ObjectId>) -> Result<Self, EditError> {
        let mut editor = Self {
            reader: ObjectReader::new(packs),
            root: Folder::default(),
            held: 0,
        };
        if let Some(tree) = tree {
            editor.root = Folder::read(tree, &mut editor.reader, &mut editor.held)?;
        }
        Ok(editor)
    }

    /// What lies at a path, whose segments are parted by slashes; `None` when nothing does.
    ///
    /// # Errors
    /// When a tree can't be read.
    pub fn find(&mut self, path: &[u8]) -> Result<Option<Found>, EditError> {
        let Some((folder, name)) = self.parent(path)? else {
            return Ok(None);
        };
        Ok(folder.nodes.get(name).map(|node| match node {
            Node::Entry { mode, id } if !is_folder(*mode) => Found::File {
                mode: *mode,
                id: *id,
            },
            _ => Found::Folder,
        }))
    }

    /// How many entries the folder at a path has, the empty path being the whole tree; `None` if there
    /// is no folder.
    ///
    /// # Errors
    /// When a tree can't be read.
    pub fn count(&mut self, path: &[u8]) -> Result<Option<usize>, EditError> {
        if path.is_empty() {
            return Ok(Some(self.root.nodes.len()));
        }
        let inside = [path, b"/"].concat();
        let folder = self.parent(&inside)?;
        Ok(folder.map(|(folder, _)| folder.nodes.len()))
    }

    /// Puts a file at a path. What was there goes, were it a whole folder, and so do files that are
    /// folders now.
    ///
    /// # Errors
    /// When a tree can't be read, or too much of it is held.
    pub fn put(&mut self, path: &[u8], mode: FileMode, id: ObjectId) -> Result<(), EditError> {
        let (reader, held) = (&mut self.reader, &mut self.held);
        let mut folder = &mut self.root;
        let (folders, name) = split(path);
        for segment in folders {
            let node = folder
                .nodes
                .entry(segment.to_vec())
                .or_insert_with(|| Node::Open(Box::default()));
            if let Node::Entry { mode, .. } = node
                && !is_folder(*mode)
            {
                *node = Node::Open(Box::default());
            }
            folder = node.open(reader, held)?;
        }
        *held += 1;
        if *held > ENTRIES_MAX {
            return Err(EditError::TooManyEntries);
        }
        let mode = mode.bits();
        folder.nodes.insert(name.to_vec(), Node::Entry { mode, id });
        Ok(())
    }

    /// Removes the file or the whole folder at a path; whether there was one.
    ///
    /// # Errors
    /// When a tree can't be read.
    pub fn remove(&mut self, path: &[u8]) -> Result<bool, EditError> {
        let removed = self
            .parent(path)?
            .and_then(|(folder, name)| folder.nodes.remove(name));
        Ok(removed.is_some())
    }

    /// The folder that a path lies in, and its last segment; `None` when there is no such folder.
    fn parent<'p>(&mut self, path: &'p [u8]) -> Result<Option<(&mut Folder, &'p [u8])>, EditError> {
        let (reader, held) = (&mut self.reader, &mut self.held);
        let mut folder = &mut self.root;
        let (folders, name) = split(path);
        for segment in folders {
            match folder.nodes.get_mut(segment) {
                None => return Ok(None),
                Some(Node::Entry { mode, .. }) if !is_folder(*mode) => return Ok(None),
                Some(node) => folder = node.open(reader, held)?,
            }
        }
        Ok(Some((folder, name)))
    }

    /// Writes the folders that are new and returns the name of the tree.
    ///
    /// # Errors
    /// When a tree breaks a rule, or the disk fails.
    pub fn write(self, composer: &mut Composer) -> Result<ObjectId, ReceiveError> {
        match self.root.write(composer)? {
            Some(id) => Ok(id),
            None => composer.add(Kind::Tree, b""),
        }
    }
}

impl Node {
    /// The folder that this is, read if it was not.
    fn open(
        &mut self,
        reader: &mut ObjectReader,
        held: &mut usize,
    ) -> Result<&mut Folder, EditError> {
        if let Self::Entry { id, .. } = self {
            *self = Self::Open(Box::new(Folder::read(id, reader, held)?));
        }
        match self {
            Self::Open(folder) => Ok(folder),
            Self::Entry { .. } => unreachable!("opened above"),
        }
    }
}

impl Folder {
    fn read(id: &ObjectId, reader: &mut ObjectReader, held: &mut usize) -> Result<Self, EditError> {
        let malformed = || ReadError::Malformed {
            id: *id,
            expected: Kind::Tree,
        };
        let mut content = Vec::new();
        let data = reader.require(id, &mut content)?;
        if data.kind != Kind::Tree {
            return Err(malformed().into());
        }
        let mut nodes = BTreeMap::new();
        for entry in TreeRefIter::from_bytes(data.data, data.object_hash) {
            let entry = entry.map_err(|_| malformed())?;
            *held += 1;
            if *held > ENTRIES_MAX {
                return Err(EditError::TooManyEntries);
            }
            let node = Node::Entry {
                mode: entry.mode.value().into(),
                id: entry.oid.to_owned(),
            };
            nodes.insert(entry.filename.to_vec(), node);
        }
        Ok(Self {
            base: Some((*id, content)),
            nodes,
        })
    }

    /// Writes it unless it is as it was; `None` when it is empty.
    fn write(self, composer: &mut Composer) -> Result<Option<ObjectId>, ReceiveError> {
        let mut entries = Vec::with_capacity(self.nodes.len());
        for (name, node) in self.nodes {
            let (mode, id) = match node {
                Node::Entry { mode, id } => (mode, id),
                Node::Open(folder) => match folder.write(composer)? {
                    Some(id) => (TREE_MODE, id),
                    None => continue,
                },
            };
            entries.push((name, mode, id));
        }
        if entries.is_empty() {
            return Ok(None);
        }
        entries.sort_by(|one, other| order((&one.0, one.1), (&other.0, other.1)));
        let mut content = Vec::new();
        for (name, mode, id) in entries {
            content.extend_from_slice(format!("{mode:o} ").as_bytes());
            content.extend_from_slice(&name);
            content.push(0);
            content.extend_from_slice(id.as_slice());
        }
        match &self.base {
            Some((id, base)) if *base == content => Ok(Some(*id)),
            base => {
                let base = base.as_ref().map(|(id, base)| (id, base.as_slice()));
                composer.add_based(Kind::Tree, &content, base).map(Some)
            }
        }
    }
}

/// The folders on the way, and the last segment.
fn split(path: &[u8]) -> (impl Iterator<Item = &[u8]>, &[u8]) {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    let (folders, name) = match slash {
        Some(at) => (Some(&path[..at]), &path[at + 1..]),
        None => (None, path),
    };
    let folders = folders.map(|folders| folders.split(|byte| *byte == b'/'));
    (folders.into_iter().flatten(), name)
}

/// Git's order of the entries of a tree.
fn order(one: (&[u8], u32), other: (&[u8], u32)) -> Ordering {
    let slash = |mode| is_folder(mode).then_some(&b'/');
    one.0
        .iter()
        .chain(slash(one.1))
        .cmp(other.0.iter().chain(slash(other.1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        git::{Repository, fixture::Stock, receive::Limits},
        model::ObjectFormat,
    };

    /// A repository of ours beside one of git's with the same start.
    struct Pair {
        stock: Stock,
        repository: Repository,
        _folder: tempfile::TempDir,
        blob: ObjectId,
    }

    fn pair(format: ObjectFormat) -> Pair {
        let stock = Stock::new(format).with_history(20);
        let (folder, repository) = stock.opened();
        let blob = stock.id("main:README");
        Pair {
            stock,
            repository,
            _folder: folder,
            blob,
        }
    }

    impl Pair {
        /// The tree that git makes of these lines of `git update-index --index-info`.
        fn git_tree(&self, start: Option<&str>, lines: &str) -> ObjectId {
            let index = self.stock.path().join("index");
            std::fs::remove_file(&index).ok();
            match start {
                Some(start) => self.stock.git(["read-tree", start]),
                None => self.stock.git(["read-tree", "--empty"]),
            };
            let args = ["update-index", "--add", "--replace", "--index-info"];
            self.stock.git_with_input(args, lines.as_bytes());
            self.stock
                .git(["write-tree", "--missing-ok"])
                .parse()
                .unwrap()
        }

        fn edits(&self, start: Option<&str>, edits: &[(&str, Option<FileMode>)]) -> ObjectId {
            let start = start.map(|start| self.stock.id(&format!("{start}^{{tree}}")));
            let mut editor = TreeEditor::new(self.repository.packs(), start.as_ref()).unwrap();
            for (path, mode) in edits {
                match mode {
                    Some(mode) => editor.put(path.as_bytes(), *mode, self.blob).unwrap(),
                    None => drop(editor.remove(path.as_bytes()).unwrap()),
                }
            }
            let mut composer = Composer::new(&self.repository, &Limits::default());
            let id = editor.write(&mut composer).unwrap();
            composer.finish().unwrap().publish().unwrap();
            id
        }

        /// Makes the edits here and with git, which must agree.
        #[track_caller]
        fn check(&self, start: Option<&str>, edits: &[(&str, Option<FileMode>)]) {
            let zeros = "0".repeat(self.blob.kind().len_in_hex());
            let mut lines = String::new();
            for (path, mode) in edits {
                match mode {
                    Some(mode) => lines += &format!("{mode} {} 0\t{path}\n", self.blob),
                    None => lines += &format!("0 {zeros} 0\t{path}\n"),
                }
            }
            let expected = self.git_tree(start, &lines);
            assert_eq!(self.edits(start, edits), expected, "{start:?} {edits:?}");
        }
    }

    const PUT: Option<FileMode> = Some(FileMode::Plain);

    #[test]
    fn edits_give_the_tree_that_git_writes() {
        for format in [ObjectFormat::Sha1, ObjectFormat::Sha256] {
            let pair = pair(format);
            let main = Some("main");
            pair.check(None, &[("a", PUT)]);
            pair.check(None, &[]);
            pair.check(main, &[]);
            pair.check(main, &[("new/deep/er/file", PUT), ("README", None)]);
            pair.check(main, &[("run", Some(FileMode::Executable))]);
            pair.check(main, &[("there", Some(FileMode::Symlink))]);
            // `a.c` lies between the file `a` and the folder `a`.
            pair.check(None, &[("a.c", PUT), ("a/b", PUT), ("a0", PUT)]);
            pair.check(None, &[("a.c", PUT), ("a", PUT), ("a0", PUT)]);
            // One becomes the other.
            pair.check(main, &[("README/inside", PUT)]);
            pair.check(main, &[("src", PUT)]);
            pair.check(None, &[("a/b/c", PUT), ("a", PUT), ("a/d", PUT)]);
            // What is not there is removed without a word.
            pair.check(main, &[("nothing/here", None), ("README/x", None)]);
            // The last file of a folder takes it along.
            let all = pair.stock.git(["ls-tree", "-r", "--name-only", "main:src"]);
            let all: Vec<_> = all.lines().map(|file| format!("src/{file}")).collect();
            let gone: Vec<_> = all.iter().map(|path| (path.as_str(), None)).collect();
            pair.check(main, &gone);
        }
    }

    #[test]
    fn a_removed_folder_takes_everything_below_it_along() {
        let pair = pair(ObjectFormat::Sha1);
        let all = pair.stock.git(["ls-tree", "-r", "--name-only", "main:src"]);
        let zeros = "0".repeat(40);
        let lines: String = all
            .lines()
            .map(|file| format!("0 {zeros} 0\tsrc/{file}\n"))
            .collect();
        let expected = pair.git_tree(Some("main"), &lines);
        assert_eq!(pair.edits(Some("main"), &[("src", None)]), expected);
        let everything = pair.stock.git(["ls-tree", "--name-only", "main"]);
        let everything: Vec<_> = everything.lines().map(|name| (name, None)).collect();
        let empty = pair.edits(Some("main"), &everything);
        assert_eq!(
            empty.to_string(),
            "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
        );
    }

    #[test]
    fn what_lies_at_a_path_is_found_before_and_after_an_edit() {
        let pair = pair(ObjectFormat::Sha1);
        let tree = pair.stock.id("main^{tree}");
        let mut editor = TreeEditor::new(pair.repository.packs(), Some(&tree)).unwrap();
        let file = Found::File {
            mode: 0o100_644,
            id: pair.blob,
        };
        assert_eq!(editor.find(b"README").unwrap(), Some(file));
        assert_eq!(editor.find(b"src").unwrap(), Some(Found::Folder));
        assert_eq!(editor.find(b"src/main").unwrap(), Some(Found::Folder));
        assert_eq!(editor.find(b"README/x").unwrap(), None);
        assert_eq!(editor.find(b"no/where").unwrap(), None);
        assert!(editor.remove(b"README").unwrap());
        assert!(!editor.remove(b"README").unwrap());
        assert_eq!(editor.find(b"README").unwrap(), None);
        editor.put(b"src", FileMode::Plain, pair.blob).unwrap();
        assert_eq!(editor.find(b"src").unwrap(), Some(file));
    }
}
