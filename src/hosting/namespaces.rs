//! Namespaces: organizations, their members, their robots, and the keys of their JWTs.
//!
//! Bounds: [`ISSUER_KEYS_MAX`], [`ROBOTS_MAX`], [`MEMBERS_MAX`] a namespace.
//! Invariant: nobody gives away a role above its own.

use super::{Hosting, HostingError, access, check_title};
use crate::{
    auth::{issuer_key, secrets},
    model::{NamespaceName, Role},
    policy::{self, Administer, AdministerServer, Authorized, Denied, ManageNamespace},
    store::{
        Transaction,
        audit::{self, Entry},
        issuers::{self, IssuerKeyRow},
        memberships::{self, MemberOf, Subject},
        namespaces::{self, NamespaceOwner, NamespaceRow},
        robots::{self, RobotRow},
        users,
    },
};

/// Most issuer keys of one namespace: all may have to be tried on a JWT.
const ISSUER_KEYS_MAX: usize = 32;

/// Most robots of one namespace.
const ROBOTS_MAX: usize = 1000;

/// Most members of one namespace or repository.
const MEMBERS_MAX: usize = 10_000;

/// Most rows in one answer.
const LIST_MAX: usize = 1000;

impl Hosting {
    /// Makes an organization.
    ///
    /// # Errors
    /// [`HostingError::Taken`] when a namespace has the name.
    pub async fn create_organization(
        &self,
        authorized: Authorized<AdministerServer>,
        name: NamespaceName,
    ) -> Result<NamespaceRow, HostingError> {
        let uuid = secrets::new_uuid();
        self.store
            .commit(move |tx| {
                let authorized = access::confirm_caller(tx, &authorized)?;
                let row = namespaces::insert(tx, &uuid, &name, NamespaceOwner::Organization)?
                    .ok_or_else(|| HostingError::taken("namespace", &name))?;
                let entry = Entry::done("namespace.create", name.as_str()).in_namespace(row.id);
                audit::append(tx, authorized.caller(), &entry)?;
                Ok(row)
            })
            .await
    }

    /// At most `limit` namespaces with ids above `after`, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub fn list_namespaces(
        &self,
        _authorized: &Authorized<AdministerServer>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<NamespaceRow>, HostingError> {
        let snapshot = self.store.snapshot()?;
        Ok(namespaces::list(&snapshot, after, limit.min(LIST_MAX))?)
    }

    /// Adds a public key whose JWTs speak for the namespace from now on.
    ///
    /// # Errors
    /// [`HostingError::IssuerKey`] when it is not a good key, [`HostingError::Taken`] when the
    /// namespace has another key of this `kid`.
    pub async fn add_issuer_key(
        &self,
        authorized: Authorized<ManageNamespace>,
        kid: Option<String>,
        pem: String,
    ) -> Result<IssuerKeyRow, HostingError> {
        let family = issuer_key::family(&pem)?;
        if let Some(kid) = &kid {
            check_title("kid", kid)?;
        }
        self.manage(authorized, move |tx, authorized| {
            let namespace = authorized.target();
            let keys = issuers::of_namespace(tx, namespace.id, ISSUER_KEYS_MAX)?;
            if keys.len() >= ISSUER_KEYS_MAX {
                return Err(HostingError::TooMany {
                    what: "issuer keys",
                    max: ISSUER_KEYS_MAX,
                });
            }
            if kid.is_some() && keys.iter().any(|key| key.kid == kid) {
                let kid = kid.clone().unwrap_or_default();
                return Err(HostingError::taken("issuer key", kid));
            }
            let row = issuers::insert(tx, namespace.id, kid.as_deref(), family, &pem)?;
            let entry = Entry::done("issuer.add", format!("{} key {}", namespace.name, row.id));
            Ok((row, entry))
        })
        .await
    }

