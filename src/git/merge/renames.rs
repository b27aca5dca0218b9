//! Which files one side moved, and what that tells of the folders they were in.
//!
//! Source: git-diff(1), `-M`, as git's `ort` strategy uses it: only files count whose new place matters, folders
//! give hints where files of a frequent name went, and most files of a folder decide where it went.
//! Bounds: [`CANDIDATES_MAX`] squared, [`STEPS_MAX`] steps of comparing, [`SKETCH_BYTES_MAX`] remembered; beyond
//! them the merge is refused, since it would be another one.
//! Invariant: a file moves to one place only.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
    rc::Rc,
};

use super::{
    MergeError,
    collect::{FolderRelevance, Path, Relevance, Side},
    objects::{Objects, Version},
};
use crate::{git::diff::Sketch, model::ObjectId};

/// Files that come and files that go, at most the square of this together.
const CANDIDATES_MAX: usize = 7000;
/// Entries of sketches that are held against each other.
const STEPS_MAX: u64 = 4 << 30;
/// What is remembered of files that are compared.
const SKETCH_BYTES_MAX: usize = 256 << 20;
/// Larger files do not count as moved unless they stayed the same.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// All of a file is the same.
const WHOLE: u64 = 60_000;
/// What has to be the same.
const HALF: u64 = 30_000;
/// What has to be the same for a file that kept its name.
const SAME_NAME: u64 = 45_000;
/// Sources remembered for each target.
const BEST: usize = 4;
/// Files of equal content that are looked at to find one of the same name.
const EQUALS_MAX: usize = 100;

/// How many files went from one folder to others; from those that are not yet known to nowhere.
pub(super) type FolderMoves = BTreeMap<Path, BTreeMap<Path, usize>>;

/// The folder of a path, and the name in it.
pub(super) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(slash) => (&path[..slash], &path[slash + 1..]),
        None => (b"", path),
    }
}

/// Finds out which files the side moved; its changes tell it from then on. Answers where folders went.
pub(super) fn detect(objects: &mut Objects, side: &mut Side) -> Result<FolderMoves, MergeError> {
    if side.changes.is_empty() || side.relevant.is_empty() {
        return Ok(FolderMoves::new());
    }
    let mut search = Search::new(objects, side);
    if search.sources.is_empty() || search.targets.is_empty() {
        return Ok(FolderMoves::new());
    }
    search.exact();
    search.forget_used();
    search.count_folders();
    search.by_name()?;
    search.forget_used();
    let relevant = search.relevant;
    search
        .sources
        .retain(|source| relevant.contains_key(&source.path));
    search.forget_determined();
    search.inexact()?;
    let Search {
        targets, mut moves, ..
    } = search;
    moves.retain(|folder, _| {
        let removed = side.removed_folders.get(folder);
        removed.is_some_and(|relevance| *relevance != FolderRelevance::None)
    });
    for counts in moves.values_mut() {
        counts.retain(|folder, _| **folder != *UNKNOWN);
    }
    let mut used = HashSet::new();
    for target in targets {
        if let Some((path, version)) = target.from {
            used.insert(Rc::clone(&path));
            side.changes[target.place].from = Some((path, version));
        }
    }
    side.changes
        .retain(|change| match (&change.from, &change.to) {
            (Some((path, _)), None) => !used.contains(path),
            _ => true,
        });
    Ok(moves)
}

/// No folder is called so.
const UNKNOWN: &[u8] = b"/";

struct Source {
    path: Path,
    version: Version,
    used: bool,
    size: Option<u64>,
    sketch: Option<Rc<Sketch>>,
}

struct Target {
    place: usize,
    path: Path,
    version: Version,
    from: Option<(Path, Version)>,
    size: Option<u64>,
}

/// A source and how well it fits a target.
#[derive(Clone, Copy)]
struct Candidate {
    source: usize,
    target: usize,
    score: u64,
    same_name: bool,
}

