//! Full names of refs, as git-check-ref-format(1) allows them and a little stricter.
//!
//! Source: git-check-ref-format(1) rules 1 to 10; the extra rules guard against names that hurt
//! other programs: a last segment that reads as an object id, or one that reads as an option.
//! Bounds: [`RefName::MAX_BYTES`].
//! Invariant: a `RefName` is `HEAD`-free, begins with `refs/`, is UTF-8 and holds no control bytes.
//! Not here: which refs exist (`store`) and who may see or move them (`policy`).

use std::{borrow::Borrow, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A full ref name such as `refs/heads/main`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RefName(String);

/// Why a name can't be a ref.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefNameError {
    /// Longer than [`RefName::MAX_BYTES`].
    #[error("ref name of {0} bytes, at most {max} allowed", max = RefName::MAX_BYTES)]
    TooLong(usize),
    /// Ref names are UTF-8 here, since JSON must be able to carry them.
    #[error("ref name is not UTF-8")]
    NotUtf8,
    /// Everything we store lies below `refs/`.
    #[error("ref name {0:?} does not begin with refs/")]
    NotBelowRefs(String),
    /// git-check-ref-format(1) refuses it, or it would be mistaken for something else.
    #[error("ref name {name:?} {reason}")]
    Malformed {
        /// The name as it came.
        name: String,
        /// Which rule it breaks, to be read after the name.
        reason: &'static str,
    },
}

impl RefName {
    /// Longest name, in bytes; a file system behind a clone takes no longer one either.
    pub const MAX_BYTES: usize = 1024;

    /// What lies below this is of Git's namespace `ephemeral` (gitnamespaces(7)).
    pub const EPHEMERAL: &str = "refs/namespaces/ephemeral/";

    /// Parses a full name from the wire.
    ///
    /// # Errors
    /// When the bytes are not UTF-8 or the name breaks a rule of this module.
    pub fn from_bytes(name: &[u8]) -> Result<Self, RefNameError> {
        std::str::from_utf8(name)
            .map_err(|_| RefNameError::NotUtf8)?
            .parse()
    }

    /// The branch of this short name: `main` is `refs/heads/main`.
    ///
    /// # Errors
    /// When the name breaks a rule of this module.
    pub fn branch(short: &str) -> Result<Self, RefNameError> {
        format!("refs/heads/{short}").parse()
    }

    /// The tag of this short name: `v1` is `refs/tags/v1`.
    ///
    /// # Errors
    /// When the name breaks a rule of this module.
    pub fn tag(short: &str) -> Result<Self, RefNameError> {
        format!("refs/tags/{short}").parse()
    }

    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name it has inside its namespace: `refs/heads/x` for an ephemeral branch, its own for a ref of
    /// no namespace. Rules about names speak of this one.
    pub fn local(&self) -> &str {
        self.0.strip_prefix(Self::EPHEMERAL).unwrap_or(&self.0)
    }

    /// The ref of this name in the namespace `ephemeral`.
    ///
    /// # Errors
    /// When the name gets too long by it.
    pub fn ephemeral(&self) -> Result<Self, RefNameError> {
        format!("{}{}", Self::EPHEMERAL, self.0).parse()
    }

    /// Whether this is a branch, be it an ephemeral one.
    pub fn is_branch(&self) -> bool {
        self.local().starts_with("refs/heads/")
    }

    /// The short name if this is a branch of no namespace.
    pub fn as_branch(&self) -> Option<&str> {
        self.0.strip_prefix("refs/heads/")
    }

    /// The short name if this is a tag.
    pub fn as_tag(&self) -> Option<&str> {
        self.0.strip_prefix("refs/tags/")
    }
}

/// The first of git's rules for names with a slash that `name` breaks, as the end of a sentence.
pub(crate) fn broken_rule_of_git(name: &[u8]) -> Option<&'static str> {
    let forbidden = |byte: &u8| {
        *byte < 0x20
            || *byte == 0x7f
            || matches!(byte, b' ' | b'~' | b'^' | b':' | b'?' | b'*' | b'[' | b'\\')
    };
    let contains = |pair: &[u8; 2]| name.windows(2).any(|bytes| bytes == pair);
    if name.iter().any(forbidden) {
        return Some("holds a byte that no ref name may hold");
    }
    if contains(b"..") {
        return Some("holds two dots in a row");
    }
    if contains(b"@{") {
        return Some("holds @{");
    }
    if name.ends_with(b".") {
        return Some("ends with a dot");
    }
    for segment in name.split(|byte| *byte == b'/') {
        if segment.is_empty() {
            return Some("has an empty segment");
        }
        if segment.starts_with(b".") {
            return Some("has a segment that begins with a dot");
        }
        if segment.ends_with(b".lock") {
            return Some("has a segment that ends with .lock");
        }
    }
    None
}

