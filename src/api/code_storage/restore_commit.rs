//! Commits that put back what an earlier one held.
//!
//! Source: Code Storage API, "Restore commit".

use axum::{
    body::Body,
    extract::{FromRequest as _, Request, State},
    response::Response,
};
use serde::Deserialize;

use super::{
    commit::{CommitBody, CommittedView, refused, required, writes_to},
    error::Error,
};
use crate::{
    api::{App, body::JsonBody, off_runtime},
    model::BranchName,
    policy::{self, Fetch},
};

#[derive(Debug, Deserialize)]
struct RestoreBody {
    metadata: Option<Metadata>,
}

#[derive(Debug, Deserialize)]
struct Metadata {
    #[serde(flatten)]
    commit: CommitBody,
    target_commit_sha: Option<String>,
}

/// `POST /api/v1/repos/restore-commit`: makes a commit on top of a branch that holds what an earlier
/// commit held.
///
/// 201 the commit; 400 the body is not understood; 401 no valid credential, or none with `git:write`;
/// 403 a rule forbids it; 404 no such repository, branch or commit; 409 the branch is not where
/// `expected_head_sha` says.
pub(super) async fn create(State(app): State<App>, request: Request<Body>) -> Response {
    let mut branch = None;
    let made = restore(&app, request, &mut branch).await;
    made.unwrap_or_else(|error| refused(&error, branch.as_ref()))
}

async fn restore(
    app: &App,
    request: Request<Body>,
    branch: &mut Option<BranchName>,
) -> Result<Response, Error> {
    let (mut parts, body) = request.into_parts();
    let (push, format) = writes_to(app, &mut parts).await?;
    let fetch = policy::authorize::<Fetch>(push.caller(), push.target())?;
    let body = JsonBody::from_request(Request::from_parts(parts, body), app).await?;
    let body: RestoreBody = body.parse()?;
    let missing = || Error::Parameter("metadata is missing".to_owned());
    let metadata = body.metadata.ok_or_else(missing)?;
    let (target, onto) = metadata.commit.onto(format)?;
    *branch = Some(target.clone());
    let wanted = required(metadata.target_commit_sha.as_deref(), "target_commit_sha")?.to_owned();
    let text = metadata.commit.text(Some(format!("Restore {wanted}")))?;
    let mut contents = app.hosting.contents(&fetch).await?;
    let tree = off_runtime(move || {
        let absent = || Error::NotFound(format!("commit {wanted} does not exist"));
        let found = contents.object(&wanted)?.ok_or_else(absent)?;
        let commit = contents.commit_of(found)?.ok_or_else(absent)?;
        contents.tree_of(commit)?.ok_or_else(absent)
    })
    .await?;
    let draft = app.hosting.draft(push, onto).await?;
    let committed = draft.commit(text, move |_| Ok(tree)).await?;
    Ok(CommittedView::answer(&target, &committed, None))
}
