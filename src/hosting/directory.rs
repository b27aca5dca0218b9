//! Looking up by name what the APIs speak of by name: namespaces and members.
//!
//! Bounds: [`MEMBERS_MAX`].
//! Invariant: nothing here changes anything.

use super::{Hosting, HostingError};
use crate::{
    model::{NamespaceName, Role},
    policy::{Administer, Authorized, ListRepositories},
    store::{
        StoreError,
        memberships::{self, MemberOf, Subject},
        namespaces::{self, NamespaceRow},
        robots, users,
    },
};

/// Most members of one repository in an answer.
const MEMBERS_MAX: usize = 10_000;

impl Hosting {
    /// The namespace itself.
    ///
    /// # Errors
    /// When it is gone.
    pub fn namespace(
        &self,
        authorized: &Authorized<ListRepositories>,
    ) -> Result<NamespaceRow, HostingError> {
        let target = authorized.target();
        namespaces::by_id(&self.store.snapshot()?, target.id)?
            .ok_or_else(|| HostingError::not_found("namespace", &target.name))
    }

    /// The direct members of a repository; those of its namespace are members, too.
    ///
    /// # Errors
    /// When the store fails.
    pub fn list_repository_members(
        &self,
        authorized: &Authorized<Administer>,
    ) -> Result<Vec<(Subject, Role)>, HostingError> {
        let snapshot = self.store.snapshot()?;
        let target = MemberOf::Repository(authorized.target().id);
        Ok(memberships::members(&snapshot, target, MEMBERS_MAX)?)
    }

    /// Who can be a member under this name: a user, or with a plus sign in it a robot.
    ///
    /// # Errors
    /// [`HostingError::NotFound`] when nobody has the name.
    pub fn member_named(&self, name: &str) -> Result<Subject, HostingError> {
        let snapshot = self.store.snapshot()?;
        let Some((namespace, short)) = name.split_once('+') else {
            let user = users::by_name(&snapshot, name)?;
            return user
                .map(|row| Subject::User(row.id))
                .ok_or_else(|| HostingError::not_found("user", name));
        };
        let unknown = || HostingError::not_found("robot", name);
        let namespace: NamespaceName = namespace.parse().map_err(|_| unknown())?;
        let namespace = namespaces::by_name(&snapshot, &namespace)?.ok_or_else(unknown)?;
        let robot = robots::by_name(&snapshot, namespace.id, short)?.ok_or_else(unknown)?;
        Ok(Subject::Robot(robot.id))
    }

    /// The names of members, in the order given; somebody who is gone meanwhile is left out.
    ///
    /// # Errors
    /// When the store fails.
    pub fn with_names(
        &self,
        members: Vec<(Subject, Role)>,
    ) -> Result<Vec<(String, Role)>, HostingError> {
        let snapshot = self.store.snapshot()?;
        let name = |subject| {
            Ok::<_, StoreError>(match subject {
                Subject::User(id) => users::by_id(&snapshot, id)?.map(|row| row.name.to_string()),
                Subject::Robot(id) => match robots::by_id(&snapshot, id)? {
                    Some(robot) => namespaces::by_id(&snapshot, robot.namespace_id)?
                        .map(|namespace| format!("{}+{}", namespace.name, robot.short)),
                    None => None,
                },
            })
        };
        let mut named = Vec::with_capacity(members.len());
        for (subject, role) in members {
            named.extend(name(subject)?.map(|name| (name, role)));
        }
        Ok(named)
    }
}
