//! One `git-receive-pack` conversation, in protocol version 0 or 1.
//!
//! Source: gitprotocol-pack(5), "Pushing Data To a Server"; gitprotocol-capabilities(5).
//! Bounds: those of [`crate::Limits`]; the pack never passes through here.
//! Invariant: each variant is the only legal next step; bytes after the commands stay untouched.
//! Not here: indexing the pack, rules, and moving refs; they are asked for.

mod commands;
mod report;

use std::sync::Arc;

use crate::{
    AdvertisedRef,
    error::ProtocolError,
    input::{Input, Taken},
    offer::{Offer, Transport},
    refs::encode_receive_advertisement,
    version::Version,
};

pub use commands::{Command, CommandKind, PushRequest};
pub use report::{CommandStatus, Outcome, ReceiveReply, RefUpdate};

use commands::{Arriving, Progress};

/// What has to happen next in one `git-receive-pack` conversation.
///
/// After each step, send what it appended to its `output` before waiting for anything.
#[must_use]
#[derive(Debug)]
pub enum ReceivePack {
    /// Advertise the refs the client may see.
    Advertise(ReceiveAdvertiseReply),
    /// Read from the client and call [`ReceiveNeedsInput::receive`].
    NeedsInput(ReceiveNeedsInput),
    /// The client pushes: take the pack if there is one, carry the commands out and report.
    Receive(PushRequest, ReceiveReply),
    /// The conversation is over; hang up.
    Finished,
}

impl ReceivePack {
    /// Begins a conversation and appends what the server says first. There is no push in version 2; a
    /// client that asks for it gets version 0.
    pub fn start(
        version: Version,
        transport: Transport,
        offer: Arc<Offer>,
        output: &mut Vec<u8>,
    ) -> Self {
        let push = Box::new(Push {
            input: Input::new(offer.limits.request_bytes),
            arriving: Arriving::default(),
            offer,
        });
        if transport == Transport::Stateless {
            return Self::NeedsInput(ReceiveNeedsInput(push));
        }
        if transport == Transport::Advertisement {
            output.extend_from_slice(b"001f# service=git-receive-pack\n0000");
        }
        if version == Version::V1 {
            output.extend_from_slice(b"000eversion 1\n");
        }
        Self::Advertise(ReceiveAdvertiseReply { push, transport })
    }
}

/// Everything that is known between two steps.
#[derive(Debug)]
struct Push {
    offer: Arc<Offer>,
    input: Input,
    arriving: Arriving,
}

/// The next step after advertising refs.
#[must_use]
#[derive(Debug)]
pub struct ReceiveAdvertiseReply {
    push: Box<Push>,
    transport: Transport,
}

impl ReceiveAdvertiseReply {
    /// Appends the advertisement.
    ///
    /// # Errors
    /// When a ref does not fit into a line.
    pub fn send<'a>(
        self,
        refs: impl IntoIterator<Item = AdvertisedRef<'a>>,
        output: &mut Vec<u8>,
    ) -> Result<ReceivePack, ProtocolError> {
        encode_receive_advertisement(&self.push.offer, refs, output)?;
        Ok(self.sent())
    }

    /// The caller has sent what [`encode_receive_advertisement`] made.
    pub fn sent(self) -> ReceivePack {
        if self.transport == Transport::Advertisement {
            ReceivePack::Finished
        } else {
            ReceivePack::NeedsInput(ReceiveNeedsInput(self.push))
        }
    }
}

/// The client is to speak.
#[must_use]
#[derive(Debug)]
pub struct ReceiveNeedsInput(Box<Push>);

impl ReceiveNeedsInput {
    /// Takes what arrived; no bytes mean that the client hung up or the request's body ended.
    ///
    /// # Errors
    /// When the client breaks the protocol or a bound; the conversation is over then.
    pub fn receive(mut self, bytes: &[u8]) -> Result<ReceivePack, ProtocolError> {
        self.0.input.push(bytes);
        loop {
            match self.0.step() {
                Ok(Progress::More) => {}
                Ok(Progress::Wait) => return Ok(ReceivePack::NeedsInput(self)),
                Ok(Progress::NothingToDo) => return Ok(ReceivePack::Finished),
                Ok(Progress::Complete(request)) => {
                    let reply = ReceiveReply::new(&request, self.0.input.rest().to_vec());
                    return Ok(ReceivePack::Receive(request, reply));
                }
                Err(error) if self.0.arriving.multiplexed() => {
                    return Err(ProtocolError::Multiplexed(Box::new(error)));
                }
                Err(error) => return Err(error),
            }
        }
    }
}

impl Push {
    /// Takes one line.
    fn step(&mut self) -> Result<Progress, ProtocolError> {
        match self.input.take()? {
            Taken::Wait => Ok(Progress::Wait),
            Taken::End if self.arriving.nothing_seen() => Ok(Progress::NothingToDo),
            Taken::End => Err(ProtocolError::UnexpectedEnd),
            Taken::Line(line) => self.arriving.take(line, &self.offer),
        }
    }
}
