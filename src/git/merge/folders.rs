//! Files that follow a folder which the other side moved.
//!
//! Source: git-merge(1) on `merge.directoryRenames=conflict`, the default: such a file is put where its folder
//! went, and that is told as a conflict.
//! Invariant: a file is never put where its own side has something, nor two files in one place.
//! Not here: where folders went (`renames`).

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    rc::Rc,
};

use super::{
    collect::{Change, Entry, Path, Paths, Side},
    objects::Version,
    renames::{FolderMoves, split},
};

/// Where each folder went that one side moved.
pub(super) type Moved = BTreeMap<Path, Path>;

/// Where folders went, by the majority of their files; those without a majority go into `split_up`.
pub(super) fn settle(moves: &FolderMoves, split_up: &mut BTreeSet<Path>) -> Moved {
    let mut moved = Moved::new();
    for (folder, counts) in moves {
        let Some(most) = counts.values().max() else {
            continue;
        };
        let mut best = counts.iter().filter(|(_, count)| *count == most);
        match (best.next(), best.next()) {
            (Some((to, _)), None) => {
                moved.insert(Rc::clone(folder), Rc::clone(to));
            }
            _ => {
                split_up.insert(Rc::clone(folder));
            }
        }
    }
    moved
}

/// What both sides moved is moved by neither.
pub(super) fn without_disputed(ours: &Moved, theirs: &Moved) -> [Moved; 2] {
    let only = |one: &Moved, other: &Moved| {
        let kept = one
            .iter()
            .filter(|(folder, _)| !other.contains_key(*folder));
        kept.map(|(folder, to)| (Rc::clone(folder), Rc::clone(to)))
            .collect()
    };
    [only(ours, theirs), only(theirs, ours)]
}

/// Moves files of both sides along with the folders that the other side moved. Those that can't be where they
/// would go then stay, and the place goes into `obstacles`.
pub(super) fn follow(
    paths: &mut Paths,
    sides: &mut [Side; 2],
    moved: &[Moved; 2],
    nothing: Version,
    obstacles: &mut BTreeSet<Path>,
) {
    let collisions = [0, 1].map(|at| Collisions::of(&sides[at].changes, &moved[1 - at]));
    let mut follow = Follow {
        paths,
        moved,
        collisions,
        nothing,
        obstacles,
    };
    for (at, side) in sides.iter_mut().enumerate() {
        for change in &mut side.changes {
            follow.change(at, change);
        }
    }
}

/// The moved folder that a path lies in, the innermost one.
fn around<'m>(moved: &'m Moved, path: &[u8]) -> Option<(&'m Path, &'m Path)> {
    let mut folder = path;
    while folder.contains(&b'/') {
        folder = split(folder).0;
        if let Some(found) = moved.get_key_value(folder) {
            return Some(found);
        }
    }
    None
}

/// The path that a path in a moved folder has then.
fn applied((from, to): (&Path, &Path), path: &[u8]) -> Path {
    let rest = &path[from.len()..];
    match to.is_empty() {
        true => Rc::from(&rest[1..]),
        false => Rc::from([to, rest].concat()),
    }
}

/// Which files would be put into one place.
struct Collisions(HashMap<Path, Collision>);

#[derive(Default)]
struct Collision {
    sources: BTreeSet<Path>,
    told: bool,
}

impl Collisions {
    fn of(changes: &[Change], moved: &Moved) -> Self {
        let mut collisions: HashMap<Path, Collision> = HashMap::new();
        for (path, _) in changes.iter().filter_map(|change| change.to.as_ref()) {
            if let Some(around) = around(moved, path) {
                let collision = collisions.entry(applied(around, path)).or_default();
                collision.sources.insert(Rc::clone(path));
            }
        }
        Self(collisions)
    }
}

struct Follow<'a> {
    paths: &'a mut Paths,
    moved: &'a [Moved; 2],
    collisions: [Collisions; 2],
    nothing: Version,
    obstacles: &'a mut BTreeSet<Path>,
}

impl Follow<'_> {
    /// Puts the file of a change where its folder went.
    fn change(&mut self, side: usize, change: &mut Change) {
        let Some((path, _)) = &mut change.to else {
            return;
        };
        let (by_other, by_own) = (&self.moved[1 - side], &self.moved[side]);
        if self.collisions[1 - side].0.contains_key(path) {
            return;
        }
        let Some(around) = around(by_other, path) else {
            return;
        };
        // A folder that this side moved on is none to put files into.
        if by_own.contains_key(around.1) {
            return;
        }
        let to = applied(around, path);
        if self.is_free(side, &to) {
            self.put(path, &to);
            *path = to;
        }
    }

    fn is_free(&mut self, side: usize, to: &Path) -> bool {
        let bit = 2 << side;
        let in_way = self.paths.find(to).is_some_and(|at| {
            let entry = &self.paths.entries[at];
            entry.clean || bit & (entry.files | entry.folders) != 0
        });
        let collision = self.collisions[side].0.entry(Rc::clone(to)).or_default();
        let free = !collision.told && !in_way && collision.sources.len() <= 1;
        if !free && !collision.told {
            collision.told = true;
            self.obstacles.insert(Rc::clone(to));
        }
        free
    }

    /// Takes what is known of a path to another one.
    fn put(&mut self, from: &Path, to: &Path) {
        let Some(at) = self.paths.find(from) else {
            return;
        };
        let entry = &mut self.paths.entries[at];
        let mut file = entry.clone();
        if entry.folders == 0 {
            self.paths.by_path.remove(from);
        } else {
            // The folder stays until all is done that lies in it.
            for (version, bit) in entry.versions.iter_mut().zip([1, 2, 4]) {
                if entry.folders & bit == 0 {
                    *version = self.nothing;
                }
            }
            entry.files = 0;
            entry.clean = true;
            entry.folder_in_way = false;
            for (version, bit) in file.versions.iter_mut().zip([1, 2, 4]) {
                if file.files & bit == 0 {
                    *version = self.nothing;
                }
            }
            file.folders = 0;
        }
        self.make_folders(to, file.files);
        match self.paths.find(to) {
            None => {
                file.misplaced = true;
                self.paths.add(Rc::clone(to), file);
            }
            Some(there) => {
                let there = &mut self.paths.entries[there];
                there.files |= file.files;
                there.folder_in_way |= there.folders != 0;
                let at = usize::from(file.files >> 1);
                there.paths[at] = Rc::clone(&file.paths[at]);
                there.versions[at] = file.versions[at];
                there.misplaced = true;
            }
        }
    }

    /// Makes the folders of a path that are not there yet.
    fn make_folders(&mut self, path: &[u8], folders: u8) {
        let mut folder = split(path).0;
        while !folder.is_empty() && self.paths.find(folder).is_none() {
            let path: Path = Rc::from(folder);
            let entry = Entry {
                versions: [self.nothing; 3],
                paths: [&path, &path, &path].map(Rc::clone),
                files: 0,
                folders,
                same: 0,
                folder_in_way: false,
                misplaced: false,
                clean: false,
                gone: true,
                result: self.nothing,
            };
            self.paths.add(path, entry);
            folder = split(folder).0;
        }
    }
}
