//! Notes on objects: read, written, and the refs they lie in.
//!
//! Source: Code Storage API, "Notes"; git-notes(1).
//! Bounds: [`NOTE_BYTES_MAX`] of a note are shown; pages by [`PAGE_DEFAULT`] and [`PAGE_MAX`].
//! Invariant: nothing but refs below `refs/notes/` is read or written here.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};

use super::{
    PAGE_DEFAULT, PAGE_MAX,
    commit::{PersonBody, ResultView, caller_as_author, error_with_result, object_id, required},
    error::Error,
    target,
};
use crate::{
    api::{App, body::JsonBody, off_runtime, query::Query},
    git::edit::CommitText,
    hosting::{NoteChange, NoteWritten},
    model::{Caller, ObjectId, RefName},
    policy::{Fetch, Push},
};

const PREFIX: &str = "refs/notes/";
const NOTE_BYTES_MAX: u64 = 4 << 20;

/// The notes ref of this name: `reviews` is `refs/notes/reviews`.
fn notes_ref(text: Option<&str>) -> Result<RefName, Error> {
    let text = text.filter(|text| !text.is_empty()).unwrap_or("commits");
    let short = text.strip_prefix(PREFIX).unwrap_or(text);
    match short.starts_with("refs/") {
        true => Err(Error::Parameter(format!("{text:?} is not below {PREFIX}"))),
        false => Ok(format!("{PREFIX}{short}").parse()?),
    }
}

/// The answer of [`show`].
#[derive(Debug, Serialize)]
pub(super) struct NoteView {
    sha: String,
    note: String,
    ref_sha: String,
}

/// `GET /api/v1/repos/notes`: the note on an object.
///
/// 200 the note; 400 a parameter is missing or not understood; 401 no valid credential, or none with
/// `git:read`; 404 no such repository, notes ref or note.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Json<NoteView>, Error> {
    let path = target::repository(&caller, &query)?;
    let (authorized, repository) = app.hosting.authorize::<Fetch>(&caller, &path)?;
    let object = query.required("sha")?;
    let object = object_id(object, repository.row.object_format, "sha")?;
    let name = notes_ref(query.one("ref")?)?;
    let mut contents = app.hosting.contents(&authorized).await?;
    off_runtime(move || {
        let absent = || Error::NotFound(format!("{object} has no note in {name}"));
        let tip = contents.tip(&name).ok_or_else(absent)?;
        let note = contents.note(tip, &object, NOTE_BYTES_MAX)?;
        let note = note.ok_or_else(absent)?;
        Ok(Json(NoteView {
            sha: object.to_string(),
            note: String::from_utf8_lossy(&note).into_owned(),
            ref_sha: tip.to_string(),
        }))
    })
    .await
}

/// The body of [`write`] and [`remove`].
#[derive(Debug, Deserialize)]
struct NoteBody {
    #[serde(alias = "object_ref")]
    sha: Option<String>,
    #[serde(rename = "ref", alias = "notes_ref")]
    name: Option<String>,
    action: Option<String>,
    note: Option<String>,
    #[serde(alias = "expected_notes_ref_sha")]
    expected_ref_sha: Option<String>,
    author: Option<PersonBody>,
}

/// The answer of [`write`] and [`remove`].
#[derive(Debug, Serialize)]
pub(super) struct WrittenView {
    sha: String,
    target_ref: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_commit: Option<String>,
    new_ref_sha: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    result: ResultView,
}

/// `POST /api/v1/repos/notes`: adds a note to an object, or appends to the one it has.
///
/// 201 the notes ref; 400 the body is not understood; 401 no valid credential, or none with
/// `git:write`; 403 a rule forbids it; 404 no such repository or object; 409 the note to be added is
/// there, or the notes ref is not where `expected_ref_sha` says.
pub(super) async fn write(
    State(app): State<App>,
    caller: Caller,
    query: Query,
    body: JsonBody,
) -> Response {
    let mut asked = Asked::default();
    let change = |body: &NoteBody| {
        let note = required(body.note.as_deref(), "note")?.to_owned();
        match body.action.as_deref() {
            None | Some("add") => Ok(NoteChange::Add(note)),
            Some("append") => Ok(NoteChange::Append(note)),
            Some(other) => Err(Error::Parameter(format!("action {other:?} is none"))),
        }
    };
    let written = change_note(&app, &caller, (&query, &body), change, &mut asked).await;
    asked.answer(StatusCode::CREATED, written)
}

/// `DELETE /api/v1/repos/notes`: removes the note on an object.
///
/// 200 the notes ref; 400 the body is not understood; 401 no valid credential, or none with
/// `git:write`; 403 a rule forbids it; 404 no such repository, object or note; 409 the notes ref is
/// not where `expected_ref_sha` says.
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    query: Query,
    body: JsonBody,
) -> Response {
    let mut asked = Asked::default();
    let change = |_: &NoteBody| Ok(NoteChange::Remove);
    let written = change_note(&app, &caller, (&query, &body), change, &mut asked).await;
    asked.answer(StatusCode::OK, written)
}

