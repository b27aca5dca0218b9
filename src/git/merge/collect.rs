//! The paths at which three trees are not all the same, and what may have moved between them.
//!
//! Source: gitglossary(7), "tree object"; what git's `ort` strategy looks at.
//! Bounds: [`PATHS_MAX`] paths, folders [`DEPTH_MAX`] deep.
//! Invariant: a folder that all trees have alike is not entered; a folder comes with all the folders that hold it.

use std::{
    collections::{BTreeMap, HashMap},
    rc::Rc,
};

use super::{
    MergeError,
    objects::{FOLDER, Objects, Version},
};
use crate::model::ObjectId;

/// Paths that one merge may look at.
const PATHS_MAX: usize = 2_000_000;
/// Folders within folders.
const DEPTH_MAX: usize = 4096;

/// From the root, segments joined by `/`; empty for the root itself.
pub(super) type Path = Rc<[u8]>;

/// The base and the two sides, in this order; in a mask of them the base is 1, the sides are 2 and 4.
pub(super) const BASE: usize = 0;

/// A path and what is known of it.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) versions: [Version; 3],
    /// Where each version stood.
    pub(super) paths: [Path; 3],
    /// Who has a file here, and who a folder.
    pub(super) files: u8,
    pub(super) folders: u8,
    /// Which of the three are the same.
    pub(super) same: u8,
    /// A file and a folder want the same place.
    pub(super) folder_in_way: bool,
    /// There is a conflict about where the file belongs.
    pub(super) misplaced: bool,
    pub(super) clean: bool,
    /// Nothing is to be here.
    pub(super) gone: bool,
    pub(super) result: Version,
}

/// Paths with their entries.
#[derive(Debug, Default)]
pub(super) struct Paths {
    pub(super) entries: Vec<Entry>,
    pub(super) by_path: HashMap<Path, usize>,
}

impl Paths {
    pub(super) fn find(&self, path: &[u8]) -> Option<usize> {
        self.by_path.get(path).copied()
    }

    pub(super) fn add(&mut self, path: Path, entry: Entry) -> usize {
        let at = self.entries.len();
        self.entries.push(entry);
        self.by_path.insert(path, at);
        at
    }
}

/// Why it matters where a file went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Relevance {
    /// The other side changed it.
    Content,
    /// It tells where its folder went.
    Location,
}

/// Whether it matters where a folder went that one side has no more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FolderRelevance {
    None,
    /// For the folders above it.
    Above,
    /// The other side put something into it.
    Itself,
}

/// A file that came, went or moved on one side.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) from: Option<(Path, Version)>,
    pub(super) to: Option<(Path, Version)>,
}

/// What one side did to the base.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) changes: Vec<Change>,
    pub(super) relevant: HashMap<Path, Relevance>,
    pub(super) removed_folders: HashMap<Path, FolderRelevance>,
}

/// Three trees laid over each other.
pub(super) struct Collected {
    pub(super) paths: Paths,
    pub(super) sides: [Side; 2],
}

/// What the three have of one name.
type Row = (Vec<u8>, [Option<Version>; 3]);

/// A folder on the way.
struct Frame {
    path: Path,
    rows: std::vec::IntoIter<Row>,
    /// 0, or the side that still has a folder above which the other one removed, or 7 once it matters where that
    /// folder went.
    moved: u8,
}

/// It matters where a folder went.
const MATTERS: u8 = 7;

/// Lays three trees over each other.
pub(super) fn collect(
    objects: &mut Objects,
    trees: [ObjectId; 3],
) -> Result<Collected, MergeError> {
    let mut collector = Collector {
        objects,
        collected: Collected {
            paths: Paths::default(),
            sides: Default::default(),
        },
    };
    let root: Path = Rc::from([]);
    let rows = collector.rows(trees.map(Some))?;
    let mut frames = vec![Frame {
        path: root,
        rows: rows.into_iter(),
        moved: 0,
    }];
    while let Some(frame) = frames.last_mut() {
        let Some(row) = frame.rows.next() else {
            frames.pop();
            continue;
        };
        let (folder, moved) = (Rc::clone(&frame.path), frame.moved);
        if let Some(inner) = collector.visit(&folder, moved, row)? {
            if frames.len() == DEPTH_MAX {
                return Err(MergeError::TooMuch("folders are too deep in each other"));
            }
            frames.push(inner);
        }
        if collector.collected.paths.entries.len() > PATHS_MAX {
            return Err(MergeError::TooMuch("too many files differ"));
        }
    }
    Ok(collector.collected)
}

struct Collector<'o> {
    objects: &'o mut Objects,
    collected: Collected,
}

