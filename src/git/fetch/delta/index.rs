//! Finds what a target has in common with a base and tells the target as a delta.
//!
//! Source: gitformat-pack(5), "Deltified representation".
//! Bounds: eight bytes for each block of a base and each slot of its table, see [`BaseIndex::memory_bytes`];
//! [`TRIES_MAX`] places of the base are compared at one place of the target; a base has at most
//! [`BASE_BYTES_MAX`].
//! Invariant: applying the delta to the base gives the target, whatever the bytes are.
//! Not here: which base to try (`search`), how deltas are read (`packs::delta`).

/// Longest base, so that places fit the 32 bits that a copy has for them.
pub(super) const BASE_BYTES_MAX: usize = 1 << 30;

/// Bytes that are looked up together.
const BLOCK: usize = 16;

/// Blocks with equal hashes that are compared at one place.
const TRIES_MAX: usize = 24;

/// The shortest copy worth having: naming one costs up to seven bytes.
const COPY_MIN: usize = 8;

/// git itself writes no longer copies, and old readers may know none.
const COPY_MAX: usize = 1 << 16;

/// Bases up to this size have a block at every fourth byte, longer ones at every sixteenth.
const SHORT_BASE: usize = 32 << 10;

/// Where the blocks of one base lie; to be filled again and again.
#[derive(Debug, Default)]
pub(super) struct BaseIndex {
    /// By hash: one more than the number of the first block with it.
    heads: Vec<u32>,
    /// By block: one more than the number of the next block with the same hash.
    next: Vec<u32>,
    step: usize,
    shift: u32,
}

/// What both sides have in common at some place.
#[derive(Debug, Clone, Copy, Default)]
struct Match {
    base: usize,
    target: usize,
    length: usize,
}

impl BaseIndex {
    /// Takes in a base of at most [`BASE_BYTES_MAX`].
    pub(super) fn fill(&mut self, base: &[u8]) {
        assert!(base.len() <= BASE_BYTES_MAX, "callers know the bound");
        self.step = if base.len() <= SHORT_BASE { 4 } else { BLOCK };
        let blocks = (base.len() + self.step).saturating_sub(BLOCK) / self.step;
        let slots = blocks.next_power_of_two().max(16);
        self.shift = 64 - slots.trailing_zeros();
        self.heads.clear();
        self.heads.resize(slots, 0);
        self.next.clear();
        self.next.resize(blocks, 0);
        let mut after: Option<(usize, usize)> = None;
        for block in (0..blocks).rev() {
            let at = block * self.step;
            let slot = self.slot(&base[at..at + BLOCK]);
            let number = u32::try_from(block + 1).expect("fewer blocks than bytes");
            // Of a run of equal blocks the first is the one from which most can be copied.
            self.next[block] = match after {
                Some((next_slot, next)) if next_slot == slot => self.next[next],
                _ => self.heads[slot],
            };
            self.heads[slot] = number;
            after = Some((slot, block));
        }
    }

    /// Bytes it takes.
    pub(super) fn memory_bytes(&self) -> usize {
        (self.heads.capacity() + self.next.capacity()) * size_of::<u32>()
    }

