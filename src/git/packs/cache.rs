//! Recently decoded objects, up to a number of bytes.
//!
//! Bounds: the weights of all values together stay below the limit given at the start, and below what
//! the loan covers.
//! Invariant: dropping a value never changes an answer, only what it costs.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use crate::git::memory::Loan;

/// Values by pack and offset, the least used dropped first (second chance).
#[derive(Debug)]
pub(crate) struct Cache<V> {
    slots: Vec<Slot<V>>,
    by_key: HashMap<u64, usize, BuildHasherDefault<KeyHasher>>,
    hand: usize,
    bytes: usize,
    bytes_max: usize,
    loan: Loan,
}

#[derive(Debug)]
struct Slot<V> {
    key: u64,
    value: V,
    bytes: usize,
    used: bool,
}

/// What a value costs besides its own bytes.
const OVERHEAD: usize = 96;

impl<V> Cache<V> {
    pub(crate) fn new(bytes_max: usize, loan: Loan) -> Self {
        Self {
            slots: Vec::new(),
            by_key: HashMap::default(),
            hand: 0,
            bytes: 0,
            bytes_max,
            loan,
        }
    }

    pub(crate) fn get(&mut self, pack: u32, offset: u64) -> Option<&mut V> {
        let slot = &mut self.slots[*self.by_key.get(&key(pack, offset))?];
        slot.used = true;
        Some(&mut slot.value)
    }

    /// Keeps the value unless it alone would fill a quarter of the cache; gives back one that had
    /// to go, so that its memory can be used again.
    pub(crate) fn insert(&mut self, pack: u32, offset: u64, value: V, bytes: usize) -> Option<V> {
        let bytes = bytes + OVERHEAD;
        if bytes > self.bytes_max / 4 {
            return Some(value);
        }
        let key = key(pack, offset);
        if let Some(at) = self.by_key.get(&key) {
            let slot = &mut self.slots[*at];
            self.bytes = self.bytes - slot.bytes + bytes;
            slot.bytes = bytes;
            return Some(std::mem::replace(&mut slot.value, value));
        }
        let mut dropped = None;
        while self.bytes + bytes > self.bytes_max || !self.loan.covers(self.bytes + bytes) {
            if self.slots.is_empty() {
                return Some(value);
            }
            dropped = Some(self.drop_one());
        }
        self.bytes += bytes;
        self.by_key.insert(key, self.slots.len());
        self.slots.push(Slot {
            key,
            value,
            bytes,
            used: false,
        });
        dropped
    }

    fn drop_one(&mut self) -> V {
        loop {
            if self.hand >= self.slots.len() {
                self.hand = 0;
            }
            if !std::mem::take(&mut self.slots[self.hand].used) {
                break;
            }
            self.hand += 1;
        }
        let slot = self.slots.swap_remove(self.hand);
        self.by_key.remove(&slot.key);
        if let Some(moved) = self.slots.get(self.hand) {
            self.by_key.insert(moved.key, self.hand);
        }
        self.hand += 1;
        self.bytes -= slot.bytes;
        slot.value
    }
}

/// Packs are fewer than 2^20 and files shorter than 2^44 bytes.
fn key(pack: u32, offset: u64) -> u64 {
    u64::from(pack) << 44 | offset
}

/// Spreads the bits of one integer; the keys are ours, nobody can choose them to collide at will.
#[derive(Debug, Default)]
pub(crate) struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(self.0 ^ u64::from(*byte));
        }
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "both halves of the product are folded"
    )]
    fn write_u64(&mut self, value: u64) {
        let product = u128::from(value) * 0x9e37_79b9_7f4a_7c15;
        self.0 = (product >> 64) as u64 ^ product as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::memory::{FREE_BYTES, Memory};

    #[test]
    fn a_cache_grows_no_further_than_it_is_lent() {
        let memory = Memory::new(FREE_BYTES);
        let mut cache = Cache::new(usize::MAX, memory.loan());
        let bytes = FREE_BYTES / 4 - OVERHEAD;
        for offset in 0..100 {
            cache.insert(0, offset, offset, bytes);
        }
        assert_eq!(cache.slots.len(), 8);
        let mut other = Cache::new(usize::MAX, memory.loan());
        for offset in 0..100 {
            other.insert(0, offset, offset, bytes);
        }
        assert_eq!(other.slots.len(), 4);
        assert_eq!(other.insert(0, 100, 100, 2 * FREE_BYTES), Some(100));
    }

    #[test]
    fn old_values_go_when_the_bytes_are_used_up_and_used_ones_stay() {
        let mut cache = Cache::new(10 * (OVERHEAD + 4), Memory::default().loan());
        for offset in 0..10 {
            assert_eq!(cache.insert(0, offset, offset, 4), None);
        }
        assert_eq!(cache.get(0, 0), Some(&mut 0));
        assert_eq!(cache.insert(0, 10, 10, 4), Some(1));
        assert_eq!(cache.get(0, 0), Some(&mut 0));
        assert_eq!(cache.get(0, 1), None);
        assert_eq!(cache.get(1, 0), None);
        for offset in 11..1000 {
            cache.insert(0, offset, offset, 4);
        }
        assert_eq!(cache.slots.len(), 10);
        assert_eq!(cache.bytes, cache.bytes_max);
    }

    #[test]
    fn a_value_too_big_for_the_cache_is_given_back() {
        let mut cache = Cache::new(4 * (OVERHEAD + 4), Memory::default().loan());
        assert_eq!(cache.insert(0, 1, 'a', 4), None);
        assert_eq!(cache.insert(0, 2, 'b', 5), Some('b'));
        assert_eq!(cache.get(0, 2), None);
    }
}
