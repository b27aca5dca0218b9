//! Commits: those of a branch, newest first, and single ones.
//!
//! Bounds: [`WALK_MAX`] commits are looked at to find those of a path.

use axum::{Json, extract::State};
use serde::Serialize;

use super::{
    PAGE_DEFAULT, PAGE_MAX,
    error::Error,
    revision::{AskedBranch, tree_path},
    target,
};
use crate::{
    api::{
        App, off_runtime,
        query::{Query, QueryError},
    },
    git::{self, browse::CommitDetail},
    hosting::Contents,
    model::{Caller, ObjectId, Timestamp},
    policy::Fetch,
};

const WALK_MAX: usize = 100_000;

/// A commit in an answer.
#[derive(Debug, Serialize)]
pub(super) struct CommitView {
    sha: String,
    parent_shas: Vec<String>,
    message: String,
    author_name: String,
    author_email: String,
    committer_name: String,
    committer_email: String,
    date: String,
}

/// The answer of [`list`].
#[derive(Debug, Default, Serialize)]
pub(super) struct ListView {
    commits: Vec<CommitView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    has_more: bool,
}

impl From<CommitDetail> for CommitView {
    fn from(commit: CommitDetail) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            sha: commit.id.to_string(),
            parent_shas: commit.parents.iter().map(ToString::to_string).collect(),
            message: text(commit.message.trim_ascii_end()),
            author_name: text(&commit.author.name),
            author_email: text(&commit.author.email),
            committer_name: text(&commit.committer.name),
            committer_email: text(&commit.committer.email),
            date: Timestamp::from_seconds(commit.committer.seconds).to_string(),
        }
    }
}

/// `GET /api/v1/repos/commits`: lists the commits of a branch, newest first; of the default branch
/// when none is named, and only those that touch `path` if it is given.
///
/// 200 a page of them, none if the repository is empty and no branch was named; 400 a parameter is
/// not understood; 401 no valid credential, or none with `git:read`; 404 no such repository or
/// branch.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Json<ListView>, Error> {
    let path = target::repository(&caller, &query)?;
    let (authorized, _) = app.hosting.authorize::<Fetch>(&caller, &path)?;
    let branch = AskedBranch::of(&query)?;
    let limit = query.limit(PAGE_DEFAULT, PAGE_MAX)?;
    let skip = skip(&query)?;
    let within = query.one("path")?.map(tree_path).transpose()?;
    let mut contents = app.hosting.contents(&authorized).await?;
    off_runtime(move || {
        let Some(tip) = branch.tip(&contents)? else {
            return Ok(Json(ListView::default()));
        };
        let mut commits = find(&mut contents, tip, within.as_deref(), skip, limit + 1)?;
        let has_more = commits.len() > limit;
        commits.truncate(limit);
        Ok(Json(ListView {
            next_cursor: has_more.then(|| (skip + limit).to_string()),
            commits: commits.into_iter().map(CommitView::from).collect(),
            has_more,
        }))
    })
    .await
}

/// The cursor is the number of commits to skip.
fn skip(query: &Query) -> Result<usize, Error> {
    const EXPECTED: &str = "a number of commits to skip";
    let skip: Option<u32> = query.parsed("cursor", EXPECTED)?;
    let signed = query
        .one("cursor")?
        .is_some_and(|text| text.starts_with('+'));
    match usize::try_from(skip.unwrap_or_default()) {
        Ok(skip) if !signed => Ok(skip),
        _ => Err(Error::Parameter(format!("cursor is not {EXPECTED}"))),
    }
}

fn find(
    contents: &mut Contents,
    tip: ObjectId,
    within: Option<&str>,
    skip: usize,
    limit: usize,
) -> Result<Vec<CommitDetail>, Error> {
    let Some(commit) = contents.commit_of(tip)? else {
        return Ok(Vec::new());
    };
    let Some(path) = within else {
        return Ok(contents.commits(commit, skip, limit)?);
    };
    let found = contents.commits_touching(commit, path.as_bytes(), (skip, limit), WALK_MAX)?;
    match found.given_up {
        false => Ok(found.commits),
        true => Err(Error::TooMuch(format!(
            "the history is too long to search for {path}: {WALK_MAX} commits were looked at"
        ))),
    }
}

/// The answer of [`show`].
#[derive(Debug, Serialize)]
pub(super) struct ShownView {
    commit: DetailView,
}

/// A commit with its signature, if it has one, and what was signed.
#[derive(Debug, Serialize)]
struct DetailView {
    #[serde(flatten)]
    commit: CommitView,
    #[serde(skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<String>,
}

/// `GET /api/v1/repos/commit`: one commit, named by its id or the beginning of it, a branch or a tag.
///
/// 200 the commit; 400 `sha` is missing; 401 no valid credential, or none with `git:read`; 404 no such
/// repository or commit.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Json<ShownView>, Error> {
    let path = target::repository(&caller, &query)?;
    let (authorized, _) = app.hosting.authorize::<Fetch>(&caller, &path)?;
    let name = match query.one("sha")? {
        Some(name) => name,
        None => query.one("ref")?.ok_or(QueryError::Missing("sha"))?,
    };
    let name = name.to_owned();
    let mut contents = app.hosting.contents(&authorized).await?;
    off_runtime(move || {
        let absent = || Error::NotFound(format!("commit {name} does not exist"));
        let found = contents.revision(&name)?.ok_or_else(absent)?;
        let id = contents.commit_of(found)?.ok_or_else(absent)?;
        let commit = contents.commit(id)?;
        let signed = git::signed(&commit.raw);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let (signature, payload) = signed
            .map(|signed| (text(signed.signature), text(signed.payload)))
            .unzip();
        Ok(Json(ShownView {
            commit: DetailView {
                commit: commit.into(),
                signature,
                payload,
            },
        }))
    })
    .await
}
