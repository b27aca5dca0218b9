//! Which objects a client needs.
//!
//! Source: git-rev-list(1) `--objects`, git-pack-objects(1) `--revs --thin`.
//! Bounds: three bits for each object of the repository, besides the commits and trees remembered;
//! [`GUESSES_MAX`] lookups; [`Sightings::MAX`] places.
//! Invariant: what is selected, together with what the client has, is closed: every object that a
//! selected one refers to is selected, with the client, or left out by the filter or a shallow
//! boundary. Only what the client surely has is marked as known to it.
//! Not here: bytes of packs (`plan`), where a shallow history ends (`shallow`).

use std::{
    collections::{HashMap, HashSet},
    hash::BuildHasherDefault,
    sync::Arc,
};

use gix_object::Kind;

use super::{
    Progress,
    filter::{Filter, Rules},
    paths::{PathHash, Sighting, Sightings},
    sieve::Sieve,
    trees::{EntryKind, Tree, Trees},
};
use crate::{
    git::{
        bits::Bits,
        history::{CommitIndex, History},
        packs::{KeyHasher, PackSet, ReadError},
    },
    model::{ObjectId, RefSnapshot},
};

/// Objects to send and objects that the client has, by number.
#[derive(Debug)]
pub(crate) struct ObjectSet {
    pub(crate) packs: Arc<PackSet>,
    /// To be sent.
    pub(crate) selected: Bits,
    /// Some of those that the client has: good as bases of deltas.
    pub(crate) client: Bits,
    /// Where those to be sent were found, but for those left to go as they lie.
    pub(super) sightings: Sightings,
}

/// What the walk starts from and where it ends.
pub(super) struct Ends<'a> {
    pub(super) wants: &'a [ObjectId],
    pub(super) haves: &'a [ObjectId],
    /// Commits that the client has although they are no ends of what it has, such as those that
    /// were the boundary of its history until now.
    pub(super) also_there: &'a [CommitIndex],
    /// Whether the history is cut anywhere, so that ancestors tell little of what the client has.
    pub(super) is_cut: bool,
}

/// Walks commits and trees, and notes every object once.
pub(super) struct Enumeration<'a> {
    pub(super) history: &'a mut History,
    pub(super) packs: Arc<PackSet>,
    pub(super) trees: Trees,
    rules: Rules,
    /// Judges trees and blobs where the rules don't suffice.
    sieve: Option<Box<Sieve>>,
    /// Objects on which the sieve has said its last word.
    pub(super) sifted: Bits,
    /// Objects that need no second look.
    known: Bits,
    selected: Bits,
    pub(super) client: Bits,
    selected_count: u64,
    /// The least level at which a tree was seen, where depth matters.
    levels: HashMap<u32, u64, BuildHasherDefault<KeyHasher>>,
    stack: Vec<(u32, u64)>,
    to_enter: Vec<Found>,
    sightings: Option<Sightings>,
    /// Numbers of objects looked up before, by the first bits of their ids: a search in an index
    /// costs several times what it costs to look whether the last guess was right.
    guesses: Vec<u32>,
    fresh: Vec<u32>,
    progress: &'a mut dyn FnMut(Progress),
}

/// A tree or blob to look at.
#[derive(Debug, Clone, Copy)]
struct Found {
    number: u32,
    path: PathHash,
    /// What the client has at this path.
    counterpart: Option<u32>,
}

/// Lookups remembered, a power of two; four bytes each.
const GUESSES_MAX: u64 = 1 << 20;

/// Progress is told each time this many objects were found.
const PROGRESS_STEP: u64 = 4096;

impl<'a> Enumeration<'a> {
    pub(super) fn new(
        history: &'a mut History,
        rules: Rules,
        progress: &'a mut dyn FnMut(Progress),
    ) -> Self {
        let packs = Arc::clone(history.packs());
        let none = Bits::new(packs.object_count());
        let guesses = packs.object_count().next_power_of_two().min(GUESSES_MAX);
        let guesses = usize::try_from(guesses).expect("small");
        Self {
            history,
            trees: Trees::new(Arc::clone(&packs)),
            packs,
            rules,
            sieve: None,
            sifted: Bits::new(0),
            known: none.clone(),
            selected: none.clone(),
            client: none,
            selected_count: 0,
            levels: HashMap::default(),
            stack: Vec::new(),
            to_enter: Vec::new(),
            sightings: None,
            guesses: vec![0; guesses],
            fresh: Vec::new(),
            progress,
        }
    }

