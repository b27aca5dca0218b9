//! Forks: repositories that begin with refs and objects of another one.
//!
//! Bounds: as many refs as the source has; [`FORKS_AT_ONCE`] walks of what forks begin with.
//! Invariant: the fork's objects are on disk before its row is, and its row and refs commit together; so
//! a crash leaves a whole fork or a folder that the next start removes. What the fork sees is what its
//! refs reach when it is made, whatever else its source holds.
//! Not here: how packs are shared (`git`).

use std::io;

use tokio::sync::Semaphore;

use super::{Contents, Hosting, HostingError, access, blocking, repository::check_default_branch};
use crate::{
    auth::secrets,
    git,
    model::{ObjectId, RefEntry, RefName, RefSnapshot, Visibility},
    policy::{Authorized, CreateRepository, Denied, Fetch},
    store::{
        audit::{self, Entry},
        origins::{self, OriginRow},
        refs::{self, RefWrite},
        repositories::{self, NewRepository, RepositoryRow},
    },
};

/// Forks whose objects are looked for at once; the others wait.
const FORKS_AT_ONCE: usize = 4;
static FORKS: Semaphore = Semaphore::const_new(FORKS_AT_ONCE);

/// Providers by which clients call this server itself; the first is the one that is shown.
pub const OWN_PROVIDERS: [&str; 2] = ["code", "code.storage"];

/// What a fork begins with.
#[derive(Debug, Clone)]
pub struct ForkPoint {
    /// A branch, a tag or an id; `None` for all branches and tags.
    pub revision: Option<String>,
    /// The branch that HEAD names; `None` for the branch that is forked, or the source's own.
    pub default_branch: Option<RefName>,
}

impl Hosting {
    /// Makes a private repository that begins with what another one holds at `point`.
    ///
    /// # Errors
    /// [`HostingError::NotFound`] when the source has no such revision, [`HostingError::Taken`] when the
    /// path is in use, [`HostingError::Denied`] when the caller may not any more; nothing is made then.
    pub async fn fork_repository(
        &self,
        authorized: Authorized<CreateRepository>,
        source: Authorized<Fetch>,
        point: ForkPoint,
    ) -> Result<RepositoryRow, HostingError> {
        if let Some(branch) = &point.default_branch {
            check_default_branch(branch)?;
        }
        let mut contents = self.contents(&source).await?;
        let from = source.target().path.to_string();
        let uuid = secrets::new_uuid();
        let (folders, folder) = (self.repositories.clone(), uuid.clone());
        let _turn = FORKS.acquire().await;
        let begun = blocking(move || {
            let begun = Begun::of(&mut contents, &point, &from)?;
            let objects = contents.repository();
            let fork = folders.create(&folder, objects.format())?;
            let tips: Vec<ObjectId> = begun.writes.iter().filter_map(|write| write.new).collect();
            fork.borrow_from(objects, &tips)?;
            Ok((begun, objects.format()))
        })
        .await;
        let (begun, object_format) = match begun {
            Ok(begun) => begun,
            Err(error) => {
                self.remove_folder(uuid).await;
                return Err(match error {
                    // The source went while its packs were being shared.
                    HostingError::Fork(git::ForkError::Io { source, .. })
                        if source.kind() == io::ErrorKind::NotFound =>
                    {
                        Denied::NotVisible.into()
                    }
                    error => error,
                });
            }
        };
        let target = authorized.target();
        let new = NewRepository {
            uuid: uuid.clone(),
            namespace_id: target.namespace.id,
            name: target.name.clone(),
            visibility: Visibility::Private,
            default_branch: begun.head,
            object_format,
            description: String::new(),
        };
        let writes = begun.writes;
        let made = self
            .store
            .commit(move |tx| {
                let authorized = access::confirm_creation(tx, &authorized)?;
                let (source, _) = access::confirm(tx, &source)?;
                let (target, from) = (authorized.target(), &source.target().path);
                let path = format!("{}/{}", target.namespace.name, target.name);
                let row = repositories::insert(tx, &new)?
                    .ok_or_else(|| HostingError::taken("repository", &path))?;
                let caller = authorized.caller();
                refs::apply(tx, row.id, &writes, &caller.principal.display_name())?;
                let origin = OriginRow {
                    provider: OWN_PROVIDERS[0].to_owned(),
                    owner: from.namespace.to_string(),
                    name: from.name.to_string(),
                };
                origins::put(tx, row.id, &origin)?;
                let mut entry =
                    Entry::done("repository.fork", path).in_repository(row.namespace_id, row.id);
                entry.detail = format!("from {from}");
                audit::append(tx, caller, &entry)?;
                Ok(row)
            })
            .await;
        if made.is_err() {
            self.remove_folder(uuid).await;
        }
        made
    }

    /// Where a repository comes from; `None` if it began empty.
    ///
    /// # Errors
    /// When the store fails.
    pub fn origin(&self, repository: u64) -> Result<Option<OriginRow>, HostingError> {
        Ok(origins::of(&self.store.snapshot()?, repository)?)
    }
}

/// The refs that a fork begins with.
struct Begun {
    head: RefName,
    writes: Vec<RefWrite>,
}

impl Begun {
    fn of(source: &mut Contents, point: &ForkPoint, path: &str) -> Result<Self, HostingError> {
        let usual = point.default_branch.clone();
        let Some(revision) = &point.revision else {
            return Ok(Self {
                head: usual.unwrap_or_else(|| source.default_branch().clone()),
                writes: branches_and_tags(source.refs()),
            });
        };
        let absent = || HostingError::not_found("revision", format!("{revision} in {path}"));
        let id = source.revision(revision)?.ok_or_else(absent)?;
        let commit = source.commit_of(id)?.ok_or_else(absent)?;
        let short = revision.strip_prefix("refs/heads/").unwrap_or(revision);
        let forked = RefName::branch(short).ok();
        let forked = forked.filter(|branch| source.tip(branch).is_some());
        let head = usual
            .or(forked)
            .unwrap_or_else(|| source.default_branch().clone());
        let write = RefWrite {
            name: head.clone(),
            new: Some(commit),
            peeled: None,
            forced: false,
        };
        Ok(Self {
            head,
            writes: vec![write],
        })
    }
}

fn branches_and_tags(refs: &RefSnapshot) -> Vec<RefWrite> {
    let named = ["refs/heads/", "refs/tags/"];
    let entries = named
        .iter()
        .flat_map(|prefix| refs.with_prefix(prefix.as_bytes()));
    let write = |entry: &RefEntry| RefWrite {
        name: entry.name.clone(),
        new: Some(entry.id),
        peeled: entry.peeled,
        forced: false,
    };
    entries.map(write).collect()
}
