//! Scopes: what a credential may do at most, whatever the role of its owner.
//!
//! Source: Code Storage API (`git:read`, `git:write`, `repo:write`, `org:read`, ref policies), to
//! which our own tokens add `api` (everything the owner may do) and `admin` (server-wide).
//! Invariant: an empty set allows nothing; `git:write` includes `git:read`.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One permission a credential may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Scope {
    /// Clone, fetch and read repositories through an API.
    #[serde(rename = "git:read")]
    GitRead,
    /// Push and write commits, branches and tags through an API.
    #[serde(rename = "git:write")]
    GitWrite,
    /// Create, change and delete repositories.
    #[serde(rename = "repo:write")]
    RepoWrite,
    /// List the repositories of a namespace.
    #[serde(rename = "org:read")]
    OrgRead,
    /// Everything the owner may do, but for server-wide administration.
    #[serde(rename = "api")]
    Api,
    /// Server-wide administration; worth something only in the hands of an administrator.
    #[serde(rename = "admin")]
    Admin,
}

/// The text names no scope.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("scope {0:?} is none of git:read, git:write, repo:write, org:read, api, admin")]
pub struct UnknownScope(pub String);

impl Scope {
    /// All scopes there are.
    pub const ALL: [Self; 6] = [
        Self::GitRead,
        Self::GitWrite,
        Self::RepoWrite,
        Self::OrgRead,
        Self::Api,
        Self::Admin,
    ];

    /// The name in tokens and JWTs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GitRead => "git:read",
            Self::GitWrite => "git:write",
            Self::RepoWrite => "repo:write",
            Self::OrgRead => "org:read",
            Self::Api => "api",
            Self::Admin => "admin",
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::GitRead => 1,
            Self::GitWrite => 2,
            Self::RepoWrite => 4,
            Self::OrgRead => 8,
            Self::Api => 16,
            Self::Admin => 32,
        }
    }
}

impl FromStr for Scope {
    type Err = UnknownScope;

    fn from_str(text: &str) -> Result<Self, UnknownScope> {
        Self::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| UnknownScope(text.to_owned()))
    }
}

/// A set of scopes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(from = "Vec<Scope>", into = "Vec<Scope>")]
pub struct Scopes(u8);

impl Scopes {
    /// Nothing at all.
    pub const NONE: Self = Self(0);

    /// Every scope there is.
    pub fn all() -> Self {
        Scope::ALL.into_iter().collect()
    }

    /// Whether this set allows what `scope` stands for, be it by another scope that includes it.
    pub fn allows(self, scope: Scope) -> bool {
        let by = match scope {
            Scope::GitRead => Scope::GitRead.bit() | Scope::GitWrite.bit() | Scope::Api.bit(),
            Scope::Admin => Scope::Admin.bit(),
            other => other.bit() | Scope::Api.bit(),
        };
        self.0 & by != 0
    }

    /// The scopes in the set.
    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL
            .into_iter()
            .filter(move |scope| self.0 & scope.bit() != 0)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | scope.bit()))
    }
}

impl From<Vec<Scope>> for Scopes {
    fn from(scopes: Vec<Scope>) -> Self {
        scopes.into_iter().collect()
    }
}

impl From<Scopes> for Vec<Scope> {
    fn from(scopes: Scopes) -> Self {
        scopes.iter().collect()
    }
}

/// What a ref rule forbids or demands (Code Storage API, "Ref policies").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RefOperation {
    /// No update at all.
    NoPush,
    /// No update that is not a fast-forward, deletion included.
    NoForcePush,
    /// No unsigned new commits.
    VerifySig,
}

/// One line of a ref policy: what holds for the refs that a pattern names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefRule {
    /// A full ref, a prefix that ends in `*`, `*` alone, or a bare branch name.
    pub pattern: String,
    /// Empty: anything goes.
    pub operations: Vec<RefOperation>,
}

impl RefRule {
    /// Whether the rule speaks of this full ref name.
    pub fn matches(&self, full_name: &str) -> bool {
        if let Some(prefix) = self.pattern.strip_suffix('*') {
            return full_name.starts_with(prefix);
        }
        self.pattern == full_name
            || full_name.strip_prefix("refs/heads/") == Some(self.pattern.as_str())
    }
}

/// An ordered list of ref rules; the first that matches decides, and no match allows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RefPolicy(pub Vec<RefRule>);

impl RefPolicy {
    /// What holds for this full ref name.
    pub fn operations_for(&self, full_name: &str) -> &[RefOperation] {
        self.0
            .iter()
            .find(|rule| rule.matches(full_name))
            .map_or(&[], |rule| &rule.operations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_includes_read_and_api_includes_all_but_admin() {
        let of = |scopes: &[Scope]| scopes.iter().copied().collect::<Scopes>();
        assert!(of(&[Scope::GitWrite]).allows(Scope::GitRead));
        assert!(!of(&[Scope::GitRead]).allows(Scope::GitWrite));
        assert!(!of(&[Scope::RepoWrite]).allows(Scope::GitRead));
        for scope in Scope::ALL {
            assert_eq!(
                of(&[Scope::Api]).allows(scope),
                scope != Scope::Admin,
                "{scope:?}"
            );
            assert!(!Scopes::NONE.allows(scope));
            assert!(Scopes::all().allows(scope));
            assert_eq!(scope.as_str().parse(), Ok(scope));
        }
    }

    #[test]
    fn the_first_matching_rule_decides() {
        let rule = |pattern: &str, operations: &[RefOperation]| RefRule {
            pattern: pattern.to_owned(),
            operations: operations.to_vec(),
        };
        let policy = RefPolicy(vec![
            rule("main", &[RefOperation::NoForcePush]),
            rule("refs/heads/bot/*", &[]),
            rule("*", &[RefOperation::NoPush]),
        ]);
        assert_eq!(
            policy.operations_for("refs/heads/main"),
            [RefOperation::NoForcePush]
        );
        assert!(policy.operations_for("refs/heads/bot/x").is_empty());
        assert_eq!(
            policy.operations_for("refs/tags/main"),
            [RefOperation::NoPush]
        );
        assert!(
            RefPolicy::default()
                .operations_for("refs/heads/main")
                .is_empty()
        );
    }
}
