//! Which objects a client wants, and whether it may have them.
//!
//! Source: gitprotocol-pack(5), "Packfile Negotiation"; gitprotocol-v2(5), "fetch", `want-ref`.
//! Bounds: [`crate::Limits::wants`].
//! Invariant: nothing is sent and no have is looked at before the wants were accepted.
//! Not here: visibility of objects; the caller judges it.

use std::sync::Arc;

use gix_hash::{ObjectId, oid};

use super::{Conversation, DeepenReply, DeepenRequest, Stage, UploadPack};
use crate::{error::ProtocolError, text::Excerpt, version::Version};

/// The objects a client wants.
#[derive(Debug, Clone)]
pub struct WantsRequest {
    /// By id; may repeat.
    pub ids: Arc<Vec<ObjectId>>,
    /// By the full name of a ref, none twice (v2).
    pub refs: Vec<Vec<u8>>,
    /// What program asks, if it says so.
    pub agent: Option<Vec<u8>>,
    /// Options for the server, as they were given (v2).
    pub server_options: Vec<Vec<u8>>,
}

/// The next step after judging the wants.
#[must_use]
#[derive(Debug)]
pub struct WantsReply(pub(super) Box<Conversation>);

impl WantsReply {
    /// The client may have all of it; `refs` tells what the refs wanted by name point to.
    ///
    /// # Errors
    /// When what the client sent after its wants is malformed.
    pub fn accept(
        mut self,
        refs: Vec<(Vec<u8>, ObjectId)>,
        output: &mut Vec<u8>,
    ) -> Result<UploadPack, ProtocolError> {
        Arc::make_mut(&mut self.0.fetch.wants).extend(refs.iter().map(|(_, id)| id));
        self.0.fetch.wanted_refs = refs;
        self.0.wants_accepted(output)
    }

    /// There is no such object, or none that the client may see: the answer is the same.
    pub fn refuse_id(self, id: &oid, output: &mut Vec<u8>) -> UploadPack {
        self.0
            .refuse(&format!("upload-pack: not our ref {}", id.to_hex()), output);
        UploadPack::Finished
    }

    /// There is no such ref, or none that the client may see.
    pub fn refuse_ref(self, name: &[u8], output: &mut Vec<u8>) -> UploadPack {
        self.0
            .refuse(&format!("unknown ref {}", Excerpt::of(name)), output);
        UploadPack::Finished
    }

    /// The fetch can't be served for another reason.
    pub fn fail(self, message: &str, output: &mut Vec<u8>) -> UploadPack {
        self.0.refuse(message, output);
        UploadPack::Finished
    }
}

impl Conversation {
    /// All wants are known; v2 clients may also have none and only want to compare histories.
    pub(super) fn ask_wants(mut self: Box<Self>) -> Result<UploadPack, ProtocolError> {
        let fetch = &mut self.fetch;
        if fetch.wants.is_empty() && fetch.want_refs.is_empty() {
            return if fetch.wait_for_done && !fetch.haves.is_empty() && !fetch.done {
                Ok(self.ask_common())
            } else {
                self.next_request()
            };
        }
        let request = WantsRequest {
            ids: Arc::clone(&fetch.wants),
            refs: std::mem::take(&mut fetch.want_refs),
            agent: fetch.agent.take(),
            server_options: std::mem::take(&mut fetch.server_options),
        };
        Ok(UploadPack::Wants(request, WantsReply(self)))
    }

    fn wants_accepted(
        mut self: Box<Self>,
        output: &mut Vec<u8>,
    ) -> Result<UploadPack, ProtocolError> {
        if self.version == Version::V2 {
            return if self.fetch.haves.is_empty() {
                self.prepare_pack(output)
            } else {
                Ok(self.ask_common())
            };
        }
        self.stage = Stage::Haves;
        match self.fetch.deepen() {
            None => self.resume(),
            Some(deepen) => Ok(self.ask_deepen(deepen)),
        }
    }

    pub(super) fn ask_deepen(self: Box<Self>, deepen: super::Deepen) -> UploadPack {
        let request = DeepenRequest {
            wants: Arc::clone(&self.fetch.wants),
            shallows: Arc::clone(&self.fetch.shallows),
            deepen,
        };
        UploadPack::Deepen(request, DeepenReply(self))
    }
}
