//! The bytes of one file.
//!
//! Source: RFC 9110 for conditions and ranges (`preconditions` judges them).
//! Bounds: [`FILE_BYTES_MAX`] a file; all that are being sent take [`MEMORY_KIB`] of memory, where they
//! have up to [`HELD_BYTES`], and [`DISK_KIB`] of disk; [`WALK_MAX`] commits to find out when a file last
//! changed.
//! Invariant: a HEAD says exactly what the GET would, and neither it nor a 304 reads the bytes.

use std::{io, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header},
    response::Response,
};
use futures_util::stream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{
    error::Error,
    preconditions::{Representation, Selection, select},
    revision::{AskedRevision, tree_path},
    target,
};
use crate::{
    api::{App, off_runtime, query::Query},
    git::Content,
    hosting::{Contents, File},
    model::{Caller, ObjectId, Timestamp},
    policy::Fetch,
};

/// Largest file that is served; larger ones are fetched with git.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Larger files are sent from the disk.
const HELD_BYTES: u64 = 1 << 20;
/// Memory that files being sent may take together.
const MEMORY_KIB: usize = 64 << 10;
/// Disk that files being sent may take together.
const DISK_KIB: usize = 2 << 20;
/// Longest wait for that room.
const ROOM_WAIT: Duration = Duration::from_secs(30);
/// Bytes handed to the connection at once.
const CHUNK: usize = 64 << 10;
const WALK_MAX: usize = 5_000;

const BLOB_SHA: HeaderName = HeaderName::from_static("x-blob-sha");
const LAST_COMMIT_SHA: HeaderName = HeaderName::from_static("x-last-commit-sha");

/// Room for files being sent.
#[derive(Clone)]
pub(in crate::api) struct Room {
    memory: Arc<Semaphore>,
    disk: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            memory: Arc::new(Semaphore::new(MEMORY_KIB)),
            disk: Arc::new(Semaphore::new(DISK_KIB)),
        }
    }
}

impl Room {
    /// Waits for room for a file of so many bytes.
    async fn wait(&self, bytes: u64) -> Result<OwnedSemaphorePermit, Error> {
        let kib = u32::try_from(bytes.div_ceil(1024)).map_err(|_| Error::Busy)?;
        let room = match bytes <= HELD_BYTES {
            true => &self.memory,
            false => &self.disk,
        };
        let permit = Arc::clone(room).acquire_many_owned(kib);
        match tokio::time::timeout(ROOM_WAIT, permit).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(Error::Busy),
        }
    }
}

/// `GET|HEAD /api/v1/repos/file`: the bytes of the file at `path` in a branch, tag or commit.
///
/// 200 all of it, 206 the range asked for, 304 the client has it; 400 `path` is missing or not
/// valid, or another parameter is not understood; 401 no valid credential, or none with `git:read`;
/// 404 no such repository, reference or file; 412 a precondition fails; 416 it has no such range;
/// 422 it is too large; 503 too many files are being sent.
pub(super) async fn show(
    State(app): State<App>,
    caller: Caller,
    query: Query,
    method: Method,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let repository = target::repository(&caller, &query)?;
    let (authorized, _) = app.hosting.authorize::<Fetch>(&caller, &repository)?;
    let path = tree_path(query.required("path")?)?;
    let revision = AskedRevision::of(&query)?;
    let contents = app.hosting.contents(&authorized).await?;
    let (mut contents, found) = off_runtime(move || {
        let mut contents = contents;
        let found = Found::look_up(&mut contents, &revision, &path)?;
        Ok::<_, Error>((contents, found))
    })
    .await?;
    let etag = format!("\"{}\"", found.file.id);
    let size = found.file.size;
    let representation = Representation {
        etag: &etag,
        modified: found.changed.map(|(_, at)| at),
        size,
    };
    let (status, first, length) = match select(&headers, representation) {
        Selection::Whole => (StatusCode::OK, 0, size),
        Selection::Part { first, last } => (StatusCode::PARTIAL_CONTENT, first, last - first + 1),
        Selection::NotModified => (StatusCode::NOT_MODIFIED, 0, 0),
        Selection::PreconditionFailed => return Err(Error::PreconditionFailed),
        Selection::OutOfRange => return Err(Error::OutOfRange { size }),
    };
    if length > 0 && size > FILE_BYTES_MAX {
        return Err(Error::TooMuch(format!(
            "the file has {size} bytes, at most {FILE_BYTES_MAX} are served here: fetch it with git"
        )));
    }
    let body = match method {
        _ if status == StatusCode::NOT_MODIFIED || length == 0 => Body::empty(),
        Method::HEAD => Body::empty(),
        _ => {
            let room = app.room.wait(size).await?;
            let file = found.file.clone();
            let content = off_runtime(move || Ok::<_, Error>(contents.bytes(&file, HELD_BYTES)?));
            body(content.await?, first, length, room)
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let to = response.headers_mut();
    found.describe(&etag, to)?;
    if status != StatusCode::NOT_MODIFIED {
        to.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        let octets = HeaderValue::from_static("application/octet-stream");
        to.insert(header::CONTENT_TYPE, octets);
    }
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {first}-{}/{size}", first + length - 1);
        to.insert(header::CONTENT_RANGE, value(&range)?);
    }
    Ok(response)
}

/// A file and what else is told of it.
struct Found {
    file: File,
    /// The last commit that touched it, unless it is too far back to be found.
    changed: Option<(ObjectId, Timestamp)>,
}

impl Found {
    fn look_up(
        contents: &mut Contents,
        revision: &AskedRevision,
        path: &str,
    ) -> Result<Self, Error> {
        let (id, name) = revision.find(contents)?;
        let Some(file) = contents.file(id, path.as_bytes())? else {
            return Err(Error::NotFound(format!("{path:?} is no file in {name}")));
        };
        let changed = match contents.commit_of(id)? {
            None => None,
            Some(commit) => {
                let found = contents.commits_touching(commit, path.as_bytes(), (0, 1), WALK_MAX)?;
                let last = found.commits.into_iter().next();
                last.map(|last| (last.id, Timestamp::from_seconds(last.committer.seconds)))
            }
        };
        Ok(Self { file, changed })
    }

    fn describe(&self, etag: &str, headers: &mut HeaderMap) -> Result<(), Error> {
        headers.insert(header::ETAG, value(etag)?);
        headers.insert(BLOB_SHA, value(&self.file.id.to_string())?);
        headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        // A browser that was lured here must not run what somebody committed.
        let no_sniffing = HeaderValue::from_static("nosniff");
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, no_sniffing);
        let private = HeaderValue::from_static("private, no-cache");
        headers.insert(header::CACHE_CONTROL, private);
        if let Some((commit, at)) = self.changed {
            headers.insert(LAST_COMMIT_SHA, value(&commit.to_string())?);
            if let Some(date) = http_date(at) {
                headers.insert(header::LAST_MODIFIED, value(&date)?);
            }
        }
        Ok(())
    }
}

