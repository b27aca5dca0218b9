//! Branches and other revisions as this API names them.
//!
//! Invariant: a plain name never reaches an ephemeral branch, nor the other way round.

use super::error::Error;
use crate::{
    api::query::Query,
    hosting::Contents,
    model::{BranchName, ObjectId, RefName},
};

/// Longest path that is looked up, in bytes.
const PATH_BYTES_MAX: usize = 4096;

/// A branch's short name; a leading `refs/heads/` is allowed, any other `refs/` is not.
fn short_name(text: &str) -> Result<&str, Error> {
    let short = text.strip_prefix("refs/heads/").unwrap_or(text);
    match short.starts_with("refs/") {
        true => Err(Error::Parameter(format!("{text:?} is not a branch"))),
        false => Ok(short),
    }
}

/// The plain branch of this name.
pub(super) fn branch_name(text: &str) -> Result<RefName, Error> {
    Ok(RefName::branch(short_name(text)?)?)
}

/// The branch of this name, among the ephemeral ones if they are meant.
pub(super) fn branch(text: &str, ephemeral: bool) -> Result<BranchName, Error> {
    Ok(BranchName::new(short_name(text)?, ephemeral)?)
}

/// The short name of the default branch.
pub(super) fn default_name(contents: &Contents) -> &str {
    let branch = contents.default_branch();
    branch.as_branch().unwrap_or(branch.as_str())
}

/// A branch that a request names, understood but not looked up.
#[derive(Debug, Clone)]
pub(super) struct AskedBranch {
    /// As the client wrote it; `None` for the default branch.
    name: Option<String>,
    ephemeral: bool,
}

impl AskedBranch {
    /// Reads `branch` and `ephemeral`.
    pub(super) fn of(query: &Query) -> Result<Self, Error> {
        Self::read(query, "branch", "ephemeral")
    }

    /// Reads a name and a switch from these parameters.
    pub(super) fn read(
        query: &Query,
        name: &'static str,
        ephemeral: &'static str,
    ) -> Result<Self, Error> {
        let name = query.one(name)?.map(str::to_owned);
        if let Some(name) = &name {
            branch_name(name)?;
        }
        Ok(Self {
            name,
            ephemeral: query.switch(ephemeral)?.unwrap_or_default(),
        })
    }

    /// The commit that it names, and the name of it as asked for.
    pub(super) fn named(&self, contents: &mut Contents) -> Result<(ObjectId, String), Error> {
        let found = match self.tip(contents)? {
            Some(tip) => contents.commit_of(tip)?,
            None => None,
        };
        let name = self.name.as_deref().unwrap_or(default_name(contents));
        match found {
            Some(commit) => Ok((commit, name.to_owned())),
            None => Err(Error::NotFound(format!("branch {name} does not exist"))),
        }
    }

    /// Its tip; `None` when nothing was named and there is nothing at all.
    pub(super) fn tip(&self, contents: &Contents) -> Result<Option<ObjectId>, Error> {
        if self.name.is_none() && contents.is_empty() {
            return Ok(None);
        }
        let name = self.name.as_deref().unwrap_or(default_name(contents));
        match contents.tip(branch(name, self.ephemeral)?.stored()) {
            Some(tip) => Ok(Some(tip)),
            None => Err(Error::NotFound(format!("branch {name} does not exist"))),
        }
    }
}

/// A revision that a request names, understood but not looked up.
#[derive(Debug, Clone)]
pub(super) struct AskedRevision {
    name: Option<String>,
    ephemeral: bool,
}

impl AskedRevision {
    /// Reads `ref` and `ephemeral`; `ephemeral_base` must make sense but means nothing where only
    /// one revision is named.
    pub(super) fn of(query: &Query) -> Result<Self, Error> {
        query.switch("ephemeral_base")?;
        Ok(Self {
            name: query.one("ref")?.map(str::to_owned),
            ephemeral: query.switch("ephemeral")?.unwrap_or_default(),
        })
    }

    /// A revision that a body names; an empty name counts as absent.
    pub(super) fn new(name: Option<String>, ephemeral: bool) -> Self {
        Self {
            name: name.filter(|name| !name.is_empty()),
            ephemeral,
        }
    }

    /// The commit it stands for, and how it was asked for.
    pub(super) fn find_commit(&self, contents: &mut Contents) -> Result<(ObjectId, String), Error> {
        let (id, name) = self.find(contents)?;
        match contents.commit_of(id)? {
            Some(commit) => Ok((commit, name)),
            None => Err(Error::NotFound(format!("reference {name} names no commit"))),
        }
    }

    /// What it stands for, and how it was asked for: the default branch's name if it was not.
    pub(super) fn find(&self, contents: &Contents) -> Result<(ObjectId, String), Error> {
        let name = self.name.as_deref().unwrap_or(default_name(contents));
        let found = match self.ephemeral {
            true => contents.tip(branch(name, true)?.stored()),
            false => contents.revision(name)?,
        };
        match found {
            Some(id) => Ok((id, name.to_owned())),
            None => Err(Error::NotFound(format!("reference {name} does not exist"))),
        }
    }
}

/// A path in a tree as a client writes it; leading slashes mean nothing.
pub(super) fn tree_path(text: &str) -> Result<String, Error> {
    let path = text.trim_start_matches('/');
    let odd = |segment: &str| segment.is_empty() || segment == "." || segment == "..";
    if path.len() > PATH_BYTES_MAX || path.contains('\0') || path.split('/').any(odd) {
        return Err(Error::Parameter(format!("path {text:?} is not valid")));
    }
    Ok(path.to_owned())
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

    #[test]
    fn an_ephemeral_branch_lies_in_its_namespace() {
        let branch = branch("refs/heads/a/b", true).unwrap();
        assert_eq!(
            branch.stored().as_str(),
            "refs/namespaces/ephemeral/refs/heads/a/b"
        );
    }

    #[test]
    fn paths_that_name_no_file_are_refused() {
        let path = |text: &str| tree_path(text).ok();
        assert_eq!(path("//src/a b").as_deref(), Some("src/a b"));
        let longest = "a".repeat(PATH_BYTES_MAX);
        assert!(path(&longest).is_some());
        for text in ["", "/", "a/", "a//b", "./a", "a/../b", "..", "a\0b"] {
            assert_eq!(path(text), None, "{text:?}");
        }
        assert_eq!(path(&format!("{longest}a")), None);
    }
}