impl Candidate {
    /// The best is the least.
    fn rank(&self) -> (Reverse<u64>, Reverse<bool>) {
        (Reverse(self.score), Reverse(self.same_name))
    }
}

struct Search<'a> {
    objects: &'a mut Objects,
    relevant: &'a HashMap<Path, Relevance>,
    removed: &'a HashMap<Path, FolderRelevance>,
    sources: Vec<Source>,
    targets: Vec<Target>,
    moves: FolderMoves,
    /// Where most files of a folder went that did not change.
    guesses: HashMap<Path, Path>,
    sketch_bytes: usize,
    steps: u64,
}

impl<'a> Search<'a> {
    fn new(objects: &'a mut Objects, side: &'a Side) -> Self {
        let (mut sources, mut targets) = (Vec::new(), Vec::new());
        for (place, change) in side.changes.iter().enumerate() {
            match (&change.from, &change.to) {
                (Some((path, version)), None) if !version.id.is_empty_blob() => {
                    sources.push(Source {
                        path: Rc::clone(path),
                        version: *version,
                        used: false,
                        size: None,
                        sketch: None,
                    });
                }
                (None, Some((path, version))) if !version.id.is_empty_blob() => {
                    targets.push(Target {
                        place,
                        path: Rc::clone(path),
                        version: *version,
                        from: None,
                        size: None,
                    });
                }
                _ => {}
            }
        }
        Self {
            objects,
            relevant: &side.relevant,
            removed: &side.removed_folders,
            sources,
            targets,
            moves: FolderMoves::new(),
            guesses: HashMap::new(),
            sketch_bytes: 0,
            steps: 0,
        }
    }

    /// Pairs files of equal content: one of the same name if there is one.
    fn exact(&mut self) {
        let mut by_id: HashMap<ObjectId, Vec<usize>> = HashMap::new();
        for (at, source) in self.sources.iter().enumerate() {
            by_id.entry(source.version.id).or_default().push(at);
        }
        for target in 0..self.targets.len() {
            let (path, version) = (&self.targets[target].path, self.targets[target].version);
            let mut best: Option<(bool, usize)> = None;
            for at in by_id
                .get(&version.id)
                .into_iter()
                .flatten()
                .take(EQUALS_MAX)
            {
                let source = &self.sources[*at];
                let regular = source.version.is_regular() && version.is_regular();
                if source.used || !regular && source.version.mode != version.mode {
                    continue;
                }
                let same_name = split(&source.path).1 == split(path).1;
                if best.is_none_or(|(best, _)| same_name && !best) {
                    best = Some((same_name, *at));
                }
                if same_name {
                    break;
                }
            }
            if let Some((_, source)) = best {
                self.pair(source, target);
            }
        }
    }

    fn pair(&mut self, source: usize, target: usize) {
        let source = &mut self.sources[source];
        source.used = true;
        if let Some(sketch) = source.sketch.take() {
            self.sketch_bytes -= sketch.bytes();
        }
        self.targets[target].from = Some((Rc::clone(&source.path), source.version));
    }

    fn forget_used(&mut self) {
        self.sources.retain(|source| !source.used);
    }

    /// Counts the moves found so far, and guesses from them where folders went.
    fn count_folders(&mut self) {
        for target in 0..self.targets.len() {
            if let Some((from, _)) = self.targets[target].from.clone() {
                let to = Rc::clone(&self.targets[target].path);
                self.count(&from, &to);
            }
        }
        for (folder, counts) in &self.moves {
            let best = counts
                .iter()
                .max_by_key(|(folder, count)| (**count, Reverse(*folder)));
            if let Some((best, _)) = best {
                self.guesses.insert(Rc::clone(folder), Rc::clone(best));
            }
        }
    }

