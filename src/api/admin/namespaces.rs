//! Namespaces: those of users come with their accounts, organizations are made here.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use super::{
    error::Error,
    page::{Asked, Page},
};
use crate::{
    api::{App, body::JsonBody, query::Query, request::Segments},
    hosting::Hosting,
    model::{Caller, NamespaceName},
    policy::{
        self, Action, AdministerServer, Authorized, ListRepositories, NamespaceFacts, ServerFacts,
    },
    store::namespaces::{NamespaceOwner, NamespaceRow},
};

/// The body of [`create`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewNamespace {
    name: NamespaceName,
}

/// A namespace in an answer.
#[derive(Debug, Serialize)]
pub(super) struct NamespaceView {
    id: u64,
    uuid: String,
    name: String,
    kind: &'static str,
    created_at: String,
}

impl From<NamespaceRow> for NamespaceView {
    fn from(row: NamespaceRow) -> Self {
        Self {
            id: row.id,
            uuid: row.uuid,
            name: row.name.into(),
            kind: match row.owner {
                NamespaceOwner::User(_) => "user",
                NamespaceOwner::Organization => "organization",
            },
            created_at: row.created_at.to_string(),
        }
    }
}

/// The proof that the caller may do this to the namespace that a segment names.
pub(super) fn authorize<A: Action<Target = NamespaceFacts>>(
    hosting: &Hosting,
    caller: &Caller,
    segment: &str,
) -> Result<Authorized<A>, Error> {
    let name: NamespaceName = segment
        .parse()
        .map_err(|error| Error::value("namespace", error))?;
    Ok(hosting.authorize_namespace::<A>(caller, &name)?)
}

/// `POST /api/v1/admin/namespaces`: an administrator makes an organization.
///
/// 201 the namespace; 400 the name is none; 401 no valid credential; 403 the caller is no
/// administrator; 409 the name is taken.
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    body: JsonBody,
) -> Result<(StatusCode, Json<NamespaceView>), Error> {
    let authorized = policy::authorize::<AdministerServer>(&caller, &ServerFacts)?;
    let new: NewNamespace = body.parse()?;
    let row = app
        .hosting
        .create_organization(authorized, new.name)
        .await?;
    Ok((StatusCode::CREATED, Json(row.into())))
}

/// `GET /api/v1/admin/namespaces`: an administrator lists namespaces, oldest first.
///
/// 200 a page; 400 a parameter is not understood; 401 no valid credential; 403 the caller is no
/// administrator.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Json<Page<NamespaceView>>, Error> {
    let authorized = policy::authorize::<AdministerServer>(&caller, &ServerFacts)?;
    let asked = Asked::<u64>::of(&query)?;
    let after = asked.after.unwrap_or_default();
    let found = app
        .hosting
        .list_namespaces(&authorized, after, asked.count())?;
    let key = |row: &NamespaceRow| row.id.to_string();
    Ok(Json(asked.page(found, key, NamespaceView::from)))
}

/// `GET /api/v1/admin/namespaces/{namespace}`: shows a namespace to whoever may list what is in it.
///
/// 200 the namespace; 400 the name is none; 401 no valid credential; 403 the credential lacks
/// `org:read`; 404 no such namespace.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Json<NamespaceView>, Error> {
    let [namespace] = segments.take();
    let authorized = authorize::<ListRepositories>(&app.hosting, &caller, &namespace)?;
    Ok(Json(app.hosting.namespace(&authorized)?.into()))
}
