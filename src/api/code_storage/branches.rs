//! Branches: listed in the order they were made, made, deleted.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};

use super::{PAGE_DEFAULT, PAGE_MAX, commit::required, error::Error, revision::branch, target};
use crate::{
    api::{App, body::JsonBody, off_runtime, query::Query},
    hosting::{Branch, BranchCursor},
    model::Caller,
    policy::{Fetch, Push},
};

/// A branch in an answer.
#[derive(Debug, Serialize)]
pub(super) struct BranchView {
    cursor: String,
    name: String,
    head_sha: String,
    created_at: String,
}

/// The answer of [`list`].
#[derive(Debug, Serialize)]
pub(super) struct ListView {
    branches: Vec<BranchView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    has_more: bool,
}

impl From<Branch> for BranchView {
    fn from(branch: Branch) -> Self {
        Self {
            cursor: branch.cursor.to_string(),
            name: branch.name,
            head_sha: branch.id.to_string(),
            created_at: branch.created_at.to_string(),
        }
    }
}

/// `GET /api/v1/repos/branches`: lists branches, oldest first; the ephemeral ones on request.
///
/// 200 a page of them; 400 a parameter is not understood; 401 no valid credential, or none with
/// `git:read`; 404 no such repository.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Json<ListView>, Error> {
    let path = target::repository(&caller, &query)?;
    let (authorized, _) = app.hosting.authorize::<Fetch>(&caller, &path)?;
    let after: Option<BranchCursor> = query.parsed("cursor", "a cursor of this list")?;
    let limit = query.limit(PAGE_DEFAULT, PAGE_MAX)?;
    let ephemeral = query.switch("ephemeral")?.unwrap_or_default();
    off_runtime(move || {
        let page = app.hosting.branches(&authorized, ephemeral, after, limit)?;
        let branches: Vec<_> = page.items.into_iter().map(BranchView::from).collect();
        let last = branches.last().map(|last| last.cursor.clone());
        Ok(Json(ListView {
            branches,
            next_cursor: last.filter(|_| page.has_more),
            has_more: page.has_more,
        }))
    })
    .await
}

/// The body of [`create`].
#[derive(Debug, Deserialize)]
pub(super) struct NewBranch {
    target_branch: Option<String>,
    base_ref: Option<String>,
    base_branch: Option<String>,
    #[serde(default)]
    base_is_ephemeral: bool,
    #[serde(default)]
    target_is_ephemeral: bool,
}

/// The answer of [`create`].
#[derive(Debug, Serialize)]
pub(super) struct CreatedView {
    message: &'static str,
    target_branch: String,
    target_is_ephemeral: bool,
    commit_sha: String,
}

/// `POST /api/v1/repos/branches/create`: makes a branch where another one, a tag or a commit is.
///
/// 200 the branch; 400 the body is not understood, or the base is no commit; 401 no valid credential,
/// or none with `git:write`; 403 a rule forbids it; 404 no such repository or base; 409 it exists, or
/// its name and another one's exclude each other.
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    query: Query,
    body: JsonBody,
) -> Result<Json<CreatedView>, Error> {
    let path = target::repository(&caller, &query)?;
    let (push, _) = app.hosting.authorize::<Push>(&caller, &path)?;
    let (fetch, _) = app.hosting.authorize::<Fetch>(&caller, &path)?;
    let new: NewBranch = body.parse()?;
    let name = required(new.target_branch.as_deref(), "target_branch")?;
    let target = branch(name, new.target_is_ephemeral)?;
    let base = new.base_ref.as_deref().or(new.base_branch.as_deref());
    let base = required(base, "base_ref")?.to_owned();
    let mut contents = app.hosting.contents(&fetch).await?;
    let commit = off_runtime(move || {
        let found = match new.base_is_ephemeral {
            false => contents.revision(&base)?,
            true => {
                let branch = branch(&base, true).ok();
                let tip = branch.and_then(|branch| contents.tip(branch.stored()));
                match tip {
                    None => contents.object(&base)?,
                    tip => tip,
                }
            }
        };
        let absent = || Error::NotFound(format!("base {base} does not exist"));
        let commit = contents.commit_of(found.ok_or_else(absent)?)?;
        commit.ok_or_else(|| Error::Parameter(format!("base {base} is no commit")))
    })
    .await?;
    let stored = target.stored().clone();
    app.hosting.create_ref(push, stored, commit).await?;
    Ok(Json(CreatedView {
        message: "branch created",
        target_branch: target.short().to_owned(),
        target_is_ephemeral: new.target_is_ephemeral,
        commit_sha: commit.to_string(),
    }))
}

/// The body of [`remove`].
#[derive(Debug, Deserialize)]
pub(super) struct OldBranch {
    #[serde(alias = "target_branch")]
    name: Option<String>,
    #[serde(default, alias = "target_is_ephemeral")]
    ephemeral: bool,
}

/// The answer of [`remove`].
#[derive(Debug, Serialize)]
pub(super) struct RemovedView {
    name: String,
    message: &'static str,
    ephemeral: bool,
}

/// `DELETE /api/v1/repos/branches`: deletes a branch.
///
/// 200 done; 400 the body is not understood; 401 no valid credential, or none with `git:write`; 403 a
/// rule forbids it; 404 no such repository or branch; 409 it is the default branch.
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    query: Query,
    body: JsonBody,
) -> Result<Json<RemovedView>, Error> {
    let path = target::repository(&caller, &query)?;
    let (push, _) = app.hosting.authorize::<Push>(&caller, &path)?;
    let old: OldBranch = body.parse()?;
    let old_name = required(old.name.as_deref(), "name")?;
    let target = branch(old_name, old.ephemeral)?;
    let stored = target.stored().clone();
    app.hosting.delete_ref(push, stored).await?;
    Ok(Json(RemovedView {
        name: target.short().to_owned(),
        message: "branch deleted",
        ephemeral: old.ephemeral,
    }))
}
