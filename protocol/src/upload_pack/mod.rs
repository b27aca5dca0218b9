//! One `git-upload-pack` conversation, in protocol version 0, 1 or 2.
//!
//! Source: gitprotocol-pack(5), "Fetching Data From a Server"; gitprotocol-v2(5).
//! Bounds: those of [`crate::Limits`]; of the input no more is held than the last call brought and one line.
//! Invariant: each variant is the only legal next step; input may be cut anywhere.
//! Not here: refs, objects, and what a caller may see of them; they are asked for.

mod fetch;
mod negotiate;
mod pack;
mod replies;
mod shallow;
mod v0;
mod v2;
mod wants;

use std::sync::Arc;

use crate::{
    error::{ProtocolError, write_error},
    input::{Input, Taken},
    ls_refs::{self, LsRefsRequest},
    object_info::ObjectInfoRequest,
    offer::{Offer, Transport},
    pkt_line,
    sideband::{Band, Sideband},
    version::Version,
};

pub use fetch::Deepen;
pub use negotiate::{NegotiateReply, NegotiateRequest};
pub use pack::{PackReply, PackRequest};
pub use replies::{AdvertiseReply, LsRefsReply, ObjectInfoReply};
pub use shallow::{DeepenReply, DeepenRequest};
pub use wants::{WantsReply, WantsRequest};

use fetch::Fetch;

/// What has to happen next in one `git-upload-pack` conversation.
///
/// After each step, send what it appended to its `output` before waiting for anything.
#[must_use]
#[derive(Debug)]
pub enum UploadPack {
    /// Read from the client and call [`NeedsInput::receive`].
    NeedsInput(NeedsInput),
    /// v0 and v1: advertise the refs the client may see.
    Advertise(AdvertiseReply),
    /// v2: the client asks for refs.
    LsRefs(LsRefsRequest, LsRefsReply),
    /// v2: the client asks for facts about objects.
    ObjectInfo(ObjectInfoRequest, ObjectInfoReply),
    /// The client wants these objects: decide whether it may have them.
    Wants(WantsRequest, WantsReply),
    /// The client wants its history cut: find out where.
    Deepen(DeepenRequest, DeepenReply),
    /// The client tells what it has: find out what of it is here.
    Negotiate(NegotiateRequest, NegotiateReply),
    /// Send the pack.
    Pack(PackRequest, PackReply),
    /// The conversation is over; hang up.
    Finished,
}

impl UploadPack {
    /// Begins a conversation and appends what the server says first.
    pub fn start(
        version: Version,
        transport: Transport,
        offer: Arc<Offer>,
        output: &mut Vec<u8>,
    ) -> Self {
        let conversation = Box::new(Conversation {
            input: Input::new(offer.limits.request_bytes),
            fetch: Fetch::new(version),
            stage: if version == Version::V2 {
                Stage::Keys(v2::Keys::default())
            } else {
                Stage::Needs
            },
            offer,
            version,
            transport,
        });
        match (transport, version) {
            (Transport::Stateless, _) => Self::NeedsInput(NeedsInput(conversation)),
            (Transport::Stateful, Version::V2) => {
                v2::write_capabilities(&conversation.offer, output);
                Self::NeedsInput(NeedsInput(conversation))
            }
            (Transport::Advertisement, Version::V2) => {
                v2::write_capabilities(&conversation.offer, output);
                Self::Finished
            }
            (Transport::Stateful | Transport::Advertisement, Version::V0 | Version::V1) => {
                if transport == Transport::Advertisement {
                    output.extend_from_slice(b"001e# service=git-upload-pack\n0000");
                }
                if version == Version::V1 {
                    output.extend_from_slice(b"000eversion 1\n");
                }
                Self::Advertise(AdvertiseReply(conversation))
            }
        }
    }
}

/// The client is to speak.
#[must_use]
#[derive(Debug)]
pub struct NeedsInput(Box<Conversation>);

impl NeedsInput {
    /// Takes what arrived; no bytes mean that the client hung up or the request's body ended.
    ///
    /// # Errors
    /// When the client breaks the protocol or a bound; the conversation is over then.
    pub fn receive(mut self, bytes: &[u8]) -> Result<UploadPack, ProtocolError> {
        self.0.input.push(bytes);
        self.0.resume()
    }
}

