//! Making commits on the server: trees edited in memory, commits put into words.
//!
//! Bounds: only folders that are touched are held, at most [`ENTRIES_MAX`] entries of them.
//! Invariant: what comes out is what stock git would write: names in git's order, no empty folders,
//! no name twice.
//! Not here: writing and checking objects (`receive::Composer`), where a commit goes (`hosting`).

mod commit;
pub mod notes;
mod tree;

pub use commit::{CommitText, Person, PersonError};
pub use tree::{EditError, FileMode, Found, TreeEditor, UnknownMode};

/// Most entries of folders that one edit may hold.
pub const ENTRIES_MAX: usize = 2_000_000;
