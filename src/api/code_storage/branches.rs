//! Branches in the order they were made.

use axum::{Json, extract::State};
use serde::Serialize;

use super::{PAGE_DEFAULT, PAGE_MAX, error::Error, target};
use crate::{
    api::{App, off_runtime, query::Query},
    hosting::{Branch, BranchCursor},
    model::Caller,
    policy::Fetch,
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
        let page = match ephemeral {
            true => app.hosting.ephemeral_branches(&authorized, after, limit)?,
            false => app.hosting.branches(&authorized, after, limit)?,
        };
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
