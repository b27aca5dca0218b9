//! The files of a revision with their sizes, and who changed each of them last.
//!
//! Bounds: as a listing of files; pages by [`FILES_DEFAULT`] and [`FILES_MAX`], and [`WALK_MAX`]
//! commits are looked at for all files of a page together.

use std::collections::BTreeMap;

use axum::{Json, extract::State};
use serde::Serialize;

use super::{
    error::Error,
    files::{EntryView, asked_folder, listing},
    revision::AskedRevision,
    target,
};
use crate::{
    api::{App, off_runtime, query::Query},
    git::ObjectKind,
    hosting::Contents,
    model::{Caller, ObjectId, Timestamp},
    policy::Fetch,
};

const FILES_DEFAULT: usize = 200;
const FILES_MAX: usize = 1000;
const WALK_MAX: usize = 100_000;

/// A file in an answer.
#[derive(Debug, Serialize)]
struct FileView {
    #[serde(flatten)]
    entry: EntryView,
    size: u64,
    last_commit_sha: String,
}

/// A commit in an answer.
#[derive(Debug, Serialize)]
struct CommitView {
    author: String,
    date: String,
    message: String,
}

/// The answer of [`list`].
#[derive(Debug, Serialize)]
pub(super) struct ListView {
    files: Vec<FileView>,
    commits: BTreeMap<String, CommitView>,
    #[serde(rename = "ref")]
    revision: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    has_more: bool,
}

/// `GET /api/v1/repos/files/metadata`: lists the files of a branch, tag or commit, or those below
/// `path`, each with the commit that changed it last.
///
/// 200 a page of them; 400 a parameter is not understood; 401 no valid credential, or none with
/// `git:read`; 404 no such repository, reference or path; 422 the history is too long to be searched.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Json<ListView>, Error> {
    let path = target::repository(&caller, &query)?;
    let (authorized, _) = app.hosting.authorize::<Fetch>(&caller, &path)?;
    let revision = AskedRevision::of(&query)?;
    let below = asked_folder(&query)?;
    query.switch("recursive")?;
    let cursor = query.one("cursor")?.map(str::to_owned);
    let limit = query.limit(FILES_DEFAULT, FILES_MAX)?;
    let mut contents = app.hosting.contents(&authorized).await?;
    off_runtime(move || {
        let (id, revision) = revision.find(&contents)?;
        let Some(commit) = contents.commit_of(id)? else {
            return Err(Error::NotFound(format!("{revision} is no commit")));
        };
        let mut entries = listing(&mut contents, (id, &revision), below.as_deref(), true)?;
        entries.retain(|entry| entry.kind != ObjectKind::Tree);
        let start = cursor.map_or(0, |cursor| {
            let exactly = entries
                .iter()
                .position(|entry| entry.path == cursor.as_bytes());
            exactly.map_or_else(
                || entries.partition_point(|entry| entry.path.as_slice() < cursor.as_bytes()),
                |at| at + 1,
            )
        });
        entries.drain(..start);
        let has_more = entries.len() > limit;
        entries.truncate(limit);
        let paths: Vec<_> = entries.iter().map(|entry| entry.path.as_slice()).collect();
        let changed = contents.last_changes(commit, &paths, WALK_MAX)?;
        let changed = changed.map_err(|_| {
            Error::TooMuch(format!(
                "the history is too long to search: {WALK_MAX} commits were looked at"
            ))
        })?;
        let commits = described(&mut contents, &changed)?;
        let mut files = Vec::with_capacity(entries.len());
        for (entry, last) in entries.into_iter().zip(changed) {
            let size = match entry.kind {
                ObjectKind::Blob => contents.size(entry.id)?,
                _ => 0,
            };
            files.push(FileView {
                entry: entry.into(),
                size,
                last_commit_sha: last.to_string(),
            });
        }
        let last = files.last().map(|file| file.entry.path.clone());
        Ok(Json(ListView {
            files,
            commits,
            revision,
            next_cursor: last.filter(|_| has_more),
            has_more,
        }))
    })
    .await
}

/// Each of these commits once.
fn described(
    contents: &mut Contents,
    commits: &[ObjectId],
) -> Result<BTreeMap<String, CommitView>, Error> {
    let mut views = BTreeMap::new();
    for id in commits {
        let sha = id.to_string();
        if views.contains_key(&sha) {
            continue;
        }
        let commit = contents.commit(*id)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let view = CommitView {
            author: text(&commit.author.name),
            date: Timestamp::from_seconds(commit.committer.seconds).to_string(),
            message: text(commit.message.trim_ascii_end()),
        };
        views.insert(sha, view);
    }
    Ok(views)
}
