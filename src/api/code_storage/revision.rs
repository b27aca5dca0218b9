//! Names of branches as this API takes them.
//!
//! Source: Code Storage API, "Ephemeral branches": those lie in Git's namespace `ephemeral`, below
//! `refs/namespaces/ephemeral/refs/heads/`.
//! Invariant: a plain name never reaches an ephemeral branch, nor the other way round.

use super::error::Error;
use crate::model::RefName;

/// The branch of a plain name; a leading `refs/heads/` is allowed, any other `refs/` is not.
pub(super) fn branch_name(text: &str) -> Result<RefName, Error> {
    let short = text.strip_prefix("refs/heads/").unwrap_or(text);
    if short.starts_with("refs/") {
        return Err(Error::Parameter(format!("{text:?} is not a branch")));
    }
    Ok(RefName::branch(short)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_may_be_named_in_full_and_nothing_else_may() {
        let name = |text: &str| branch_name(text).map(String::from).ok();
        assert_eq!(name("a/b").as_deref(), Some("refs/heads/a/b"));
        assert_eq!(name("refs/heads/a").as_deref(), Some("refs/heads/a"));
        for text in [
            "refs/tags/v1",
            "refs/namespaces/ephemeral/refs/heads/a",
            "refs/heads/refs/heads/a",
            "",
            "a..b",
            "a b",
            "-a",
        ] {
            assert_eq!(name(text), None, "{text}");
        }
    }
}
