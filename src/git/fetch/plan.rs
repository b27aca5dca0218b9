//! A pack that is decided on: what is in it and how the client takes it.
//!
//! Source: gitformat-pack(5).
//! Bounds: what later writings are spared takes [`KEPT_BYTES_MAX`] at most.
//! Invariant: a plan does not change; writing it twice gives the same bytes.
//! Not here: which objects (`enumerate`), how they become bytes (`writer`), how the transport frames
//! the bytes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::{
    Progress,
    enumerate::ObjectSet,
    output::{CHUNK_BYTES, Written},
    writer::Writer,
};
use crate::git::packs::{Pack, ReadError};

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

/// A pack of no more bytes than this is kept when it is asked for a second time.
const KEPT_BYTES_MAX: usize = 8 << 20;

/// A pack ready to be written: what is in it is decided, its bytes need not exist yet.
#[derive(Debug)]
pub struct PackPlan {
    objects: ObjectSet,
    encoding: Encoding,
    count: u32,
    past: Mutex<Past>,
}

/// What earlier writings spare the next one.
#[derive(Debug, Clone, Default)]
enum Past {
    /// Nobody asked so far, or nobody stayed to the end.
    #[default]
    Unwritten,
    /// It is a file of the repository, byte for byte.
    OnDisk(Written),
    /// The hash at the end is known.
    Hashed(Written),
    /// One writing is being kept.
    Keeping(Written),
    /// It is too long to be kept.
    TooLong(Written),
    /// All of it.
    Kept(Arc<[u8]>),
}

impl Past {
    fn written(&self) -> Option<Written> {
        match self {
            Self::OnDisk(written)
            | Self::Hashed(written)
            | Self::Keeping(written)
            | Self::TooLong(written) => Some(*written),
            Self::Unwritten | Self::Kept(_) => None,
        }
    }
}

impl PackPlan {
    pub(super) fn new(objects: ObjectSet, encoding: Encoding) -> Self {
        let count = u32::try_from(objects.selected.len()).expect("object numbers have 32 bits");
        let past = match on_disk(&objects, encoding, count) {
            Some(written) => Past::OnDisk(written),
            None => Past::Unwritten,
        };
        Self {
            objects,
            encoding,
            count,
            past: Mutex::new(past),
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
        let kept = match &*self.past() {
            Past::Kept(bytes) => bytes.len(),
            Past::Keeping(written) => written.length.try_into().unwrap_or(usize::MAX),
            Past::Unwritten | Past::OnDisk(_) | Past::Hashed(_) | Past::TooLong(_) => 0,
        };
        size_of::<Self>()
            + kept
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
    /// The second writing of a short pack is kept, and the bytes of any are hashed once: those of a pack
    /// that lies so on disk were when it came.
    ///
    /// # Errors
    /// When an object can't be read or the sink wants no more; what was written is no whole pack.
    pub fn write_to(
        &self,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<(), WriteError> {
        let past = self.past().clone();
        match past {
            Past::Kept(bytes) => {
                for chunk in bytes.chunks(CHUNK_BYTES) {
                    sink(chunk)?;
                }
                progress(Progress::Writing(u64::from(self.count)));
                return Ok(());
            }
            Past::Hashed(written) if self.may_keep(written) => {
                let kept = self.write_and_keep(written, sink, progress);
                *self.past() = match &kept {
                    Ok(bytes) => Past::Kept(Arc::clone(bytes)),
                    Err(_) => Past::Hashed(written),
                };
                return kept.map(drop);
            }
            Past::Unwritten
            | Past::OnDisk(_)
            | Past::Hashed(_)
            | Past::Keeping(_)
            | Past::TooLong(_) => {}
        }
        let writer = Writer::new(&self.objects, self.encoding, past.written(), sink, progress);
        let written = writer.run(self.count)?;
        let mut past = self.past();
        if matches!(*past, Past::Unwritten) {
            *past = Past::Hashed(written);
        }
        Ok(())
    }

    /// Whether this writing is to be kept; nobody else will keep theirs then.
    fn may_keep(&self, written: Written) -> bool {
        let mut past = self.past();
        if !matches!(*past, Past::Hashed(_)) {
            return false;
        }
        let short = written.length <= KEPT_BYTES_MAX as u64;
        *past = match short {
            true => Past::Keeping(written),
            false => Past::TooLong(written),
        };
        short
    }

    fn write_and_keep(
        &self,
        written: Written,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Arc<[u8]>, WriteError> {
        let mut bytes = Vec::with_capacity(written.length.try_into().unwrap_or(0));
        let mut sink = |chunk: &[u8]| {
            bytes.extend_from_slice(chunk);
            sink(chunk)
        };
        Writer::new(
            &self.objects,
            self.encoding,
            Some(written),
            &mut sink,
            progress,
        )
        .run(self.count)?;
        Ok(bytes.into())
    }

    /// Each change is made in one step, so a panic elsewhere leaves nothing half done.
    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of a pack of all objects of one file in the order of that file.
fn on_disk(objects: &ObjectSet, encoding: Encoding, count: u32) -> Option<Written> {
    if !encoding.offset_deltas || objects.sightings.memory_bytes() > 0 {
        return None;
    }
    let packs = &objects.packs;
    let is_all = |(at, pack): &(u32, &Arc<Pack>)| {
        let first = packs.first_number(*at);
        let of_it = objects.selected.count(first, first + pack.object_count());
        of_it == count && pack.object_count() == count
    };
    let (_, pack) = (0u32..).zip(packs.packs()).find(is_all)?;
    let trailer = pack.trailer().filter(|_| pack.is_dense())?;
    Some(Written::of(trailer, pack.end()))
}
