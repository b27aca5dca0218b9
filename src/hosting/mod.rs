//! What the server manages: repositories, accounts, keys, members, and the refs that pushes move.
//!
//! Every function that does something takes the proof that its caller may,
//! [`Authorized`](crate::policy::Authorized); the functions named `authorize_…` look up the facts
//! and ask [`policy`] for that proof. What a caller may do is judged again inside the transaction
//! that does it, from the rows as they are then: a right that was taken away in between is gone.
//!
//! Bounds: each file names its own.
//! Invariant: every change and its audit row commit together.
//! Not here: parsing and rendering (`api`, `wire`), the rules themselves (`policy`).

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    auth::{
        PasswordError, issuer_key::IssuerKeyError, public_key::PublicKeyError,
        secrets::ServerSecret,
    },
    git,
    model::{Caller, NamespaceName, RepositoryPath},
    policy::{self, AccountFacts, Action, Authorized, Denied, NamespaceFacts, RepositoryFacts},
    store::{self, Store, StoreError, repositories, repositories::RepositoryRow, users},
};

mod access;
mod accounts;
mod bootstrap;
mod branches;
mod commits;
mod computations;
mod contents;
mod deploy_keys;
mod diffs;
mod directory;
mod forks;
mod namespaces;
mod push;
mod repository;
mod search;
#[cfg(test)]
mod tests;
mod upstream_credentials;
mod upstreams;

pub use accounts::{NewAccount, TokenSettings};
pub use bootstrap::{BootstrapError, Bootstrapped, bootstrap};
pub use branches::{BadCursor, Branch, BranchCursor, Page};
pub use commits::{
    AskedMerge, Base, CommitError, Committed, Draft, MergeDone, MergePreview, MergeRefusal,
    MergeResult, MergeStrategy, NoteChange, NoteWritten, Onto, Start, TreeChange,
};
pub use computations::{Computations, Pieces};
pub use contents::{Contents, File, Touching};
pub use deploy_keys::DeployKeySettings;
pub use diffs::{AskedDiff, DiffLimits, FileDiff};
pub use forks::{ForkPoint, OWN_PROVIDERS};
pub use push::{Command, CommandOutcome, Moved, Push, Refusal};
pub use repository::{RepositoryChange, RepositorySettings};
pub use search::{AskedArchive, AskedLines};
pub use upstream_credentials::UpstreamLogin;
pub use upstreams::{Found, MirrorSettings, Mirrored, Run};

/// Longest title of a key or token, in bytes.
pub const TITLE_BYTES_MAX: usize = 255;

/// The services; cheap to clone.
#[derive(Clone)]
pub struct Hosting {
    store: Store,
    repositories: Arc<git::Repositories>,
    secret: ServerSecret,
    /// Most refs that a repository may have.
    refs_max: u64,
    /// What one commit made by API may bring.
    receive_limits: Arc<git::receive::Limits>,
    turns: commits::Turns,
    computations: Computations,
}

/// A repository that its caller may see.
#[derive(Debug, Clone)]
pub struct Repository {
    /// Its row.
    pub row: RepositoryRow,
    /// What policy judges by.
    pub facts: RepositoryFacts,
}

