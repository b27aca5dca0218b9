//! The capability advertisement of version 2, and the lines of its clients.
//!
//! Source: gitprotocol-v2(5).
//! Bounds: [`crate::Limits`], for each request.
//! Invariant: a command, capability or argument that was not offered ends the conversation.
//! Not here: answers (`negotiate`, `shallow`, `pack`, `ls_refs`, `object_info`).

use super::{Stage, Step, fetch::Fetch};
use crate::{
    error::{Bound, ProtocolError},
    input::push_bounded,
    ls_refs,
    object_info::ObjectInfoRequest,
    offer::Offer,
    pkt_line::{self, Line, PktLine},
    text::Excerpt,
};

/// Appends everything the server can do.
pub(super) fn write_capabilities(offer: &Offer, output: &mut Vec<u8>) {
    let mut text = |write: &dyn Fn(&mut Line<'_>)| {
        let mut line = Line::begin(output);
        write(&mut line);
        line.bytes(b"\n");
        line.end_cut();
    };
    text(&|line| line.bytes(b"version 2"));
    text(&|line| {
        line.bytes(b"agent=");
        line.word(offer.agent_word());
    });
    text(&|line| {
        line.bytes(b"ls-refs");
        if offer.unborn {
            line.bytes(b"=unborn");
        }
    });
    text(&|line| {
        line.bytes(b"fetch=shallow");
        for (offered, feature) in [
            (offer.wait_for_done, b" wait-for-done".as_slice()),
            (offer.filter, b" filter"),
            (offer.ref_in_want, b" ref-in-want"),
            (offer.sideband_all, b" sideband-all"),
        ] {
            if offered {
                line.bytes(feature);
            }
        }
    });
    text(&|line| line.bytes(b"server-option"));
    text(&|line| {
        line.bytes(b"object-format=");
        line.word(offer.object_format.to_string().bytes());
    });
    if offer.session_id.is_some() {
        text(&|line| {
            line.bytes(b"session-id=");
            line.word(offer.session_word().into_iter().flatten());
        });
    }
    if offer.object_info {
        text(&|line| line.bytes(b"object-info=size"));
    }
    pkt_line::write_flush(output);
}

/// A command of version 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    LsRefs,
    Fetch,
    ObjectInfo,
}

/// The first section of a request.
#[derive(Debug, Default)]
pub(super) struct Keys {
    begun: bool,
    command: Option<Command>,
    object_format: Option<Vec<u8>>,
    agent: Option<Vec<u8>>,
    server_options: Vec<Vec<u8>>,
}

impl Keys {
    pub(super) fn nothing_seen(&self) -> bool {
        !self.begun
    }

    fn take(&mut self, key: &[u8], offer: &Offer) -> Result<(), ProtocolError> {
        self.begun = true;
        if let Some(name) = key.strip_prefix(b"command=") {
            let command = match name {
                b"ls-refs" => Command::LsRefs,
                b"fetch" => Command::Fetch,
                b"object-info" if offer.object_info => Command::ObjectInfo,
                _ => return Err(ProtocolError::UnknownCommand(Excerpt::of(name))),
            };
            if self.command.replace(command).is_some() {
                return Err(ProtocolError::SecondCommand(Excerpt::of(name)));
            }
        } else if let Some(format) = key.strip_prefix(b"object-format=") {
            self.object_format = Some(format.to_vec());
        } else if let Some(agent) = key.strip_prefix(b"agent=") {
            self.agent = Some(agent.to_vec());
        } else if let Some(option) = key.strip_prefix(b"server-option=") {
            let max = offer.limits.server_options;
            push_bounded(
                &mut self.server_options,
                option.to_vec(),
                Bound::ServerOptions,
                max,
            )?;
        } else if !(offer.session_id.is_some() && key.starts_with(b"session-id=")) {
            return Err(ProtocolError::UnknownCapability(Excerpt::of(key)));
        }
        Ok(())
    }