    /// Remembers where objects are found.
    pub(super) fn with_sightings(mut self) -> Self {
        self.sightings = Some(Sightings::default());
        self
    }

    /// Leaves out what the filter says, besides what the rules say.
    pub(super) fn through(mut self, filter: &Filter) -> Self {
        let count = self.packs.object_count();
        self.sieve = Sieve::for_filter(filter, count).map(Box::new);
        if self.sieve.is_some() {
            self.sifted = Bits::new(count);
        }
        self
    }

    /// Finds everything between the two ends.
    pub(super) fn run(mut self, ends: &Ends<'_>) -> Result<ObjectSet, ReadError> {
        self.walk(ends)?;
        Ok(ObjectSet {
            packs: self.packs,
            selected: self.selected,
            client: self.client,
            sightings: self.sightings.unwrap_or_default(),
        })
    }

    /// Everything that `tips` reach. What `known` holds must be closed, and be reached by `old_tips`.
    pub(super) fn closure(
        mut self,
        tips: &[ObjectId],
        old_tips: &[ObjectId],
        known: &Bits,
    ) -> Result<Bits, ReadError> {
        self.known.insert_all(known);
        self.walk(&Ends {
            wants: tips,
            haves: old_tips,
            also_there: &[],
            is_cut: false,
        })?;
        Ok(self.known)
    }

    fn walk(&mut self, ends: &Ends<'_>) -> Result<(), ReadError> {
        let (hidden, client_trees) = self.haves(ends.haves)?;
        let mut tips = Vec::new();
        let mut roots = Vec::new();
        let mut tags = Vec::new();
        for want in ends.wants {
            tags.clear();
            let number = self.packs.number(want).ok_or(ReadError::Missing(*want))?;
            let (number, kind) = self.history.peel(number, &mut tags)?;
            for tag in &tags {
                self.select(*tag);
            }
            match kind {
                Kind::Commit => tips.push(self.history.commit(number)?),
                Kind::Tree => roots.push(number),
                Kind::Blob | Kind::Tag => {
                    self.select(number);
                }
            }
        }
        let range = self.history.range(&tips, &hidden, None)?;
        for tree in client_trees {
            self.mark_client_tree(tree)?;
        }
        let mut at_client: Vec<_> = range.edges;
        at_client.extend(ends.also_there);
        if ends.is_cut {
            at_client.extend(&hidden);
        }
        for commit in &at_client {
            self.mark_client_commit(*commit)?;
        }
        let counterparts = self.counterparts(&at_client, &range.commits)?;
        let asked: HashSet<u32> = tips.iter().map(|tip| self.history.number(*tip)).collect();
        // What is asked for by itself comes first: nothing may count it as left out before.
        for root in roots {
            self.visit(root, None, true)?;
        }
        for commit in range.commits {
            let number = self.history.number(commit);
            if self.rules.commits || asked.contains(&number) {
                self.select_at(number, PathHash::ROOT, None);
            }
            if self.rules.enters_trees() {
                let counterpart = counterparts.get(&commit).copied();
                self.visit(self.history.tree(commit), counterpart, false)?;
            }
        }
        Ok(())
    }

    /// For each of `commits`, newest first, the tree of the commit that the client has from which its
    /// line comes, or else of the newest that it has: the one that is likely to be most like its own.
    fn counterparts(
        &mut self,
        at_client: &[CommitIndex],
        commits: &[CommitIndex],
    ) -> Result<HashMap<CommitIndex, u32>, ReadError> {
        let newest = at_client
            .iter()
            .max_by_key(|commit| self.history.time(**commit));
        let (Some(newest), Some(_)) = (newest, &self.sightings) else {
            return Ok(HashMap::new());
        };
        let newest = self.history.tree(*newest);
        let mut trees: HashMap<_, _> = at_client
            .iter()
            .map(|commit| (*commit, self.history.tree(*commit)))
            .collect();
        for commit in commits.iter().rev() {
            let mut tree = None;
            for at in 0..self.history.parent_count(*commit) {
                let parent = self.history.parent(*commit, at)?;
                tree = tree.or(trees.get(&parent).copied());
            }
            trees.insert(*commit, tree.unwrap_or(newest));
        }
        Ok(trees)
    }

