//! What is known of a command's objects before the transaction: read from the packs, which takes
//! time that no transaction should.
//!
//! Invariant: whether commits are lost is computed against the old value that the command names;
//! the transaction accepts it only if that is the stored one.

use std::collections::HashSet;

use gix_object::Kind;

use super::{Command, Push, Refusal, ancestry, check_old};
use crate::{
    git::{ObjectReader, ReadError, Repository},
    model::{ObjectId, RefSnapshot},
};

/// Tags that name tags that name tags: longer chains are not followed.
const TAG_CHAIN_MAX: usize = 64;

/// The object a ref shall name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tip {
    /// What it finally names when it is an annotated tag.
    pub(super) peeled: Option<ObjectId>,
    /// Whether the ref loses commits by the move.
    pub(super) forced: bool,
}

/// Says of each command whether it can still succeed as the refs stand, so that objects that
/// nothing can name are never published.
pub(super) fn hopeful(refs: &RefSnapshot, push: &Push) -> Vec<Result<(), Refusal>> {
    let mut seen = HashSet::new();
    let mut twice = HashSet::new();
    for command in &push.commands {
        if !seen.insert(&command.name) {
            twice.insert(&command.name);
        }
    }
    let judge = |command: &Command| {
        if twice.contains(&command.name) {
            return Err(Refusal::Duplicate);
        }
        let stored = refs.find(command.name.as_str()).map(|entry| entry.id);
        check_old(command, stored)
    };
    let mut verdicts: Vec<_> = push.commands.iter().map(judge).collect();
    if push.atomic && verdicts.iter().any(Result::is_err) {
        for verdict in &mut verdicts {
            if verdict.is_ok() {
                *verdict = Err(Refusal::Atomic);
            }
        }
    }
    verdicts
}

/// Looks at the objects of the hopeful commands.
///
/// # Errors
/// When the repository is damaged.
pub(super) fn examine(
    repository: &Repository,
    commands: &[Command],
    hopeful: Vec<Result<(), Refusal>>,
) -> Result<Vec<Result<Tip, Refusal>>, ReadError> {
    let mut reader = ObjectReader::new(repository.packs());
    commands
        .iter()
        .zip(hopeful)
        .map(|(command, hopeful)| match (hopeful, command.new) {
            (Err(refusal), _) => Ok(Err(refusal)),
            (Ok(()), None) => Ok(Ok(Tip {
                peeled: None,
                forced: true,
            })),
            (Ok(()), Some(new)) => tip(&mut reader, command, new),
        })
        .collect()
}

fn tip(
    reader: &mut ObjectReader,
    command: &Command,
    new: ObjectId,
) -> Result<Result<Tip, Refusal>, ReadError> {
    let Some(kind) = reader.kind(&new)? else {
        return Ok(Err(Refusal::MissingObject(new)));
    };
    if command.name.as_branch().is_some() && kind != Kind::Commit {
        return Ok(Err(Refusal::NotACommit(new)));
    }
    let peeled = match kind {
        Kind::Tag => match peel(reader, new)? {
            Ok(target) => Some(target),
            Err(missing) => return Ok(Err(Refusal::MissingObject(missing))),
        },
        _ => None,
    };
    let forced = match command.old {
        Some(old) => !ancestry::is_ancestor(reader, &old, &new)?,
        None => false,
    };
    Ok(Ok(Tip { peeled, forced }))
}

/// What a tag finally names; the inner error is an object that is missing on the way there.
fn peel(reader: &mut ObjectReader, tag: ObjectId) -> Result<Result<ObjectId, ObjectId>, ReadError> {
    let mut buffer = Vec::new();
    let mut id = tag;
    for _ in 0..TAG_CHAIN_MAX {
        let Some(data) = reader.find(&id, &mut buffer)? else {
            return Ok(Err(id));
        };
        if data.kind != Kind::Tag {
            return Ok(Ok(id));
        }
        let target = data
            .data
            .strip_prefix(b"object ")
            .and_then(|rest| rest.split(|byte| *byte == b'\n').next())
            .and_then(|hex| ObjectId::from_hex(hex).ok());
        match target {
            Some(target) => id = target,
            None => return Ok(Err(id)),
        }
    }
    Ok(Err(id))
}
