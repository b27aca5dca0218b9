//! Who acts, proven by which credential, and what that credential may do at most.
//!
//! Invariant: a `Caller` is made only after its credential was verified; an offered key or an
//! unchecked name makes none.

use std::net::IpAddr;

use super::{NamespaceName, RefPolicy, RepositoryName, Scopes};

/// Somebody on whose behalf the server acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Who it is.
    pub principal: Principal,
    /// What the credential allows at most.
    pub grant: Grant,
    /// How it was proven, for the audit log.
    pub credential: CredentialUsed,
    /// From where, for the audit log.
    pub address: Option<IpAddr>,
}

impl Caller {
    /// Nobody in particular.
    pub fn anonymous(address: Option<IpAddr>) -> Self {
        Self {
            principal: Principal::Anonymous,
            grant: Grant::unlimited(),
            credential: CredentialUsed::None,
            address,
        }
    }

    /// Whether no credential was given.
    pub fn is_anonymous(&self) -> bool {
        self.principal == Principal::Anonymous
    }
}

/// The kinds of actors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Principal {
    /// No credential given.
    Anonymous,
    /// A person.
    User {
        /// Row id.
        id: u64,
        /// Login name.
        name: String,
        /// May administer the whole server.
        admin: bool,
    },
    /// A program acting for a namespace, named `namespace+short`.
    Robot {
        /// Row id.
        id: u64,
        /// Full name with the plus sign.
        name: String,
    },
    /// A key that opens a fixed set of repositories.
    DeployKey {
        /// Row id.
        id: u64,
        /// What its owner called it.
        title: String,
    },
    /// The holder of a JWT signed by a namespace's issuer key.
    Issuer {
        /// Row id of the namespace.
        namespace_id: u64,
        /// The `iss` claim.
        namespace: NamespaceName,
        /// The `sub` claim, for the log only.
        subject: String,
    },
}

impl Principal {
    /// A name for people: in audit rows, ref history and greetings.
    pub fn display_name(&self) -> String {
        match self {
            Self::Anonymous => "anonymous".to_owned(),
            Self::User { name, .. } | Self::Robot { name, .. } => name.clone(),
            Self::DeployKey { id, title } => format!("deploy key {id} ({title})"),
            Self::Issuer { namespace, .. } => format!("{namespace} (JWT)"),
        }
    }
}

/// The ceiling a credential puts on its principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// Which kinds of action.
    pub scopes: Scopes,
    /// On which repositories.
    pub repositories: RepositoryLimit,
    /// What holds for single refs.
    pub refs: RefPolicy,
}

impl Grant {
    /// No ceiling: the role alone decides.
    pub fn unlimited() -> Self {
        Self {
            scopes: Scopes::all(),
            repositories: RepositoryLimit::All,
            refs: RefPolicy::default(),
        }
    }
}

/// The repositories a credential reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepositoryLimit {
    /// Every one its principal may.
    All,
    /// Exactly these rows.
    Ids(Vec<u64>),
    /// Exactly this one of the issuer's namespace (a JWT's `repo` claim); it need not exist yet.
    Named(RepositoryName),
    /// No repository; the whole of the issuer's namespace instead (a JWT whose `repo` is `org`).
    Organization,
}

/// The proof that was given, in words fit for a log: never the secret itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialUsed {
    /// None at all.
    None,
    /// An SSH key, by its SHA-256 fingerprint.
    SshKey(String),
    /// An opaque token, by row id.
    Token(u64),
    /// A user name with a password.
    Password,
    /// A JWT, by the id of the key that verified it.
    Jwt(String),
}