    fn slot(&self, block: &[u8]) -> usize {
        let (low, high) = block.split_at(8);
        let low = word(low).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (low ^ low >> 29 ^ word(high)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        usize::try_from(mixed >> self.shift).expect("below the number of slots")
    }

    /// Replaces `delta` by one that makes `target` of the base this was filled with; `false` if it
    /// has more than `bytes_max`, or had with all that lay before some place inserted.
    pub(super) fn encode(
        &self,
        base: &[u8],
        target: &[u8],
        bytes_max: usize,
        delta: &mut Vec<u8>,
    ) -> bool {
        delta.clear();
        put_size(delta, base.len());
        put_size(delta, target.len());
        // What lies before `done` is told, what lies between is to be inserted.
        let (mut done, mut at) = (0, 0);
        // Where the base goes on if the bytes since the last copy were replaced by as many others.
        let mut beside = 0;
        while at + COPY_MIN <= target.len() {
            let found = self.longest(base, target, done, at, beside);
            if found.length < COPY_MIN {
                at += 1;
                beside += 1;
                if delta.len() + (at - done) > bytes_max {
                    return false;
                }
                continue;
            }
            put_insert(delta, &target[done..found.target]);
            put_copy(delta, found.base, found.length);
            done = found.target + found.length;
            at = done;
            beside = found.base + found.length;
        }
        put_insert(delta, &target[done..]);
        delta.len() <= bytes_max
    }

    /// The longest match around `at` that begins no earlier than `done`.
    fn longest(&self, base: &[u8], target: &[u8], done: usize, at: usize, beside: usize) -> Match {
        let mut best = Match::default();
        if let Some(rest) = base.get(beside..) {
            let length = common_start(rest, &target[at..]);
            if length >= COPY_MIN {
                best = Match {
                    base: beside,
                    target: at,
                    length,
                };
            }
        }
        let Some(block) = target.get(at..at + BLOCK) else {
            return best;
        };
        // A long way straight on is as good as it gets.
        if best.length >= 4 * BLOCK || self.next.is_empty() {
            return best;
        }
        let mut number = self.heads[self.slot(block)];
        for _ in 0..TRIES_MAX {
            let Some(index) = (number as usize).checked_sub(1) else {
                break;
            };
            let start = index * self.step;
            let length = common_start(&base[start..], &target[at..]);
            if length >= BLOCK {
                let back = common_end(&base[..start], &target[done..at]);
                if back + length > best.length {
                    best = Match {
                        base: start - back,
                        target: at - back,
                        length: back + length,
                    };
                }
            }
            number = self.next[index];
        }
        best
    }
}

fn word(bytes: &[u8]) -> u64 {
    let first = bytes.first_chunk().expect("callers give eight bytes");
    u64::from_le_bytes(*first)
}

/// How many first bytes are equal.
fn common_start(left: &[u8], right: &[u8]) -> usize {
    let length = left.len().min(right.len());
    let (left, right) = (&left[..length], &right[..length]);
    let words = left.chunks_exact(8).zip(right.chunks_exact(8));
    let mut equal = 0;
    for (left, right) in words {
        let differing = word(left) ^ word(right);
        if differing != 0 {
            return equal + differing.trailing_zeros() as usize / 8;
        }
        equal += 8;
    }
    let rest = left[equal..].iter().zip(&right[equal..]);
    equal + rest.take_while(|(left, right)| left == right).count()
}

/// How many last bytes are equal.
fn common_end(left: &[u8], right: &[u8]) -> usize {
    let both = left.iter().rev().zip(right.iter().rev());
    both.take_while(|(left, right)| left == right).count()
}

/// A number, little-endian, seven bits a byte.
fn put_size(delta: &mut Vec<u8>, size: usize) {
    let mut rest = size;
    while rest > 0x7f {
        delta.push(0x80 | low_byte(rest & 0x7f));
        rest >>= 7;
    }
    delta.push(low_byte(rest));
}

fn put_insert(delta: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.chunks(0x7f) {
        delta.push(low_byte(chunk.len()));
        delta.extend_from_slice(chunk);
    }
}

fn put_copy(delta: &mut Vec<u8>, mut offset: usize, mut length: usize) {
    while length > 0 {
        let now = length.min(COPY_MAX);
        let head = delta.len();
        delta.push(0x80);
        let mut put = |bit: u8, byte: u8| {
            if byte != 0 {
                delta[head] |= 1 << bit;
                delta.push(byte);
            }
        };
        for bit in 0..4 {
            put(bit, low_byte(offset >> (8 * bit)));
        }
        // No length at all means the longest.
        for bit in 0..2 {
            put(4 + bit, low_byte(now >> (8 * bit)));
        }
        offset += now;
        length -= now;
    }
}

fn low_byte(value: usize) -> u8 {
    u8::try_from(value & 0xff).expect("eight bits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::packs::delta::apply;

    /// A generator of numbers that are the same in every run.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, end: usize) -> usize {
            self.0 = self
                .0
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            usize::try_from(self.0 >> 33).unwrap() % end
        }

        fn bytes(&mut self, length: usize, letters: usize) -> Vec<u8> {
            (0..length).map(|_| low_byte(self.below(letters))).collect()
        }
    }

