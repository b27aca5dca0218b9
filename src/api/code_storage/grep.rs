//! Lines of a revision's files that match an expression.
//!
//! Bounds: [`FILES_MAX`] and [`LINES_MAX`] on a page, [`MATCHES_PER_FILE_MAX`], [`CONTEXT_MAX`] lines around a
//! match, [`PATHS_MAX`] paths and as many extensions; `git::grep` names what one page costs at most.
//! Invariant: following `next_cursor` tells of every match once; a page may be empty and not the last.

use axum::{Json, extract::State};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use super::{error::Error, revision::AskedRevision, revision::tree_path, target};
use crate::{
    api::{App, body::JsonBody, query::Query},
    git::{
        PathGlobs,
        grep::{Found, FoundFile, Pattern, Place},
    },
    hosting::AskedLines,
    model::Caller,
    policy::Fetch,
};

const FILES_DEFAULT: usize = 100;
const FILES_MAX: usize = 1000;
const LINES_DEFAULT: usize = 2000;
const LINES_MAX: usize = 10_000;
const MATCHES_PER_FILE_MAX: usize = 10_000;
const CONTEXT_MAX: usize = 50;
const PATHS_MAX: usize = 256;

/// What is looked for, and where.
#[derive(Debug, Deserialize)]
pub(super) struct GrepBody {
    query: QueryBody,
    #[serde(rename = "ref", alias = "rev")]
    revision: Option<String>,
    ephemeral: Option<bool>,
    #[serde(default)]
    paths: Vec<String>,
    #[serde(default)]
    file_filters: FileFilters,
    #[serde(default)]
    context: Context,
    #[serde(default)]
    limits: Limits,
    #[serde(default)]
    pagination: Pagination,
}

