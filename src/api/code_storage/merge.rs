//! Merges of branches, made or looked at beforehand.
//!
//! Bounds: [`CONTENT_BYTES_MAX`] of a file and [`PREVIEW_BYTES_MAX`] in all are shown of what conflicts.
//! Invariant: what a preview calls clean merges unless a branch moves meanwhile.

use axum::{
    Json,
    extract::State,
    http::StatusCode,
    response::{IntoResponse as _, Response},
};
use serde::{Deserialize, Serialize};

use super::{
    commit::{PersonBody, caller_as_author, object_id, required},
    error::Error,
    revision::branch,
    target,
};
use crate::{
    api::{App, body::JsonBody, query::Query},
    git::merge::{Conflict, Stage},
    hosting::{
        AskedMerge, Contents, HostingError, MergeDone, MergePreview, MergeRefusal, MergeResult,
        MergeStrategy,
    },
    model::{BranchName, Caller, ObjectFormat, ObjectId},
    policy::{Fetch, Push},
};

/// As much of one version of a file is shown.
const CONTENT_BYTES_MAX: u64 = 256 << 10;
/// As much is shown of all of them together.
const PREVIEW_BYTES_MAX: usize = 8 << 20;

/// What is to be merged, as a client sends it.
#[derive(Debug, Deserialize)]
pub(super) struct MergeBody {
    #[serde(alias = "source_ref")]
    source_branch: Option<String>,
    source_is_ephemeral: Option<bool>,
    target_branch: Option<String>,
    target_is_ephemeral: Option<bool>,
    strategy: Option<String>,
    expected_target_sha: Option<String>,
    commit_message: Option<String>,
    author: Option<PersonBody>,
    committer: Option<PersonBody>,
    allow_unrelated_histories: Option<bool>,
    squash: Option<bool>,
}

/// The answer of [`create`].
#[derive(Debug, Serialize)]
struct MergedView {
    result: &'static str,
    commit_sha: String,
    tree_sha: String,
    source: SourceView,
    target: TargetView,
    #[serde(skip_serializing_if = "Option::is_none")]
    merge_base_sha: Option<String>,
    promoted_commits: usize,
}

#[derive(Debug, Serialize)]
struct SourceView {
    branch: String,
    ephemeral: bool,
    sha: String,
}

#[derive(Debug, Serialize)]
struct TargetView {
    branch: String,
    ephemeral: bool,
    old_sha: String,
    new_sha: String,
}

/// A merge that is not made because of what both sides did.
#[derive(Debug, Serialize)]
struct RefusedView {
    error: String,
    conflict_paths: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    merge_base_sha: Option<String>,
}

fn parameter(text: impl Into<String>) -> Error {
    Error::Parameter(text.into())
}

/// The word for a result.
fn word(result: MergeResult) -> &'static str {
    match result {
        MergeResult::Commit => "merge_commit",
        MergeResult::FastForward => "fast_forward",
        MergeResult::Squash => "squash",
        MergeResult::Nothing => "no_op",
    }
}

impl MergeBody {
    fn asked(self, caller: &Caller, format: ObjectFormat) -> Result<AskedMerge, Error> {
        let ephemeral = |asked: Option<bool>| asked.unwrap_or_default();
        let source = required(self.source_branch.as_deref(), "source_branch")?;
        let target = required(self.target_branch.as_deref(), "target_branch")?;
        let strategy = match required(self.strategy.as_deref(), "strategy")? {
            "merge" => MergeStrategy::Commit,
            "ff_only" => MergeStrategy::FastForwardOnly,
            "ff_prefer" => MergeStrategy::FastForward,
            other => {
                return Err(parameter(format!(
                    "strategy {other:?} is none of merge, ff_only, ff_prefer"
                )));
            }
        };
        let squash = self.squash.unwrap_or_default();
        if squash && strategy == MergeStrategy::FastForwardOnly {
            return Err(parameter("squash and ff_only exclude each other"));
        }
        let expected = self
            .expected_target_sha
            .as_deref()
            .filter(|id| !id.is_empty());
        let expected = expected.map(|id| object_id(id, format, "expected_target_sha"));
        let message = self.commit_message.filter(|text| !text.trim().is_empty());
        let author = match &self.author {
            Some(author) => author.person("author")?,
            None => caller_as_author(caller)?,
        };
        Ok(AskedMerge {
            source: branch(source, ephemeral(self.source_is_ephemeral))?,
            target: branch(target, ephemeral(self.target_is_ephemeral))?,
            strategy,
            squash,
            expected_target: expected.transpose()?,
            unrelated: self.allow_unrelated_histories.unwrap_or_default(),
            message,
            committer: match &self.committer {
                Some(committer) => committer.person("committer")?,
                None => author.clone(),
            },
            author,
        })
    }
}

