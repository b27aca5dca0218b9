//! The lines of a peer, out of bytes that arrive in pieces.
//!
//! Source: gitprotocol-common(5), "pkt-line Format" ("a receiver MUST treat pkt-lines with and without
//! the LF the same").
//! Bounds: at most what one call pushed and one line are held; a request has at most a given number of bytes.
//! Invariant: bytes after the line that was taken last stay untouched, so a pack may follow.
//! Not here: the meaning of a line.

use gix_hash::{Kind, ObjectId};

use crate::{
    error::{Bound, ProtocolError},
    pkt_line::{self, PktLine},
    text::Excerpt,
};

/// What there is to take from the peer.
pub(crate) enum Taken<'a> {
    /// A line, without the line feed at its end.
    Line(PktLine<'a>),
    /// Nothing until more bytes arrive.
    Wait,
    /// The peer hung up between two lines.
    End,
}

/// Bytes received and not yet understood.
#[derive(Debug)]
pub(crate) struct Input {
    buffer: Vec<u8>,
    taken: usize,
    request_bytes: usize,
    request_bytes_max: usize,
    ended: bool,
}

impl Input {
    pub(crate) fn new(request_bytes_max: usize) -> Self {
        Self {
            buffer: Vec::new(),
            taken: 0,
            request_bytes: 0,
            request_bytes_max,
            ended: false,
        }
    }

    /// Adds what arrived; nothing means that the peer hung up.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.taken);
        self.taken = 0;
        self.buffer.extend_from_slice(bytes);
        self.ended |= bytes.is_empty();
    }

    /// Begins to count the bytes of the next request.
    pub(crate) fn begin_request(&mut self) {
        self.request_bytes = 0;
    }

    /// Takes the next line.
    pub(crate) fn take(&mut self) -> Result<Taken<'_>, ProtocolError> {
        let mut rest = self.buffer.get(self.taken..).unwrap_or_default();
        let available = rest.len();
        let Some(line) = pkt_line::decode(&mut rest)? else {
            return match (self.ended, available) {
                (false, _) => Ok(Taken::Wait),
                (true, 0) => Ok(Taken::End),
                (true, _) => Err(ProtocolError::UnexpectedEnd),
            };
        };
        let length = available - rest.len();
        self.taken += length;
        self.request_bytes += length;
        if self.request_bytes > self.request_bytes_max {
            return Err(ProtocolError::TooMany {
                bound: Bound::RequestBytes,
                max: self.request_bytes_max,
            });
        }
        let PktLine::Data(data) = line else {
            return Ok(Taken::Line(line));
        };
        if let Some(message) = data.strip_prefix(b"ERR ") {
            return Err(ProtocolError::PeerError(Excerpt::of(
                message.trim_ascii_end(),
            )));
        }
        Ok(Taken::Line(PktLine::Data(
            data.strip_suffix(b"\n").unwrap_or(data),
        )))
    }

    /// Bytes received after the line taken last.
    pub(crate) fn rest(&self) -> &[u8] {
        self.buffer.get(self.taken..).unwrap_or_default()
    }
}

/// Reads the hex form of an object id of this hash.
pub(crate) fn object_id(hex: &[u8], kind: Kind) -> Result<ObjectId, ProtocolError> {
    if hex.len() != kind.len_in_hex() {
        return Err(ProtocolError::BadObjectId(Excerpt::of(hex)));
    }
    ObjectId::from_hex(hex).map_err(|_| ProtocolError::BadObjectId(Excerpt::of(hex)))
}

/// Adds to a list that a peer makes grow, up to its bound.
pub(crate) fn push_bounded<T>(
    list: &mut Vec<T>,
    item: T,
    bound: Bound,
    max: usize,
) -> Result<(), ProtocolError> {
    if list.len() >= max {
        return Err(ProtocolError::TooMany { bound, max });
    }
    list.push(item);
    Ok(())
}
