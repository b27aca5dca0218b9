//! Files that were moved, laid over what the other side did to them.
//!
//! Source: what git's `ort` strategy does with renames; git-merge(1) has no word on it.
//! Invariant: the old path of a moved file is settled here, its new one has all three versions then, as far as
//! there are any.

use std::rc::Rc;

use super::{
    MergeError, Pass,
    collect::{BASE, Change, Path, Side},
};

/// A moved file, and who moved it: 1 or 2.
struct Move {
    from: Path,
    to: Path,
    side: usize,
}

impl Pass<'_> {
    /// Brings together what belongs to moved files.
    pub(super) fn process_moves(&mut self, sides: [Side; 2]) -> Result<(), MergeError> {
        let moves = sides.into_iter().zip([1, 2]).flat_map(|(side, at)| {
            let moved = move |change: Change| match (change.from, change.to) {
                (Some((from, _)), Some((to, _))) => Some(Move { from, to, side: at }),
                _ => None,
            };
            side.changes.into_iter().filter_map(moved)
        });
        let mut moves: Vec<_> = moves.collect();
        moves.sort_by(|one, other| one.from.cmp(&other.from));
        let mut moves = moves.into_iter().peekable();
        while let Some(one) = moves.next() {
            let Some(old) = self.paths.find(&one.from) else {
                continue;
            };
            if self.paths.entries[old].clean {
                continue;
            }
            match moves.next_if(|other| other.from == one.from) {
                Some(other) => self.moved_by_both(old, one, other)?,
                None => self.moved(old, &one)?,
            }
        }
        Ok(())
    }

    /// One file that both sides moved.
    fn moved_by_both(&mut self, old: usize, one: Move, other: Move) -> Result<(), MergeError> {
        let (ours, theirs) = if one.side == 1 {
            (one, other)
        } else {
            (other, one)
        };
        let base = self.paths.entries[old].versions[BASE];
        let (Some(our_place), Some(their_place)) =
            (self.paths.find(&ours.to), self.paths.find(&theirs.to))
        else {
            return Ok(());
        };
        if our_place == their_place {
            let entry = &mut self.paths.entries[our_place];
            entry.versions[BASE] = base;
            entry.files |= 1;
            self.leave(old);
            return Ok(());
        }
        let our_version = self.paths.entries[our_place].versions[1];
        let their_version = self.paths.entries[their_place].versions[2];
        let versions = [base, our_version, their_version];
        let paths = [&ours.from, &ours.to, &theirs.to];
        let (merged, clean) = self.merge_versions(versions, paths, 1 + 2 * self.depth)?;
        // Of a file that can't be merged each side keeps its own.
        let kept = !clean && merged == our_version;
        self.paths.entries[our_place].versions[1] = merged;
        self.paths.entries[their_place].versions[2] = if kept { their_version } else { merged };
        for place in [our_place, their_place, old] {
            self.paths.entries[place].misplaced = true;
        }
        Ok(())
    }

    /// A file that one side moved.
    fn moved(&mut self, old: usize, moved: &Move) -> Result<(), MergeError> {
        let Some(new) = self.paths.find(&moved.to) else {
            return Ok(());
        };
        let (side, other) = (moved.side, 3 - moved.side);
        let source = self.paths.entries[old].clone();
        let target = &self.paths.entries[new];
        let deleted = source.files == 1;
        // What stands at the new path on the other side is no other file then, but what the link, say, was
        // that stands at the old one now.
        let retyped =
            !deleted && source.versions[other].is_regular() != target.versions[side].is_regular();
        let collides = target.files & (1 << other) != 0 && !retyped;
        if collides && !deleted {
            let mut versions = source.versions;
            versions[side] = target.versions[side];
            let mut paths = [&moved.from; 3];
            paths[side] = &moved.to;
            let (merged, _) = self.merge_versions(versions, paths, 1 + 2 * self.depth)?;
            self.paths.entries[new].versions[side] = merged;
        } else if collides {
            self.paths.entries[new].misplaced = true;
        } else {
            let target = &mut self.paths.entries[new];
            target.versions[BASE] = source.versions[BASE];
            target.files |= 1;
            target.paths[BASE] = Rc::clone(&moved.from);
            if deleted {
                target.misplaced = true;
            } else if !retyped {
                target.versions[other] = source.versions[other];
                target.files |= 1 << other;
                target.paths[other] = Rc::clone(&moved.from);
            }
        }
        if !retyped {
            self.leave(old);
        } else {
            let nothing = self.objects.nothing();
            let source = &mut self.paths.entries[old];
            source.versions[BASE] = nothing;
            source.files &= 6;
        }
        Ok(())
    }

    /// Nothing is left at the old path of a file.
    fn leave(&mut self, old: usize) {
        let entry = &mut self.paths.entries[old];
        entry.gone = true;
        entry.clean = true;
    }

    /// Whose names files get that have to make way.
    pub(super) fn free_path(&self, path: &[u8], side: usize) -> Path {
        let label = self.labels[side - 1].iter();
        let label = label.map(|byte| if *byte == b'/' { b'_' } else { *byte });
        let mut free: Vec<u8> = path.iter().copied().chain([b'~']).chain(label).collect();
        let length = free.len();
        for number in 0.. {
            if self.paths.find(&free).is_none() {
                break;
            }
            free.truncate(length);
            free.extend_from_slice(format!("_{number}").as_bytes());
        }
        free.into()
    }
}
