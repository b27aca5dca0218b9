//! Deploy keys of repositories.
//!
//! Bounds: [`PER_REPOSITORY_MAX`].
//! Invariant: a key opens a repository from the moment [`Hosting::add_deploy_key`] answers until
//! the moment [`Hosting::delete_deploy_key`] does.

use super::{Hosting, HostingError, access, check_title};
use crate::{
    auth::public_key,
    model::RefPolicy,
    policy::{Administer, Authorized},
    store::{
        audit::{self, Entry},
        deploy_keys::{self, GrantedKey, NewDeployKey, NotGranted},
    },
};

/// Most deploy keys of one repository.
const PER_REPOSITORY_MAX: usize = 1000;

/// What a repository lets a deploy key do.
#[derive(Debug, Clone)]
pub struct DeployKeySettings {
    /// What it is called here; the key's comment when absent.
    pub title: Option<String>,
    /// Whether it may push, too.
    pub may_write: bool,
    /// What holds for single refs.
    pub refs: RefPolicy,
}

impl Hosting {
    /// Lets a key open a repository; the same key may open many, each in its own way.
    ///
    /// # Errors
    /// [`HostingError::PublicKey`] when it is not a good key, [`HostingError::Taken`] when the
    /// repository has it already or it is the key of an account.
    pub async fn add_deploy_key(
        &self,
        authorized: Authorized<Administer>,
        text: &str,
        settings: DeployKeySettings,
    ) -> Result<GrantedKey, HostingError> {
        let key = public_key::parse(text)?;
        let title = settings.title.unwrap_or(key.comment);
        check_title("title", &title)?;
        let new = NewDeployKey {
            repository_id: authorized.target().id,
            fingerprint: key.fingerprint,
            public_key: key.text,
            title,
            may_write: settings.may_write,
            refs: settings.refs,
        };
        self.store
            .commit(move |tx| {
                let (authorized, row) = access::confirm(tx, &authorized)?;
                let there = deploy_keys::of_repository(tx, row.id, 0, PER_REPOSITORY_MAX)?;
                if there.len() >= PER_REPOSITORY_MAX {
                    return Err(HostingError::TooMany {
                        what: "deploy keys",
                        max: PER_REPOSITORY_MAX,
                    });
                }
                let granted = deploy_keys::grant(tx, &new)?.map_err(|reason| match reason {
                    NotGranted::AccountKey => {
                        HostingError::taken("account with this SSH key", &new.fingerprint)
                    }
                    NotGranted::AlreadyThere => HostingError::taken("deploy key", &new.fingerprint),
                })?;
                let mut entry = Entry::done("deploy_key.add", authorized.target().path.to_string())
                    .in_repository(row.namespace_id, row.id);
                let mode = if new.may_write {
                    "read-write"
                } else {
                    "read-only"
                };
                entry.detail = format!("{} {mode}", new.fingerprint);
                audit::append(tx, authorized.caller(), &entry)?;
                Ok(granted)
            })
            .await
    }

    /// At most `limit` deploy keys of a repository, by id, those above `after` only.
    ///
    /// # Errors
    /// When the store fails.
    pub fn list_deploy_keys(
        &self,
        authorized: &Authorized<Administer>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<GrantedKey>, HostingError> {
        let snapshot = self.store.snapshot()?;
        let limit = limit.min(PER_REPOSITORY_MAX);
        let repository = authorized.target().id;
        Ok(deploy_keys::of_repository(
            &snapshot, repository, after, limit,
        )?)
    }

    /// One deploy key of a repository.
    ///
    /// # Errors
    /// [`HostingError::NotFound`] when the repository has no such key.
    pub fn deploy_key(
        &self,
        authorized: &Authorized<Administer>,
        id: u64,
    ) -> Result<GrantedKey, HostingError> {
        let snapshot = self.store.snapshot()?;
        let key = deploy_keys::by_id(&snapshot, id)?;
        let grant = deploy_keys::grant_of(&snapshot, id, authorized.target().id)?;
        key.zip(grant)
            .ok_or_else(|| HostingError::not_found("deploy key", id))
    }

    /// Takes a repository from a deploy key; a push by it that is under way fails.
    ///
    /// # Errors
    /// [`HostingError::NotFound`] when the repository has no such key.
    pub async fn delete_deploy_key(
        &self,
        authorized: Authorized<Administer>,
        id: u64,
    ) -> Result<(), HostingError> {
        self.store
            .commit(move |tx| {
                let (authorized, row) = access::confirm(tx, &authorized)?;
                if !deploy_keys::revoke(tx, id, row.id)? {
                    return Err(HostingError::not_found("deploy key", id));
                }
                let path = authorized.target().path.to_string();
                let mut entry =
                    Entry::done("deploy_key.delete", path).in_repository(row.namespace_id, row.id);
                entry.detail = format!("deploy key {id}");
                Ok(audit::append(tx, authorized.caller(), &entry)?)
            })
            .await
    }
}
