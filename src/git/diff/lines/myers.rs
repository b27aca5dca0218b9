//! The shortest way from one sequence to another, or a short one when the shortest costs too much.
//!
//! Source: Myers, "An O(ND) Difference Algorithm and Its Variations" (1986), the linear-space form, with
//! the two ways of giving up early that git inherited from LibXDiff.
//! Bounds: two numbers for each diagonal; the search between two forks ends after [`COST_MIN`] or the
//! square root of the diagonals, whichever is more.
//! Invariant: what is chosen among equally short ways is what git chooses.

/// Equal numbers in a row that make a run worth following.
const SNAKE: isize = 20;
/// Steps after which a good run ends the search.
const RUN_MIN: isize = 256;
/// A run is good when it is so many times longer than what it cost.
const RUN_FACTOR: isize = 4;
/// Steps after which any way ends the search, at least.
const COST_MIN: isize = 256;

/// Finds what is to be removed from `before` and added from `after`, each told once to `remove` and
/// `add` by its index.
pub(super) fn compare(
    before: &[u32],
    after: &[u32],
    remove: &mut dyn FnMut(usize),
    add: &mut dyn FnMut(usize),
) {
    let diagonals = before.len() + after.len() + 3;
    let cost_max = index(rough_root(diagonals)).max(COST_MIN);
    let origin = index(after.len()) + 1;
    let mut search = Search {
        before,
        after,
        forward: Frontier::new(diagonals, origin),
        backward: Frontier::new(diagonals, origin),
        cost_max,
    };
    // The area that comes first is on top.
    let mut todo = vec![Area {
        left: 0,
        right: index(before.len()),
        top: 0,
        bottom: index(after.len()),
        exact: false,
    }];
    while let Some(area) = todo.pop() {
        let area = search.shrunk(area);
        if area.left == area.right {
            (area.top..area.bottom).for_each(|at| add(at as usize));
        } else if area.top == area.bottom {
            (area.left..area.right).for_each(|at| remove(at as usize));
        } else {
            let fork = search.fork(area);
            todo.push(Area {
                left: fork.x,
                top: fork.y,
                exact: fork.exact_after,
                ..area
            });
            todo.push(Area {
                right: fork.x,
                bottom: fork.y,
                exact: fork.exact_before,
                ..area
            });
        }
    }
}

/// A power of two near the square root.
pub(super) fn rough_root(number: usize) -> usize {
    let bits = usize::BITS - number.leading_zeros();
    1 << bits.div_ceil(2)
}

/// What lies in memory is no longer than this can say.
fn index(length: usize) -> isize {
    length as isize
}

/// The part of both sequences between two places where they meet.
#[derive(Clone, Copy)]
struct Area {
    left: isize,
    right: isize,
    top: isize,
    bottom: isize,
    /// Whether only the shortest way will do.
    exact: bool,
}

/// Where the way is cut in two.
struct Fork {
    x: isize,
    y: isize,
    exact_before: bool,
    exact_after: bool,
}

/// How far each diagonal `x - y` has come, as `x`.
struct Frontier {
    reached: Vec<isize>,
    origin: isize,
}

impl Frontier {
    fn new(diagonals: usize, origin: isize) -> Self {
        Self {
            reached: vec![0; diagonals + 2],
            origin,
        }
    }

    fn get(&self, diagonal: isize) -> isize {
        self.reached[(diagonal + self.origin) as usize]
    }

    fn set(&mut self, diagonal: isize, x: isize) {
        self.reached[(diagonal + self.origin) as usize] = x;
    }
}

/// The diagonals that a frontier has entered: every second one of them after each step.
#[derive(Clone, Copy)]
struct Span {
    low: isize,
    high: isize,
}

impl Span {
    fn has(self, diagonal: isize) -> bool {
        (self.low..=self.high).contains(&diagonal)
    }

    /// From the highest down.
    fn diagonals(self) -> impl Iterator<Item = isize> {
        (self.low..=self.high).rev().step_by(2)
    }

    /// Takes in one more diagonal at each end, or turns back where the area ends. What lies beyond is set to
    /// what no step would come from.
    fn widen(&mut self, whole: Self, frontier: &mut Frontier, never: isize) {
        if self.low > whole.low {
            self.low -= 1;
            frontier.set(self.low - 1, never);
        } else {
            self.low += 1;
        }
        if self.high < whole.high {
            self.high += 1;
            frontier.set(self.high + 1, never);
        } else {
            self.high -= 1;
        }
    }
}

struct Search<'a> {
    before: &'a [u32],
    after: &'a [u32],
    forward: Frontier,
    backward: Frontier,
    cost_max: isize,
}

