//! Reads objects as they will be once a quarantine is published.
//!
//! Bounds: an object of up to [`Limits::delta_bytes`](super::Limits::delta_bytes) in memory at a
//! time, with its base; no cache, since each new object is looked at once.

use gix_hash::ObjectId;
use gix_object::Kind;

use super::{Quarantine, ReceiveError, inspector::unreadable, pack::Decoder};
use crate::git::ObjectReader;

/// Reads from a quarantine and the repository behind it.
pub struct QuarantineReader<'a> {
    quarantine: &'a Quarantine,
    decoder: Decoder,
    repository: ObjectReader,
}

impl<'a> QuarantineReader<'a> {
    pub(super) fn new(quarantine: &'a Quarantine, repository: ObjectReader) -> Self {
        Self {
            quarantine,
            decoder: Decoder::new(),
            repository,
        }
    }

    /// Replaces `content` by the object's; answers its kind, `None` if there is no such object.
    ///
    /// # Errors
    /// When the repository is damaged.
    pub fn find(
        &mut self,
        id: &ObjectId,
        content: &mut Vec<u8>,
    ) -> Result<Option<Kind>, ReceiveError> {
        let Some(number) = self.quarantine.find(id) else {
            let found = self.repository.find(id, content).map_err(unreadable)?;
            return Ok(found.map(|data| data.kind));
        };
        self.quarantine.read(number, &mut self.decoder, content)?;
        Ok(Some(self.quarantine.object(number).kind))
    }

    /// The object's kind, `None` if there is no such object.
    ///
    /// # Errors
    /// When the repository is damaged.
    pub fn kind(&mut self, id: &ObjectId) -> Result<Option<Kind>, ReceiveError> {
        match self.quarantine.find(id) {
            Some(number) => Ok(Some(self.quarantine.object(number).kind)),
            None => self.repository.kind(id).map_err(unreadable),
        }
    }

    /// What a tag finally names and its kind; an object that is no tag names itself. `None` if
    /// there is no such object.
    ///
    /// # Errors
    /// When the repository is damaged.
    pub fn peel(&mut self, id: &ObjectId) -> Result<Option<(ObjectId, Kind)>, ReceiveError> {
        let (mut id, mut content) = (*id, Vec::new());
        // A tag names another by its hash, so no chain of them comes back to where it began.
        loop {
            match self.kind(&id)? {
                None => return Ok(None),
                Some(Kind::Tag) => {}
                Some(kind) => return Ok(Some((id, kind))),
            }
            self.find(&id, &mut content)?;
            let target = content
                .strip_prefix(b"object ")
                .and_then(|rest| rest.split(|byte| *byte == b'\n').next())
                .and_then(|hex| ObjectId::from_hex(hex).ok());
            match target {
                Some(target) => id = target,
                None => return Ok(None),
            }
        }
    }
}
