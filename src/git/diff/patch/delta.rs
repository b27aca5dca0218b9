//! New content told as copies out of the old and bytes of its own.
//!
//! Source: gitformat-pack(5), "Deltified representation".
//! Bounds: a number for each [`BLOCK`] bytes of the old content; the work grows with both contents, however often
//! their bytes repeat.
//! Invariant: what comes out makes the new content of the old.
//! Not here: reading deltas (`packs::delta`).

use std::collections::HashMap;

/// Bytes that must be equal for a copy to be found.
const BLOCK: usize = 16;
/// Most bytes of one copy.
const COPY_BYTES_MAX: usize = 0x10000;
/// Most bytes of one insertion.
const INSERT_BYTES_MAX: usize = 0x7f;

/// A delta, or nothing if it would have more than `bytes_max`.
pub(super) fn delta(old: &[u8], new: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
    let mut blocks = HashMap::with_capacity(old.len() / BLOCK);
    for (number, block) in old.chunks_exact(BLOCK).enumerate() {
        // Of equal blocks the first is as good as any.
        blocks.entry(Window::of(block).0).or_insert(number * BLOCK);
    }
    let mut writer = Writer {
        delta: Vec::new(),
        bytes_max,
    };
    writer.size(old.len());
    writer.size(new.len());
    // What lies between these two is not told yet.
    let (mut told, mut at) = (0, 0);
    let mut window = None;
    while at + BLOCK <= new.len() {
        let here = match window.take() {
            Some(window) => window,
            None => Window::of(&new[at..at + BLOCK]),
        };
        let found = blocks.get(&here.0).copied();
        let found = found.filter(|from| old[*from..*from + BLOCK] == new[at..at + BLOCK]);
        let Some(mut from) = found else {
            window = new.get(at + BLOCK).map(|next| here.moved(new[at], *next));
            at += 1;
            continue;
        };
        let common = old[from..].iter().zip(&new[at..]);
        let mut length = common.take_while(|(one, other)| one == other).count();
        let before = old[..from].iter().rev().zip(new[told..at].iter().rev());
        let before = before.take_while(|(one, other)| one == other).count();
        (from, at, length) = (from - before, at - before, length + before);
        writer.insert(&new[told..at])?;
        writer.copy(from, length)?;
        at += length;
        told = at;
    }
    writer.insert(&new[told..])?;
    writer.check()?;
    Some(writer.delta)
}

/// A number for [`BLOCK`] bytes that is cheap to move on by one.
#[derive(Clone, Copy)]
struct Window(u64);

impl Window {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    /// What the first byte was multiplied by.
    const FIRST: u64 = {
        let (mut power, mut at) = (1u64, 1);
        while at < BLOCK {
            power = power.wrapping_mul(Self::FACTOR);
            at += 1;
        }
        power
    };

    fn of(block: &[u8]) -> Self {
        let add = |sum: u64, byte: &u8| sum.wrapping_mul(Self::FACTOR).wrapping_add((*byte).into());
        Self(block.iter().fold(0, add))
    }

    fn moved(self, first: u8, next: u8) -> Self {
        let rest = self.0.wrapping_sub(Self::FIRST.wrapping_mul(first.into()));
        Self(rest.wrapping_mul(Self::FACTOR).wrapping_add(next.into()))
    }
}

struct Writer {
    delta: Vec<u8>,
    bytes_max: usize,
}

impl Writer {
    /// Seven bits a byte, the lowest first.
    fn size(&mut self, mut size: usize) {
        while size > 0x7f {
            self.delta.push(low_byte(size) | 0x80);
            size >>= 7;
        }
        self.delta.push(low_byte(size));
    }

    fn insert(&mut self, bytes: &[u8]) -> Option<()> {
        for part in bytes.chunks(INSERT_BYTES_MAX) {
            self.delta.push(low_byte(part.len()));
            self.delta.extend_from_slice(part);
            self.check()?;
        }
        Some(())
    }

    fn copy(&mut self, mut from: usize, mut length: usize) -> Option<()> {
        while length > 0 {
            let now = length.min(COPY_BYTES_MAX);
            // No size stands for the greatest one; zero bytes are left out.
            let size = if now == COPY_BYTES_MAX { 0 } else { now };
            let place = self.delta.len();
            self.delta.push(0x80);
            let arguments = (0..4)
                .map(|byte| from >> (8 * byte))
                .chain([size, size >> 8]);
            for (bit, argument) in arguments.enumerate() {
                if low_byte(argument) != 0 {
                    self.delta[place] |= 1 << bit;
                    self.delta.push(low_byte(argument));
                }
            }
            (from, length) = (from + now, length - now);
            self.check()?;
        }
        Some(())
    }

    fn check(&self) -> Option<()> {
        (self.delta.len() <= self.bytes_max).then_some(())
    }
}

fn low_byte(number: usize) -> u8 {
    number.to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::{diff::tests::history::Dice, packs};

    #[track_caller]
    fn check(old: &[u8], new: &[u8]) -> usize {
        let delta = delta(old, new, usize::MAX).unwrap();
        let mut made = Vec::new();
        packs::delta::apply(old, &delta, &mut made).unwrap();
        assert!(made == new);
        assert!(
            super::delta(old, new, delta.len()).is_some()
                && super::delta(old, new, delta.len() - 1).is_none()
        );
        delta.len()
    }

    #[test]
    fn a_delta_makes_the_new_content_of_the_old() {
        let mut dice = Dice::new(7);
        let mut bytes = |length| -> Vec<u8> {
            (0..length)
                .map(|_| u8::try_from(dice.below(256)).unwrap())
                .collect()
        };
        let old = bytes(200_000);
        assert!(check(&old, &old) < 40);
        assert!(check(&old, b"") > 3);
        assert!(check(b"", &old[..1000]) > 1000);
        let other = bytes(300);
        let parts = [
            &old[70_000..],
            &other,
            &old[..65_536],
            &old[..15],
            &old[3..19],
        ];
        assert!(check(&old, &parts.concat()) < 400);
        let zeros = [0; 100_000];
        assert!(check(&zeros, &zeros[..99_999]) < 40);
        for _ in 0..30 {
            let mut edited = old[..5000].to_vec();
            for byte in bytes(20) {
                let at = (usize::from(byte) * 19).min(edited.len());
                let until = (at + usize::from(byte % 40)).min(edited.len());
                edited.splice(at..until, bytes(usize::from(byte % 7)));
            }
            assert!(check(&old[..5000], &edited) < 1500);
        }
    }
}
