//! Mirrors: repositories that take their branches and tags from an upstream.
//!
//! Source: Code Storage API, "Pull from upstream".
//! Bounds: as many refs as the list that was read holds (`mirror`).
//! Invariant: all refs of one run move in one transaction, with what was taken and the state of the run. A
//! ref that was moved here since it was last taken is left alone unless the upstream leads on from it, so
//! that nothing of ours is lost; refs of a namespace are never touched.
//! Not here: fetching (`mirror`), credentials (`upstream_credentials`).

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{
    Hosting, HostingError, access, blocking,
    push::{Command, Push, tips},
    repository::check_default_branch,
    upstream_credentials::UpstreamLogin,
};
use crate::{
    auth::secrets,
    git,
    git::receive::Quarantine,
    model::{Caller, ObjectFormat, ObjectId, RefName, RefSnapshot, Visibility},
    policy::{self, Authorized, CreateRepository, Denied},
    store::{
        Transaction,
        audit::{self, Entry},
        origins::{self, OriginRow},
        refs::{self, RefWrite},
        repositories::{self, NewRepository, RepositoryRow},
        upstreams::{self, Runs, UpstreamRow},
    },
};

/// How a new mirror is set.
#[derive(Debug, Clone)]
pub struct MirrorSettings {
    /// Where it says it comes from.
    pub origin: OriginRow,
    /// What git would clone.
    pub url: String,
    /// The branch that HEAD names; `None` for the upstream's.
    pub default_branch: Option<RefName>,
    /// Whether no credential is ever sent.
    pub anonymous: bool,
}

/// What a run needs to know.
pub struct Run {
    /// Row id of the repository.
    pub repository_id: u64,
    /// The repository's objects.
    pub objects: git::Repository,
    /// Its refs when the run began.
    pub refs: Arc<RefSnapshot>,
    /// Where from.
    pub upstream: UpstreamRow,
    /// With which credential, if any.
    pub login: Option<UpstreamLogin>,
    /// Which refs were taken before, and what they were then.
    taken: BTreeMap<String, ObjectId>,
}

/// What a run found at the upstream.
#[derive(Debug, Clone)]
pub struct Found {
    /// The branches and tags there, by full name.
    pub refs: BTreeMap<RefName, ObjectId>,
    /// Whether these are all there are, so that what is missing was removed.
    pub all: bool,
    /// The branch that HEAD names there.
    pub head: Option<RefName>,
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mirrored {
    /// Refs that were made, moved or removed.
    pub moved: usize,
    /// Refs that were moved here and there, and were left alone.
    pub diverged: Vec<RefName>,
}

impl Hosting {
    /// Makes a private mirror, empty until it is first synced.
    ///
    /// # Errors
    /// As for any other repository.
    pub async fn create_mirror(
        &self,
        authorized: Authorized<CreateRepository>,
        settings: MirrorSettings,
    ) -> Result<RepositoryRow, HostingError> {
        let follows_head = settings.default_branch.is_none();
        let default_branch = match settings.default_branch {
            Some(branch) => branch,
            None => RefName::branch("main").expect("it is a branch"),
        };
        check_default_branch(&default_branch)?;
        let target = authorized.target();
        let new = NewRepository {
            uuid: secrets::new_uuid(),
            namespace_id: target.namespace.id,
            name: target.name.clone(),
            visibility: Visibility::Private,
            default_branch,
            object_format: ObjectFormat::default(),
            description: String::new(),
        };
        let (folders, uuid) = (self.repositories.clone(), new.uuid.clone());
        blocking(move || Ok(folders.create(&uuid, ObjectFormat::default())?)).await?;
        let uuid = new.uuid.clone();
        let made = self
            .store
            .commit(move |tx| {
                let authorized = access::confirm_creation(tx, &authorized)?;
                let target = authorized.target();
                let path = format!("{}/{}", target.namespace.name, target.name);
                let row = repositories::insert(tx, &new)?
                    .ok_or_else(|| HostingError::taken("repository", &path))?;
                origins::put(tx, row.id, &settings.origin)?;
                let upstream = UpstreamRow {
                    url: settings.url.clone(),
                    follows_head,
                    anonymous: settings.anonymous,
                    runs: Runs::default(),
                };
                upstreams::put(tx, row.id, &upstream)?;
                let mut entry =
                    Entry::done("repository.mirror", path).in_repository(row.namespace_id, row.id);
                entry.detail = format!("of {}", upstream.url);
                audit::append(tx, authorized.caller(), &entry)?;
                Ok(row)
            })
            .await;
        if made.is_err() {
            self.remove_folder(uuid).await;
        }
        made
    }

