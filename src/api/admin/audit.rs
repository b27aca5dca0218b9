//! The audit log, read only.

use axum::{Json, extract::State};
use serde::Serialize;

use super::{
    error::Error,
    page::{Asked, Page},
};
use crate::{
    api::{App, query::Query},
    model::Caller,
    policy::{self, AdministerServer, ServerFacts},
    store::audit::{AuditResult, AuditRow},
};

/// One line of the log in an answer.
#[derive(Debug, Serialize)]
pub(super) struct EntryView {
    id: u64,
    at: String,
    actor: String,
    address: Option<String>,
    credential: String,
    action: String,
    target: String,
    repository_id: Option<u64>,
    namespace_id: Option<u64>,
    detail: String,
    result: AuditResult,
}

impl From<AuditRow> for EntryView {
    fn from(row: AuditRow) -> Self {
        Self {
            id: row.id,
            at: row.at.to_string(),
            actor: row.actor,
            address: row.address,
            credential: row.credential,
            action: row.action,
            target: row.target,
            repository_id: row.repository_id,
            namespace_id: row.namespace_id,
            detail: row.detail,
            result: row.result,
        }
    }
}

/// `GET /api/v1/admin/audit`: an administrator reads the log, newest first.
///
/// 200 a page; 400 a parameter is not understood; 401 no valid credential; 403 the caller is no
/// administrator.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Json<Page<EntryView>>, Error> {
    let authorized = policy::authorize::<AdministerServer>(&caller, &ServerFacts)?;
    let asked = Asked::<u64>::of(&query)?;
    let found = app
        .hosting
        .audit_log(&authorized, asked.after, asked.count())?;
    Ok(Json(asked.page(
        found,
        |row| row.id.to_string(),
        EntryView::from,
    )))
}
