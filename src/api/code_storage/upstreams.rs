//! Mirrors: syncing them, and the credentials for their upstreams.
//!
//! Invariant: no answer ever holds a password.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use super::{error::Error, target};
use crate::{
    api::{App, body::JsonBody, query::Query},
    hosting::UpstreamLogin,
    model::{Caller, NamespaceName, RefName, Secret},
    policy::{Administer, Authorized, Denied, ManageUpstreamCredentials, Push},
};

/// The body of [`pull`].
#[derive(Debug, Default, Deserialize)]
pub(super) struct PullRequest {
    #[serde(rename = "ref")]
    reference: Option<String>,
    after: Option<String>,
}

/// The answer of [`pull`] and of [`remove_credential`].
#[derive(Debug, Serialize)]
pub(super) struct MessageView {
    message: &'static str,
}

/// The body of [`add_credential`].
#[derive(Debug, Deserialize)]
pub(super) struct NewCredential {
    repo_id: String,
    username: Option<String>,
    password: String,
}

/// The body of [`change_credential`].
#[derive(Debug, Deserialize)]
pub(super) struct CredentialChange {
    id: String,
    username: Option<String>,
    password: String,
}

/// The body of [`remove_credential`].
#[derive(Debug, Deserialize)]
pub(super) struct CredentialRemoval {
    id: String,
}

/// A credential in an answer.
#[derive(Debug, Serialize)]
pub(super) struct CredentialView {
    id: String,
    created_at: String,
}

/// `POST /api/v1/repos/pull-upstream`: has a mirror synced with its upstream.
///
/// 202 it will be; 400 the body is not understood, or there is no upstream; 401 no valid credential; 403
/// none with `git:write`; 404 no such repository; 500 the server has too much to sync, or stops.
pub(super) async fn pull(
    State(app): State<App>,
    caller: Caller,
    query: Query,
    body: JsonBody,
) -> Result<(StatusCode, Json<MessageView>), Error> {
    let path = target::repository(&caller, &query)?;
    let (authorized, _) = app
        .hosting
        .authorize::<Push>(&caller, &path)
        .map_err(Error::forbidden_without_scope)?;
    let asked: PullRequest = body.parse_or_empty()?;
    let only = asked.reference.as_deref().map(mirrored_ref).transpose()?;
    if let Some(after) = asked.after.as_deref() {
        let hex = after.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !hex || !(4..=64).contains(&after.len()) {
            return Err(Error::Parameter(format!("after {after:?} is no commit id")));
        }
    }
    app.hosting.has_upstream(&authorized)?;
    app.mirrors
        .sync(&authorized, only)
        .map_err(|_| Error::SyncUnavailable)?;
    let view = MessageView {
        message: "Repository sync initiated successfully",
    };
    Ok((StatusCode::ACCEPTED, Json(view)))
}

/// A branch, or a branch or tag by its full name.
fn mirrored_ref(text: &str) -> Result<RefName, Error> {
    let name: RefName = match text.starts_with("refs/") {
        true => text.parse()?,
        false => RefName::branch(text)?,
    };
    match name.as_branch().is_some() || name.as_tag().is_some() {
        true => Ok(name),
        false => Err(Error::Parameter(format!(
            "{text:?} is neither branch nor tag"
        ))),
    }
}

/// `POST /api/v1/repos/git-credentials`: stores the credential for a repository's upstream.
///
/// 200 its id; 400 the body is not understood; 401 no valid credential, or none with `repo:write`; 403
/// the caller may not, or the JWT is for another repository; 404 no such repository; 409 there is one.
pub(super) async fn add_credential(
    State(app): State<App>,
    caller: Caller,
    query: Query,
    body: JsonBody,
) -> Result<Json<CredentialView>, Error> {
    let path = target::repository(&caller, &query)?;
    let (authorized, _) = app.hosting.authorize::<Administer>(&caller, &path)?;
    let new: NewCredential = body.parse()?;
    let named = target::id_for(&caller, &path);
    if !new.repo_id.eq_ignore_ascii_case(&named) {
        return Err(Denied::OutsideGrant.into());
    }
    let login = UpstreamLogin {
        user: new.username.unwrap_or_default(),
        password: Secret::new(new.password),
    };
    let row = app
        .hosting
        .add_upstream_credential(authorized, login)
        .await?;
    Ok(Json(CredentialView {
        id: row.id,
        created_at: row.created_at.to_string(),
    }))
}

/// `PUT /api/v1/repos/git-credentials`: replaces the password of a credential, and the user name if one
/// is given.
///
/// 200 its id; 400 the body is not understood; 401 no valid credential, or none with `repo:write`; 403
/// the JWT is not for the organization; 404 it has no such credential.
pub(super) async fn change_credential(
    State(app): State<App>,
    caller: Caller,
    query: Query,
    body: JsonBody,
) -> Result<Json<CredentialView>, Error> {
    let namespace = target::namespace(&caller, &query)?;
    let authorized = managing(&app, &caller, &namespace)?;
    let change: CredentialChange = body.parse()?;
    let row = app
        .hosting
        .change_upstream_credential(
            authorized,
            change.id,
            change.username,
            Secret::new(change.password),
        )
        .await?;
    Ok(Json(CredentialView {
        id: row.id,
        created_at: row.created_at.to_string(),
    }))
}

/// `DELETE /api/v1/repos/git-credentials`: removes a credential.
///
/// 200 done; else as [`change_credential`].
pub(super) async fn remove_credential(
    State(app): State<App>,
    caller: Caller,
    query: Query,
    body: JsonBody,
) -> Result<Json<MessageView>, Error> {
    let namespace = target::namespace(&caller, &query)?;
    let authorized = managing(&app, &caller, &namespace)?;
    let removal: CredentialRemoval = body.parse()?;
    let removed = app
        .hosting
        .remove_upstream_credential(authorized, removal.id);
    removed.await?;
    Ok(Json(MessageView {
        message: "credential deleted",
    }))
}

fn managing(
    app: &App,
    caller: &Caller,
    namespace: &NamespaceName,
) -> Result<Authorized<ManageUpstreamCredentials>, Error> {
    let hosting = &app.hosting;
    Ok(hosting.authorize_namespace::<ManageUpstreamCredentials>(caller, namespace)?)
}
