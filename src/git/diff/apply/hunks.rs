//! Replaces lines of a text by those of a patch.
//!
//! Source: git-apply(1): all lines of context must match, but may have moved; a hunk without context above or below stays
//! at the beginning or end.
//! Bounds: the work is charged to a [`Budget`].
//! Invariant: what one hunk wrote, no later hunk changes.

use super::{
    ApplyError,
    parse::{Hunk, first_line},
};
use crate::git::diff::lines::split;

/// How much may still be compared and moved.
pub(super) struct Budget(u64);

impl Budget {
    /// Lines that are compared, or words that are moved, for one patch.
    const STEPS_MAX: u64 = 1 << 27;

    pub(super) fn new() -> Self {
        Self(Self::STEPS_MAX)
    }

    fn spend(&mut self, steps: usize) -> Result<(), ApplyError> {
        let left = self.0.checked_sub(steps as u64);
        self.0 = left.ok_or(ApplyError::TooMuch("lines to compare"))?;
        Ok(())
    }
}

/// The text with all hunks applied; the number of a hunk's first line in the patch if it does not fit.
pub(super) fn apply(
    text: &[u8],
    hunks: &[Hunk<'_>],
    budget: &mut Budget,
) -> Result<Result<Vec<u8>, usize>, ApplyError> {
    let lines = split(text).into_iter().map(|bytes| Line {
        bytes,
        fixed: false,
    });
    let mut image: Vec<_> = lines.collect();
    for hunk in hunks {
        let sides = Sides::of(hunk);
        budget.spend(sides.old.len() + sides.new.len() + image.len() / 8)?;
        let Some(at) = place(&image, hunk, &sides.old, budget)? else {
            return Ok(Err(hunk.at));
        };
        let new = sides.new.iter().map(|bytes| Line { bytes, fixed: true });
        image.splice(at..at + sides.old.len(), new);
    }
    let length = image.iter().map(|line| line.bytes.len()).sum();
    let mut result = Vec::with_capacity(length);
    image
        .iter()
        .for_each(|line| result.extend_from_slice(line.bytes));
    Ok(Ok(result))
}

#[derive(Clone, Copy)]
struct Line<'a> {
    bytes: &'a [u8],
    /// Whether a hunk put it there.
    fixed: bool,
}

/// What a hunk expects, and what it puts there.
struct Sides<'a> {
    old: Vec<&'a [u8]>,
    new: Vec<&'a [u8]>,
}

impl<'a> Sides<'a> {
    fn of(hunk: &Hunk<'a>) -> Self {
        let (mut old, mut new) = (Vec::new(), Vec::new());
        let mut rest = hunk.text;
        while let line = first_line(rest)
            && let Some(sign) = line.first()
        {
            rest = &rest[line.len()..];
            let mut content = match sign {
                b'\n' => line,
                _ => &line[1..],
            };
            if rest.first() == Some(&b'\\') {
                content = content.strip_suffix(b"\n").unwrap_or(content);
            }
            match sign {
                b'-' => old.push(content),
                b'+' => new.push(content),
                b'\\' => {}
                _ => {
                    old.push(content);
                    new.push(content);
                }
            }
        }
        Self { old, new }
    }
}

/// Where the old lines stand: where the hunk says, or at the nearest place, below before above.
fn place(
    image: &[Line<'_>],
    hunk: &Hunk<'_>,
    old: &[&[u8]],
    budget: &mut Budget,
) -> Result<Option<usize>, ApplyError> {
    let at_beginning = hunk.old_start <= 1;
    let at_end = !hunk.has_context_below;
    let Some(last) = image.len().checked_sub(old.len()) else {
        return Ok(None);
    };
    let mut fits = |at: usize| -> Result<bool, ApplyError> {
        if at > last || at_beginning && at != 0 || at_end && at != last {
            return Ok(false);
        }
        let lines = image[at..].iter().zip(old);
        let equal = lines
            .take_while(|(line, old)| !line.fixed && line.bytes == **old)
            .count();
        budget.spend(equal + 1)?;
        Ok(equal == old.len())
    };
    let start = if at_beginning {
        0
    } else if at_end {
        last
    } else {
        hunk.new_start.saturating_sub(1).min(image.len())
    };
    if fits(start)? {
        return Ok(Some(start));
    }
    if at_beginning || at_end {
        return Ok(None);
    }
    for distance in 1..=image.len() {
        let (below, above) = (start + distance, start.checked_sub(distance));
        if fits(below)? {
            return Ok(Some(below));
        }
        if let Some(above) = above
            && fits(above)?
        {
            return Ok(Some(above));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_that_would_take_forever_is_given_up() {
        let text = "x\n".repeat(300);
        let lines = format!("{} y\n+z\n x\n", " x\n".repeat(100));
        let hunk = || Hunk {
            at: 7,
            old_start: 3,
            new_start: 3,
            has_context_below: true,
            text: lines.as_bytes(),
        };
        let apply = |steps| apply(text.as_bytes(), &[hunk()], &mut Budget(steps));
        // The hunk itself, then each of the 200 places at which its 102 old lines could stand.
        let needed = 102 + 103 + 300 / 8 + 199 * 101;
        assert!(matches!(apply(needed), Ok(Err(7))));
        assert!(matches!(apply(needed - 1), Err(ApplyError::TooMuch(_))));
    }
}
