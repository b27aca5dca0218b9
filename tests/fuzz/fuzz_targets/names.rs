//! Names from outside: of namespaces, repositories and refs, also as an SSH client sends them.
//!
//! Source: git-check-ref-format(1).
//! Bounds: the `MAX_BYTES` of each.
//! Invariant: a name that is taken reads back the same and reaches nowhere else, and git would take such a ref too.
//! Not here: what names refer to.
#![no_main]

use libfuzzer_sys::fuzz_target;
use packhorse::model::{NamespaceName, RefName, RepositoryPath};
use packhorse_protocol::exec::ExecLine;

fuzz_target!(|data: &[u8]| {
    if let Ok(name) = RefName::from_bytes(data) {
        assert_eq!(name.as_str().as_bytes(), data);
        assert!(name.as_str().starts_with("refs/") && data.len() <= RefName::MAX_BYTES);
        assert!(
            gix_validate::reference::name(data.into()).is_ok(),
            "git would refuse {name}"
        );
    }
    if let Ok(line) = ExecLine::parse(data) {
        path(&String::from_utf8_lossy(&line.path));
    }
    if let Ok(text) = std::str::from_utf8(data) {
        path(text);
        if let Ok(name) = text.parse::<NamespaceName>() {
            assert!(!name.as_str().contains('/'));
        }
    }
});

fn path(text: &str) {
    let Ok(path) = text.parse::<RepositoryPath>() else {
        return;
    };
    let written = path.to_string();
    assert_eq!(written, text);
    assert!(written.len() <= 400 && written.is_ascii());
    for segment in written.split('/') {
        assert!(!segment.is_empty() && !segment.starts_with(['.', '-']));
        assert!(!segment.to_ascii_lowercase().ends_with(".git"));
        assert!(
            !segment
                .bytes()
                .any(|byte| byte.is_ascii_control() || byte == b'\\')
        );
    }
}
