//! Trees as lists of entries, made from deltas without parsing again what the base has in common.
//!
//! Source: gitformat-pack(5) for deltas; a tree is `mode SP name NUL id` over and over.
//! Bounds: [`CACHE_BYTES`] of trees are remembered.
//! Invariant: an entry counts as seen only when the caller was given it, or when a delta copied it
//! whole, to or from a tree in which it is seen. Copied entries are taken for the base's only if they
//! begin where one of the base's entries begins.
//! Not here: what the entries are good for (`enumerate`).

use std::{cmp::Ordering, ops::Range, sync::Arc};

use gix_object::Kind;

use crate::git::packs::{
    Cache, DELTA_CHAIN_MAX, Entry, Inflater, Instruction, Location, Pack, PackSet, ReadError,
    Stored, instructions,
};

/// Trees remembered, in bytes. Twice as much saves a tenth of the time on the history of git, a third
/// costs as much.
const CACHE_BYTES: usize = 48 << 20;

/// A tree object and where its entries begin.
#[derive(Debug, Default)]
pub(super) struct Tree {
    bytes: Vec<u8>,
    starts: Vec<u32>,
}

/// What one entry of a tree names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    Tree,
    /// A file or a symbolic link.
    Blob,
    /// A commit of another repository.
    Link,
}

impl Tree {
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// Kind, name and id of the entry at this place.
    pub(super) fn entry(&self, at: usize, hash_bytes: usize) -> (EntryKind, &[u8], &gix_hash::oid) {
        let start = self.starts[at] as usize;
        let end = self
            .starts
            .get(at + 1)
            .map_or(self.bytes.len(), |next| *next as usize);
        let (text, id) = self.bytes[start..end].split_at(end - start - hash_bytes);
        let space = text.iter().position(|byte| *byte == b' ').unwrap_or(0);
        let (mode, name) = (&text[..space], &text[space + 1..text.len() - 1]);
        (kind_of(mode), name, gix_hash::oid::from_bytes_unchecked(id))
    }

    /// The id of the entry of this kind and name, if there is one.
    pub(super) fn find(
        &self,
        kind: EntryKind,
        name: &[u8],
        hash_bytes: usize,
    ) -> Option<&gix_hash::oid> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low.midpoint(high);
            let (other_kind, other_name, id) = self.entry(middle, hash_bytes);
            match in_tree_order((other_kind, other_name), (kind, name)) {
                Ordering::Less => low = middle + 1,
                Ordering::Greater => high = middle,
                // A folder that became a file stands elsewhere, a link in place of a file does not.
                Ordering::Equal => return (other_kind == kind).then_some(id),
            }
        }
        None
    }

    /// Marks off entries from `parsed` on as long as they are whole.
    fn parse(&mut self, parsed: &mut usize, until: usize, hash_bytes: usize) -> Option<()> {
        while *parsed < until {
            let Some(end) = entry_end(&self.bytes[*parsed..], hash_bytes)? else {
                break;
            };
            self.starts.push(u32::try_from(*parsed).ok()?);
            *parsed += end;
        }
        Some(())
    }
}

/// Entries are sorted by name, those of folders as if a slash followed.
fn in_tree_order(left: (EntryKind, &[u8]), right: (EntryKind, &[u8])) -> Ordering {
    let shared = left.1.len().min(right.1.len());
    let next = |(kind, name): (EntryKind, &[u8])| {
        let slash = (kind == EntryKind::Tree).then_some(b'/');
        name.get(shared).copied().or(slash)
    };
    let heads = left.1[..shared].cmp(&right.1[..shared]);
    heads
        .then_with(|| next(left).cmp(&next(right)))
        .then_with(|| left.1.len().cmp(&right.1.len()))
}

fn kind_of(mode: &[u8]) -> EntryKind {
    match mode {
        b"100644" | b"100755" | b"120000" => EntryKind::Blob,
        b"40000" => EntryKind::Tree,
        _ => {
            let digit = |value: u32, byte: &u8| value << 3 | u32::from(byte & 7);
            match mode.iter().fold(0, digit) & 0o170_000 {
                0o040_000 => EntryKind::Tree,
                0o160_000 => EntryKind::Link,
                _ => EntryKind::Blob,
            }
        }
    }
}

