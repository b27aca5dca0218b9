//! Repositories: made, listed, shown, changed, deleted.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use super::{
    error::Error,
    namespaces,
    page::{Asked, Page},
};
use crate::{
    api::{App, body::JsonBody, off_runtime, query::Query, request::Segments},
    hosting::{Repository, RepositoryChange, RepositorySettings},
    model::{Caller, ObjectFormat, RefName, RepositoryName, RepositoryPath, Visibility},
    policy::{
        self, Administer, Authorized, DeleteRepository, ListRepositories, RepositoryAction, View,
    },
    store::repositories::RepositoryRow,
};

const DEFAULT_BRANCH: &str = "main";

/// The body of [`create`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRepository {
    path: RepositoryPath,
    #[serde(default)]
    visibility: Visibility,
    #[serde(default)]
    object_format: ObjectFormat,
    default_branch: Option<String>,
    #[serde(default)]
    description: String,
}

/// The body of [`change`]; what is absent stays as it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    visibility: Option<Visibility>,
    default_branch: Option<String>,
    description: Option<String>,
}

/// A repository in an answer.
#[derive(Debug, Serialize)]
pub(super) struct RepositoryView {
    id: u64,
    uuid: String,
    path: String,
    visibility: Visibility,
    default_branch: String,
    object_format: ObjectFormat,
    description: String,
    created_at: String,
    http_url: String,
}

impl RepositoryView {
    fn new(app: &App, path: &RepositoryPath, row: RepositoryRow) -> Self {
        let branch = row.default_branch.as_branch();
        Self {
            id: row.id,
            uuid: row.uuid,
            path: path.to_string(),
            visibility: row.visibility,
            default_branch: branch.unwrap_or(row.default_branch.as_str()).to_owned(),
            object_format: row.object_format,
            description: row.description,
            created_at: row.created_at.to_string(),
            http_url: format!("{}/{path}.git", app.public_url),
        }
    }
}

/// The proof that the caller may do this to the repository that a segment names, by
/// `namespace/name` or by id.
pub(super) fn authorize<A: RepositoryAction>(
    app: &App,
    caller: &Caller,
    segment: &str,
) -> Result<(Authorized<A>, Repository), Error> {
    if let Ok(id) = segment.parse() {
        let repository = app.hosting.repository_by_id(caller, id)?;
        let authorized = policy::authorize::<A>(caller, &repository.facts)?;
        return Ok((authorized, repository));
    }
    let path: RepositoryPath = segment
        .parse()
        .map_err(|error| Error::value("repository", error))?;
    Ok(app.hosting.authorize::<A>(caller, &path)?)
}

fn branch(name: &str) -> Result<RefName, Error> {
    let short = name.strip_prefix("refs/heads/").unwrap_or(name);
    RefName::branch(short).map_err(|error| Error::value("default_branch", error))
}

/// `POST /api/v1/admin/repositories`: makes a repository in a namespace that exists.
///
/// 201 the repository; 400 a value is not understood; 401 no valid credential; 403 the caller may
/// not make repositories there; 404 no such namespace; 409 the path is taken.
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    body: JsonBody,
) -> Result<(StatusCode, Json<RepositoryView>), Error> {
    let new: NewRepository = body.parse()?;
    let authorized = app.hosting.authorize_creation(&caller, &new.path)?;
    let settings = RepositorySettings {
        visibility: new.visibility,
        default_branch: branch(new.default_branch.as_deref().unwrap_or(DEFAULT_BRANCH))?,
        object_format: new.object_format,
        description: new.description,
    };
    let row = app.hosting.create_repository(authorized, settings).await?;
    let view = RepositoryView::new(&app, &new.path, row);
    Ok((StatusCode::CREATED, Json(view)))
}

/// `GET /api/v1/admin/repositories`: lists what the caller may see on the whole server, oldest
/// first.
///
/// 200 a page; 400 a parameter is not understood; 401 no valid credential.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Json<Page<RepositoryView>>, Error> {
    let asked = Asked::<u64>::of(&query)?;
    off_runtime(move || {
        let after = asked.after.unwrap_or_default();
        let found = app.hosting.list_visible(&caller, after, asked.count())?;
        Ok(Json(asked.page(
            found,
            |repository| repository.row.id.to_string(),
            |repository| RepositoryView::new(&app, &repository.facts.path, repository.row),
        )))
    })
    .await
}

/// `GET /api/v1/admin/namespaces/{namespace}/repositories`: lists what the caller may see in one
/// namespace, by name.
///
/// 200 a page; 400 a parameter is not understood; 401 no valid credential; 403 the credential lacks
/// `org:read`; 404 no such namespace.
pub(super) async fn list_of_namespace(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    query: Query,
) -> Result<Json<Page<RepositoryView>>, Error> {
    let [namespace] = segments.take();
    let authorized = namespaces::authorize::<ListRepositories>(&app.hosting, &caller, &namespace)?;
    let asked = Asked::<RepositoryName>::of(&query)?;
    off_runtime(move || {
        let after = asked.after.as_ref().map(RepositoryName::as_str);
        let found = app
            .hosting
            .list_repositories(&authorized, after, asked.count())?;
        Ok(Json(asked.page(
            found,
            |repository| repository.row.name.to_string(),
            |repository| RepositoryView::new(&app, &repository.facts.path, repository.row),
        )))
    })
    .await
}

/// `GET /api/v1/admin/repositories/{repository}`: shows one.
///
/// 200 the repository; 401 no valid credential; 404 no such repository, or none that the caller may
/// see.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Json<RepositoryView>, Error> {
    let [repository] = segments.take();
    let (_, repository) = authorize::<View>(&app, &caller, &repository)?;
    let path = &repository.facts.path;
    Ok(Json(RepositoryView::new(&app, path, repository.row)))
}

/// `PATCH /api/v1/admin/repositories/{repository}`: changes visibility, default branch or
/// description.
///
/// 200 the repository as it is now; 400 a value is not understood; 401 no valid credential; 403 the
/// caller does not administer it; 404 no such repository.
pub(super) async fn change(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    body: JsonBody,
) -> Result<Json<RepositoryView>, Error> {
    let [repository] = segments.take();
    let (authorized, repository) = authorize::<Administer>(&app, &caller, &repository)?;
    let change: Change = body.parse()?;
    let default_branch = change.default_branch.as_deref().map(branch).transpose()?;
    let change = RepositoryChange {
        visibility: change.visibility,
        default_branch,
        description: change.description,
    };
    let row = app.hosting.change_repository(authorized, change).await?;
    let path = &repository.facts.path;
    Ok(Json(RepositoryView::new(&app, path, row)))
}

/// `DELETE /api/v1/admin/repositories/{repository}`: deletes it for good.
///
/// 204 done; 401 no valid credential; 403 the caller does not own it; 404 no such repository.
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<StatusCode, Error> {
    let [repository] = segments.take();
    let (authorized, _) = authorize::<DeleteRepository>(&app, &caller, &repository)?;
    app.hosting.delete_repository(authorized).await?;
    Ok(StatusCode::NO_CONTENT)
}
