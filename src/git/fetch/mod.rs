//! Answers a fetch: which objects, in which bytes.
//!
//! Source: gitprotocol-v2(5) "fetch", git-upload-pack(1).
//! Invariant: a plan is made from one snapshot of packs and stays good whatever is pushed meanwhile.
//! Not here: the conversation (`packhorse_protocol`), rights (`policy`).

mod asked;
mod delta;
mod enumerate;
mod filter;
mod negotiate;
mod output;
mod paths;
mod plan;
mod shallow;
mod sieve;
mod sift;
mod sparse;
#[cfg(test)]
mod tests;
mod trees;
mod visibility;
mod writer;

pub use asked::Names;
pub use filter::Filter;
pub use negotiate::Negotiation;
pub use plan::{PackPlan, Stopped, WriteError};
pub use shallow::{Boundary, Deepen, DeepenError, boundary};
pub use sparse::{SparseError, SparseList};
pub(super) use visibility::{VisibleSets, closure};
pub use visibility::{hidden, refused, unnamed};

use std::sync::Arc;

use enumerate::{Ends, Enumeration, ObjectSet};
use filter::Rules;
use gix_object::Kind;
use paths::Sightings;
use plan::Encoding;

use super::{
    Repository,
    bits::Bits,
    history::History,
    packs::{PackSet, ReadError},
};
use crate::model::{ObjectId, RefSnapshot};

/// Bytes before the first entry of a pack.
const PACK_HEAD_BYTES: u64 = 12;

/// How far the work is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// So many objects were found to be sent.
    Counting(u64),
    /// So many objects were written.
    Writing(u64),
}

/// What a client asks for and what it has.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct FetchRequest {
    /// Objects it asks for; whether it may is the caller's to check.
    pub wants: Vec<ObjectId>,
    /// Objects it has, with all that they reach but for what the boundary below cuts off. Those
    /// unknown here are passed over.
    pub haves: Vec<ObjectId>,
    /// Commits whose parents it does not have.
    pub client_shallows: Vec<ObjectId>,
    /// Commits whose parents it shall not get.
    pub shallow: Vec<ObjectId>,
    /// Commits among `client_shallows` whose parents it shall get now.
    pub unshallow: Vec<ObjectId>,
    /// What to leave out.
    pub filter: Option<Filter>,
    /// It can complete deltas against objects it has.
    pub thin_pack: bool,
    /// It understands deltas that name their base by distance.
    pub ofs_delta: bool,
    /// It wants annotated tags of what it gets.
    pub include_tag: bool,
}

impl FetchRequest {
    /// Whether it asks for all that its wants reach, or all but the blobs, and they are few enough to be
    /// remembered.
    fn is_whole(&self) -> bool {
        let cuts = [&self.client_shallows, &self.shallow, &self.unshallow];
        let uncut = cuts.iter().all(|ids| ids.is_empty());
        let few = self.wants.len() <= visibility::CLONE_TIPS_MAX;
        let whole = self.filter.as_ref().is_none_or(Filter::is_no_blobs);
        few && uncut && self.haves.is_empty() && whole
    }
}

/// Finds the objects to send, in `packs` of the repository.
///
/// # Errors
/// When a want, or an object that one refers to, is missing or damaged.
pub fn prepare(
    repository: &Repository,
    packs: Arc<PackSet>,
    refs: &RefSnapshot,
    request: &FetchRequest,
    progress: &mut dyn FnMut(Progress),
) -> Result<PackPlan, ReadError> {
    let mut history = History::new(packs);
    let mut objects = match all_reached(repository, &mut history, request, progress)? {
        Some(selected) => ObjectSet {
            packs: Arc::clone(history.packs()),
            selected,
            client: Bits::new(0),
            sightings: Sightings::default(),
        },
        None => difference(&mut history, request, progress)?,
    };
    if request.include_tag {
        objects.include_tags(&mut history, refs)?;
    }
    let encoding = Encoding {
        // A client that left objects out may lack what its commits reach.
        thin: request.thin_pack && request.filter.is_none(),
        offset_deltas: request.ofs_delta,
        search_bytes_max: delta::SEARCH_BYTES_MAX,
    };
    Ok(PackPlan::new(objects, encoding))
}

/// What a clone of everything consists of, with its blobs or without; `None` if it is none, or if the
/// places of its objects need to be known.
fn all_reached(
    repository: &Repository,
    history: &mut History,
    request: &FetchRequest,
    progress: &mut dyn FnMut(Progress),
) -> Result<Option<Bits>, ReadError> {
    if !request.is_whole() || !delta::finds_little(history.packs()) {
        return Ok(None);
    }
    let wants = &request.wants;
    if request.filter.is_none() {
        return closure(repository, history, wants, progress).map(Some);
    }
    // A walk that enters no blobs costs less than one that does, and does not miss those that a plain
    // folder lacks.
    let mut reached = visibility::closure_at_hand(repository, history, wants, progress)?;
    if let Some(reached) = &mut reached {
        leave_out_blobs(history, wants, reached)?;
    }
    Ok(reached)
}

/// Leaves of what `wants` reach the blobs out that are not wanted by themselves.
fn leave_out_blobs(
    history: &mut History,
    wants: &[ObjectId],
    selected: &mut Bits,
) -> Result<(), ReadError> {
    let packs = Arc::clone(history.packs());
    for (at, pack) in (0u32..).zip(packs.packs()) {
        let first = packs.first_number(at);
        if selected.count(first, first + pack.object_count()) == 0 {
            continue;
        }
        for (position, kind) in pack.positions().iter().zip(pack.kinds()?) {
            if *kind == Kind::Blob {
                selected.remove(first + position);
            }
        }
    }
    let mut tags = Vec::new();
    for want in wants {
        let number = packs.number(want).ok_or(ReadError::Missing(*want))?;
        let (number, _) = history.peel(number, &mut tags)?;
        selected.insert(number);
    }
    Ok(())
}

/// Walks from what is wanted to what the client has.
fn difference(
    history: &mut History,
    request: &FetchRequest,
    progress: &mut dyn FnMut(Progress),
) -> Result<ObjectSet, ReadError> {
    let mut wants = request.wants.clone();
    let mut also_there = Vec::new();
    for id in &request.unshallow {
        let commit = history.commit_of_id(id)?;
        for at in 0..history.parent_count(commit) {
            let parent = history.parent(commit, at)?;
            wants.push(history.id(parent));
        }
        also_there.push(commit);
    }
    let mut is_cut = false;
    for id in request.client_shallows.iter().chain(&request.shallow) {
        // A client may have a boundary that nobody here knows of.
        if history.packs().contains(id) {
            let commit = history.commit_of_id(id)?;
            history.cut(commit, true);
            is_cut = true;
        }
    }
    let ends = Ends {
        wants: &wants,
        haves: &request.haves,
        also_there: &also_there,
        is_cut,
    };
    let rules = Rules::new(request.filter.as_ref());
    let mut enumeration = Enumeration::new(history, rules, progress).with_sightings();
    if let Some(filter) = &request.filter {
        enumeration = enumeration.through(filter);
    }
    enumeration.run(&ends)
}