/// `POST /api/v1/repos/merge`: merges one branch into another.
///
/// 200 what it came to; 400 the body is not understood; 401 no valid credential, or none with `git:write`; 403 the
/// target may not be moved so; 404 no such repository or branch; 409 the branches conflict, have unrelated histories,
/// can't be fast-forwarded, or the target is not where it was expected; 422 the merge would take too much; 503 too
/// much else is being computed.
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    query: Query,
    body: JsonBody,
) -> Result<Response, Error> {
    let path = target::repository(&caller, &query)?;
    let (authorized, repository) = app.hosting.authorize::<Push>(&caller, &path)?;
    let body: MergeBody = body.parse()?;
    let asked = body.asked(&caller, repository.row.object_format)?;
    let (source, target) = (asked.source.clone(), asked.target.clone());
    match app.hosting.merge(authorized, asked).await {
        Ok(done) => Ok(Json(view(&source, &target, &done)).into_response()),
        Err(MergeRefusal::Commit(error)) => Err(error.into()),
        Err(refusal) => Ok(refused(&refusal)),
    }
}

fn view(source: &BranchName, target: &BranchName, done: &MergeDone) -> MergedView {
    MergedView {
        result: word(done.result),
        commit_sha: done.new.to_string(),
        tree_sha: done.tree.to_string(),
        source: SourceView {
            branch: source.short().to_owned(),
            ephemeral: source.is_ephemeral(),
            sha: done.source.to_string(),
        },
        target: TargetView {
            branch: target.short().to_owned(),
            ephemeral: target.is_ephemeral(),
            old_sha: done.old.to_string(),
            new_sha: done.new.to_string(),
        },
        merge_base_sha: done.base.map(|id| id.to_string()),
        promoted_commits: done.promoted,
    }
}