/// Everything that is known between two steps.
#[derive(Debug)]
struct Conversation {
    offer: Arc<Offer>,
    version: Version,
    transport: Transport,
    input: Input,
    fetch: Fetch,
    stage: Stage,
}

/// What the next line belongs to.
#[derive(Debug)]
enum Stage {
    /// v0: wants, and how they are wanted.
    Needs,
    /// v0: haves, until done.
    Haves,
    /// v2: the command and capabilities.
    Keys(v2::Keys),
    /// v2: arguments of `ls-refs`.
    LsRefs(ls_refs::Arguments),
    /// v2: arguments of `object-info`.
    ObjectInfo(ObjectInfoRequest),
    /// v2: arguments of `fetch`.
    Fetch,
}

/// What a line led to.
enum Step {
    /// Read on.
    More,
    /// All wants are known.
    Wants,
    /// A batch of haves is complete.
    Haves,
    /// A request for refs is complete.
    LsRefs,
    /// A request for facts is complete.
    ObjectInfo,
    /// The client is done.
    Finished,
}

impl Conversation {
    /// Reads lines until there is something to ask or nothing left to read.
    fn resume(mut self: Box<Self>) -> Result<UploadPack, ProtocolError> {
        loop {
            let Self {
                input,
                fetch,
                stage,
                offer,
                ..
            } = &mut *self;
            let step = match input.take()? {
                Taken::Wait => return Ok(UploadPack::NeedsInput(NeedsInput(self))),
                Taken::End => return self.hung_up(),
                Taken::Line(line) => match stage {
                    Stage::Needs => v0::take_need(line, fetch, offer)?,
                    Stage::Haves => v0::take_have(line, fetch, offer)?,
                    Stage::Keys(_) | Stage::LsRefs(_) | Stage::ObjectInfo(_) | Stage::Fetch => {
                        v2::take(line, stage, fetch, offer)?
                    }
                },
            };
            match step {
                Step::More => {}
                Step::Wants => return self.ask_wants(),
                Step::Haves => return Ok(self.ask_common()),
                Step::Finished => return Ok(UploadPack::Finished),
                Step::LsRefs | Step::ObjectInfo => return Ok(self.ask_v2()),
            }
        }
    }

    /// The client hung up between two lines.
    fn hung_up(self) -> Result<UploadPack, ProtocolError> {
        let polite = match &self.stage {
            Stage::Needs => !self.fetch.begun,
            Stage::Keys(keys) => keys.nothing_seen(),
            // A stateless client may only have wanted to know where its history will be cut.
            Stage::Haves => self.transport == Transport::Stateless && self.fetch.haves.is_empty(),
            Stage::LsRefs(_) | Stage::ObjectInfo(_) | Stage::Fetch => false,
        };
        if polite {
            Ok(UploadPack::Finished)
        } else {
            Err(ProtocolError::UnexpectedEnd)
        }
    }

    /// v2: a request was answered; the next may follow.
    fn next_request(mut self: Box<Self>) -> Result<UploadPack, ProtocolError> {
        if self.transport == Transport::Stateless {
            return Ok(UploadPack::Finished);
        }
        self.fetch = Fetch::new(self.version);
        self.stage = Stage::Keys(v2::Keys::default());
        self.input.begin_request();
        self.resume()
    }

    fn ask_v2(mut self: Box<Self>) -> UploadPack {
        match std::mem::replace(&mut self.stage, Stage::Fetch) {
            Stage::LsRefs(arguments) => UploadPack::LsRefs(arguments.finish(), LsRefsReply(self)),
            Stage::ObjectInfo(request) => UploadPack::ObjectInfo(request, ObjectInfoReply(self)),
            Stage::Needs | Stage::Haves | Stage::Keys(_) | Stage::Fetch => UploadPack::Finished,
        }
    }

    /// Ends with a reason, in the form the client reads at this point.
    fn refuse(&self, message: &str, output: &mut Vec<u8>) {
        if self.fetch.sideband_all {
            Sideband::Large.write_failure(message, output);
        } else {
            write_error(message, output);
        }
    }

    /// Appends a line of an answer, multiplexed if the client wants all of it so.
    fn write_line(&self, parts: &[&[u8]], output: &mut Vec<u8>) -> Result<(), ProtocolError> {
        let mut line = pkt_line::Line::begin(output);
        if self.fetch.sideband_all {
            line.bytes(&[Band::Data.number()]);
        }
        for part in parts {
            line.bytes(part);
        }
        Ok(line.end()?)
    }
}
