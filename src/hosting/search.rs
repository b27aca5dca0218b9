//! What looks at all files of a revision, or at all revisions of a file: searches, archives, the origin of lines.
//!
//! Bounds: [`PAGE_TIME_MAX`] for one page of a search, [`BLAME_TIME_MAX`] for the lines of a file; `git::grep` and `git::archive` name theirs.
//! Invariant: all of it blocks and computes: callers run it in their turn ([`Hosting::compute`],
//! [`Hosting::stream`]).
//!
//! [`Hosting::compute`]: super::Hosting::compute
//! [`Hosting::stream`]: super::Hosting::stream

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Contents, HostingError};
use crate::{
    git::{
        self, PathGlobs,
        archive::{ArchiveError, ArchiveRequest, FileLimits, Format, PathLimits},
        blame::{BlameError, BlameRequest, BlamedLine},
        browse::CommitDetail,
        fetch::Stopped,
        grep::{Found, GrepRequest, Pattern, Place},
    },
    model::ObjectId,
};

/// After so long a page ends as it is.
const PAGE_TIME_MAX: Duration = Duration::from_secs(10);

/// After so long it is given up to find where lines are from.
const BLAME_TIME_MAX: Duration = Duration::from_secs(30);

/// What lines are looked for.
#[derive(Debug, Clone)]
pub struct AskedLines {
    /// The expression.
    pub pattern: Pattern,
    /// Files and folders to look into; everything if there are none.
    pub paths: Vec<String>,
    /// Which files there.
    pub globs: PathGlobs,
    /// File name extensions without the dot; all if there are none.
    pub extensions: Vec<String>,
    /// Lines shown before and after a match.
    pub context: (usize, usize),
    /// Matching lines after which a file is left.
    pub matches_per_file_max: usize,
    /// Lines on one page.
    pub lines_max: usize,
    /// Files on one page.
    pub files_max: usize,
    /// Where the page begins.
    pub from: Option<Place>,
}

/// What archive is wanted.
#[derive(Debug, Clone, Default)]
pub struct AskedArchive {
    /// Put before each path as it stands.
    pub prefix: String,
    /// Which files, by path and size.
    pub files: FileLimits,
}

impl Contents {
    /// A page of the lines of a commit's files that match.
    ///
    /// # Errors
    /// When objects can't be read.
    pub fn lines(&mut self, commit: ObjectId, asked: AskedLines) -> Result<Found, HostingError> {
        let request = GrepRequest {
            pattern: asked.pattern,
            paths: asked.paths.into_iter().map(String::into_bytes).collect(),
            globs: asked.globs,
            extensions: asked.extensions,
            before: asked.context.0,
            after: asked.context.1,
            matches_per_file_max: asked.matches_per_file_max,
            lines_max: asked.lines_max,
            files_max: asked.files_max,
            from: asked.from,
            deadline: Instant::now() + PAGE_TIME_MAX,
        };
        let tree = self.browser.commit(&commit)?.tree;
        Ok(git::grep::grep(Arc::clone(&self.packs), &tree, &request)?)
    }

    /// Where the lines of a file are from, of all of them or of ranges as `git blame -L` takes them.
    ///
    /// # Errors
    /// When there is no such file, a range makes no sense, the history is too long to follow, or objects can't be
    /// read.
    pub fn blame(
        &self,
        commit: ObjectId,
        path: &str,
        ranges: Vec<String>,
        moves: bool,
    ) -> Result<Vec<BlamedLine>, HostingError> {
        let request = BlameRequest {
            commit,
            path: path.as_bytes().to_vec(),
            ranges,
            moves,
            deadline: Instant::now() + BLAME_TIME_MAX,
        };
        let told = git::blame::blame(Arc::clone(&self.packs), &request);
        told.map_err(|error| match error {
            BlameError::Read(error) => error.into(),
            BlameError::NoFile => HostingError::not_found("file", path),
            BlameError::Ranges(error) => HostingError::Invalid {
                field: "range",
                reason: error.to_string(),
            },
            BlameError::TooMuch(reason) => HostingError::TooMuch(reason.to_owned()),
        })
    }

    /// A commit with all that its header says.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn detail(&mut self, commit: &ObjectId) -> Result<CommitDetail, HostingError> {
        Ok(self.browser.commit(commit)?)
    }

    /// Writes the files of a commit as a compressed tar archive.
    ///
    /// # Errors
    /// When objects can't be read, there are too many, or the sink wants no more.
    pub fn archive(
        &mut self,
        commit: ObjectId,
        asked: AskedArchive,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
    ) -> Result<(), HostingError> {
        let commit = self.browser.commit(&commit)?;
        let request = ArchiveRequest {
            tree: commit.tree,
            commit: Some(commit.id),
            time: u64::try_from(commit.committer.seconds).unwrap_or(0),
            prefix: asked.prefix.into_bytes(),
            paths: PathLimits::default(),
            files: asked.files,
            format: Format::TarGz(None),
        };
        let packs = Arc::clone(&self.packs);
        let written = git::archive::write(packs, &self.refs, &request, sink, &mut |_| {});
        written.map_err(|error| match error {
            ArchiveError::Read(error) => error.into(),
            ArchiveError::Stopped(stopped) => stopped.into(),
            ArchiveError::TooDeep
            | ArchiveError::TooManyEntries
            | ArchiveError::PathTooLong(_)
            | ArchiveError::Unmatched(_) => HostingError::TooMuch(error.to_string()),
        })
    }
}
