//! What a file is made of: its lines, or pieces of longer ones, each told by a small number.
//!
//! Source: gitdiffcore(7), "diffcore-rename"; the numbers are those that git uses, since equal percentages need
//! equal collisions.
//! Bounds: eight bytes for each number that occurs, of which there are [`NUMBERS`] at most.

use super::super::is_binary;

/// Longest piece.
const PIECE_BYTES: u32 = 64;
/// Numbers are below this.
const NUMBERS: u32 = 107_927;

/// Bytes of a file by the number of the piece they are in, the numbers ascending.
pub(crate) struct Sketch(Vec<(u32, u32)>);

impl Sketch {
    pub(crate) fn of(file: &[u8]) -> Self {
        let is_text = !is_binary(file);
        let mut pieces = Vec::with_capacity(file.len() / 32);
        let mut piece = Piece::default();
        let mut bytes = file.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            // A line of text is the same however it ends.
            if is_text && byte == b'\r' && bytes.peek() == Some(&b'\n') {
                continue;
            }
            piece.add(byte);
            if piece.length == PIECE_BYTES || byte == b'\n' {
                pieces.push(std::mem::take(&mut piece).counted());
            }
        }
        if piece.length > 0 {
            pieces.push(piece.counted());
        }
        pieces.sort_unstable_by_key(|(number, _)| *number);
        pieces.dedup_by(|next, kept| {
            let same = next.0 == kept.0;
            if same {
                kept.1 += next.1;
            }
            same
        });
        pieces.shrink_to_fit();
        Self(pieces)
    }

    /// Bytes that both files have.
    pub(crate) fn shared_with(&self, other: &Self) -> u64 {
        let (mut shared, mut others) = (0, other.0.iter().peekable());
        for (number, count) in &self.0 {
            while others.next_if(|(other, _)| other < number).is_some() {}
            if let Some((_, other)) = others.next_if(|(other, _)| other == number) {
                shared += u64::from(*count.min(other));
            }
        }
        shared
    }

    /// Memory it takes.
    pub(crate) fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }
}

/// A line or part of one while it is read.
#[derive(Default)]
struct Piece {
    one: u32,
    two: u32,
    length: u32,
}

impl Piece {
    fn add(&mut self, byte: u8) {
        let one = (self.one << 7) ^ (self.two >> 25);
        self.two = (self.two << 7) ^ (self.one >> 25);
        self.one = one.wrapping_add(u32::from(byte));
        self.length += 1;
    }

    fn counted(self) -> (u32, u32) {
        let sum = self.one.wrapping_add(self.two.wrapping_mul(0x61));
        (sum % NUMBERS, self.length)
    }
}