/// A date as RFC 9110 section 5.6.7 writes it; `None` for years that it can't write.
fn http_date(at: Timestamp) -> Option<String> {
    let at = jiff::Timestamp::from_second(at.seconds()).ok()?;
    let printer = jiff::fmt::rfc2822::DateTimePrinter::new();
    printer.timestamp_to_rfc9110_string(&at).ok()
}

fn value(text: &str) -> Result<HeaderValue, Error> {
    HeaderValue::from_str(text).map_err(|_| Error::Parameter(format!("{text:?} is no header")))
}

/// What is left to send of a file.
struct Rest {
    file: Arc<Content>,
    at: u64,
    end: u64,
    _room: OwnedSemaphorePermit,
}

/// A part of a file in chunks; the room it takes is free again when the last one was taken.
fn body(file: Content, first: u64, length: u64, room: OwnedSemaphorePermit) -> Body {
    let rest = Rest {
        file: Arc::new(file),
        at: first,
        end: first + length,
        _room: room,
    };
    let chunks = stream::try_unfold(rest, async |mut rest| {
        let length = usize::try_from(rest.end - rest.at).map_or(CHUNK, |left| left.min(CHUNK));
        if length == 0 {
            return Ok::<_, io::Error>(None);
        }
        let (file, at) = (Arc::clone(&rest.file), rest.at);
        let chunk = tokio::task::spawn_blocking(move || file.part(at, length)).await??;
        rest.at += length as u64;
        Ok(Some((Bytes::from(chunk), rest)))
    });
    Body::from_stream(chunks)
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn room_is_held_until_the_last_byte_was_taken() {
        let room = Room::default();
        let taken = room.wait(200_000).await.unwrap();
        let free = room.memory.available_permits();
        assert_eq!(free, MEMORY_KIB - 196);
        let file = Content::Held(vec![7; 200_000]);
        let body = body(file, 1, 199_998, taken);
        assert_eq!(room.memory.available_permits(), free);
        let read = body.collect().await.unwrap().to_bytes();
        assert_eq!(read, vec![7; 199_998]);
        assert_eq!(room.memory.available_permits(), MEMORY_KIB);
        let _large = room.wait(HELD_BYTES + 1).await.unwrap();
        assert_eq!(room.disk.available_permits(), DISK_KIB - 1025);
    }

    #[test]
    fn dates_are_written_for_http() {
        let at = Timestamp::from_seconds(784_111_777);
        let expected = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(http_date(at).as_deref(), Some(expected));
        assert_eq!(http_date(Timestamp::from_seconds(-99_999_999_999)), None);
    }
}
