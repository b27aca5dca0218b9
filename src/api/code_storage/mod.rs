//! The Code Storage API, as its published clients use it.
//!
//! Source: Code Storage's API pages and the behaviour of its two client libraries.
//! Bounds: pages by [`PAGE_DEFAULT`] and [`PAGE_MAX`], listings of files in `files`.
//! Invariant: the order of checks is credential, scope, repository, parameters, so that a parameter
//! error tells nobody whether a repository exists. The repository is never in the path: a JWT names
//! it in its `repo` claim, and for every other credential the query does, `?repo=namespace/name`.
//! Not here: doing any of it (`hosting`, `mirror`).

use axum::{
    Router,
    routing::{delete, get, post},
};

use super::{App, table};

mod archive;
mod base;
mod blame;
mod branches;
mod commit;
mod commit_pack;
mod commits;
mod content;
mod diff_commit;
mod diffs;
mod error;
mod files;
mod files_metadata;
mod grep;
mod merge;
mod newer;
mod notes;
mod preconditions;
mod repositories;
mod restore_commit;
mod revision;
mod stream;
mod tags;
mod target;
mod upstreams;

pub(super) use content::Room;

/// Items of a page when nobody asks for another number.
const PAGE_DEFAULT: usize = 20;
/// Most items of a page.
const PAGE_MAX: usize = 100;

/// The routes by both of their spellings.
pub(super) fn routes(app: &App) -> Router<App> {
    newer::routes(app, by_older_names()).merge(by_older_names())
}

fn by_older_names() -> Router<App> {
    table([
        (
            "/api/v1/repos",
            post(repositories::create).get(repositories::list),
        ),
        ("/api/v1/repo", get(repositories::show)),
        ("/api/v1/repos/delete", delete(repositories::remove)),
        (
            "/api/v1/repos/branches",
            get(branches::list).delete(branches::remove),
        ),
        ("/api/v1/repos/branches/create", post(branches::create)),
        ("/api/v1/repos/branches/diff", get(diffs::branch)),
        (
            "/api/v1/repos/tags",
            get(tags::list).post(tags::create).delete(tags::remove),
        ),
        (
            "/api/v1/repos/notes",
            get(notes::show).post(notes::write).delete(notes::remove),
        ),
        ("/api/v1/repos/notes/refs", get(notes::list_refs)),
        ("/api/v1/repos/pull-upstream", post(upstreams::pull)),
        (
            "/api/v1/repos/git-credentials",
            post(upstreams::add_credential)
                .put(upstreams::change_credential)
                .delete(upstreams::remove_credential),
        ),
        ("/api/v1/repos/commits", get(commits::list)),
        ("/api/v1/repos/commit-pack", post(commit_pack::create)),
        ("/api/v1/repos/diff-commit", post(diff_commit::create)),
        ("/api/v1/repos/restore-commit", post(restore_commit::create)),
        ("/api/v1/repos/commit", get(commits::show)),
        ("/api/v1/repos/diff", get(diffs::commit)),
        ("/api/v1/repos/files", get(files::list)),
        ("/api/v1/repos/files/metadata", get(files_metadata::list)),
        ("/api/v1/repos/file", get(content::show)),
        ("/api/v1/repos/archive", post(archive::create)),
        ("/api/v1/repos/blame", get(blame::show)),
        ("/api/v1/repos/grep", post(grep::search)),
        ("/api/v1/repos/merge", post(merge::create)),
        ("/api/v1/repos/merge/preview", get(merge::preview)),
    ])
}
