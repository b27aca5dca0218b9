//! A push and the repository's hooks: who is asked when, and what the pusher hears of it.
//!
//! Source: githooks(5), git-receive-pack(1).
//! Invariant: what hooks say goes to the pusher's terminal, never into the report.
//! Not here: starting them (`hooks`).

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};

use packhorse_protocol::{Sideband, sideband::Band};

use super::{
    Push,
    command::{Command, as_asked, as_done},
    judge,
};
use crate::bare::{BareError, dialogue::Dialogue};

impl Push<'_> {
    pub(super) fn ask(
        &self,
        hook: &str,
        commands: &[Command],
        dialogue: &mut Dialogue<'_>,
    ) -> Result<bool, BareError> {
        let open = commands
            .iter()
            .filter(|command| command.is_open() && !command.skipped);
        let asked: Vec<_> = open.map(as_asked).collect();
        let lines = self.hooks.lines(&asked);
        self.run(hook, &[], &lines, dialogue)
    }

    pub(super) fn ask_update(
        &self,
        command: &Command,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<bool, BareError> {
        let (old, new) = (
            self.hooks.id(command.moved.old),
            self.hooks.id(command.moved.new),
        );
        let arguments = [
            OsStr::from_bytes(&command.name),
            OsStr::new(&old),
            OsStr::new(&new),
        ];
        self.run("update", &arguments, b"", dialogue)
    }

    pub(super) fn ask_proc_receive(
        &self,
        commands: &mut [Command],
        dialogue: &mut Dialogue<'_>,
    ) -> Result<(), BareError> {
        let for_hook = |command: &&Command| command.for_hook && command.is_open();
        let asked: Vec<_> = commands.iter().filter(for_hook).map(as_asked).collect();
        if asked.is_empty() {
            return Ok(());
        }
        let options = self
            .offer
            .push_options
            .then_some(&*self.request.push_options);
        let mut said = Vec::new();
        let answer =
            self.hooks
                .proc_receive(&asked, options, self.request.atomic, &mut |words| {
                    said.extend_from_slice(words);
                })?;
        self.say(dialogue, &String::from_utf8_lossy(&said))?;
        match answer {
            Ok(lines) => judge::take_answers(commands, &lines, self.folder.format),
            Err(reason) => {
                for command in commands.iter_mut().filter(|command| command.for_hook) {
                    command.refuse(&reason);
                }
            }
        }
        Ok(())
    }

    /// Those that learn of what was done.
    pub(super) fn tell_hooks(
        &self,
        commands: &[Command],
        dialogue: &mut Dialogue<'_>,
    ) -> Result<(), BareError> {
        let done: Vec<_> = commands
            .iter()
            .filter(|command| command.is_open() && !command.skipped)
            .collect();
        if done.is_empty() {
            return Ok(());
        }
        let moves: Vec<_> = done.iter().flat_map(|command| as_done(command)).collect();
        self.run("post-receive", &[], &self.hooks.lines(&moves), dialogue)?;
        let names: Vec<_> = done
            .iter()
            .map(|command| OsStr::from_bytes(&command.name))
            .collect();
        self.run("post-update", &names, b"", dialogue)?;
        Ok(())
    }

    pub(super) fn run(
        &self,
        hook: &str,
        arguments: &[&OsStr],
        input: &[u8],
        dialogue: &mut Dialogue<'_>,
    ) -> Result<bool, BareError> {
        let mut failed = None;
        let agrees = self.hooks.agrees(hook, arguments, input, &mut |words| {
            if let Err(error) = self.pass_on(dialogue, words) {
                failed.get_or_insert(error);
            }
        })?;
        match failed {
            // Before the refs were moved a peer that is gone ends it; later it changes nothing.
            Some(error) if !hook.starts_with("post-") => Err(error),
            _ => Ok(agrees),
        }
    }

    /// A folder that has hooks which would be asked, and nobody lets them run.
    pub(super) fn warn_of_hooks(&self, dialogue: &mut Dialogue<'_>) -> Result<(), BareError> {
        if self.hooks.are_enabled() {
            return Ok(());
        }
        for hook in ["pre-receive", "update", "reference-transaction"] {
            if self.hooks.find(hook).is_some() {
                self.say(
                    dialogue,
                    &format!("warning: hook '{hook}' is not run here\n"),
                )?;
            }
        }
        Ok(())
    }

    pub(super) fn say(&self, dialogue: &mut Dialogue<'_>, words: &str) -> Result<(), BareError> {
        self.pass_on(dialogue, words.as_bytes())
    }

    /// Words for the user's terminal.
    pub(super) fn pass_on(
        &self,
        dialogue: &mut Dialogue<'_>,
        words: &[u8],
    ) -> Result<(), BareError> {
        if words.is_empty() {
            return Ok(());
        }
        if self.sideband == Sideband::None {
            eprint!("{}", String::from_utf8_lossy(words));
            return Ok(());
        }
        self.sideband
            .write(Band::Progress, words, &mut dialogue.buffer);
        dialogue.flush()
    }
}
