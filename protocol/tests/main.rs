//! The one integration binary of the protocol crate: dialogues, and the bounds on what clients may send.
//!
//! Source: none of its own.
//! Bounds: none.
//! Invariant: only the public interface is used.
//! Not here: tables of single parsers, which stand beside the code.
#![expect(
    clippy::unwrap_used,
    reason = "the helpers of a test are no `#[test]`s"
)]
#![expect(
    clippy::panic,
    reason = "a transcript that does not replay is a failed test"
)]

mod bounds;
mod transcripts;
