//! Tags: listed by name, made, deleted.
//!
//! Invariant: a tag made here names its target itself; annotated tags come by git alone.

use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};

use super::{
    PAGE_DEFAULT, PAGE_MAX,
    commit::{object_id, required},
    error::Error,
    target,
};
use crate::{
    api::{App, body::JsonBody, off_runtime, query::Query},
    model::{Caller, RefName},
    policy::{Fetch, Push},
};

const PREFIX: &str = "refs/tags/";

/// A tag in an answer.
#[derive(Debug, Serialize)]
pub(super) struct TagView {
    cursor: String,
    name: String,
    sha: String,
}

/// The answer of [`list`].
#[derive(Debug, Serialize)]
pub(super) struct ListView {
    tags: Vec<TagView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    has_more: bool,
}

/// `GET /api/v1/repos/tags`: lists tags by name; `sha` is what the tag's ref names, for an annotated
/// tag the tag object.
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
    let limit = query.limit(PAGE_DEFAULT, PAGE_MAX)?;
    let after = query.one("cursor")?.map(tag_name).transpose()?;
    let after = after.as_ref().map(RefName::as_str);
    let page = app
        .hosting
        .refs_below(&authorized, PREFIX, after, limit)
        .await?;
    let tags: Vec<_> = page
        .items
        .iter()
        .map(|entry| {
            let name = entry.name.as_tag().unwrap_or_default();
            TagView {
                cursor: name.to_owned(),
                name: name.to_owned(),
                sha: entry.id.to_string(),
            }
        })
        .collect();
    let last = tags.last().map(|last| last.cursor.clone());
    Ok(Json(ListView {
        tags,
        next_cursor: last.filter(|_| page.has_more),
        has_more: page.has_more,
    }))
}

/// The tag of this short name; a leading `refs/tags/` is allowed, any other `refs/` is not.
fn tag_name(text: &str) -> Result<RefName, Error> {
    let short = text.strip_prefix(PREFIX).unwrap_or(text);
    match short.starts_with("refs/") {
        true => Err(Error::Parameter(format!("{text:?} is not a tag"))),
        false => Ok(RefName::tag(short)?),
    }
}

/// The body of [`create`].
#[derive(Debug, Deserialize)]
pub(super) struct NewTag {
    name: Option<String>,
    target: Option<String>,
}

/// The answer of [`create`].
#[derive(Debug, Serialize)]
pub(super) struct CreatedView {
    name: String,
    sha: String,
    message: &'static str,
}

/// `POST /api/v1/repos/tags`: makes a tag that names an object by its whole name.
///
/// 200 the tag; 400 the body is not understood; 401 no valid credential, or none with `git:write`; 403
/// a rule forbids it; 404 no such repository or target; 409 it exists.
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    query: Query,
    body: JsonBody,
) -> Result<Json<CreatedView>, Error> {
    let path = target::repository(&caller, &query)?;
    let (push, repository) = app.hosting.authorize::<Push>(&caller, &path)?;
    let (fetch, _) = app.hosting.authorize::<Fetch>(&caller, &path)?;
    let new: NewTag = body.parse()?;
    let name = tag_name(required(new.name.as_deref(), "name")?)?;
    let target = required(new.target.as_deref(), "target")?;
    let id = object_id(target, repository.row.object_format, "target")?;
    let contents = app.hosting.contents(&fetch).await?;
    off_runtime(move || match contents.object(&id.to_string())? {
        Some(_) => Ok(()),
        None => Err(Error::NotFound(format!("target {id} does not exist"))),
    })
    .await?;
    app.hosting.create_ref(push, name.clone(), id).await?;
    Ok(Json(CreatedView {
        name: name.as_tag().unwrap_or_default().to_owned(),
        sha: id.to_string(),
        message: "tag created",
    }))
}

/// The body of [`remove`].
#[derive(Debug, Deserialize)]
pub(super) struct OldTag {
    name: Option<String>,
}

/// The answer of [`remove`].
#[derive(Debug, Serialize)]
pub(super) struct RemovedView {
    name: String,
    message: &'static str,
}

/// `DELETE /api/v1/repos/tags`: deletes a tag.
///
/// 200 done; 400 the body is not understood; 401 no valid credential, or none with `git:write`; 403 a
/// rule forbids it; 404 no such repository or tag.
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    query: Query,
    body: JsonBody,
) -> Result<Json<RemovedView>, Error> {
    let path = target::repository(&caller, &query)?;
    let (push, _) = app.hosting.authorize::<Push>(&caller, &path)?;
    let old: OldTag = body.parse()?;
    let name = tag_name(required(old.name.as_deref(), "name")?)?;
    app.hosting.delete_ref(push, name.clone()).await?;
    Ok(Json(RemovedView {
        name: name.as_tag().unwrap_or_default().to_owned(),
        message: "tag deleted",
    }))
}
