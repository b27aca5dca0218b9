//! From the path in a Git URL to the repository it names, and which of its remotes.
//!
//! Source: Code Storage API: with a JWT of issuer `O` the path `R` means `O/R`.
//! Invariant: a path is taken as it stands or not at all; nothing like `..` or `~` is resolved.

use super::remote::Remote;
use crate::model::{Caller, Principal, RepositoryLimit, RepositoryPath};

/// The repository that `path` names for this caller; `None` if it can't be the name of any.
///
/// A leading slash, one trailing slash and a trailing `.git` are dropped, and the suffix that says
/// which remote: a JWT for `R` opens all remotes of `R`.
pub(super) fn repository_path(caller: &Caller, path: &str) -> Option<(RepositoryPath, Remote)> {
    let path = path.strip_prefix('/').unwrap_or(path);
    let path = path.strip_suffix('/').unwrap_or(path);
    let path = path.strip_suffix(".git").unwrap_or(path);
    let (path, remote) = Remote::of(path);
    let path = named(caller, path)?;
    Some((path, remote))
}

fn named(caller: &Caller, path: &str) -> Option<RepositoryPath> {
    let Principal::Issuer { namespace, .. } = &caller.principal else {
        return path.parse().ok();
    };
    let whole: Option<RepositoryPath> = path.parse().ok();
    let below = path.parse().ok().map(|name| RepositoryPath {
        namespace: namespace.clone(),
        name,
    });
    // `O/R` may be meant whole or as a repository `O/R` below O; the `repo` claim tells which.
    let claimed = |candidate: &RepositoryPath| match &caller.grant.repositories {
        RepositoryLimit::Named(name) => {
            candidate.namespace == *namespace && candidate.name == *name
        }
        _ => candidate.namespace == *namespace,
    };
    match (whole, below) {
        (Some(whole), _) if claimed(&whole) => Some(whole),
        (_, below) => below,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{CredentialUsed, Grant, RefPolicy, Scopes};

    fn issuer(repository: &str) -> Caller {
        Caller {
            principal: Principal::Issuer {
                namespace_id: 1,
                namespace: "acme".parse().unwrap(),
                subject: String::new(),
            },
            grant: Grant {
                scopes: Scopes::all(),
                repositories: RepositoryLimit::Named(repository.parse().unwrap()),
                refs: RefPolicy::default(),
            },
            credential: CredentialUsed::Jwt(String::new()),
            address: None,
        }
    }

    #[track_caller]
    fn check(caller: &Caller, path: &str, expected: Option<&str>) {
        let found = repository_path(caller, path).map(|(path, _)| path.to_string());
        assert_eq!(found.as_deref(), expected, "path {path:?}");
    }

    #[test]
    fn slashes_and_the_suffix_do_not_matter() {
        let anybody = Caller::anonymous(None);
        for path in ["a/b", "/a/b", "/a/b.git", "a/b.git", "/a/b/", "/a/b.git/"] {
            check(&anybody, path, Some("a/b"));
        }
        check(&anybody, "/a/b/c.git", Some("a/b/c"));
        for path in [
            "",
            "/",
            "a",
            "/a.git",
            "a//b",
            "../a/b",
            "a/../b",
            "~a/b",
            "//a/b",
            "a/b.git.git",
        ] {
            check(&anybody, path, None);
        }
    }

    #[test]
    fn a_jwt_may_leave_its_namespace_out() {
        let caller = issuer("team/alpha");
        check(&caller, "/team/alpha.git", Some("acme/team/alpha"));
        check(&caller, "/acme/team/alpha.git", Some("acme/team/alpha"));
        check(&caller, "/other.git", Some("acme/other"));
        check(&issuer("acme/x"), "/acme/x.git", Some("acme/acme/x"));
        check(&issuer("x"), "/acme/x.git", Some("acme/x"));
        check(&issuer("x"), "/x+ephemeral.git", Some("acme/x"));
        check(&issuer("x"), "/acme/x+import.git", Some("acme/x"));
    }
}
