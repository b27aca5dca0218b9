//! Push to a plain folder: drives `protocol::ReceivePack`, in the order that git has.
//!
//! In the order of a push: the pack goes to `incoming`, its connections are checked, `judge` refuses
//! what configuration forbids, `hooks` are asked, the objects move into place, a `transaction` moves
//! the refs, and after the report hooks are told.
//!
//! Source: git-receive-pack(1), gitprotocol-pack(5) "Pushing Data To a Server", githooks(5).
//! Bounds: `git::receive::Limits`, the protocol's limits.
//! Invariant: what is reported as done is on disk; what is refused leaves nothing behind.
//! Not here: indexing and checks of objects (`git::receive`).

mod asking;
mod command;
mod fsck;
mod hooks;
mod incoming;
mod judge;
mod objects;
mod packed_refs;
mod reflog;
mod settings;
mod shallow;
mod sharing;
mod transaction;

use std::{ffi::OsStr, sync::Arc};

use packhorse_protocol::{
    AdvertisedRef, Offer, ReceivePack, Sideband, Transport,
    receive_pack::{CommandStatus, Outcome, PushRequest, ReceiveReply, RefUpdate},
};

use self::{
    command::{Command, fail_all},
    hooks::Hooks,
    judge::Judge,
    objects::Arrived,
    reflog::Reflog,
    settings::{Answer, Settings},
    sharing::Sharing,
    transaction::{Files, Move},
};
use super::{
    BareError, Conversation,
    dialogue::Dialogue,
    fetch::advertise_shallow,
    folder::Folder,
    refs::{self, Refs},
    server_info,
};
use crate::{git::ObjectReader, model::ObjectId};

/// Who pushes, as far as it is not for the environment to say, and what that means.
#[derive(Debug, Default)]
pub(super) struct Pusher {
    /// For logs of refs, in place of what the configuration has.
    pub(super) name: Option<String>,
    pub(super) email: Option<String>,
    /// The repository's hooks are run.
    pub(super) hooks: bool,
}

/// Holds one conversation of `git-receive-pack`.
pub(super) fn receive_pack(
    folder: &Folder,
    conversation: Conversation,
    pusher: &Pusher,
    dialogue: &mut Dialogue<'_>,
) -> Result<(), BareError> {
    let (settings, offer) = Settings::read(folder)?;
    let offer = Arc::new(offer);
    let mut state = ReceivePack::start(
        conversation.version,
        conversation.transport,
        Arc::clone(&offer),
        &mut dialogue.buffer,
    );
    conversation.behead(&mut dialogue.buffer);
    loop {
        state = match state {
            ReceivePack::Advertise(reply) => {
                let refs = advertised(folder, &settings)?;
                let refs = refs.iter().map(|(name, id)| AdvertisedRef {
                    name,
                    id: Some(id),
                    peeled: None,
                    symref_target: None,
                });
                let next = reply.send(refs, &mut dialogue.buffer);
                advertise_shallow(&folder.shallow, &mut dialogue.buffer);
                dialogue.told(next)?
            }
            ReceivePack::NeedsInput(wait) => dialogue.receive(|bytes| wait.receive(bytes))?,
            ReceivePack::Receive(request, reply) => {
                let push = Push {
                    folder,
                    pusher,
                    settings: &settings,
                    offer: &offer,
                    hooks: Hooks::new(folder, pusher),
                    request,
                    sideband: reply.sideband(),
                    drains: conversation.transport == Transport::Stateless,
                };
                return push.take(reply, dialogue);
            }
            ReceivePack::Finished => return dialogue.flush(),
        };
    }
}

/// The refs of the namespace, and `.have` for what else is here.
fn advertised(folder: &Folder, settings: &Settings) -> Result<Vec<(Vec<u8>, ObjectId)>, BareError> {
    let repository = folder.repository(folder.own_objects())?;
    let packs = repository.packs();
    let refs = Refs::read(&refs::store(folder), refs::namespace()?)?;
    let mut all = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for named in refs.all() {
        let name = refs
            .stripped(&named.name)
            .filter(|name| name.starts_with(b"refs/"));
        if settings.hidden.hides(name, &named.name) || !packs.contains(&named.id) {
            continue;
        }
        let first = seen.insert(named.id);
        match name {
            Some(name) => all.push((name.to_vec(), named.id)),
            None if first => all.push((b".have".to_vec(), named.id)),
            None => {}
        }
    }
    for id in objects::borrowed_tips(folder)? {
        if packs.contains(&id) && seen.insert(id) {
            all.push((b".have".to_vec(), id));
        }
    }
    // git's protocol wants names before what has none.
    all.sort_by_key(|(name, _)| name == b".have");
    Ok(all)
}

struct Push<'a> {
    folder: &'a Folder,
    pusher: &'a Pusher,
    settings: &'a Settings,
    offer: &'a Offer,
    hooks: Hooks,
    request: PushRequest,
    sideband: Sideband,
    drains: bool,
}