    /// The commits and trees among what the client has.
    fn haves(&mut self, haves: &[ObjectId]) -> Result<(Vec<CommitIndex>, Vec<u32>), ReadError> {
        let (mut commits, mut trees) = (Vec::new(), Vec::new());
        let mut tags = Vec::new();
        for have in haves {
            let Some(number) = self.packs.number(have) else {
                continue;
            };
            let (number, kind) = self.history.peel(number, &mut tags)?;
            match kind {
                Kind::Commit => commits.push(self.history.commit(number)?),
                Kind::Tree => trees.push(number),
                Kind::Blob | Kind::Tag => self.mark_client(number),
            }
        }
        for tag in tags {
            self.mark_client(tag);
        }
        Ok((commits, trees))
    }

    /// Answers whether the object is new.
    pub(super) fn select(&mut self, number: u32) -> bool {
        let new = self.known.insert(number);
        if new {
            self.selected.insert(number);
            self.selected_count += 1;
            if self.selected_count.is_multiple_of(PROGRESS_STEP) {
                (self.progress)(Progress::Counting(self.selected_count));
            }
        }
        new
    }

    /// As [`Self::select`], for an object at some path.
    pub(super) fn select_at(&mut self, number: u32, path: PathHash, counterpart: Option<u32>) {
        if self.select(number)
            && let Some(sightings) = &mut self.sightings
        {
            sightings.note(Sighting {
                number,
                path,
                counterpart: counterpart.filter(|number| self.client.contains(*number)),
            });
        }
    }

    fn mark_client(&mut self, number: u32) {
        if self.known.insert(number) {
            self.client.insert(number);
        }
    }

    fn mark_client_commit(&mut self, commit: CommitIndex) -> Result<(), ReadError> {
        self.mark_client(self.history.number(commit));
        self.mark_client_tree(self.history.tree(commit))
    }

    /// Marks a tree and all that it holds.
    fn mark_client_tree(&mut self, root: u32) -> Result<(), ReadError> {
        if !self.known.insert(root) {
            return Ok(());
        }
        self.client.insert(root);
        self.stack.push((root, 0));
        let hash_bytes = self.packs.format().kind().len_in_bytes();
        while let Some((number, _)) = self.stack.pop() {
            let location = self.packs.location_of(number);
            let mut fresh = std::mem::take(&mut self.fresh);
            let tree = self.trees.visit(location, &mut fresh)?;
            for at in &fresh {
                let (kind, _, id) = tree.entry(*at as usize, hash_bytes);
                if kind == EntryKind::Link {
                    continue;
                }
                let number = self.number_of(id)?;
                if self.known.insert(number) {
                    self.client.insert(number);
                    if kind == EntryKind::Tree {
                        self.stack.push((number, 0));
                    }
                }
            }
            self.fresh = fresh;
        }
        Ok(())
    }

    /// Selects what the rules leave of a tree and of what it holds.
    fn visit(
        &mut self,
        root: u32,
        counterpart: Option<u32>,
        asked_for: bool,
    ) -> Result<(), ReadError> {
        if let Some(mut sieve) = self.sieve.take() {
            let sifted = self.sift(&mut sieve, root, asked_for);
            self.sieve = Some(sieve);
            return sifted;
        }
        match self.rules.depth_end {
            None => self.visit_all(root, counterpart, asked_for),
            Some(end) => self.visit_to_depth(root, end, asked_for),
        }
    }

    fn visit_all(
        &mut self,
        root: u32,
        counterpart: Option<u32>,
        asked_for: bool,
    ) -> Result<(), ReadError> {
        let top = Found {
            number: root,
            path: PathHash::ROOT,
            counterpart,
        };
        self.enter_tree(top, asked_for);
        let hash_bytes = self.packs.format().kind().len_in_bytes();
        while let Some(folder) = self.to_enter.pop() {
            let location = self.packs.location_of(folder.number);
            let mut fresh = std::mem::take(&mut self.fresh);
            let tree = self.trees.visit(location, &mut fresh)?;
            let beside = if fresh.is_empty() {
                None
            } else {
                self.client_tree(folder.counterpart)?
            };
            for at in &fresh {
                let (kind, name, id) = tree.entry(*at as usize, hash_bytes);
                if kind == EntryKind::Link || kind == EntryKind::Blob && !self.rules.blobs {
                    continue;
                }
                let number = self.number_of(id)?;
                if self.known.contains(number) {
                    continue;
                }
                let counterpart = beside
                    .as_ref()
                    .and_then(|beside| beside.find(kind, name, hash_bytes))
                    .map(|id| self.number_of(id))
                    .transpose()?;
                let found = Found {
                    number,
                    path: folder.path.join(name),
                    counterpart,
                };
                match kind {
                    EntryKind::Tree => self.enter_tree(found, false),
                    EntryKind::Blob | EntryKind::Link => self.select_blob(found)?,
                }
            }
            self.fresh = fresh;
        }
        Ok(())
    }

