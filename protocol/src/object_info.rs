//! The v2 command `object-info`: facts about objects without the objects.
//!
//! Source: gitprotocol-v2(5), "object-info".
//! Bounds: [`crate::Limits::object_infos`] ids a request.
//! Invariant: ids are answered in the order they were asked for.
//! Not here: whether the caller may know of an object; say none if not.

use gix_hash::{Kind, ObjectId};

use crate::{
    error::{Bound, ProtocolError},
    input::{object_id, push_bounded},
    pkt_line::{self, Line, LineTooLong},
    text::Excerpt,
};

/// What an `object-info` request asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ObjectInfoRequest {
    /// Whether sizes are asked for.
    pub size: bool,
    /// The objects, in the order of the answer.
    pub ids: Vec<ObjectId>,
}

impl ObjectInfoRequest {
    pub(crate) fn take(
        &mut self,
        argument: &[u8],
        kind: Kind,
        ids_max: usize,
    ) -> Result<(), ProtocolError> {
        if argument == b"size" {
            self.size = true;
            return Ok(());
        }
        let Some(hex) = argument.strip_prefix(b"oid ") else {
            return Err(ProtocolError::UnexpectedLine(Excerpt::of(argument)));
        };
        push_bounded(
            &mut self.ids,
            object_id(hex, kind)?,
            Bound::ObjectInfos,
            ids_max,
        )
    }
}

/// Appends the answer, flush included; `sizes` (bytes) go with the ids one by one, none for an unknown object.
///
/// # Errors
/// Never with ids of the known hashes; the type is that of all encoders.
pub fn encode_object_info(
    request: &ObjectInfoRequest,
    sizes: impl IntoIterator<Item = Option<u64>>,
    output: &mut Vec<u8>,
) -> Result<(), LineTooLong> {
    if request.size && !request.ids.is_empty() {
        pkt_line::write_data(b"size", output)?;
    }
    for (id, size) in request.ids.iter().zip(sizes) {
        let mut line = Line::begin(output);
        line.id(id);
        match size {
            None => line.bytes(b" "),
            Some(size) if request.size => {
                line.bytes(b" ");
                line.word(size.to_string().bytes());
            }
            Some(_) => {}
        }
        line.end()?;
    }
    pkt_line::write_flush(output);
    Ok(())
}