    /// The section is complete: what its arguments belong to.
    fn finish(&mut self, fetch: &mut Fetch, offer: &Offer) -> Result<Stage, ProtocolError> {
        let command = self.command.ok_or(ProtocolError::NoCommand)?;
        // "If not specified, object-format=sha1 is assumed."
        offer.same_object_format(self.object_format.as_deref().unwrap_or(b"sha1"))?;
        let server_options = std::mem::take(&mut self.server_options);
        Ok(match command {
            Command::LsRefs => Stage::LsRefs(ls_refs::Arguments::new(server_options)),
            Command::ObjectInfo => Stage::ObjectInfo(ObjectInfoRequest::default()),
            Command::Fetch => {
                fetch.server_options = server_options;
                fetch.agent = self.agent.take();
                fetch.filter_negotiated = offer.filter;
                Stage::Fetch
            }
        })
    }
}

/// Takes a line of a request in whatever section it is.
pub(super) fn take(
    line: PktLine<'_>,
    stage: &mut Stage,
    fetch: &mut Fetch,
    offer: &Offer,
) -> Result<Step, ProtocolError> {
    match (line, &mut *stage) {
        (PktLine::Data(key), Stage::Keys(keys)) => keys.take(key, offer)?,
        (PktLine::Delimiter, Stage::Keys(keys)) => *stage = keys.finish(fetch, offer)?,
        (PktLine::Flush, Stage::Keys(keys)) if keys.nothing_seen() => return Ok(Step::Finished),
        (PktLine::Flush, Stage::Keys(keys)) => {
            *stage = keys.finish(fetch, offer)?;
            return complete(stage, fetch);
        }
        (PktLine::Flush, _) => return complete(stage, fetch),
        (PktLine::Data(argument), Stage::LsRefs(arguments)) => {
            arguments.take(argument, offer.limits.ref_prefixes)?;
        }
        (PktLine::Data(argument), Stage::ObjectInfo(request)) => {
            request.take(argument, offer.object_format, offer.limits.object_infos)?;
        }
        (PktLine::Data(argument), _) => take_argument(argument, fetch, offer)?,
        (PktLine::Delimiter, _) => return Err(ProtocolError::UnexpectedPacket("delimiter")),
        (PktLine::ResponseEnd, _) => return Err(ProtocolError::UnexpectedPacket("response end")),
    }
    Ok(Step::More)
}

fn complete(stage: &Stage, fetch: &Fetch) -> Result<Step, ProtocolError> {
    Ok(match stage {
        Stage::LsRefs(_) => Step::LsRefs,
        Stage::ObjectInfo(_) => Step::ObjectInfo,
        Stage::Needs | Stage::Haves | Stage::Keys(_) | Stage::Fetch => {
            fetch.no_ref_wanted_twice()?;
            Step::Wants
        }
    })
}

/// One argument of `fetch`.
fn take_argument(argument: &[u8], fetch: &mut Fetch, offer: &Offer) -> Result<(), ProtocolError> {
    match argument {
        b"thin-pack" => fetch.thin_pack = true,
        b"ofs-delta" => fetch.ofs_delta = true,
        b"no-progress" => fetch.no_progress = true,
        b"include-tag" => fetch.include_tag = true,
        b"done" => fetch.done = true,
        b"deepen-relative" => fetch.deepen_relative(),
        b"wait-for-done" if offer.wait_for_done => fetch.wait_for_done = true,
        b"sideband-all" if offer.sideband_all => fetch.sideband_all = true,
        _ => {
            if let Some(hex) = argument.strip_prefix(b"want ") {
                fetch.want(hex, offer)?;
            } else if let Some(hex) = argument.strip_prefix(b"have ") {
                fetch.have(hex, offer)?;
            } else if let Some(name) = argument
                .strip_prefix(b"want-ref ")
                .filter(|_| offer.ref_in_want)
            {
                fetch.want_ref(name, offer)?;
            } else if !fetch.take_shared(argument, offer)? {
                return Err(ProtocolError::UnexpectedLine(Excerpt::of(argument)));
            }
        }
    }
    Ok(())
}
