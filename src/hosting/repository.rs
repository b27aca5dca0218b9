//! Repositories: made, listed, set, removed.
//!
//! Bounds: [`DESCRIPTION_BYTES_MAX`], [`LIST_MAX`].
//! Invariant: the folder is on disk before the row names it and goes after the row is gone, so a
//! row never lacks its folder; what a crash leaves over is removed at the next start.

use std::{fs, io, path::Path};

use super::{Hosting, HostingError, Repository, access, blocking, unseen};
use crate::{
    auth::secrets,
    git,
    model::{Caller, ObjectFormat, RefName, RepositoryPath, Visibility},
    policy::{
        self, Administer, Authorized, CreateRepository, DeleteRepository, ListRepositories,
        NewRepositoryFacts,
    },
    store::{
        Store,
        audit::{self, Entry},
        namespaces,
        repositories::{self, NewRepository, RepositoryRow},
    },
};

/// Longest description, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 2000;

/// Most repositories in one answer.
const LIST_MAX: usize = 1000;

/// How a new repository is set.
#[derive(Debug, Clone)]
pub struct RepositorySettings {
    /// Who may read without being a member.
    pub visibility: Visibility,
    /// The branch that HEAD names.
    pub default_branch: RefName,
    /// Which hash names its objects.
    pub object_format: ObjectFormat,
    /// For people; may be empty.
    pub description: String,
}

/// What changes about a repository; what is absent stays as it is.
#[derive(Debug, Clone, Default)]
pub struct RepositoryChange {
    /// Who may read without being a member.
    pub visibility: Option<Visibility>,
    /// The branch that HEAD names; it need not exist.
    pub default_branch: Option<RefName>,
    /// For people.
    pub description: Option<String>,
}

impl Hosting {
    /// The proof that the caller may make a repository of this path.
    ///
    /// # Errors
    /// [`HostingError::Denied`] when there is no such namespace or the caller may not.
    pub fn authorize_creation(
        &self,
        caller: &Caller,
        path: &RepositoryPath,
    ) -> Result<Authorized<CreateRepository>, HostingError> {
        let snapshot = self.store.snapshot()?;
        let namespace =
            namespaces::by_name(&snapshot, &path.namespace)?.ok_or_else(|| unseen(caller))?;
        let facts = NewRepositoryFacts {
            namespace: access::namespace_facts(&snapshot, caller, &namespace)?,
            name: path.name.clone(),
        };
        Ok(policy::authorize(caller, &facts)?)
    }

    /// Makes an empty repository.
    ///
    /// # Errors
    /// [`HostingError::Taken`] when the path is in use: of several that ask at once, one wins.
    pub async fn create_repository(
        &self,
        authorized: Authorized<CreateRepository>,
        settings: RepositorySettings,
    ) -> Result<RepositoryRow, HostingError> {
        check_description(&settings.description)?;
        check_default_branch(&settings.default_branch)?;
        let target = authorized.target();
        let new = NewRepository {
            uuid: secrets::new_uuid(),
            namespace_id: target.namespace.id,
            name: target.name.clone(),
            visibility: settings.visibility,
            default_branch: settings.default_branch,
            object_format: settings.object_format,
            description: settings.description,
        };
        let (folders, uuid) = (self.repositories.clone(), new.uuid.clone());
        blocking(move || Ok(folders.create(&uuid, settings.object_format)?)).await?;
        let uuid = new.uuid.clone();
        let made = self
            .store
            .commit(move |tx| {
                let authorized = access::confirm_creation(tx, &authorized)?;
                let target = authorized.target();
                let path = format!("{}/{}", target.namespace.name, target.name);
                let row = repositories::insert(tx, &new)?
                    .ok_or_else(|| HostingError::taken("repository", &path))?;
                let entry =
                    Entry::done("repository.create", path).in_repository(row.namespace_id, row.id);
                audit::append(tx, authorized.caller(), &entry)?;
                Ok(row)
            })
            .await;
        if made.is_err() {
            self.remove_folder(uuid).await;
        }
        made
    }

    /// Removes a repository; its path is free at once.
    ///
    /// # Errors
    /// When it is gone already, or the caller may not any more.
    pub async fn delete_repository(
        &self,
        authorized: Authorized<DeleteRepository>,
    ) -> Result<RepositoryRow, HostingError> {
        let removed = self
            .store
            .commit(move |tx| {
                let (authorized, row) = access::confirm(tx, &authorized)?;
                repositories::remove(tx, &row)?;
                let path = authorized.target().path.to_string();
                let entry =
                    Entry::done("repository.delete", path).in_repository(row.namespace_id, row.id);
                audit::append(tx, authorized.caller(), &entry)?;
                Ok::<_, HostingError>(row)
            })
            .await?;
        self.remove_folder(removed.uuid.clone()).await;
        Ok(removed)
    }

    /// Removes a folder that no row names; a failure is made up for at the next start.
    pub(super) async fn remove_folder(&self, uuid: String) {
        let folders = self.repositories.clone();
        let name = uuid.clone();
        if let Err(error) = blocking(move || Ok(folders.delete(&name)?)).await {
            tracing::warn!(uuid, %error, "the folder of a repository stays until the next start");
        }
    }

