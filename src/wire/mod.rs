//! The one entrance to Git for every transport: authorize, then drive the protocol over bytes.
//!
//! Data flows: transport → [`Wire::open_fetch`] or [`Wire::open_push`] (who may) → `run` (the
//! protocol asks, `git` and `hosting` answer) → [`Output`].
//! Bounds: slots ([`slots`]), computations at once, idle and total time, chunks in flight.
//! Invariant: SSH and HTTP reach the same authorizer by the same functions; a transport decides
//! nothing but how a refusal reads.
//! Not here: the grammar of the wire (`protocol`), objects (`git`), the commit point (`hosting`).

mod advertisement;
mod archive;
mod dialogue;
mod fetch;
mod objects;
mod opened;
mod path;
mod plans;
mod push;
mod remote;
mod slots;
mod stream;

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use packhorse_protocol::{ProtocolError, Transport, Version};
use tokio::{io::AsyncBufRead, sync::Semaphore};

pub use self::opened::Opened;
use self::{
    advertisement::Advertisements,
    plans::Plans,
    remote::Remote,
    slots::{Busy, SlotBounds, Slots},
    stream::Buffers,
};
pub(crate) use self::{push::receive_limits, slots::RETRY_AFTER_SECONDS};
use crate::{
    config::{self, Limits},
    hosting::{Hosting, HostingError},
    model::Caller,
    policy::{self, Denied, RepositoryAction},
};

/// What a peer sends, whatever carries it.
pub type Input = Pin<Box<dyn AsyncBufRead + Send>>;

/// The peer has gone; nothing more can be said to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disconnected;

/// Where answers go: a channel of SSH, a response body of HTTP.
pub trait Output: Send + 'static {
    /// Hands bytes over, waiting while the peer is slow.
    fn send(&mut self, bytes: Bytes) -> impl Future<Output = Result<(), Disconnected>> + Send;
}

/// How a conversation reaches us and what version it asks for.
#[derive(Debug, Clone, Copy)]
pub struct Conversation {
    version: Version,
    transport: Transport,
}

impl Conversation {
    /// SSH: the advertisement first, then the dialogue.
    pub fn stateful(version: Version) -> Self {
        Self {
            version,
            transport: Transport::Stateful,
        }
    }

    /// HTTP `GET info/refs`.
    pub fn advertisement(version: Version) -> Self {
        Self {
            version,
            transport: Transport::Advertisement,
        }
    }

    /// HTTP `POST`.
    pub fn stateless(version: Version) -> Self {
        Self {
            version,
            transport: Transport::Stateless,
        }
    }
}

/// Why a repository is not opened for a caller.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// A credential could change the answer.
    #[error("authentication required")]
    Unauthenticated,
    /// Seen but not allowed, with a reason to act on.
    #[error("{0}")]
    Forbidden(String),
    /// Absent, or not to be seen by this caller.
    #[error("repository not found")]
    NotFound,
    /// The server's own fault; the log knows more.
    #[error("internal error")]
    Internal,
}

/// Why a conversation did not end well.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// It never began.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No slot came free in time; nothing was done.
    #[error("the server is busy, try again in {RETRY_AFTER_SECONDS} seconds")]
    Busy,
    /// The peer broke the protocol and has been told so in it.
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
    /// The peer was told in the protocol why its request failed.
    #[error("{0}")]
    Failed(String),
    /// The peer sent more than a request may hold.
    #[error("request is too large")]
    TooLarge,
    /// The peer is gone or was silent for too long.
    #[error("the peer went away")]
    Disconnected,
    /// The server's own fault; the log knows more.
    #[error("internal error")]
    Internal,
}

impl WireError {
    /// One line for the peer; it tells nothing internal.
    pub fn for_peer(&self) -> String {
        self.to_string()
    }

    /// Whether the peer has read of it in the protocol already.
    pub fn was_told(&self) -> bool {
        matches!(self, Self::Protocol(_) | Self::Failed(_))
    }
}

impl From<Disconnected> for WireError {
    fn from(_: Disconnected) -> Self {
        Self::Disconnected
    }
}

impl From<Busy> for WireError {
    fn from(_: Busy) -> Self {
        Self::Busy
    }
}

/// Runs Git's conversations; cheap to clone.
#[derive(Clone)]
pub struct Wire(Arc<Shared>);

struct Shared {
    hosting: Hosting,
    limits: Arc<Limits>,
    fetch: config::Fetch,
    fetches: Slots,
    pushes: Slots,
    computations: Arc<Semaphore>,
    advertisements: Advertisements,
    plans: Plans,
    buffers: Buffers,
}

impl Wire {
    /// Takes what the conversations need.
    pub fn new(hosting: Hosting, limits: Arc<Limits>, fetch: config::Fetch) -> Self {
        let bounds = SlotBounds {
            server: limits.server_slots,
            repository: limits.repository_slots,
            caller: limits.caller_slots,
            queue_length: limits.queue_length,
            queue_wait: limits.queue_wait(),
        };
        Self(Arc::new(Shared {
            computations: hosting.computations().turns(),
            hosting,
            fetches: Slots::new(bounds),
            pushes: Slots::new(bounds),
            advertisements: Advertisements::new(limits.open_repositories),
            plans: Plans::new(),
            buffers: Buffers::default(),
            limits,
            fetch,
        }))
    }

    /// Opens the repository at `path` for cloning and fetching.
    ///
    /// # Errors
    /// When the caller may not fetch from it, it isn't there for this caller, or the path names a
    /// remote that only takes pushes.
    pub fn open_fetch(
        &self,
        caller: &Caller,
        path: &str,
    ) -> Result<Opened<policy::Fetch>, Refused> {
        let opened = self.open::<policy::Fetch>(caller, path)?;
        if opened.remote == Remote::Import {
            let reason = "this remote takes pushes only; fetch from the one without +import";
            return Err(Refused::Forbidden(reason.to_owned()));
        }
        Ok(opened)
    }

    /// Opens the repository at `path` for pushing.
    ///
    /// # Errors
    /// When the caller may not push to it, or it isn't there for this caller.
    pub fn open_push(&self, caller: &Caller, path: &str) -> Result<Opened<policy::Push>, Refused> {
        self.open(caller, path)
    }

    fn open<A: RepositoryAction>(&self, caller: &Caller, path: &str) -> Result<Opened<A>, Refused> {
        let (path, remote) = path::repository_path(caller, path)
            .ok_or_else(|| refused(caller, &Denied::NotVisible))?;
        match self.0.hosting.authorize::<A>(caller, &path) {
            Ok((allowed, repository)) => Ok(Opened::new(
                self.clone(),
                caller.clone(),
                (repository, remote),
                allowed,
            )),
            Err(HostingError::Denied(denied)) => Err(refused(caller, &denied)),
            Err(other) => {
                internal(other);
                Err(Refused::Internal)
            }
        }
    }
}

/// The same words for "no such repository" and "not yours"; strangers are asked who they are.
fn refused(caller: &Caller, denied: &Denied) -> Refused {
    if caller.is_anonymous() {
        return Refused::Unauthenticated;
    }
    match denied {
        Denied::NotVisible => Refused::NotFound,
        Denied::Unauthenticated => Refused::Unauthenticated,
        other => Refused::Forbidden(other.to_string()),
    }
}

/// Logs what happened and tells the peer nothing of it.
fn internal(error: impl std::error::Error + 'static) -> WireError {
    let error: &dyn std::error::Error = &error;
    tracing::error!(error, "conversation broke");
    WireError::Internal
}
