//! The hash function that names a repository's objects.
//!
//! Source: git's `extensions.objectFormat`; the two names are those of gitformat-pack(5).
//! Invariant: a repository never mixes formats, so every id's length follows from this value.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// Which hash names the objects of a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectFormat {
    /// SHA-1, 20 bytes, hashed with collision detection.
    #[default]
    Sha1,
    /// SHA-256, 32 bytes.
    Sha256,
}

/// The name is neither `sha1` nor `sha256`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("object format {0:?} is neither sha1 nor sha256")]
pub struct UnknownObjectFormat(pub String);

impl ObjectFormat {
    /// The same thing in the words of the gix crates.
    pub fn kind(self) -> gix_hash::Kind {
        match self {
            Self::Sha1 => gix_hash::Kind::Sha1,
            Self::Sha256 => gix_hash::Kind::Sha256,
        }
    }

    /// The name git gives it, as in `object-format=sha1`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
        }
    }
}

impl fmt::Display for ObjectFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ObjectFormat {
    type Err = UnknownObjectFormat;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "sha1" => Ok(Self::Sha1),
            "sha256" => Ok(Self::Sha256),
            other => Err(UnknownObjectFormat(other.to_owned())),
        }
    }
}
