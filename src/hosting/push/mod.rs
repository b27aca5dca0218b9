//! The commit point: from here on a push has happened, or it has not.
//!
//! Source: gitprotocol-pack(5), "Reference Update Request and Packfile Transfer"; the words of the
//! refusals follow those that git's users know.
//! Bounds: whoever parses the push bounds its commands; refs of the repository after it.
//! Invariant: every command is judged by refs, rules and rights read in the transaction that moves
//! the refs; refs, their history and the audit row commit together. Objects are on disk before.
//! Not here: checks of the objects themselves (`git`), the report on the wire (`wire`).

use std::{
    collections::{BTreeSet, HashMap},
    ops::Bound,
};

use super::{Hosting, HostingError, access, blocking};
use crate::{
    git::receive::Quarantine,
    model::{ObjectId, RefName},
    policy::{self, Authorized, RefChange, RefChangeKind},
    store::{
        StoreError, Transaction,
        audit::{self, AuditResult, Entry},
        refs::{self, RefWrite},
        repositories::{self, RepositoryRow},
    },
};

pub(super) mod tips;

use tips::Tip;

/// One command of a push: move this ref from there to here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Which ref.
    pub name: RefName,
    /// Where the pusher believes it points; `None`: it does not exist yet.
    pub old: Option<ObjectId>,
    /// Where it shall point; `None` deletes it.
    pub new: Option<ObjectId>,
}

/// What a pusher asks for.
#[derive(Debug, Clone)]
pub struct Push {
    /// At most one for each ref.
    pub commands: Vec<Command>,
    /// All of them or none.
    pub atomic: bool,
}

/// What became of one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandOutcome {
    /// Which ref.
    pub name: RefName,
    /// How it moved, or why it did not.
    pub result: Result<Moved, Refusal>,
}

/// A move that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Where the ref pointed.
    pub old: Option<ObjectId>,
    /// Where it points.
    pub new: Option<ObjectId>,
    /// Whether commits were lost from it.
    pub forced: bool,
}

/// Why a command was refused; the text is what the pusher reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A rule of the server or of the credential.
    #[error(transparent)]
    Policy(#[from] policy::Refusal),
    /// The ref points elsewhere than the pusher believes.
    #[error("stale info: the ref moved meanwhile, fetch first")]
    Stale,
    /// The pusher believes it does not exist.
    #[error("reference already exists")]
    AlreadyExists,
    /// There is nothing to delete.
    #[error("no such ref")]
    NoSuchRef,
    /// The new object is neither in the push nor in the repository.
    #[error("missing necessary objects: {0}")]
    MissingObject(ObjectId),
    /// A branch names a commit and nothing else.
    #[error("a branch can't name {0}, which is not a commit")]
    NotACommit(ObjectId),
    /// One name would be a folder of the other.
    #[error("{0} exists, one name can't be a folder of the other")]
    Conflict(String),
    /// The repository has as many refs as it may have.
    #[error("at most {0} refs in a repository allowed")]
    TooManyRefs(u64),
    /// The push holds several commands for the ref.
    #[error("named more than once in this push")]
    Duplicate,
    /// It would have been done but for another command.
    #[error("atomic push failed")]
    Atomic,
}

impl Hosting {
    /// Applies a push whose objects, if it brought any, were found good. They become part of the
    /// repository unless no command can succeed.
    ///
    /// # Errors
    /// [`HostingError::Denied`] when the caller's right was taken away while it pushed,
    /// [`HostingError::Receive`] when the objects can't be stored; no ref has moved then. A
    /// refused command is no error but an outcome.
    pub async fn push(
        &self,
        authorized: Authorized<policy::Push>,
        push: Push,
        quarantine: Option<Quarantine>,
    ) -> Result<Vec<CommandOutcome>, HostingError> {
        let repository = {
            let (hosting, authorized) = (self.clone(), authorized.clone());
            blocking(move || hosting.objects(&authorized)).await?
        };
        let (store, id) = (self.store.clone(), authorized.target().id);
        let (push, tips) = blocking(move || {
            let hopeful = tips::hopeful(&store.snapshot()?, id, &push)?;
            if let Some(quarantine) = quarantine
                && hopeful.iter().any(Result::is_ok)
            {
                quarantine.publish()?;
            }
            let tips = tips::examine(&repository, &push, hopeful)?;
            Ok((push, tips))
        })
        .await?;
        let refs_max = self.refs_max;
        self.store
            .commit(move |tx| commit(tx, &authorized, &push, &tips, refs_max))
            .await
    }
}

