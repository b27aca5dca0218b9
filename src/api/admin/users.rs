//! Accounts of people.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use super::{
    error::Error,
    page::{Asked, Page},
};
use crate::{
    api::{App, body::JsonBody, query::Query, request::Segments},
    hosting::NewAccount,
    model::{Caller, NamespaceName, Secret},
    policy::{self, AdministerServer, ServerFacts},
    store::users::UserRow,
};

/// The body of [`create`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    name: NamespaceName,
    email: Option<String>,
    password: Option<String>,
    #[serde(default)]
    admin: bool,
}

/// The body of [`change`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Change {
    blocked: bool,
}

/// The body of [`set_password`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewPassword {
    password: String,
}

/// A user in an answer.
#[derive(Debug, Serialize)]
pub(super) struct UserView {
    id: u64,
    name: String,
    email: Option<String>,
    admin: bool,
    blocked: bool,
    has_password: bool,
    created_at: String,
}

impl From<UserRow> for UserView {
    fn from(row: UserRow) -> Self {
        Self {
            id: row.id,
            name: row.name.into(),
            email: row.email,
            admin: row.admin,
            blocked: row.blocked,
            has_password: row.password_hash.is_some(),
            created_at: row.created_at.to_string(),
        }
    }
}

/// `POST /api/v1/admin/users`: an administrator makes a user with a personal namespace.
///
/// 201 the user; 400 a value is not understood; 401 no valid credential; 403 the caller is no
/// administrator; 409 a user or namespace has the name.
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    body: JsonBody,
) -> Result<(StatusCode, Json<UserView>), Error> {
    let authorized = policy::authorize::<AdministerServer>(&caller, &ServerFacts)?;
    let new: NewUser = body.parse()?;
    let account = NewAccount {
        name: new.name,
        email: new.email,
        password: new.password.map(Secret::new),
        admin: new.admin,
    };
    let row = app.hosting.create_user(authorized, account).await?;
    Ok((StatusCode::CREATED, Json(row.into())))
}

/// `GET /api/v1/admin/users`: an administrator lists users, oldest first.
///
/// 200 a page; 400 a parameter is not understood; 401 no valid credential; 403 the caller is no
/// administrator.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Json<Page<UserView>>, Error> {
    let authorized = policy::authorize::<AdministerServer>(&caller, &ServerFacts)?;
    let asked = Asked::<u64>::of(&query)?;
    let after = asked.after.unwrap_or_default();
    let found = app.hosting.list_users(&authorized, after, asked.count())?;
    Ok(Json(asked.page(
        found,
        |row| row.id.to_string(),
        UserView::from,
    )))
}

/// `GET /api/v1/admin/users/{user}`: shows an account to its owner or an administrator.
///
/// 200 the user; 401 no valid credential; 403 the account is somebody else's; 404 no such user.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Json<UserView>, Error> {
    let [user] = segments.take();
    let authorized = app.hosting.authorize_account(&caller, &user)?;
    Ok(Json(app.hosting.user(&authorized)?.into()))
}

/// `PATCH /api/v1/admin/users/{user}`: an administrator blocks a user, or lets them in again. A
/// blocked user signs in by no credential.
///
/// 200 the user as it is now; 400 the body is not understood; 401 no valid credential; 403 the
/// caller is no administrator; 404 no such user.
pub(super) async fn change(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    body: JsonBody,
) -> Result<Json<UserView>, Error> {
    let [user] = segments.take();
    let authorized = policy::authorize::<AdministerServer>(&caller, &ServerFacts)?;
    let account = app.hosting.authorize_account(&caller, &user)?;
    let change: Change = body.parse()?;
    let id = account.target().user_id;
    let row = app
        .hosting
        .block_user(authorized, id, change.blocked)
        .await?;
    Ok(Json(row.into()))
}

/// `PUT /api/v1/admin/users/{user}/password`: sets the password of an account.
///
/// 204 done; 400 the password is not fit; 401 no valid credential; 403 the account is somebody
/// else's; 404 no such user.
pub(super) async fn set_password(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    body: JsonBody,
) -> Result<StatusCode, Error> {
    let [user] = segments.take();
    let authorized = app.hosting.authorize_account(&caller, &user)?;
    let new: NewPassword = body.parse()?;
    let password = Some(Secret::new(new.password));
    app.hosting.set_password(authorized, password).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/v1/admin/users/{user}/password`: leaves keys and tokens as the only ways in.
///
/// 204 done; 401 no valid credential; 403 the account is somebody else's; 404 no such user.
pub(super) async fn remove_password(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<StatusCode, Error> {
    let [user] = segments.take();
    let authorized = app.hosting.authorize_account(&caller, &user)?;
    app.hosting.set_password(authorized, None).await?;
    Ok(StatusCode::NO_CONTENT)
}
