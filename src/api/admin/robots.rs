//! Robots: programs that act for a namespace, named `namespace+short`, and their tokens.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use super::{
    error::Error,
    namespaces,
    page::Page,
    tokens::{NewToken, NewTokenView},
};
use crate::{
    api::{App, body::JsonBody, request::Segments},
    model::{Caller, NamespaceName},
    policy::ManageNamespace,
    store::robots::RobotRow,
};

/// The body of [`create`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRobot {
    name: NamespaceName,
    #[serde(default)]
    description: String,
}

/// A robot in an answer.
#[derive(Debug, Serialize)]
pub(super) struct RobotView {
    id: u64,
    name: String,
    full_name: String,
    description: String,
    created_at: String,
}

impl RobotView {
    fn new(namespace: &NamespaceName, row: RobotRow) -> Self {
        Self {
            id: row.id,
            full_name: format!("{namespace}+{}", row.short),
            name: row.short.into(),
            description: row.description,
            created_at: row.created_at.to_string(),
        }
    }
}

/// `POST /api/v1/admin/namespaces/{namespace}/robots`: makes a robot, which may nothing until it is
/// made a member of something.
///
/// 201 the robot; 400 a value is not understood; 401 no valid credential; 403 the caller does not
/// own the namespace; 404 no such namespace; 409 the name is taken, or there are too many.
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    body: JsonBody,
) -> Result<(StatusCode, Json<RobotView>), Error> {
    let [namespace] = segments.take();
    let authorized = namespaces::authorize::<ManageNamespace>(&app.hosting, &caller, &namespace)?;
    let new: NewRobot = body.parse()?;
    let namespace = authorized.target().name.clone();
    let row = app
        .hosting
        .create_robot(authorized, new.name, new.description)
        .await?;
    Ok((StatusCode::CREATED, Json(RobotView::new(&namespace, row))))
}

/// `GET /api/v1/admin/namespaces/{namespace}/robots`: lists the robots of a namespace by name.
///
/// 200 all of them; 401 no valid credential; 403 the caller does not own the namespace; 404 no such
/// namespace.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Json<Page<RobotView>>, Error> {
    let [namespace] = segments.take();
    let authorized = namespaces::authorize::<ManageNamespace>(&app.hosting, &caller, &namespace)?;
    let rows = app.hosting.list_robots(&authorized)?.into_iter();
    let name = &authorized.target().name;
    Ok(Json(Page::whole(rows.map(|row| RobotView::new(name, row)))))
}

/// `DELETE /api/v1/admin/namespaces/{namespace}/robots/{robot}`: the robot and its tokens open
/// nothing from now on.
///
/// 204 done; 401 no valid credential; 403 the caller does not own the namespace; 404 no such
/// namespace or robot.
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<StatusCode, Error> {
    let [namespace, robot] = segments.take();
    let authorized = namespaces::authorize::<ManageNamespace>(&app.hosting, &caller, &namespace)?;
    app.hosting.delete_robot(authorized, robot).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/v1/admin/namespaces/{namespace}/robots/{robot}/tokens`: makes a token of a robot.
///
/// 201 the token with its secret; 400 a value is not understood; 401 no valid credential; 403 the
/// caller does not own the namespace, or the token would be allowed more than the caller's
/// credential; 404 no such namespace or robot; 409 the robot has too many.
pub(super) async fn create_token(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    body: JsonBody,
) -> Result<(StatusCode, Json<NewTokenView>), Error> {
    let [namespace, robot] = segments.take();
    let authorized = namespaces::authorize::<ManageNamespace>(&app.hosting, &caller, &namespace)?;
    let settings = body.parse_or_empty::<NewToken>()?.settings()?;
    let (secret, row) = app
        .hosting
        .create_robot_token(authorized, robot, settings)
        .await?;
    Ok((StatusCode::CREATED, Json(NewTokenView::new(&secret, row))))
}
