//! The pack a client gets.
//!
//! Source: gitprotocol-pack(5), "Packfile Data"; gitprotocol-v2(5), "packfile".
//! Bounds: a packet holds [`Sideband::chunk_max`] bytes; the pack itself never passes through here whole.
//! Invariant: after the last byte of a pack comes a flush where there are packets, and nothing where not.
//! Not here: which objects go in, and how.

use std::sync::Arc;

use gix_hash::ObjectId;

use super::{Conversation, UploadPack};
use crate::{
    error::ProtocolError,
    filter::Filter,
    pkt_line,
    sideband::{Band, Sideband},
    version::Version,
};

/// What a pack is to hold, and how it may be written.
#[derive(Debug, Clone)]
pub struct PackRequest {
    /// What the client wants, those wanted by name included; may repeat.
    pub wants: Arc<Vec<ObjectId>>,
    /// What the client has and this side too; may repeat.
    pub common: Arc<Vec<ObjectId>>,
    /// Commits the client had without their parents before this fetch; may repeat, and need not exist here.
    pub shallows: Arc<Vec<ObjectId>>,
    /// Commits the client will have without their parents from now on, besides those it had.
    pub new_shallow: Vec<ObjectId>,
    /// Commits of [`Self::shallows`] whose parents the client gets now.
    pub unshallow: Vec<ObjectId>,
    /// Whether the client asked for its history to be cut.
    pub deepened: bool,
    /// What to leave out.
    pub filter: Option<Filter>,
    /// Deltas may build on objects which the client has and the pack has not.
    pub thin_pack: bool,
    /// Deltas may name their base by its offset.
    pub ofs_delta: bool,
    /// Annotated tags come along with what they point to.
    pub include_tag: bool,
    /// The client shows progress, and there is a side band for it.
    pub progress: bool,
    /// How the pack is framed.
    pub sideband: Sideband,
}

/// The way to send a pack.
#[must_use]
#[derive(Debug)]
pub struct PackReply(Box<Conversation>);

impl PackReply {
    /// How the pack is framed; [`Sideband::data_header`] lets it be sent without copying.
    pub fn sideband(&self) -> Sideband {
        self.0.fetch.sideband
    }

    /// Appends text for the user's terminal, unless the client wants none.
    pub fn progress(&self, text: &str, output: &mut Vec<u8>) {
        if self.0.wants_progress() {
            self.sideband().write_progress(text, output);
        }
    }

    /// Appends a part of the pack, framed.
    pub fn chunk(&self, bytes: &[u8], output: &mut Vec<u8>) {
        self.sideband().write(Band::Data, bytes, output);
    }

    /// Appends a packet without content, to keep a connection alive while there is nothing to send yet.
    pub fn keepalive(&self, output: &mut Vec<u8>) {
        if let Some(header) = self.sideband().data_header(0) {
            output.extend_from_slice(&header);
        }
    }

    /// Appends the reason why the pack ends here. Without a side band there is no way to tell: hang up, and
    /// the client sees a pack cut short.
    pub fn fail(self, message: &str, output: &mut Vec<u8>) -> UploadPack {
        if self.sideband() != Sideband::None {
            self.sideband().write_failure(message, output);
        }
        UploadPack::Finished
    }

    /// All of the pack was sent.
    ///
    /// # Errors
    /// When the client's next request is malformed.
    pub fn finish(self, output: &mut Vec<u8>) -> Result<UploadPack, ProtocolError> {
        if self.sideband() != Sideband::None {
            pkt_line::write_flush(output);
        }
        if self.0.version == Version::V2 {
            self.0.next_request()
        } else {
            Ok(UploadPack::Finished)
        }
    }
}

impl Conversation {
    fn wants_progress(&self) -> bool {
        !self.fetch.no_progress && self.fetch.sideband != Sideband::None
    }

    pub(super) fn ask_pack(mut self: Box<Self>) -> UploadPack {
        let progress = self.wants_progress();
        let fetch = &mut self.fetch;
        let request = PackRequest {
            wants: Arc::clone(&fetch.wants),
            common: Arc::clone(&fetch.common),
            shallows: Arc::clone(&fetch.shallows),
            new_shallow: std::mem::take(&mut fetch.new_shallow),
            unshallow: std::mem::take(&mut fetch.unshallow),
            deepened: fetch.deepen().is_some(),
            filter: fetch.filter.take(),
            thin_pack: fetch.thin_pack,
            ofs_delta: fetch.ofs_delta,
            include_tag: fetch.include_tag,
            progress,
            sideband: fetch.sideband,
        };
        UploadPack::Pack(request, PackReply(self))
    }
}
