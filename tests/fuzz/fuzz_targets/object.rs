//! The syntax of one commit, tree or tag, or of a blob that a tree calls `.gitmodules` or `.gitattributes`.
//!
//! Source: git-fsck(1).
//! Bounds: those of `push`.
//! Invariant: a tree that passes the checks gix-object can read too; of commits and tags it wants more than git does.
//! Not here: whether what an object names exists.
#![no_main]

use std::cell::LazyCell;

use gix_hash::Kind as Hash;
use gix_object::TreeRef;
use libfuzzer_sys::fuzz_target;
use packhorse::{
    git::{ObjectKind, receive::ReceiveError},
    model::ObjectFormat,
};

#[path = "../push.rs"]
mod push;

use push::{Pack, Target, code, id};

thread_local! {
    static SHA1: LazyCell<Target> = LazyCell::new(|| Target::new(ObjectFormat::Sha1));
    static SHA256: LazyCell<Target> = LazyCell::new(|| Target::new(ObjectFormat::Sha256));
}

fuzz_target!(|data: &[u8]| {
    let Some((&how, content)) = data.split_first() else {
        return;
    };
    let (format, target) = match how & 1 {
        0 => (Hash::Sha1, &SHA1),
        _ => (Hash::Sha256, &SHA256),
    };
    let kind = match how >> 1 & 3 {
        0 => ObjectKind::Commit,
        1 => ObjectKind::Tree,
        2 => ObjectKind::Tag,
        _ => ObjectKind::Blob,
    };
    let mut pack = Pack::new(format);
    pack.entry(code(kind), content.len(), b"", content);
    if kind == ObjectKind::Blob {
        let name: &[u8] = if how & 8 == 0 {
            b".gitmodules"
        } else {
            b".gitattributes"
        };
        let blob = id(format, kind, content);
        let tree = [b"100644 ", name, b"\0", blob.as_slice()].concat();
        pack.entry(code(ObjectKind::Tree), tree.len(), b"", &tree);
    }
    let outcome = target.with(|target| target.push(&pack.finish()));
    let passed = matches!(
        outcome,
        Ok(_)
            | Err(ReceiveError::MissingObject { .. }
                | ReceiveError::Unconnected
                | ReceiveError::WrongKind { .. })
    );
    let read = kind != ObjectKind::Tree || TreeRef::from_bytes(content, format).is_ok();
    assert!(read || !passed, "a tree passed that can't be read");
});
