//! Refs that are made and deleted one at a time by API.
//!
//! Bounds: [`TRIES`](super::TRIES) to delete a ref that moves meanwhile.
//! Invariant: as with a push, it is judged where it is done.
//! Not here: commits, which move a ref to something new.

use super::{CommitError, TRIES, label};
use crate::{
    hosting::{Command, Hosting, HostingError, Push, Refusal, blocking},
    model::{ObjectId, RefName},
    policy::{self, Authorized},
    store::refs,
};

impl Hosting {
    /// Makes a ref that names this object, which the caller may see.
    ///
    /// # Errors
    /// [`CommitError::Refused`] when there is one of this name, or it may not be made.
    pub async fn create_ref(
        &self,
        authorized: Authorized<policy::Push>,
        name: RefName,
        id: ObjectId,
    ) -> Result<(), CommitError> {
        let command = Command {
            name,
            old: None,
            new: Some(id),
        };
        let moved = self.move_ref(authorized, command).await?;
        moved.map_err(CommitError::Refused)
    }

    /// Deletes a ref, wherever it points, and says where that was.
    ///
    /// # Errors
    /// [`CommitError::Refused`] when there is none of this name, or it may not be deleted.
    pub async fn delete_ref(
        &self,
        authorized: Authorized<policy::Push>,
        name: RefName,
    ) -> Result<ObjectId, CommitError> {
        let repository = authorized.target().id;
        for _ in 0..TRIES {
            let (store, looked_up) = (self.store.clone(), name.clone());
            let row = blocking(move || {
                let snapshot = store.snapshot()?;
                Ok(refs::find(&snapshot, repository, looked_up.as_str())?)
            });
            let Some(row) = row.await? else {
                return Err(CommitError::Refused(Refusal::NoSuchRef));
            };
            let command = Command {
                name: name.clone(),
                old: Some(row.id),
                new: None,
            };
            match self.move_ref(authorized.clone(), command).await? {
                Ok(()) => return Ok(row.id),
                Err(Refusal::Stale) => {}
                Err(refusal) => return Err(CommitError::Refused(refusal)),
            }
        }
        Err(CommitError::Contended(label(&name)))
    }

    async fn move_ref(
        &self,
        authorized: Authorized<policy::Push>,
        command: Command,
    ) -> Result<Result<(), Refusal>, HostingError> {
        let push = Push {
            commands: vec![command],
            atomic: true,
        };
        let outcomes = self.push(authorized, push, None).await?;
        let outcome = outcomes.into_iter().next();
        Ok(outcome.map_or(Ok(()), |outcome| outcome.result.map(drop)))
    }
}
