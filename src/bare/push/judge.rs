//! What the configuration forbids, in git's words, and what `proc-receive` answered.
//!
//! Source: git-config(1) `receive.*`; githooks(5) `proc-receive`.
//! Invariant: a verdict changes nothing.

use std::sync::Arc;

use gix_object::bstr::ByteSlice as _;

use super::{
    Answer, Settings,
    command::{Command, Update},
    transaction::Move,
};
use crate::{
    bare::{BareError, refs::Refs},
    git::{ObjectReader, browse::Browser},
    model::{ObjectFormat, ObjectId},
};

/// What is said of one command.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    pub(super) refused: Option<String>,
    /// For the user's terminal.
    pub(super) words: String,
    /// It removes a ref that does not exist, which is fine.
    pub(super) vanishes: bool,
}

pub(super) struct Judge<'a> {
    settings: &'a Settings,
    refs: &'a Refs,
    reader: &'a mut ObjectReader,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        settings: &'a Settings,
        refs: &'a Refs,
        reader: &'a mut ObjectReader,
    ) -> Self {
        Self {
            settings,
            refs,
            reader,
        }
    }

    /// Judges one command; the checks are in git's order.
    pub(super) fn verdict(&mut self, name: &[u8], moved: &Move) -> Result<Verdict, BareError> {
        let mut verdict = Verdict::default();
        let shown = name.escape_ascii();
        let well_formed =
            name.starts_with(b"refs/") && gix_ref::FullName::try_from(name.as_bstr()).is_ok();
        if !well_formed {
            verdict.words = format!("error: refusing to update funny ref '{shown}' remotely\n");
            verdict.refused = Some("funny refname".to_owned());
            return Ok(verdict);
        }
        let is_elsewhere = self.settings.checked_out_elsewhere.contains(&moved.name);
        let is_head = self.refs.head_target() == Some(&moved.name);
        let is_current = is_head || is_elsewhere;
        if (is_elsewhere || (is_head && self.settings.has_worktree)) && moved.new.is_some() {
            match self.settings.deny_current_branch {
                Answer::Ignore => {}
                Answer::Warn => verdict.words = "warning: updating the current branch\n".to_owned(),
                Answer::Refuse => {
                    verdict.words =
                        format!("error: refusing to update checked out branch: {shown}\n");
                    verdict.refused = Some("branch is currently checked out".to_owned());
                    return Ok(verdict);
                }
                Answer::UpdateWorktree => {
                    verdict.words = format!(
                        "error: work trees are not updated here: \
                         receive.denyCurrentBranch=updateInstead can't be done for {shown}\n"
                    );
                    verdict.refused = Some("could not update the working tree".to_owned());
                    return Ok(verdict);
                }
            }
        }
        match (moved.old, moved.new) {
            (_, Some(new)) if !self.reader.packs().contains(&new) => {
                verdict.words =
                    format!("error: unpack should have generated {new}, but I can't find it!\n");
                verdict.refused = Some("bad pack".to_owned());
            }
            (_, None) => self.judge_removal(name, moved, is_current, &mut verdict),
            (Some(old), Some(new))
                if self.settings.deny_non_fast_forwards && name.starts_with(b"refs/heads/") =>
            {
                let mut browser = Browser::new(Arc::clone(self.reader.packs()));
                if !browser.is_ancestor(&old, &new)? {
                    verdict.words = format!(
                        "error: denying non-fast-forward {shown} (you should pull first)\n"
                    );
                    verdict.refused = Some("non-fast-forward".to_owned());
                }
            }
            _ => {}
        }
        Ok(verdict)
    }

    fn judge_removal(&self, name: &[u8], moved: &Move, is_current: bool, verdict: &mut Verdict) {
        let shown = name.escape_ascii();
        if self.settings.deny_deletes && name.starts_with(b"refs/heads/") {
            verdict.words = format!("error: denying ref deletion for {shown}\n");
            verdict.refused = Some("deletion prohibited".to_owned());
            return;
        }
        if is_current {
            match self.settings.deny_delete_current {
                Answer::Ignore => {}
                Answer::Warn => verdict.words = "warning: deleting the current branch\n".to_owned(),
                Answer::Refuse | Answer::UpdateWorktree => {
                    verdict.words =
                        format!("error: refusing to delete the current branch: {shown}\n");
                    verdict.refused = Some("deletion of the current branch prohibited".to_owned());
                    return;
                }
            }
        }
        if self.refs.find(&moved.name).is_none() {
            verdict.words += "warning: deleting a non-existent ref\n";
            verdict.vanishes = true;
        }
    }
}

/// Takes what `proc-receive` said into the commands it was asked about.
pub(super) fn take_answers(commands: &mut [Command], lines: &[Vec<u8>], format: ObjectFormat) {
    let mut current: Option<usize> = None;
    let mut answered = vec![false; commands.len()];
    for line in lines {
        let (word, rest) = split_word(line);
        match word {
            b"ok" | b"ng" => {
                let (name, reason) = split_word(rest);
                current = commands
                    .iter()
                    .position(|command| command.for_hook && command.name == name);
                let Some(at) = current else { continue };
                answered[at] = true;
                if word == b"ng" {
                    let reason = if reason.is_empty() {
                        b"failed".as_slice()
                    } else {
                        reason
                    };
                    commands[at].refuse(&reason.to_str_lossy());
                } else {
                    commands[at].updates.push(Update::default());
                }
            }
            b"option" => {
                let Some(at) = current else { continue };
                let (key, value) = split_word(rest);
                if key == b"fall-through" {
                    // The hook leaves it to us.
                    commands[at].for_hook = false;
                    commands[at].updates.clear();
                    continue;
                }
                let id = || {
                    ObjectId::from_hex(value)
                        .ok()
                        .filter(|id| id.kind() == format.kind())
                };
                let Some(update) = commands[at].updates.last_mut() else {
                    continue;
                };
                match key {
                    b"refname" => update.name = Some(value.to_vec()),
                    b"old-oid" => update.old = id(),
                    b"new-oid" => update.new = id(),
                    b"forced-update" => update.forced = true,
                    _ => {}
                }
            }
            _ => {}
        }
    }
    for (command, answered) in commands.iter_mut().zip(answered) {
        if command.for_hook && !answered {
            command.refuse("proc-receive failed to report status");
        }
        let says_nothing = |update: &Update| {
            update.name.is_none() && update.old.is_none() && update.new.is_none() && !update.forced
        };
        if command.updates.iter().all(says_nothing) {
            command.updates.clear();
        }
    }
}

fn split_word(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(|byte| *byte == b' ') {
        Some(at) => (&line[..at], &line[at + 1..]),
        None => (line, b""),
    }
}
