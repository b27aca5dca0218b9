//! One command of a push, and what becomes of it.
//!
//! Invariant: a command that is refused keeps its first reason.

use super::transaction::Move;
use crate::model::ObjectId;

/// What became of one command.
#[derive(Debug)]
pub(super) struct Command {
    /// As the client named it.
    pub(super) name: Vec<u8>,
    /// What it does, by full name and with symbolic refs followed.
    pub(super) moved: Move,
    /// Why it is refused, if it is.
    pub(super) refused: Option<String>,
    /// `proc-receive` carries it out, and says how.
    pub(super) for_hook: bool,
    pub(super) updates: Vec<Update>,
    /// The same as another command does.
    pub(super) skipped: bool,
    /// Commits it needs, whose parents are missing here.
    pub(super) shallow: Vec<ObjectId>,
}

/// What `proc-receive` did instead of what was asked.
#[derive(Debug, Default)]
pub(super) struct Update {
    pub(super) name: Option<Vec<u8>>,
    pub(super) old: Option<ObjectId>,
    pub(super) new: Option<ObjectId>,
    pub(super) forced: bool,
}

impl Command {
    pub(super) fn is_open(&self) -> bool {
        self.refused.is_none()
    }

    pub(super) fn refuse(&mut self, reason: &str) {
        self.refused.get_or_insert_with(|| reason.to_owned());
    }
}

pub(super) fn fail_all(commands: &mut [Command], reason: &str) {
    for command in commands {
        command.refuse(reason);
    }
}

/// What a command asks for, by the name that the client gave.
pub(super) fn as_asked(command: &Command) -> Move {
    Move {
        name: command.name.clone(),
        ..command.moved.clone()
    }
}

/// What was done, which is what was asked unless `proc-receive` did otherwise.
pub(super) fn as_done(command: &Command) -> Vec<Move> {
    let asked = as_asked(command);
    if command.updates.is_empty() {
        return vec![asked];
    }
    let instead = |update: &Update| Move {
        name: update.name.clone().unwrap_or_else(|| asked.name.clone()),
        old: update
            .old
            .map_or(asked.old, |id| (!id.is_null()).then_some(id)),
        new: update
            .new
            .map_or(asked.new, |id| (!id.is_null()).then_some(id)),
    };
    command.updates.iter().map(instead).collect()
}
