//! What becomes of each path, and the tree made of that.
//!
//! Source: what git's `ort` strategy does with each kind of conflict; gitglossary(7), "tree object".
//! Invariant: what a folder holds is settled before the folder; a folder stays where it is, and a file that wants
//! its place makes way.

use std::{collections::HashMap, rc::Rc};

use super::{
    MergeError, Pass,
    collect::{BASE, Entry, Path},
    objects::{FOLDER, REGULAR, Version},
    renames::split,
};
use crate::model::ObjectId;

/// What is put into each folder.
pub(super) type Inside = HashMap<Path, Vec<(Vec<u8>, Version)>>;

impl Pass<'_> {
    /// Settles all paths and makes the tree.
    pub(super) fn process_entries(&mut self) -> Result<ObjectId, MergeError> {
        let by_path = self.paths.by_path.iter();
        let mut order: Vec<_> = by_path.map(|(path, at)| (Rc::clone(path), *at)).collect();
        order.sort_by_cached_key(|(path, _)| [path, &b"/"[..]].concat());
        while let Some((path, at)) = order.pop() {
            let entry = &mut self.paths.entries[at];
            if entry.folders != 0 && !entry.result.is_there() {
                let inside = self.inside.remove(&path).unwrap_or_default();
                entry.gone = inside.is_empty();
                if !entry.gone {
                    let id = self.objects.make_tree(inside)?;
                    entry.result = Version { mode: FOLDER, id };
                }
            }
            if self.paths.entries[at].clean {
                self.record(&path, at);
            } else {
                self.process(path, at)?;
            }
        }
        let root = self.inside.remove(&b""[..]).unwrap_or_default();
        self.objects.make_tree(root)
    }

    fn record(&mut self, path: &[u8], at: usize) {
        let Entry { gone, result, .. } = self.paths.entries[at];
        if !gone && result.is_there() {
            let (folder, name) = split(path);
            let inside = self.inside.entry(Rc::from(folder)).or_default();
            inside.push((name.to_vec(), result));
        }
    }

    fn process(&mut self, mut path: Path, mut at: usize) -> Result<(), MergeError> {
        if self.paths.entries[at].folders != 0 {
            self.record(&path, at);
            if self.paths.entries[at].files == 0 {
                return Ok(());
            }
        }
        let mut making_way = None;
        if self.paths.entries[at].folder_in_way {
            let entry = &mut self.paths.entries[at];
            let stays = entry.result.is_there();
            if stays && entry.files == 1 {
                // Both sides want the folder, and only the base had a file.
                entry.files = 0;
                return Ok(());
            }
            let mut file = entry.clone();
            file.same &= !file.folders;
            file.folders = 0;
            for (version, bit) in file.versions.iter_mut().zip([1, 2, 4]) {
                if file.files & bit == 0 {
                    *version = self.objects.nothing();
                }
            }
            if stays {
                let side = if entry.folders & 2 != 0 { 2 } else { 1 };
                making_way = Some(side);
                entry.files = 0;
                path = self.free_path(&path, side);
                at = self.paths.add(Rc::clone(&path), file);
            } else {
                file.folder_in_way = false;
                file.clean = false;
                file.gone = false;
                self.paths.entries[at] = file;
            }
        }
        let entry = &self.paths.entries[at];
        let kinds_differ = entry.versions[1].kind() != entry.versions[2].kind();
        match (entry.same, entry.files) {
            (1.., _) => self.take_changed(at),
            (_, 6 | 7) if kinds_differ && self.depth > 0 => self.take(at, BASE, false),
            (_, 6 | 7) if kinds_differ => path = self.part(path, at),
            (_, 6 | 7) => self.take_merged(at, making_way)?,
            (_, 3) => self.take(at, if self.depth > 0 { BASE } else { 1 }, false),
            (_, 5) => self.take(at, if self.depth > 0 { BASE } else { 2 }, false),
            (_, 2) => self.take(at, 1, true),
            (_, 4) => self.take(at, 2, true),
            _ => {
                let nothing = self.objects.nothing();
                let entry = &mut self.paths.entries[at];
                entry.gone = true;
                entry.result = nothing;
                entry.clean = !entry.misplaced;
            }
        }
        if !self.paths.entries[at].clean {
            self.conflicted.insert(Rc::clone(&path), at);
        }
        self.record(&path, at);
        Ok(())
    }

    /// Takes a version; with a conflict unless all is well with its place.
    fn take(&mut self, at: usize, version: usize, clean: bool) {
        let entry = &mut self.paths.entries[at];
        entry.result = entry.versions[version];
        entry.gone = !entry.result.is_there();
        entry.clean = clean && !entry.folder_in_way && !entry.misplaced;
    }

    /// Two of the three are the same: takes the one that is not, or what both sides have.
    fn take_changed(&mut self, at: usize) {
        let side = if self.paths.entries[at].same == 3 {
            2
        } else {
            1
        };
        self.take(at, side, true);
        let entry = &mut self.paths.entries[at];
        entry.clean |= entry.gone;
    }

    fn take_merged(&mut self, at: usize, making_way: Option<usize>) -> Result<(), MergeError> {
        let entry = self.paths.entries[at].clone();
        let [base, ours, theirs] = &entry.paths;
        let longer = self.depth * 2;
        let (merged, clean) = self.merge_versions(entry.versions, [base, ours, theirs], longer)?;
        let entry = &mut self.paths.entries[at];
        entry.result = merged;
        entry.gone = !merged.is_there();
        entry.clean = clean && !entry.folder_in_way && !entry.misplaced;
        if let (true, Some(side)) = (clean, making_way) {
            entry.files = 1 << side;
            entry.versions[side] = merged;
        }
        Ok(())
    }

    /// A link here and a file there can't be merged: one of them, or both, get another name. Answers the path of
    /// what is ours.
    fn part(&mut self, path: Path, at: usize) -> Path {
        let nothing = self.objects.nothing();
        let [base, ours, theirs] = self.paths.entries[at].versions;
        let move_ours = ours.kind() == REGULAR || theirs.kind() != REGULAR;
        let move_theirs = ours.kind() != REGULAR;
        let our_path = match move_ours {
            true => self.free_path(&path, 1),
            false => Rc::clone(&path),
        };
        let their_path = match move_theirs {
            true => self.free_path(&path, 2),
            false => Rc::clone(&path),
        };
        let part = |this: Version, own: usize, other: usize| {
            let mut entry = self.paths.entries[at].clone();
            entry.clean = false;
            entry.result = this;
            entry.versions[other] = nothing;
            entry.files = 1 | 1 << own;
            if this.kind() != base.kind() {
                entry.versions[BASE] = nothing;
                entry.files = 1 << own;
            }
            entry
        };
        let (our_part, their_part) = (part(ours, 1, 2), part(theirs, 2, 1));
        self.paths.entries[at] = our_part;
        self.paths.by_path.remove(&path);
        self.paths.by_path.insert(Rc::clone(&our_path), at);
        let there = self.paths.add(Rc::clone(&their_path), their_part);
        self.conflicted.insert(Rc::clone(&their_path), there);
        self.record(&their_path, there);
        our_path
    }
}
