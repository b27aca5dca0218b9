//! Who wrote each line of a file, as far back as it can be followed.
//!
//! Source: git-blame(1) with its defaults: a file is followed through renames, lines that moved within it only when
//! asked (`-M`); stock git is the judge. Known to differ: in long histories, a few moved lines are told to be from
//! another commit than git says, with `-M` only.
//! Bounds: [`FILE_BYTES_MAX`] and [`FILE_LINES_MAX`] the file, [`LINES_MAX`] of its lines, [`COMMITS_MAX`] commits
//! looked at, [`READ_BYTES_MAX`] of older versions read, and the caller's deadline; beyond them there is no answer,
//! since half of one would be wrong.
//! Invariant: every line asked for is told once, in order.
//! Not here: which lines (`ranges`), and whether the caller may see them (`hosting`).

mod lines;
mod origins;
pub mod ranges;
#[cfg(test)]
mod tests;

use std::{rc::Rc, sync::Arc, time::Instant};

pub use self::ranges::RangesError;
use self::{
    lines::Span,
    origins::{Origin, OriginIndex, Origins},
};
use super::{
    browse::Browser,
    diff::{DiffError, Differ},
    history::{ByTime, CommitIndex, History},
    packs::{PackSet, ReadError},
};
use crate::model::ObjectId;

/// Largest file whose lines are told, and largest older version that is read.
const FILE_BYTES_MAX: u64 = 32 << 20;
/// Most lines of either.
const FILE_LINES_MAX: usize = 500_000;
/// Lines told in one answer.
const LINES_MAX: usize = 100_000;
/// Commits looked at.
const COMMITS_MAX: usize = 500_000;
/// Bytes of older versions read.
const READ_BYTES_MAX: u64 = 4 << 30;
/// Bytes of versions that are kept at hand; others are read again.
const HELD_BYTES_MAX: usize = 64 << 20;
/// Letters and digits that lines need more of than this to count as moved; git's own default.
const MOVED_MIN: usize = 20;

/// Whose lines are wanted.
#[derive(Debug, Clone)]
pub struct BlameRequest {
    /// Where to begin.
    pub commit: ObjectId,
    /// The file there.
    pub path: Vec<u8>,
    /// Which lines, as `-L` takes them; all if there are none.
    pub ranges: Vec<String>,
    /// Whether lines that moved within the file are followed.
    pub moves: bool,
    /// When to give up.
    pub deadline: Instant,
}

/// A line and where it is from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlamedLine {
    /// In the file asked for; the first is 1.
    pub number: usize,
    /// The commit that brought it.
    pub commit: ObjectId,
    /// Its number there.
    pub original_number: usize,
    /// The file's path there.
    pub original_path: Rc<[u8]>,
    /// The commit before, whose version of the file did not have it.
    pub previous: Option<ObjectId>,
}

