//! Compares each candidate with those before it and keeps the smallest delta.
//!
//! Bounds: [`WINDOW`] objects and the counterparts among them are in memory, [`WINDOW_BYTES_MAX`] in
//! all beside the one being compared and one it is compared with, and less where no more is lent; [`SEARCH_BYTES_MAX`] are read and compared for one pack, and what
//! it takes to finish with the last object; chains of new deltas are at most [`DEPTH_MAX`] long.
//! Invariant: the order of the candidates is kept, so that a base in the pack is written before what
//! stands on it.
//! Not here: which candidates there are (`candidates`), how they are written (`writer`).

use std::{collections::VecDeque, sync::Arc};

use super::{
    OBJECT_BYTES_MAX, WINDOW,
    candidates::{Candidate, Candidates},
    index::BaseIndex,
};
use crate::git::{
    Location,
    memory::Loan,
    packs::{ObjectReader, PackSet, ReadError},
};

/// Memory of the objects that others are compared with, their indices included.
const WINDOW_BYTES_MAX: usize = 32 << 20;

/// Longest chain of deltas made here; what is stored as a delta on top of one adds its own.
pub(in crate::git::fetch) const DEPTH_MAX: u32 = 50;

/// Bytes read and compared for one pack; one core does some two hundred megabytes a second.
pub(in crate::git::fetch) const SEARCH_BYTES_MAX: u64 = 256 << 20;

/// A delta this many times smaller than its object is good enough to look no further.
const GOOD_ENOUGH: u64 = 24;

/// What a delta stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::git::fetch) enum Base {
    /// An object that only the client has.
    AtClient(u32),
    /// An object that was handed out before.
    InPack(u32),
}

/// A candidate that is decided on.
#[derive(Debug, Clone, Copy)]
pub(in crate::git::fetch) struct Found {
    pub(in crate::git::fetch) number: u32,
    pub(in crate::git::fetch) location: Location,
    /// What the delta in [`Search::delta`] stands on.
    pub(in crate::git::fetch) base: Option<Base>,
    /// Where there is no delta, whether the object can't go out as it lies.
    pub(in crate::git::fetch) unusable: bool,
}

/// Goes through candidates one by one.
pub(in crate::git::fetch) struct Search {
    packs: Arc<PackSet>,
    candidates: std::vec::IntoIter<Candidate>,
    window: VecDeque<Source>,
    delta: Vec<u8>,
    attempt: Vec<u8>,
    bytes_left: u64,
    loan: Loan,
}

/// An object that others are compared with.
struct Source {
    candidate: Candidate,
    at_client: bool,
    depth: u32,
    /// Read when it is first compared.
    bytes: Option<Vec<u8>>,
    index: Option<BaseIndex>,
}

impl Source {
    fn new(candidate: Candidate, at_client: bool) -> Self {
        Self {
            candidate,
            at_client,
            depth: 0,
            bytes: None,
            index: None,
        }
    }

    fn memory_bytes(&self) -> usize {
        let bytes = self.bytes.as_ref().map_or(0, Vec::capacity);
        bytes + self.index.as_ref().map_or(0, BaseIndex::memory_bytes)
    }
}

/// The best delta so far.
struct Best {
    at: usize,
    depth: u32,
}

impl Search {
    /// Reads and compares about `bytes_max`.
    pub(in crate::git::fetch) fn new(
        packs: Arc<PackSet>,
        candidates: Candidates,
        bytes_max: u64,
    ) -> Self {
        Self {
            loan: packs.memory().loan(),
            packs,
            candidates: candidates.0.into_iter(),
            window: VecDeque::new(),
            delta: Vec::new(),
            attempt: Vec::new(),
            bytes_left: bytes_max,
        }
    }

    /// The delta of the candidate that was handed out last.
    pub(in crate::git::fetch) fn delta(&self) -> &[u8] {
        &self.delta
    }

    /// Decides on the next candidate; `None` when there are no more or enough bytes were compared.
    pub(in crate::git::fetch) fn next(
        &mut self,
        reader: &mut ObjectReader,
    ) -> Result<Option<Found>, ReadError> {
        if self.bytes_left == 0 {
            return Ok(None);
        }
        let Some(candidate) = self.candidates.next() else {
            return Ok(None);
        };
        self.enter_counterpart(&candidate, reader)?;
        let mut target = Source::new(candidate, false);
        let best = self.compare(&mut target, reader)?;
        let mut base = None;
        if let Some(best) = best
            && let Some(source) = self.window.remove(best.at)
        {
            let number = source.candidate.number;
            base = Some(if source.at_client {
                Base::AtClient(number)
            } else {
                Base::InPack(number)
            });
            target.depth = best.depth;
            // What was of use once is likely to be again: it stays longest.
            self.window.push_back(source);
        }
        self.enter(target);
        Ok(Some(Found {
            number: candidate.number,
            location: candidate.location,
            base,
            unusable: candidate.unusable,
        }))
    }

