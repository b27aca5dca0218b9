//! A pack that is decided on: what is in it and how the client takes it.
//!
//! Source: gitformat-pack(5).
//! Invariant: a plan does not change; writing it twice gives the same bytes.
//! Not here: which objects (`enumerate`), how they become bytes (`writer`), how the transport frames
//! the bytes.

use super::{Progress, enumerate::ObjectSet, writer::Writer};
use crate::git::packs::ReadError;

/// The receiver of a pack wants no more of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the receiver of the pack is gone")]
pub struct Stopped;

/// Why a pack is not written to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// An object can't be read.
    #[error("cannot read an object of the pack")]
    Read(#[from] ReadError),
    /// The sink refused bytes.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// How the client takes packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Encoding {
    /// Deltas may stand against objects outside of the pack.
    pub(super) thin: bool,
    /// Deltas may name their base by distance.
    pub(super) offset_deltas: bool,
    /// About how many bytes may be read and compared to find deltas.
    pub(super) search_bytes_max: u64,
}

/// A pack ready to be written: what is in it is decided, no byte exists yet.
#[derive(Debug)]
pub struct PackPlan {
    objects: ObjectSet,
    encoding: Encoding,
    count: u32,
}

impl PackPlan {
    pub(super) fn new(objects: ObjectSet, encoding: Encoding) -> Self {
        let count = u32::try_from(objects.selected.len()).expect("object numbers have 32 bits");
        Self {
            objects,
            encoding,
            count,
        }
    }

    /// The same pack, for which less or more may be compared.
    #[cfg(test)]
    pub(super) fn with_search_bytes_max(mut self, bytes: u64) -> Self {
        self.encoding.search_bytes_max = bytes;
        self
    }

    /// How many objects the pack will hold.
    pub fn object_count(&self) -> u32 {
        self.count
    }

    /// Bytes of memory it takes, the packs not counted.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>()
            + self.objects.selected.memory_bytes()
            + self.objects.client.memory_bytes()
            + self.objects.sightings.memory_bytes()
    }

    /// Ids of the objects the pack will hold, in no useful order.
    pub fn object_ids(&self) -> impl Iterator<Item = crate::model::ObjectId> + '_ {
        let all = 0..u32::try_from(self.objects.packs.object_count()).unwrap_or(u32::MAX);
        all.filter(|number| self.objects.selected.contains(*number))
            .map(|number| self.objects.packs.id_of(number).to_owned())
    }

    /// Writes the pack into `sink`, in slices of at most 64 KiB, and tells how far it is.
    ///
    /// # Errors
    /// When an object can't be read or the sink wants no more; what was written is no whole pack.
    pub fn write_to(
        &self,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), WriteError> {
        Writer::new(&self.objects, self.encoding, sink, progress).run(self.count)
    }
}
