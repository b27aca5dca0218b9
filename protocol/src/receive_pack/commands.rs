//! What a client wants to push: commands, its shallow boundary and options.
//!
//! Source: gitprotocol-pack(5), "Reference Update Request and Packfile Transfer".
//! Bounds: [`crate::Limits::commands`], [`crate::Limits::push_options`], [`crate::Limits::shallows`].
//! Invariant: no two commands name the same ref, and no name can break an answer's line.
//! Not here: whether a name is well formed, and whether a command is allowed.

use std::collections::HashSet;

use gix_hash::ObjectId;

use crate::{
    error::{Bound, ProtocolError},
    input::{object_id, push_bounded},
    offer::Offer,
    pkt_line::PktLine,
    sideband::Sideband,
    text::Excerpt,
};

/// One ref to move.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// The ref's full name; bytes without spaces and control characters, not checked further.
    pub name: Vec<u8>,
    /// What the client thinks the ref points to, null if it thinks there is none.
    pub old: ObjectId,
    /// What the ref shall point to, null to delete it.
    pub new: ObjectId,
}

/// What a command does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CommandKind {
    /// Makes a ref.
    Create,
    /// Moves a ref.
    Update,
    /// Removes a ref.
    Delete,
}

impl Command {
    /// What the command does.
    pub fn kind(&self) -> CommandKind {
        if self.new.is_null() {
            CommandKind::Delete
        } else if self.old.is_null() {
            CommandKind::Create
        } else {
            CommandKind::Update
        }
    }
}

/// A push, but for its pack.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PushRequest {
    /// What to do, at least one, in the client's order.
    pub commands: Vec<Command>,
    /// Options for rules, as they were given.
    pub push_options: Vec<Vec<u8>>,
    /// Commits the client has without their parents.
    pub shallows: Vec<ObjectId>,
    /// All commands or none.
    pub atomic: bool,
    /// The user wants to see no progress.
    pub quiet: bool,
    /// What program pushes, if it says so.
    pub agent: Option<Vec<u8>>,
    /// A pack follows: not all commands delete.
    pub expects_pack: bool,
    pub(super) sideband: bool,
    pub(super) report: ReportKind,
}

/// The report a client can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum ReportKind {
    #[default]
    None,
    V1,
    V2,
}

impl PushRequest {
    pub(super) fn multiplexing(&self) -> Sideband {
        if self.sideband {
            Sideband::Large
        } else {
            Sideband::None
        }
    }
}

/// A request that is still arriving.
#[derive(Debug, Default)]
pub(super) struct Arriving {
    request: PushRequest,
    begun: bool,
    options_follow: bool,
    in_options: bool,
}

/// What a line led to.
pub(super) enum Progress {
    /// Read on.
    More,
    /// There is nothing to read yet.
    Wait,
    /// The client pushes nothing.
    NothingToDo,
    /// The request is complete.
    Complete(PushRequest),
}

impl Arriving {
    pub(super) fn nothing_seen(&self) -> bool {
        !self.begun
    }

    /// The client asked for a side band, and reads nothing else once it has sent its commands.
    pub(super) fn multiplexed(&self) -> bool {
        self.request.sideband
    }

    pub(super) fn take(
        &mut self,
        line: PktLine<'_>,
        offer: &Offer,
    ) -> Result<Progress, ProtocolError> {
        self.begun = true;
        match line {
            PktLine::Data(option) if self.in_options => self.take_option(option, offer)?,
            PktLine::Data(data) => self.take_command(data, offer)?,
            PktLine::Flush if self.request.commands.is_empty() => return Ok(Progress::NothingToDo),
            PktLine::Flush if self.options_follow && !self.in_options => self.in_options = true,
            PktLine::Flush => return self.finish().map(Progress::Complete),
            PktLine::Delimiter => return Err(ProtocolError::UnexpectedPacket("delimiter")),
            PktLine::ResponseEnd => return Err(ProtocolError::UnexpectedPacket("response end")),
        }
        Ok(Progress::More)
    }

