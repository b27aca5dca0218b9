//! A whole conversation in protocol version 2.
//!
//! Source: gitprotocol-v2(5).
//! Bounds: the lowered limits of `dialogue`.
//! Invariant: that of `dialogue`.
//! Not here: version 0 (`upload_pack_v0`).
#![no_main]

use libfuzzer_sys::fuzz_target;
use packhorse_protocol::Version;

#[path = "../dialogue.rs"]
mod dialogue;

fuzz_target!(|data: &[u8]| dialogue::upload_pack(Version::V2, data));