    #[track_caller]
    fn round_trip(base: &[u8], target: &[u8]) -> usize {
        let mut index = BaseIndex::default();
        index.fill(base);
        let mut delta = b"left over".to_vec();
        assert!(index.encode(base, target, usize::MAX, &mut delta));
        let mut made = Vec::new();
        apply(base, &delta, &mut made).expect("our own delta applies");
        assert!(
            made == target,
            "{} bytes of delta make another target",
            delta.len()
        );
        assert!(!index.encode(base, target, delta.len() - 1, &mut Vec::new()));
        delta.len()
    }

    #[test]
    fn instructions_are_as_short_as_the_format_allows() {
        let base: Vec<u8> = (0..=255).collect();
        let mut index = BaseIndex::default();
        index.fill(&base);
        let check = |target: &[u8], expected: &[u8]| {
            let mut delta = Vec::new();
            assert!(index.encode(&base, target, usize::MAX, &mut delta));
            assert_eq!(delta, expected, "telling {target:?}");
        };
        check(b"", &[0x80, 2, 0]);
        check(b"ab", &[0x80, 2, 2, 2, b'a', b'b']);
        check(&base, &[0x80, 2, 0x80, 2, 0xa0, 1]);
        check(&base[16..56], &[0x80, 2, 40, 0x91, 16, 40]);
        check(&base[18..56], &[0x80, 2, 38, 0x91, 18, 38]);
        // Too short to be found by its block, too short to be copied beside a change.
        check(&base[17..20], &[0x80, 2, 3, 3, 17, 18, 19]);
        let mut changed = base.clone();
        changed[20..40].fill(b'x');
        changed[50] = b'x';
        let mut expected = vec![0x80, 2, 0x80, 2, 0x90, 20, 20];
        expected.extend_from_slice(&[b'x'; 20]);
        expected.extend_from_slice(&[0x91, 40, 10, 1, b'x', 0x91, 51, 205]);
        check(&changed, &expected);
    }

    #[test]
    fn long_copies_are_cut_where_the_format_ends_them() {
        let base = Numbers(1).bytes(300_000, 256);
        // Five copies: 64 KiB four times, and the rest.
        let length = round_trip(&base, &base);
        assert!(length <= 6 + 5 * 6, "{length}");
    }

    #[test]
    fn a_few_edits_give_a_small_delta() {
        let mut numbers = Numbers(7);
        for size in [200, 5_000, 32 << 10, (32 << 10) + 1, 400_000] {
            let base = numbers.bytes(size, 60);
            let mut target = base.clone();
            target.splice(100..110, *b"a change");
            target.splice(size / 2..size / 2, *b"an addition");
            target.drain(size - 50..size - 20);
            let length = round_trip(&base, &target);
            assert!(length < 80, "{length} bytes for {size}");
        }
    }

    #[test]
    fn whatever_the_bytes_are_the_delta_makes_the_target() {
        let mut numbers = Numbers(42);
        for round in 0..600 {
            // Few letters give many false starts, runs and rings.
            let letters = [1, 2, 3, 20, 256][round % 5];
            let length = [0, 1, 7, 15, 16, 17, 300, 5_000, 70_000][numbers.below(9)];
            let base = numbers.bytes(length, letters);
            let mut target = Vec::new();
            for _ in 0..numbers.below(8) {
                if base.is_empty() || numbers.below(3) == 0 {
                    let length = numbers.below(300);
                    target.extend(numbers.bytes(length, letters));
                } else {
                    let start = numbers.below(base.len());
                    let length = numbers.below(base.len() - start + 1);
                    target.extend_from_slice(&base[start..start + length]);
                }
            }
            round_trip(&base, &target);
        }
    }

    #[test]
    fn an_index_can_be_filled_again() {
        let mut numbers = Numbers(3);
        let (first, second) = (numbers.bytes(50_000, 256), numbers.bytes(900, 256));
        let mut index = BaseIndex::default();
        index.fill(&first);
        index.fill(&second);
        let (mut delta, mut made) = (Vec::new(), Vec::new());
        assert!(index.encode(&second, &second, 20, &mut delta));
        apply(&second, &delta, &mut made).unwrap();
        assert_eq!(made, second);
        assert!(!index.encode(&second, &first, first.len() / 2, &mut delta));
    }
}
