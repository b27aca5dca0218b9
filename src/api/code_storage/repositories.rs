//! Repositories as Code Storage knows them: made, listed, shown, deleted.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use super::{
    PAGE_DEFAULT, PAGE_MAX,
    base::{Base, BaseRepository, BaseView},
    error::Error,
    revision::branch_name,
    target,
};
use crate::{
    api::{App, body::JsonBody, off_runtime, query::Query},
    hosting::{Hosting, Repository, RepositorySettings},
    model::{Caller, ObjectFormat, RepositoryName, Visibility},
    policy::{Authorized, DeleteRepository, ListRepositories, View},
    store::upstreams::Runs,
};

const DEFAULT_BRANCH: &str = "main";
/// Repositories read from the store at once while looking for those that match.
const SCAN: usize = 500;

/// The body of [`create`].
#[derive(Debug, Deserialize)]
pub(super) struct NewRepository {
    default_branch: Option<String>,
    base_repo: Option<BaseRepository>,
}

/// The answer of [`create`].
#[derive(Debug, Serialize)]
pub(super) struct CreatedView {
    id: String,
    repo_id: String,
    created_at: String,
    http_url: String,
    message: &'static str,
}

/// A repository in an answer.
#[derive(Debug, Serialize)]
pub(super) struct RepositoryView {
    repo_id: String,
    url: String,
    default_branch: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_repo: Option<BaseView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sync: Option<SyncView>,
}

/// How a mirror keeps up with its upstream.
#[derive(Debug, Serialize)]
struct SyncView {
    status: &'static str,
    runs: u64,
    started_at: Option<String>,
    finished_at: Option<String>,
    error: Option<String>,
}

/// The answer of [`list`].
#[derive(Debug, Serialize)]
pub(super) struct ListView {
    repos: Vec<RepositoryView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    has_more: bool,
}

/// The answer of [`remove`].
#[derive(Debug, Serialize)]
pub(super) struct RemovedView {
    repo_id: String,
    message: &'static str,
}

impl RepositoryView {
    fn new(app: &App, caller: &Caller, repository: &Repository) -> Result<Self, Error> {
        let id = target::id_for(caller, &repository.facts.path);
        let branch = &repository.row.default_branch;
        let origin = app.hosting.origin(repository.row.id)?;
        let upstream = app.hosting.upstream(repository.row.id)?;
        let at_work = app.mirrors.is_at_work(repository.row.id);
        Ok(Self {
            repo_id: id.clone(),
            url: id,
            default_branch: branch.as_branch().unwrap_or(branch.as_str()).to_owned(),
            created_at: repository.row.created_at.to_string(),
            base_repo: origin.map(BaseView::from),
            sync: upstream.map(|upstream| SyncView::new(upstream.runs, at_work)),
        })
    }
}

impl SyncView {
    fn new(runs: Runs, at_work: bool) -> Self {
        let status = match (runs.started_at, runs.finished_at) {
            (None, _) => "pending",
            (_, None) if at_work => "running",
            (_, None) => "interrupted",
            _ if runs.failures > 0 => "failed",
            _ => "ok",
        };
        Self {
            status,
            runs: runs.count,
            started_at: runs.started_at.map(|at| at.to_string()),
            finished_at: runs.finished_at.map(|at| at.to_string()),
            error: runs.error,
        }
    }
}

