//! What differs between two commits, file by file.
//!
//! Source: the Code Storage API, "Get commit diff": which files are shown without their lines; git-diff(1) for `A...B`.
//! Bounds: [`DiffLimits`]; the engine's own.
//! Invariant: lines are counted whether they are shown or not. What is applicable is whole or an error.
//! Not here: rendering (`api`).

use std::time::{Duration, Instant};

use super::{Contents, HostingError};
use crate::{
    git::{
        browse::BasesError,
        diff::{Detection, DiffError, Differ, Form, Paths, State},
    },
    model::ObjectId,
};

/// A longer patch of one file is not shown.
const SHOWN_BYTES_MAX: usize = 500 << 10;
/// A patch that changes more lines of one file is not shown.
const SHOWN_LINES_MAX: u64 = 2000;

/// Files that programs write and nobody reads, in whatever folder.
const LOCK_FILES: [&[u8]; 20] = [
    b"Cargo.lock",
    b"Gemfile.lock",
    b"Package.resolved",
    b"Pipfile.lock",
    b"Podfile.lock",
    b"bun.lock",
    b"bun.lockb",
    b"composer.lock",
    b"deno.lock",
    b"flake.lock",
    b"go.sum",
    b"gradle.lockfile",
    b"mix.lock",
    b"npm-shrinkwrap.json",
    b"package-lock.json",
    b"packages.lock.json",
    b"pnpm-lock.yaml",
    b"poetry.lock",
    b"uv.lock",
    b"yarn.lock",
];

/// What is asked of a comparison.
#[derive(Debug, Clone, Default)]
pub struct AskedDiff {
    /// Files and folders to which it is limited; with a limit, everything in it is shown.
    pub paths: Vec<String>,
    /// Whether the patches of all files together are to be what makes one tree of the other.
    pub applicable: bool,
    /// How much may be told.
    pub limits: DiffLimits,
}

/// What bounds one answer.
#[derive(Debug, Clone)]
pub struct DiffLimits {
    /// Files that differ.
    pub files: usize,
    /// Bytes of the patches that are shown.
    pub raw_bytes: usize,
    /// How long it may take; looked at after each file.
    pub time: Duration,
}

impl Default for DiffLimits {
    fn default() -> Self {
        Self {
            files: 20_000,
            raw_bytes: 16 << 20,
            time: Duration::from_secs(30),
        }
    }
}

/// A file that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileDiff {
    /// Where it is, or was.
    pub path: Vec<u8>,
    /// Where it was, if it moved or was copied.
    pub old_path: Option<Vec<u8>>,
    /// How it differs.
    pub state: State,
    /// Lines added; none in a binary file.
    pub additions: u64,
    /// Lines removed.
    pub deletions: u64,
    /// Bytes of its patch.
    pub bytes: u64,
    /// Whether it ends in a line feed, or did if it is gone.
    pub ends_in_line_feed: bool,
    /// Its patch, unless it is not shown.
    pub raw: Option<Vec<u8>>,
}

impl Contents {
    /// What differs between two commits, of which the old one may be missing.
    ///
    /// # Errors
    /// When it is more than one answer holds, or objects can't be read.
    pub fn diff(
        &mut self,
        before: Option<ObjectId>,
        after: ObjectId,
        asked: &AskedDiff,
    ) -> Result<Vec<FileDiff>, HostingError> {
        let deadline = Instant::now() + asked.limits.time;
        let before = match before {
            Some(commit) => self.browser.tree_of(&commit)?,
            None => None,
        };
        let after = self.browser.tree_of(&after)?;
        let mut differ = Differ::new(self.packs.clone());
        let paths = asked.paths.iter().map(|path| path.clone().into_bytes());
        let paths = Paths::new(paths.collect());
        let detection = Some(Detection::DEFAULT);
        let found = differ
            .pairs(before.as_deref(), after.as_deref(), &paths, detection)
            .map_err(refused)?;
        if found.pairs.len() > asked.limits.files {
            return Err(too_much(&format!(
                "more than {} files differ",
                asked.limits.files
            )));
        }
        let form = match asked.applicable {
            true => Form::Applicable,
            false => Form::Readable,
        };
        let (mut files, mut raw_bytes) = (Vec::with_capacity(found.pairs.len()), 0);
        for pair in found.pairs {
            if Instant::now() > deadline {
                return Err(too_much("it takes too long to compare all files"));
            }
            let section = differ.section(&pair, form).map_err(refused)?;
            let lines = section.additions + section.deletions;
            let mut is_shown = asked.applicable
                || !paths.is_empty()
                || !section.is_binary
                    && !is_lock_file(pair.path())
                    && section.text.len() <= SHOWN_BYTES_MAX
                    && lines <= SHOWN_LINES_MAX;
            if is_shown && raw_bytes + section.text.len() > asked.limits.raw_bytes {
                if asked.applicable || !paths.is_empty() {
                    return Err(too_much(&format!(
                        "the patch has more than {} bytes",
                        asked.limits.raw_bytes
                    )));
                }
                is_shown = false;
            }
            let is_moved = matches!(pair.state, State::Renamed(_) | State::Copied(_));
            let bytes = section.text.len();
            raw_bytes += if is_shown { bytes } else { 0 };
            files.push(FileDiff {
                path: pair.path().to_vec(),
                old_path: pair.before.filter(|_| is_moved).map(|before| before.path),
                state: pair.state,
                additions: section.additions,
                deletions: section.deletions,
                bytes: bytes as u64,
                ends_in_line_feed: section.ends_in_line_feed,
                raw: is_shown.then_some(section.text),
            });
        }
        Ok(files)
    }

    /// Where two histories parted: their best common ancestor, the newest if there are several.
    ///
    /// # Errors
    /// When objects can't be read.
    pub fn merge_base(
        &mut self,
        one: ObjectId,
        other: ObjectId,
    ) -> Result<Option<ObjectId>, HostingError> {
        self.browser
            .merge_base(&one, &other)
            .map_err(|error| match error {
                BasesError::Read(error) => error.into(),
                BasesError::TooMany => HostingError::TooMuch(error.to_string()),
            })
    }

    /// The first parent of a commit; `None` if it has none, or its history is cut there.
    ///
    /// # Errors
    /// When objects can't be read.
    pub fn first_parent(&mut self, commit: ObjectId) -> Result<Option<ObjectId>, HostingError> {
        let parents = self.browser.commit(&commit)?.parents;
        Ok(parents.first().copied())
    }
}

fn is_lock_file(path: &[u8]) -> bool {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    LOCK_FILES.contains(&&path[slash.map_or(0, |at| at + 1)..])
}

fn too_much(what: &str) -> HostingError {
    HostingError::TooMuch(format!("{what}: ask for some paths, or fetch with git"))
}

fn refused(error: DiffError) -> HostingError {
    match error {
        DiffError::Read(error) => error.into(),
        error => too_much(&error.to_string()),
    }
}