/// Length of the entry at the start of `bytes`: `None` if it is none, `Some(None)` if it is cut.
fn entry_end(bytes: &[u8], hash_bytes: usize) -> Option<Option<usize>> {
    /// `40000` to `100644`; git itself takes no longer mode.
    const MODE_MAX: usize = 7;
    let head = &bytes[..bytes.len().min(MODE_MAX)];
    let Some(space) = head.iter().position(|byte| *byte == b' ') else {
        return (head.len() < MODE_MAX && head.iter().all(u8::is_ascii_digit)).then_some(None);
    };
    if space == 0 || !head[..space].iter().all(|byte| matches!(byte, b'0'..=b'7')) {
        return None;
    }
    let Some(nul) = bytes[space..].iter().position(|byte| *byte == 0) else {
        return Some(None);
    };
    let end = space + nul + 1 + hash_bytes;
    Some((end <= bytes.len()).then_some(end))
}

struct Cached {
    tree: Arc<Tree>,
    /// For each entry, whether the caller has seen what it names; entries beyond the end are unseen,
    /// and all are while the tree is being used.
    seen: Vec<bool>,
}

/// Reads trees and tells which of their entries may be new.
pub(super) struct Trees {
    packs: Arc<PackSet>,
    hash_bytes: usize,
    inflater: Inflater,
    cache: Cache<Cached>,
    delta: Vec<u8>,
    chain: Vec<(u64, Entry)>,
    levels: Vec<Level>,
    /// Memory of trees that were forgotten.
    spare: Vec<Tree>,
}

/// One tree of a chain of deltas.
struct Level {
    offset: u64,
    seen: Vec<bool>,
    copies: Vec<Copied>,
}

/// Entries that a delta copied whole.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Copied {
    /// Their places in the base.
    from: Range<usize>,
    /// The place of the first in the tree made from it.
    to: usize,
}

