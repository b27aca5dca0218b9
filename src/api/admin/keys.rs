//! SSH keys of users.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use super::{error::Error, id, page::Page};
use crate::{
    api::{App, body::JsonBody, request::Segments},
    model::Caller,
    store::ssh_keys::SshKeyRow,
};

/// The body of [`add`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    title: Option<String>,
    key: String,
}

/// A key in an answer.
#[derive(Debug, Serialize)]
pub(super) struct KeyView {
    id: u64,
    title: String,
    key: String,
    fingerprint: String,
    created_at: String,
}

impl From<SshKeyRow> for KeyView {
    fn from(row: SshKeyRow) -> Self {
        Self {
            id: row.id,
            title: row.title,
            key: row.public_key,
            fingerprint: row.fingerprint,
            created_at: row.created_at.to_string(),
        }
    }
}

/// `POST /api/v1/admin/users/{user}/keys`: adds a public key in OpenSSH's form.
///
/// 201 the key; 400 it is not a good key; 401 no valid credential; 403 the account is somebody
/// else's; 404 no such user; 409 the key is in use, or the user has too many.
pub(super) async fn add(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    body: JsonBody,
) -> Result<(StatusCode, Json<KeyView>), Error> {
    let [user] = segments.take();
    let authorized = app.hosting.authorize_account(&caller, &user)?;
    let new: NewKey = body.parse()?;
    let row = app
        .hosting
        .add_user_key(authorized, new.title, &new.key)
        .await?;
    Ok((StatusCode::CREATED, Json(row.into())))
}

/// `GET /api/v1/admin/users/{user}/keys`: lists the keys of a user, oldest first.
///
/// 200 all of them; 401 no valid credential; 403 the account is somebody else's; 404 no such user.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Json<Page<KeyView>>, Error> {
    let [user] = segments.take();
    let authorized = app.hosting.authorize_account(&caller, &user)?;
    let rows = app.hosting.list_user_keys(&authorized)?;
    Ok(Json(Page::whole(rows.into_iter().map(KeyView::from))))
}

/// `DELETE /api/v1/admin/users/{user}/keys/{id}`: the key opens nothing from now on.
///
/// 204 done; 401 no valid credential; 403 the account is somebody else's; 404 no such user or key.
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<StatusCode, Error> {
    let [user, key] = segments.take();
    let authorized = app.hosting.authorize_account(&caller, &user)?;
    let id = id(&key, "SSH key")?;
    app.hosting.delete_user_key(authorized, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
