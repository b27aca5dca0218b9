//! Where a client's history will be cut.
//!
//! Source: gitprotocol-pack(5), "shallow-update"; gitprotocol-v2(5), "shallow-info".
//! Bounds: none of its own; the boundary is the caller's.
//! Invariant: v0 clients learn the boundary before negotiation, v2 clients right before the pack.
//! Not here: finding the boundary; the caller walks the history.

use std::sync::Arc;

use gix_hash::{ObjectId, oid};

use super::{Conversation, Deepen, UploadPack};
use crate::{error::ProtocolError, pkt_line, version::Version};

/// The depth that stands for all of a history.
const ALL_OF_IT: u32 = 0x7fff_ffff;

/// A client wants its history cut.
#[derive(Debug, Clone)]
pub struct DeepenRequest {
    /// What the client wants; may repeat.
    pub wants: Arc<Vec<ObjectId>>,
    /// Commits the client has without their parents; may repeat, and need not exist here.
    pub shallows: Arc<Vec<ObjectId>>,
    /// Where to cut.
    pub deepen: Deepen,
}

/// The next step after finding the boundary.
#[must_use]
#[derive(Debug)]
pub struct DeepenReply(pub(super) Box<Conversation>);

impl DeepenReply {
    /// The client will have the `shallow` commits without their parents, and now gets the parents of the
    /// `unshallow` ones. Commits that are on the client's boundary already belong to neither.
    ///
    /// # Errors
    /// When what the client sent after its wants is malformed.
    pub fn send(
        mut self,
        shallow: Vec<ObjectId>,
        unshallow: Vec<ObjectId>,
        output: &mut Vec<u8>,
    ) -> Result<UploadPack, ProtocolError> {
        self.0.fetch.new_shallow = shallow;
        self.0.fetch.unshallow = unshallow;
        if self.0.version == Version::V2 {
            self.0.write_shallow_info(output)?;
            return self.0.begin_pack(output);
        }
        self.0.write_boundary(output)?;
        pkt_line::write_flush(output);
        self.0.resume()
    }

    /// The history can't be cut so; for instance, `deepen-not` names no ref.
    pub fn refuse(self, message: &str, output: &mut Vec<u8>) -> UploadPack {
        self.0.refuse(message, output);
        UploadPack::Finished
    }
}

impl Conversation {
    /// v2: everything is agreed upon but the boundary.
    pub(super) fn prepare_pack(
        self: Box<Self>,
        output: &mut Vec<u8>,
    ) -> Result<UploadPack, ProtocolError> {
        if let Some(deepen) = self.fetch.deepen() {
            return Ok(self.ask_deepen(deepen));
        }
        if self.offer.shallow_repository {
            return Ok(self.ask_deepen(Deepen::Depth {
                depth: ALL_OF_IT,
                relative: false,
            }));
        }
        if !self.fetch.shallows.is_empty() {
            self.write_shallow_info(output)?;
        }
        self.begin_pack(output)
    }

    fn write_shallow_info(&self, output: &mut Vec<u8>) -> Result<(), ProtocolError> {
        self.write_line(&[b"shallow-info\n"], output)?;
        self.write_boundary(output)?;
        pkt_line::write_delimiter(output);
        Ok(())
    }

    fn write_boundary(&self, output: &mut Vec<u8>) -> Result<(), ProtocolError> {
        for id in &self.fetch.new_shallow {
            self.write_id_line(b"shallow ", id, b"", output)?;
        }
        for id in &self.fetch.unshallow {
            self.write_id_line(b"unshallow ", id, b"", output)?;
        }
        Ok(())
    }

    /// v2: the sections between the boundary and the pack.
    fn begin_pack(self: Box<Self>, output: &mut Vec<u8>) -> Result<UploadPack, ProtocolError> {
        if !self.fetch.wanted_refs.is_empty() {
            self.write_line(&[b"wanted-refs\n"], output)?;
            for (name, id) in &self.fetch.wanted_refs {
                self.write_id_line(b"", id, &[b" ", name.as_slice(), b"\n"].concat(), output)?;
            }
            pkt_line::write_delimiter(output);
        }
        self.write_line(&[b"packfile\n"], output)?;
        Ok(self.ask_pack())
    }

    pub(super) fn write_id_line(
        &self,
        before: &[u8],
        id: &oid,
        after: &[u8],
        output: &mut Vec<u8>,
    ) -> Result<(), ProtocolError> {
        let mut hex = [0; pkt_line::MAX_HEX];
        self.write_line(&[before, id.hex_to_buf(&mut hex).as_bytes(), after], output)
    }
}
