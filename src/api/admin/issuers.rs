//! Public keys whose JWTs speak for a namespace.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use super::{error::Error, id, namespaces, page::Page};
use crate::{
    api::{App, body::JsonBody, request::Segments},
    model::Caller,
    policy::ManageNamespace,
    store::issuers::{IssuerKeyRow, KeyFamily},
};

/// The body of [`add`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    public_key: String,
    kid: Option<String>,
}

/// A key in an answer.
#[derive(Debug, Serialize)]
pub(super) struct KeyView {
    id: u64,
    kid: Option<String>,
    family: KeyFamily,
    public_key: String,
    created_at: String,
}

impl From<IssuerKeyRow> for KeyView {
    fn from(row: IssuerKeyRow) -> Self {
        Self {
            id: row.id,
            kid: row.kid,
            family: row.family,
            public_key: row.pem,
            created_at: row.created_at.to_string(),
        }
    }
}

/// `POST /api/v1/admin/namespaces/{namespace}/issuers`: adds a public key in PEM form.
///
/// 201 the key; 400 it is not a good key; 401 no valid credential; 403 the caller does not own the
/// namespace; 404 no such namespace; 409 another key has this `kid`, or there are too many.
pub(super) async fn add(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    body: JsonBody,
) -> Result<(StatusCode, Json<KeyView>), Error> {
    let [namespace] = segments.take();
    let authorized = namespaces::authorize::<ManageNamespace>(&app.hosting, &caller, &namespace)?;
    let new: NewKey = body.parse()?;
    let row = app
        .hosting
        .add_issuer_key(authorized, new.kid, new.public_key)
        .await?;
    Ok((StatusCode::CREATED, Json(row.into())))
}

/// `GET /api/v1/admin/namespaces/{namespace}/issuers`: lists the keys of a namespace, oldest first.
///
/// 200 all of them; 401 no valid credential; 403 the caller does not own the namespace; 404 no such
/// namespace.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Json<Page<KeyView>>, Error> {
    let [namespace] = segments.take();
    let authorized = namespaces::authorize::<ManageNamespace>(&app.hosting, &caller, &namespace)?;
    let rows = app.hosting.list_issuer_keys(&authorized)?;
    Ok(Json(Page::whole(rows.into_iter().map(KeyView::from))))
}

/// `DELETE /api/v1/admin/namespaces/{namespace}/issuers/{id}`: JWTs that this key verifies are
/// worthless at once.
///
/// 204 done; 401 no valid credential; 403 the caller does not own the namespace; 404 no such
/// namespace or key.
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<StatusCode, Error> {
    let [namespace, key] = segments.take();
    let authorized = namespaces::authorize::<ManageNamespace>(&app.hosting, &caller, &namespace)?;
    let id = id(&key, "issuer key")?;
    app.hosting.delete_issuer_key(authorized, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
