//! Answers about refs and object facts.
//!
//! Source: gitprotocol-pack(5), "Reference Discovery"; gitprotocol-v2(5), "ls-refs" and "object-info".
//! Bounds: none of its own; answers are as large as what the caller gives.
//! Invariant: an answer the caller encoded and sent itself leads on as one given here does.
//! Not here: the encoders (`refs`, `ls_refs`, `object_info`).

use super::{Conversation, NeedsInput, UploadPack};
use crate::{
    AdvertisedRef,
    error::ProtocolError,
    ls_refs::{LsRefsRequest, encode_ls_refs},
    object_info::{ObjectInfoRequest, encode_object_info},
    offer::Transport,
    refs::encode_advertisement,
};

/// The next step after advertising refs.
#[must_use]
#[derive(Debug)]
pub struct AdvertiseReply(pub(super) Box<Conversation>);

impl AdvertiseReply {
    /// Appends the advertisement; `HEAD` should come first.
    ///
    /// # Errors
    /// When a ref does not fit into a line.
    pub fn send<'a>(
        self,
        refs: impl IntoIterator<Item = AdvertisedRef<'a>>,
        output: &mut Vec<u8>,
    ) -> Result<UploadPack, ProtocolError> {
        encode_advertisement(&self.0.offer, self.0.transport, refs, output)?;
        Ok(self.sent())
    }

    /// The caller has sent what [`encode_advertisement`] made.
    pub fn sent(self) -> UploadPack {
        if self.0.transport == Transport::Advertisement {
            UploadPack::Finished
        } else {
            UploadPack::NeedsInput(NeedsInput(self.0))
        }
    }
}

/// The next step after an `ls-refs` request.
#[must_use]
#[derive(Debug)]
pub struct LsRefsReply(pub(super) Box<Conversation>);

impl LsRefsReply {
    /// Appends those refs that match `asked`; `HEAD` should come first.
    ///
    /// # Errors
    /// When a ref does not fit into a line, or the client's next request is malformed.
    pub fn send<'a>(
        self,
        asked: &LsRefsRequest,
        refs: impl IntoIterator<Item = AdvertisedRef<'a>>,
        output: &mut Vec<u8>,
    ) -> Result<UploadPack, ProtocolError> {
        encode_ls_refs(asked, refs, output)?;
        self.sent()
    }

    /// The caller has sent what [`encode_ls_refs`] made.
    ///
    /// # Errors
    /// When the client's next request is malformed.
    pub fn sent(self) -> Result<UploadPack, ProtocolError> {
        self.0.next_request()
    }
}

/// The next step after an `object-info` request.
#[must_use]
#[derive(Debug)]
pub struct ObjectInfoReply(pub(super) Box<Conversation>);

impl ObjectInfoReply {
    /// Appends a size in bytes for each id `asked` about, none for one that is unknown to the caller.
    ///
    /// # Errors
    /// When the client's next request is malformed.
    pub fn send(
        self,
        asked: &ObjectInfoRequest,
        sizes: impl IntoIterator<Item = Option<u64>>,
        output: &mut Vec<u8>,
    ) -> Result<UploadPack, ProtocolError> {
        encode_object_info(asked, sizes, output)?;
        self.0.next_request()
    }
}
