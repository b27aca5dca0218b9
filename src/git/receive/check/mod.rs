//! Whether an object is what its kind says, and which others it names.
//!
//! Source: git-fsck(1), "FSCK MESSAGES"; gitformat-pack(5) has nothing on the objects themselves, so
//! the judge of the details is `git index-pack --strict`.
//! Bounds: trees of at most [`Limits::tree_entries`](super::Limits::tree_entries); the rest is
//! bounded by the object, which the caller holds.
//! Invariant: an object that passes names all its links to [`Links`], unless the tree it was built
//! on has the very same entry.
//! Not here: whether the objects named exist (`references`).

mod commit;
mod config;
mod gitmodules;
mod message;
mod names;
mod tree;

use std::io::{self, BufRead};

use gix_hash::ObjectId;
use gix_object::Kind;

pub(super) use message::Fault;
pub use message::{Message, NotTolerable, Problem, Tolerated};

/// Most bytes of a `.gitmodules` blob that are read; a larger one is refused.
pub(super) const GITMODULES_BYTES: u64 = 4 << 20;
/// Most bytes of a `.gitattributes` blob, as git itself has it.
pub(super) const GITATTRIBUTES_BYTES: u64 = 100 << 20;
/// Lines of a `.gitattributes` blob must be shorter, as git itself has it.
const GITATTRIBUTES_LINE_BYTES: usize = 2048;

/// What a blob's name in a tree makes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Special {
    Gitmodules,
    Gitattributes,
}

/// Takes what an object names.
pub(super) trait Links {
    /// It names `id`, which must be of this kind.
    fn link(&mut self, id: ObjectId, kind: Kind);
    /// It gives the blob `id` a name with a meaning.
    fn special(&mut self, id: ObjectId, special: Special);
}

/// The rules that are the same for all objects of a pack.
#[derive(Debug, Clone)]
pub(super) struct Rules {
    pub(super) format: gix_hash::Kind,
    pub(super) tolerated: Tolerated,
    pub(super) tree_entries: usize,
}

/// Why an object does not pass.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Fault(Fault),
    TooManyEntries,
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl Rules {
    /// Checks a commit, tree or tag; a blob has no syntax. `base` is the object it was built on,
    /// checked before.
    pub(super) fn check(
        &self,
        kind: Kind,
        content: &[u8],
        base: Option<&[u8]>,
        links: &mut impl Links,
    ) -> Result<(), Refusal> {
        match kind {
            Kind::Blob => Ok(()),
            Kind::Tree => self.tree(content, base, links),
            Kind::Commit => Ok(self.commit(content, links)?),
            Kind::Tag => Ok(self.tag(content, links)?),
        }
    }

    /// Checks a blob for the name it has somewhere; the outer error is that of reading it.
    pub(super) fn check_special(
        &self,
        special: Special,
        content: &mut dyn BufRead,
    ) -> io::Result<Result<(), Fault>> {
        match special {
            Special::Gitmodules => {
                let mut text = Vec::new();
                content.read_to_end(&mut text)?;
                Ok(gitmodules::check(&text))
            }
            Special::Gitattributes if has_long_line(content)? => Ok(self.raise(
                Message::GitattributesLineLength,
                "a line of .gitattributes is too long",
            )),
            Special::Gitattributes => Ok(Ok(())),
        }
    }

    /// Refuses the object for this fault unless that is tolerated.
    fn raise(&self, message: Message, text: impl Into<String>) -> Result<(), Fault> {
        if self.tolerated.contains(message) {
            return Ok(());
        }
        Err(Fault::new(message, text))
    }
}

/// Whether a line has [`GITATTRIBUTES_LINE_BYTES`] or more; a NUL ends the text, as it does for git.
fn has_long_line(content: &mut dyn BufRead) -> io::Result<bool> {
    let mut length = 0;
    loop {
        let piece = content.fill_buf()?;
        if piece.is_empty() {
            return Ok(false);
        }
        for byte in piece {
            match byte {
                0 => return Ok(false),
                b'\n' => length = 0,
                _ => length += 1,
            }
            if length >= GITATTRIBUTES_LINE_BYTES {
                return Ok(true);
            }
        }
        let read = piece.len();
        content.consume(read);
    }
}