impl Collector<'_> {
    /// What three trees list, in the order of the first that has a name, files first.
    fn rows(&mut self, trees: [Option<ObjectId>; 3]) -> Result<Vec<Row>, MergeError> {
        let mut rows: BTreeMap<Vec<u8>, [Option<Version>; 3]> = BTreeMap::new();
        for (at, tree) in trees.into_iter().enumerate() {
            let Some(tree) = tree else { continue };
            for (name, version) in self.objects.tree(&tree)? {
                rows.entry(name).or_default()[at] = Some(version);
            }
        }
        let mut rows: Vec<_> = rows.into_iter().collect();
        let as_git = |(name, versions): &Row| {
            let mut there = versions.iter().flatten();
            match there.all(|version| version.mode == FOLDER) {
                true => [name, &b"/"[..]].concat(),
                false => name.clone(),
            }
        };
        rows.sort_by_cached_key(as_git);
        Ok(rows)
    }

    /// Takes in one name; answers the folder to go on with.
    fn visit(
        &mut self,
        folder: &Path,
        moved: u8,
        (name, row): Row,
    ) -> Result<Option<Frame>, MergeError> {
        let nothing = self.objects.nothing();
        let versions = row.map(|version| version.unwrap_or(nothing));
        let mask = |wanted: &dyn Fn(&Version) -> bool| {
            let bits = versions.iter().zip([1, 2, 4]);
            bits.filter(|(version, _)| wanted(version))
                .map(|(_, bit)| bit)
                .sum::<u8>()
        };
        let folders = mask(&|version| version.mode == FOLDER);
        let files = mask(&|version| version.is_there() && version.mode != FOLDER);
        let [base, ours, theirs] = versions;
        let same = match (
            ours == base && base.is_there(),
            theirs == base && base.is_there(),
        ) {
            (true, true) => 7,
            (true, false) => 3,
            (false, true) => 5,
            (false, false) if ours == theirs && ours.is_there() => 6,
            (false, false) => 0,
        };
        let mut path = folder.to_vec();
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(&name);
        let path: Path = path.into();
        let mut entry = Entry {
            versions,
            paths: [&path, &path, &path].map(Rc::clone),
            files,
            folders,
            same,
            folder_in_way: files != 0 && folders != 0,
            misplaced: false,
            clean: false,
            // A folder is gone until something is put into it.
            gone: folders != 0,
            result: nothing,
        };
        let taken = match same {
            7 => Some(base),
            6 | 5 if files == 7 => Some(ours),
            3 if files == 7 => Some(theirs),
            _ => None,
        };
        if let Some(taken) = taken {
            entry.clean = true;
            entry.gone = false;
            entry.folder_in_way = false;
            entry.result = taken;
            self.collected.paths.add(path, entry);
            return Ok(None);
        }
        let moved = self.note(folder, &path, moved, &entry);
        if folders != 0 {
            entry.same &= files;
        }
        self.collected.paths.add(Rc::clone(&path), entry);
        if folders == 0 {
            return Ok(None);
        }
        let trees = versions.map(|version| (version.mode == FOLDER).then_some(version.id));
        let rows = self.rows(trees)?;
        let is_added = |(_, row): &Row| {
            let bits = row.iter().zip([1, 2, 4]);
            let files =
                bits.filter(|(version, _)| version.is_some_and(|version| version.mode != FOLDER));
            files.map(|(_, bit)| bit).sum::<u8>() == moved
        };
        let matters = (moved == 2 || moved == 4) && rows.iter().any(is_added);
        Ok(Some(Frame {
            path,
            rows: rows.into_iter(),
            moved: if matters { MATTERS } else { moved },
        }))
    }

    /// Notes what may have moved; answers what is known of the folder, if it is one, for what it holds.
    fn note(&mut self, folder: &Path, path: &Path, mut moved: u8, entry: &Entry) -> u8 {
        let sides = &mut self.collected.sides;
        if moved != MATTERS && (entry.folders == 3 || entry.folders == 5) {
            moved = entry.folders & !1;
        }
        if entry.folders & 1 != 0 && entry.folders != 7 {
            let relevance = match moved {
                MATTERS => FolderRelevance::Above,
                _ => FolderRelevance::None,
            };
            for (side, bit) in sides.iter_mut().zip([2, 4]) {
                if entry.folders & bit == 0 {
                    side.removed_folders.insert(Rc::clone(path), relevance);
                }
            }
        }
        if moved == MATTERS && (entry.files == 2 || entry.files == 4) {
            let other = if entry.files == 2 { 1 } else { 0 };
            let removed = &mut sides[other].removed_folders;
            removed.insert(Rc::clone(folder), FolderRelevance::Itself);
        }
        if entry.files == 0 || entry.files == 7 {
            return moved;
        }
        for (at, (side, bit)) in sides.iter_mut().zip([2, 4]).enumerate() {
            let version = |at: usize| Some((Rc::clone(path), entry.versions[at]));
            match (entry.files & 1 != 0, entry.files & bit != 0) {
                (true, false) => {
                    let relevance = match (entry.same & entry.files, moved) {
                        (0, _) => Some(Relevance::Content),
                        (_, MATTERS) => Some(Relevance::Location),
                        _ => None,
                    };
                    if let Some(relevance) = relevance {
                        side.relevant.insert(Rc::clone(path), relevance);
                    }
                    side.changes.push(Change {
                        from: version(BASE),
                        to: None,
                    });
                }
                (false, true) => side.changes.push(Change {
                    from: None,
                    to: version(at + 1),
                }),
                _ => {}
            }
        }
        moved
    }
}
