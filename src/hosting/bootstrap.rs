//! The first start: the server's secret, the first administrator and its token.
//!
//! Source: the README's "Operating it".
//! Invariant: the secret is on disk before anything is keyed with it; a start that was cut off is
//! finished by the next one. Files with secrets are readable by their owner alone.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use crate::{
    auth::secrets::{self, SECRET_BYTES, ServerSecret, random_bytes},
    disk,
    model::{NamespaceName, RefPolicy, Scopes, Secret},
    store::{
        Store, StoreError,
        memberships::Subject,
        namespaces::{self, NamespaceOwner},
        tokens::{self, NewToken},
        users::{self, NewUser},
    },
};

/// Name of the first administrator.
const ADMINISTRATOR: &str = "admin";

/// What a data folder has after its first start.
pub struct Bootstrapped {
    /// Keys the hashes of tokens.
    pub secret: ServerSecret,
    /// Where the token of the first administrator lies, if it still does.
    pub admin_token_file: PathBuf,
}

/// Why a data folder can't be made ready.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// A file can't be read or written.
    #[error("file {file:?} can't be used")]
    File {
        /// Which file.
        file: PathBuf,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The secret has another length than the one we wrote.
    #[error("secret key {file:?} has {found} bytes instead of {SECRET_BYTES}")]
    BadSecret {
        /// Which file.
        file: PathBuf,
        /// Its length in bytes.
        found: usize,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes what a first start needs: `secret-key`, a user `admin` and its token in `admin-token`.
/// Later starts find it and change nothing.
///
/// # Errors
/// When a file or the store fails; calling it again goes on where it stopped.
pub async fn bootstrap(data_folder: &Path, store: &Store) -> Result<Bootstrapped, BootstrapError> {
    let secret = server_secret(data_folder)?;
    let admin_token_file = data_folder.join("admin-token");
    let is_new = users::list(&store.snapshot()?, 0, 1)?.is_empty();
    if is_new {
        let token = secrets::new_token();
        // The file goes first: a token in a file that no store knows harms nobody.
        write_secret(
            &admin_token_file,
            format!("{}\n", token.expose()).as_bytes(),
        )?;
        first_administrator(store, secret.token_hash(token.expose())).await?;
    }
    Ok(Bootstrapped {
        secret,
        admin_token_file,
    })
}

fn server_secret(data_folder: &Path) -> Result<ServerSecret, BootstrapError> {
    let file = data_folder.join("secret-key");
    let bytes = match fs::read(&file) {
        Ok(bytes) => bytes,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => {
            let fresh = random_bytes::<SECRET_BYTES>();
            write_secret(&file, &fresh)?;
            fresh.to_vec()
        }
        Err(cause) => return Err(BootstrapError::File { file, cause }),
    };
    let found = bytes.len();
    let secret = <[u8; SECRET_BYTES]>::try_from(bytes)
        .map_err(|_| BootstrapError::BadSecret { file, found })?;
    Ok(ServerSecret::new(&Secret::new(secret)))
}

/// Writes a file for our eyes only.
fn write_secret(file: &Path, content: &[u8]) -> Result<(), BootstrapError> {
    disk::write_file(file, content, 0o600).map_err(|cause| BootstrapError::File {
        file: file.to_owned(),
        cause,
    })
}

async fn first_administrator(store: &Store, token_hash: [u8; 32]) -> Result<(), StoreError> {
    let uuid = secrets::new_uuid();
    let name: NamespaceName = ADMINISTRATOR
        .parse()
        .map_err(|cause| StoreError::Inconsistent(format!("the first user's name: {cause}")))?;
    let new = NewUser {
        name: name.clone(),
        email: None,
        password_hash: None,
        admin: true,
    };
    store
        .commit(move |tx| {
            let Some(admin) = users::insert(tx, &new)? else {
                return Ok(());
            };
            namespaces::insert(tx, &uuid, &name, NamespaceOwner::User(admin.id))?;
            let token = NewToken {
                hash: token_hash,
                owner: Subject::User(admin.id),
                name: "first start".to_owned(),
                scopes: Scopes::all(),
                repositories: None,
                refs: RefPolicy::default(),
                expires_at: None,
            };
            tokens::insert(tx, &token).map(drop)
        })
        .await
}