/// What a transaction learns of a command that may be done.
struct Accepted {
    write: RefWrite,
    moved: Moved,
}

fn commit(
    tx: &Transaction<'_>,
    authorized: &Authorized<policy::Push>,
    push: &Push,
    tips: &[Result<Tip, Refusal>],
    refs_max: u64,
) -> Result<Vec<CommandOutcome>, HostingError> {
    let (authorized, row) = access::confirm(tx, authorized)?;
    let mut judge = Judge {
        tx,
        authorized: &authorized,
        row: &row,
        refs_count: refs::state(tx, row.id)?.count,
        refs_max,
        made: BTreeSet::new(),
        deleted: BTreeSet::new(),
    };
    let mut verdicts: HashMap<usize, Result<Accepted, Refusal>> = HashMap::new();
    // Deletions first: they may make room for names that would conflict with them.
    for deletions in [true, false] {
        for (at, (command, tip)) in push.commands.iter().zip(tips).enumerate() {
            if command.new.is_none() == deletions {
                verdicts.insert(at, judge.judge(command, tip)?);
            }
        }
    }
    let refused = verdicts.values().filter(|verdict| verdict.is_err()).count();
    if push.atomic && refused > 0 {
        for verdict in verdicts.values_mut() {
            if verdict.is_ok() {
                *verdict = Err(Refusal::Atomic);
            }
        }
    }
    let mut writes = Vec::new();
    let mut outcomes = Vec::with_capacity(push.commands.len());
    for (at, command) in push.commands.iter().enumerate() {
        let verdict = verdicts.remove(&at).unwrap_or(Err(Refusal::Duplicate));
        let result = verdict.map(|accepted| {
            if accepted.moved.old != accepted.moved.new {
                writes.push(accepted.write);
            }
            accepted.moved
        });
        outcomes.push(CommandOutcome {
            name: command.name.clone(),
            result,
        });
    }
    name_head(tx, &row, &writes)?;
    record(tx, &authorized, &row, &writes, &outcomes)?;
    Ok(outcomes)
}

/// Points HEAD at a branch of the first push if that push does not bring the default branch, so that
/// the next clone checks something out; what forges do too, and what their users expect.
fn name_head(
    tx: &Transaction<'_>,
    row: &RepositoryRow,
    writes: &[RefWrite],
) -> Result<(), StoreError> {
    if refs::has_branches(tx, row.id)? {
        return Ok(());
    }
    let branches = || {
        writes
            .iter()
            .map(|write| &write.name)
            .filter(|name| name.as_branch().is_some())
    };
    if branches().any(|name| *name == row.default_branch) {
        return Ok(());
    }
    let usual = branches().find(|name| matches!(name.as_branch(), Some("main" | "master")));
    if let Some(branch) = usual.or_else(|| branches().next()) {
        let mut row = row.clone();
        row.default_branch.clone_from(branch);
        repositories::update(tx, &row)?;
    }
    Ok(())
}

fn record(
    tx: &Transaction<'_>,
    authorized: &Authorized<policy::Push>,
    row: &RepositoryRow,
    writes: &[RefWrite],
    outcomes: &[CommandOutcome],
) -> Result<(), StoreError> {
    let caller = authorized.caller();
    if !writes.is_empty() {
        refs::apply(tx, row.id, writes, &caller.principal.display_name())?;
    }
    let refused: Vec<_> = outcomes
        .iter()
        .filter_map(|outcome| Some((&outcome.name, outcome.result.as_ref().err()?)))
        .collect();
    let path = authorized.target().path.to_string();
    let mut entry = Entry::done("push", path).in_repository(row.namespace_id, row.id);
    entry.detail = format!("{} refs moved", writes.len());
    if let Some((name, reason)) = refused.first() {
        entry.result = AuditResult::Refused;
        entry.detail += &format!(", {} refused, first {name}: {reason}", refused.len());
    }
    audit::append(tx, caller, &entry)
}

