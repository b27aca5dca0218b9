//! What a push may do to single refs, once it may push at all.
//!
//! Source: the operations of the Code Storage API's ref policies; git's own default to keep the
//! branch that HEAD names (`receive.denyDeleteCurrent`). An ephemeral ref is judged by the name it has
//! in its namespace, so that a policy for `main` holds for the ephemeral `main`, too.
//! Invariant: a demand that can't be checked refuses.

use super::{Authorized, Push};
use crate::model::{RefName, RefOperation};

/// One command of a push, as the commit point sees it.
#[derive(Debug, Clone, Copy)]
pub struct RefChange<'a> {
    /// Which ref.
    pub name: &'a RefName,
    /// What happens to it, judged against the stored value.
    pub kind: RefChangeKind,
    /// Whether all new commits carry signatures that were verified.
    pub signed: bool,
}

/// What happens to a ref.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefChangeKind {
    /// It is made.
    Create,
    /// It moves.
    Update {
        /// Whether commits are lost from it.
        forced: bool,
    },
    /// It is deleted.
    Delete,
}

/// Why a command of a push is refused; the text is what the pusher reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The credential's ref policy forbids it.
    #[error("denied by policy: {0}")]
    Policy(&'static str),
    /// HEAD would name nothing.
    #[error("the default branch can't be deleted")]
    DefaultBranch,
    /// The server keeps refs of this kind for itself.
    #[error("refs below {0} can't be pushed")]
    Reserved(&'static str),
}

/// Refs that no push may touch; those of the namespace `ephemeral` are none of them.
pub const RESERVED_REFS: &[&str] = &["refs/namespaces/", "refs/internal/", "refs/pull/"];

/// Judges one command of a push.
///
/// # Errors
/// Why it is refused.
pub fn judge_command(push: &Authorized<Push>, change: &RefChange<'_>) -> Result<(), Refusal> {
    let name = change.name.local();
    if let Some(reserved) = RESERVED_REFS
        .iter()
        .find(|prefix| name.starts_with(**prefix))
    {
        return Err(Refusal::Reserved(reserved));
    }
    if !name.starts_with("refs/") {
        return Err(Refusal::Reserved(RefName::EPHEMERAL));
    }
    let of_key = push.target.deploy_key.as_ref().map(|key| &key.refs);
    for policy in [Some(&push.caller.grant.refs), of_key]
        .into_iter()
        .flatten()
    {
        for operation in policy.operations_for(name) {
            judge_operation(*operation, change)?;
        }
    }
    if change.kind == RefChangeKind::Delete && *change.name == push.target.default_branch {
        return Err(Refusal::DefaultBranch);
    }
    Ok(())
}

fn judge_operation(operation: RefOperation, change: &RefChange<'_>) -> Result<(), Refusal> {
    let loses_commits = matches!(
        change.kind,
        RefChangeKind::Delete | RefChangeKind::Update { forced: true }
    );
    match operation {
        RefOperation::NoPush => Err(Refusal::Policy("no-push holds for this ref")),
        RefOperation::NoForcePush if loses_commits => {
            Err(Refusal::Policy("no-force-push holds for this ref"))
        }
        RefOperation::VerifySig if !change.signed && change.kind != RefChangeKind::Delete => {
            Err(Refusal::Policy("verify-sig holds for this ref"))
        }
        RefOperation::NoForcePush | RefOperation::VerifySig => Ok(()),
    }
}
