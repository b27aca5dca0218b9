//! The files of a revision as one compressed archive.
//!
//! Bounds: [`PREFIX_BYTES_MAX`]; patterns in `git::globs`; the archive is made as it is sent.
//! Invariant: a failure before the first byte is an error, one in the middle cuts the connection.

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderValue, header},
    response::Response,
};
use futures_util::stream;
use serde::Deserialize;

use super::{error::Error, revision::AskedRevision, target};
use crate::{
    api::{App, body::JsonBody, off_runtime, query::Query},
    git::{PathGlobs, archive::FileLimits},
    hosting::{AskedArchive, HostingError, Pieces},
    model::Caller,
    policy::Fetch,
};

/// Longest prefix of the paths in an archive, in bytes.
const PREFIX_BYTES_MAX: usize = 1024;

/// What is to go into the archive.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ArchiveBody {
    #[serde(rename = "ref")]
    revision: Option<String>,
    ephemeral: Option<bool>,
    #[serde(default)]
    include_globs: Vec<String>,
    #[serde(default)]
    exclude_globs: Vec<String>,
    /// Bytes.
    max_blob_size: Option<u64>,
    archive: Option<Naming>,
}

/// How paths are named in it.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Naming {
    prefix: Option<String>,
}

/// `POST /api/v1/repos/archive`: the files of a branch, tag or commit as a tar archive with gzip, as
/// `git archive` makes it; without a body, all files of the default branch.
///
/// 200 the archive; 400 the body is not understood; 401 no valid credential, or none with `git:read`;
/// 404 no such repository or reference; 422 it has too many entries; 503 too many archives are being made.
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    query: Query,
    body: JsonBody,
) -> Result<Response, Error> {
    let repository = target::repository(&caller, &query)?;
    let (authorized, _) = app.hosting.authorize::<Fetch>(&caller, &repository)?;
    let body: ArchiveBody = body.parse_or_empty()?;
    let asked = AskedArchive {
        prefix: prefix(body.archive.unwrap_or_default())?,
        files: FileLimits {
            globs: PathGlobs::new(&body.include_globs, &body.exclude_globs)?,
            bytes_max: body.max_blob_size,
        },
    };
    let revision = AskedRevision::new(body.revision, body.ephemeral.unwrap_or_default());
    let mut contents = app.hosting.contents(&authorized).await?;
    let (mut contents, commit) = off_runtime(move || {
        let (commit, _) = revision.find_commit(&mut contents)?;
        Ok::<_, Error>((contents, commit))
    })
    .await?;
    let work = move |sink: &mut dyn FnMut(&[u8]) -> _| contents.archive(commit, asked, sink);
    let (first, rest) = app.hosting.stream(work).await?;
    let mut response = Response::new(pieces(first, rest));
    let headers = response.headers_mut();
    let gzip = HeaderValue::from_static("application/gzip");
    headers.insert(header::CONTENT_TYPE, gzip);
    let name = format!("attachment; filename=\"{commit}.tar.gz\"");
    if let Ok(name) = HeaderValue::from_str(&name) {
        headers.insert(header::CONTENT_DISPOSITION, name);
    }
    Ok(response)
}

/// An answer that is made as it is sent.
pub(super) fn pieces(first: Result<Bytes, HostingError>, rest: Pieces) -> Body {
    let pieces = stream::unfold((Some(first), rest), async |(first, mut rest)| {
        let piece = match first {
            Some(first) => first,
            None => rest.recv().await?,
        };
        if let Err(error) = &piece {
            tracing::warn!(%error, "an answer was cut off");
        }
        Some((piece, (None, rest)))
    });
    Body::from_stream(pieces)
}

/// A prefix that keeps the archive within the folder it is unpacked in.
fn prefix(naming: Naming) -> Result<String, Error> {
    let prefix = naming.prefix.unwrap_or_default();
    let odd = |segment: &str| matches!(segment, "." | "..");
    let sound = prefix.len() <= PREFIX_BYTES_MAX
        && !prefix.starts_with('/')
        && !prefix.contains(['\0', '\n'])
        && !prefix.split('/').any(odd);
    match sound {
        true => Ok(prefix),
        false => Err(Error::Parameter(format!("prefix {prefix:?} is not valid"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_stays_within_the_folder() {
        let taken = |text: &str| {
            let prefix = Some(text.to_owned());
            super::prefix(Naming { prefix }).is_ok()
        };
        let longest = "a".repeat(PREFIX_BYTES_MAX);
        for text in ["", "novel-1.0/", "a/b", "..a/", &longest] {
            assert!(taken(text), "{text:?}");
        }
        for text in [
            "/a",
            "../",
            "a/../b",
            "./a",
            "a\0",
            "a\nb",
            &format!("{longest}a"),
        ] {
            assert!(!taken(text), "{text:?}");
        }
    }
}