    /// The request is complete.
    fn finish(&mut self) -> Result<PushRequest, ProtocolError> {
        let commands = &self.request.commands;
        let mut seen = HashSet::with_capacity(commands.len());
        if let Some(twice) = commands
            .iter()
            .find(|command| !seen.insert(command.name.as_slice()))
        {
            return Err(ProtocolError::DuplicateCommand(Excerpt::of(&twice.name)));
        }
        let expects_pack = commands
            .iter()
            .any(|command| command.kind() != CommandKind::Delete);
        self.request.expects_pack = expects_pack;
        Ok(std::mem::take(&mut self.request))
    }

    fn take_option(&mut self, option: &[u8], offer: &Offer) -> Result<(), ProtocolError> {
        if option.iter().any(|byte| matches!(byte, b'\n' | 0)) {
            return Err(ProtocolError::BadPushOption(Excerpt::of(option)));
        }
        let max = offer.limits.push_options;
        push_bounded(
            &mut self.request.push_options,
            option.to_vec(),
            Bound::PushOptions,
            max,
        )
    }

    fn take_command(&mut self, data: &[u8], offer: &Offer) -> Result<(), ProtocolError> {
        if let Some(hex) = data.strip_prefix(b"shallow ") {
            let id = object_id(hex, offer.object_format)?;
            return push_bounded(
                &mut self.request.shallows,
                id,
                Bound::Shallows,
                offer.limits.shallows,
            );
        }
        let mut command = data;
        if self.request.commands.is_empty() {
            let mut halves = data.splitn(2, |&byte| byte == 0);
            command = halves.next().unwrap_or_default();
            self.take_capabilities(halves.next().unwrap_or_default(), offer)?;
        }
        if command == b"push-cert" {
            return Err(ProtocolError::PushCertificate);
        }
        let command = parse(command, offer)?;
        push_bounded(
            &mut self.request.commands,
            command,
            Bound::Commands,
            offer.limits.commands,
        )
    }

    fn take_capabilities(&mut self, list: &[u8], offer: &Offer) -> Result<(), ProtocolError> {
        let request = &mut self.request;
        let mut object_format = b"sha1".as_slice();
        for word in list.trim_ascii_end().split(|&byte| byte == b' ') {
            match word {
                b"report-status" => request.report = request.report.max(ReportKind::V1),
                b"report-status-v2" => request.report = ReportKind::V2,
                b"side-band-64k" => request.sideband = true,
                b"quiet" => request.quiet = true,
                b"atomic" => request.atomic = offer.atomic,
                b"push-options" => self.options_follow = offer.push_options,
                _ => {
                    if let Some(format) = word.strip_prefix(b"object-format=") {
                        object_format = format;
                    } else if let Some(agent) = word.strip_prefix(b"agent=") {
                        request.agent = Some(agent.to_vec());
                    }
                }
            }
        }
        offer.same_object_format(object_format)
    }
}

/// Reads `old new name`.
fn parse(line: &[u8], offer: &Offer) -> Result<Command, ProtocolError> {
    let bad = || ProtocolError::BadCommand(Excerpt::of(line));
    let mut words = line.splitn(3, |&byte| byte == b' ');
    let (Some(old), Some(new), Some(name)) = (words.next(), words.next(), words.next()) else {
        return Err(bad());
    };
    let old = object_id(old, offer.object_format).map_err(|_| bad())?;
    let new = object_id(new, offer.object_format).map_err(|_| bad())?;
    if name.is_empty()
        || name
            .iter()
            .any(|byte| byte.is_ascii_control() || *byte == b' ')
    {
        return Err(ProtocolError::BadRefName(Excerpt::of(name)));
    }
    Ok(Command {
        name: name.to_vec(),
        old,
        new,
    })
}
