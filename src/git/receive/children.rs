//! Which deltas are based on which entry.
//!
//! Bounds: four bytes for each entry and four for each delta.
//! Not here: deltas that name their base by id, which may not be known yet (`resolve`).

use std::ops::Range;

use super::entry::Entry;

/// The deltas by offset on each entry: all of them in one list, grouped by base.
pub(super) struct Children {
    starts: Vec<u32>,
    list: Vec<u32>,
}

impl Children {
    /// Groups the deltas of these entries.
    pub(super) fn of(entries: &[Entry]) -> Self {
        let mut starts = vec![0; entries.len() + 1];
        let bases = || entries.iter().filter_map(|entry| entry.base.number());
        for base in bases() {
            starts[base as usize] += 1;
        }
        let mut sum = 0;
        for start in &mut starts {
            sum += *start;
            *start = sum;
        }
        // Filled from the back of each group, so that the ends become the starts.
        let mut list = vec![0; sum as usize];
        for (at, entry) in entries.iter().enumerate().rev() {
            if let Some(base) = entry.base.number() {
                starts[base as usize] -= 1;
                list[starts[base as usize] as usize] =
                    u32::try_from(at).expect("a pack holds less than 2^32 objects");
            }
        }
        Self { starts, list }
    }

    /// Where the deltas on this entry are in the list. Entries appended later have none.
    pub(super) fn range(&self, entry: u32) -> Range<usize> {
        match self.starts.get(entry as usize..entry as usize + 2) {
            Some(&[start, end]) => start as usize..end as usize,
            _ => 0..0,
        }
    }

    /// The number of the delta at this place of the list.
    pub(super) fn delta(&self, at: usize) -> u32 {
        self.list[at]
    }
}
