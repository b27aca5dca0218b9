//! Commits from files that are sent whole.
//!
//! Source: Code Storage API, "Create commit".
//! Bounds: lines and bytes by `upload`, chunks by `stream`, files by configuration and
//! [`FILES_CEILING`], [`OPEN_MAX`] of them unfinished at a time.
//! Invariant: nothing becomes visible unless every line was good. Files that are deleted go first, so
//! that the order of the list means nothing.

use std::{
    collections::{HashMap, HashSet},
    fmt,
};

use axum::{
    body::Body,
    extract::{Request, State},
    http::request::Parts,
    response::Response,
};
use serde::{
    Deserialize, Deserializer,
    de::{Error as _, SeqAccess, Visitor},
};

use super::{
    commit::{CommittedView, answered, object_id, required, split, writes_to},
    error::Error,
    revision::tree_path,
    stream::{Text, decoded, first_line, understood},
};
use crate::{
    api::{
        App,
        body::refuse_encoded,
        off_runtime,
        upload::{Line, Lines},
    },
    git::{edit::FileMode, receive::BlobPieces},
    hosting::{CommitError, Draft, TreeChange},
    model::{BranchName, ObjectFormat, ObjectId},
};

/// Most files of one commit, whatever is configured: each takes some hundred bytes of memory.
const FILES_CEILING: usize = 250_000;
/// Most files that have begun and not ended.
const OPEN_MAX: usize = 16;

/// What the metadata has besides that of every commit.
#[derive(Debug, Deserialize)]
struct FilesBody {
    files: Option<ManyFiles>,
}

/// A list that ends in an error before it takes much memory.
#[derive(Debug, Default)]
struct ManyFiles(Vec<FileBody>);

impl<'de> Deserialize<'de> for ManyFiles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = ManyFiles;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of files")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<ManyFiles, A::Error> {
                let mut files = Vec::new();
                while let Some(file) = list.next_element()? {
                    if files.len() == FILES_CEILING {
                        return Err(A::Error::custom(format!("more than {FILES_CEILING} files")));
                    }
                    files.push(file);
                }
                Ok(ManyFiles(files))
            }
        }

        deserializer.deserialize_seq(List)
    }
}

/// What is to be done to one path.
#[derive(Debug, Deserialize)]
struct FileBody {
    path: Option<String>,
    operation: Option<String>,
    content_id: Option<String>,
    mode: Option<String>,
}

/// A line behind the first.
#[derive(Debug, Deserialize)]
struct ChunkLine<'a> {
    #[serde(borrow)]
    blob_chunk: Option<ChunkBody<'a>>,
}

#[derive(Debug, Deserialize)]
struct ChunkBody<'a> {
    content_id: Option<String>,
    #[serde(borrow)]
    data: Option<Text<'a>>,
    eof: Option<bool>,
}

/// `POST /api/v1/repos/commit-pack`: commits files whose contents follow in chunks.
///
/// 201 the commit; 400 a line or a field is not understood, or the files can't be a tree; 401 no valid
/// credential, or none with `git:write`; 403 a rule forbids it; 404 no such repository, branch or base
/// branch; 408 the client fell silent; 409 the branch is not where `expected_head_sha` says; 413 more
/// than may be sent; 503 too many uploads at once.
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
    let (metadata, special): (_, FilesBody) = first_line(lines).await?;
    let (target, onto) = metadata.onto(format)?;
    *branch = Some(target.clone());
    let text = metadata.text(None)?;
    let files = special.files.unwrap_or_default().0;
    let mut files = Files::new(files, app, format)?;
    let mut draft = app.hosting.draft(authorized, onto).await?;
    while let Some(line) = lines.next().await? {
        (draft, files) = off_runtime(move || {
            files.take(&mut draft, &line)?;
            Ok::<_, Error>((draft, files))
        })
        .await?;
    }
    let changes = files.changes()?;
    let committed = draft
        .commit(text, move |base| base.changed(&changes))
        .await?;
    Ok(CommittedView::answer(
        &target,
        &committed,
        Some(committed.files),
    ))
}

/// What the metadata announced, and how far each file has come.
struct Files {
    all: Vec<File>,
    by_content: HashMap<String, usize>,
    open: usize,
    format: ObjectFormat,
}

struct File {
    path: String,
    /// `None` for a deletion.
    mode: Option<FileMode>,
    content: Content,
}

enum Content {
    Awaited,
    Open(BlobPieces),
    Complete(ObjectId),
    /// It is deleted, and its last chunk has come all the same.
    Ended,
}

