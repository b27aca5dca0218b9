//! Which files moved: a file that is gone and one that is new, made of the same lines.
//!
//! Source: git-diff(1), `-M`, `-C` and `-l`; gitdiffcore(7), "diffcore-rename". Files that are the same come first,
//! then those that kept their name and lost little, then whatever resembles each other most.
//! Bounds: [`Detection::candidates_max`] squared comparisons, [`SKETCH_BYTES_MAX`] for what is remembered of files,
//! [`READ_BYTES_MAX`] of files read, [`STEPS_MAX`] of comparing; beyond, only what was found so far counts as moved.
//! Invariant: the order of files stays; a moved file stands where its new path stands.

mod moves;
mod sketch;

use std::{cmp::Reverse, collections::HashMap};

use super::{DiffError, Differ, FileAt, Pair, Pairs, Similarity, read_blob};
use crate::{
    git::packs::{ObjectReader, ReadError},
    model::ObjectId,
};
use moves::Moves;
pub(crate) use sketch::Sketch;

/// What is remembered of files that are compared.
const SKETCH_BYTES_MAX: usize = 128 << 20;
/// What is read of files that are compared.
const READ_BYTES_MAX: u64 = 1 << 30;
/// Entries of sketches that are held against each other.
const STEPS_MAX: u64 = 2 << 30;
/// Sources remembered for each destination.
const BEST: usize = 4;
/// Files of equal content that are looked at to find one of the same name.
const EQUALS_MAX: usize = 100;

/// What is to be detected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Detection {
    /// Whether files that changed may have been copied, as with `-C`.
    pub copies: bool,
    /// How much must be the same, as with `-M`.
    pub minimum: Similarity,
    /// Beyond the square of this, files are not held against each other; `-l`.
    pub candidates_max: usize,
}

impl Detection {
    /// What `git diff` does when nothing else is asked for.
    pub const DEFAULT: Self = Self {
        copies: false,
        minimum: Similarity::HALF,
        candidates_max: 1000,
    };
}

/// Marks the moved ones among these files.
pub(super) fn detect(
    reader: &mut ObjectReader,
    pairs: Vec<Pair>,
    detection: Detection,
) -> Result<Pairs, DiffError> {
    let mut search = Search::new(reader, &pairs, detection);
    let mut detection_cut = false;
    if !search.sources.is_empty() && !search.targets.is_empty() {
        search.exact();
        if detection.minimum < Similarity::WHOLE {
            detection_cut = match search.inexact() {
                Ok(()) => false,
                Err(Stopped::Exhausted) => true,
                Err(Stopped::Read(error)) => return Err(error.into()),
            };
        }
    }
    let moves = search.moves();
    Ok(Pairs {
        pairs: moves.put_into(&pairs),
        detection_cut,
    })
}

/// Why a search ended early.
enum Stopped {
    Exhausted,
    Read(ReadError),
}

impl From<ReadError> for Stopped {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

/// A file that may have moved.
struct Source<'a> {
    file: &'a FileAt,
    /// Of how many files it is the origin, itself included if it stays where it is.
    used: u32,
    place: usize,
    size: Option<u64>,
    sketch: Option<Sketch>,
}

/// A file that may have come from elsewhere.
struct Target<'a> {
    file: &'a FileAt,
    place: usize,
    size: Option<u64>,
    origin: Option<(usize, Similarity)>,
}

/// A source and how well it fits a target.
#[derive(Clone, Copy)]
struct Candidate {
    target: usize,
    source: usize,
    score: Similarity,
    same_name: bool,
}

impl Candidate {
    /// The best is the least.
    fn rank(&self) -> (Reverse<Similarity>, Reverse<bool>) {
        (Reverse(self.score), Reverse(self.same_name))
    }
}

struct Search<'a> {
    reader: &'a mut ObjectReader,
    detection: Detection,
    sources: Vec<Source<'a>>,
    targets: Vec<Target<'a>>,
    buffer: Vec<u8>,
    sketch_bytes: usize,
    read_bytes: u64,
    steps: u64,
}

impl<'a> Search<'a> {
    fn new(reader: &'a mut ObjectReader, pairs: &'a [Pair], detection: Detection) -> Self {
        let (mut sources, mut targets) = (Vec::new(), Vec::new());
        for (place, pair) in pairs.iter().enumerate() {
            let mut source = |file, used| {
                sources.push(Source {
                    file,
                    used,
                    place,
                    size: None,
                    sketch: None,
                });
            };
            match (&pair.before, &pair.after) {
                (None, Some(file)) => targets.push(Target {
                    file,
                    place,
                    size: None,
                    origin: None,
                }),
                (Some(file), None) => source(file, 0),
                (Some(file), Some(_)) if detection.copies => source(file, 1),
                _ => {}
            }
        }
        Self {
            reader,
            detection,
            sources,
            targets,
            buffer: Vec::new(),
            sketch_bytes: 0,
            read_bytes: 0,
            steps: 0,
        }
    }

