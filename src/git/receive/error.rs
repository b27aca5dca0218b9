//! Why a pack was not taken.
//!
//! Invariant: every message may be shown to the pusher: paths and causes that concern the server
//! alone are in `source`, never in the text.

use std::io;

use gix_hash::ObjectId;

use super::{check::Problem, limits::Limited};

/// Why a pack was not taken. Nothing of it is left in the repository.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The stream ended, or broke, within the pack.
    #[error("the pack ended early, after {0} bytes")]
    Truncated(u64),
    /// Reading from the pusher failed.
    #[error("the pack could not be read to its end")]
    Input(#[source] io::Error),
    /// The first twelve bytes are no header of a pack.
    #[error("{0}")]
    Header(&'static str),
    /// An entry is not what the format asks for.
    #[error("pack entry at offset {offset}: {reason}")]
    Entry {
        /// Where the entry begins in the pack as it was sent.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The pack's last bytes are not the hash of those before them.
    #[error("the pack's checksum does not match its content")]
    Checksum,
    /// Bytes follow the pack.
    #[error("{0} bytes of garbage after the pack")]
    Garbage(usize),
    /// More than is allowed.
    #[error("more than {limit} {what}")]
    Limit {
        /// What there is too much of.
        what: Limited,
        /// How much is allowed.
        limit: u64,
    },
    /// The bytes are an attack on the hash function.
    #[error("an object at offset {0} attacks the hash function")]
    HashAttack(u64),
    /// A delta is based on an object that is neither in the pack nor in the repository.
    #[error("{count} unresolved deltas, the first one based on {base}")]
    MissingBase {
        /// The first base that is missing.
        base: ObjectId,
        /// How many deltas hang in the air.
        count: usize,
    },
    /// An object is in the pack twice.
    #[error("the object {0} appears twice in the pack")]
    Duplicate(ObjectId),
    /// The repository holds other bytes under the same name.
    #[error("the object {0} exists with other content")]
    Collision(ObjectId),
    /// An object breaks a rule of its syntax.
    #[error(transparent)]
    Object(#[from] Problem),
    /// An object names another that is neither in the pack nor in the repository.
    #[error("missing {kind} {id}")]
    MissingObject {
        /// What is missing.
        id: ObjectId,
        /// As what it was named.
        kind: &'static str,
    },
    /// The objects name more others than there are.
    #[error("the objects refer to more objects than there are in the pack and the repository")]
    Unconnected,
    /// An object names another that is not of the kind it says.
    #[error("object {id} is a {actual}, not a {expected}")]
    WrongKind {
        /// The object named.
        id: ObjectId,
        /// As what it was named.
        expected: &'static str,
        /// What it is.
        actual: &'static str,
    },
    /// The repository's own objects could not be read.
    #[error("the repository could not be read")]
    Repository(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The pack could not be stored.
    #[error("{}", storage_failure(.0))]
    Storage(#[source] io::Error),
}

impl ReceiveError {
    /// Refuses `count` where it passes `limit`.
    pub(super) fn bound(what: Limited, limit: u64, count: u64) -> Result<(), Self> {
        if count > limit {
            return Err(Self::Limit { what, limit });
        }
        Ok(())
    }
}

fn storage_failure(cause: &io::Error) -> &'static str {
    match cause.kind() {
        io::ErrorKind::StorageFull => "the server's disk is full",
        _ => "the pack could not be stored",
    }
}
