//! May they: pure judgements over facts, and the only maker of [`Authorized`].
//!
//! An action is a type with a fixed kind of target, so that a right on one repository can't be
//! mistaken for a right on the server. A service function takes `Authorized<Action>`, and only
//! [`authorize`] makes one: forgetting the check does not compile.
//!
//! Source: the README's table of roles and scopes; ref policies follow the Code Storage API.
//! Invariant: nothing is allowed that no rule allows; a credential only ever takes away from what
//! its principal may.
//! Not here: who the caller is (`auth`), how facts are found (`hosting`), the clock, the store.

use crate::model::{
    Caller, NamespaceName, RefName, RefPolicy, RepositoryName, RepositoryPath, Role, Scope,
    Visibility,
};

mod actions;
mod commands;
#[cfg(test)]
mod tests;

pub use actions::{
    Administer, AdministerServer, CreateRepository, DeleteRepository, Fetch, ListRepositories,
    ManageAccount, ManageNamespace, ManageUpstreamCredentials, Push, RepositoryAction, View,
    is_visible, role_on, within_grant,
};
pub use commands::{RESERVED_REFS, RefChange, RefChangeKind, Refusal, judge_command};

/// What is known of a repository when somebody wants something of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepositoryFacts {
    /// Row id.
    pub id: u64,
    /// Row id of its namespace.
    pub namespace_id: u64,
    /// Where it is found.
    pub path: RepositoryPath,
    /// Who may read without being a member.
    pub visibility: Visibility,
    /// HEAD's branch, which may not be deleted.
    pub default_branch: RefName,
    /// The highest role the caller was given on it, directly or through its namespace.
    pub member: Option<Role>,
    /// What it grants to the caller if that is a deploy key.
    pub deploy_key: Option<DeployKeyFacts>,
}

/// What a repository grants to a deploy key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployKeyFacts {
    /// Whether it may push, too.
    pub may_write: bool,
    /// What holds for single refs.
    pub refs: RefPolicy,
}

/// What is known of a namespace when somebody wants something of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// Row id.
    pub id: u64,
    /// Its name.
    pub name: NamespaceName,
    /// The caller's role on it: as its owner or as a member.
    pub member: Option<Role>,
}

/// A repository to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRepositoryFacts {
    /// Where.
    pub namespace: NamespaceFacts,
    /// Under which name.
    pub name: RepositoryName,
}

/// The account that somebody wants to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountFacts {
    /// Row id of the user.
    pub user_id: u64,
}

/// The server as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerFacts;

/// Something that can be allowed. The actions are those of this module.
pub trait Action {
    /// What it is done to.
    type Target: Clone;

    /// Whether the caller may.
    ///
    /// # Errors
    /// Why not.
    fn judge(caller: &Caller, target: &Self::Target) -> Result<(), Denied>;
}

/// Proof that this caller may do this to this target. Only [`authorize`] makes one.
#[derive(Debug, Clone)]
pub struct Authorized<A: Action> {
    caller: Caller,
    target: A::Target,
}

impl<A: Action> Authorized<A> {
    /// Who may.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// To what, as it was known when it was judged.
    pub fn target(&self) -> &A::Target {
        &self.target
    }
}

/// Judges, and hands out the proof.
///
/// # Errors
/// Why the caller may not.
pub fn authorize<A: Action>(caller: &Caller, target: &A::Target) -> Result<Authorized<A>, Denied> {
    A::judge(caller, target)?;
    Ok(Authorized {
        caller: caller.clone(),
        target: target.clone(),
    })
}

/// Why somebody may not. Each variant asks for another answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// Nobody may without a credential: ask for one.
    #[error("a credential is needed")]
    Unauthenticated,
    /// There is no such thing, or the caller may not know that there is.
    #[error("no such repository, or none that you may see")]
    NotVisible,
    /// The credential lacks this scope, whatever its owner may.
    #[error("the credential lacks the scope {name}", name = .0.as_str())]
    MissingScope(Scope),
    /// The credential was made for something else.
    #[error("the credential is not made for this target")]
    OutsideGrant,
    /// The caller's role is too low.
    #[error("this needs at least the role {needed:?}")]
    RoleTooLow {
        /// The lowest role that may.
        needed: Role,
    },
    /// Only administrators of the server may.
    #[error("this needs an administrator of the server")]
    NotAdministrator,
}