    /// Pairs files of equal content: an unused source of the same name if there is one.
    fn exact(&mut self) {
        let mut by_id: HashMap<ObjectId, Vec<usize>> = HashMap::new();
        for (at, source) in self.sources.iter().enumerate() {
            by_id.entry(source.file.id).or_default().push(at);
        }
        for target in 0..self.targets.len() {
            let file = self.targets[target].file;
            let mut best: Option<(u32, usize)> = None;
            let mut looked_at = 0;
            for at in by_id.get(&file.id).into_iter().flatten() {
                let source = &self.sources[*at];
                let regular = source.file.is_regular() && file.is_regular();
                let unfit = !regular && source.file.mode != file.mode;
                if unfit || source.used > 0 && !self.detection.copies {
                    continue;
                }
                let score = u32::from(source.used == 0) + u32::from(same_name(source.file, file));
                if best.is_none_or(|(most, _)| score > most) {
                    best = Some((score, *at));
                }
                if score == 2 || looked_at == EQUALS_MAX {
                    break;
                }
                looked_at += 1;
            }
            if let Some((_, source)) = best {
                self.pair(target, source, Similarity::WHOLE);
            }
        }
    }

    fn inexact(&mut self) -> Result<(), Stopped> {
        if !self.detection.copies {
            self.by_name()?;
        }
        let sources: Vec<_> = (0..self.sources.len())
            .filter(|at| self.is_open(*at))
            .collect();
        let open = |target: &usize| self.targets[*target].origin.is_none();
        let targets: Vec<_> = (0..self.targets.len()).filter(open).collect();
        let most = self.detection.candidates_max;
        if sources.len().saturating_mul(targets.len()) > most.saturating_mul(most) {
            return Err(Stopped::Exhausted);
        }
        let mut candidates = Vec::new();
        for target in targets {
            let mut best: Vec<Candidate> = Vec::with_capacity(BEST);
            let mut fresh = None;
            for source in &sources {
                let candidate = Candidate {
                    target,
                    source: *source,
                    score: self.similarity(*source, target, &mut fresh)?,
                    same_name: same_name(self.sources[*source].file, self.targets[target].file),
                };
                if best.len() < BEST {
                    best.push(candidate);
                    continue;
                }
                // Of equally bad ones the first goes, since the others came later.
                let worst = (1..BEST).fold(0, |worst, at| {
                    if best[at].rank() > best[worst].rank() {
                        at
                    } else {
                        worst
                    }
                });
                if candidate.rank() < best[worst].rank() {
                    best[worst] = candidate;
                }
            }
            candidates.append(&mut best);
        }
        candidates.sort_by_key(Candidate::rank);
        self.take(&candidates, false);
        if self.detection.copies {
            self.take(&candidates, true);
        }
        Ok(())
    }

    /// Whether a file may still be told to have moved.
    fn is_open(&self, source: usize) -> bool {
        self.detection.copies || self.sources[source].used == 0
    }

    /// Pairs files whose name no other file has, if more than half of what the minimum allows to be lost is kept.
    fn by_name(&mut self) -> Result<(), Stopped> {
        let minimum = self.detection.minimum.0;
        let minimum = Similarity(minimum + (Similarity::WHOLE.0 - minimum) / 2);
        let sources = (0..self.sources.len()).filter(|at| self.is_open(*at));
        let sources = only_ones(sources.map(|at| (name(self.sources[at].file), at)));
        let targets = self.targets.iter().enumerate();
        let targets = targets.filter(|(_, target)| target.origin.is_none());
        let targets = only_ones(targets.map(|(at, target)| (name(target.file), at)));
        let mut both: Vec<_> = sources
            .into_iter()
            .filter_map(|(name, source)| Some((source?, (*targets.get(name)?)?)))
            .collect();
        both.sort_unstable();
        for (source, target) in both {
            let score = self.similarity(source, target, &mut None)?;
            if score >= minimum {
                self.pair(target, source, score);
            }
        }
        Ok(())
    }

    /// Pairs the best candidates first.
    fn take(&mut self, candidates: &[Candidate], used_too: bool) {
        for candidate in candidates {
            if candidate.score < self.detection.minimum {
                break;
            }
            let is_new = self.targets[candidate.target].origin.is_none();
            if is_new && (used_too || self.sources[candidate.source].used == 0) {
                self.pair(candidate.target, candidate.source, candidate.score);
            }
        }
    }

