//! A repository opened for one conversation, and what every conversation has in common.
//!
//! Invariant: the proof that the caller may do this was made before, and is carried along.

use std::{future::Future, sync::Arc, time::Duration};

use packhorse_protocol::Offer;

use super::{
    Input, Output, Wire, WireError,
    dialogue::{AGENT, Dialogue},
    remote::Remote,
};
use crate::{
    hosting::Repository,
    model::{Caller, Principal},
    policy::{Authorized, RepositoryAction},
};

/// A repository opened for one conversation that does `A` to it.
pub struct Opened<A: RepositoryAction> {
    pub(super) wire: Wire,
    pub(super) caller: Caller,
    pub(super) repository: Repository,
    pub(super) remote: Remote,
    pub(super) allowed: Arc<Authorized<A>>,
}

impl<A: RepositoryAction> Opened<A> {
    pub(super) fn new(
        wire: Wire,
        caller: Caller,
        (repository, remote): (Repository, Remote),
        allowed: Authorized<A>,
    ) -> Self {
        Self {
            wire,
            caller,
            repository,
            remote,
            allowed: Arc::new(allowed),
        }
    }

    /// The two directions of the conversation.
    pub(super) fn dialogue<'o, O: Output>(
        &self,
        input: Input,
        output: &'o mut O,
    ) -> Dialogue<'o, O> {
        Dialogue::new(input, output, self.wire.0.limits.idle_timeout())
    }

    /// What the server lets this conversation do, but for what differs from one kind to the other.
    pub(super) fn plain_offer(&self) -> Offer {
        let limits = &self.wire.0.limits;
        let mut offer = Offer::new(self.repository.row.object_format.kind(), AGENT);
        offer.limits.commands = limits.push_commands;
        offer.limits.push_options = limits.push_options;
        offer.limits.wants = limits.fetch_wants;
        offer.limits.haves = limits.fetch_haves;
        offer
    }

    /// Whose slots the caller uses: strangers share those of their address.
    pub(super) fn slot_key(&self) -> String {
        match (&self.caller.principal, self.caller.address) {
            (Principal::Anonymous, Some(address)) => address.to_string(),
            (principal, _) => principal.display_name(),
        }
    }
}

/// Lets a conversation run for `total` at most and counts how it ended.
pub(super) async fn finish(
    counter: &'static str,
    total: Duration,
    conversation: impl Future<Output = Result<(), WireError>>,
) -> Result<(), WireError> {
    let ended = tokio::time::timeout(total, conversation).await;
    let outcome = ended.unwrap_or(Err(WireError::Disconnected));
    let label = if outcome.is_ok() { "ok" } else { "failed" };
    metrics::counter!(counter, "outcome" => label).increment(1);
    outcome
}