impl Trees {
    pub(super) fn new(packs: Arc<PackSet>) -> Self {
        Self {
            hash_bytes: packs.format().kind().len_in_bytes(),
            cache: Cache::new(CACHE_BYTES, packs.memory().loan()),
            packs,
            inflater: Inflater::default(),
            delta: Vec::new(),
            chain: Vec::new(),
            levels: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// Reads the tree. The caller promises to see to all entries listed in `fresh`; others were
    /// listed so before, in this tree or in one that shares them by a delta.
    pub(super) fn visit(
        &mut self,
        location: Location,
        fresh: &mut Vec<u32>,
    ) -> Result<Arc<Tree>, ReadError> {
        let tree = self.load(location)?;
        fresh.clear();
        let Some(last) = self.levels.last_mut() else {
            return Ok(tree);
        };
        for (at, seen) in (0u32..).zip(&mut last.seen) {
            if !std::mem::replace(seen, true) {
                fresh.push(at);
            }
        }
        // What the tree has copied from its bases is seen there, too.
        for at in (1..self.levels.len()).rev() {
            let (bases, made) = self.levels.split_at_mut(at);
            for Copied { from, to } in &made[0].copies {
                let made = &made[0].seen[*to..*to + from.len()];
                let base = &mut bases[at - 1].seen[from.clone()];
                base.iter_mut()
                    .zip(made)
                    .for_each(|(base, made)| *base |= made);
            }
        }
        self.put_back(location.pack);
        Ok(tree)
    }

    /// Reads the tree and promises nothing.
    pub(super) fn read(&mut self, location: Location) -> Result<Arc<Tree>, ReadError> {
        let tree = self.load(location)?;
        self.put_back(location.pack);
        Ok(tree)
    }

    /// Remembers what was seen in the trees just loaded.
    fn put_back(&mut self, pack: u32) {
        for level in self.levels.drain(..) {
            if let Some(cached) = self.cache.get(pack, level.offset) {
                cached.seen = level.seen;
            }
        }
    }

    /// The tree; on the way `levels` is filled with those it is made from and itself at the end.
    fn load(&mut self, location: Location) -> Result<Arc<Tree>, ReadError> {
        let packs = Arc::clone(&self.packs);
        let pack = packs.pack(location.pack);
        let mut tree = self.base(pack, location)?;
        while let Some((offset, entry)) = self.chain.pop() {
            self.inflater.whole(pack, offset, &entry, &mut self.delta)?;
            let mut made = self.spare.pop().unwrap_or_default();
            let mut copies = Vec::new();
            patch(&tree, &self.delta, &mut made, &mut copies, self.hash_bytes)
                .ok_or_else(|| pack.damaged(offset, "tree does not parse or delta does not fit"))?;
            let mut seen = vec![false; made.len()];
            if let Some(base) = self.levels.last() {
                for Copied { from, to } in &copies {
                    seen[*to..*to + from.len()].copy_from_slice(&base.seen[from.clone()]);
                }
            }
            tree = Arc::new(made);
            self.remember(location.pack, offset, &tree);
            self.levels.push(Level {
                offset,
                seen,
                copies,
            });
        }
        Ok(tree)
    }

    /// The nearest tree that is at hand; the deltas from there to the one wanted go into `chain`.
    fn base(&mut self, pack: &Pack, location: Location) -> Result<Arc<Tree>, ReadError> {
        self.chain.clear();
        self.levels.clear();
        let mut offset = location.offset;
        loop {
            if let Some(cached) = self.cache.get(location.pack, offset) {
                let mut seen = std::mem::take(&mut cached.seen);
                seen.resize(cached.tree.len(), false);
                self.levels.push(Level {
                    offset,
                    seen,
                    copies: Vec::new(),
                });
                return Ok(Arc::clone(&cached.tree));
            }
            let entry = pack.entry(offset)?;
            if let Some(base) = pack.base_offset(offset, &entry)? {
                if self.chain.len() >= DELTA_CHAIN_MAX {
                    return Err(pack.damaged(offset, "chain of deltas is too long"));
                }
                self.chain.push((offset, entry));
                offset = base;
                continue;
            }
            if entry.stored != Stored::Whole(Kind::Tree) {
                return Err(ReadError::Malformed {
                    id: pack.id_at(location.position).to_owned(),
                    expected: Kind::Tree,
                });
            }
            let mut tree = self.spare.pop().unwrap_or_default();
            tree.starts.clear();
            self.inflater.whole(pack, offset, &entry, &mut tree.bytes)?;
            let (mut parsed, end) = (0, tree.bytes.len());
            tree.parse(&mut parsed, end, self.hash_bytes)
                .filter(|()| parsed == end)
                .ok_or_else(|| pack.damaged(offset, "tree does not parse"))?;
            let tree = Arc::new(tree);
            let seen = vec![false; tree.len()];
            self.remember(location.pack, offset, &tree);
            self.levels.push(Level {
                offset,
                seen,
                copies: Vec::new(),
            });
            return Ok(tree);
        }
    }

    fn remember(&mut self, pack: u32, offset: u64, tree: &Arc<Tree>) {
        // Trees are made in the memory of others, so what they hold may be far more than they need.
        let bytes = tree.bytes.capacity() + 4 * tree.starts.capacity() + tree.len();
        let cached = Cached {
            tree: Arc::clone(tree),
            seen: Vec::new(),
        };
        let dropped = self.cache.insert(pack, offset, cached, bytes);
        if let Some(tree) = dropped.and_then(|cached| Arc::into_inner(cached.tree)) {
            self.spare.push(tree);
        }
    }
}

/// Makes the tree that `delta` tells of `base`, and notes which entries are whole copies.
fn patch(
    base: &Tree,
    delta: &[u8],
    made: &mut Tree,
    copies: &mut Vec<Copied>,
    hash_bytes: usize,
) -> Option<()> {
    made.bytes.clear();
    made.starts.clear();
    let (base_size, size, steps) = instructions(delta)?;
    // Places are 32 bits wide.
    if base_size != base.bytes.len() || u32::try_from(size).is_err() {
        return None;
    }
    let mut parsed = 0;
    for step in steps {
        let at = made.bytes.len();
        let (bytes, copied_from) = match step? {
            Instruction::Copy { offset, length } => {
                (base.bytes.get(offset..)?.get(..length)?, Some(offset))
            }
            Instruction::Insert(bytes) => (bytes, None),
        };
        if at + bytes.len() > size {
            return None;
        }
        made.bytes.extend_from_slice(bytes);
        let Some(offset) = copied_from else { continue };
        // An entry that began before the copy ends in it.
        made.parse(&mut parsed, at, hash_bytes)?;
        if parsed < at {
            continue;
        }
        let wanted = u32::try_from(offset + (parsed - at)).ok()?;
        let Ok(first) = base.starts.binary_search(&wanted) else {
            continue;
        };
        // Whole entries only: those before the start of one that lies beyond the copy.
        let copy_end = offset + bytes.len();
        let begun = base.starts[first..].partition_point(|start| *start as usize <= copy_end);
        let end = first + begun - usize::from(copy_end < base.bytes.len());
        let shift = u32::try_from(parsed).ok()?.wrapping_sub(wanted);
        copies.push(Copied {
            from: first..end,
            to: made.starts.len(),
        });
        let copied = base.starts[first..end].iter();
        made.starts
            .extend(copied.map(|start| start.wrapping_add(shift)));
        let copied_end = base
            .starts
            .get(end)
            .map_or(base.bytes.len(), |start| *start as usize);
        parsed += copied_end - wanted as usize;
    }
    made.parse(&mut parsed, size, hash_bytes)?;
    (made.bytes.len() == size && parsed == size).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(entries: &[(&str, u8)]) -> Tree {
        let mut tree = Tree::default();
        for (text, id) in entries {
            tree.bytes.extend_from_slice(text.as_bytes());
            tree.bytes.push(0);
            tree.bytes.extend_from_slice(&[*id; 20]);
        }
        let mut parsed = 0;
        let end = tree.bytes.len();
        tree.parse(&mut parsed, end, 20).unwrap();
        assert_eq!((parsed, tree.len()), (end, entries.len()));
        tree
    }

    /// A delta of copies (offset, length) and inserts.
    fn delta(base: &Tree, size: u8, steps: &[Result<(u8, u8), &[u8]>]) -> Vec<u8> {
        let mut delta = vec![u8::try_from(base.bytes.len()).unwrap(), size];
        if base.bytes.len() > 127 || size > 127 {
            panic!("test trees are small");
        }
        for step in steps {
            match step {
                Ok((offset, length)) => delta.extend_from_slice(&[0x91, *offset, *length]),
                Err(bytes) => {
                    delta.push(u8::try_from(bytes.len()).unwrap());
                    delta.extend_from_slice(bytes);
                }
            }
        }
        delta
    }

    fn copied(from: Range<usize>, to: usize) -> Copied {
        Copied { from, to }
    }

    #[test]
    fn entries_that_the_delta_did_not_write_are_copies() {
        // Each entry is 6 + 1 + 1 + 1 + 20 = 29 bytes long.
        let base = tree(&[("100644 a", 1), ("100644 b", 2), ("100644 c", 3)]);
        let expected = tree(&[("100644 a", 1), ("100644 b", 9), ("100644 c", 3)]);
        let steps = [Ok((0, 38)), Err(&[9u8; 20][..]), Ok((58, 29))];
        let (mut made, mut copies) = (Tree::default(), Vec::new());
        patch(&base, &delta(&base, 87, &steps), &mut made, &mut copies, 20).unwrap();
        assert_eq!((made.bytes, made.starts), (expected.bytes, expected.starts));
        assert_eq!(copies, [copied(0..1, 0), copied(2..3, 2)]);
    }

    #[test]
    fn an_entry_put_together_from_the_middle_of_others_is_no_copy() {
        let base = tree(&[("100644 a", 1), ("100644 b", 2), ("100644 c", 3)]);
        // The head of `a` with the id of `b`, then `c` whole, then `a` without its first byte.
        let steps = [
            Ok((0, 9)),
            Ok((38, 20)),
            Ok((58, 29)),
            Err(&b"1"[..]),
            Ok((1, 28)),
        ];
        let (mut made, mut copies) = (Tree::default(), Vec::new());
        patch(&base, &delta(&base, 87, &steps), &mut made, &mut copies, 20).unwrap();
        assert_eq!(made.starts, [0, 29, 58]);
        copies.retain(|copied| !copied.from.is_empty());
        assert_eq!(copies, [copied(2..3, 1)]);
        assert_eq!(made.entry(0, 20).1, b"a");
        assert_eq!(made.entry(0, 20).2.as_bytes(), [2; 20]);
    }

    #[test]
    fn an_entry_is_found_by_kind_and_name_in_the_order_of_trees() {
        let entries = [
            ("100644 a", 1),
            ("100644 lib-c", 2),
            ("100644 lib.c", 3),
            ("40000 lib", 4),
            ("100644 lib0", 5),
            ("160000 module", 6),
        ];
        let tree = tree(&entries);
        let find = |kind, name: &str| {
            let id = tree.find(kind, name.as_bytes(), 20)?;
            Some(id.as_bytes()[0])
        };
        for (text, id) in entries {
            let (mode, name) = text.split_once(' ').unwrap();
            let kind = kind_of(mode.as_bytes());
            assert_eq!(find(kind, name), Some(id), "{text}");
        }
        assert_eq!(find(EntryKind::Blob, "lib"), None);
        assert_eq!(find(EntryKind::Tree, "a"), None);
        assert_eq!(find(EntryKind::Blob, "module"), None);
        assert_eq!(find(EntryKind::Blob, "zoo"), None);
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        let base = tree(&[("100644 a", 1)]);
        for steps in [
            &[Ok((0, 28))][..],
            &[Ok((7, 22))],
            &[Err(&b"100644 a"[..])],
            &[Err(&b" a\0"[..]), Ok((0, 20))],
            &[Err(&b"1006448 a\0"[..]), Ok((0, 20))],
        ] {
            let size = steps
                .iter()
                .map(|step| step.map_or_else(<[u8]>::len, |copy| copy.1.into()));
            let size = u8::try_from(size.sum::<usize>()).unwrap();
            let (mut made, mut copies) = (Tree::default(), Vec::new());
            let patched = patch(
                &base,
                &delta(&base, size, steps),
                &mut made,
                &mut copies,
                20,
            );
            assert_eq!(patched, None, "{steps:?}");
        }
    }
}
