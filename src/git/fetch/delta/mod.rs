//! Deltas for objects that would be sent whole although the client or the pack has something like them.
//!
//! Source: git-pack-objects(1), `--window`, `--depth`, `--thin`.
//! Invariant: a base found is either an object that the client has or one that was handed out before,
//! so bases come before what is made from them and no ring of deltas can arise.
//! Not here: deltas that lie on disk already and are sent as they are (`writer`).

mod candidates;
mod index;
mod search;

pub(super) use candidates::{Candidates, finds_little};
#[cfg(test)]
pub(super) use search::DEPTH_MAX;
pub(super) use search::{Base, Found, SEARCH_BYTES_MAX, Search};

/// Objects larger than this are neither made from others nor others from them.
const OBJECT_BYTES_MAX: u64 = 16 << 20;

/// Objects before one in the order of likeness that it is compared with.
const WINDOW: usize = 8;
