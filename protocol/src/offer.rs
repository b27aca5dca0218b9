//! What the server is willing to do, and how much of it.
//!
//! Source: gitprotocol-capabilities(5), gitprotocol-v2(5) "Capability Advertisement".
//! Bounds: the defaults of [`Limits`] are the bounds of the whole crate.
//! Invariant: a feature that is not offered is refused or ignored when a client uses it.
//! Not here: who may do it; the caller answers that before and between the questions.

use gix_hash::Kind;

use crate::{error::ProtocolError, filter::Allowed, text::Excerpt};

/// How a conversation reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// SSH and `git://`: the advertisement first, then the dialogue on the same stream.
    Stateful,
    /// HTTP `GET info/refs`: the advertisement alone, headed by `# service=…` where the version has it.
    Advertisement,
    /// HTTP `POST`: one request in one body, no advertisement.
    Stateless,
}

/// What the server tells clients about itself and lets them use.
#[derive(Debug, Clone)]
pub struct Offer {
    /// The hash of the repository.
    pub object_format: Kind,
    /// Name and version, such as `packhorse/0.1.0`.
    pub agent: String,
    /// An identifier that ties this conversation to the server's log; offered only when given.
    pub session_id: Option<String>,
    /// Partial clones: the `filter` line.
    pub filter: bool,
    /// Which filters, if any are.
    pub filters: Allowed,
    /// v2: the repository itself is shallow, so every pack comes with a boundary.
    pub shallow_repository: bool,
    /// v0: says that any ref's tip may be wanted, advertised or not.
    pub allow_tip_sha1_in_want: bool,
    /// v0: says that any reachable commit may be wanted.
    pub allow_reachable_sha1_in_want: bool,
    /// v2: says that `ls-refs` shows a `HEAD` whose branch has no commit yet.
    pub unborn: bool,
    /// v2: wants by name (`want-ref`).
    pub ref_in_want: bool,
    /// v2: the command `object-info`.
    pub object_info: bool,
    /// v2: the whole answer to `fetch` may be multiplexed.
    pub sideband_all: bool,
    /// v2: the client may keep the server from sending a pack before it says `done`.
    pub wait_for_done: bool,
    /// Push: all commands succeed or none.
    pub atomic: bool,
    /// Push: packs may name the bases of deltas by their place.
    pub ofs_delta: bool,
    /// Push: options that rules may read.
    pub push_options: bool,
    /// How much a client may send.
    pub limits: Limits,
}

impl Offer {
    /// Everything that git's own server can do, but `sideband-all`, session ids and wants that no ref shows.
    pub fn new(object_format: Kind, agent: impl Into<String>) -> Self {
        Self {
            object_format,
            agent: agent.into(),
            session_id: None,
            filter: true,
            filters: Allowed::default(),
            shallow_repository: false,
            allow_tip_sha1_in_want: false,
            allow_reachable_sha1_in_want: false,
            unborn: true,
            ref_in_want: true,
            object_info: true,
            sideband_all: false,
            wait_for_done: true,
            atomic: true,
            ofs_delta: true,
            push_options: true,
            limits: Limits::default(),
        }
    }

    /// Refuses a client that speaks of another hash.
    pub(crate) fn same_object_format(&self, client: &[u8]) -> Result<(), ProtocolError> {
        let server = self.object_format;
        if client == server.to_string().as_bytes() {
            return Ok(());
        }
        Err(ProtocolError::ObjectFormat {
            server,
            client: Excerpt::of(client),
        })
    }

    /// The agent as one word, since a space would begin another capability.
    pub(crate) fn agent_word(&self) -> impl Iterator<Item = u8> {
        one_word(&self.agent)
    }

    /// The session id as one word.
    pub(crate) fn session_word(&self) -> Option<impl Iterator<Item = u8>> {
        self.session_id.as_deref().map(one_word)
    }
}

fn one_word(text: &str) -> impl Iterator<Item = u8> {
    text.bytes()
        .map(|byte| if byte.is_ascii_graphic() { byte } else { b'.' })
}

/// The most of everything that a client may send; each bound is inclusive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Wants in a request, by id and by name together. A checkout of a partial clone may want each of
    /// its files.
    pub wants: usize,
    /// Haves in a conversation (v0) or a request (v2).
    pub haves: usize,
    /// Lines that name the client's shallow boundary.
    pub shallows: usize,
    /// `deepen-not` lines.
    pub deepen_nots: usize,
    /// `ref-prefix` lines; with more, all refs are sent, as git does.
    pub ref_prefixes: usize,
    /// Ids in an `object-info` request.
    pub object_infos: usize,
    /// `server-option` lines.
    pub server_options: usize,
    /// Parts of a combined filter, at all depths together.
    pub filter_parts: usize,
    /// Commands in a push.
    pub commands: usize,
    /// Push options.
    pub push_options: usize,
    /// Bytes of a request, framing included, packs not.
    pub request_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            wants: 500_000,
            haves: 500_000,
            shallows: 250_000,
            deepen_nots: 1_000,
            ref_prefixes: 65_535,
            object_infos: 100_000,
            server_options: 100,
            filter_parts: 64,
            commands: 250_000,
            push_options: 100,
            request_bytes: 64 * 1024 * 1024,
        }
    }
}