fn refused(refusal: &MergeRefusal) -> Response {
    let (paths, base): (&[Vec<u8>], _) = match refusal {
        MergeRefusal::Conflict { paths, base } => (paths, *base),
        MergeRefusal::NoFastForward { base } => (&[], *base),
        MergeRefusal::Unrelated | MergeRefusal::Commit(_) => (&[], None),
    };
    let view = RefusedView {
        error: refusal.to_string(),
        conflict_paths: paths.iter().map(|path| text(path)).collect(),
        merge_base_sha: base.map(|id| id.to_string()),
    };
    (StatusCode::CONFLICT, Json(view)).into_response()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The answer of [`preview`].
#[derive(Debug, Serialize)]
pub(super) struct PreviewView {
    status: &'static str,
    result: &'static str,
    source_branch: String,
    target_branch: String,
    source_tip_sha: String,
    target_tip_sha: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    merge_base_sha: Option<String>,
    conflict_paths: Vec<String>,
    conflicts: Vec<ConflictView>,
    filtered_conflicts: Vec<FilteredView>,
}

/// A conflict with what is there.
#[derive(Debug, Serialize)]
struct ConflictView {
    path: String,
    result: BlobView,
    base: BlobView,
    ours: BlobView,
    theirs: BlobView,
}

/// One version of a file; nothing but the switches if it has none.
#[derive(Debug, Default, Serialize)]
struct BlobView {
    #[serde(skip_serializing_if = "Option::is_none")]
    oid: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<String>,
    truncated: bool,
    binary: bool,
}

/// A conflict whose content is not shown.
#[derive(Debug, Serialize)]
struct FilteredView {
    path: String,
    reason: &'static str,
}

/// `GET /api/v1/repos/merge/preview`: tells what a merge of `source_branch` into `target_branch` would come to;
/// with `include_content`, what each side and the merge have where there is a conflict.
///
/// 200 what it would come to; 400 a parameter is missing or not understood; 401 no valid credential, or none with
/// `git:read`; 404 no such repository or branch; 422 the merge would take too much; 503 too much else is being
/// computed.
pub(super) async fn preview(
    State(app): State<App>,
    caller: Caller,
    query: Query,
) -> Result<Json<PreviewView>, Error> {
    let path = target::repository(&caller, &query)?;
    let (authorized, _) = app.hosting.authorize::<Fetch>(&caller, &path)?;
    let asked = |name: &'static str, ephemeral: &'static str| {
        let is_ephemeral = query.switch(ephemeral)?.unwrap_or_default();
        branch(query.required(name)?, is_ephemeral)
    };
    let source = asked("source_branch", "source_is_ephemeral")?;
    let target = asked("target_branch", "target_is_ephemeral")?;
    let shown = query.switch("include_content")?.unwrap_or_default();
    let contents = app.hosting.contents(&authorized).await?;
    let work = move || previewed(&contents, &source, &target, shown).map(Json);
    app.hosting.compute(work).await
}

fn previewed(
    contents: &Contents,
    source: &BranchName,
    target: &BranchName,
    shown: bool,
) -> Result<PreviewView, Error> {
    let tip = |branch: &BranchName| -> Result<ObjectId, Error> {
        let tip = contents.tip(branch.stored());
        tip.ok_or_else(|| Error::NotFound(format!("branch {branch} does not exist")))
    };
    let (source_tip, target_tip) = (tip(source)?, tip(target)?);
    let labels = [target.short(), source.short()];
    let mut preview = contents.preview_merge(&target_tip, &source_tip, labels)?;
    let mut view = PreviewView {
        status: if preview.paths.is_empty() {
            "clean"
        } else {
            "conflicted"
        },
        result: word(preview.result),
        source_branch: source.short().to_owned(),
        target_branch: target.short().to_owned(),
        source_tip_sha: source_tip.to_string(),
        target_tip_sha: target_tip.to_string(),
        merge_base_sha: preview.base.map(|id| id.to_string()),
        conflict_paths: preview.paths.iter().map(|path| text(path)).collect(),
        conflicts: Vec::new(),
        filtered_conflicts: Vec::new(),
    };
    if shown {
        let mut bytes_left = PREVIEW_BYTES_MAX;
        for conflict in std::mem::take(&mut preview.conflicts) {
            match ConflictView::of(&mut preview, &conflict, &mut bytes_left)? {
                Ok(shown) => view.conflicts.push(shown),
                Err(reason) => view.filtered_conflicts.push(FilteredView {
                    path: text(&conflict.path),
                    reason,
                }),
            }
        }
    }
    Ok(view)
}

impl ConflictView {
    /// What is shown of a conflict, or why nothing is.
    fn of(
        preview: &mut MergePreview,
        conflict: &Conflict,
        bytes_left: &mut usize,
    ) -> Result<Result<Self, &'static str>, HostingError> {
        let [base, ours, theirs] = conflict.stages;
        let mut views = Vec::with_capacity(4);
        for stage in [conflict.result, base, ours, theirs] {
            let view = BlobView::of(preview, stage.as_ref())?;
            if view.binary {
                return Ok(Err("binary"));
            }
            let bytes = view.content.as_ref().map_or(0, String::len);
            let Some(left) = bytes_left.checked_sub(bytes) else {
                return Ok(Err("too_large"));
            };
            *bytes_left = left;
            views.push(view);
        }
        let mut views = views.into_iter();
        let mut next = || views.next().unwrap_or_default();
        Ok(Ok(Self {
            path: text(&conflict.path),
            result: next(),
            base: next(),
            ours: next(),
            theirs: next(),
        }))
    }
}

impl BlobView {
    fn of(preview: &mut MergePreview, stage: Option<&Stage>) -> Result<Self, HostingError> {
        let Some(stage) = stage else {
            return Ok(Self::default());
        };
        let mut view = Self {
            oid: Some(stage.id.to_string()),
            ..Self::default()
        };
        if stage.is_submodule() {
            return Ok(view);
        }
        match preview.content(stage, CONTENT_BYTES_MAX)? {
            None => view.truncated = true,
            Some(content) => match String::from_utf8(content) {
                Ok(text) if !text.contains('\0') => view.content = Some(text),
                Ok(_) | Err(_) => view.binary = true,
            },
        }
        Ok(view)
    }
}