    /// The upstream of a repository, if it has one.
    ///
    /// # Errors
    /// When the store fails.
    pub fn upstream(&self, repository_id: u64) -> Result<Option<UpstreamRow>, HostingError> {
        Ok(upstreams::of(&self.store.snapshot()?, repository_id)?)
    }

    /// Whether this may be synced by whoever brings the proof.
    ///
    /// # Errors
    /// [`HostingError::Invalid`] when the repository has no upstream.
    pub fn has_upstream(&self, authorized: &Authorized<policy::Push>) -> Result<(), HostingError> {
        match self.upstream(authorized.target().id)? {
            Some(_) => Ok(()),
            None => Err(HostingError::Invalid {
                field: "repository",
                reason: "has no upstream".to_owned(),
            }),
        }
    }

    /// Begins a run: notes that it runs, and finds out what it needs.
    ///
    /// # Errors
    /// When the repository or its upstream is gone, or can't be read.
    pub async fn begin_run(&self, repository_id: u64) -> Result<Run, HostingError> {
        let gone = move || HostingError::not_found("mirror", repository_id);
        let row = self
            .store
            .commit(move |tx| {
                let row = repositories::by_id(tx, repository_id)?.ok_or_else(gone)?;
                let mut upstream = upstreams::of(tx, repository_id)?.ok_or_else(gone)?;
                upstream.runs.count += 1;
                upstream.runs.started_at = Some(tx.now());
                upstream.runs.finished_at = None;
                upstreams::put(tx, repository_id, &upstream)?;
                Ok::<_, HostingError>(row)
            })
            .await?;
        let hosting = self.clone();
        blocking(move || {
            let snapshot = hosting.store.snapshot()?;
            let upstream = upstreams::of(&snapshot, repository_id)?.ok_or_else(gone)?;
            let login = match upstreams::credential_of(&snapshot, repository_id)? {
                Some(row) if !upstream.anonymous => Some(hosting.opened(&row)?),
                _ => None,
            };
            // The refs come first: what they name is in the packs opened after.
            let refs = hosting.store.refs(repository_id)?.ok_or_else(gone)?;
            Ok(Run {
                repository_id,
                refs,
                objects: hosting.repositories.get(&row.uuid, row.object_format)?,
                taken: upstreams::taken(&snapshot, repository_id)?
                    .into_iter()
                    .collect(),
                upstream,
                login,
            })
        })
        .await
    }

    /// Notes why a run failed.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn run_failed(&self, repository_id: u64, reason: String) -> Result<(), HostingError> {
        self.store
            .commit(move |tx| {
                if let Some(mut upstream) = upstreams::of(tx, repository_id)? {
                    upstream.runs.finished_at = Some(tx.now());
                    upstream.runs.failures = upstream.runs.failures.saturating_add(1);
                    upstream.runs.error = Some(reason.clone());
                    upstreams::put(tx, repository_id, &upstream)?;
                }
                Ok(())
            })
            .await
    }

    /// Ends a run well: publishes what it brought and moves the refs, all at once.
    ///
    /// # Errors
    /// When the repository is gone, its objects can't be stored, or the store fails; no ref has moved then.
    pub async fn finish_run(
        &self,
        run: Run,
        caller: Caller,
        found: Found,
        quarantine: Option<Quarantine>,
    ) -> Result<Mirrored, HostingError> {
        let refs_max = self.refs_max;
        let (plan, run) = blocking(move || {
            if let Some(quarantine) = quarantine {
                quarantine.publish()?;
            }
            Ok((Plan::of(&run, &found)?, run))
        })
        .await?;
        self.store
            .commit(move |tx| plan.commit(tx, &run, &caller, refs_max))
            .await
    }
}

/// How refs will move, judged by what was read before the transaction.
struct Plan {
    moves: Vec<Move>,
    /// What the upstream has, whether it moves anything here or not.
    seen: Vec<(RefName, Option<ObjectId>)>,
    diverged: Vec<RefName>,
    head: Option<RefName>,
}

struct Move {
    old: Option<ObjectId>,
    write: RefWrite,
}

