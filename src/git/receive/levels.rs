//! How deep the folders of a push lie in each other.
//!
//! Source: git's `core.maxTreeDepth`, beyond which its clients refuse to read a tree.
//! Bounds: 16 bytes for each folder that a tree has and the tree it was built on has not, and for each
//! tree that was built on another; nothing at all for a pack of fewer objects than the limit.
//! Invariant: a pack whose own trees stack higher than the limit never passes; what the repository holds
//! already counts as one level.
//! Not here: what else is wrong with a tree (`check`).

use std::collections::HashMap;

use gix_hash::ObjectId;
use gix_object::{Kind, TreeRefIter};

use super::{
    ReceiveError,
    index::Order,
    limits::Limited,
    pack::{Decoder, UnpublishedPack},
};

/// Notes which trees hold which.
#[derive(Debug)]
pub(super) struct Levels {
    most: usize,
    /// Whether the pack has objects enough to stack higher than allowed.
    noting: bool,
    /// Trees and those that they hold.
    holds: Vec<(u64, u64)>,
    /// Trees and those that they were built on, whose folders they may hold too.
    built_on: Vec<(u64, u64)>,
}

impl Levels {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            noting: false,
            holds: Vec::new(),
            built_on: Vec::new(),
        }
    }

    /// Says how many objects are coming.
    pub(super) fn expect(&mut self, count: u32) {
        self.noting = usize::try_from(count).map_or(true, |count| count > self.most);
    }

    /// A tree, the one that it was built on, and folders that the latter has not.
    pub(super) fn tree(
        &mut self,
        id: &ObjectId,
        base: Option<&ObjectId>,
        folders: impl Iterator<Item = ObjectId>,
    ) {
        if self.noting {
            self.holds
                .extend(folders.map(|folder| (key(id), key(&folder))));
            self.built_on.extend(base.map(|base| (key(id), key(base))));
        }
    }

    /// Demands that no tree of the pack stacks too high.
    pub(super) fn check(
        mut self,
        pack: &UnpublishedPack,
        order: &Order,
        charge: &mut dyn FnMut(u64) -> Result<(), ReceiveError>,
    ) -> Result<(), ReceiveError> {
        self.holds.sort_unstable();
        self.built_on.sort_unstable();
        if !self.noting || self.surely_fits() {
            return Ok(());
        }
        measure(pack, order, self.most, charge)
    }

    /// Whether no tree stacks too high even if each holds all that the tree has that it was built on.
    /// A tree may have been built on one that holds it: then nothing is sure.
    fn surely_fits(&self) -> bool {
        /// On the way down from it.
        const OPEN: usize = usize::MAX;
        let of = |links: &'_ [(u64, u64)], tree: u64| {
            let begin = links.partition_point(|link| link.0 < tree);
            let end = links.partition_point(|link| link.0 <= tree);
            begin..end
        };
        let mut heights: HashMap<u64, usize> = HashMap::new();
        let mut stack = Vec::new();
        for (top, _) in self.holds.iter().chain(&self.built_on) {
            if heights.contains_key(top) {
                continue;
            }
            heights.insert(*top, OPEN);
            stack.push((*top, of(&self.holds, *top), of(&self.built_on, *top), 1));
            while let Some((tree, holds, built_on, height)) = stack.last_mut() {
                let next = match holds.next() {
                    Some(at) => Some((self.holds[at].1, 1)),
                    None => built_on.next().map(|at| (self.built_on[at].1, 0)),
                };
                let Some((next, step)) = next else {
                    if *height > self.most {
                        return false;
                    }
                    heights.insert(*tree, *height);
                    stack.pop();
                    continue;
                };
                match heights.get(&next) {
                    Some(&OPEN) => return false,
                    Some(known) => *height = (*height).max(known + step),
                    None if of(&self.holds, next).is_empty()
                        && of(&self.built_on, next).is_empty() =>
                    {
                        *height = (*height).max(1 + step);
                    }
                    None => {
                        heights.insert(next, OPEN);
                        // Looked at again once it is known.
                        if step == 1 {
                            holds.start -= 1;
                        } else {
                            built_on.start -= 1;
                        }
                        stack.push((next, of(&self.holds, next), of(&self.built_on, next), 1));
                    }
                }
            }
        }
        true
    }
}

/// The first eight bytes of an id. Where two ids share them, too much is measured, never too little.
fn key(id: &ObjectId) -> u64 {
    let first = id.as_slice().first_chunk();
    u64::from_be_bytes(*first.expect("ids have 20 bytes or more"))
}

/// Reads all trees of the pack and refuses them where they stack too high.
fn measure(
    pack: &UnpublishedPack,
    order: &Order,
    most: usize,
    charge: &mut dyn FnMut(u64) -> Result<(), ReceiveError>,
) -> Result<(), ReceiveError> {
    let mut decoder = Decoder::new();
    let mut heights = vec![0_usize; pack.entries.len()];
    let count = u32::try_from(pack.entries.len()).expect("a pack holds less than 2^32 objects");
    let mut folders = |number: u32| -> Result<Vec<u32>, ReceiveError> {
        let content = decoder.object(pack, number, u64::MAX, &mut *charge)?;
        let content = content.held().expect("objects of any size are held");
        let entries = TreeRefIter::from_bytes(content, pack.format);
        let folders = entries.filter_map(|entry| entry.ok().filter(|entry| entry.mode.is_tree()));
        let in_pack = |id| order.find(&pack.entries, &id);
        Ok(folders
            .filter_map(|entry| in_pack(entry.oid.to_owned()))
            .collect())
    };
    let mut stack = Vec::new();
    for top in 0..count {
        if pack.entry(top).kind != Some(Kind::Tree) || heights[top as usize] > 0 {
            continue;
        }
        stack.push((top, folders(top)?, 1));
        while let Some((tree, open, height)) = stack.last_mut() {
            ReceiveError::bound(Limited::TreeDepth, most as u64, *height as u64)?;
            let Some(next) = open.pop() else {
                heights[*tree as usize] = *height;
                let height = *height + 1;
                stack.pop();
                if let Some((_, _, above)) = stack.last_mut() {
                    *above = height.max(*above);
                }
                continue;
            };
            match heights[next as usize] {
                0 => {
                    let depth = stack.len() as u64 + 1;
                    ReceiveError::bound(Limited::TreeDepth, most as u64, depth)?;
                    stack.push((next, folders(next)?, 1));
                }
                known => *height = (*height).max(known + 1),
            }
        }
    }
    Ok(())
}