#[derive(Debug, Deserialize)]
struct QueryBody {
    pattern: String,
    case_sensitive: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
struct FileFilters {
    #[serde(default)]
    include_globs: Vec<String>,
    #[serde(default)]
    exclude_globs: Vec<String>,
    #[serde(default)]
    extension_filters: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Context {
    before: Option<usize>,
    after: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
struct Limits {
    max_lines: Option<usize>,
    max_matches_per_file: Option<usize>,
}

#[derive(Debug, Default, Deserialize)]
struct Pagination {
    cursor: Option<String>,
    limit: Option<usize>,
}

/// The answer of [`search`].
#[derive(Debug, Serialize)]
pub(super) struct GrepView {
    query: QueryView,
    repo: RepoView,
    matches: Vec<FileView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    has_more: bool,
}

#[derive(Debug, Serialize)]
struct QueryView {
    pattern: String,
    case_sensitive: bool,
}

#[derive(Debug, Serialize)]
struct RepoView {
    #[serde(rename = "ref")]
    revision: String,
    commit: String,
}

#[derive(Debug, Serialize)]
struct FileView {
    path: String,
    lines: Vec<LineView>,
}

#[derive(Debug, Serialize)]
struct LineView {
    line_number: u64,
    text: String,
    #[serde(rename = "type")]
    kind: &'static str,
}

impl From<FoundFile> for FileView {
    fn from(file: FoundFile) -> Self {
        let lines = file.lines.into_iter().map(|line| LineView {
            line_number: line.number,
            text: String::from_utf8_lossy(&line.text).into_owned(),
            kind: if line.is_match { "match" } else { "context" },
        });
        Self {
            path: String::from_utf8_lossy(&file.path).into_owned(),
            lines: lines.collect(),
        }
    }
}

/// `POST /api/v1/repos/grep`: looks for lines in the files of a branch, tag or commit.
///
/// 200 a page of files with their lines; 400 the body is not understood; 401 no valid credential, or none
/// with `git:read`; 404 no such repository or reference; 503 too many searches are running.
pub(super) async fn search(
    State(app): State<App>,
    caller: Caller,
    query: Query,
    body: JsonBody,
) -> Result<Json<GrepView>, Error> {
    let repository = target::repository(&caller, &query)?;
    let (authorized, _) = app.hosting.authorize::<Fetch>(&caller, &repository)?;
    let body: GrepBody = body.parse()?;
    let revision = AskedRevision::new(body.revision, body.ephemeral.unwrap_or_default());
    let case_sensitive = body.query.case_sensitive.unwrap_or(true);
    let pattern = body.query.pattern;
    let asked = AskedLines {
        pattern: Pattern::new(&pattern, case_sensitive)
            .map_err(|reason| Error::Parameter(format!("pattern {reason}")))?,
        paths: paths(body.paths)?,
        globs: PathGlobs::new(
            &body.file_filters.include_globs,
            &body.file_filters.exclude_globs,
        )?,
        extensions: extensions(body.file_filters.extension_filters)?,
        context: (
            body.context.before.unwrap_or_default().min(CONTEXT_MAX),
            body.context.after.unwrap_or_default().min(CONTEXT_MAX),
        ),
        matches_per_file_max: at_least_one(
            "max_matches_per_file",
            body.limits.max_matches_per_file,
            (MATCHES_PER_FILE_MAX, MATCHES_PER_FILE_MAX),
        )?,
        lines_max: at_least_one(
            "max_lines",
            body.limits.max_lines,
            (LINES_DEFAULT, LINES_MAX),
        )?,
        files_max: at_least_one("limit", body.pagination.limit, (FILES_DEFAULT, FILES_MAX))?,
        from: body.pagination.cursor.as_deref().map(place).transpose()?,
    };
    let mut contents = app.hosting.contents(&authorized).await?;
    let hosting = app.hosting;
    let work = move || {
        let (commit, revision) = revision.find_commit(&mut contents)?;
        let Found { files, next } = contents.lines(commit, asked)?;
        Ok(Json(GrepView {
            query: QueryView {
                pattern,
                case_sensitive,
            },
            repo: RepoView {
                revision,
                commit: commit.to_string(),
            },
            matches: files.into_iter().map(FileView::from).collect(),
            has_more: next.is_some(),
            next_cursor: next.map(|place| cursor(&place)),
        }))
    };
    hosting.compute(work).await
}

/// Paths of files or folders; a slash at the end means nothing, and so does an empty path.
fn paths(texts: Vec<String>) -> Result<Vec<String>, Error> {
    if texts.len() > PATHS_MAX {
        return Err(Error::Parameter(format!("more than {PATHS_MAX} paths")));
    }
    let bare = texts.iter().map(|text| text.trim_end_matches('/'));
    let paths = bare.filter(|text| !text.is_empty() && *text != ".");
    paths.map(tree_path).collect()
}

fn extensions(texts: Vec<String>) -> Result<Vec<String>, Error> {
    if texts.len() > PATHS_MAX {
        return Err(Error::Parameter(format!(
            "more than {PATHS_MAX} extensions"
        )));
    }
    let bare = texts
        .iter()
        .map(|text| text.trim_start_matches("*").trim_start_matches('.'));
    Ok(bare
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .collect())
}

fn at_least_one(
    name: &str,
    value: Option<usize>,
    (default, most): (usize, usize),
) -> Result<usize, Error> {
    match value {
        None => Ok(default),
        Some(0) => Err(Error::Parameter(format!(
            "{name} is 0, a positive number was expected"
        ))),
        Some(value) => Ok(value.min(most)),
    }
}

/// The lines that are done with, or nothing if all are, a colon, the path.
fn cursor(place: &Place) -> String {
    let lines = place.lines_done.map(|lines| lines.to_string());
    let text = [lines.unwrap_or_default().as_bytes(), b":", &place.path].concat();
    BASE64_URL_SAFE_NO_PAD.encode(text)
}

fn place(cursor: &str) -> Result<Place, Error> {
    let malformed = || Error::Parameter(format!("cursor {cursor:?} is none of this search"));
    let text = BASE64_URL_SAFE_NO_PAD
        .decode(cursor)
        .map_err(|_| malformed())?;
    let colon = text
        .iter()
        .position(|byte| *byte == b':')
        .ok_or_else(malformed)?;
    let lines = std::str::from_utf8(&text[..colon]).map_err(|_| malformed())?;
    let lines_done = match lines {
        "" => None,
        lines => Some(lines.parse().map_err(|_| malformed())?),
    };
    Ok(Place {
        path: text[colon + 1..].to_vec(),
        lines_done,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_names_the_place_it_was_made_from() {
        for (path, lines_done) in [(&b"a:b\xff/c"[..], None), (b"", Some(0)), (b"x", Some(77))] {
            let there = Place {
                path: path.to_vec(),
                lines_done,
            };
            assert_eq!(place(&cursor(&there)).unwrap(), there);
        }
        let bad = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
        for text in ["", "=", &bad("path"), &bad("-1:path"), &bad("x:path")] {
            assert!(place(text).is_err(), "{text:?}");
        }
    }
}