/// Judges the commands of one push, one after the other.
struct Judge<'t> {
    tx: &'t Transaction<'t>,
    authorized: &'t Authorized<policy::Push>,
    row: &'t RepositoryRow,
    /// Refs before the push.
    refs_count: u64,
    refs_max: u64,
    /// Names that commands judged so far make.
    made: BTreeSet<String>,
    /// Names that commands judged so far delete.
    deleted: BTreeSet<String>,
}

impl Judge<'_> {
    fn judge(
        &mut self,
        command: &Command,
        tip: &Result<Tip, Refusal>,
    ) -> Result<Result<Accepted, Refusal>, StoreError> {
        let stored = refs::find(self.tx, self.row.id, command.name.as_str())?;
        let old = stored.map(|row| row.id);
        let verdict = self.verdict(command, tip, old);
        let accepted = match verdict {
            Ok(accepted) => accepted,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let name = command.name.as_str();
        match (old, command.new) {
            (Some(_), None) => {
                self.deleted.insert(name.to_owned());
            }
            (None, Some(_)) => {
                if let Some(conflict) = self.conflict(name)? {
                    return Ok(Err(Refusal::Conflict(conflict)));
                }
                let left = self.refs_count.saturating_sub(self.deleted.len() as u64);
                if left + self.made.len() as u64 >= self.refs_max {
                    return Ok(Err(Refusal::TooManyRefs(self.refs_max)));
                }
                self.made.insert(name.to_owned());
            }
            _ => {}
        }
        Ok(Ok(accepted))
    }

    fn verdict(
        &self,
        command: &Command,
        tip: &Result<Tip, Refusal>,
        old: Option<ObjectId>,
    ) -> Result<Accepted, Refusal> {
        let tip = tip.clone()?;
        check_old(command, old)?;
        let kind = match (old, command.new) {
            (_, None) => RefChangeKind::Delete,
            (None, Some(_)) => RefChangeKind::Create,
            (Some(_), Some(_)) => RefChangeKind::Update { forced: tip.forced },
        };
        let change = RefChange {
            name: &command.name,
            kind,
            signed: false,
        };
        policy::judge_command(self.authorized, &change)?;
        let forced = tip.forced && old.is_some();
        Ok(Accepted {
            write: RefWrite {
                name: command.name.clone(),
                new: command.new,
                peeled: tip.peeled,
                forced,
            },
            moved: Moved {
                old,
                new: command.new,
                forced,
            },
        })
    }

    /// The name that makes this one impossible, in the store or in this push.
    fn conflict(&self, name: &str) -> Result<Option<String>, StoreError> {
        let below = format!("{name}/");
        let behind = (Bound::Included(below.as_str()), Bound::Unbounded);
        let made_below = self
            .made
            .range::<str, _>(behind)
            .next()
            .filter(|made| made.starts_with(&below));
        if let Some(made) = made_below {
            return Ok(Some(made.clone()));
        }
        for (at, _) in name.match_indices('/') {
            let above = &name[..at];
            if self.made.contains(above) {
                return Ok(Some(above.to_owned()));
            }
        }
        refs::conflicting(self.tx, self.row.id, name, |other| {
            self.deleted.contains(other)
        })
    }
}

/// Compare before set: whether the ref points where the pusher believes.
fn check_old(command: &Command, old: Option<ObjectId>) -> Result<(), Refusal> {
    match (command.old, old) {
        (None, None) if command.new.is_none() => Err(Refusal::NoSuchRef),
        (None, Some(_)) if command.new.is_some() => Err(Refusal::AlreadyExists),
        (believed, found) if believed == found => Ok(()),
        _ => Err(Refusal::Stale),
    }
}