/// What a request is about, as far as it was understood.
#[derive(Debug, Default)]
struct Asked {
    object: Option<ObjectId>,
    name: Option<RefName>,
}

impl Asked {
    fn answer(self, status: StatusCode, written: Result<NoteWritten, Error>) -> Response {
        let text = |id: Option<ObjectId>| id.map(|id| id.to_string());
        let target_ref = self.name.map(String::from).unwrap_or_default();
        let sha = text(self.object).unwrap_or_default();
        match written {
            Ok(NoteWritten { old, new }) => {
                let view = WrittenView {
                    sha,
                    base_commit: text(old),
                    new_ref_sha: new.to_string(),
                    error: None,
                    result: ResultView::done(&target_ref, old, new),
                    target_ref,
                };
                (status, Json(view)).into_response()
            }
            Err(error) => error_with_result(&error, &target_ref, |error, result| WrittenView {
                sha,
                target_ref: target_ref.clone(),
                base_commit: None,
                new_ref_sha: String::new(),
                error: Some(error),
                result,
            }),
        }
    }
}

async fn change_note(
    app: &App,
    caller: &Caller,
    (query, body): (&Query, &JsonBody),
    change: impl FnOnce(&NoteBody) -> Result<NoteChange, Error>,
    asked: &mut Asked,
) -> Result<NoteWritten, Error> {
    let path = target::repository(caller, query)?;
    let (push, repository) = app.hosting.authorize::<Push>(caller, &path)?;
    let (fetch, _) = app.hosting.authorize::<Fetch>(caller, &path)?;
    let format = repository.row.object_format;
    let body: NoteBody = body.parse()?;
    let name = notes_ref(body.name.as_deref())?;
    asked.name = Some(name.clone());
    let object = object_id(required(body.sha.as_deref(), "sha")?, format, "sha")?;
    asked.object = Some(object);
    let change = change(&body)?;
    let expected = body.expected_ref_sha.as_deref();
    let expected = expected
        .map(|id| object_id(id, format, "expected_ref_sha"))
        .transpose()?;
    let author = match &body.author {
        Some(author) => author.person("author")?,
        None => caller_as_author(caller)?,
    };
    let verb = match change {
        NoteChange::Add(_) => "added",
        NoteChange::Append(_) => "appended",
        NoteChange::Remove => "removed",
    };
    let text = CommitText {
        committer: author.clone(),
        author,
        message: format!("Notes {verb} by API"),
    };
    let contents = app.hosting.contents(&fetch).await?;
    off_runtime(move || match contents.object(&object.to_string())? {
        Some(_) => Ok(()),
        None => Err(Error::NotFound(format!("object {object} does not exist"))),
    })
    .await?;
    let written = app
        .hosting
        .write_note(push, name, object, change, text, expected)
        .await?;
    Ok(written)
}

/// A notes ref in an answer.
#[derive(Debug, Serialize)]
pub(super) struct RefView {
    cursor: String,
    #[serde(rename = "ref")]
    name: String,
    sha: String,
}

/// The answer of [`list_refs`].
#[derive(Debug, Serialize)]
pub(super) struct RefsView {
    refs: Vec<RefView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    has_more: bool,
    prefix: String,
}

/// `GET /api/v1/repos/notes/refs`: lists the refs that hold notes, by name.
///
/// 200 a page of them; 400 a parameter is not understood; 401 no valid credential, or none with
/// `git:read`; 404 no such repository.
pub(super) async fn list_refs(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Json<RefsView>, Error> {
    let path = target::repository(&caller, &query)?;
    let (authorized, _) = app.hosting.authorize::<Fetch>(&caller, &path)?;
    let limit = query.limit(PAGE_DEFAULT, PAGE_MAX)?;
    let below = query.one("prefix")?.unwrap_or_default();
    let short = below.strip_prefix(PREFIX).unwrap_or(below);
    if short.starts_with("refs/") {
        return Err(Error::Parameter(format!(
            "prefix {below:?} is not below {PREFIX}"
        )));
    }
    let prefix = format!("{PREFIX}{short}");
    let after = query.one("cursor")?.map(|name| notes_ref(Some(name)));
    let after = after.transpose()?;
    let page = app
        .hosting
        .refs_below(
            &authorized,
            &prefix,
            after.as_ref().map(RefName::as_str),
            limit,
        )
        .await?;
    let refs: Vec<_> = page
        .items
        .iter()
        .map(|entry| RefView {
            cursor: entry.name.to_string(),
            name: entry.name.to_string(),
            sha: entry.id.to_string(),
        })
        .collect();
    let last = refs.last().map(|last| last.cursor.clone());
    Ok(Json(RefsView {
        refs,
        next_cursor: last.filter(|_| page.has_more),
        has_more: page.has_more,
        prefix,
    }))
}
