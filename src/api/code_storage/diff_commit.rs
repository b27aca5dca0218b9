//! Commits from a patch.
//!
//! Source: Code Storage API, "Create commit from diff"; git-apply(1) with `--cached --binary`.
//! Bounds: lines and bytes by `upload`, chunks by `stream`, [`PATCH_BYTES_MAX`] in all. The patch waits
//! in a file and is held in memory, of which there is so much for all, only while it is applied.
//! Invariant: all of it applies or nothing does.

use axum::{
    body::Body,
    extract::{Request, State},
    http::request::Parts,
    response::Response,
};
use serde::{Deserialize, de::IgnoredAny};

use super::{
    commit::{CommittedView, answered, split, writes_to},
    error::Error,
    stream::{Text, decoded, first_line, understood},
};
use crate::{
    api::{
        App,
        body::refuse_encoded,
        off_runtime,
        upload::{Line, Lines},
    },
    git::receive::BlobPieces,
    hosting::CommitError,
    model::BranchName,
};

/// Longest patch, in bytes.
const PATCH_BYTES_MAX: u64 = 32 << 20;

/// A line behind the first.
#[derive(Debug, Deserialize)]
struct ChunkLine<'a> {
    #[serde(borrow)]
    diff_chunk: Option<ChunkBody<'a>>,
}

#[derive(Debug, Deserialize)]
struct ChunkBody<'a> {
    #[serde(borrow)]
    data: Option<Text<'a>>,
    eof: Option<bool>,
}

/// `POST /api/v1/repos/diff-commit`: commits what a patch makes of a branch.
///
/// 201 the commit; 400 a line or a field is not understood, or the patch is empty or malformed; 401 no
/// valid credential, or none with `git:write`; 403 a rule forbids it; 404 no such repository, branch or
/// base branch; 408 the client fell silent; 409 the patch does not apply, or the branch is not where
/// `expected_head_sha` says; 413 more than may be sent; 503 too many uploads at once.
pub(super) async fn create(State(app): State<App>, request: Request<Body>) -> Response {
    let (mut parts, mut lines) = split(&app, request);
    let mut branch = None;
    let made = commit(&app, &mut parts, &mut lines, &mut branch).await;
    answered(made, branch.as_ref(), lines)
}

async fn commit(
    app: &App,
    parts: &mut Parts,
    lines: &mut Lines,
    branch: &mut Option<BranchName>,
) -> Result<Response, Error> {
    let (authorized, format) = writes_to(app, parts).await?;
    refuse_encoded(&parts.headers)?;
    let _slot = app.uploads.slot().await?;
    let (metadata, IgnoredAny) = first_line(lines).await?;
    let (target, onto) = metadata.onto(format)?;
    *branch = Some(target.clone());
    let text = metadata.text(None)?;
    let draft = app.hosting.draft(authorized, onto).await?;
    let mut patch = Patch {
        bytes: draft.blob_in_pieces(),
        ended: false,
    };
    while let Some(line) = lines.next().await? {
        patch = off_runtime(move || {
            patch.take(&line)?;
            Ok::<_, Error>(patch)
        })
        .await?;
    }
    if !patch.ended {
        return Err(Error::Parameter("the diff has no last chunk".to_owned()));
    }
    let room = app.uploads.room(patch.bytes.length()).await?;
    let bytes = off_runtime(move || {
        let bytes = patch.bytes.whole();
        Ok::<_, Error>(bytes.map_err(CommitError::from)?)
    });
    let bytes = bytes.await?;
    let committed = draft.commit(text, move |base| base.patched(&bytes)).await?;
    drop(room);
    Ok(CommittedView::answer(
        &target,
        &committed,
        Some(committed.files),
    ))
}

/// The patch as far as it has come.
struct Patch {
    bytes: BlobPieces,
    ended: bool,
}

impl Patch {
    /// Takes the next line. Blocks.
    fn take(&mut self, line: &Line) -> Result<(), Error> {
        let number = line.number;
        let wrong = |text: &str| Error::Parameter(format!("line {number}: {text}"));
        let chunk: ChunkLine<'_> = understood(line)?;
        let chunk = chunk
            .diff_chunk
            .ok_or_else(|| wrong("diff_chunk is missing"))?;
        if self.ended {
            return Err(wrong("the diff has ended"));
        }
        let data = chunk.data.ok_or_else(|| wrong("data is missing"))?;
        let bytes = decoded(&data, number)?;
        if self.bytes.length() + bytes.len() as u64 > PATCH_BYTES_MAX {
            let text = format!("the diff has more than {PATCH_BYTES_MAX} bytes");
            return Err(Error::TooMuchSent(text));
        }
        self.bytes.append(&bytes).map_err(CommitError::from)?;
        self.ended = chunk.eof.unwrap_or_default();
        Ok(())
    }
}