    /// Changes settings of a repository, all at once.
    ///
    /// # Errors
    /// When the new default branch is no branch, the description is too long, or the caller may
    /// not; nothing changed then.
    pub async fn change_repository(
        &self,
        authorized: Authorized<Administer>,
        change: RepositoryChange,
    ) -> Result<RepositoryRow, HostingError> {
        check_description(change.description.as_deref().unwrap_or_default())?;
        if let Some(branch) = &change.default_branch {
            check_default_branch(branch)?;
        }
        self.store
            .commit(move |tx| {
                let (authorized, mut row) = access::confirm(tx, &authorized)?;
                row.visibility = change.visibility.unwrap_or(row.visibility);
                if let Some(branch) = &change.default_branch {
                    row.default_branch.clone_from(branch);
                }
                if let Some(description) = &change.description {
                    row.description.clone_from(description);
                }
                repositories::update(tx, &row)?;
                let path = authorized.target().path.to_string();
                let mut entry =
                    Entry::done("repository.change", path).in_repository(row.namespace_id, row.id);
                entry.detail = change.in_words();
                audit::append(tx, authorized.caller(), &entry)?;
                Ok(row)
            })
            .await
    }

    /// At most `limit` repositories of the namespace that the caller may see, by lower-case name,
    /// those after this name only.
    ///
    /// # Errors
    /// When the store fails.
    pub fn list_repositories(
        &self,
        authorized: &Authorized<ListRepositories>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Repository>, HostingError> {
        let snapshot = self.store.snapshot()?;
        let namespace = authorized.target().id;
        let limit = limit.min(LIST_MAX);
        let mut shown: Vec<Repository> = Vec::new();
        let mut after = after.map(str::to_owned);
        loop {
            let page =
                repositories::in_namespace(&snapshot, namespace, after.as_deref(), LIST_MAX)?;
            let Some(last) = page.last() else { break };
            after = Some(last.name.to_string());
            for row in page {
                let facts = access::repository_facts(&snapshot, authorized.caller(), &row)?;
                if authorized.shows(&facts) {
                    shown.push(Repository { row, facts });
                }
                if shown.len() >= limit {
                    return Ok(shown);
                }
            }
        }
        Ok(shown)
    }

    /// At most `limit` repositories of the whole server that the caller may see, oldest first,
    /// those with ids above `after` only.
    ///
    /// # Errors
    /// When the store fails.
    pub fn list_visible(
        &self,
        caller: &Caller,
        after: u64,
        limit: usize,
    ) -> Result<Vec<Repository>, HostingError> {
        let snapshot = self.store.snapshot()?;
        let limit = limit.min(LIST_MAX);
        let mut shown = Vec::new();
        let mut after = after;
        loop {
            let page = repositories::list(&snapshot, after, LIST_MAX)?;
            let Some(last) = page.last() else { break };
            after = last.id;
            for row in page {
                let facts = access::repository_facts(&snapshot, caller, &row)?;
                if policy::is_visible(caller, &facts) {
                    shown.push(Repository { row, facts });
                }
                if shown.len() >= limit {
                    return Ok(shown);
                }
            }
        }
        Ok(shown)
    }
}

impl RepositoryChange {
    fn in_words(&self) -> String {
        let visibility = self.visibility.map(|to| format!("visibility {to:?}"));
        let branch = self.default_branch.as_ref();
        let branch = branch.map(|to| format!("default branch {to}"));
        let description = self.description.as_ref().map(|_| "description".to_owned());
        let parts: Vec<_> = [visibility, branch, description]
            .into_iter()
            .flatten()
            .collect();
        parts.join(", ")
    }
}

pub(super) fn check_default_branch(branch: &RefName) -> Result<(), HostingError> {
    match branch.as_branch() {
        Some(_) => Ok(()),
        None => Err(HostingError::Invalid {
            field: "default branch",
            reason: format!("{branch} is not a branch"),
        }),
    }
}

fn check_description(description: &str) -> Result<(), HostingError> {
    if description.len() > DESCRIPTION_BYTES_MAX {
        return Err(HostingError::Invalid {
            field: "description",
            reason: format!(
                "has {} bytes, at most {DESCRIPTION_BYTES_MAX} allowed",
                description.len()
            ),
        });
    }
    Ok(())
}

/// Removes the folders below `root` whose uuid no row has, and says how many.
pub(super) fn remove_orphans(
    store: &Store,
    folders: &git::Repositories,
    root: &Path,
) -> Result<usize, HostingError> {
    let mut removed = 0;
    let snapshot = store.snapshot()?;
    for shelf in names_in(root)? {
        for uuid in names_in(&root.join(&shelf))? {
            if uuid.len() != 32 || !uuid.starts_with(&shelf) {
                continue;
            }
            if repositories::by_uuid(&snapshot, &uuid)?.is_none() {
                folders.delete(&uuid)?;
                removed += 1;
            }
        }
    }
    Ok(removed)
}

fn names_in(folder: &Path) -> Result<Vec<String>, HostingError> {
    let failed = |cause| HostingError::Folder {
        folder: folder.to_owned(),
        cause,
    };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(failed(cause)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(failed)?;
        if entry.file_type().map_err(failed)?.is_dir() {
            names.extend(entry.file_name().into_string());
        }
    }
    Ok(names)
}
