//! Refs as rows: where each points, the order branches were made in, and every move they made.
//!
//! Bounds: the history grows with every move until its repository is removed; whoever keeps less
//! calls [`forget_history`].
//! Invariant: every change of a ref or of HEAD raises the repository's generation in the same
//! transaction; a ref and its entry in the creation order come and go together.
//! Not here: whether a move is allowed (`policy`) and whether its objects exist (`git`).

use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::{
    Reads, StoreError, Transaction,
    codec::{self, Record},
    repositories::RepositoryRow,
    rows::{Index, Rows},
};
use crate::model::{ObjectId, RefEntry, RefName, RefSnapshot, Timestamp};

static REFS: Rows<(u64, &str), RefRow> = Rows::new("refs");
static CREATION_ORDER: Index<(u64, u64), &str> = Index::new("refs by creation");
static HISTORY: Rows<(u64, u64), RefMove> = Rows::new("ref history");
static STATES: Rows<u64, RefState> = Rows::new("ref states");

/// Where a ref points and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefRow {
    /// The object it names.
    #[serde(with = "codec::object_id")]
    pub id: ObjectId,
    /// What an annotated tag finally names.
    #[serde(with = "codec::optional_object_id")]
    pub peeled: Option<ObjectId>,
    /// When a ref of this name was last made.
    pub created_at: Timestamp,
    /// When it last moved.
    pub updated_at: Timestamp,
    /// Its place in the order of creation within the repository.
    pub sequence: u64,
}

impl Record for RefRow {}

/// One move of one ref.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefMove {
    /// Which ref.
    pub name: RefName,
    /// Where it pointed before; `None` when it was made.
    #[serde(with = "codec::optional_object_id")]
    pub old: Option<ObjectId>,
    /// Where it points since; `None` when it was deleted.
    #[serde(with = "codec::optional_object_id")]
    pub new: Option<ObjectId>,
    /// Whether commits were lost from the ref by this move.
    pub forced: bool,
    /// Who moved it, in words.
    pub actor: String,
    /// When.
    pub at: Timestamp,
}

impl Record for RefMove {}

/// The counters of a repository's refs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefState {
    /// Rises with every change of any ref or of HEAD.
    pub generation: u64,
    /// The last number given out in the creation order.
    pub last_sequence: u64,
    /// The number of the last row of the history.
    pub last_move: u64,
    /// How many refs there are.
    pub count: u64,
}

impl Record for RefState {}

/// One move to be written by [`apply`].
#[derive(Debug, Clone)]
pub struct RefWrite {
    /// Which ref.
    pub name: RefName,
    /// The object it shall name; `None` deletes it.
    pub new: Option<ObjectId>,
    /// What `new` peels to when it is an annotated tag.
    pub peeled: Option<ObjectId>,
    /// Whether commits are lost from the ref.
    pub forced: bool,
}

pub(super) fn create_tables(database: &WriteTransaction) -> Result<(), StoreError> {
    REFS.create(database)?;
    CREATION_ORDER.create(database)?;
    HISTORY.create(database)?;
    STATES.create(database)
}

/// The ref of exactly this name.
///
/// # Errors
/// When the store fails.
pub fn find(from: &impl Reads, repository: u64, name: &str) -> Result<Option<RefRow>, StoreError> {
    REFS.get(from, (repository, name))
}

/// The counters of a repository's refs; zeroes when there is no such repository.
///
/// # Errors
/// When the store fails.
pub fn state(from: &impl Reads, repository: u64) -> Result<RefState, StoreError> {
    Ok(STATES.get(from, repository)?.unwrap_or_default())
}

/// Whether any branch exists.
///
/// # Errors
/// When the store fails.
pub fn has_branches(from: &impl Reads, repository: u64) -> Result<bool, StoreError> {
    // `0` is the character after `/`.
    let branches = (repository, "refs/heads/")..(repository, "refs/heads0");
    Ok(!REFS
        .scan(from, branches, 1, |_, _| Ok::<_, StoreError>(()))?
        .is_empty())
}

/// All refs as they are now. Reads every row: the cache of the store spares this.
///
/// # Errors
/// When the store fails.
pub fn snapshot(from: &impl Reads, repository: &RepositoryRow) -> Result<RefSnapshot, StoreError> {
    let id = repository.id;
    let entries = REFS.scan(
        from,
        (id, "")..(id + 1, ""),
        usize::MAX,
        |(_, name), row| {
            let name = name.parse().map_err(|cause| {
                StoreError::Inconsistent(format!("a ref of repository {id}: {cause}"))
            })?;
            Ok(RefEntry {
                name,
                id: row.id,
                peeled: row.peeled,
            })
        },
    )?;
    let entries = entries
        .into_iter()
        .collect::<Result<Vec<_>, StoreError>>()?;
    let generation = state(from, id)?.generation;
    Ok(RefSnapshot::new(
        generation,
        repository.default_branch.clone(),
        entries,
    ))
}

/// The ref that makes `name` impossible, since one would be a folder of the other: `a` and `a/b`.
/// Refs that `leaves` names do not count.
///
/// # Errors
/// When the store fails.
pub fn conflicting(
    from: &impl Reads,
    repository: u64,
    name: &str,
    leaves: impl Fn(&str) -> bool,
) -> Result<Option<String>, StoreError> {
    for (at, _) in name.match_indices('/') {
        let above = &name[..at];
        if !leaves(above) && find(from, repository, above)?.is_some() {
            return Ok(Some(above.to_owned()));
        }
    }
    let below = format!("{name}/");
    // The byte behind the slash ends the range of names below.
    let end = format!("{name}0");
    let mut start = below.clone();
    loop {
        let first = REFS.scan(
            from,
            (repository, start.as_str())..(repository, end.as_str()),
            1,
            |(_, found), _| found.to_owned(),
        )?;
        match first.into_iter().next() {
            Some(found) if leaves(&found) => start = found + "\0",
            found => return Ok(found),
        }
    }
}

