//! Roles on a repository and the visibility that grants one to strangers.
//!
//! Invariant: roles are ordered; the highest that any source grants is the one that counts.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What somebody is to a repository; each role includes those below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// May see, clone and fetch (20).
    Read,
    /// May push (30).
    Write,
    /// May change settings, keys and members (40).
    Admin,
    /// May delete and transfer (50).
    Owner,
}

impl Role {
    /// All roles, lowest first.
    pub const ALL: [Self; 4] = [Self::Read, Self::Write, Self::Admin, Self::Owner];

    /// The number that rules and APIs know this role by.
    pub fn level(self) -> u8 {
        match self {
            Self::Read => 20,
            Self::Write => 30,
            Self::Admin => 40,
            Self::Owner => 50,
        }
    }
}

/// Who may read without being a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Visibility {
    /// Members only.
    #[default]
    Private,
    /// Every signed-in user.
    Internal,
    /// Everybody.
    Public,
}

/// The text names no visibility.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("visibility {0:?} is none of private, internal, public")]
pub struct UnknownVisibility(pub String);

impl FromStr for Visibility {
    type Err = UnknownVisibility;

    fn from_str(text: &str) -> Result<Self, UnknownVisibility> {
        match text {
            "private" => Ok(Self::Private),
            "internal" => Ok(Self::Internal),
            "public" => Ok(Self::Public),
            other => Err(UnknownVisibility(other.to_owned())),
        }
    }
}
