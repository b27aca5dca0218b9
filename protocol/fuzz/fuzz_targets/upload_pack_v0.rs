//! A whole conversation in protocol version 0.
//!
//! Source: gitprotocol-pack(5).
//! Bounds: the lowered limits of `dialogue`.
//! Invariant: that of `dialogue`.
//! Not here: version 2 (`fetch`).
#![no_main]

use libfuzzer_sys::fuzz_target;
use packhorse_protocol::Version;

#[path = "../dialogue.rs"]
mod dialogue;

fuzz_target!(|data: &[u8]| dialogue::upload_pack(Version::V0, data));