impl Plan {
    fn of(run: &Run, found: &Found) -> Result<Self, HostingError> {
        let mut commands = Vec::new();
        let mut diverged = Vec::new();
        let mut seen = Vec::new();
        for (name, new) in &found.refs {
            let last = run.taken.get(name.as_str());
            if last != Some(new) {
                seen.push((name.clone(), Some(*new)));
            }
            let old = run.refs.find(name.as_str()).map(|entry| entry.id);
            if old != Some(*new) {
                commands.push(Command {
                    name: name.clone(),
                    old,
                    new: Some(*new),
                });
            }
        }
        let hopeful = vec![Ok(()); commands.len()];
        let push = Push {
            commands,
            atomic: false,
        };
        let tips = tips::examine(&run.objects, &push, hopeful)?;
        let mut moves = Vec::new();
        for (command, tip) in push.commands.into_iter().zip(tips) {
            let ours_alone = command.old.is_some()
                && command.old.as_ref() != run.taken.get(command.name.as_str());
            match tip {
                Ok(tip) if tip.forced && ours_alone => diverged.push(command.name),
                Ok(tip) => moves.push(Move {
                    old: command.old,
                    write: RefWrite {
                        name: command.name,
                        new: command.new,
                        peeled: tip.peeled,
                        forced: tip.forced && command.old.is_some(),
                    },
                }),
                Err(refusal) => {
                    tracing::warn!(name = %command.name, %refusal, "a ref of an upstream is left out");
                    diverged.push(command.name);
                }
            }
        }
        if found.all {
            let removed = run.taken.iter().filter_map(|(name, last)| {
                let name: RefName = name.parse().ok()?;
                (!found.refs.contains_key(&name)).then_some((name, *last))
            });
            for (name, last) in removed {
                let old = run.refs.find(name.as_str()).map(|entry| entry.id);
                seen.push((name.clone(), None));
                match old {
                    Some(old) if old == last => moves.push(Move {
                        old: Some(old),
                        write: RefWrite {
                            name,
                            new: None,
                            peeled: None,
                            forced: true,
                        },
                    }),
                    Some(_) => diverged.push(name),
                    None => {}
                }
            }
        }
        let head = found.head.clone();
        Ok(Self {
            moves,
            seen,
            diverged,
            head: head.filter(|head| found.refs.contains_key(head)),
        })
    }

    fn commit(
        &self,
        tx: &Transaction<'_>,
        run: &Run,
        caller: &Caller,
        refs_max: u64,
    ) -> Result<Mirrored, HostingError> {
        let id = run.repository_id;
        let mut row = repositories::by_id(tx, id)?.ok_or(Denied::NotVisible)?;
        let mut upstream =
            upstreams::of(tx, id)?.ok_or_else(|| HostingError::not_found("mirror", row.id))?;
        let head = self.head.as_ref().filter(|_| upstream.follows_head);
        let head_moves = head.is_some_and(|head| *head != row.default_branch);
        if let Some(head) = head {
            row.default_branch.clone_from(head);
        }
        let mut count = refs::state(tx, id)?.count;
        let deleted: BTreeSet<String> = self
            .moves
            .iter()
            .filter(|one| one.write.new.is_none())
            .map(|one| one.write.name.to_string())
            .collect();
        let mut diverged = self.diverged.clone();
        let mut writes = Vec::new();
        for one in &self.moves {
            let name = &one.write.name;
            let stored = refs::find(tx, id, name.as_str())?.map(|row| row.id);
            let kept = one.write.new.is_none() && *name == row.default_branch;
            let made = stored.is_none() && one.write.new.is_some();
            if made && count >= refs_max {
                return Err(HostingError::TooMany {
                    what: "refs of a repository",
                    max: usize::try_from(refs_max).unwrap_or(usize::MAX),
                });
            }
            let conflict = match (stored, one.write.new) {
                (None, Some(_)) => {
                    refs::conflicting(tx, id, name.as_str(), |other| deleted.contains(other))?
                }
                _ => None,
            };
            // Somebody pushed meanwhile: the next run sees that.
            if stored != one.old || kept || conflict.is_some() {
                diverged.push(one.write.name.clone());
            } else {
                count += u64::from(made);
                writes.push(one.write.clone());
            }
        }
        if head_moves {
            repositories::update(tx, &row)?;
        }
        let left: BTreeSet<&RefName> = diverged.iter().collect();
        for (name, seen) in &self.seen {
            if seen.is_none() || !left.contains(name) {
                upstreams::take(tx, id, name.as_str(), seen.as_ref())?;
            }
        }
        if !writes.is_empty() {
            let actor = format!("mirror, for {}", caller.principal.display_name());
            refs::apply(tx, id, &writes, &actor)?;
        }
        upstream.runs.finished_at = Some(tx.now());
        upstream.runs.failures = 0;
        upstream.runs.error = match diverged.as_slice() {
            [] => None,
            [first, rest @ ..] => Some(format!(
                "{first} and {} others were changed here, too, and were left alone",
                rest.len()
            )),
        };
        upstreams::put(tx, id, &upstream)?;
        let target = upstream.url.clone();
        let mut entry = Entry::done("repository.sync", target).in_repository(row.namespace_id, id);
        entry.detail = format!("{} refs moved, {} left alone", writes.len(), diverged.len());
        audit::append(tx, caller, &entry)?;
        Ok(Mirrored {
            moved: writes.len(),
            diverged,
        })
    }
}
