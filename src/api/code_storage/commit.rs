//! What all commits made through this API have in common: their metadata, and the answer.
//!
//! Source: Code Storage API, "Create commit"; its clients read `result.status` to learn why a commit
//! was refused.
//! Invariant: a refusal has both `error` and `result`.

use axum::{
    Json,
    body::Body,
    extract::{FromRequestParts as _, Request},
    http::{StatusCode, request::Parts},
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};

use super::{error::Error, revision::branch, target};
use crate::{
    api::{
        App,
        query::Query,
        request::{error_text, with_headers},
        upload::Lines,
    },
    git::edit::{CommitText, Person},
    hosting::{CommitError, Committed, Onto},
    model::{BranchName, Caller, ObjectFormat, ObjectId, Timestamp},
    policy::{Authorized, Push},
};

/// Longest message of a commit, in bytes.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Where a commit goes and what it says, as a client sends it.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct CommitBody {
    target_branch: Option<String>,
    commit_message: Option<String>,
    author: Option<PersonBody>,
    committer: Option<PersonBody>,
    #[serde(alias = "expected_target_sha")]
    expected_head_sha: Option<String>,
    #[serde(alias = "base_ref")]
    base_branch: Option<String>,
    #[serde(alias = "target_is_ephemeral")]
    ephemeral: Option<bool>,
    #[serde(alias = "base_is_ephemeral")]
    ephemeral_base: Option<bool>,
}

/// Somebody in a commit.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct PersonBody {
    name: Option<String>,
    email: Option<String>,
    date: Option<String>,
}

fn parameter(text: impl Into<String>) -> Error {
    Error::Parameter(text.into())
}

/// The text of a field that has to be there.
pub(super) fn required<'a>(text: Option<&'a str>, name: &str) -> Result<&'a str, Error> {
    text.filter(|text| !text.is_empty())
        .ok_or_else(|| parameter(format!("{name} is missing")))
}

/// An object's whole name.
pub(super) fn object_id(text: &str, format: ObjectFormat, name: &str) -> Result<ObjectId, Error> {
    ObjectId::from_hex(text.as_bytes())
        .ok()
        .filter(|id| id.kind() == format.kind())
        .ok_or_else(|| {
            parameter(format!(
                "{name} {text:?} is not the whole name of an object"
            ))
        })
}

impl PersonBody {
    /// Somebody at the time given, or now.
    pub(super) fn person(&self, role: &str) -> Result<Person, Error> {
        let (seconds, offset) = match &self.date {
            None => (Timestamp::now().seconds(), 0),
            Some(date) => moment(date).ok_or_else(|| {
                parameter(format!(
                    "{role}.date {date:?} is no ISO 8601 time with an offset"
                ))
            })?,
        };
        let name = self.name.as_deref().unwrap_or_default();
        let email = self.email.as_deref().unwrap_or_default();
        Person::new(name, email, seconds, offset)
            .map_err(|error| parameter(format!("{role}.{error}")))
    }
}

/// The author of a commit whose request names none.
pub(super) fn caller_as_author(caller: &Caller) -> Result<Person, Error> {
    let name = caller.principal.display_name().replace(['<', '>'], " ");
    let now = Timestamp::now().seconds();
    Person::new(&name, "api@packhorse.invalid", now, 0)
        .map_err(|error| parameter(format!("author is missing, and the caller's {error}")))
}

/// Seconds since 1970, and the offset in minutes.
fn moment(text: &str) -> Option<(i64, i32)> {
    let pieces = jiff::fmt::temporal::Pieces::parse(text).ok()?;
    let offset = pieces.to_numeric_offset()?;
    let at = pieces.date().to_datetime(pieces.time()?);
    let seconds = offset.to_timestamp(at).ok()?.as_second();
    Some((seconds, offset.seconds() / 60))
}

impl CommitBody {
    /// Which branch it goes to, and how.
    pub(super) fn onto(&self, format: ObjectFormat) -> Result<(BranchName, Onto), Error> {
        let name = required(self.target_branch.as_deref(), "target_branch")?;
        if self.ephemeral_base.is_some() && self.base_branch.is_none() {
            return Err(parameter("ephemeral_base is given without base_branch"));
        }
        let start = self
            .base_branch
            .as_deref()
            .map(|name| branch(name, self.ephemeral_base.unwrap_or_default()));
        let expected = self.expected_head_sha.as_deref();
        let expected = expected
            .map(|id| object_id(id, format, "expected_head_sha"))
            .transpose()?;
        let branch = branch(name, self.ephemeral.unwrap_or_default())?;
        let onto = Onto::branch(&branch, start.transpose()?, expected);
        Ok((branch, onto))
    }

    /// What it says; `otherwise` is its message if it brings none.
    pub(super) fn text(&self, otherwise: Option<String>) -> Result<CommitText, Error> {
        let given = self.commit_message.as_deref();
        let message = given.filter(|text| !text.trim().is_empty());
        let message = match (message, otherwise) {
            (Some(message), _) => message.to_owned(),
            (None, Some(otherwise)) => otherwise,
            (None, None) => return Err(parameter("commit_message is missing")),
        };
        if message.len() > MESSAGE_BYTES_MAX {
            return Err(parameter("commit_message is too long"));
        }
        if message.contains('\0') {
            return Err(parameter("commit_message holds a NUL"));
        }
        let author = self.author.as_ref();
        let author = author.ok_or_else(|| parameter("author is missing"))?;
        let author_then = author.person("author")?;
        Ok(CommitText {
            committer: match &self.committer {
                Some(committer) => committer.person("committer")?,
                None => author_then.clone(),
            },
            author: author_then,
            message,
        })
    }
}

