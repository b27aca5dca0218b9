//! The Git engine: immutable packs in, facts and packs out.
//!
//! Source: gitformat-pack(5) for what lies on disk.
//! Invariant: refs never come from here and never go here; callers hand in a
//! [`RefSnapshot`](crate::model::RefSnapshot) and commit what the engine found elsewhere. Objects
//! live in packs only; a published pack never changes, and everything its objects refer to exists.
//! All of it blocks: callers run it on a pool of their own.
//! Not here: who may read what (`policy`), the words on the wire (`packhorse_protocol`).

pub mod archive;
mod bits;
pub mod blame;
pub mod browse;
mod commit;
mod deflate;
pub mod diff;
pub mod edit;
pub mod fetch;
#[cfg(test)]
pub(crate) mod fixture;
mod fork;
mod globs;
pub mod grep;
mod history;
mod last_change;
mod memory;
pub mod merge;
mod packs;
mod patterns;
pub mod receive;
mod repository;
mod scratch;
mod signed;

pub use fork::ForkError;
pub use gix_object::Kind as ObjectKind;
pub use globs::{GlobsError, PathGlobs};
pub use last_change::{GaveUp, LastChanges};
pub use memory::Memory;
pub use packs::{Content, Location, ObjectReader, OpenError, PackSet, ReadError};
pub use patterns::PatternsError;
pub use repository::{Repositories, Repository, RepositoryError};
pub use signed::{Signed, signed};