/// A ref together with its name and row.
pub type NamedRef = (RefName, RefRow);

/// At most `limit` refs whose names begin with `prefix`, in the order they were made, those after
/// this place in the order only.
///
/// # Errors
/// When the store fails.
pub fn in_creation_order(
    from: &impl Reads,
    repository: u64,
    prefix: &str,
    after_sequence: u64,
    limit: usize,
) -> Result<Vec<NamedRef>, StoreError> {
    let mut found = Vec::new();
    let mut after = after_sequence;
    while found.len() < limit {
        let start = (repository, after.saturating_add(1));
        let page = CREATION_ORDER.scan(
            from,
            start..(repository + 1, 0),
            ORDER_PAGE,
            |(_, sequence), name| (sequence, name.to_owned()),
        )?;
        let Some((last, _)) = page.last() else { break };
        after = *last;
        for (_, name) in page
            .into_iter()
            .filter(|(_, name)| name.starts_with(prefix))
        {
            if found.len() == limit {
                break;
            }
            let row = find(from, repository, &name)?.ok_or_else(|| {
                StoreError::Inconsistent(format!("the creation order names the absent ref {name}"))
            })?;
            let name = name
                .parse()
                .map_err(|cause| StoreError::Inconsistent(format!("a stored ref name: {cause}")))?;
            found.push((name, row));
        }
    }
    Ok(found)
}

/// Entries of the creation order read at a time.
const ORDER_PAGE: usize = 256;

/// A move and its number.
pub type NumberedMove = (u64, RefMove);

/// At most `limit` moves of a repository's refs, newest first, those before this number only.
///
/// # Errors
/// When the store fails.
pub fn history(
    from: &impl Reads,
    repository: u64,
    before: Option<u64>,
    limit: usize,
) -> Result<Vec<NumberedMove>, StoreError> {
    let end = before.unwrap_or(u64::MAX);
    HISTORY.scan_backwards(
        from,
        (repository, 0)..(repository, end),
        limit,
        |(_, number), row| (number, row),
    )
}

/// Removes the moves up to and including this number.
///
/// # Errors
/// When the store fails.
pub fn forget_history(
    from: &Transaction<'_>,
    repository: u64,
    up_to: u64,
) -> Result<(), StoreError> {
    HISTORY.remove_range(from, (repository, 0)..=(repository, up_to))
}

/// Moves refs, writes their history and raises the generation; the caller has judged every move.
///
/// # Errors
/// When the store fails.
pub fn apply(
    to: &Transaction<'_>,
    repository: u64,
    writes: &[RefWrite],
    actor: &str,
) -> Result<RefState, StoreError> {
    let mut state = state(to, repository)?;
    let mut refs = REFS.open(to)?;
    let mut order = CREATION_ORDER.open(to)?;
    let mut history = HISTORY.open(to)?;
    for write in writes {
        let name = write.name.as_str();
        let old = refs.get((repository, name))?;
        match (&old, write.new) {
            (None, None) => continue,
            (Some(row), None) => {
                refs.remove((repository, name))?;
                let place = (repository, row.sequence);
                order.remove(place).map_err(StoreError::database)?;
                state.count = state.count.saturating_sub(1);
            }
            (Some(row), Some(id)) => {
                let moved = RefRow {
                    id,
                    peeled: write.peeled,
                    updated_at: to.now(),
                    ..row.clone()
                };
                refs.put((repository, name), &moved)?;
            }
            (None, Some(id)) => {
                state.last_sequence += 1;
                state.count += 1;
                let made = RefRow {
                    id,
                    peeled: write.peeled,
                    created_at: to.now(),
                    updated_at: to.now(),
                    sequence: state.last_sequence,
                };
                refs.put((repository, name), &made)?;
                let place = (repository, made.sequence);
                order.insert(place, name).map_err(StoreError::database)?;
            }
        }
        state.last_move += 1;
        let moved = RefMove {
            name: write.name.clone(),
            old: old.map(|row| row.id),
            new: write.new,
            forced: write.forced,
            actor: actor.to_owned(),
            at: to.now(),
        };
        history.put((repository, state.last_move), &moved)?;
    }
    state.generation += 1;
    STATES.put(to, repository, &state)?;
    Ok(state)
}

pub(super) fn begin(to: &Transaction<'_>, repository: u64) -> Result<(), StoreError> {
    let state = RefState {
        generation: 1,
        ..RefState::default()
    };
    STATES.put(to, repository, &state)
}

pub(super) fn raise_generation(to: &Transaction<'_>, repository: u64) -> Result<(), StoreError> {
    let mut state = state(to, repository)?;
    state.generation += 1;
    STATES.put(to, repository, &state)
}

pub(super) fn remove_all(from: &Transaction<'_>, repository: u64) -> Result<(), StoreError> {
    REFS.remove_range(from, (repository, "")..(repository + 1, ""))?;
    CREATION_ORDER.remove_range(from, (repository, 0)..(repository + 1, 0))?;
    HISTORY.remove_range(from, (repository, 0)..(repository + 1, 0))?;
    STATES.remove(from, repository)?;
    Ok(())
}