    fn pair(&mut self, target: usize, source: usize, score: Similarity) {
        self.targets[target].origin = Some((source, score));
        self.sources[source].used += 1;
        if !self.detection.copies {
            self.forget(source);
        }
    }

    fn forget(&mut self, source: usize) {
        if let Some(sketch) = self.sources[source].sketch.take() {
            self.sketch_bytes -= sketch.bytes();
        }
    }

    /// How much of the larger file is in the other; nothing if that can't reach the minimum. The sketch of the target
    /// is made once and kept in `fresh`.
    fn similarity(
        &mut self,
        source: usize,
        target: usize,
        fresh: &mut Option<Sketch>,
    ) -> Result<Similarity, Stopped> {
        const NONE: Similarity = Similarity(0);
        let (from, to) = (self.sources[source].file, self.targets[target].file);
        if !from.is_regular() || !to.is_regular() {
            return Ok(NONE);
        }
        let (from_size, to_size) = (self.source_size(source)?, self.target_size(target)?);
        let (small, large) = (from_size.min(to_size), from_size.max(to_size));
        let (whole, minimum) = (
            u64::from(Similarity::WHOLE.0),
            u64::from(self.detection.minimum.0),
        );
        let hopeless = large * (whole - minimum) < (large - small) * whole;
        if hopeless || large > Differ::TEXT_BYTES_MAX {
            return Ok(NONE);
        }
        if self.sources[source].sketch.is_none() {
            let sketch = self.sketch(&from.id)?;
            self.sketch_bytes += sketch.bytes();
            self.sources[source].sketch = Some(sketch);
        }
        if fresh.is_none() {
            *fresh = Some(self.sketch(&to.id)?);
        }
        let (Some(from), Some(to)) = (&self.sources[source].sketch, &*fresh) else {
            unreachable!("both were made above");
        };
        self.steps += (from.bytes() + to.bytes()) as u64 / 8;
        if self.steps > STEPS_MAX || self.sketch_bytes > SKETCH_BYTES_MAX {
            return Err(Stopped::Exhausted);
        }
        let shared = from.shared_with(to);
        let score = if to_size == 0 {
            0
        } else {
            shared * whole / large
        };
        Ok(Similarity(
            u32::try_from(score).expect("no more is shared than there is"),
        ))
    }

    fn source_size(&mut self, source: usize) -> Result<u64, ReadError> {
        if let Some(size) = self.sources[source].size {
            return Ok(size);
        }
        let size = self.size(&self.sources[source].file.id)?;
        self.sources[source].size = Some(size);
        Ok(size)
    }

    fn target_size(&mut self, target: usize) -> Result<u64, ReadError> {
        if let Some(size) = self.targets[target].size {
            return Ok(size);
        }
        let size = self.size(&self.targets[target].file.id)?;
        self.targets[target].size = Some(size);
        Ok(size)
    }

    fn size(&mut self, id: &ObjectId) -> Result<u64, ReadError> {
        if id.is_empty_blob() {
            return Ok(0);
        }
        self.reader.size(id)?.ok_or(ReadError::Missing(*id))
    }

    fn sketch(&mut self, id: &ObjectId) -> Result<Sketch, Stopped> {
        read_blob(self.reader, id, Differ::TEXT_BYTES_MAX, &mut self.buffer)?;
        self.read_bytes += self.buffer.len() as u64;
        if self.read_bytes > READ_BYTES_MAX {
            return Err(Stopped::Exhausted);
        }
        Ok(Sketch::of(&self.buffer))
    }

    /// Each move as the places of target and source, and how alike they are; and which sources are left alone.
    fn moves(self) -> Moves {
        let moves = self.targets.iter().filter_map(|target| {
            let (source, score) = target.origin?;
            Some((target.place, (self.sources[source].place, score)))
        });
        let used = self.sources.iter().filter(|source| source.used > 0);
        Moves {
            origins: moves.collect(),
            uses: used.map(|source| (source.place, source.used)).collect(),
        }
    }
}

fn name(file: &FileAt) -> &[u8] {
    let slash = file.path.iter().rposition(|byte| *byte == b'/');
    &file.path[slash.map_or(0, |at| at + 1)..]
}

fn same_name(one: &FileAt, other: &FileAt) -> bool {
    name(one) == name(other)
}

/// The index of each name that occurs once.
fn only_ones<'a>(
    names: impl Iterator<Item = (&'a [u8], usize)>,
) -> HashMap<&'a [u8], Option<usize>> {
    let mut found = HashMap::new();
    for (name, at) in names {
        let known = found.entry(name).or_insert(Some(at));
        if *known != Some(at) {
            *known = None;
        }
    }
    found
}
