//! Which repository or namespace a request is about.
//!
//! Invariant: a JWT reaches what its `repo` claim names and nothing that a parameter names.

use super::error::Error;
use crate::{
    api::query::Query,
    model::{Caller, NamespaceName, Principal, RepositoryLimit, RepositoryPath},
    policy::Denied,
};

/// The repository that the JWT names, or for another credential the parameter `repo`.
pub(super) fn repository(caller: &Caller, query: &Query) -> Result<RepositoryPath, Error> {
    match (&caller.principal, &caller.grant.repositories) {
        (Principal::Issuer { namespace, .. }, RepositoryLimit::Named(name)) => Ok(RepositoryPath {
            namespace: namespace.clone(),
            name: name.clone(),
        }),
        (Principal::Issuer { .. }, _) => Err(Denied::OutsideGrant.into()),
        (Principal::Anonymous, _) if query.one("repo")?.is_none() => {
            Err(Denied::Unauthenticated.into())
        }
        _ => Ok(query.required("repo")?.parse()?),
    }
}

/// The namespace that issued the JWT, or for another credential the parameter `namespace`.
pub(super) fn namespace(caller: &Caller, query: &Query) -> Result<NamespaceName, Error> {
    match &caller.principal {
        Principal::Issuer { namespace, .. } => Ok(namespace.clone()),
        Principal::Anonymous => Err(Denied::Unauthenticated.into()),
        _ => Ok(query.required("namespace")?.parse()?),
    }
}

/// What this caller calls the repository: the issuer of a JWT knows it by its name alone.
pub(super) fn id_for(caller: &Caller, path: &RepositoryPath) -> String {
    match caller.principal {
        Principal::Issuer { .. } => path.name.to_string(),
        _ => path.to_string(),
    }
}
