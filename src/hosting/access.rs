//! The facts that policy judges by, read from a snapshot or from the transaction under way.
//!
//! Invariant: what [`confirm`] returns was judged by rows of the transaction it was given.

use crate::{
    auth,
    model::{Caller, CredentialUsed, Principal, RepositoryPath, Role},
    policy::{
        self, Action, Authorized, CreateRepository, Denied, DeployKeyFacts, NamespaceFacts,
        NewRepositoryFacts, RepositoryAction, RepositoryFacts,
    },
    store::{
        Reads, StoreError, deploy_keys, issuers,
        memberships::{self, MemberOf, Subject},
        namespaces::{self, NamespaceOwner, NamespaceRow},
        repositories::{self, RepositoryRow},
        ssh_keys::{self, KeyHolder},
        tokens,
    },
};

use super::HostingError;

/// Who of those that can be members the caller is.
pub(super) fn subject(caller: &Caller) -> Option<Subject> {
    match caller.principal {
        Principal::User { id, .. } => Some(Subject::User(id)),
        Principal::Robot { id, .. } => Some(Subject::Robot(id)),
        Principal::Anonymous | Principal::DeployKey { .. } | Principal::Issuer { .. } => None,
    }
}

fn role_in_namespace(
    from: &impl Reads,
    caller: &Caller,
    namespace: &NamespaceRow,
) -> Result<Option<Role>, StoreError> {
    let Some(subject) = subject(caller) else {
        return Ok(None);
    };
    if let (NamespaceOwner::User(owner), Subject::User(id)) = (namespace.owner, subject)
        && owner == id
    {
        return Ok(Some(Role::Owner));
    }
    memberships::role(from, subject, MemberOf::Namespace(namespace.id))
}

pub(super) fn namespace_facts(
    from: &impl Reads,
    caller: &Caller,
    row: &NamespaceRow,
) -> Result<NamespaceFacts, StoreError> {
    Ok(NamespaceFacts {
        id: row.id,
        name: row.name.clone(),
        member: role_in_namespace(from, caller, row)?,
    })
}

pub(super) fn repository_facts(
    from: &impl Reads,
    caller: &Caller,
    row: &RepositoryRow,
) -> Result<RepositoryFacts, StoreError> {
    let namespace = namespaces::by_id(from, row.namespace_id)?.ok_or_else(|| {
        StoreError::Inconsistent(format!("repository {} has no namespace", row.id))
    })?;
    let direct = match subject(caller) {
        Some(subject) => memberships::role(from, subject, MemberOf::Repository(row.id))?,
        None => None,
    };
    let deploy_key = match caller.principal {
        Principal::DeployKey { id, .. } => deploy_keys::grant_of(from, id, row.id)?,
        _ => None,
    };
    Ok(RepositoryFacts {
        id: row.id,
        namespace_id: row.namespace_id,
        member: direct.max(role_in_namespace(from, caller, &namespace)?),
        path: RepositoryPath {
            namespace: namespace.name,
            name: row.name.clone(),
        },
        visibility: row.visibility,
        default_branch: row.default_branch.clone(),
        deploy_key: deploy_key.map(|grant| DeployKeyFacts {
            may_write: grant.may_write,
            refs: grant.refs,
        }),
    })
}

/// The caller as it is now: its credential still stands, and its account is as it was or less.
///
/// Expiry is not looked at again: whoever began in time may end.
fn still_standing(from: &impl Reads, caller: &Caller) -> Result<Option<Caller>, HostingError> {
    let stands = match &caller.credential {
        CredentialUsed::None | CredentialUsed::Password => true,
        CredentialUsed::Token(id) => tokens::by_id(from, *id)?.is_some(),
        CredentialUsed::SshKey(fingerprint) => match ssh_keys::holder(from, fingerprint)? {
            Some(KeyHolder::Account(id)) => {
                let owner = ssh_keys::by_id(from, id)?.map(|row| row.owner);
                owner.is_some() && owner == subject(caller)
            }
            Some(KeyHolder::Deploy(found)) => {
                matches!(caller.principal, Principal::DeployKey { id, .. } if id == found)
            }
            None => false,
        },
        CredentialUsed::Jwt(key) => match (&caller.principal, key.parse()) {
            (Principal::Issuer { namespace_id, .. }, Ok(key)) => {
                issuers::find(from, *namespace_id, key)?.is_some()
            }
            _ => false,
        },
    };
    if !stands {
        return Ok(None);
    }
    let Some(subject) = subject(caller) else {
        return Ok(Some(caller.clone()));
    };
    match auth::principal_of(from, subject) {
        Ok(principal) => Ok(Some(Caller {
            principal,
            ..caller.clone()
        })),
        Err(auth::AuthError::Unavailable(failed)) => Err(failed.into()),
        Err(_) => Ok(None),
    }
}

fn standing(from: &impl Reads, caller: &Caller) -> Result<Caller, HostingError> {
    let standing = still_standing(from, caller)?;
    standing.ok_or(HostingError::Denied(Denied::Unauthenticated))
}

/// Judges again by the rows as they are now, for an action on a repository.
pub(super) fn confirm<A: RepositoryAction>(
    from: &impl Reads,
    authorized: &Authorized<A>,
) -> Result<(Authorized<A>, RepositoryRow), HostingError> {
    let caller = standing(from, authorized.caller())?;
    let row = repositories::by_id(from, authorized.target().id)?.ok_or(Denied::NotVisible)?;
    let facts = repository_facts(from, &caller, &row)?;
    Ok((policy::authorize(&caller, &facts)?, row))
}

/// Judges again by the rows as they are now, for an action on a namespace.
pub(super) fn confirm_on_namespace<A: Action<Target = NamespaceFacts>>(
    from: &impl Reads,
    authorized: &Authorized<A>,
) -> Result<Authorized<A>, HostingError> {
    let caller = standing(from, authorized.caller())?;
    let row = namespaces::by_id(from, authorized.target().id)?.ok_or(Denied::NotVisible)?;
    let facts = namespace_facts(from, &caller, &row)?;
    Ok(policy::authorize(&caller, &facts)?)
}

/// Judges again by the caller as it is now, for an action whose target has no facts of its own.
pub(super) fn confirm_caller<A: Action>(
    from: &impl Reads,
    authorized: &Authorized<A>,
) -> Result<Authorized<A>, HostingError> {
    let caller = standing(from, authorized.caller())?;
    Ok(policy::authorize(&caller, authorized.target())?)
}

/// Judges again by the rows as they are now, for a repository to be made.
pub(super) fn confirm_creation(
    from: &impl Reads,
    authorized: &Authorized<CreateRepository>,
) -> Result<Authorized<CreateRepository>, HostingError> {
    let caller = standing(from, authorized.caller())?;
    let target = authorized.target();
    let row = namespaces::by_id(from, target.namespace.id)?.ok_or(Denied::NotVisible)?;
    let facts = NewRepositoryFacts {
        namespace: namespace_facts(from, &caller, &row)?,
        name: target.name.clone(),
    };
    Ok(policy::authorize(&caller, &facts)?)
}
