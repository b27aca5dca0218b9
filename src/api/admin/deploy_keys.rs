//! Deploy keys: SSH keys that open single repositories, in each with a mode of its own.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use super::{
    error::Error,
    id,
    page::{Asked, Page},
    repositories::authorize,
    tokens::{ref_policy, ref_rules},
};
use crate::{
    api::{App, body::JsonBody, query::Query, request::Segments},
    hosting::DeployKeySettings,
    model::{Caller, RefOperation},
    policy::Administer,
    store::deploy_keys::GrantedKey,
};

/// The body of [`add`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewKey {
    title: Option<String>,
    key: String,
    #[serde(default)]
    can_push: bool,
    refs: Option<Vec<(String, Vec<RefOperation>)>>,
}

/// A deploy key in an answer, as this repository knows it.
#[derive(Debug, Serialize)]
pub(super) struct KeyView {
    id: u64,
    title: String,
    key: String,
    fingerprint: String,
    can_push: bool,
    created_at: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refs: Vec<(String, Vec<RefOperation>)>,
}

impl From<GrantedKey> for KeyView {
    fn from((key, grant): GrantedKey) -> Self {
        Self {
            id: key.id,
            title: grant.title,
            key: key.public_key,
            fingerprint: key.fingerprint,
            can_push: grant.may_write,
            created_at: grant.created_at.to_string(),
            refs: ref_rules(grant.refs),
        }
    }
}

/// `POST /api/v1/admin/repositories/{repository}/deploy_keys`: lets a public key in OpenSSH's form
/// open the repository. The same key may open others, too.
///
/// 201 the key; 400 it is not a good key; 401 no valid credential; 403 the caller does not
/// administer the repository; 404 no such repository; 409 the repository has the key already, it is
/// the key of an account, or there are too many.
pub(super) async fn add(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    body: JsonBody,
) -> Result<(StatusCode, Json<KeyView>), Error> {
    let [repository] = segments.take();
    let (authorized, _) = authorize::<Administer>(&app, &caller, &repository)?;
    let new: NewKey = body.parse()?;
    let settings = DeployKeySettings {
        title: new.title,
        may_write: new.can_push,
        refs: ref_policy(new.refs.unwrap_or_default()),
    };
    let granted = app
        .hosting
        .add_deploy_key(authorized, &new.key, settings)
        .await?;
    Ok((StatusCode::CREATED, Json(granted.into())))
}

/// `GET /api/v1/admin/repositories/{repository}/deploy_keys`: lists the deploy keys by id.
///
/// 200 a page; 400 a parameter is not understood; 401 no valid credential; 403 the caller does not
/// administer the repository; 404 no such repository.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    query: Query,
) -> Result<Json<Page<KeyView>>, Error> {
    let [repository] = segments.take();
    let (authorized, _) = authorize::<Administer>(&app, &caller, &repository)?;
    let asked = Asked::<u64>::of(&query)?;
    let after = asked.after.unwrap_or_default();
    let found = app
        .hosting
        .list_deploy_keys(&authorized, after, asked.count())?;
    let cursor = |(key, _): &GrantedKey| key.id.to_string();
    Ok(Json(asked.page(found, cursor, KeyView::from)))
}

/// `GET /api/v1/admin/repositories/{repository}/deploy_keys/{id}`: shows one.
///
/// 200 the key; 401 no valid credential; 403 the caller does not administer the repository; 404 no
/// such repository or key.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Json<KeyView>, Error> {
    let [repository, key] = segments.take();
    let (authorized, _) = authorize::<Administer>(&app, &caller, &repository)?;
    let id = id(&key, "deploy key")?;
    Ok(Json(app.hosting.deploy_key(&authorized, id)?.into()))
}

/// `DELETE /api/v1/admin/repositories/{repository}/deploy_keys/{id}`: the key no longer opens this
/// repository.
///
/// 204 done; 401 no valid credential; 403 the caller does not administer the repository; 404 no
/// such repository or key.
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<StatusCode, Error> {
    let [repository, key] = segments.take();
    let (authorized, _) = authorize::<Administer>(&app, &caller, &repository)?;
    let id = id(&key, "deploy key")?;
    app.hosting.delete_deploy_key(authorized, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
