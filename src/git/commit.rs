//! The parts of a commit, read as git reads them: what they say counts, what else stands there does not.
//!
//! Source: git-fsck(1); git takes any line between the committer and the message, and so must whoever shows a commit
//! that a push brought.
//! Invariant: no commit that passes the checks of a push is unreadable here.
//! Not here: those checks (`receive`), and names with their times (`browse`).

use crate::model::ObjectId;

/// A commit's parts, borrowed from its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parts<'a> {
    pub(super) tree: ObjectId,
    pub(super) parents: Vec<ObjectId>,
    pub(super) author: &'a [u8],
    pub(super) committer: &'a [u8],
    pub(super) message: &'a [u8],
}

impl<'a> Parts<'a> {
    /// The parts of this commit; `None` if one is missing.
    pub(super) fn of(content: &'a [u8], format: gix_hash::Kind) -> Option<Self> {
        let id = |hex: &[u8]| {
            let id = ObjectId::from_hex(hex).ok()?;
            (id.kind() == format).then_some(id)
        };
        let mut rest = content;
        let tree = id(value(&mut rest, b"tree ")?)?;
        let mut parents = Vec::new();
        while let Some(parent) = value(&mut rest, b"parent ") {
            parents.push(id(parent)?);
        }
        let author = value(&mut rest, b"author ")?;
        let committer = value(&mut rest, b"committer ")?;
        while let Some(line) = rest.iter().position(|byte| *byte == b'\n') {
            let after = &rest[line + 1..];
            rest = after;
            if line == 0 {
                break;
            }
        }
        Some(Self {
            tree,
            parents,
            author,
            committer,
            message: rest,
        })
    }
}

/// The rest of the next line if it begins so.
fn value<'a>(rest: &mut &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let line = rest.strip_prefix(name)?;
    let end = line.iter().position(|byte| *byte == b'\n')?;
    *rest = &line[end + 1..];
    Some(&line[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

    #[track_caller]
    fn check(after_committer: &str, message: &str) {
        let content = format!(
            "tree {TREE}\nparent {TREE}\nparent {TREE}\nauthor A <a> 1 +0000\ncommitter C <c> 2 +0000\n{after_committer}"
        );
        let id = ObjectId::from_hex(TREE.as_bytes()).unwrap();
        let expected = Parts {
            tree: id,
            parents: vec![id, id],
            author: b"A <a> 1 +0000",
            committer: b"C <c> 2 +0000",
            message: message.as_bytes(),
        };
        let parts = Parts::of(content.as_bytes(), gix_hash::Kind::Sha1);
        assert_eq!(parts, Some(expected), "{after_committer:?}");
    }

    #[test]
    fn what_stands_before_the_message_may_be_anything() {
        check("\nmessage\n\nand more\n", "message\n\nand more\n");
        check("encoding x\n\nm", "m");
        check("gpgsig -----BEGIN\n \n x\n -----END\n\nm\n", "m\n");
        check("noSpaceInHere\n\nm\n", "m\n");
        check("\n", "");
        check("", "");
    }

    #[test]
    fn without_its_parts_it_is_no_commit() {
        for content in [
            String::new(),
            format!("tree {TREE}"),
            format!("tree {TREE}\n\nm\n"),
            format!("tree {TREE}\ncommitter C <c> 2 +0000\n\nm\n"),
            format!("tree {TREE}{TREE}\nauthor A <a> 1 +0000\ncommitter C <c> 2 +0000\n\nm\n"),
        ] {
            assert_eq!(
                Parts::of(content.as_bytes(), gix_hash::Kind::Sha1),
                None,
                "{content:?}"
            );
        }
    }
}