impl Files {
    fn new(bodies: Vec<FileBody>, app: &App, format: ObjectFormat) -> Result<Self, Error> {
        let wrong = |text: String| Err(Error::Parameter(text));
        if bodies.is_empty() {
            return wrong("files is missing or empty".to_owned());
        }
        let most = app.uploads.limits.files;
        if bodies.len() > most {
            return wrong(format!("more than {most} files"));
        }
        let mut files = Self {
            all: Vec::with_capacity(bodies.len()),
            by_content: HashMap::with_capacity(bodies.len()),
            open: 0,
            format,
        };
        for body in bodies {
            let path = tree_path(required(body.path.as_deref(), "path")?)?;
            let dotgit = |segment: &str| segment.eq_ignore_ascii_case(".git");
            if path.split('/').any(dotgit) {
                return wrong(format!("path {path:?} lies in .git"));
            }
            let mode = match body.operation.as_deref() {
                None | Some("upsert") => {
                    let mode = body.mode.as_deref().unwrap_or("100644");
                    let mode: Result<FileMode, _> = mode.parse();
                    Some(mode.map_err(|error| Error::Parameter(error.to_string()))?)
                }
                Some("delete") => None,
                Some(other) => return wrong(format!("operation {other:?} is none")),
            };
            match body.content_id.filter(|id| !id.is_empty()) {
                Some(id) => {
                    let other = files.by_content.insert(id.clone(), files.all.len());
                    if other.is_some() {
                        return wrong(format!("content_id {id:?} is given twice"));
                    }
                }
                None if mode.is_some() => {
                    return wrong(format!("content_id of {path:?} is missing"));
                }
                None => {}
            }
            files.all.push(File {
                path,
                mode,
                content: Content::Awaited,
            });
        }
        files.check_paths()?;
        Ok(files)
    }

    /// Each path once, and no file that is another's folder.
    fn check_paths(&self) -> Result<(), Error> {
        let mut seen = HashSet::with_capacity(self.all.len());
        if let Some(twice) = self
            .all
            .iter()
            .find(|file| !seen.insert(file.path.as_str()))
        {
            let text = format!("path {:?} is given twice", twice.path);
            return Err(Error::Parameter(text));
        }
        let put: HashSet<&str> = self
            .all
            .iter()
            .filter(|file| file.mode.is_some())
            .map(|file| file.path.as_str())
            .collect();
        for path in &put {
            let mut folders = path.match_indices('/').map(|(at, _)| &path[..at]);
            if let Some(folder) = folders.find(|folder| put.contains(folder)) {
                let text = format!("{folder:?} would be a file and the folder of {path:?}");
                return Err(Error::Parameter(text));
            }
        }
        Ok(())
    }

    /// Takes the next line. Blocks.
    fn take(&mut self, draft: &mut Draft, line: &Line) -> Result<(), Error> {
        let number = line.number;
        let wrong = |text: String| Error::Parameter(format!("line {number}: {text}"));
        let chunk: ChunkLine<'_> = understood(line)?;
        let chunk = chunk
            .blob_chunk
            .ok_or_else(|| wrong("blob_chunk is missing".to_owned()))?;
        let id = chunk.content_id.as_deref().unwrap_or_default();
        let at = self.by_content.get(id);
        let at = *at.ok_or_else(|| wrong(format!("content_id {id:?} is unknown")))?;
        let data = chunk.data;
        let data = data.ok_or_else(|| wrong("data is missing".to_owned()))?;
        let bytes = decoded(&data, number)?;
        let last = chunk.eof.unwrap_or_default();
        let ended = || wrong(format!("content_id {id:?} has ended"));
        let file = &mut self.all[at];
        let content = std::mem::replace(&mut file.content, Content::Ended);
        file.content = match (content, file.mode) {
            (Content::Complete(_) | Content::Ended, _) => return Err(ended()),
            (_, None) if !bytes.is_empty() => {
                return Err(wrong(format!("{:?} is deleted and has content", file.path)));
            }
            (_, None) => Content::Ended,
            (_, Some(FileMode::Submodule)) => {
                let name = String::from_utf8_lossy(bytes.trim_ascii());
                let what = format!("line {number}: the submodule {:?}", file.path);
                Content::Complete(object_id(&name, self.format, &what)?)
            }
            (Content::Awaited, Some(_)) if last => Content::Complete(draft.add_blob(&bytes)?),
            (Content::Awaited, Some(_)) if self.open == OPEN_MAX => {
                return Err(wrong(format!("more than {OPEN_MAX} files are unfinished")));
            }
            (content, Some(_)) => {
                let mut blob = match content {
                    Content::Open(blob) => blob,
                    _ => {
                        self.open += 1;
                        draft.blob_in_pieces()
                    }
                };
                blob.append(&bytes).map_err(CommitError::from)?;
                if last {
                    self.open -= 1;
                    Content::Complete(draft.add_pieces(blob)?)
                } else {
                    Content::Open(blob)
                }
            }
        };
        Ok(())
    }

    /// What is to be done to the tree, once every file is complete.
    fn changes(self) -> Result<Vec<TreeChange>, Error> {
        let (mut removed, mut put) = (Vec::new(), Vec::new());
        for File {
            path,
            mode,
            content,
        } in self.all
        {
            match (mode, content) {
                (None, _) => removed.push(TreeChange::Remove { path }),
                (Some(mode), Content::Complete(id)) => {
                    put.push(TreeChange::Put { path, mode, id });
                }
                (Some(_), _) => {
                    let text = format!("the content of {path:?} has no last chunk");
                    return Err(Error::Parameter(text));
                }
            }
        }
        removed.append(&mut put);
        Ok(removed)
    }
}
