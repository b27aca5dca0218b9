//! Branches of either kind: plain ones, and those in Git's namespace `ephemeral`.
//!
//! Source: the Code Storage API, "Ephemeral branches".
//! Invariant: a plain name never reaches an ephemeral branch, nor the other way round.

use std::fmt;

use super::{RefName, RefNameError};

/// A branch, plain or ephemeral.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BranchName(RefName);

impl BranchName {
    /// The branch of this short name.
    ///
    /// # Errors
    /// When no branch can have the name.
    pub fn new(short: &str, ephemeral: bool) -> Result<Self, RefNameError> {
        let plain = RefName::branch(short)?;
        Ok(Self(match ephemeral {
            true => plain.ephemeral()?,
            false => plain,
        }))
    }

    /// The short name.
    pub fn short(&self) -> &str {
        let local = self.0.local();
        local.strip_prefix("refs/heads/").unwrap_or(local)
    }

    /// The ref under which the store has it.
    pub fn stored(&self) -> &RefName {
        &self.0
    }

    /// Which kind it is of.
    pub fn is_ephemeral(&self) -> bool {
        self.0.local() != self.0.as_str()
    }
}

impl fmt::Display for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.short())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_has_one_place_of_either_kind() {
        let plain = BranchName::new("a/b", false).unwrap();
        let ephemeral = BranchName::new("a/b", true).unwrap();
        assert_eq!(plain.stored().as_str(), "refs/heads/a/b");
        let stored = ephemeral.stored().as_str();
        assert_eq!(stored, "refs/namespaces/ephemeral/refs/heads/a/b");
        assert_eq!((plain.short(), ephemeral.short()), ("a/b", "a/b"));
        let longest = "a".repeat(RefName::MAX_BYTES - "refs/heads/".len());
        assert!(BranchName::new(&longest, false).is_ok());
        assert!(BranchName::new(&longest, true).is_err());
    }
}
