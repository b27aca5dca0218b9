//! The credentials by which mirrors reach their upstreams.
//!
//! Bounds: [`PASSWORD_BYTES_MAX`], [`USER_BYTES_MAX`]; one credential a repository.
//! Invariant: a password leaves the store for the one who dials, and for nobody else; rows and audit
//! hold it sealed or not at all.
//! Not here: who dials (`mirror`).

use super::{Hosting, HostingError, access};
use crate::{
    auth::secrets,
    model::Secret,
    policy::{Administer, Authorized, ManageUpstreamCredentials},
    store::{
        StoreError, Transaction,
        audit::{self, Entry},
        upstreams::{self, CredentialRow},
    },
};

/// Longest password, in bytes.
const PASSWORD_BYTES_MAX: usize = 8192;
/// Longest user name, in bytes.
const USER_BYTES_MAX: usize = 255;

/// A user name and password for an upstream.
#[derive(Debug, Clone)]
pub struct UpstreamLogin {
    /// May be empty.
    pub user: String,
    /// Password or token.
    pub password: Secret<String>,
}

impl Hosting {
    /// What a row holds, unsealed.
    pub(super) fn opened(&self, row: &CredentialRow) -> Result<UpstreamLogin, HostingError> {
        let password = self
            .secret
            .unseal(&row.id, &row.sealed)
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .ok_or_else(|| {
                StoreError::Inconsistent(format!("the credential {} can't be unsealed", row.id))
            })?;
        Ok(UpstreamLogin {
            user: row.user.clone(),
            password: Secret::new(password),
        })
    }

    /// Stores the credential for a repository's upstream; answers its id.
    ///
    /// # Errors
    /// [`HostingError::Taken`] when there is one, [`HostingError::Invalid`] when it can't be one.
    pub async fn add_upstream_credential(
        &self,
        authorized: Authorized<Administer>,
        login: UpstreamLogin,
    ) -> Result<CredentialRow, HostingError> {
        check_login(&login)?;
        let id = secrets::new_uuid();
        let sealed = self.secret.seal(&id, login.password.expose().as_bytes());
        self.store
            .commit(move |tx| {
                let (authorized, row) = access::confirm(tx, &authorized)?;
                let path = authorized.target().path.to_string();
                if upstreams::credential_of(tx, row.id)?.is_some() {
                    return Err(HostingError::taken("credential", &path));
                }
                let credential = CredentialRow {
                    id: id.clone(),
                    repository_id: row.id,
                    namespace_id: row.namespace_id,
                    user: login.user.clone(),
                    sealed: sealed.clone(),
                    created_at: tx.now(),
                };
                upstreams::put_credential(tx, &credential)?;
                let entry =
                    Entry::done("credential.create", path).in_repository(row.namespace_id, row.id);
                audit::append(tx, authorized.caller(), &entry)?;
                Ok(credential)
            })
            .await
    }

    /// Replaces the password of a credential, and the user name if one is given.
    ///
    /// # Errors
    /// [`HostingError::NotFound`] when the namespace has none of this id.
    pub async fn change_upstream_credential(
        &self,
        authorized: Authorized<ManageUpstreamCredentials>,
        id: String,
        user: Option<String>,
        password: Secret<String>,
    ) -> Result<CredentialRow, HostingError> {
        let login = UpstreamLogin {
            user: user.clone().unwrap_or_default(),
            password,
        };
        check_login(&login)?;
        let sealed = self.secret.seal(&id, login.password.expose().as_bytes());
        self.store
            .commit(move |tx| {
                let authorized = access::confirm_on_namespace(tx, &authorized)?;
                let mut row = credential_in(tx, &authorized, &id)?;
                if let Some(user) = &user {
                    row.user.clone_from(user);
                }
                row.sealed.clone_from(&sealed);
                upstreams::put_credential(tx, &row)?;
                note(tx, &authorized, "credential.change", &row)?;
                Ok(row)
            })
            .await
    }

    /// Removes a credential.
    ///
    /// # Errors
    /// [`HostingError::NotFound`] when the namespace has none of this id.
    pub async fn remove_upstream_credential(
        &self,
        authorized: Authorized<ManageUpstreamCredentials>,
        id: String,
    ) -> Result<(), HostingError> {
        self.store
            .commit(move |tx| {
                let authorized = access::confirm_on_namespace(tx, &authorized)?;
                let row = credential_in(tx, &authorized, &id)?;
                upstreams::remove_credential(tx, &row)?;
                note(tx, &authorized, "credential.delete", &row)
            })
            .await
    }
}

fn credential_in(
    tx: &Transaction<'_>,
    authorized: &Authorized<ManageUpstreamCredentials>,
    id: &str,
) -> Result<CredentialRow, HostingError> {
    let row = upstreams::credential(tx, id)?;
    row.filter(|row| row.namespace_id == authorized.target().id)
        .ok_or_else(|| HostingError::not_found("credential", id))
}

fn note(
    tx: &Transaction<'_>,
    authorized: &Authorized<ManageUpstreamCredentials>,
    action: &'static str,
    row: &CredentialRow,
) -> Result<(), HostingError> {
    let entry = Entry::done(action, row.id.clone());
    let entry = entry.in_repository(row.namespace_id, row.repository_id);
    Ok(audit::append(tx, authorized.caller(), &entry)?)
}

fn check_login(login: &UpstreamLogin) -> Result<(), HostingError> {
    let password = login.password.expose();
    let wrong = |field, reason: &str| {
        Err(HostingError::Invalid {
            field,
            reason: reason.to_owned(),
        })
    };
    let control = |text: &str| text.chars().any(char::is_control);
    match (&*login.user, &**password) {
        (user, _) if user.len() > USER_BYTES_MAX => wrong("username", "is too long"),
        (user, _) if control(user) || user.contains(':') => {
            wrong("username", "holds a colon or control characters")
        }
        (_, "") => wrong("password", "is empty"),
        (_, password) if password.len() > PASSWORD_BYTES_MAX => wrong("password", "is too long"),
        (_, password) if control(password) => wrong("password", "holds control characters"),
        _ => Ok(()),
    }
}
