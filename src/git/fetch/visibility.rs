//! Everything that some tips reach, remembered: whether a caller may have an object, and what a whole
//! clone consists of.
//!
//! Source: git's `uploadpack.allowReachableSHA1InWant`; lazy fetches of partial clones ask for single
//! blobs, which git answers by walking everything each time.
//! Bounds: [`SETS_MAX`] sets of tips are remembered a repository for each of the two, a bit an object and
//! an id a tip each; a clone of more than [`CLONE_TIPS_MAX`] wants is not remembered.
//! Invariant: an answer depends on the tips given and on nothing remembered for others: a set is
//! found again by its tips, not by a name or a number.
//! Not here: which refs a caller sees (`policy`).

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use gix_object::Kind;

use super::{Progress, enumerate::Enumeration, filter::Rules};
use crate::{
    git::{
        Repository,
        bits::Bits,
        history::History,
        packs::{PackSet, ReadError},
    },
    model::{ObjectId, RefSnapshot},
};

/// Sets of tips remembered for one repository.
const SETS_MAX: usize = 4;

/// Wants of a clone up to which what they reach is remembered: those of a repository of many refs pass,
/// lists made to fill memory don't.
pub(super) const CLONE_TIPS_MAX: usize = 100_000;

/// A set is made from an older one only if this many tests of ancestry or fewer show that it may be.
const ANCESTRY_TESTS_MAX: usize = 64;

/// What some tips reach.
#[derive(Debug)]
struct Visible {
    /// Sorted, each once.
    tips: Vec<ObjectId>,
    depth: Depth,
    objects: Bits,
}

/// How far a set goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Depth {
    /// Commits and tags alone.
    Commits,
    /// Trees and blobs, too.
    All,
}

impl Visible {
    /// What the pushes learnt that brought the large packs, but for packs that `tips` do not reach.
    fn learnt(history: &mut History, tips: &[ObjectId]) -> Result<Option<Self>, ReadError> {
        /// Packs that may be left out, such as those of pushes that were refused in the end.
        const LEFT_OUT_MAX: usize = 8;
        let packs = Arc::clone(history.packs());
        let mut left_out = BTreeSet::new();
        while left_out.len() <= LEFT_OUT_MAX
            && let Some(closed) = packs.closed(&left_out)
        {
            let Some(unreached) = unreached(history, &closed.tips, tips)? else {
                return Ok(Some(Self {
                    tips: closed.tips,
                    depth: Depth::All,
                    objects: closed.objects,
                }));
            };
            let at = packs.number(&unreached).map(|number| packs.pack_of(number));
            if !at.is_some_and(|at| left_out.insert(at)) {
                break;
            }
        }
        Ok(None)
    }
}

/// The sets asked for last.
#[derive(Debug, Default)]
pub(crate) struct VisibleSets(Mutex<VecDeque<Arc<Visible>>>);

/// The first of `wants` that nothing in `refs` reaches, if there is one.
///
/// # Errors
/// When an object is missing or damaged.
pub fn refused(
    repository: &Repository,
    packs: &Arc<PackSet>,
    refs: &RefSnapshot,
    wants: &[ObjectId],
) -> Result<Option<ObjectId>, ReadError> {
    let unnamed = all_unnamed(refs, wants);
    // What does not exist needs no walk to be refused.
    let absent = wants
        .iter()
        .find(|want| unnamed.contains(*want) && !packs.contains(want));
    if let Some(absent) = absent {
        return Ok(Some(*absent));
    }
    let hidden = hidden_among(repository, packs, refs, unnamed)?;
    Ok(wants.iter().find(|want| hidden.contains(*want)).copied())
}

/// All of `ids` that nothing in `refs` reaches, judged together: one look at the refs and one set
/// serve them all.
///
/// # Errors
/// When an object is missing or damaged.
pub fn hidden(
    repository: &Repository,
    packs: &Arc<PackSet>,
    refs: &RefSnapshot,
    ids: &[ObjectId],
) -> Result<HashSet<ObjectId>, ReadError> {
    hidden_among(repository, packs, refs, all_unnamed(refs, ids))
}

/// The first of `wants` that no ref names, or that is not here.
pub fn unnamed(refs: &RefSnapshot, packs: &PackSet, wants: &[ObjectId]) -> Option<ObjectId> {
    let unnamed = all_unnamed(refs, wants);
    let refused = |want: &&ObjectId| unnamed.contains(*want) || !packs.contains(want);
    wants.iter().find(refused).copied()
}

/// Those of `ids` that no ref names.
fn all_unnamed(refs: &RefSnapshot, ids: &[ObjectId]) -> HashSet<ObjectId> {
    let mut unnamed: HashSet<ObjectId> = ids.iter().copied().collect();
    for entry in refs.entries() {
        if unnamed.is_empty() {
            break;
        }
        unnamed.remove(&entry.id);
        if let Some(peeled) = &entry.peeled {
            unnamed.remove(peeled);
        }
    }
    unnamed
}

