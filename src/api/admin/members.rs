//! Members of namespaces and of single repositories: users by name, robots as `namespace+short`.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use super::{error::Error, namespaces, page::Page, repositories};
use crate::{
    api::{App, body::JsonBody, request::Segments},
    model::{Caller, Role},
    policy::{Administer, ManageNamespace},
};

/// The body that gives a role.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRole {
    role: Role,
}

/// A member in an answer.
#[derive(Debug, Serialize)]
pub(super) struct MemberView {
    name: String,
    role: Role,
}

fn views(members: Vec<(String, Role)>) -> Json<Page<MemberView>> {
    let view = |(name, role)| MemberView { name, role };
    Json(Page::whole(members.into_iter().map(view)))
}

/// `GET /api/v1/admin/namespaces/{namespace}/members`: lists who was given a role on a namespace.
///
/// 200 all of them; 401 no valid credential; 403 the caller does not own it; 404 no such namespace.
pub(super) async fn list_of_namespace(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Json<Page<MemberView>>, Error> {
    let [namespace] = segments.take();
    let authorized = namespaces::authorize::<ManageNamespace>(&app.hosting, &caller, &namespace)?;
    let members = app.hosting.list_members(&authorized)?;
    Ok(views(app.hosting.with_names(members)?))
}

/// `PUT /api/v1/admin/namespaces/{namespace}/members/{member}`: gives a role on a namespace and all
/// its repositories, in place of the one before.
///
/// 204 done; 400 the role is none; 401 no valid credential; 403 the caller does not own it; 404 no
/// such namespace or member.
pub(super) async fn put_in_namespace(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    body: JsonBody,
) -> Result<StatusCode, Error> {
    let [namespace, member] = segments.take();
    let authorized = namespaces::authorize::<ManageNamespace>(&app.hosting, &caller, &namespace)?;
    let NewRole { role } = body.parse()?;
    let member = app.hosting.member_named(&member)?;
    app.hosting
        .set_member(authorized, member, Some(role))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/v1/admin/namespaces/{namespace}/members/{member}`: takes the role away.
///
/// 204 done; 401 no valid credential; 403 the caller does not own it; 404 no such namespace or
/// member.
pub(super) async fn remove_from_namespace(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<StatusCode, Error> {
    let [namespace, member] = segments.take();
    let authorized = namespaces::authorize::<ManageNamespace>(&app.hosting, &caller, &namespace)?;
    let member = app.hosting.member_named(&member)?;
    app.hosting.set_member(authorized, member, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/v1/admin/repositories/{repository}/members`: lists who was given a role on just this
/// repository.
///
/// 200 all of them; 401 no valid credential; 403 the caller does not administer it; 404 no such
/// repository.
pub(super) async fn list_of_repository(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Json<Page<MemberView>>, Error> {
    let [repository] = segments.take();
    let (authorized, _) = repositories::authorize::<Administer>(&app, &caller, &repository)?;
    let members = app.hosting.list_repository_members(&authorized)?;
    Ok(views(app.hosting.with_names(members)?))
}

/// `PUT /api/v1/admin/repositories/{repository}/members/{member}`: gives a role on a repository, in
/// place of the one before.
///
/// 204 done; 400 the role is none; 401 no valid credential; 403 the caller does not administer it,
/// or the role is above their own; 404 no such repository or member.
pub(super) async fn put_in_repository(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    body: JsonBody,
) -> Result<StatusCode, Error> {
    let [repository, member] = segments.take();
    let (authorized, _) = repositories::authorize::<Administer>(&app, &caller, &repository)?;
    let NewRole { role } = body.parse()?;
    let member = app.hosting.member_named(&member)?;
    app.hosting
        .set_repository_member(authorized, member, Some(role))
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /api/v1/admin/repositories/{repository}/members/{member}`: takes the role away.
///
/// 204 done; 401 no valid credential; 403 the caller does not administer it, or the role is above
/// their own; 404 no such repository or member.
pub(super) async fn remove_from_repository(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<StatusCode, Error> {
    let [repository, member] = segments.take();
    let (authorized, _) = repositories::authorize::<Administer>(&app, &caller, &repository)?;
    let member = app.hosting.member_named(&member)?;
    app.hosting
        .set_repository_member(authorized, member, None)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
