//! The actions, and who may take each: role by scope by target.
//!
//! Invariant: the credential's limits are judged first and its scopes next, neither of which tells
//! whether the target exists; the role comes last.

use super::{
    AccountFacts, Action, Authorized, Denied, DeployKeyFacts, NamespaceFacts, NewRepositoryFacts,
    RepositoryFacts, ServerFacts,
};
use crate::model::{
    Caller, Principal, RepositoryLimit, RepositoryName, RepositoryPath, Role, Scope, Visibility,
};

macro_rules! repository_actions {
    ($($(#[$doc:meta])* $name:ident: $role:expr, $scope:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub enum $name {}

        impl Action for $name {
            type Target = RepositoryFacts;

            fn judge(caller: &Caller, target: &RepositoryFacts) -> Result<(), Denied> {
                judge_on_repository(caller, target, $role, $scope)
            }
        }

        impl RepositoryAction for $name {
            const SCOPE: Option<Scope> = $scope;
        }
    )*};
}

/// An action on one repository.
pub trait RepositoryAction: Action<Target = RepositoryFacts> {
    /// The scope that a credential needs for it.
    const SCOPE: Option<Scope>;
}

repository_actions! {
    /// Know that the repository exists and how it is set.
    View: Role::Read, None;
    /// Clone, fetch and read contents.
    Fetch: Role::Read, Some(Scope::GitRead);
    /// Move refs and bring objects.
    Push: Role::Write, Some(Scope::GitWrite);
    /// Change settings, members and deploy keys.
    Administer: Role::Admin, Some(Scope::RepoWrite);
    /// Remove the repository for good.
    DeleteRepository: Role::Owner, Some(Scope::RepoWrite);
}

/// What can be said before the repository is looked up: whether the credential could do this to a
/// repository of this path at all. Says nothing about whether the path exists.
///
/// # Errors
/// Why not.
pub fn within_grant<A: RepositoryAction>(
    caller: &Caller,
    path: &RepositoryPath,
) -> Result<(), Denied> {
    if let Principal::Issuer { namespace, .. } = &caller.principal {
        let covered = match &caller.grant.repositories {
            RepositoryLimit::Named(name) => same_name(name, &path.name),
            RepositoryLimit::All | RepositoryLimit::Ids(_) => true,
            RepositoryLimit::Organization => false,
        };
        let same_namespace = namespace
            .as_str()
            .eq_ignore_ascii_case(path.namespace.as_str());
        if !covered || !same_namespace {
            return Err(Denied::OutsideGrant);
        }
    }
    need_scope(caller, A::SCOPE)
}

fn need_scope(caller: &Caller, scope: Option<Scope>) -> Result<(), Denied> {
    match scope {
        Some(scope) if !caller.grant.scopes.allows(scope) => Err(Denied::MissingScope(scope)),
        _ => Ok(()),
    }
}

fn same_name(a: &RepositoryName, b: &RepositoryName) -> bool {
    a.as_str().eq_ignore_ascii_case(b.as_str())
}

fn judge_on_repository(
    caller: &Caller,
    target: &RepositoryFacts,
    needed: Role,
    scope: Option<Scope>,
) -> Result<(), Denied> {
    if !limit_covers(caller, target) {
        return Err(match caller.principal {
            Principal::Issuer { .. } => Denied::OutsideGrant,
            _ => Denied::NotVisible,
        });
    }
    need_scope(caller, scope)?;
    match role_on(caller, target) {
        Some(role) if role >= needed => Ok(()),
        _ if caller.is_anonymous() => Err(Denied::Unauthenticated),
        Some(_) => Err(Denied::RoleTooLow { needed }),
        None => Err(Denied::NotVisible),
    }
}

fn limit_covers(caller: &Caller, target: &RepositoryFacts) -> bool {
    match &caller.grant.repositories {
        RepositoryLimit::All => true,
        RepositoryLimit::Ids(ids) => ids.contains(&target.id),
        RepositoryLimit::Named(name) => same_name(name, &target.path.name),
        RepositoryLimit::Organization => false,
    }
}

/// What the caller is to the repository, whatever the credential's limits; `None`: a stranger.
pub fn role_on(caller: &Caller, target: &RepositoryFacts) -> Option<Role> {
    let by_visibility = match (target.visibility, &caller.principal) {
        (Visibility::Public, _) | (Visibility::Internal, Principal::User { .. }) => {
            Some(Role::Read)
        }
        _ => None,
    };
    match &caller.principal {
        Principal::Anonymous => by_visibility,
        Principal::User { admin: true, .. } => Some(Role::Owner),
        Principal::User { .. } | Principal::Robot { .. } => target.member.max(by_visibility),
        Principal::DeployKey { .. } => {
            let role = |key: &DeployKeyFacts| match key.may_write {
                true => Role::Write,
                false => Role::Read,
            };
            target.deploy_key.as_ref().map(role)
        }
        Principal::Issuer { namespace_id, .. } => {
            (*namespace_id == target.namespace_id).then_some(Role::Owner)
        }
    }
}

/// Whether the caller may know of the repository.
pub fn is_visible(caller: &Caller, target: &RepositoryFacts) -> bool {
    limit_covers(caller, target) && role_on(caller, target).is_some()
}

fn role_in(caller: &Caller, namespace: &NamespaceFacts) -> Option<Role> {
    match &caller.principal {
        Principal::Anonymous | Principal::DeployKey { .. } => None,
        Principal::User { admin: true, .. } => Some(Role::Owner),
        Principal::User { .. } | Principal::Robot { .. } => namespace.member,
        Principal::Issuer { namespace_id, .. } => {
            (*namespace_id == namespace.id).then_some(Role::Owner)
        }
    }
}

fn need_role(caller: &Caller, role: Option<Role>, needed: Role) -> Result<(), Denied> {
    match role {
        Some(role) if role >= needed => Ok(()),
        _ if caller.is_anonymous() => Err(Denied::Unauthenticated),
        Some(_) => Err(Denied::RoleTooLow { needed }),
        None => Err(Denied::NotVisible),
    }
}

/// Make a repository of this name in this namespace.
#[derive(Debug, Clone)]
pub enum CreateRepository {}

impl Action for CreateRepository {
    type Target = NewRepositoryFacts;

    fn judge(caller: &Caller, target: &NewRepositoryFacts) -> Result<(), Denied> {
        let covered = match &caller.grant.repositories {
            RepositoryLimit::All => true,
            RepositoryLimit::Named(name) => same_name(name, &target.name),
            RepositoryLimit::Ids(_) | RepositoryLimit::Organization => false,
        };
        if !covered {
            return Err(Denied::OutsideGrant);
        }
        need_scope(caller, Some(Scope::RepoWrite))?;
        need_role(caller, role_in(caller, &target.namespace), Role::Admin)
    }
}

/// List the repositories of a namespace: all of them for its members, for others those they may
/// see anyway.
#[derive(Debug, Clone)]
pub enum ListRepositories {}

impl Action for ListRepositories {
    type Target = NamespaceFacts;

    fn judge(caller: &Caller, target: &NamespaceFacts) -> Result<(), Denied> {
        if let Principal::Issuer { namespace_id, .. } = &caller.principal {
            let whole = caller.grant.repositories == RepositoryLimit::Organization;
            if !whole || *namespace_id != target.id {
                return Err(Denied::OutsideGrant);
            }
        }
        need_scope(caller, Some(Scope::OrgRead))
    }
}

impl Authorized<ListRepositories> {
    /// Whether this repository belongs into the list.
    pub fn shows(&self, repository: &RepositoryFacts) -> bool {
        match &self.caller.principal {
            Principal::Issuer { namespace_id, .. } => *namespace_id == repository.namespace_id,
            _ => is_visible(&self.caller, repository),
        }
    }
}

/// Change a namespace: its members, robots and issuer keys.
#[derive(Debug, Clone)]
pub enum ManageNamespace {}

impl Action for ManageNamespace {
    type Target = NamespaceFacts;

    fn judge(caller: &Caller, target: &NamespaceFacts) -> Result<(), Denied> {
        // An issuer that could add keys to itself would outlive the key it was given.
        if matches!(caller.principal, Principal::Issuer { .. }) {
            return Err(Denied::OutsideGrant);
        }
        if caller.grant.repositories != RepositoryLimit::All {
            return Err(Denied::OutsideGrant);
        }
        need_scope(caller, Some(Scope::Api))?;
        need_role(caller, role_in(caller, target), Role::Owner)
    }
}

/// Change the credentials by which the repositories of a namespace reach their upstreams: whoever may
/// set one, once their JWT is for the whole namespace.
#[derive(Debug, Clone)]
pub enum ManageUpstreamCredentials {}

impl Action for ManageUpstreamCredentials {
    type Target = NamespaceFacts;

    fn judge(caller: &Caller, target: &NamespaceFacts) -> Result<(), Denied> {
        let whole = match caller.principal {
            Principal::Issuer { .. } => RepositoryLimit::Organization,
            _ => RepositoryLimit::All,
        };
        if caller.grant.repositories != whole {
            return Err(Denied::OutsideGrant);
        }
        need_scope(caller, Some(Scope::RepoWrite))?;
        need_role(caller, role_in(caller, target), Role::Admin)
    }
}

/// Change one's own account, or another's as an administrator: tokens, keys, password.
#[derive(Debug, Clone)]
pub enum ManageAccount {}

impl Action for ManageAccount {
    type Target = AccountFacts;

    fn judge(caller: &Caller, target: &AccountFacts) -> Result<(), Denied> {
        let Principal::User { id, admin, .. } = &caller.principal else {
            return Err(match caller.is_anonymous() {
                true => Denied::Unauthenticated,
                false => Denied::OutsideGrant,
            });
        };
        // A limited credential must not make an unlimited one.
        if caller.grant.repositories != RepositoryLimit::All || !caller.grant.refs.0.is_empty() {
            return Err(Denied::OutsideGrant);
        }
        if *id == target.user_id {
            return need_scope(caller, Some(Scope::Api));
        }
        if !admin {
            return Err(Denied::NotAdministrator);
        }
        need_scope(caller, Some(Scope::Admin))
    }
}

/// Change the server: users, organizations, anybody's anything.
#[derive(Debug, Clone)]
pub enum AdministerServer {}

impl Action for AdministerServer {
    type Target = ServerFacts;

    fn judge(caller: &Caller, _server: &ServerFacts) -> Result<(), Denied> {
        match &caller.principal {
            Principal::Anonymous => Err(Denied::Unauthenticated),
            Principal::User { admin: true, .. } => {
                if caller.grant.repositories != RepositoryLimit::All {
                    return Err(Denied::OutsideGrant);
                }
                need_scope(caller, Some(Scope::Admin))
            }
            _ => Err(Denied::NotAdministrator),
        }
    }
}
