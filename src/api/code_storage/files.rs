//! The files of a revision.
//!
//! Bounds: [`ENTRIES_MAX`] entries of a tree are looked at; pages by [`FILES_DEFAULT`] and
//! [`FILES_MAX`].
//! Invariant: without `cursor` and `limit` the listing is whole or an error, never cut.

use axum::{Json, extract::State};
use serde::Serialize;

use super::{
    error::Error,
    revision::{AskedRevision, tree_path},
    target,
};
use crate::{
    api::{App, off_runtime, query::Query},
    git::{ObjectKind, browse::TreeEntry},
    hosting::Contents,
    model::{Caller, ObjectId},
    policy::Fetch,
};

const ENTRIES_MAX: usize = 1_000_000;
const FILES_DEFAULT: usize = 1000;
const FILES_MAX: usize = 5000;

/// An entry of a tree in an answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct EntryView {
    pub(super) path: String,
    #[serde(rename = "type")]
    kind: &'static str,
    mode: String,
}

/// The answer of [`list`].
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct ListView {
    paths: Vec<String>,
    entries: Vec<EntryView>,
    #[serde(rename = "ref")]
    revision: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
    has_more: bool,
}

impl From<TreeEntry> for EntryView {
    fn from(entry: TreeEntry) -> Self {
        Self {
            path: String::from_utf8_lossy(&entry.path).into_owned(),
            kind: match (entry.kind, entry.mode) {
                (ObjectKind::Tree, _) => "tree",
                (ObjectKind::Commit, _) => "submodule",
                (_, 0o120_000) => "symlink",
                _ => "blob",
            },
            mode: format!("{:06o}", entry.mode),
        }
    }
}

/// `GET /api/v1/repos/files`: lists the files of a branch, tag or commit, or what lies below
/// `path`; with `recursive=false` a single folder, its folders included.
///
/// 200 all of them, or a page if `cursor` or `limit` is given; 400 a parameter is not understood;
/// 401 no valid credential, or none with `git:read`; 404 no such repository, reference or path;
/// 422 more files than one answer can hold.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Json<ListView>, Error> {
    let path = target::repository(&caller, &query)?;
    let (authorized, _) = app.hosting.authorize::<Fetch>(&caller, &path)?;
    let revision = AskedRevision::of(&query)?;
    let below = asked_folder(&query)?;
    let recursive = query.switch("recursive")?.unwrap_or(true);
    let cursor = query.one("cursor")?.map(str::to_owned);
    let paged = cursor.is_some() || query.one("limit")?.is_some();
    let limit = query.limit(FILES_DEFAULT, FILES_MAX)?;
    let contents = app.hosting.contents(&authorized).await?;
    off_runtime(move || {
        let mut contents = contents;
        let (id, revision) = revision.find(&contents)?;
        let entries = listing(&mut contents, (id, &revision), below.as_deref(), recursive)?;
        let entries = entries.into_iter();
        let entries: Vec<EntryView> = match recursive {
            true => entries
                .filter(|entry| entry.kind != ObjectKind::Tree)
                .map(EntryView::from)
                .collect(),
            false => entries.map(EntryView::from).collect(),
        };
        let limit = if paged { limit } else { usize::MAX };
        Ok(Json(page(entries, revision, cursor.as_deref(), limit)))
    })
    .await
}

/// The folder or file named by `path`; slashes around it mean nothing.
pub(super) fn asked_folder(query: &Query) -> Result<Option<String>, Error> {
    let below = query.one("path")?.map(|text| text.trim_end_matches('/'));
    let below = below.filter(|text| !text.is_empty());
    below.map(tree_path).transpose()
}

/// What a revision holds below a folder, all of it.
pub(super) fn listing(
    contents: &mut Contents,
    (id, revision): (ObjectId, &str),
    below: Option<&str>,
    recursive: bool,
) -> Result<Vec<TreeEntry>, Error> {
    let within = below.map(str::as_bytes);
    let Some(listing) = contents.list(id, within, recursive, ENTRIES_MAX)? else {
        let path = below.unwrap_or_default();
        return Err(Error::NotFound(format!("{path:?} is not in {revision}")));
    };
    match listing.truncated {
        true => Err(Error::TooMuch(format!(
            "{revision} lists more than {ENTRIES_MAX} entries"
        ))),
        false => Ok(listing.entries),
    }
}

/// The entries behind the cursor, which is a path, be it still there or not.
fn page(entries: Vec<EntryView>, revision: String, cursor: Option<&str>, limit: usize) -> ListView {
    let start = cursor.map_or(0, |cursor| {
        let exactly = entries.iter().position(|entry| entry.path == cursor);
        exactly.map_or_else(
            || entries.partition_point(|entry| entry.path.as_str() < cursor),
            |at| at + 1,
        )
    });
    let mut rest = entries.into_iter().skip(start);
    let entries: Vec<EntryView> = rest.by_ref().take(limit).collect();
    let has_more = rest.next().is_some();
    let files = entries.iter().filter(|entry| entry.kind != "tree");
    let last = entries.last().map(|last| last.path.clone());
    ListView {
        paths: files.map(|entry| entry.path.clone()).collect(),
        next_cursor: last.filter(|_| has_more),
        entries,
        revision,
        has_more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_even_when_their_seam_is_gone() {
        let all: Vec<_> = ["a", "b", "d"]
            .map(|path| EntryView {
                path: path.to_owned(),
                kind: "blob",
                mode: "100644".to_owned(),
            })
            .to_vec();
        let page = |cursor, limit| {
            let page = page(all.clone(), String::new(), cursor, limit);
            (page.paths.join(" "), page.next_cursor, page.has_more)
        };
        let next = |path: &str| Some(path.to_owned());
        assert_eq!(page(None, 2), ("a b".to_owned(), next("b"), true));
        assert_eq!(page(Some("b"), 2), ("d".to_owned(), None, false));
        assert_eq!(page(Some("a"), 2), ("b d".to_owned(), None, false));
        assert_eq!(page(Some("c"), 1), ("d".to_owned(), None, false));
        assert_eq!(page(Some("z"), 1), (String::new(), None, false));
        assert_eq!(page(None, 3), ("a b d".to_owned(), None, false));
    }
}
