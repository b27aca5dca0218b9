//! The services over a real store, real folders and packs made by stock git.

use std::num::NonZeroUsize;

use tempfile::TempDir;

use super::*;
use crate::{
    auth::Authenticator,
    git::{
        fixture::Stock,
        receive::{self, Limits},
    },
    model::{ObjectFormat, ObjectId, RefName, Visibility},
    policy::{Administer, AdministerServer, DeleteRepository, Fetch, ManageNamespace, ServerFacts},
    store::repositories::RepositoryRow,
};

mod accounts;
mod forks;
mod pushes;
mod repositories;

/// A server's services without its transports.
pub(super) struct World {
    folder: TempDir,
    store: Store,
    pub(super) hosting: Hosting,
    auth: Authenticator,
    admin: Caller,
}

async fn open(folder: TempDir) -> World {
    let store = Store::open(folder.path()).unwrap();
    let made = bootstrap(folder.path(), &store).await.unwrap();
    let capacity = NonZeroUsize::new(8).unwrap();
    let root = folder.path().join("repositories");
    let repositories = Arc::new(git::Repositories::new(&root, capacity));
    let auth = Authenticator::new(store.clone(), made.secret.clone());
    let token = std::fs::read_to_string(&made.admin_token_file).unwrap();
    let admin = auth.bearer(token.trim(), None).unwrap();
    World {
        folder,
        hosting: Hosting::new(store.clone(), repositories, made.secret),
        store,
        auth,
        admin,
    }
}

pub(super) async fn world() -> World {
    open(tempfile::tempdir().unwrap()).await
}

fn settings() -> RepositorySettings {
    RepositorySettings {
        visibility: Visibility::Private,
        default_branch: branch("main"),
        object_format: ObjectFormat::Sha1,
        description: String::new(),
    }
}

fn branch(short: &str) -> RefName {
    RefName::branch(short).unwrap()
}

/// HEAD names another branch.
fn head(short: &str) -> RepositoryChange {
    RepositoryChange {
        default_branch: Some(branch(short)),
        ..RepositoryChange::default()
    }
}

/// Everybody may read.
fn opened() -> RepositoryChange {
    RepositoryChange {
        visibility: Some(Visibility::Public),
        ..RepositoryChange::default()
    }
}

fn path(text: &str) -> RepositoryPath {
    text.parse().unwrap()
}

fn token_settings(scopes: &[crate::model::Scope]) -> TokenSettings {
    TokenSettings {
        name: "test".to_owned(),
        scopes: scopes.iter().copied().collect(),
        repositories: None,
        refs: crate::model::RefPolicy::default(),
        expires_at: None,
    }
}

impl World {
    fn root(&self) -> PathBuf {
        self.folder.path().join("repositories")
    }

    fn server(&self) -> Authorized<AdministerServer> {
        policy::authorize(&self.admin, &ServerFacts).unwrap()
    }

    /// A user with a token that may do everything the user may.
    async fn user(&self, name: &str) -> Caller {
        let new = NewAccount {
            name: name.parse().unwrap(),
            email: None,
            password: None,
            admin: false,
        };
        self.hosting.create_user(self.server(), new).await.unwrap();
        let account = self.hosting.authorize_account(&self.admin, name).unwrap();
        let scopes = token_settings(&[crate::model::Scope::Api]);
        let (secret, _) = self.hosting.create_token(account, scopes).await.unwrap();
        self.auth.bearer(secret.expose(), None).unwrap()
    }

    async fn repository(&self, caller: &Caller, text: &str) -> RepositoryRow {
        let authorized = self
            .hosting
            .authorize_creation(caller, &path(text))
            .unwrap();
        self.hosting
            .create_repository(authorized, settings())
            .await
            .unwrap()
    }

    async fn changes(
        &self,
        authorized: Authorized<Administer>,
        change: RepositoryChange,
    ) -> Result<RepositoryRow, HostingError> {
        self.hosting.change_repository(authorized, change).await
    }

    fn may<A: policy::RepositoryAction>(&self, caller: &Caller, text: &str) -> Authorized<A> {
        self.hosting.authorize::<A>(caller, &path(text)).unwrap().0
    }
}

fn denied<T: std::fmt::Debug>(result: Result<T, HostingError>) -> Denied {
    match result {
        Err(HostingError::Denied(denied)) => denied,
        other => panic!("{other:?}"),
    }
}