    /// The tree of this number, if it is one that the client has and that is worth reading.
    fn client_tree(&mut self, number: Option<u32>) -> Result<Option<Arc<Tree>>, ReadError> {
        number
            .filter(|number| self.sightings.is_some() && self.client.contains(*number))
            .map(|number| self.trees.read(self.packs.location_of(number)))
            .transpose()
    }

    fn enter_tree(&mut self, tree: Found, asked_for: bool) {
        let new = !self.known.contains(tree.number);
        if self.rules.trees || asked_for {
            self.select_at(tree.number, tree.path, tree.counterpart);
        } else {
            self.known.insert(tree.number);
        }
        if new {
            self.to_enter.push(tree);
        }
    }

    fn select_blob(&mut self, blob: Found) -> Result<(), ReadError> {
        if self.known.contains(blob.number) {
            return Ok(());
        }
        if let Some(end) = self.rules.blob_bytes_end {
            let location = self.packs.location_of(blob.number);
            if self.history.reader().size_at(location)? >= end {
                self.known.insert(blob.number);
                return Ok(());
            }
        }
        self.select_at(blob.number, blob.path, blob.counterpart);
        Ok(())
    }

    /// As [`Self::visit_all`], but a tree is looked at again when it shows up less deep.
    fn visit_to_depth(&mut self, root: u32, end: u64, asked_for: bool) -> Result<(), ReadError> {
        let hash_bytes = self.packs.format().kind().len_in_bytes();
        // Levels count from 1 for the tree of a commit. One that is asked for by itself is above all
        // depths, and so git counts them from what it holds.
        if asked_for {
            self.select(root);
            self.stack.push((root, 0));
        } else {
            self.stack.push((root, 1));
        }
        while let Some((number, level)) = self.stack.pop() {
            // What the client has it has whole.
            if level > end || self.client.contains(number) {
                continue;
            }
            let least = self.levels.entry(number).or_insert(u64::MAX);
            if *least <= level {
                continue;
            }
            *least = level;
            if self.rules.trees {
                self.select(number);
            }
            if level == end {
                continue;
            }
            let location = self.packs.location_of(number);
            let tree = self.trees.read(location)?;
            for at in 0..tree.len() {
                match tree.entry(at, hash_bytes) {
                    (EntryKind::Link, ..) => {}
                    (EntryKind::Tree, _, id) => {
                        let number = self.number_of(id)?;
                        self.stack.push((number, level + 1));
                    }
                    (EntryKind::Blob, _, id) if self.rules.blobs => {
                        let found = Found {
                            number: self.number_of(id)?,
                            path: PathHash::ROOT,
                            counterpart: None,
                        };
                        self.select_blob(found)?;
                    }
                    (EntryKind::Blob, ..) => {}
                }
            }
        }
        Ok(())
    }

    pub(super) fn number_of(&mut self, id: &gix_hash::oid) -> Result<u32, ReadError> {
        let first = id
            .as_bytes()
            .first_chunk()
            .expect("ids have 20 bytes or more");
        let slot = u32::from_le_bytes(*first) as usize & (self.guesses.len() - 1);
        let guess = self.guesses[slot];
        if self.packs.object_count() > 0 && self.packs.id_of(guess) == id {
            return Ok(guess);
        }
        let number = self
            .packs
            .number(id)
            .ok_or_else(|| ReadError::Missing(id.to_owned()))?;
        self.guesses[slot] = number;
        Ok(number)
    }
}

impl ObjectSet {
    /// Adds the annotated tags, as far as refs show them, of objects that are sent.
    pub(super) fn include_tags(
        &mut self,
        history: &mut History,
        refs: &RefSnapshot,
    ) -> Result<(), ReadError> {
        let mut tags = Vec::new();
        for entry in refs.with_prefix(b"refs/tags/") {
            let target = entry.peeled.and_then(|peeled| self.packs.number(&peeled));
            if !target.is_some_and(|target| self.selected.contains(target)) {
                continue;
            }
            if let Some(number) = self.packs.number(&entry.id) {
                history.peel(number, &mut tags)?;
            }
        }
        for tag in tags {
            if !self.client.contains(tag) {
                self.selected.insert(tag);
            }
        }
        Ok(())
    }
}
