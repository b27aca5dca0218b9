//! Receiving packs: stream, index, complete, check, hold in quarantine, publish.
//!
//! In the order of the data: `stream` counts bytes, `tail` hashes and spools them, `scan` takes whole objects (pass 1),
//! `resolve` builds deltas (pass 2), `inspector` checks each object with `check` and all their links
//! with `references`, `quarantine` holds the result and publishes it.
//!
//! Source: gitformat-pack(5), git-index-pack(1).
//! Bounds: [`Limits`]. Memory does not depend on the size of the pack but on the number of its
//! objects: up to 150 bytes each, besides up to 64 MiB of contents and the few objects at hand.
//! Invariant: everything that a published object names exists in the repository (see `references`),
//! so a ref may point to any published object.
//! Not here: who may push what where (`policy`), moving refs (`store`).

mod check;
mod children;
mod compose;
mod entry;
mod error;
mod gathered;
mod index;
mod inflate;
mod inspector;
mod levels;
mod limits;
mod pack;
mod pieces;
mod quarantine;
mod reader;
mod references;
mod resolve;
mod scan;
mod spool;
mod stream;
mod tail;

use std::io::Read;

pub(super) use check::is_dotgit;
pub use check::{Message, Notices, Problem, Severity, Strictness, StrictnessError};
pub use compose::Composer;
pub use error::ReceiveError;
pub use limits::{Limited, Limits};
pub use pieces::BlobPieces;
pub(super) use quarantine::sweep;
pub use quarantine::{NewObject, Quarantine};
pub use reader::QuarantineReader;

use self::{index::Order, inspector::Inspector, limits::Expense, spool::Spool, stream::PackStream};
use super::Repository;

/// How far a pack has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It arrives.
    Receiving {
        /// Objects so far.
        objects: u32,
        /// Objects in all.
        total: u32,
        /// Bytes so far.
        bytes: u64,
    },
    /// Its deltas are built.
    Resolving {
        /// Deltas so far.
        deltas: u32,
        /// Deltas in all.
        total: u32,
    },
}

/// Takes a pack from `input`, indexes it, completes it if it is thin, and checks every object.
///
/// Nothing behind the pack is waited for. `progress` is called every thousand objects or so.
///
/// # Errors
/// When the pack is not one, an object is not right, something that an object names is missing, or
/// a limit is passed. Nothing is left behind.
pub fn ingest(
    repository: &Repository,
    input: &mut dyn Read,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Result<Quarantine, ReceiveError> {
    let packs = repository.packs();
    let format = repository.format().kind();
    let spool = Spool::new(&quarantine::incoming(repository));
    let stream = PackStream::new(input, format, spool, limits);
    let mut inspector = Inspector::new(packs.clone(), limits);
    let mut expense = Expense::new();
    let scanned = scan::scan(
        stream,
        format,
        &mut inspector,
        &mut expense,
        limits,
        progress,
    )?;
    let (pack, sent) = resolve::resolve(scanned, &mut inspector, &mut expense, limits, progress)?;
    let order = Order::of(&pack.entries)?;
    let (roots, notices) = inspector.connect(&pack, sent, &order, &mut expense, limits)?;
    let quarantine = Quarantine::new(repository, packs, pack, order, sent);
    Ok(quarantine.hanging_on(roots).telling(notices))
}

#[cfg(test)]
mod tests;
