//! Whether an object is what its kind says, and which others it names.
//!
//! Source: git-fsck(1), "FSCK MESSAGES"; gitformat-pack(5) has nothing on the objects themselves, so
//! the judge of the details is `git index-pack --strict`.
//! Bounds: trees of at most [`Limits::tree_entries`](super::Limits::tree_entries); [`Notices::MAX`],
//! one for each kind of fault of an object; the rest is bounded by the object, which the caller holds.
//! Invariant: an object that passes names all its links to [`Links`], unless the tree it was built
//! on has the very same entry.
//! Not here: whether the objects named exist (`references`).

mod commit;
mod config;
mod gitmodules;
mod message;
mod names;
mod notices;
mod strictness;
mod tree;

use std::io::{self, BufRead};

use gix_hash::ObjectId;
use gix_object::Kind;

pub(super) use message::Fault;
pub use message::{Message, Problem};
pub(in crate::git) use names::is_dotgit;
pub use notices::Notices;
pub use strictness::{Severity, Strictness, StrictnessError};

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

/// The rules for all objects of a pack, and what there is to say about those that passed.
#[derive(Debug)]
pub(super) struct Rules {
    format: gix_hash::Kind,
    strictness: Strictness,
    tree_entries: usize,
    notices: Notices,
    /// The object at hand.
    object: ObjectId,
    /// Its faults that were told, one bit for each.
    told: u64,
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
    pub(super) fn new(format: gix_hash::Kind, strictness: Strictness, tree_entries: usize) -> Self {
        Self {
            format,
            strictness,
            tree_entries,
            notices: Notices::default(),
            object: ObjectId::null(format),
            told: 0,
        }
    }

    /// Most entries of a tree.
    pub(super) fn tree_entries(&self) -> usize {
        self.tree_entries
    }

    /// What was found and refused nothing.
    pub(super) fn into_notices(self) -> Notices {
        self.notices
    }

    /// Says which object is checked next.
    pub(super) fn begin(&mut self, object: ObjectId) {
        self.object = object;
        self.told = 0;
    }

    /// Checks a commit, tree or tag; a blob has no syntax. `base` is the object it was built on,
    /// checked before.
    pub(super) fn check(
        &mut self,
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
        &mut self,
        special: Special,
        content: &mut dyn BufRead,
    ) -> io::Result<Result<(), Fault>> {
        match special {
            Special::Gitmodules => {
                let mut text = Vec::new();
                content.read_to_end(&mut text)?;
                Ok(gitmodules::check(&text).or_else(|fault| self.raise(fault.message, fault.text)))
            }
            Special::Gitattributes if has_long_line(content)? => Ok(self.raise(
                Message::GitattributesLineLength,
                ".gitattributes has too long lines to parse",
            )),
            Special::Gitattributes => Ok(Ok(())),
        }
    }

    /// Refuses the object for this fault unless that is tolerated; tells it once where it is.
    pub(super) fn raise(&mut self, message: Message, text: impl Into<String>) -> Result<(), Fault> {
        match self.strictness.of(message, &self.object) {
            Severity::Ignore => {}
            Severity::Warn if self.told & strictness::bit(message) != 0 => {}
            Severity::Warn => {
                self.told |= strictness::bit(message);
                let problem = Fault::new(message, text).of(self.object);
                self.notices.add(problem);
            }
            Severity::Error => return Err(Fault::new(message, text)),
        }
        Ok(())
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