/// The first rule that `name` breaks, git's or ours, as the end of a sentence.
fn broken_rule(name: &str) -> Option<&'static str> {
    if let Some(rule) = broken_rule_of_git(name.as_bytes()) {
        return Some(rule);
    }
    if name.split('/').any(|segment| segment.starts_with('-')) {
        return Some("has a segment that reads as an option");
    }
    let short = name
        .strip_prefix("refs/heads/")
        .or_else(|| name.strip_prefix("refs/tags/"));
    if let Some(short) = short {
        if matches!(short.len(), 40 | 64) && short.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Some("reads as an object id");
        }
        if short == "HEAD" || short == "@" {
            return Some("reads as HEAD");
        }
    }
    None
}

impl FromStr for RefName {
    type Err = RefNameError;

    fn from_str(name: &str) -> Result<Self, RefNameError> {
        if name.len() > Self::MAX_BYTES {
            return Err(RefNameError::TooLong(name.len()));
        }
        if !name.starts_with("refs/") {
            return Err(RefNameError::NotBelowRefs(name.to_owned()));
        }
        match broken_rule(name) {
            Some(reason) => Err(RefNameError::Malformed {
                name: name.to_owned(),
                reason,
            }),
            None => Ok(Self(name.to_owned())),
        }
    }
}

impl TryFrom<String> for RefName {
    type Error = RefNameError;

    fn try_from(name: String) -> Result<Self, RefNameError> {
        name.parse()
    }
}

impl From<RefName> for String {
    fn from(name: RefName) -> Self {
        name.0
    }
}

impl Borrow<str> for RefName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RefName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, allowed: bool) {
        assert_eq!(
            name.parse::<RefName>().is_ok(),
            allowed,
            "ref name {name:?}"
        );
    }

    #[test]
    fn names_that_git_takes_are_taken() {
        for name in [
            "refs/heads/main",
            "refs/heads/feature/ä-ö",
            "refs/tags/v1.0.0",
            "refs/pull/12/head",
            "refs/notes/commits",
            "refs/heads/a@b",
            "refs/stash",
        ] {
            check(name, true);
        }
    }

    #[test]
    fn names_that_git_or_we_refuse_are_refused() {
        for name in [
            "HEAD",
            "refs/",
            "refs/heads/",
            "refs/heads//a",
            "refs/heads/a..b",
            "refs/heads/a.lock",
            "refs/heads/a.lock/b",
            "refs/heads/.a",
            "refs/heads/a.",
            "refs/heads/a b",
            "refs/heads/a\u{7f}",
            "refs/heads/a\nb",
            "refs/heads/a@{1}",
            "refs/heads/a\\b",
            "refs/heads/a*",
            "refs/heads/HEAD",
            "refs/heads/-rf",
            "refs/heads/0123456789012345678901234567890123456789",
            "refs/../../etc/passwd",
        ] {
            check(name, false);
        }
        assert_eq!(
            RefName::from_bytes(b"refs/heads/\xff"),
            Err(RefNameError::NotUtf8)
        );
    }

    #[test]
    fn an_ephemeral_ref_has_the_name_of_a_plain_one_inside() {
        let plain: RefName = "refs/heads/x".parse().unwrap();
        let ephemeral = plain.ephemeral().unwrap();
        assert_eq!(ephemeral.as_str(), "refs/namespaces/ephemeral/refs/heads/x");
        assert_eq!(
            (plain.local(), ephemeral.local()),
            ("refs/heads/x", "refs/heads/x")
        );
        assert!(plain.is_branch() && ephemeral.is_branch());
        assert_eq!(
            (plain.as_branch(), ephemeral.as_branch()),
            (Some("x"), None)
        );
        let longest: RefName = format!("refs/heads/{}", "a".repeat(RefName::MAX_BYTES - 11))
            .parse()
            .unwrap();
        assert!(longest.ephemeral().is_err());
    }

    #[test]
    fn the_length_bound_holds_on_both_sides() {
        let longest = format!("refs/heads/{}", "a".repeat(RefName::MAX_BYTES - 11));
        check(&longest, true);
        check(&format!("{longest}a"), false);
    }
}
