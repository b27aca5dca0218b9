//! How much one push may cost.
//!
//! Invariant: nothing in `receive` grows by a number that a stranger names before that number, or
//! the bytes that back it, stood the test of a limit in here.
//! Not here: how many pushes run at once and how long they may take (the transports).

use std::collections::HashSet;

use gix_hash::ObjectId;

use super::check::Strictness;

/// The bounds of one pack; each is inclusive.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of the pack as it arrives, trailer included. Default: 8 GiB.
    pub pack_bytes: u64,
    /// Objects in the pack. Each costs up to 150 bytes of memory while the pack is checked, so the
    /// default, 12 million, stands for 1.8 GB; it lets the history of Linux pass.
    pub objects: u32,
    /// Bytes of all objects together, inflated and with their deltas applied, counting each time
    /// that one must be computed anew. Default: 1 TiB.
    pub inflated_bytes: u64,
    /// How many inflated bytes each byte of the pack may stand for, once past
    /// [`Limits::FREE_INFLATED_BYTES`]: what stops a small pack of deltas upon deltas. Default:
    /// 2000; the whole history of git itself reaches 26.
    pub expansion: u64,
    /// Bytes of a single object. Blobs that are not deltas pass through without being held.
    /// Default: 8 GiB.
    pub object_bytes: u64,
    /// Bytes of a delta, its base or its result; large ones are built in files. Default: 512 MiB,
    /// git's own `core.bigFileThreshold`, above which it makes no deltas.
    pub delta_bytes: u64,
    /// Bytes of a commit, tree or tag, which are held in memory. Default: 32 MiB, a tree of about a
    /// million short names.
    pub parsed_bytes: u64,
    /// Deltas between an object and the whole one it is finally built on. Default: 4095, the most
    /// that git's `--depth` takes.
    pub delta_depth: u32,
    /// Entries of one tree. Default: one million.
    pub tree_entries: usize,
    /// Folders in each other, the top included, as far as the pack brings them. Default: 2048, as
    /// git's own `core.maxTreeDepth`.
    pub tree_depth: usize,
    /// What becomes of faults of objects. Default: [`Strictness::strict`].
    pub strictness: Strictness,
    /// Commits whose parents may be missing, since the pusher does not have them either. Default:
    /// none.
    pub shallow: HashSet<ObjectId>,
}

impl Limits {
    /// Inflated bytes that [`Limits::expansion`] does not look at, so that short, very repetitive
    /// packs pass.
    pub const FREE_INFLATED_BYTES: u64 = 1 << 30;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            pack_bytes: 8 << 30,
            objects: 12_000_000,
            inflated_bytes: 1 << 40,
            expansion: 2000,
            object_bytes: 8 << 30,
            delta_bytes: 512 << 20,
            parsed_bytes: 32 << 20,
            delta_depth: 4095,
            tree_entries: 1_000_000,
            tree_depth: 2048,
            strictness: Strictness::strict(),
            shallow: HashSet::new(),
        }
    }
}

/// What a limit counts, for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limited {
    /// [`Limits::pack_bytes`]
    PackBytes,
    /// [`Limits::objects`]
    Objects,
    /// [`Limits::inflated_bytes`]
    InflatedBytes,
    /// [`Limits::expansion`]
    Expansion,
    /// [`Limits::object_bytes`]
    ObjectBytes,
    /// [`Limits::delta_bytes`]
    DeltaBytes,
    /// [`Limits::parsed_bytes`]
    ParsedBytes,
    /// [`Limits::delta_depth`]
    DeltaDepth,
    /// [`Limits::tree_entries`]
    TreeEntries,
    /// [`Limits::tree_depth`]
    TreeDepth,
}

impl std::fmt::Display for Limited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::PackBytes => "bytes in the pack",
            Self::Objects => "objects in the pack",
            Self::InflatedBytes => "inflated bytes",
            Self::Expansion => "inflated bytes for each byte of the pack",
            Self::ObjectBytes => "bytes in an object",
            Self::DeltaBytes => "bytes in an object that is stored as a delta",
            Self::ParsedBytes => "bytes in a commit, tree or tag",
            Self::DeltaDepth => "deltas upon each other",
            Self::TreeEntries => "entries in a tree",
            Self::TreeDepth => "folders in each other",
        })
    }
}

/// The inflated bytes that one pack has cost so far.
///
/// Invariant: no step that produces bytes goes on after the sum passed a limit.
#[derive(Debug)]
pub(super) struct Expense {
    spent: u64,
}

impl Expense {
    pub(super) fn new() -> Self {
        Self { spent: 0 }
    }

    /// Adds `bytes` for a pack of which `pack_bytes` have arrived.
    pub(super) fn charge(
        &mut self,
        bytes: u64,
        pack_bytes: u64,
        limits: &Limits,
    ) -> Result<(), super::ReceiveError> {
        self.spent = self.spent.saturating_add(bytes);
        super::ReceiveError::bound(Limited::InflatedBytes, limits.inflated_bytes, self.spent)?;
        let free = Limits::FREE_INFLATED_BYTES;
        if self.spent > free.saturating_add(pack_bytes.saturating_mul(limits.expansion)) {
            return Err(super::ReceiveError::Limit {
                what: Limited::Expansion,
                limit: limits.expansion,
            });
        }
        Ok(())
    }
}
