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

    /// Bytes it takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.words.len() * size_of::<u64>()
    }

    /// Adds a number; tells whether it is new.
    pub(crate) fn insert(&mut self, number: u32) -> bool {
        let (word, bit) = place(number);
        let word = &mut self.words[word];
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Adds the numbers from `first` up to but without `end`.
    pub(crate) fn insert_range(&mut self, first: u32, end: u32) {
        let mut at = first;
        while at < end {
            if at.is_multiple_of(64) && end - at >= 64 {
                self.words[at as usize / 64] = u64::MAX;
                at += 64;
            } else {
                self.insert(at);
                at += 1;
            }
        }
    }

    /// Takes a number out.
    pub(crate) fn remove(&mut self, number: u32) {
        let (word, bit) = place(number);
        self.words[word] &= !bit;
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

    /// How many numbers from `first` up to but without `end` there are.
    pub(crate) fn count(&self, first: u32, end: u32) -> u32 {
        if first >= end {
            return 0;
        }
        let (from, last) = (first as usize / 64, (end as usize - 1) / 64);
        let words = from..=last.min(self.words.len().wrapping_sub(1));
        let bits = words.map(|at| {
            let mut word = self.words.get(at).copied().unwrap_or(0);
            if at == from {
                word &= u64::MAX << (first % 64);
            }
            if at == last {
                word &= u64::MAX >> (63 - (end - 1) % 64);
            }
            word.count_ones()
        });
        bits.sum()
    }

    /// The numbers from `first` up to but without `end` that are in the set, ascending.
    pub(crate) fn range(&self, first: u32, end: u32) -> impl Iterator<Item = u32> + '_ {
        let words = first / 64..end.div_ceil(64);
        words
            .flat_map(|at| {
                let mut word = self.words.get(at as usize).copied().unwrap_or(0);
                std::iter::from_fn(move || {
                    let bit = (word != 0).then(|| word.trailing_zeros())?;
                    word &= word - 1;
                    Some(at * 64 + bit)
                })
            })
            .filter(move |number| (first..end).contains(number))
    }
}

impl Extend<u32> for Bits {
    fn extend<T: IntoIterator<Item = u32>>(&mut self, numbers: T) {
        for number in numbers {
            self.insert(number);
        }
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
        let range = |first, end| bits.range(first, end).collect::<Vec<_>>();
        assert_eq!(range(0, 12), [10, 11]);
        assert_eq!(range(248, 300), [248, 249]);
        assert_eq!(range(127, 130), [127, 128, 129]);
        assert_eq!(range(0, 300).len(), 240);
        for first in [0, 9, 10, 63, 64, 65, 127, 128, 249, 300] {
            for end in [0, 10, 11, 64, 65, 128, 129, 250, 300, 4_000] {
                let counted = bits.count(first, end) as usize;
                assert_eq!(counted, range(first, end).len(), "{first}..{end}");
            }
        }
        assert_eq!(Bits::new(0).count(0, 10), 0);
        assert!(range(250, 300).is_empty());
        assert!(!bits.contains(4_000_000));
        let mut at_once = Bits::new(300);
        for (first, end) in [(10, 70), (70, 70), (64, 250), (9, 9)] {
            at_once.insert_range(first, end);
        }
        assert_eq!(at_once, bits);
        bits.remove(64);
        bits.remove(64);
        assert_eq!((bits.len(), bits.contains(64)), (239, false));
    }
}
