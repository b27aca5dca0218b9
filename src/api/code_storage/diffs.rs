//! What a commit or a branch changes.
//!
//! Source: Code Storage API, "Get commit diff" and "Get branch diff".
//! Bounds: those of `hosting` for what is told and for answers under way; [`PATHS_MAX`] paths to tell it of.
//! Invariant: files that are shown and files that are not are counted alike.

use std::io;

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::Response,
};
use serde::Serialize;

use super::{
    archive::pieces,
    error::Error,
    revision::{AskedBranch, tree_path},
    target,
};
use crate::{
    api::{App, off_runtime, query::Query},
    git::fetch::Stopped,
    hosting::{AskedDiff, Contents, DiffLimits, FileDiff, HostingError},
    model::{Caller, ObjectId},
    policy::Fetch,
};

/// Paths that a request may name.
const PATHS_MAX: usize = 100;
/// A file in an answer.
#[derive(Debug, Serialize)]
struct FileView {
    path: String,
    state: String,
    old_path: String,
    bytes: u64,
    is_eof: bool,
    #[serde(flatten)]
    shown: Option<ShownView>,
}

/// What is told only of files that are shown.
#[derive(Debug, Serialize)]
struct ShownView {
    raw: String,
    additions: u64,
    deletions: u64,
}

/// How much differs.
#[derive(Debug, Default, Serialize)]
struct StatsView {
    files: usize,
    additions: u64,
    deletions: u64,
    changes: u64,
}

/// The part that both answers have.
#[derive(Debug, Default, Serialize)]
struct FilesView {
    stats: StatsView,
    files: Vec<FileView>,
    filtered_files: Vec<FileView>,
}

/// The answer of [`commit`].
#[derive(Debug, Serialize)]
struct CommitView {
    sha: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    base_sha: Option<String>,
    #[serde(flatten)]
    files: FilesView,
}

/// The answer of [`branch`].
#[derive(Debug, Serialize)]
struct BranchView {
    branch: String,
    base: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    merge_base_sha: Option<String>,
    #[serde(flatten)]
    files: FilesView,
}

