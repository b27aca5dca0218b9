//! Why a plain folder can't be served, in the words that git has for it.
//!
//! Invariant: the message is what stock git says behind `fatal: ` at the same point, so that people
//! and scripts that know git's words find them here.

use std::{io, path::PathBuf};

use packhorse_protocol::ProtocolError;

use crate::git::{OpenError, ReadError, receive::ReceiveError};

/// Why a conversation about a plain folder ended badly.
#[derive(Debug, thiserror::Error)]
pub enum BareError {
    /// No repository is there, or none of the shapes that were looked for.
    #[error("'{0}' does not appear to be a git repository")]
    NotARepository(String),
    /// Somebody else owns it, and nobody said that this is fine.
    #[error(
        "detected dubious ownership in repository at '{0}'\n\
         To add an exception for this directory, call:\n\n\
         \tgit config --global --add safe.directory {0}"
    )]
    DubiousOwnership(String),
    /// The repository is of a later git.
    #[error("Expected git repo version <= 1, found {0}")]
    UnknownVersion(i64),
    /// Version 0, with an extension that only version 1 has.
    #[error("repo version is 0, but v1-only extension found:\n\t{0}")]
    ExtensionNeedsVersion1(String),
    /// An extension that nobody here knows.
    #[error("unknown repository extension found:\n\t{0}")]
    UnknownExtension(String),
    /// An extension has a value that nobody here knows.
    #[error("invalid value for 'extensions.{key}': '{value}'")]
    ExtensionValue {
        /// Which one.
        key: &'static str,
        /// What it says.
        value: String,
    },
    /// Refs are in a table and not in files.
    #[error("refs of this repository are stored as 'reftable', only 'files' can be served")]
    RefTable,
    /// The configuration can't be read.
    #[error("bad config in {place}: {reason}")]
    Config {
        /// The file, or the key.
        place: String,
        /// What is wrong.
        reason: String,
    },
    /// A file or folder can't be read or written.
    #[error("{doing} '{}': {source}", path.display())]
    Io {
        /// What was tried, such as `unable to read`.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The packs can't be opened.
    #[error("cannot open the objects: {0}")]
    Objects(#[from] OpenError),
    /// An object can't be read.
    #[error("cannot read an object: {0}")]
    Object(#[from] ReadError),
    /// Something is wrong with what was pushed, or with storing it.
    #[error("{0}")]
    Receive(#[from] ReceiveError),
    /// The refs can't be read or written.
    #[error("{0}")]
    Refs(String),
    /// The peer broke the protocol; it was told.
    #[error("{0}")]
    Protocol(#[from] ProtocolError),
    /// The peer was refused; it was told.
    #[error("{0}")]
    Refused(String),
    /// The peer is gone.
    #[error("the remote end hung up unexpectedly")]
    HungUp,
}

impl BareError {
    /// What went wrong with a path.
    pub(super) fn io(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }
}
