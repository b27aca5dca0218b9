//! `namespace/name`: where a repository is found, never where it lies on disk.
//!
//! Source: design of the paths in the README; the id rules follow the Code Storage API (segments of
//! `[A-Za-z0-9._-]`, none `.` or `..`, none ending in `.git`, no `+ephemeral` or `+import` suffix).
//! Bounds: [`NamespaceName::MAX_BYTES`], [`RepositoryName::MAX_BYTES`].
//! Invariant: names compare byte by byte; their lower-case form is what uniqueness is judged by.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// First segments that the router needs for itself.
pub(crate) const RESERVED_NAMESPACES: &[&str] = &[
    "api", "v1", "v2", "v3", "-", "healthz", "readyz", "metrics", "docs", "org",
];

/// Why a name can't be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("name is empty")]
    Empty,
    /// Longer than its type allows.
    #[error("name of {length} bytes, at most {max} allowed")]
    TooLong {
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A segment breaks the rules of this module.
    #[error(
        "segment {0:?} is not made of letters, digits, dots, dashes and underscores, or is reserved"
    )]
    Segment(String),
    /// A path needs a namespace and a name.
    #[error("path {0:?} is not namespace/name")]
    NotAPath(String),
}

fn check_segment(segment: &str) -> Result<(), NameError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let refused = segment.is_empty()
        || !segment.bytes().all(allowed)
        || segment.starts_with(['.', '-'])
        || segment.ends_with('.')
        || segment.to_ascii_lowercase().ends_with(".git");
    if refused {
        return Err(NameError::Segment(segment.to_owned()));
    }
    Ok(())
}

macro_rules! string_like {
    ($type:ident) => {
        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, NameError> {
                name.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

/// The first segment of a path; it is owned by a user or an organization.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NamespaceName(String);

string_like!(NamespaceName);

impl NamespaceName {
    /// Longest name, in bytes.
    pub const MAX_BYTES: usize = 100;
}

impl FromStr for NamespaceName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > Self::MAX_BYTES {
            return Err(NameError::TooLong {
                length: name.len(),
                max: Self::MAX_BYTES,
            });
        }
        check_segment(name)?;
        if RESERVED_NAMESPACES.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(NameError::Segment(name.to_owned()));
        }
        Ok(Self(name.to_owned()))
    }
}

/// What follows the namespace: one or more segments.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryName(String);

string_like!(RepositoryName);

impl RepositoryName {
    /// Longest name with all its segments, in bytes.
    pub const MAX_BYTES: usize = 255;
}

impl FromStr for RepositoryName {
    type Err = NameError;

    fn from_str(name: &str) -> Result<Self, NameError> {
        if name.is_empty() {
            return Err(NameError::Empty);
        }
        if name.len() > Self::MAX_BYTES {
            return Err(NameError::TooLong {
                length: name.len(),
                max: Self::MAX_BYTES,
            });
        }
        name.split('/').try_for_each(check_segment)?;
        Ok(Self(name.to_owned()))
    }
}

/// `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RepositoryPath {
    /// Its first segment.
    pub namespace: NamespaceName,
    /// The rest.
    pub name: RepositoryName,
}

impl FromStr for RepositoryPath {
    type Err = NameError;

    /// Parses `namespace/name` without leading slash and without `.git`.
    fn from_str(path: &str) -> Result<Self, NameError> {
        let (namespace, name) = path
            .split_once('/')
            .ok_or_else(|| NameError::NotAPath(path.to_owned()))?;
        Ok(Self {
            namespace: namespace.parse()?,
            name: name.parse()?,
        })
    }
}

impl TryFrom<String> for RepositoryPath {
    type Error = NameError;

    fn try_from(path: String) -> Result<Self, NameError> {
        path.parse()
    }
}

impl From<RepositoryPath> for String {
    fn from(path: RepositoryPath) -> Self {
        path.to_string()
    }
}

impl fmt::Display for RepositoryPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_a_namespace_and_a_possibly_nested_name() {
        let path: RepositoryPath = "acme/team/project-alpha".parse().unwrap();
        assert_eq!(path.namespace.as_str(), "acme");
        assert_eq!(path.name.as_str(), "team/project-alpha");
        assert_eq!(path.to_string(), "acme/team/project-alpha");
    }

    #[test]
    fn names_that_would_escape_or_confuse_are_refused() {
        for path in [
            "acme",
            "acme/",
            "/acme/x",
            "acme//x",
            "acme/../x",
            "acme/.",
            "acme/x.git",
            "acme/x.GIT/y",
            "api/x",
            "API/x",
            "-/x",
            "acme/-x",
            "acme/x+ephemeral",
            "acme/x y",
            "acme/x\0",
            "acme/ä",
            "acme/.hidden",
        ] {
            assert!(path.parse::<RepositoryPath>().is_err(), "path {path:?}");
        }
    }

    #[test]
    fn the_length_bounds_hold_on_both_sides() {
        assert!(
            "a".repeat(NamespaceName::MAX_BYTES)
                .parse::<NamespaceName>()
                .is_ok()
        );
        assert!(
            "a".repeat(NamespaceName::MAX_BYTES + 1)
                .parse::<NamespaceName>()
                .is_err()
        );
        assert!(
            "a".repeat(RepositoryName::MAX_BYTES)
                .parse::<RepositoryName>()
                .is_ok()
        );
        assert!(
            "a".repeat(RepositoryName::MAX_BYTES + 1)
                .parse::<RepositoryName>()
                .is_err()
        );
    }
}
