//! Where a shallow clone's history ends.
//!
//! Source: git-fetch(1) `--depth`, `--deepen`, `--shallow-since`, `--shallow-exclude`;
//! gitprotocol-pack(5) "shallow-update".
//! Invariant: a commit at the boundary is sent without its parents; one that was at the client's
//! boundary and no longer is gets its parents sent.
//! Not here: which objects follow from it (`enumerate`).

use std::{collections::HashSet, sync::Arc};

use gix_object::Kind;

use crate::{
    git::{
        history::{CommitIndex, History},
        packs::{PackSet, ReadError},
    },
    model::ObjectId,
};

/// How much history a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deepen {
    /// This many commits from each want, at least 1; [`Deepen::INFINITE`] is all of them.
    Depth(u32),
    /// This many commits more than it has now.
    By(u32),
    /// All but what is older or reachable elsewhere.
    Excluding {
        /// Seconds since 1970; commits older than this are left out.
        since: Option<i64>,
        /// Commits left out with all that they reach.
        not: Vec<ObjectId>,
    },
}

impl Deepen {
    /// The depth by which clients ask for all of the history.
    pub const INFINITE: u32 = 0x7fff_ffff;
}

/// How a client's boundary changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Boundary {
    /// Commits that become its boundary.
    pub shallow: Vec<ObjectId>,
    /// Commits that are its boundary no longer.
    pub unshallow: Vec<ObjectId>,
}

/// Why no boundary can be drawn.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeepenError {
    /// Everything is older or excluded; there would be nothing to send.
    #[error("no commits selected for shallow requests")]
    NothingSelected,
    /// A commit is missing or damaged.
    #[error("cannot walk the history")]
    Read(#[from] ReadError),
}

/// Finds the new boundary of a client whose boundary is `client_shallows` now.
///
/// # Errors
/// When nothing is left to send, or a commit is missing or damaged.
pub fn boundary(
    packs: Arc<PackSet>,
    wants: &[ObjectId],
    client_shallows: &[ObjectId],
    deepen: &Deepen,
) -> Result<Boundary, DeepenError> {
    let mut history = History::new(packs);
    let wanted = commits(&mut history, wants)?;
    let client = commits(&mut history, client_shallows)?;
    let cut = match deepen {
        Deepen::Depth(Deepen::INFINITE) if !history.packs().has_cuts() => Cut {
            ends: Vec::new(),
            inside: client.iter().copied().collect(),
        },
        Deepen::Depth(depth) => by_depth(&mut history, &wanted, *depth)?,
        Deepen::By(more) => {
            let range = history.range(&wanted, &[], None)?;
            let reached: HashSet<_> = range.commits.into_iter().collect();
            let heads: Vec<_> = client
                .iter()
                .copied()
                .filter(|head| reached.contains(head))
                .collect();
            by_depth(&mut history, &heads, more.saturating_add(1))?
        }
        Deepen::Excluding { since, not } => {
            let hidden = commits(&mut history, not)?;
            let range = history.range(&wanted, &hidden, *since)?;
            if range.commits.is_empty() {
                return Err(DeepenError::NothingSelected);
            }
            by_range(&mut history, &range.commits)?
        }
    };
    let ids = |commits: &mut dyn Iterator<Item = &CommitIndex>| -> Vec<ObjectId> {
        commits.map(|commit| history.id(*commit)).collect()
    };
    Ok(Boundary {
        shallow: ids(&mut cut.ends.iter().filter(|end| !client.contains(end))),
        unshallow: ids(&mut client.iter().filter(|commit| cut.inside.contains(commit))),
    })
}

/// Commits without their parents, and commits with them.
struct Cut {
    ends: Vec<CommitIndex>,
    inside: HashSet<CommitIndex>,
}

/// Level by level: the heads are at depth 1, and what is at `depth` ends the history.
fn by_depth(history: &mut History, heads: &[CommitIndex], depth: u32) -> Result<Cut, ReadError> {
    let mut seen = HashSet::new();
    let mut level: Vec<_> = heads
        .iter()
        .copied()
        .filter(|head| seen.insert(*head))
        .collect();
    let (mut inside, mut ends) = (HashSet::new(), Vec::new());
    let mut at = 1;
    while at < depth && !level.is_empty() {
        let mut next = Vec::new();
        for commit in &level {
            for parent in 0..history.parent_count(*commit) {
                let parent = history.parent(*commit, parent)?;
                if seen.insert(parent) {
                    next.push(parent);
                }
            }
        }
        // What ends the history here ends it for the client, too.
        let is_cut = |commit: &CommitIndex| history.packs().is_cut(history.number(*commit));
        let (cut, whole): (Vec<_>, Vec<_>) = level.into_iter().partition(is_cut);
        ends.extend(cut);
        inside.extend(whole);
        level = next;
        at += 1;
    }
    ends.extend(level);
    Ok(Cut { ends, inside })
}

/// A commit ends the history if any of its parents is left out.
fn by_range(history: &mut History, commits: &[CommitIndex]) -> Result<Cut, ReadError> {
    let all: HashSet<_> = commits.iter().copied().collect();
    let mut cut = Cut {
        ends: Vec::new(),
        inside: HashSet::new(),
    };
    for commit in commits {
        let mut whole = !history.packs().is_cut(history.number(*commit));
        for parent in 0..history.parent_count(*commit) {
            whole &= all.contains(&history.parent(*commit, parent)?);
        }
        if whole {
            cut.inside.insert(*commit);
        } else {
            cut.ends.push(*commit);
        }
    }
    Ok(cut)
}

/// The commits that these ids name or are tags of, each once; ids unknown here are passed over.
fn commits(history: &mut History, ids: &[ObjectId]) -> Result<Vec<CommitIndex>, ReadError> {
    let mut found = HashSet::new();
    let mut commits = Vec::new();
    for id in ids {
        let Some(number) = history.packs().number(id) else {
            continue;
        };
        let (number, kind) = history.peel(number, &mut Vec::new())?;
        if kind == Kind::Commit && found.insert(number) {
            commits.push(history.commit(number)?);
        }
    }
    Ok(commits)
}
