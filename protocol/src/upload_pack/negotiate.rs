//! Which of a client's objects are here too, and when enough is known.
//!
//! Source: gitprotocol-pack(5), "Packfile Negotiation"; gitprotocol-v2(5), "acknowledgments".
//! Bounds: [`crate::Limits::haves`].
//! Invariant: common objects only grow; no pack begins before `done`, or `ready` where the client takes it.
//! Not here: looking objects up, and reachability.

use std::sync::Arc;

use gix_hash::ObjectId;

use super::{Conversation, UploadPack, fetch::MultiAck};
use crate::{error::ProtocolError, offer::Transport, pkt_line, version::Version};

/// A batch of what a client has; it may be empty.
#[derive(Debug, Clone)]
pub struct NegotiateRequest {
    /// What the client wants; may repeat.
    pub wants: Arc<Vec<ObjectId>>,
    /// What the client has, in its order; may repeat.
    pub haves: Vec<ObjectId>,
    /// What was found to be common in earlier batches.
    pub common: Arc<Vec<ObjectId>>,
    /// Whether it makes a difference that everything wanted is reachable from common commits. If not, the
    /// caller need not find out.
    pub asks_ready: bool,
}

/// The next step after looking up a batch of haves.
#[must_use]
#[derive(Debug)]
pub struct NegotiateReply {
    conversation: Box<Conversation>,
    haves: Vec<ObjectId>,
}

impl NegotiateReply {
    /// `common` are those haves of the batch that exist here, in the batch's order. `ready` tells that each
    /// want is reached by, or reaches, something common, so that more haves won't make the pack smaller.
    ///
    /// # Errors
    /// When what the client sent after the batch is malformed.
    pub fn answer(
        mut self,
        common: &[ObjectId],
        ready: bool,
        output: &mut Vec<u8>,
    ) -> Result<UploadPack, ProtocolError> {
        let first_ever = self.conversation.fetch.common.is_empty();
        if !common.is_empty() {
            Arc::make_mut(&mut self.conversation.fetch.common).extend_from_slice(common);
        }
        if self.conversation.version == Version::V2 {
            return self.conversation.answer_v2(common, ready, output);
        }
        self.write_acks(common, ready, first_ever, output)?;
        self.conversation.answer_v0(ready, output)
    }

    /// The fetch can't be served.
    pub fn fail(self, message: &str, output: &mut Vec<u8>) -> UploadPack {
        self.conversation.refuse(message, output);
        UploadPack::Finished
    }

    /// v0: the lines that answer single haves.
    fn write_acks(
        &self,
        common: &[ObjectId],
        ready: bool,
        first_ever: bool,
        output: &mut Vec<u8>,
    ) -> Result<(), ProtocolError> {
        let conversation = &self.conversation;
        let mut common_left = common.iter().peekable();
        match conversation.fetch.multi_ack {
            MultiAck::No => {
                if let Some(id) = common.first().filter(|_| first_ever) {
                    conversation.write_id_line(b"ACK ", id, b"\n", output)?;
                }
            }
            MultiAck::Detailed => {
                for id in common {
                    conversation.write_id_line(b"ACK ", id, b" common\n", output)?;
                }
            }
            MultiAck::Continue => {
                for id in &self.haves {
                    // Even an unknown object is acknowledged once enough is known, so that the client stops
                    // to list its ancestors.
                    if common_left.next_if_eq(&id).is_some() || ready {
                        conversation.write_id_line(b"ACK ", id, b" continue\n", output)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Conversation {
    pub(super) fn ask_common(mut self: Box<Self>) -> UploadPack {
        let fetch = &mut self.fetch;
        let haves = std::mem::take(&mut fetch.haves);
        let asks_ready = !fetch.done
            && match self.version {
                Version::V2 => !fetch.wait_for_done,
                Version::V0 | Version::V1 => fetch.multi_ack != MultiAck::No,
            };
        let request = NegotiateRequest {
            wants: Arc::clone(&fetch.wants),
            haves: haves.clone(),
            common: Arc::clone(&fetch.common),
            asks_ready,
        };
        UploadPack::Negotiate(
            request,
            NegotiateReply {
                conversation: self,
                haves,
            },
        )
    }

    /// The end of a v0 batch: a flush or `done`.
    fn answer_v0(
        self: Box<Self>,
        ready: bool,
        output: &mut Vec<u8>,
    ) -> Result<UploadPack, ProtocolError> {
        let fetch = &self.fetch;
        let multi_ack = fetch.multi_ack != MultiAck::No;
        let last = fetch.common.last();
        if fetch.done {
            match last {
                Some(last) if multi_ack => self.write_id_line(b"ACK ", last, b"\n", output)?,
                Some(_) => {}
                None => pkt_line::write_data(b"NAK\n", output)?,
            }
            return Ok(self.ask_pack());
        }
        let ready = last.filter(|_| ready && fetch.multi_ack == MultiAck::Detailed);
        if let Some(last) = ready {
            self.write_id_line(b"ACK ", last, b" ready\n", output)?;
        }
        if multi_ack || last.is_none() {
            pkt_line::write_data(b"NAK\n", output)?;
        }
        if let Some(last) = ready.filter(|_| fetch.no_done) {
            self.write_id_line(b"ACK ", last, b"\n", output)?;
            return Ok(self.ask_pack());
        }
        if self.transport == Transport::Stateless {
            return Ok(UploadPack::Finished);
        }
        self.resume()
    }

    fn answer_v2(
        self: Box<Self>,
        common: &[ObjectId],
        ready: bool,
        output: &mut Vec<u8>,
    ) -> Result<UploadPack, ProtocolError> {
        if self.fetch.done {
            return self.prepare_pack(output);
        }
        self.write_line(&[b"acknowledgments\n"], output)?;
        if common.is_empty() {
            self.write_line(&[b"NAK\n"], output)?;
        }
        for id in common {
            self.write_id_line(b"ACK ", id, b"\n", output)?;
        }
        if ready && !common.is_empty() && !self.fetch.wait_for_done {
            self.write_line(&[b"ready\n"], output)?;
            pkt_line::write_delimiter(output);
            return self.prepare_pack(output);
        }
        pkt_line::write_flush(output);
        self.next_request()
    }
}