impl Search<'_> {
    fn equal(&self, x: isize, y: isize) -> bool {
        self.before[x as usize] == self.after[y as usize]
    }

    /// Without what is equal at either end.
    fn shrunk(&self, mut area: Area) -> Area {
        let open = |area: &Area| area.left < area.right && area.top < area.bottom;
        while open(&area) && self.equal(area.left, area.top) {
            area.left += 1;
            area.top += 1;
        }
        while open(&area) && self.equal(area.right - 1, area.bottom - 1) {
            area.right -= 1;
            area.bottom -= 1;
        }
        area
    }

    /// Searches from both ends until the ways meet or one of them is good enough.
    fn fork(&mut self, area: Area) -> Fork {
        let whole = Span {
            low: area.left - area.bottom,
            high: area.right - area.top,
        };
        let (start, end) = (area.left - area.top, area.right - area.bottom);
        let is_odd = (start - end) & 1 != 0;
        let mut ahead = Span {
            low: start,
            high: start,
        };
        let mut behind = Span {
            low: end,
            high: end,
        };
        self.forward.set(start, area.left);
        self.backward.set(end, area.right);
        let met = |x, diagonal| Fork {
            x,
            y: x - diagonal,
            exact_before: true,
            exact_after: true,
        };
        for cost in 1.. {
            let mut ran = false;
            ahead.widen(whole, &mut self.forward, -1);
            for diagonal in ahead.diagonals() {
                let (x, run) = self.step_forward(area, diagonal);
                ran |= run > SNAKE;
                if is_odd && behind.has(diagonal) && self.backward.get(diagonal) <= x {
                    return met(x, diagonal);
                }
            }
            behind.widen(whole, &mut self.backward, isize::MAX);
            for diagonal in behind.diagonals() {
                let (x, run) = self.step_backward(area, diagonal);
                ran |= run > SNAKE;
                if !is_odd && ahead.has(diagonal) && x <= self.forward.get(diagonal) {
                    return met(x, diagonal);
                }
            }
            if area.exact {
                continue;
            }
            if ran && cost > RUN_MIN {
                let found = self
                    .good_run_ahead(area, ahead, start, cost)
                    .or_else(|| self.good_run_behind(area, behind, end, cost));
                if let Some(fork) = found {
                    return fork;
                }
            }
            if cost >= self.cost_max {
                return self.furthest(area, ahead, behind);
            }
        }
        unreachable!("the ways meet before the costs end")
    }

    fn step_forward(&mut self, area: Area, diagonal: isize) -> (isize, isize) {
        let (below, above) = (
            self.forward.get(diagonal - 1),
            self.forward.get(diagonal + 1),
        );
        let first = if below >= above { below + 1 } else { above };
        let mut x = first;
        while x < area.right && x - diagonal < area.bottom && self.equal(x, x - diagonal) {
            x += 1;
        }
        self.forward.set(diagonal, x);
        (x, x - first)
    }

    fn step_backward(&mut self, area: Area, diagonal: isize) -> (isize, isize) {
        let (below, above) = (
            self.backward.get(diagonal - 1),
            self.backward.get(diagonal + 1),
        );
        let first = if below < above { below } else { above - 1 };
        let mut x = first;
        while x > area.left && x - diagonal > area.top && self.equal(x - 1, x - diagonal - 1) {
            x -= 1;
        }
        self.backward.set(diagonal, x);
        (x, first - x)
    }

    /// The diagonal that came farthest for its distance from the middle, if it just left a run.
    fn good_run_ahead(&self, area: Area, span: Span, middle: isize, cost: isize) -> Option<Fork> {
        let mut best: Option<(isize, isize, isize)> = None;
        for diagonal in span.diagonals() {
            let x = self.forward.get(diagonal);
            let y = x - diagonal;
            let worth = (x - area.left) + (y - area.top) - (diagonal - middle).abs();
            let inside = (area.left + SNAKE..area.right).contains(&x)
                && (area.top + SNAKE..area.bottom).contains(&y);
            if worth > RUN_FACTOR * cost
                && best.is_none_or(|(most, ..)| worth > most)
                && inside
                && (1..=SNAKE).all(|back| self.equal(x - back, y - back))
            {
                best = Some((worth, x, y));
            }
        }
        best.map(|(_, x, y)| Fork {
            x,
            y,
            exact_before: true,
            exact_after: false,
        })
    }

    fn good_run_behind(&self, area: Area, span: Span, middle: isize, cost: isize) -> Option<Fork> {
        let mut best: Option<(isize, isize, isize)> = None;
        for diagonal in span.diagonals() {
            let x = self.backward.get(diagonal);
            let y = x - diagonal;
            let worth = (area.right - x) + (area.bottom - y) - (diagonal - middle).abs();
            let inside = (area.left + 1..=area.right - SNAKE).contains(&x)
                && (area.top + 1..=area.bottom - SNAKE).contains(&y);
            if worth > RUN_FACTOR * cost
                && best.is_none_or(|(most, ..)| worth > most)
                && inside
                && (0..SNAKE).all(|on| self.equal(x + on, y + on))
            {
                best = Some((worth, x, y));
            }
        }
        best.map(|(_, x, y)| Fork {
            x,
            y,
            exact_before: false,
            exact_after: true,
        })
    }

    /// The place that is farthest from the corner that its way began at.
    fn furthest(&self, area: Area, ahead: Span, behind: Span) -> Fork {
        let (mut most, mut most_x) = (-1, -1);
        for diagonal in ahead.diagonals() {
            let x = self.forward.get(diagonal).min(area.right);
            let x = x.min(area.bottom + diagonal);
            let sum = x + x - diagonal;
            if most < sum {
                (most, most_x) = (sum, x);
            }
        }
        let (mut least, mut least_x) = (isize::MAX, isize::MAX);
        for diagonal in behind.diagonals() {
            let x = self.backward.get(diagonal).max(area.left);
            let x = x.max(area.top + diagonal);
            let sum = x + x - diagonal;
            if sum < least {
                (least, least_x) = (sum, x);
            }
        }
        let is_ahead = area.right + area.bottom - least < most - (area.left + area.top);
        let (x, sum) = match is_ahead {
            true => (most_x, most),
            false => (least_x, least),
        };
        Fork {
            x,
            y: sum - x,
            exact_before: is_ahead,
            exact_after: !is_ahead,
        }
    }
}