/// The repository that a request writes to, and the proof that its caller may.
pub(super) async fn writes_to(
    app: &App,
    parts: &mut Parts,
) -> Result<(Authorized<Push>, ObjectFormat), Error> {
    let caller = Caller::from_request_parts(parts, app).await?;
    let query = Query::from_request_parts(parts, app).await?;
    let path = target::repository(&caller, &query)?;
    let (authorized, repository) = app.hosting.authorize::<Push>(&caller, &path)?;
    Ok((authorized, repository.row.object_format))
}

/// Splits a request into its head and the lines of its body.
pub(super) fn split(app: &App, request: Request<Body>) -> (Parts, Lines) {
    let (parts, body) = request.into_parts();
    (parts, app.uploads.lines(body))
}

/// The answer of a commit that was made.
#[derive(Debug, Serialize)]
pub(super) struct CommittedView {
    commit: CommitView,
    result: ResultView,
}

#[derive(Debug, Serialize)]
struct CommitView {
    commit_sha: String,
    tree_sha: String,
    target_branch: String,
    pack_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    blob_count: Option<usize>,
}

/// What became of a branch.
#[derive(Debug, Clone, Serialize)]
pub(super) struct ResultView {
    branch: String,
    old_sha: String,
    new_sha: String,
    success: bool,
    status: &'static str,
    message: String,
}

impl ResultView {
    /// The ref moved.
    pub(super) fn done(name: &str, old: Option<ObjectId>, new: ObjectId) -> Self {
        Self {
            branch: name.to_owned(),
            old_sha: hex(old),
            new_sha: new.to_string(),
            success: true,
            status: "ok",
            message: String::new(),
        }
    }
}

/// An object's name, zeros for none.
fn hex(id: Option<ObjectId>) -> String {
    id.map_or_else(|| "0".repeat(40), |id| id.to_string())
}

impl CommittedView {
    /// 201 with what was made.
    pub(super) fn answer(
        branch: &BranchName,
        committed: &Committed,
        blob_count: Option<usize>,
    ) -> Response {
        let view = Self {
            commit: CommitView {
                commit_sha: committed.id.to_string(),
                tree_sha: committed.tree.to_string(),
                target_branch: branch.short().to_owned(),
                pack_bytes: committed.pack_bytes,
                blob_count,
            },
            result: ResultView::done(branch.short(), committed.old, committed.id),
        };
        (StatusCode::CREATED, Json(view)).into_response()
    }
}

/// The body of a refusal.
#[derive(Debug, Serialize)]
struct RefusedView {
    error: String,
    result: ResultView,
}

/// The answer to a commit that was sent as a stream; the rest of a refused one is thrown away.
pub(super) fn answered(
    made: Result<Response, Error>,
    branch: Option<&BranchName>,
    lines: Lines,
) -> Response {
    made.unwrap_or_else(|error| {
        lines.drain();
        refused(&error, branch)
    })
}

/// The answer of a commit that was not made, for the branch as far as it is known.
pub(super) fn refused(error: &Error, branch: Option<&BranchName>) -> Response {
    let branch = branch.map_or("", BranchName::short);
    error_with_result(error, branch, |error, result| RefusedView { error, result })
}

/// A refusal with what became of a ref, which is nothing.
pub(super) fn error_with_result<T: Serialize>(
    error: &Error,
    name: &str,
    body: impl FnOnce(String, ResultView) -> T,
) -> Response {
    let status = error.status();
    let old = match error {
        Error::Commit(CommitError::Moved { found, .. }) => *found,
        _ => None,
    };
    let text = error_text(error, status);
    let result = ResultView {
        branch: name.to_owned(),
        old_sha: hex(old),
        new_sha: hex(None),
        success: false,
        status: reason(error, status),
        message: text.clone(),
    };
    with_headers(status, Json(body(text, result)))
}

/// The word that clients know a refusal by.
fn reason(error: &Error, status: StatusCode) -> &'static str {
    if let Error::Commit(CommitError::Moved { .. }) = error {
        return "precondition_failed";
    }
    match status {
        StatusCode::UNAUTHORIZED => "unauthorized",
        StatusCode::FORBIDDEN => "forbidden",
        StatusCode::NOT_FOUND => "not_found",
        StatusCode::CONFLICT => "conflict",
        StatusCode::PRECONDITION_FAILED => "precondition_failed",
        StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => "timeout",
        StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::TOO_MANY_REQUESTS
        | StatusCode::INSUFFICIENT_STORAGE => "unavailable",
        StatusCode::INTERNAL_SERVER_ERROR => "internal",
        _ => "invalid",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_have_an_offset() {
        assert_eq!(moment("2024-01-15T10:30:00Z"), Some((1_705_314_600, 0)));
        assert_eq!(
            moment("2024-01-15T12:30:00+02:00"),
            Some((1_705_314_600, 120))
        );
        assert_eq!(
            moment("2024-01-15T08:00:00.5-02:30"),
            Some((1_705_314_600, -150))
        );
        for text in ["", "2024-01-15", "2024-01-15T10:30:00", "now"] {
            assert_eq!(moment(text), None, "{text}");
        }
    }
}
