//! What a new repository begins with: `base_repo` of the request that makes it.
//!
//! Source: Code Storage API, "Create repository"; its clients send a fork as provider `code`, with a
//! token of its own for the source.
//! Invariant: the source of a fork is read with the right of that token, or of the caller where there is
//! none; that the caller may make a repository says nothing about reading another.

use serde::{Deserialize, Serialize};

use super::{error::Error, revision::branch_name};
use crate::{
    api::App,
    hosting::{ForkPoint, HostingError, OWN_PROVIDERS},
    model::{Caller, RepositoryPath},
    policy::{Authorized, Denied, Fetch},
    store::origins::OriginRow,
};

/// `base_repo` as clients write it.
#[derive(Debug, Deserialize)]
pub(super) struct BaseRepository {
    #[serde(default)]
    provider: Option<String>,
    owner: String,
    name: String,
    operation: Option<String>,
    #[serde(rename = "ref")]
    reference: Option<String>,
    sha: Option<String>,
    default_branch: Option<String>,
    auth: Option<Auth>,
}

#[derive(Debug, Deserialize)]
struct Auth {
    token: Option<String>,
}

/// A fork that is asked for.
#[derive(Debug)]
pub(super) struct Fork {
    source: RepositoryPath,
    token: Option<String>,
    point: ForkPoint,
}

impl BaseRepository {
    /// The fork that this asks for; `outer` is the request's own default branch.
    pub(super) fn into_fork(self, outer: Option<&str>) -> Result<Fork, Error> {
        let provider = self.provider.as_deref();
        if !provider.is_some_and(|provider| OWN_PROVIDERS.contains(&provider)) {
            return Err(Error::NotServed(
                "base_repo: this server makes no mirrors yet",
            ));
        }
        match self.operation.as_deref() {
            None | Some("fork") => {}
            Some("snapshot") => {
                return Err(Error::NotServed(
                    "base_repo: this server makes forks and no snapshots",
                ));
            }
            Some(other) => {
                let reason = format!("base_repo: operation {other:?} is not fork");
                return Err(Error::Parameter(reason));
            }
        }
        let default_branch = self.default_branch.as_deref().or(outer);
        Ok(Fork {
            source: RepositoryPath {
                namespace: self.owner.parse()?,
                name: self.name.parse()?,
            },
            token: self.auth.and_then(|auth| auth.token),
            point: ForkPoint {
                revision: self.sha.or(self.reference),
                default_branch: default_branch.map(branch_name).transpose()?,
            },
        })
    }
}

impl Fork {
    /// What to take from the source, and the proof that it may be read.
    pub(super) fn authorize(
        self,
        app: &App,
        caller: &Caller,
    ) -> Result<(Authorized<Fetch>, ForkPoint), Error> {
        let reader = match &self.token {
            Some(token) => app
                .authenticator
                .bearer(token, caller.address)
                .map_err(|error| {
                    tracing::info!(%error, "the token for a fork's source is refused");
                    Error::SourceToken
                })?,
            None => caller.clone(),
        };
        let found = app.hosting.authorize::<Fetch>(&reader, &self.source);
        let (authorized, _) = found.map_err(|error| match Error::from(error) {
            Error::Hosting(HostingError::Denied(Denied::OutsideGrant)) => Error::SourceToken,
            other => other,
        })?;
        Ok((authorized, self.point))
    }
}

/// Where a repository comes from, in an answer.
#[derive(Debug, Serialize)]
pub(super) struct BaseView {
    provider: String,
    owner: String,
    name: String,
}

impl From<OriginRow> for BaseView {
    fn from(origin: OriginRow) -> Self {
        Self {
            provider: origin.provider,
            owner: origin.owner,
            name: origin.name,
        }
    }
}