/// Keeps those of `ids` that nothing reaches.
fn hidden_among(
    repository: &Repository,
    packs: &Arc<PackSet>,
    refs: &RefSnapshot,
    mut ids: HashSet<ObjectId>,
) -> Result<HashSet<ObjectId>, ReadError> {
    let mut history = History::new(Arc::clone(packs));
    let mut depth = None;
    for number in ids.iter().filter_map(|id| packs.number(id)) {
        let kind = history.reader().kind_at(packs.location_of(number))?;
        depth = depth.max(Some(match kind {
            Kind::Tree | Kind::Blob => Depth::All,
            Kind::Commit | Kind::Tag => Depth::Commits,
        }));
    }
    if let Some(depth) = depth {
        let tips = refs.entries().iter().map(|entry| entry.id).collect();
        let visible = repository
            .visible()
            .get(&mut history, tips, depth, &mut |_| {})?;
        let reached = |id: &ObjectId| {
            packs
                .number(id)
                .is_some_and(|number| visible.objects.contains(number))
        };
        ids.retain(|id| !reached(id));
    }
    Ok(ids)
}

/// As [`closure`], if something is known of it already: `None` if it were to be walked from the start.
pub(super) fn closure_at_hand(
    repository: &Repository,
    history: &mut History,
    wants: &[ObjectId],
    progress: &mut dyn FnMut(Progress),
) -> Result<Option<Bits>, ReadError> {
    let (sets, tips) = (repository.clones(), sorted(wants.to_vec()));
    let Some(base) = sets.base(history, &tips, Depth::All)? else {
        return Ok(None);
    };
    let visible = sets.grown(Some(base), history, tips, Depth::All, progress)?;
    Ok(Some(visible.objects.clone()))
}

/// Everything that `wants` reach. It is remembered, so that after a push only what is new is looked at;
/// apart from what is visible, so that nobody's choice of wants drives that out.
pub(in crate::git) fn closure(
    repository: &Repository,
    history: &mut History,
    wants: &[ObjectId],
    progress: &mut dyn FnMut(Progress),
) -> Result<Bits, ReadError> {
    let sets = repository.clones();
    let visible = sets.get(history, wants.to_vec(), Depth::All, progress)?;
    Ok(visible.objects.clone())
}

impl VisibleSets {
    fn get(
        &self,
        history: &mut History,
        tips: Vec<ObjectId>,
        depth: Depth,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Arc<Visible>, ReadError> {
        let tips = sorted(tips);
        let base = self.base(history, &tips, depth)?;
        self.grown(base, history, tips, depth, progress)
    }

    /// What is known already of what `tips` reach.
    fn base(
        &self,
        history: &mut History,
        tips: &[ObjectId],
        depth: Depth,
    ) -> Result<Option<Arc<Visible>>, ReadError> {
        let remembered: Vec<_> = self.lock().iter().cloned().collect();
        let fits = |visible: &&Arc<Visible>| visible.depth >= depth && visible.tips == tips;
        if let Some(visible) = remembered.iter().find(fits) {
            return Ok(Some(Arc::clone(visible)));
        }
        for older in remembered.iter().filter(|older| older.depth == depth) {
            if unreached(history, &older.tips, tips)?.is_none() {
                return Ok(Some(Arc::clone(older)));
            }
        }
        let learnt = Visible::learnt(history, tips)?;
        Ok(learnt.map(|learnt| self.remember(learnt)))
    }

    /// All that `tips` reach, beginning with what is known.
    fn grown(
        &self,
        base: Option<Arc<Visible>>,
        history: &mut History,
        tips: Vec<ObjectId>,
        depth: Depth,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Arc<Visible>, ReadError> {
        if let Some(base) = &base
            && base.tips == tips
        {
            return Ok(Arc::clone(base));
        }
        let rules = match depth {
            Depth::Commits => Rules::COMMITS,
            Depth::All => Rules::ALL,
        };
        let none = Bits::new(0);
        let (old_tips, known) = base
            .as_ref()
            .map_or((&[][..], &none), |old| (&old.tips, &old.objects));
        let walk = Enumeration::new(history, rules, progress);
        Ok(self.remember(Visible {
            objects: walk.closure(&tips, old_tips, known)?,
            tips,
            depth,
        }))
    }

    fn remember(&self, visible: Visible) -> Arc<Visible> {
        let visible = Arc::new(visible);
        let mut sets = self.lock();
        sets.retain(|other| other.depth != visible.depth || other.tips != visible.tips);
        sets.truncate(SETS_MAX - 1);
        sets.push_front(Arc::clone(&visible));
        visible
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<Visible>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sorted(mut tips: Vec<ObjectId>) -> Vec<ObjectId> {
    tips.sort_unstable();
    tips.dedup();
    tips
}

/// One of the `old` tips that the `new` ones do not reach, as far as that is told quickly.
fn unreached(
    history: &mut History,
    old: &[ObjectId],
    new: &[ObjectId],
) -> Result<Option<ObjectId>, ReadError> {
    let gone: Vec<_> = old
        .iter()
        .filter(|tip| new.binary_search(tip).is_err())
        .collect();
    let come: Vec<_> = new
        .iter()
        .filter(|tip| old.binary_search(tip).is_err())
        .collect();
    if gone.len().saturating_mul(come.len()) > ANCESTRY_TESTS_MAX {
        return Ok(gone.first().copied().copied());
    }
    for tip in gone {
        let mut reached = false;
        for other in &come {
            reached = reached || is_ancestor(history, tip, other)?;
        }
        if !reached {
            return Ok(Some(*tip));
        }
    }
    Ok(None)
}

/// Whether both are commits, and one reaches the other.
fn is_ancestor(history: &mut History, old: &ObjectId, new: &ObjectId) -> Result<bool, ReadError> {
    for id in [old, new] {
        if history.reader().kind(id)? != Some(Kind::Commit) {
            return Ok(false);
        }
    }
    let (old, new) = (history.commit_of_id(old)?, history.commit_of_id(new)?);
    history.is_ancestor(old, new)
}
