//! Lines that are not worth comparing: those the other side does not have, and frequent ones between them.
//!
//! Source: what git inherited from LibXDiff; without it a diff of long files would take too long and
//! would align blank lines and braces instead of code.
//! Bounds: [`WINDOW`] lines to either side are looked at for one line.

use super::myers::rough_root;

/// How far a run is followed.
const WINDOW: usize = 100;
/// A line that the other side has so often is frequent, if it is not frequent for less.
const FREQUENT_MAX: usize = 1024;
/// A frequent line goes if less than one line of so many around it is frequent.
const SHARE: usize = 4;

/// What a line finds on the other side.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Matches {
    None,
    Some,
    Many,
}

/// For each line, whether it is to be compared at all. `counts` says how often the other side has the line of a
/// class, `lines` how many there are on this side; `classes` are those of the part in question.
pub(super) fn worth_comparing(classes: &[u32], lines: usize, counts: &[u32]) -> Vec<bool> {
    let frequent = rough_root(lines).min(FREQUENT_MAX);
    let matches: Vec<_> = classes
        .iter()
        .map(|class| match counts[*class as usize] as usize {
            0 => Matches::None,
            count if count >= frequent => Matches::Many,
            _ => Matches::Some,
        })
        .collect();
    let worth = |at| match matches[at] {
        Matches::None => false,
        Matches::Some => true,
        Matches::Many => !is_noise(&matches, at),
    };
    (0..matches.len()).map(worth).collect()
}

/// Whether a frequent line stands among lines that have no match.
fn is_noise(matches: &[Matches], at: usize) -> bool {
    let start = at.saturating_sub(WINDOW);
    let end = (at + WINDOW).min(matches.len() - 1);
    let (none_before, many_before) = run(matches[start..at].iter().rev());
    if none_before == 0 {
        return false;
    }
    let (none_after, many_after) = run(matches[at + 1..=end].iter());
    if none_after == 0 {
        return false;
    }
    // The line itself counts on both sides.
    let (none, many) = (none_before + none_after, many_before + many_after + 2);
    many * SHARE < many + none
}

/// Lines without and with many matches, up to the first that has some.
fn run<'a>(matches: impl Iterator<Item = &'a Matches>) -> (usize, usize) {
    let (mut none, mut many) = (0, 0);
    for found in matches {
        match found {
            Matches::None => none += 1,
            Matches::Many => many += 1,
            Matches::Some => break,
        }
    }
    (none, many)
}
