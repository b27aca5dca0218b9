//! A lookup table over one big pack or several small ones.
//!
//! Bounds: a table costs 16 bytes an object and covers packs of at most [`ALONE`] objects each;
//! larger packs are searched in their own mapped index.
//! Invariant: runs cover neighbouring packs in order; of an id that several packs hold, the table
//! keeps the first pack's entry; what a pack does not show is not found.

use std::{cmp::Ordering, sync::Arc};

use gix_hash::oid;

use super::Pack;

/// A pack with more objects than this is never copied into a table.
const ALONE: u32 = 1 << 18;

#[derive(Debug)]
pub(super) enum Run {
    /// One pack, searched in its index file.
    Pack(u32),
    /// Sorted by key, then by id.
    Table(Vec<Slot>),
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// The first eight bytes of the id.
    key: u64,
    pack: u32,
    position: u32,
}

impl Run {
    pub(super) fn of_pack(packs: &[Arc<Pack>], at: u32) -> Self {
        let pack = &packs[at as usize];
        let count = pack.object_count();
        if count > ALONE {
            return Self::Pack(at);
        }
        let slot = |position| Slot {
            key: key_of(pack.id_at(position)),
            pack: at,
            position,
        };
        let shown = (0..count).filter(|position| pack.shows(*position));
        Self::Table(shown.map(slot).collect())
    }

    /// Both in one table, if `earlier` is not much longer than `later`.
    pub(super) fn merge(packs: &[Arc<Pack>], earlier: &Self, later: &Self) -> Option<Self> {
        let (Self::Table(earlier), Self::Table(later)) = (earlier, later) else {
            return None;
        };
        if earlier.len() >= later.len().saturating_mul(2) {
            return None;
        }
        let id = |slot: &Slot| packs[slot.pack as usize].id_at(slot.position);
        let mut merged = Vec::with_capacity(earlier.len() + later.len());
        let (mut left, mut right) = (earlier.iter().peekable(), later.iter().peekable());
        while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
            let order = a.key.cmp(&b.key).then_with(|| id(a).cmp(id(b)));
            if order == Ordering::Greater {
                merged.extend(right.next());
                continue;
            }
            merged.extend(left.next());
            if order == Ordering::Equal {
                right.next();
            }
        }
        merged.extend(left);
        merged.extend(right);
        Some(Self::Table(merged))
    }

    /// Pack and position of the object.
    pub(super) fn find(&self, packs: &[Arc<Pack>], id: &oid) -> Option<(u32, u32)> {
        match self {
            Self::Pack(at) => {
                let pack = &packs[*at as usize];
                let position = pack.find(id).filter(|position| pack.shows(*position));
                position.map(|position| (*at, position))
            }
            Self::Table(slots) => {
                let key = key_of(id);
                let first = first_not_below(slots.len(), key, |at| slots[at].key);
                slots[first..]
                    .iter()
                    .take_while(|slot| slot.key == key)
                    .find(|slot| packs[slot.pack as usize].id_at(slot.position) == id)
                    .map(|slot| (slot.pack, slot.position))
            }
        }
    }
}

/// The first eight bytes of an id, which for a hash are as good as random.
pub(super) fn key_of(id: &oid) -> u64 {
    let first = id
        .as_bytes()
        .first_chunk()
        .expect("ids have 20 bytes or more");
    u64::from_be_bytes(*first)
}

/// The first index whose key is not below `key` among `count` sorted keys; `count` if none.
///
/// Hashes are spread evenly, so a few guesses by proportion come close; doubling steps then bracket
/// the place, which keeps keys that somebody arranged from costing more than a binary search twice.
pub(super) fn first_not_below(count: usize, key: u64, key_at: impl Fn(usize) -> u64) -> usize {
    if count == 0 {
        return 0;
    }
    let share = |distance: u64| {
        let product = u128::from(distance) * count as u128;
        usize::try_from(product >> 64).expect("below count")
    };
    let mut guess = share(key);
    for _ in 0..2 {
        let found = key_at(guess);
        guess = if found < key {
            (guess + share(key - found)).min(count - 1)
        } else {
            guess.saturating_sub(share(found - key))
        };
    }
    let (mut low, mut high);
    let mut step = 4;
    if key_at(guess) < key {
        low = guess + 1;
        high = low + step;
        while high < count && key_at(high) < key {
            low = high + 1;
            step *= 2;
            high += step;
        }
        high = high.min(count);
    } else {
        high = guess;
        low = high.saturating_sub(step);
        while low > 0 && key_at(low) >= key {
            high = low;
            step *= 2;
            low = low.saturating_sub(step);
        }
    }
    while low < high {
        let middle = low.midpoint(high);
        if key_at(middle) < key {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_search_agrees_with_a_binary_search_on_even_and_on_arranged_keys() {
        let even: Vec<u64> = (0..1000u64).map(|n| (n << 54) | (n * 7919)).collect();
        let arranged: Vec<u64> = (0..1000u64).map(|n| u64::MAX - 3 * (1000 - n)).collect();
        let bunched: Vec<u64> = (0..1000u64).map(|n| n / 3).collect();
        for keys in [&even[..], &arranged, &bunched, &even[..1], &[]] {
            let near = |key: &u64| [key.saturating_sub(1), *key, key.saturating_add(1)];
            for key in keys.iter().flat_map(near).chain([0, u64::MAX]) {
                assert_eq!(
                    first_not_below(keys.len(), key, |at| keys[at]),
                    keys.partition_point(|other| *other < key),
                    "searching {key} in {} keys",
                    keys.len()
                );
            }
        }
    }
}