/// `POST /api/v1/repos`: makes the private repository that the JWT names, empty, as a fork or as a mirror.
///
/// 201 its id and time; 400 the body or the name is not understood; 401 no valid credential, none with `repo:write`, or a fork whose token does not open its source; 403 the caller
/// may not make it; 404 no such namespace, source or revision; 409 it exists.
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    query: Query,
    body: JsonBody,
) -> Result<(StatusCode, Json<CreatedView>), Error> {
    let path = target::repository(&caller, &query)?;
    let authorized = app.hosting.authorize_creation(&caller, &path)?;
    let new: NewRepository = body.parse_or_empty()?;
    let default_branch = new.default_branch.as_deref();
    let row = match new.base_repo {
        Some(base) => match base.understood(default_branch)? {
            Base::Fork(fork) => {
                let (source, point) = fork.authorize(&app, &caller)?;
                let forked = app.hosting.fork_repository(authorized, source, point);
                forked.await?
            }
            Base::Mirror(settings) => {
                let row = app.hosting.create_mirror(authorized, settings).await?;
                // Made it is; if it can't be synced now, whoever pulls will be told so.
                app.mirrors.start(row.id, caller.clone(), None).ok();
                row
            }
        },
        None => {
            let settings = RepositorySettings {
                visibility: Visibility::Private,
                default_branch: branch_name(default_branch.unwrap_or(DEFAULT_BRANCH))?,
                object_format: ObjectFormat::default(),
                description: String::new(),
            };
            app.hosting.create_repository(authorized, settings).await?
        }
    };
    let id = target::id_for(&caller, &path);
    let view = CreatedView {
        id: id.clone(),
        repo_id: id,
        created_at: row.created_at.to_string(),
        http_url: format!("{}/{path}.git", app.public_url),
        message: "repository created",
    };
    Ok((StatusCode::CREATED, Json(view)))
}

/// `GET /api/v1/repos`: lists the repositories of the JWT's namespace by name.
///
/// 200 a page of them; 400 a parameter is not understood; 401 no valid credential, or none with
/// `org:read`; 403 the JWT is made for a single repository; 404 no such namespace.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Json<ListView>, Error> {
    let namespace = target::namespace(&caller, &query)?;
    let authorized = app
        .hosting
        .authorize_namespace::<ListRepositories>(&caller, &namespace)?;
    let limit = query.limit(PAGE_DEFAULT, PAGE_MAX)?;
    let after: Option<RepositoryName> = query.parsed("cursor", "a cursor of this list")?;
    let wanted = query.one("q")?.unwrap_or_default().to_ascii_lowercase();
    off_runtime(move || {
        let mut found = matching(&app.hosting, &authorized, after, &wanted, limit + 1)?;
        let has_more = found.len() > limit;
        found.truncate(limit);
        let last = found.last().map(|last| last.row.name.to_string());
        let repos = found
            .iter()
            .map(|repository| RepositoryView::new(&app, &caller, repository))
            .collect::<Result<_, _>>()?;
        Ok(Json(ListView {
            repos,
            next_cursor: last.filter(|_| has_more),
            has_more,
        }))
    })
    .await
}

/// The first `count` repositories behind `after` whose URL holds `wanted`, which is in lower case.
fn matching(
    hosting: &Hosting,
    authorized: &Authorized<ListRepositories>,
    mut after: Option<RepositoryName>,
    wanted: &str,
    count: usize,
) -> Result<Vec<Repository>, Error> {
    let mut found = Vec::new();
    loop {
        let cursor = after.as_ref().map(RepositoryName::as_str);
        let page = hosting.list_repositories(authorized, cursor, SCAN)?;
        let last_page = page.len() < SCAN;
        after = page.last().map(|last| last.row.name.clone());
        let matches = page.into_iter().filter(|repository| {
            let url = target::id_for(authorized.caller(), &repository.facts.path);
            url.to_ascii_lowercase().contains(wanted)
        });
        found.extend(matches.take(count - found.len()));
        if last_page || found.len() == count {
            return Ok(found);
        }
    }
}

/// `GET /api/v1/repo`: shows the repository that the JWT names.
///
/// 200 the repository; 401 no valid credential; 404 no such repository, or none that the caller may
/// see.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Json<RepositoryView>, Error> {
    let path = target::repository(&caller, &query)?;
    let (_, repository) = app.hosting.authorize::<View>(&caller, &path)?;
    let view = RepositoryView::new(&app, &caller, &repository)?;
    Ok(Json(view))
}

/// `DELETE /api/v1/repos/delete`: deletes the repository that the JWT names, for good.
///
/// 200 done; 401 no valid credential, or none with `repo:write`; 403 the caller does not own it;
/// 404 no such repository.
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Json<RemovedView>, Error> {
    let path = target::repository(&caller, &query)?;
    let (authorized, _) = app.hosting.authorize::<DeleteRepository>(&caller, &path)?;
    app.hosting.delete_repository(authorized).await?;
    Ok(Json(RemovedView {
        repo_id: target::id_for(&caller, &path),
        message: "repository deleted",
    }))
}