impl Push<'_> {
    /// Takes the pack, carries the commands out, reports and tells the hooks.
    fn take(
        mut self,
        mut reply: ReceiveReply,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<(), BareError> {
        let sharing = Sharing::of(&self.folder.config)?;
        let refs = Refs::read(&refs::store(self.folder), refs::namespace()?)?;
        let mut commands = self.commands(&refs);
        let options = self
            .offer
            .push_options
            .then_some(&*self.request.push_options);
        self.hooks.with_push_options(options);
        self.warn_of_hooks(dialogue)?;
        let arrived = objects::receive(
            self.folder,
            self.settings,
            sharing,
            &self.request,
            self.drains,
            &mut reply,
            dialogue,
        )?;
        let unpacked = match arrived {
            Ok(arrived) => {
                for line in arrived.notices().lines() {
                    self.say(dialogue, &line)?;
                }
                self.carry_out(&mut commands, arrived, refs, sharing, dialogue)?;
                Ok(())
            }
            Err(reason) => {
                for command in &mut commands {
                    command.refuse("unpacker error");
                }
                Err(reason)
            }
        };
        self.report(
            &commands,
            unpacked.as_ref().err().map(String::as_str),
            reply,
            dialogue,
        )?;
        self.tell_hooks(&commands, dialogue)?;
        if self.settings.update_server_info {
            server_info::update(self.folder)?;
        }
        if self.sideband != Sideband::None {
            dialogue.buffer.extend_from_slice(b"0000");
        }
        dialogue.flush()?;
        match unpacked {
            Ok(()) => Ok(()),
            Err(reason) => Err(BareError::Refused(reason)),
        }
    }

    /// The commands with full names, symbolic refs followed.
    fn commands(&self, refs: &Refs) -> Vec<Command> {
        let present = |id: ObjectId| (!id.is_null()).then_some(id);
        let mut commands: Vec<Command> = Vec::with_capacity(self.request.commands.len());
        for asked in &self.request.commands {
            let full = [refs.namespace(), &asked.name].concat();
            let target = refs.find(&full).and_then(|named| named.symref.clone());
            let moved = Move {
                name: target.unwrap_or(full),
                old: present(asked.old),
                new: present(asked.new),
            };
            let same = commands
                .iter_mut()
                .find(|other| other.moved.name == moved.name);
            let (mut refused, mut skipped) = (None, false);
            if let Some(other) = same {
                skipped = other.moved.new == moved.new;
                if !skipped {
                    other.refuse("inconsistent aliased update");
                    refused = Some("inconsistent aliased update".to_owned());
                }
            }
            commands.push(Command {
                name: asked.name.clone(),
                moved,
                refused,
                for_hook: false,
                updates: Vec::new(),
                skipped,
                shallow: Vec::new(),
            });
        }
        commands
    }

    fn carry_out(
        &mut self,
        commands: &mut [Command],
        arrived: Arrived,
        refs: Refs,
        sharing: Sharing,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<(), BareError> {
        for command in commands.iter_mut().filter(|command| command.is_open()) {
            if let Some(new) = command.moved.new
                && !arrived.is_connected(&new, &refs)?
            {
                command.refuse("missing necessary objects");
            }
            let shallow = match command.moved.new {
                Some(new) if command.is_open() => arrived.shallow_of(new)?,
                _ => Vec::new(),
            };
            if !shallow.is_empty() && !self.settings.shallow_update {
                command.refuse("shallow update not allowed");
            }
            command.shallow = shallow;
            let full = [refs.namespace(), &command.name].concat();
            if self.settings.hidden.hides(Some(&command.name), &full) {
                let deletes = command.moved.new.is_none();
                let doing = if deletes {
                    "deny deleting a hidden ref"
                } else {
                    "deny updating a hidden ref"
                };
                command.refuse(doing);
            }
            let (creates, deletes) = (command.moved.old.is_none(), command.moved.new.is_none());
            command.for_hook = command.is_open()
                && self
                    .settings
                    .is_for_proc_receive(&command.name, creates, deletes);
        }
        if self.request.atomic && commands.iter().any(|command| !command.is_open()) {
            fail_all(commands, "atomic push failure");
        }
        if let Some(incoming) = arrived.incoming() {
            self.hooks
                .in_quarantine(incoming, self.folder.own_objects());
        }
        if commands.iter().any(Command::is_open) && !self.ask("pre-receive", commands, dialogue)? {
            fail_all(commands, "pre-receive hook declined");
        }
        if !commands.iter().any(Command::is_open) {
            // Nothing will point to what arrived.
            return Ok(());
        }
        let repository = arrived.publish()?;
        self.hooks.out_of_quarantine();
        self.ask_proc_receive(commands, dialogue)?;
        let reflog = Reflog::of(self.folder, self.settings.has_worktree, self.pusher)?;
        let files = Files {
            store: refs::store(self.folder),
            common: &self.folder.common,
            reflog,
            sharing,
        };
        self.extend_shallow(commands)?;
        let mut reader = ObjectReader::new(repository.packs());
        let mut judge = Judge::new(self.settings, &refs, &mut reader);
        self.move_refs(commands, &mut judge, &files, dialogue)
    }

    /// Notes where history ends from now on, before a ref leads there.
    fn extend_shallow(&self, commands: &[Command]) -> Result<(), BareError> {
        let open = commands.iter().filter(|command| command.is_open());
        let new: Vec<_> = open
            .flat_map(|command| command.shallow.iter().copied())
            .collect();
        if new.is_empty() {
            return Ok(());
        }
        shallow::extend(self.folder, &new)
    }

    /// All in one transaction, or each in its own, once nobody objects.
    fn move_refs(
        &self,
        commands: &mut [Command],
        judge: &mut Judge<'_>,
        files: &Files<'_>,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<(), BareError> {
        let mut together = Vec::new();
        for at in 0..commands.len() {
            if !commands[at].is_open() || commands[at].for_hook {
                continue;
            }
            if !self.admits(&mut commands[at], judge, dialogue)? {
                if self.request.atomic {
                    fail_all(commands, "atomic push failure");
                    return Ok(());
                }
            } else if !commands[at].skipped {
                together.push(at);
            }
            if !self.request.atomic {
                self.move_group(commands, &std::mem::take(&mut together), files, dialogue)?;
            }
        }
        self.move_group(commands, &together, files, dialogue)
    }

    /// Whether neither the configuration nor the `update` hook is against it.
    fn admits(
        &self,
        command: &mut Command,
        judge: &mut Judge<'_>,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<bool, BareError> {
        let verdict = judge.verdict(&command.name, &command.moved)?;
        self.say(dialogue, &verdict.words)?;
        if let Some(reason) = verdict.refused {
            command.refuse(&reason);
        } else if !self.ask_update(command, dialogue)? {
            command.refuse("hook declined");
        } else if verdict.vanishes {
            command.moved.old = None;
        }
        Ok(command.is_open())
    }

    fn move_group(
        &self,
        commands: &mut [Command],
        group: &[usize],
        files: &Files<'_>,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<(), BareError> {
        if group.is_empty() {
            return Ok(());
        }
        let moves: Vec<_> = group.iter().map(|at| commands[*at].moved.clone()).collect();
        if let Err(error) = self.transact(moves, files, dialogue)? {
            self.say(dialogue, &format!("error: {error}\n"))?;
            for at in group {
                let reason = match (self.request.atomic, commands[*at].moved.new) {
                    (true, _) => "atomic transaction failed",
                    (false, None) => "failed to delete",
                    (false, Some(_)) => "failed to update ref",
                };
                commands[*at].refuse(reason);
            }
        }
        Ok(())
    }

    fn transact(
        &self,
        moves: Vec<Move>,
        files: &Files<'_>,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<Result<(), BareError>, BareError> {
        let refs = Refs::read(&files.store, refs::namespace()?)?;
        let is_of_head = |moved: &&Move| {
            moved.new.is_some() && refs.head_target() == Some(moved.name.as_slice())
        };
        let head = moves.iter().find(is_of_head).map(|moved| Move {
            name: b"HEAD".to_vec(),
            ..moved.clone()
        });
        let lines = self.hooks.lines(moves.iter().chain(&head));
        let prepared = match files.prepare(moves, &refs) {
            Ok(prepared) => prepared,
            Err(error) => return Ok(Err(error)),
        };
        let tell = |state: &str, dialogue: &mut Dialogue<'_>| {
            let arguments = [OsStr::new(state)];
            self.run("reference-transaction", &arguments, &lines, dialogue)
        };
        if !tell("prepared", dialogue)? {
            drop(prepared);
            tell("aborted", dialogue)?;
            let error = "in 'prepared' phase, update aborted by the reference-transaction hook";
            return Ok(Err(BareError::Refs(error.to_owned())));
        }
        if let Err(error) = prepared.commit() {
            tell("aborted", dialogue)?;
            return Ok(Err(error));
        }
        tell("committed", dialogue)?;
        Ok(Ok(()))
    }

    fn report(
        &self,
        commands: &[Command],
        unpack_error: Option<&str>,
        reply: ReceiveReply,
        dialogue: &mut Dialogue<'_>,
    ) -> Result<(), BareError> {
        let updates = |command: &Command| match (&command.refused, command.updates.is_empty()) {
            (None, false) => Some(command.updates.len()),
            _ => None,
        };
        let statuses = commands.iter().map(|command| CommandStatus {
            name: &command.name,
            outcome: match (&command.refused, updates(command)) {
                (Some(reason), _) => Outcome::Rejected(reason),
                (None, Some(_)) => Outcome::DoneAs(
                    command
                        .updates
                        .iter()
                        .map(|update| RefUpdate {
                            name: update.name.as_deref(),
                            old: update.old,
                            new: update.new,
                            forced: update.forced,
                        })
                        .collect(),
                ),
                (None, None) => Outcome::Done,
            },
        });
        let last = reply.report(
            unpack_error.map_or(Ok(()), Err),
            statuses,
            &mut dialogue.buffer,
        );
        drop(last);
        if self.sideband != Sideband::None && dialogue.buffer.ends_with(b"0000") {
            // The end of it all comes after what hooks have to say.
            dialogue.buffer.truncate(dialogue.buffer.len() - 4);
        }
        dialogue.flush()
    }
}