    /// Puts what the client has at the same path among those to compare with.
    fn enter_counterpart(
        &mut self,
        candidate: &Candidate,
        reader: &mut ObjectReader,
    ) -> Result<(), ReadError> {
        let Some(number) = candidate.counterpart else {
            return Ok(());
        };
        let known = |source: &Source| source.candidate.number == number;
        if let Some(source) = self.window.iter().position(known) {
            let source = self.window.remove(source);
            self.window.extend(source);
            return Ok(());
        }
        let location = self.packs.location_of(number);
        let (kind, size) = (reader.kind_at(location)?, reader.size_at(location)?);
        if kind == candidate.kind && size <= OBJECT_BYTES_MAX {
            let counterpart = Candidate {
                number,
                location,
                kind,
                size,
                ..*candidate
            };
            self.enter(Source::new(counterpart, true));
        }
        Ok(())
    }

    fn enter(&mut self, source: Source) {
        self.window.push_back(source);
        while self.window.len() > WINDOW {
            self.window.pop_front();
        }
        let mut memory_bytes = self.memory_bytes();
        while memory_bytes > WINDOW_BYTES_MAX {
            let Some(oldest) = self.window.pop_front() else {
                break;
            };
            memory_bytes -= oldest.memory_bytes();
        }
    }

    fn memory_bytes(&self) -> usize {
        self.window.iter().map(Source::memory_bytes).sum()
    }

    /// Compares with all that may be of use, the latest first, and leaves the best in `delta`.
    fn compare(
        &mut self,
        target: &mut Source,
        reader: &mut ObjectReader,
    ) -> Result<Option<Best>, ReadError> {
        let size = target.candidate.size;
        // What saves less than half is hardly smaller than the object deflated.
        let mut bytes_end = size / 2;
        let mut best: Option<Best> = None;
        for at in (0..self.window.len()).rev() {
            if size > GOOD_ENOUGH * bytes_end || self.memory_bytes() > WINDOW_BYTES_MAX {
                break;
            }
            let source = &self.window[at];
            let other = source.candidate;
            let of_use = if source.at_client {
                other.kind == target.candidate.kind
            } else {
                target.candidate.may_stand_on(&other)
            };
            if !of_use {
                continue;
            }
            let depth = source.depth + 1;
            // All that the target has more must be told; and a base far larger is likely another thing.
            if depth > DEPTH_MAX
                || size.saturating_sub(other.size) > bytes_end
                || size < other.size / 32
            {
                continue;
            }
            // Both, the base's index, and two deltas.
            let at_hand = usize::try_from(2 * (size + other.size)).unwrap_or(usize::MAX);
            if !self
                .loan
                .covers(self.memory_bytes().saturating_add(at_hand))
            {
                break;
            }
            let source = &mut self.window[at];
            let cost = read(target, reader)? + read(source, reader)? + size;
            self.bytes_left = self.bytes_left.saturating_sub(cost);
            let (Some(target_bytes), Some(base)) = (&target.bytes, &source.bytes) else {
                continue;
            };
            let index = source.index.get_or_insert_with(|| {
                let mut index = BaseIndex::default();
                index.fill(base);
                index
            });
            let bytes_max = usize::try_from(bytes_end.saturating_sub(1)).unwrap_or(usize::MAX);
            if index.encode(base, target_bytes, bytes_max, &mut self.attempt) {
                std::mem::swap(&mut self.delta, &mut self.attempt);
                bytes_end = self.delta.len() as u64;
                best = Some(Best { at, depth });
            }
        }
        Ok(best)
    }
}

/// Reads the object if it is not in memory; answers how many bytes that were.
fn read(source: &mut Source, reader: &mut ObjectReader) -> Result<u64, ReadError> {
    if source.bytes.is_some() {
        return Ok(0);
    }
    let mut bytes = Vec::new();
    reader.read(source.candidate.location, &mut bytes)?;
    source.bytes = Some(bytes);
    Ok(source.candidate.size)
}
