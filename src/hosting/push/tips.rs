//! What is known of a command's objects before the transaction: read from the packs, which takes
//! time that no transaction should.
//!
//! Invariant: whether commits are lost is computed against the old value that the command names;
//! the transaction accepts it only if that is the stored one.

use std::{collections::HashSet, sync::Arc};

use gix_object::Kind;

use super::{Command, Push, Refusal, check_old};
use crate::{
    git::{ObjectReader, ReadError, Repository, browse::Browser},
    model::ObjectId,
    store::{Reads, StoreError, refs},
};

/// The object a ref shall name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::hosting) struct Tip {
    /// What it finally names when it is an annotated tag.
    pub(in crate::hosting) peeled: Option<ObjectId>,
    /// Whether the ref loses commits by the move.
    pub(in crate::hosting) forced: bool,
}

/// Says of each command whether it can still succeed as the refs stand, so that objects that
/// nothing can name are never published.
///
/// # Errors
/// When the store fails.
pub(super) fn hopeful(
    from: &impl Reads,
    repository: u64,
    push: &Push,
) -> Result<Vec<Result<(), Refusal>>, StoreError> {
    let mut seen = HashSet::new();
    let mut twice = HashSet::new();
    for command in &push.commands {
        if !seen.insert(&command.name) {
            twice.insert(&command.name);
        }
    }
    let mut verdicts = Vec::with_capacity(push.commands.len());
    for command in &push.commands {
        verdicts.push(if twice.contains(&command.name) {
            Err(Refusal::Duplicate)
        } else {
            let stored = refs::find(from, repository, command.name.as_str())?;
            check_old(command, stored.map(|row| row.id))
        });
    }
    if push.atomic && verdicts.iter().any(Result::is_err) {
        for verdict in &mut verdicts {
            if verdict.is_ok() {
                *verdict = Err(Refusal::Atomic);
            }
        }
    }
    Ok(verdicts)
}

/// Looks at the objects of the hopeful commands.
///
/// # Errors
/// When the repository is damaged.
pub(in crate::hosting) fn examine(
    repository: &Repository,
    push: &Push,
    hopeful: Vec<Result<(), Refusal>>,
) -> Result<Vec<Result<Tip, Refusal>>, ReadError> {
    let packs = repository.packs();
    let mut examiner = Examiner {
        reader: ObjectReader::new(Arc::clone(&packs)),
        browser: Browser::new(packs),
    };
    push.commands
        .iter()
        .zip(hopeful)
        .map(|(command, hopeful)| match (hopeful, command.new) {
            (Err(refusal), _) => Ok(Err(refusal)),
            (Ok(()), None) => Ok(Ok(Tip {
                peeled: None,
                forced: true,
            })),
            (Ok(()), Some(new)) => examiner.tip(command, new),
        })
        .collect()
}

/// Reads the objects of one push.
struct Examiner {
    reader: ObjectReader,
    browser: Browser,
}

impl Examiner {
    fn tip(&mut self, command: &Command, new: ObjectId) -> Result<Result<Tip, Refusal>, ReadError> {
        let Some(kind) = self.reader.kind(&new)? else {
            return Ok(Err(Refusal::MissingObject(new)));
        };
        if command.name.is_branch() && kind != Kind::Commit {
            return Ok(Err(Refusal::NotACommit(new)));
        }
        let peeled = match kind {
            Kind::Tag => match self.browser.peel(&new) {
                Ok((target, _)) => Some(target),
                Err(ReadError::Missing(id)) => return Ok(Err(Refusal::MissingObject(id))),
                Err(damaged) => return Err(damaged),
            },
            _ => None,
        };
        let forced = match command.old {
            Some(old) => !self.leads_on(&old, &new)?,
            None => false,
        };
        Ok(Ok(Tip { peeled, forced }))
    }

    /// Whether nothing is lost by moving from `old` to `new`. Only commits lead anywhere.
    fn leads_on(&mut self, old: &ObjectId, new: &ObjectId) -> Result<bool, ReadError> {
        if old == new {
            return Ok(true);
        }
        for id in [old, new] {
            if self.reader.kind(id)? != Some(Kind::Commit) {
                return Ok(false);
            }
        }
        self.browser.is_ancestor(old, new)
    }
}