    /// The issuer keys of a namespace, oldest first.
    ///
    /// # Errors
    /// When the store fails.
    pub fn list_issuer_keys(
        &self,
        authorized: &Authorized<ManageNamespace>,
    ) -> Result<Vec<IssuerKeyRow>, HostingError> {
        let snapshot = self.store.snapshot()?;
        let namespace = authorized.target().id;
        Ok(issuers::of_namespace(
            &snapshot,
            namespace,
            ISSUER_KEYS_MAX,
        )?)
    }

    /// Removes an issuer key; JWTs that it verified are worthless at once.
    ///
    /// # Errors
    /// [`HostingError::NotFound`] when the namespace has no such key.
    pub async fn delete_issuer_key(
        &self,
        authorized: Authorized<ManageNamespace>,
        id: u64,
    ) -> Result<(), HostingError> {
        self.manage(authorized, move |tx, authorized| {
            let namespace = authorized.target();
            let row = issuers::find(tx, namespace.id, id)?
                .ok_or_else(|| HostingError::not_found("issuer key", id))?;
            issuers::remove(tx, &row)?;
            let entry = Entry::done("issuer.delete", format!("{} key {id}", namespace.name));
            Ok(((), entry))
        })
        .await
    }

    /// Makes a robot of the namespace; it may nothing until it is made a member of something.
    ///
    /// # Errors
    /// [`HostingError::Taken`] when the namespace has a robot of this name.
    pub async fn create_robot(
        &self,
        authorized: Authorized<ManageNamespace>,
        short: NamespaceName,
        description: String,
    ) -> Result<RobotRow, HostingError> {
        check_title("description", &description)?;
        self.manage(authorized, move |tx, authorized| {
            let namespace = authorized.target();
            if robots::in_namespace(tx, namespace.id, ROBOTS_MAX)?.len() >= ROBOTS_MAX {
                return Err(HostingError::TooMany {
                    what: "robots",
                    max: ROBOTS_MAX,
                });
            }
            let row = robots::insert(tx, namespace.id, &short, &description)?
                .ok_or_else(|| HostingError::taken("robot", &short))?;
            let entry = Entry::done("robot.create", format!("{}+{short}", namespace.name));
            Ok((row, entry))
        })
        .await
    }

    /// The robots of a namespace by name.
    ///
    /// # Errors
    /// When the store fails.
    pub fn list_robots(
        &self,
        authorized: &Authorized<ManageNamespace>,
    ) -> Result<Vec<RobotRow>, HostingError> {
        let snapshot = self.store.snapshot()?;
        let namespace = authorized.target().id;
        Ok(robots::in_namespace(&snapshot, namespace, ROBOTS_MAX)?)
    }

    /// Removes a robot; its tokens and keys open nothing from now on.
    ///
    /// # Errors
    /// [`HostingError::NotFound`] when the namespace has no such robot.
    pub async fn delete_robot(
        &self,
        authorized: Authorized<ManageNamespace>,
        short: String,
    ) -> Result<(), HostingError> {
        self.manage(authorized, move |tx, authorized| {
            let namespace = authorized.target();
            let row = robots::by_name(tx, namespace.id, &short)?
                .ok_or_else(|| HostingError::not_found("robot", &short))?;
            robots::remove(tx, &row)?;
            let entry = Entry::done("robot.delete", format!("{}+{short}", namespace.name));
            Ok(((), entry))
        })
        .await
    }

    /// The members of a namespace.
    ///
    /// # Errors
    /// When the store fails.
    pub fn list_members(
        &self,
        authorized: &Authorized<ManageNamespace>,
    ) -> Result<Vec<(Subject, Role)>, HostingError> {
        let snapshot = self.store.snapshot()?;
        let target = MemberOf::Namespace(authorized.target().id);
        Ok(memberships::members(&snapshot, target, MEMBERS_MAX)?)
    }

