//! Where the lines of a file are from.
//!
//! Bounds: `git::blame` names them; whoever wants lines of a longer file asks for ranges.
//! Invariant: a line is told with the commit that brought it, as `git blame` would.

use std::collections::HashMap;

use axum::{Json, extract::State};
use serde::Serialize;

use super::{
    error::Error,
    revision::{AskedRevision, tree_path},
    target,
};
use crate::{
    api::{App, query::Query},
    git::{blame::BlamedLine, browse::CommitDetail},
    hosting::Contents,
    model::{Caller, ObjectId, Timestamp},
    policy::Fetch,
};

/// The answer of [`show`].
#[derive(Debug, Serialize)]
pub(super) struct BlameView {
    #[serde(rename = "ref")]
    revision: String,
    path: String,
    commit_sha: String,
    lines: Vec<LineView>,
}

/// A line in an answer.
#[derive(Debug, Serialize)]
pub(super) struct LineView {
    line_number: usize,
    commit_sha: String,
    original_line_number: usize,
    original_path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous_commit_sha: Option<String>,
    #[serde(flatten)]
    commit: CommitView,
}

/// What is told of a commit beside each of its lines.
#[derive(Debug, Clone, Serialize)]
struct CommitView {
    author_name: String,
    author_email: String,
    author_time: String,
    committer_name: String,
    committer_email: String,
    committer_time: String,
    summary: String,
}

impl From<CommitDetail> for CommitView {
    fn from(commit: CommitDetail) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let time = |seconds| Timestamp::from_seconds(seconds).to_string();
        let message = commit.message.trim_ascii_start();
        let summary = message.split(|byte| *byte == b'\n').next();
        Self {
            author_name: text(&commit.author.name),
            author_email: text(&commit.author.email),
            author_time: time(commit.author.seconds),
            committer_name: text(&commit.committer.name),
            committer_email: text(&commit.committer.email),
            committer_time: time(commit.committer.seconds),
            summary: text(summary.unwrap_or_default()),
        }
    }
}

/// `GET /api/v1/repos/blame`: tells of each line of the file at `path`, or of those in one of the `range`s, which
/// commit brought it; with `detect_moves`, lines that moved within the file are followed.
///
/// 200 the lines; 400 `path` is missing or not valid, or another parameter is not understood; 401 no valid
/// credential, or none with `git:read`; 404 no such repository, reference or file; 422 the file or its history is too
/// long; 503 too much else is being computed.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Json<BlameView>, Error> {
    let repository = target::repository(&caller, &query)?;
    let (authorized, _) = app.hosting.authorize::<Fetch>(&caller, &repository)?;
    let path = tree_path(query.required("path")?)?;
    let revision = AskedRevision::of(&query)?;
    let ranges: Vec<String> = query.all("range").map(str::to_owned).collect();
    let moves = query.switch("detect_moves")?.unwrap_or_default();
    let mut contents = app.hosting.contents(&authorized).await?;
    let work = move || {
        let (commit, revision) = revision.find_commit(&mut contents)?;
        let told = contents.blame(commit, &path, ranges, moves)?;
        Ok(Json(BlameView {
            revision,
            path,
            commit_sha: commit.to_string(),
            lines: lines(&mut contents, told)?,
        }))
    };
    app.hosting.compute(work).await
}

fn lines(contents: &mut Contents, told: Vec<BlamedLine>) -> Result<Vec<LineView>, Error> {
    let mut commits: HashMap<ObjectId, CommitView> = HashMap::new();
    let mut lines = Vec::with_capacity(told.len());
    for line in told {
        let commit = match commits.get(&line.commit) {
            Some(known) => known.clone(),
            None => {
                let view = CommitView::from(contents.detail(&line.commit)?);
                commits.insert(line.commit, view.clone());
                view
            }
        };
        lines.push(LineView {
            line_number: line.number,
            commit_sha: line.commit.to_string(),
            original_line_number: line.original_number,
            original_path: String::from_utf8_lossy(&line.original_path).into_owned(),
            previous_commit_sha: line.previous.map(|id| id.to_string()),
            commit,
        });
    }
    Ok(lines)
}