    /// Counts a move for the folder of a file, and for those above it as far as their names go along.
    fn count(&mut self, from: &[u8], to: &[u8]) {
        let (mut from, mut to) = (from, to);
        let mut first = true;
        loop {
            let ((old, old_name), (new, new_name)) = (split(from), split(to));
            let Some(relevance) = self.removed.get(old).copied() else {
                return;
            };
            if !first && old_name != new_name {
                return;
            }
            if first || relevance == FolderRelevance::Itself {
                let counts = self.moves.entry(Rc::from(old)).or_default();
                *counts.entry(Rc::from(new)).or_default() += 1;
            }
            if relevance == FolderRelevance::None || old.is_empty() || new.is_empty() {
                return;
            }
            (from, to, first) = (old, new, false);
        }
    }

    /// Pairs files whose name no other file has, or whose folder seems to have gone where the other is.
    fn by_name(&mut self) -> Result<(), MergeError> {
        let sources = self.sources.iter().enumerate();
        let sources = only_ones(sources.map(|(at, source)| (split(&source.path).1.to_vec(), at)));
        let open = self
            .targets
            .iter()
            .enumerate()
            .filter(|(_, target)| target.from.is_none());
        let by_path: HashMap<Path, usize> = open
            .clone()
            .map(|(at, target)| (Rc::clone(&target.path), at))
            .collect();
        let targets = only_ones(open.map(|(at, target)| (split(&target.path).1.to_vec(), at)));
        for source in 0..self.sources.len() {
            let path = Rc::clone(&self.sources[source].path);
            let (folder, name) = split(&path);
            if !self.relevant.contains_key(&path) {
                continue;
            }
            let Some(target) = targets.get(name) else {
                continue;
            };
            let target = match (sources.get(name), target) {
                (Some(Some(_)), Some(target)) => Some(*target),
                _ => self
                    .guesses
                    .get(folder)
                    .and_then(|folder| by_path.get(&*[folder, &b"/"[..], name].concat()).copied()),
            };
            let Some(target) = target.filter(|target| self.targets[*target].from.is_none()) else {
                continue;
            };
            if self.similarity(source, target, &mut None)? >= SAME_NAME {
                self.pair(source, target);
                let to = Rc::clone(&self.targets[target].path);
                self.count(&path, &to);
            }
        }
        Ok(())
    }

    /// Forgets files that would only tell where their folder went, once that is clear.
    fn forget_determined(&mut self) {
        let unknown: Path = Rc::from(UNKNOWN);
        let relevance = |folder: &[u8]| {
            self.removed
                .get(folder)
                .copied()
                .unwrap_or(FolderRelevance::None)
        };
        for source in &self.sources {
            let mut folder = split(&source.path).0;
            while !folder.is_empty() && relevance(folder) != FolderRelevance::None {
                let counts = self.moves.entry(Rc::from(folder)).or_default();
                *counts.entry(Rc::clone(&unknown)).or_default() += 1;
                folder = split(folder).0;
            }
        }
        let is_determined = |counts: &BTreeMap<Path, usize>| {
            let open = counts.get(UNKNOWN).copied().unwrap_or(0);
            let known = counts.iter().filter(|(folder, _)| ***folder != *UNKNOWN);
            let mut known: Vec<_> = known.map(|(_, count)| *count).collect();
            known.sort_unstable_by_key(|count| Reverse(*count));
            let count = |at: usize| known.get(at).copied().unwrap_or(0);
            count(0) > count(1) + open
        };
        let determined: Vec<Path> = self
            .moves
            .iter()
            .filter(|(folder, counts)| {
                relevance(folder) == FolderRelevance::Itself && is_determined(counts)
            })
            .map(|(folder, _)| Rc::clone(folder))
            .collect();
        let matters = |path: &[u8]| {
            let mut folder = split(path).0;
            loop {
                match relevance(folder) {
                    FolderRelevance::None => return false,
                    FolderRelevance::Itself
                        if determined
                            .binary_search_by(|known| (**known).cmp(folder))
                            .is_err() =>
                    {
                        return true;
                    }
                    // Nothing is above the root.
                    _ if folder.is_empty() => return false,
                    _ => folder = split(folder).0,
                }
            }
        };
        let relevant = self.relevant;
        self.sources.retain(|source| {
            relevant.get(&source.path) != Some(&Relevance::Location) || matters(&source.path)
        });
    }

