//! What looks at all files of a revision: searches and archives.
//!
//! Bounds: [`PAGE_TIME_MAX`] for one page of a search; `git::grep` and `git::archive` name theirs.
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
        fetch::Stopped,
        grep::{Found, GrepRequest, Pattern, Place},
    },
    model::ObjectId,
};

/// After so long a page ends as it is.
const PAGE_TIME_MAX: Duration = Duration::from_secs(10);

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
