//! Sets of object numbers, one bit each.
//!
//! Bounds: one bit for every object of the pack set it was made for.

/// A set of numbers below a fixed count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// An empty set of numbers below `count`.
    pub(crate) fn new(count: u64) -> Self {
        let words = usize::try_from(count.div_ceil(64)).expect("counts have 32 bits");
        Self {
            words: vec![0; words],
        }
    }

    /// Adds a number; tells whether it is new.
    pub(crate) fn insert(&mut self, number: u32) -> bool {
        let (word, bit) = place(number);
        let word = &mut self.words[word];
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Adds all numbers of a set made for as many numbers or fewer.
    pub(crate) fn insert_all(&mut self, others: &Self) {
        for (word, other) in self.words.iter_mut().zip(&others.words) {
            *word |= other;
        }
    }

    /// Whether the number is in the set; numbers beyond the count never are.
    pub(crate) fn contains(&self, number: u32) -> bool {
        let (word, bit) = place(number);
        self.words.get(word).is_some_and(|word| word & bit != 0)
    }

    /// How many numbers there are.
    pub(crate) fn len(&self) -> u64 {
        self.words
            .iter()
            .map(|word| u64::from(word.count_ones()))
            .sum()
    }

    /// Whether `first` up to but without `end` are all in the set.
    pub(crate) fn contains_range(&self, first: u32, end: u32) -> bool {
        let mut number = first;
        while number < end {
            if number.is_multiple_of(64) && end - number >= 64 {
                if self.words.get(number as usize / 64) != Some(&u64::MAX) {
                    return false;
                }
                number += 64;
            } else if self.contains(number) {
                number += 1;
            } else {
                return false;
            }
        }
        true
    }

    /// Whether any of `first` up to but without `end` is in the set.
    pub(crate) fn intersects_range(&self, first: u32, end: u32) -> bool {
        let mut number = first;
        while number < end {
            if number.is_multiple_of(64) && end - number >= 64 {
                if self
                    .words
                    .get(number as usize / 64)
                    .is_some_and(|word| *word != 0)
                {
                    return true;
                }
                number += 64;
            } else if self.contains(number) {
                return true;
            } else {
                number += 1;
            }
        }
        false
    }
}

fn place(number: u32) -> (usize, u64) {
    (number as usize / 64, 1 << (number % 64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_judged_bit_by_bit() {
        let mut bits = Bits::new(300);
        for number in 10..250 {
            assert!(bits.insert(number));
            assert!(!bits.insert(number));
        }
        assert_eq!(bits.len(), 240);
        assert!(bits.contains_range(10, 250));
        assert!(!bits.contains_range(9, 250));
        assert!(!bits.contains_range(10, 251));
        assert!(bits.contains_range(100, 100));
        assert!(bits.intersects_range(0, 11));
        assert!(!bits.intersects_range(0, 10));
        assert!(!bits.intersects_range(250, 300));
        assert!(bits.intersects_range(192, 300));
        assert!(!bits.contains(4_000_000));
    }
}