/// Why lines can't be told.
#[derive(Debug, thiserror::Error)]
pub enum BlameError {
    /// An object can't be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// There is no such file.
    #[error("no file of that path")]
    NoFile,
    /// The ranges make no sense for this file.
    #[error(transparent)]
    Ranges(#[from] RangesError),
    /// It would take too long.
    #[error("{0}")]
    TooMuch(&'static str),
}

impl From<DiffError> for BlameError {
    fn from(error: DiffError) -> Self {
        match error {
            DiffError::Read(error) => error.into(),
            _ => Self::TooMuch("a commit in the file's history changes too many files"),
        }
    }
}

/// Tells where the lines of a file are from.
///
/// # Errors
/// When there is no such file, the ranges make no sense, or its history is too much to follow.
pub fn blame(packs: Arc<PackSet>, request: &BlameRequest) -> Result<Vec<BlamedLine>, BlameError> {
    let mut history = History::new(Arc::clone(&packs));
    let commit = history.commit_of_id(&request.commit)?;
    let mut browser = Browser::new(Arc::clone(&packs));
    let tree = packs.id_of(history.tree(commit)).to_owned();
    let file = browser
        .at_path(&tree, &request.path)?
        .ok_or(BlameError::NoFile)?;
    if !matches!(file.mode & 0o170_000, 0o100_000 | 0o120_000) {
        return Err(BlameError::NoFile);
    }
    if browser.blob_size(&file.id)? > FILE_BYTES_MAX {
        return Err(too_large());
    }
    let text = browser.blob(&file.id, FILE_BYTES_MAX)?;
    if is_long(&text) {
        return Err(too_large());
    }
    let ranges = ranges::parse(&request.ranges, &text)?;
    if ranges.iter().map(ExactSizeIterator::len).sum::<usize>() > LINES_MAX {
        return Err(BlameError::TooMuch(
            "too many lines, ask for a range of them",
        ));
    }
    let mut walk = Walk {
        final_starts: lines::starts(&text),
        final_text: text,
        history,
        browser,
        differ: Differ::new(packs),
        origins: Origins::default(),
        queue: ByTime::default(),
        found: Vec::new(),
        moves: request.moves,
        deadline: request.deadline,
        commits: 0,
        read_bytes: 0,
        held_bytes: 0,
    };
    let first = walk.origins.get(commit, &request.path.as_slice().into());
    let origin = walk.origins.at(first);
    (origin.blob, origin.mode) = (Some(file.id), file.mode);
    let spans = ranges.into_iter().map(|range| Span {
        at: range.start,
        line: range.start,
        count: range.len(),
    });
    walk.suspect(first, spans.collect());
    walk.run()?;
    Ok(walk.told())
}

fn is_long(text: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', text).count() >= FILE_LINES_MAX
}

fn too_large() -> BlameError {
    BlameError::TooMuch("the file, or what it was, is too large to tell where its lines are from")
}

/// The way back through the history of the file.
struct Walk {
    final_text: Vec<u8>,
    /// Where each line of it begins, and where the last one ends.
    final_starts: Vec<usize>,
    history: History,
    browser: Browser,
    differ: Differ,
    origins: Origins,
    queue: ByTime,
    /// Lines whose origin is known.
    found: Vec<(OriginIndex, Span)>,
    moves: bool,
    deadline: Instant,
    commits: usize,
    read_bytes: u64,
    held_bytes: usize,
}

impl Walk {
    fn run(&mut self) -> Result<(), BlameError> {
        while let Some(commit) = self.queue.pop() {
            while let Some(origin) = self.origins.suspected(commit) {
                self.commits += 1;
                if self.commits > COMMITS_MAX || Instant::now() >= self.deadline {
                    let reason =
                        "the history of the file is too long to tell where its lines are from";
                    return Err(BlameError::TooMuch(reason));
                }
                self.pass(commit, origin)?;
                let kept = std::mem::take(&mut self.origins.at(origin).suspects);
                self.found
                    .extend(kept.into_iter().map(|span| (origin, span)));
                self.let_go(origin);
            }
        }
        Ok(())
    }

    /// Suspects these lines, sorted by their place in it, to be from this origin.
    fn suspect(&mut self, origin: OriginIndex, spans: Vec<Span>) {
        if spans.is_empty() {
            return;
        }
        let commit = self.origins.at(origin).commit;
        if self.origins.suspected(commit).is_none() {
            self.queue.push(&self.history, commit);
        }
        let suspects = &mut self.origins.at(origin).suspects;
        suspects.extend(spans);
        suspects.sort_by_key(|span| span.line);
    }

    /// Passes the lines of an origin on to the commit's parents, as far as these have them.
    fn pass(&mut self, commit: CommitIndex, origin: OriginIndex) -> Result<(), BlameError> {
        let count = self.history.parent_count(commit);
        let mut parents = vec![None; count as usize];
        for renames in [false, true] {
            for at in 0..count {
                let place = at as usize;
                if parents[place].is_some() {
                    continue;
                }
                let parent = self.history.parent(commit, at)?;
                let found = match renames {
                    false => self.same_path(commit, parent, origin)?,
                    true => self.renamed(commit, parent, origin)?,
                };
                let Some(found) = found else {
                    continue;
                };
                let blob = self.origins.at(found).blob;
                if blob == self.origins.at(origin).blob {
                    let spans = std::mem::take(&mut self.origins.at(origin).suspects);
                    if self.origins.at(found).text.is_none() {
                        let text = self.origins.at(origin).text.take();
                        self.origins.at(found).text = text;
                    }
                    self.suspect(found, spans);
                    return Ok(());
                }
                let known = |other: &Option<OriginIndex>| {
                    other.is_some_and(|other| self.origins.get_at(other).blob == blob)
                };
                if !parents[..place].iter().any(known) {
                    parents[place] = Some(found);
                }
            }
        }
        for parent in parents.iter().flatten() {
            if self.origins.at(origin).previous.is_none() {
                self.origins.at(origin).previous = Some(*parent);
            }
            self.pass_lines(origin, *parent)?;
            if self.origins.at(origin).suspects.is_empty() {
                return Ok(());
            }
        }
        if self.moves {
            self.pass_moved(origin, &parents)?;
        }
        Ok(())
    }

    /// The file of the same path in a parent.
    fn same_path(
        &mut self,
        commit: CommitIndex,
        parent: CommitIndex,
        origin: OriginIndex,
    ) -> Result<Option<OriginIndex>, BlameError> {
        let Origin {
            path, blob, mode, ..
        } = self.origins.at(origin);
        let (path, blob, mode) = (Rc::clone(path), *blob, *mode);
        if let Some(known) = self.origins.find(parent, &path) {
            return Ok(Some(known));
        }
        let (tree, now) = (self.history.tree(parent), self.history.tree(commit));
        let (before, before_mode) = if tree == now {
            (blob, mode)
        } else {
            let tree = self.history.packs().id_of(tree).to_owned();
            let entry = self.browser.at_path(&tree, &path)?;
            match entry.filter(|entry| entry.mode & 0o170_000 == mode & 0o170_000) {
                Some(entry) => (Some(entry.id), entry.mode),
                None => return Ok(None),
            }
        };
        let found = self.origins.get(parent, &path);
        let origin = self.origins.at(found);
        (origin.blob, origin.mode) = (before, before_mode);
        Ok(Some(found))
    }

    /// The file of another path in a parent that became this one.
    fn renamed(
        &mut self,
        commit: CommitIndex,
        parent: CommitIndex,
        origin: OriginIndex,
    ) -> Result<Option<OriginIndex>, BlameError> {
        let path = Rc::clone(&self.origins.at(origin).path);
        let packs = Arc::clone(self.history.packs());
        let before = packs.id_of(self.history.tree(parent));
        let after = packs.id_of(self.history.tree(commit));
        let Some(file) = self.differ.origin_of(before, after, &path)? else {
            return Ok(None);
        };
        let found = self.origins.get(parent, &file.path.into());
        let origin = self.origins.at(found);
        (origin.blob, origin.mode) = (Some(file.id), file.mode);
        Ok(Some(found))
    }

    /// The bytes of an origin's file.
    fn text(&mut self, origin: OriginIndex) -> Result<Rc<[u8]>, BlameError> {
        let known = self.origins.at(origin);
        if let Some(text) = &known.text {
            return Ok(Rc::clone(text));
        }
        let Some(blob) = known.blob else {
            return Ok(Rc::from([]));
        };
        let size = self.browser.blob_size(&blob)?;
        self.read_bytes += size;
        if size > FILE_BYTES_MAX || self.read_bytes > READ_BYTES_MAX {
            return Err(too_large());
        }
        let text: Rc<[u8]> = self.browser.blob(&blob, FILE_BYTES_MAX)?.into();
        if is_long(&text) {
            return Err(too_large());
        }
        if self.held_bytes + text.len() <= HELD_BYTES_MAX {
            self.held_bytes += text.len();
            self.origins.at(origin).text = Some(Rc::clone(&text));
        }
        Ok(text)
    }

    fn let_go(&mut self, origin: OriginIndex) {
        if let Some(text) = self.origins.at(origin).text.take() {
            self.held_bytes -= text.len();
        }
    }

    /// Passes on the lines that the parent's file has unchanged.
    fn pass_lines(&mut self, origin: OriginIndex, parent: OriginIndex) -> Result<(), BlameError> {
        let (before, after) = (self.text(parent)?, self.text(origin)?);
        let spans = std::mem::take(&mut self.origins.at(origin).suspects);
        let (passed, kept) = lines::divide(&before, &after, spans);
        self.origins.at(origin).suspects = kept;
        self.suspect(parent, passed);
        if self.origins.at(parent).suspects.is_empty() {
            self.let_go(parent);
        }
        Ok(())
    }

    /// Passes on the lines that a parent's file has elsewhere, if there is enough to them.
    fn pass_moved(
        &mut self,
        origin: OriginIndex,
        parents: &[Option<OriginIndex>],
    ) -> Result<(), BlameError> {
        let spans = std::mem::take(&mut self.origins.at(origin).suspects);
        let weighty = |walk: &Self, span: &Span| walk.weight(span) > MOVED_MIN;
        let (mut open, mut kept): (Vec<_>, Vec<_>) =
            spans.into_iter().partition(|span| weighty(self, span));
        let mut passed: Vec<(OriginIndex, Span)> = Vec::new();
        for parent in parents.iter().flatten() {
            if open.is_empty() {
                break;
            }
            let before = self.text(*parent)?;
            let mut left = Vec::new();
            while !open.is_empty() {
                let mut rest = Vec::new();
                for span in open {
                    let lines = &self.final_text
                        [self.final_starts[span.at]..self.final_starts[span.at + span.count]];
                    let best = lines::runs(&before, lines)
                        .map(|run| span.part(run.to, run.count, run.from))
                        .fold(None, |best: Option<Span>, run| match best {
                            Some(best) if self.weight(&run) < self.weight(&best) => Some(best),
                            _ => Some(run),
                        });
                    match best.filter(|best| weighty(self, best)) {
                        Some(best) => {
                            rest.extend(span.without(&best));
                            passed.push((*parent, best));
                        }
                        None => left.push(span),
                    }
                }
                let (next, small): (Vec<_>, Vec<_>) =
                    rest.into_iter().partition(|span| weighty(self, span));
                kept.extend(small);
                open = next;
            }
            open = left;
        }
        kept.extend(open);
        kept.sort_by_key(|span| span.line);
        self.origins.at(origin).suspects = kept;
        for (parent, span) in passed {
            self.suspect(parent, vec![span]);
        }
        Ok(())
    }

    /// One more than the letters and digits of these lines.
    fn weight(&self, span: &Span) -> usize {
        let text =
            &self.final_text[self.final_starts[span.at]..self.final_starts[span.at + span.count]];
        1 + text
            .iter()
            .filter(|byte| byte.is_ascii_alphanumeric())
            .count()
    }

    /// What was found, line by line.
    fn told(self) -> Vec<BlamedLine> {
        let mut told = Vec::new();
        for (origin, span) in &self.found {
            let origin = self.origins.get_at(*origin);
            let previous = origin.previous.map(|at| self.origins.get_at(at).commit);
            for at in 0..span.count {
                told.push(BlamedLine {
                    number: span.at + at + 1,
                    commit: self.history.id(origin.commit),
                    original_number: span.line + at + 1,
                    original_path: Rc::clone(&origin.path),
                    previous: previous.map(|commit| self.history.id(commit)),
                });
            }
        }
        told.sort_by_key(|line| line.number);
        told
    }
}
