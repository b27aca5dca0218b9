//! Why a conversation ended badly, and how the peer learns of it.
//!
//! Source: gitprotocol-pack(5) and gitprotocol-common(5), the `ERR` packet.
//! Bounds: values of the peer are kept as [`Excerpt`]s.
//! Invariant: after an error the conversation is gone; its wire form is the last thing to send.
//! Not here: refusals the caller decides on (`refuse`, `fail`, rejected commands).

use gix_hash::Kind;

use crate::{
    filter::FilterError,
    pkt_line::{self, LineTooLong, PktLineError},
    sideband::Sideband,
    text::{self, Excerpt},
};

/// A bound of [`crate::Limits`] that a peer exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the variants are the fields of Limits by name")]
pub enum Bound {
    Wants,
    Haves,
    Shallows,
    DeepenNots,
    ObjectInfos,
    ServerOptions,
    Commands,
    PushOptions,
    RequestBytes,
    Arguments,
}

impl Bound {
    fn noun(self) -> &'static str {
        match self {
            Self::Wants => "wants",
            Self::Haves => "haves",
            Self::Shallows => "shallow lines",
            Self::DeepenNots => "deepen-not lines",
            Self::ObjectInfos => "object-info ids",
            Self::ServerOptions => "server options",
            Self::Commands => "commands",
            Self::PushOptions => "push options",
            Self::RequestBytes => "request bytes",
            Self::Arguments => "arguments",
        }
    }
}

/// Why a conversation can't go on. All but [`Self::LineTooLong`] are the peer's fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// The bytes are not pkt-lines.
    #[error("protocol error: {0}")]
    PktLine(#[from] PktLineError),
    /// The peer hung up in the middle of a request.
    #[error("protocol error: the request ends early")]
    UnexpectedEnd,
    /// A special packet (flush, delimiter, response end) stands where none may.
    #[error("protocol error: unexpected {0} packet")]
    UnexpectedPacket(&'static str),
    /// A line that means nothing here.
    #[error("protocol error: unexpected line '{0}'")]
    UnexpectedLine(Excerpt),
    /// The peer reported an error of its own.
    #[error("the client gave up: {0}")]
    PeerError(Excerpt),
    /// Not an object id of this repository's hash.
    #[error("protocol error: expected an object id, not '{0}'")]
    BadObjectId(Excerpt),
    /// The peer uses another hash than the repository.
    #[error("mismatched object format: server {server}; client {client}")]
    ObjectFormat {
        /// The repository's hash.
        server: Kind,
        /// What the peer named.
        client: Excerpt,
    },
    /// v2: neither a command nor a capability that was offered.
    #[error("unknown capability '{0}'")]
    UnknownCapability(Excerpt),
    /// v2: a command that was not offered.
    #[error("invalid command '{0}'")]
    UnknownCommand(Excerpt),
    /// v2: a second command in one request.
    #[error("command '{0}' requested after another command")]
    SecondCommand(Excerpt),
    /// v2: a request without a command.
    #[error("no command requested")]
    NoCommand,
    /// A depth or time that can't be read.
    #[error("invalid {0}")]
    BadDeepen(Excerpt),
    /// `deepen` along with `deepen-since` or `deepen-not`.
    #[error("deepen and deepen-since (or deepen-not) cannot be used together")]
    DeepenConflict,
    /// A filter that can't be read.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A filter where none was negotiated.
    #[error("filtering capability not negotiated")]
    FilterNotNegotiated,
    /// A second filter line.
    #[error("multiple filter-specs cannot be combined")]
    SecondFilter,
    /// The same ref wanted twice by name.
    #[error("duplicate want-ref '{0}'")]
    DuplicateWantRef(Excerpt),
    /// Push: not `old new name`.
    #[error("protocol error: expected old/new/ref, got '{0}'")]
    BadCommand(Excerpt),
    /// Push: a ref name that can't be written in an answer (empty, spaces or control characters).
    #[error("invalid ref name '{0}'")]
    BadRefName(Excerpt),
    /// Push: two commands for one ref.
    #[error("multiple updates for ref '{0}' not allowed")]
    DuplicateCommand(Excerpt),
    /// Push: a signed push, which was not offered.
    #[error("the server does not support signed pushes")]
    PushCertificate,
    /// Push: an option with a line feed or NUL inside.
    #[error("invalid push option '{0}'")]
    BadPushOption(Excerpt),
    /// More of something than allowed.
    #[error("too many {}, at most {max} allowed", .bound.noun())]
    TooMany {
        /// Of what.
        bound: Bound,
        /// The inclusive bound.
        max: usize,
    },
    /// Push: the cause, met when the client reads nothing but side bands any more.
    #[error(transparent)]
    Multiplexed(Box<Self>),
    /// The caller gave an answer that does not fit into a line.
    #[error(transparent)]
    LineTooLong(#[from] LineTooLong),
}

impl ProtocolError {
    /// Appends the packet that tells the peer.
    pub fn write_to(&self, output: &mut Vec<u8>) {
        match self {
            Self::Multiplexed(cause) => Sideband::Large.write_failure(&cause.to_string(), output),
            _ => write_error(&self.to_string(), output),
        }
    }
}

/// Appends `ERR` and `message` as one packet.
pub(crate) fn write_error(message: &str, output: &mut Vec<u8>) {
    let mut line = pkt_line::Line::begin(output);
    line.bytes(b"ERR ");
    line.bytes(text::one_line(message).as_bytes());
    line.end_cut();
}