/// `GET /api/v1/repos/diff`: what the commit `sha` changes against `baseSha`, or against its first parent, or against
/// nothing if it has none. With `path`, only below these paths; with `gitApplyCompatible`, as patches that make one tree
/// of the other.
///
/// 200 the files; 400 `sha` is missing or no hexadecimal id, or another parameter is not understood; 401 no valid
/// credential, or none with `git:read`; 404 no such repository or commit; 422 more than one answer can hold; 503 too many
/// answers are being made.
pub(super) async fn commit(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Response, Error> {
    let path = target::repository(&caller, &query)?;
    let (authorized, _) = app.hosting.authorize::<Fetch>(&caller, &path)?;
    let sha = hexadecimal("sha", query.required("sha")?)?;
    let base = query.one("baseSha")?;
    let base = base.map(|base| hexadecimal("baseSha", base)).transpose()?;
    let asked = asked(&query)?;
    let mut contents = app.hosting.contents(&authorized).await?;
    let (mut contents, sha, base) = off_runtime(move || {
        let sha = find_commit(&mut contents, &sha)?;
        let base = match base {
            Some(base) => Some(find_commit(&mut contents, &base)?),
            None => contents.first_parent(sha)?,
        };
        Ok::<_, Error>((contents, sha, base))
    })
    .await?;
    let view = move || {
        Ok(CommitView {
            sha: sha.to_string(),
            base_sha: base.map(|base| base.to_string()),
            files: contents.diff(base, sha, &asked)?.into(),
        })
    };
    send(&app, view).await
}

/// `GET /api/v1/repos/branches/diff`: what `branch` changed since its history left that of `base`, or of the default
/// branch; everything if they have nothing in common. Otherwise as [`commit`].
///
/// 200 the files; 400 `branch` is missing, or a parameter is not understood; 401 no valid credential, or none with
/// `git:read`; 404 no such repository or branch; 422 more than one answer can hold; 503 too many answers are being made.
pub(super) async fn branch(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Response, Error> {
    let path = target::repository(&caller, &query)?;
    let (authorized, _) = app.hosting.authorize::<Fetch>(&caller, &path)?;
    query.required("branch")?;
    let branch = AskedBranch::of(&query)?;
    let base = AskedBranch::read(&query, "base", "ephemeral_base")?;
    let asked = asked(&query)?;
    let mut contents = app.hosting.contents(&authorized).await?;
    let (mut contents, tip, base_tip) = off_runtime(move || {
        let (tip, base_tip) = (branch.named(&mut contents)?, base.named(&mut contents)?);
        Ok::<_, Error>((contents, tip, base_tip))
    })
    .await?;
    let view = move || {
        let merge_base = contents.merge_base(base_tip.0, tip.0)?;
        Ok(BranchView {
            branch: tip.1,
            base: base_tip.1,
            merge_base_sha: merge_base.map(|base| base.to_string()),
            files: contents.diff(merge_base, tip.0, &asked)?.into(),
        })
    };
    send(&app, view).await
}

/// Reads `path`, and `gitApplyCompatible` in either spelling.
fn asked(query: &Query) -> Result<AskedDiff, Error> {
    let paths = query.all("path").filter(|path| !path.is_empty());
    let paths = paths.map(|path| tree_path(path.trim_end_matches('/')));
    let paths = paths.collect::<Result<Vec<_>, _>>()?;
    if paths.len() > PATHS_MAX {
        return Err(Error::Parameter(format!("more than {PATHS_MAX} paths")));
    }
    let applicable = query.switch("gitApplyCompatible")?;
    let applicable = applicable.or(query.switch("git_apply_compatible")?);
    Ok(AskedDiff {
        paths,
        applicable: applicable.unwrap_or_default(),
        limits: DiffLimits::default(),
    })
}

/// The id of a commit or its beginning, as a client writes it.
fn hexadecimal(name: &str, text: &str) -> Result<String, Error> {
    /// A shorter beginning is no id.
    const LEAST: usize = 4;
    let is_id = text.len() >= LEAST && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match is_id {
        true => Ok(text.to_ascii_lowercase()),
        false => Err(Error::Parameter(format!(
            "{name} is {text:?}, no hexadecimal id"
        ))),
    }
}

fn find_commit(contents: &mut Contents, sha: &str) -> Result<ObjectId, Error> {
    let found = match contents.object(sha)? {
        Some(id) => contents.commit_of(id)?,
        None => None,
    };
    found.ok_or_else(|| Error::NotFound(format!("commit {sha} does not exist")))
}

impl From<Vec<FileDiff>> for FilesView {
    fn from(files: Vec<FileDiff>) -> Self {
        let mut view = Self::default();
        for file in files {
            view.stats.files += 1;
            view.stats.additions += file.additions;
            view.stats.deletions += file.deletions;
            view.stats.changes += file.additions + file.deletions;
            let place = match file.raw {
                Some(_) => &mut view.files,
                None => &mut view.filtered_files,
            };
            place.push(file.into());
        }
        view
    }
}

impl From<FileDiff> for FileView {
    fn from(file: FileDiff) -> Self {
        let text = |bytes: Vec<u8>| {
            String::from_utf8(bytes)
                .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
        };
        Self {
            path: text(file.path),
            state: file.state.letter().to_string(),
            old_path: text(file.old_path.unwrap_or_default()),
            bytes: file.bytes,
            is_eof: file.ends_in_line_feed,
            shown: file.raw.map(|raw| ShownView {
                raw: text(raw),
                additions: file.additions,
                deletions: file.deletions,
            }),
        }
    }
}

/// Answers with a view, which is made when its turn has come and written while it is sent.
async fn send<T: Serialize>(
    app: &App,
    view: impl FnOnce() -> Result<T, HostingError> + Send + 'static,
) -> Result<Response, Error> {
    let work = move |sink: &mut dyn FnMut(&[u8]) -> Result<(), Stopped>| {
        let view = view()?;
        match serde_json::to_writer(Output(sink), &view) {
            Ok(()) => Ok(()),
            // The views have string keys only: nothing else can fail.
            Err(_) => Err(Stopped.into()),
        }
    };
    let (first, rest) = app.hosting.stream(work).await?;
    let mut response = Response::new(pieces(first, rest));
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    Ok(response)
}

/// Hands on what is written.
struct Output<'a>(&'a mut dyn FnMut(&[u8]) -> Result<(), Stopped>);

impl io::Write for Output<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