    /// Gives somebody a role on a namespace and all its repositories; `None` takes it away.
    ///
    /// # Errors
    /// [`HostingError::NotFound`] when there is no such user or robot.
    pub async fn set_member(
        &self,
        authorized: Authorized<ManageNamespace>,
        subject: Subject,
        role: Option<Role>,
    ) -> Result<(), HostingError> {
        self.manage(authorized, move |tx, authorized| {
            let namespace = authorized.target();
            let name = check_subject(tx, subject)?;
            set_role(tx, subject, MemberOf::Namespace(namespace.id), role)?;
            let entry = Entry::done("namespace.member", format!("{name} of {}", namespace.name));
            Ok(((), with_role(entry, role)))
        })
        .await
    }

    /// Gives somebody a role on one repository; `None` takes it away.
    ///
    /// # Errors
    /// [`HostingError::NotFound`] when there is no such user or robot; [`HostingError::Denied`]
    /// when the role is above the caller's own.
    pub async fn set_repository_member(
        &self,
        authorized: Authorized<Administer>,
        subject: Subject,
        role: Option<Role>,
    ) -> Result<(), HostingError> {
        self.store
            .commit(move |tx| {
                let (authorized, row) = access::confirm(tx, &authorized)?;
                let (caller, facts) = (authorized.caller(), authorized.target());
                let target = MemberOf::Repository(row.id);
                let before = memberships::role(tx, subject, target)?;
                let own = policy::role_on(caller, facts);
                if let Some(needed) = role.max(before).filter(|role| Some(*role) > own) {
                    return Err(Denied::RoleTooLow { needed }.into());
                }
                let name = check_subject(tx, subject)?;
                set_role(tx, subject, target, role)?;
                let entry = Entry::done("repository.member", format!("{name} of {}", facts.path))
                    .in_repository(row.namespace_id, row.id);
                Ok(audit::append(tx, caller, &with_role(entry, role))?)
            })
            .await
    }

    async fn manage<T: Send + 'static>(
        &self,
        authorized: Authorized<ManageNamespace>,
        work: impl Fn(
            &Transaction<'_>,
            &Authorized<ManageNamespace>,
        ) -> Result<(T, Entry), HostingError>
        + Send
        + 'static,
    ) -> Result<T, HostingError> {
        self.store
            .commit(move |tx| {
                let authorized = access::confirm_on_namespace(tx, &authorized)?;
                let (done, entry) = work(tx, &authorized)?;
                let entry = entry.in_namespace(authorized.target().id);
                audit::append(tx, authorized.caller(), &entry)?;
                Ok(done)
            })
            .await
    }
}

fn set_role(
    tx: &Transaction<'_>,
    subject: Subject,
    target: MemberOf,
    role: Option<Role>,
) -> Result<(), HostingError> {
    let Some(role) = role else {
        memberships::remove(tx, subject, target)?;
        return Ok(());
    };
    let is_new = memberships::role(tx, subject, target)?.is_none();
    if is_new && memberships::members(tx, target, MEMBERS_MAX)?.len() >= MEMBERS_MAX {
        return Err(HostingError::TooMany {
            what: "members",
            max: MEMBERS_MAX,
        });
    }
    Ok(memberships::put(tx, subject, target, role)?)
}

fn check_subject(tx: &Transaction<'_>, subject: Subject) -> Result<String, HostingError> {
    let name = match subject {
        Subject::User(id) => users::by_id(tx, id)?.map(|row| row.name.to_string()),
        Subject::Robot(id) => robots::by_id(tx, id)?.map(|row| format!("robot {}", row.short)),
    };
    name.ok_or_else(|| match subject {
        Subject::User(id) => HostingError::not_found("user", id),
        Subject::Robot(id) => HostingError::not_found("robot", id),
    })
}

fn with_role(mut entry: Entry, role: Option<Role>) -> Entry {
    entry.detail = role.map_or_else(|| "none".to_owned(), |role| format!("{role:?}"));
    entry
}