    /// Pairs what resembles each other most.
    fn inexact(&mut self) -> Result<(), MergeError> {
        let open = |target: &usize| self.targets[*target].from.is_none();
        let targets: Vec<_> = (0..self.targets.len()).filter(open).collect();
        if targets.len().saturating_mul(self.sources.len()) > CANDIDATES_MAX * CANDIDATES_MAX {
            return Err(MergeError::TooMuch("too many files moved"));
        }
        let mut candidates = Vec::new();
        for target in targets {
            let mut best: Vec<Candidate> = Vec::with_capacity(BEST);
            let mut fresh = None;
            for source in 0..self.sources.len() {
                let names = (
                    split(&self.sources[source].path).1,
                    split(&self.targets[target].path).1,
                );
                let candidate = Candidate {
                    source,
                    target,
                    same_name: names.0 == names.1,
                    score: self.similarity(source, target, &mut fresh)?,
                };
                if best.len() < BEST {
                    best.push(candidate);
                    continue;
                }
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
        for candidate in candidates {
            if candidate.score < HALF {
                break;
            }
            let Candidate { source, target, .. } = candidate;
            if self.targets[target].from.is_none() && !self.sources[source].used {
                self.pair(source, target);
                let from = Rc::clone(&self.sources[source].path);
                let to = Rc::clone(&self.targets[target].path);
                self.count(&from, &to);
            }
        }
        Ok(())
    }

    /// How much of the larger file is in the other; nothing if that can't be the half. The sketch of the target
    /// is made once and kept in `fresh`.
    fn similarity(
        &mut self,
        source: usize,
        target: usize,
        fresh: &mut Option<Sketch>,
    ) -> Result<u64, MergeError> {
        let (from, to) = (self.sources[source].version, self.targets[target].version);
        if !from.is_regular() || !to.is_regular() {
            return Ok(0);
        }
        let from_size = match self.sources[source].size {
            Some(size) => size,
            None => self.objects.size(&from.id)?,
        };
        self.sources[source].size = Some(from_size);
        let to_size = match self.targets[target].size {
            Some(size) => size,
            None => self.objects.size(&to.id)?,
        };
        self.targets[target].size = Some(to_size);
        let (small, large) = (from_size.min(to_size), from_size.max(to_size));
        if large * (WHOLE - HALF) < (large - small) * WHOLE || large > FILE_BYTES_MAX {
            return Ok(0);
        }
        let known = match &self.sources[source].sketch {
            Some(sketch) => Rc::clone(sketch),
            None => {
                let sketch = Rc::new(Sketch::of(&self.objects.blob(&from.id)?));
                self.sketch_bytes += sketch.bytes();
                self.sources[source].sketch = Some(Rc::clone(&sketch));
                sketch
            }
        };
        let fresh = match fresh {
            Some(fresh) => fresh,
            None => fresh.insert(Sketch::of(&self.objects.blob(&to.id)?)),
        };
        self.steps += (known.bytes() + fresh.bytes()) as u64 / 8;
        if self.steps > STEPS_MAX || self.sketch_bytes > SKETCH_BYTES_MAX {
            return Err(MergeError::TooMuch("too many files moved"));
        }
        match to_size {
            0 => Ok(0),
            _ => Ok(known.shared_with(fresh) * WHOLE / large),
        }
    }
}

/// For each name the one place it is at, or nothing if there are several.
fn only_ones(names: impl Iterator<Item = (Vec<u8>, usize)>) -> HashMap<Vec<u8>, Option<usize>> {
    let mut ones = HashMap::new();
    for (name, at) in names {
        ones.entry(name)
            .and_modify(|one| *one = None)
            .or_insert(Some(at));
    }
    ones
}