/// Why something was not done; unless it says otherwise, nothing changed.
#[derive(Debug, thiserror::Error)]
pub enum HostingError {
    /// The caller may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// There is no such thing.
    #[error("no such {what}: {name}")]
    NotFound {
        /// What kind of thing.
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// The name or key is in use.
    #[error("{what} exists already: {name}")]
    Taken {
        /// What kind of thing.
        what: &'static str,
        /// What was asked for.
        name: String,
    },
    /// A value is not fit for its purpose.
    #[error("{field} {reason}")]
    Invalid {
        /// Which value.
        field: &'static str,
        /// What is wrong with it, to be read after its name.
        reason: String,
    },
    /// There is a bound, and it is reached.
    #[error("at most {max} {what} allowed")]
    TooMany {
        /// What kind of thing.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// The SSH key is not taken.
    #[error(transparent)]
    PublicKey(#[from] PublicKeyError),
    /// The issuer key is not taken.
    #[error(transparent)]
    IssuerKey(#[from] IssuerKeyError),
    /// The password is not taken.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// A repository's folder can't be made, opened or removed.
    #[error("repository folder failed")]
    Disk(#[from] git::RepositoryError),
    /// Objects of one repository can't be shared with another.
    #[error("repository can't be forked")]
    Fork(#[from] git::ForkError),
    /// A folder below that of all repositories can't be listed.
    #[error("folder {folder:?} can't be read")]
    Folder {
        /// Which folder.
        folder: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The repository's objects can't be read.
    #[error("repository is damaged")]
    Objects(#[from] git::ReadError),
    /// A tree can't be looked into.
    #[error("tree can't be read")]
    Tree(#[from] git::edit::EditError),
    /// There is more of it than is served.
    #[error("{0}")]
    TooMuch(String),
    /// Too many others are being served.
    #[error("the server is busy, try again later")]
    Busy,
    /// Whoever was to get an answer wants no more of it.
    #[error("the client is gone")]
    Gone(#[from] git::fetch::Stopped),
    /// Objects that were pushed can't be stored.
    #[error("pushed objects can't be stored")]
    Receive(#[from] git::receive::ReceiveError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl HostingError {
    fn not_found(what: &'static str, name: impl ToString) -> Self {
        Self::NotFound {
            what,
            name: name.to_string(),
        }
    }

    /// Whether the disk has no room for what was asked; nothing was done then.
    pub fn is_full_disk(&self) -> bool {
        match self {
            Self::Store(StoreError::DiskFull) => true,
            Self::Receive(git::receive::ReceiveError::Storage(cause)) => {
                cause.kind() == io::ErrorKind::StorageFull
            }
            _ => false,
        }
    }

    /// Whether only the next start of the server shows if it was done.
    pub fn leaves_commit_in_doubt(&self) -> bool {
        matches!(self, Self::Store(StoreError::Database(_)))
    }

    fn taken(what: &'static str, name: impl ToString) -> Self {
        Self::Taken {
            what,
            name: name.to_string(),
        }
    }
}

/// What a caller learns of something that does not exist or that it may not see.
fn unseen(caller: &Caller) -> Denied {
    match caller.is_anonymous() {
        true => Denied::Unauthenticated,
        false => Denied::NotVisible,
    }
}

/// Runs `work` where blocking is fine.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HostingError> + Send + 'static,
) -> Result<T, HostingError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| StoreError::Panicked)?
}

fn check_title(field: &'static str, title: &str) -> Result<(), HostingError> {
    let reason = if title.len() > TITLE_BYTES_MAX {
        format!(
            "has {} bytes, at most {TITLE_BYTES_MAX} allowed",
            title.len()
        )
    } else if title.chars().any(char::is_control) {
        "holds control characters".to_owned()
    } else {
        return Ok(());
    };
    Err(HostingError::Invalid { field, reason })
}

impl Hosting {
    /// The services over this store and these repositories; `secret` keys the hashes of tokens.
    pub fn new(store: Store, repositories: Arc<git::Repositories>, secret: ServerSecret) -> Self {
        Self {
            store,
            repositories,
            secret,
            refs_max: u64::MAX,
            receive_limits: Arc::default(),
            turns: commits::Turns::default(),
            computations: Computations::default(),
        }
    }

    /// The same services, with so many computations at once.
    #[must_use]
    pub fn with_computations(self, at_once: usize) -> Self {
        Self {
            computations: Computations::new(at_once),
            ..self
        }
    }

    /// The same services, with these bounds on what a commit made by API may bring.
    #[must_use]
    pub fn with_receive_limits(self, limits: git::receive::Limits) -> Self {
        Self {
            receive_limits: Arc::new(limits),
            ..self
        }
    }

    /// The same, in which no push makes a repository have more than this many refs.
    #[must_use]
    pub fn bounding_refs(self, refs_max: u64) -> Self {
        Self { refs_max, ..self }
    }

    /// The store, for what only looks things up.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// The repository of this path, if the caller may see it.
    ///
    /// # Errors
    /// [`HostingError::Denied`] when there is none or the caller may not know of it, both alike.
    pub fn repository(
        &self,
        caller: &Caller,
        path: &RepositoryPath,
    ) -> Result<Repository, HostingError> {
        let snapshot = self.store.snapshot()?;
        let row = match store::namespaces::by_name(&snapshot, &path.namespace)? {
            Some(namespace) => repositories::by_name(&snapshot, namespace.id, &path.name)?,
            None => None,
        };
        self.visible(caller, row, &snapshot)
    }

    /// The repository of this row id, if the caller may see it.
    ///
    /// # Errors
    /// As [`Hosting::repository`].
    pub fn repository_by_id(&self, caller: &Caller, id: u64) -> Result<Repository, HostingError> {
        let snapshot = self.store.snapshot()?;
        let row = repositories::by_id(&snapshot, id)?;
        self.visible(caller, row, &snapshot)
    }

    /// The repository of this uuid, if the caller may see it.
    ///
    /// # Errors
    /// As [`Hosting::repository`].
    pub fn repository_by_uuid(
        &self,
        caller: &Caller,
        uuid: &str,
    ) -> Result<Repository, HostingError> {
        let snapshot = self.store.snapshot()?;
        let row = repositories::by_uuid(&snapshot, uuid)?;
        self.visible(caller, row, &snapshot)
    }

    fn visible(
        &self,
        caller: &Caller,
        row: Option<RepositoryRow>,
        from: &impl store::Reads,
    ) -> Result<Repository, HostingError> {
        let row = row.ok_or_else(|| unseen(caller))?;
        let facts = access::repository_facts(from, caller, &row)?;
        if !policy::is_visible(caller, &facts) {
            return Err(unseen(caller).into());
        }
        Ok(Repository { row, facts })
    }

    /// The proof that the caller may do this to the repository of this path.
    ///
    /// A credential that was made for something else, or lacks the scope, is refused before the
    /// repository is looked up.
    ///
    /// # Errors
    /// [`HostingError::Denied`] with the reason.
    pub fn authorize<A: policy::RepositoryAction>(
        &self,
        caller: &Caller,
        path: &RepositoryPath,
    ) -> Result<(Authorized<A>, Repository), HostingError> {
        policy::within_grant::<A>(caller, path)?;
        let repository = self.repository(caller, path)?;
        let authorized = policy::authorize::<A>(caller, &repository.facts)?;
        Ok((authorized, repository))
    }

    /// The proof that the caller may do this to the namespace of this name.
    ///
    /// # Errors
    /// [`HostingError::Denied`] when there is none or the caller may not.
    pub fn authorize_namespace<A: Action<Target = NamespaceFacts>>(
        &self,
        caller: &Caller,
        name: &NamespaceName,
    ) -> Result<Authorized<A>, HostingError> {
        let snapshot = self.store.snapshot()?;
        let row = store::namespaces::by_name(&snapshot, name)?.ok_or_else(|| unseen(caller))?;
        let facts = access::namespace_facts(&snapshot, caller, &row)?;
        Ok(policy::authorize::<A>(caller, &facts)?)
    }

    /// The proof that the caller may manage the account of this name.
    ///
    /// # Errors
    /// [`HostingError::Denied`] when the caller may not; [`HostingError::NotFound`] when there is
    /// no such user and the caller might have managed it.
    pub fn authorize_account(
        &self,
        caller: &Caller,
        name: &str,
    ) -> Result<Authorized<policy::ManageAccount>, HostingError> {
        let row = users::by_name(&self.store.snapshot()?, name)?;
        // No row has the id 0, so only an administrator gets past the judgement with it.
        let user_id = row.as_ref().map_or(0, |row| row.id);
        let authorized = policy::authorize(caller, &AccountFacts { user_id })?;
        match row {
            Some(_) => Ok(authorized),
            None => Err(HostingError::not_found("user", name)),
        }
    }

    /// The objects of a repository, open. Blocks while packs are opened for the first time.
    ///
    /// # Errors
    /// When the repository was removed meanwhile or its packs can't be opened.
    pub fn objects<A: policy::RepositoryAction>(
        &self,
        authorized: &Authorized<A>,
    ) -> Result<git::Repository, HostingError> {
        let id = authorized.target().id;
        let row = repositories::by_id(&self.store.snapshot()?, id)?
            .ok_or_else(|| unseen(authorized.caller()))?;
        Ok(self.repositories.get(&row.uuid, row.object_format)?)
    }

    /// Removes the folders that no row speaks of, which a crash left below the folder of all
    /// repositories, and says how many there were. Blocks; to be called at start, before anybody
    /// makes a repository. What a crash left of pushes goes when their repository is opened.
    ///
    /// # Errors
    /// When a folder can't be read or removed.
    pub fn remove_orphans(&self, repositories_folder: &Path) -> Result<usize, HostingError> {
        repository::remove_orphans(&self.store, &self.repositories, repositories_folder)
    }
}
