//! `GIT_PROTOCOL`, and the command line of SSH.
//!
//! Source: git(1), gitprotocol-pack(5).
//! Bounds: `LINE_MAX`, by the parser.
//! Invariant: a version needs a `version=`, and a path is no option and holds no control characters.
//! Not here: conversations.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packhorse_protocol::{Version, exec::ExecLine};

fuzz_target!(|data: &[u8]| {
    let version = Version::from_git_protocol(data);
    assert!(version == Version::V0 || data.windows(8).any(|bytes| bytes == b"version="));
    if let Ok(line) = ExecLine::parse(data) {
        assert!(!line.path.is_empty() && !line.path.starts_with(b"-"));
        assert!(!line.path.iter().any(u8::is_ascii_control));
    }
});
