//! A data folder, the server over it as often as it takes, and a history to push.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::support::{Administrator, Finished, Process, Via, WorkingCopy};

/// The longest start after a crash, on a machine with much else to do.
const RECOVERY: Duration = Duration::from_secs(15);

/// The stage of a crash test.
pub(super) struct Scene {
    folder: TempDir,
    pub(super) administrator: Administrator,
    pub(super) server: Option<Process>,
    pub(super) source: WorkingCopy,
    /// The slowest start so far.
    pub(super) slowest: Duration,
}

impl Scene {
    /// Starts a server and makes a history of so many commits. Beginning with the second, every other
    /// one of them is too big to be held in memory, until there are so many `big` ones.
    pub(super) fn new(commits: usize, big: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Process::start(folder.path());
        let administrator = Administrator::new(folder.path());
        Self::over(folder, administrator, server, (commits, big))
    }

    /// As [`Scene::new`], around a server that runs already.
    pub(super) fn over(
        folder: TempDir,
        administrator: Administrator,
        server: Process,
        (commits, big): (usize, usize),
    ) -> Self {
        std::fs::write(folder.path().join("gitconfig"), "[gc]\n\tauto = 0\n").unwrap();
        let source = WorkingCopy(administrator.git_folder("source"));
        source.git("init --quiet -b main .").succeeds();
        source
            .git_with(&["fast-import", "--quiet"], &history(commits, big))
            .succeeds();
        Self {
            folder,
            administrator,
            server: Some(server),
            source,
            slowest: Duration::ZERO,
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn pid(&self) -> u32 {
        self.server.as_ref().unwrap().addresses.pid
    }

    /// The commit after this many others, counted from 1.
    pub(super) fn commit(&self, number: usize) -> String {
        self.source
            .git(&format!("rev-parse refs/tags/commit-{number}"))
            .succeeds()
    }

    pub(super) fn url(&self, repository: &str, via: Via) -> String {
        let server = self.server.as_ref().unwrap();
        self.administrator.url(&server.addresses, repository, via)
    }

    pub(super) fn creates(&self, repository: &str) {
        self.administrator
            .admin(&["repo", "create", repository])
            .succeeds();
    }

    /// Pushes one commit to `main`.
    pub(super) fn pushes(&self, repository: &str, commit: &str, via: Via) -> Finished {
        let refspec = format!("{commit}:refs/heads/main");
        self.source
            .git_with(&["push", &self.url(repository, via), &refspec], b"")
    }

    /// Kills the server and does not wait for it.
    pub(super) fn kill(&self) {
        self.server.as_ref().unwrap().strike();
    }

    /// Starts a server where the last one was killed.
    pub(super) fn restarts(&mut self) {
        let begun = Instant::now();
        self.server = Some(Process::start(self.folder.path()));
        self.slowest = self.slowest.max(begun.elapsed());
        assert!(
            self.slowest < RECOVERY,
            "a start took {:?} after a crash",
            self.slowest
        );
    }

    /// What a branch names, if anything.
    pub(super) fn tip(&self, repository: &str, branch: &str) -> Option<String> {
        let listed = self
            .source
            .git_with(
                &[
                    "ls-remote",
                    &self.url(repository, Via::Http),
                    &format!("refs/heads/{branch}"),
                ],
                b"",
            )
            .succeeds();
        listed
            .split('\t')
            .next()
            .map(str::to_owned)
            .filter(|id| !id.is_empty())
    }

    /// Clones everything and lets git check all of it.
    #[track_caller]
    pub(super) fn is_whole(&self, repository: &str) {
        let copy = self.administrator.git_folder("copy");
        copy.git_with(
            &[
                "clone",
                "--quiet",
                "--mirror",
                &self.url(repository, Via::Http),
                ".",
            ],
            b"",
        )
        .succeeds();
        copy.is_sound();
        std::fs::remove_dir_all(&copy.path).unwrap();
    }

    /// The folders of all repositories.
    pub(super) fn folders(&self) -> BTreeSet<PathBuf> {
        let root = self.administrator.repositories();
        entries(&root)
            .iter()
            .flat_map(|shelf| entries(shelf))
            .collect()
    }

    /// The packs of all repositories; nothing else may lie in any of them.
    #[track_caller]
    pub(super) fn packs(&self) -> BTreeSet<PathBuf> {
        let mut packs = BTreeSet::new();
        for folder in self.folders() {
            assert_eq!(entries(&folder.join("incoming")), BTreeSet::new());
            for file in entries(&folder.join("objects/pack")) {
                let (pack, index) = (file.with_extension("pack"), file.with_extension("idx"));
                assert!(file == pack || file == index, "{file:?}");
                assert!(pack.exists() && index.exists(), "half a pack: {file:?}");
                packs.insert(pack);
            }
        }
        packs
    }
}

/// What lies in a folder; nothing if it is not there.
fn entries(folder: &Path) -> BTreeSet<PathBuf> {
    match std::fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(error) => {
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{folder:?}");
            BTreeSet::new()
        }
    }
}

/// More than the server holds of a push in memory.
const BIG_BYTES: usize = 11 << 19;

/// A stream for `git fast-import`: tags `commit-1` … on one line of commits.
fn history(commits: usize, big: usize) -> Vec<u8> {
    let mut stream = Vec::new();
    for number in 1..=commits {
        let mut content = format!("{number}\n").into_bytes();
        if number % 2 == 0 && number <= 2 * big {
            content.resize(BIG_BYTES, 0);
            aws_lc_rs::rand::fill(&mut content[8..]).unwrap();
        }
        let mut head = format!(
            "commit refs/heads/main\nmark :{number}\n\
             committer C O Mitter <committer@example.com> {} +0000\ndata 4\nLog\n",
            1_700_000_000 + number
        );
        if number > 1 {
            head += &format!("from :{}\n", number - 1);
        }
        head += &format!(
            "M 100644 inline file-{}\ndata {}\n",
            number % 7,
            content.len()
        );
        stream.extend_from_slice(head.as_bytes());
        stream.extend_from_slice(&content);
        stream.extend_from_slice(
            format!("\nreset refs/tags/commit-{number}\nfrom :{number}\n\n").as_bytes(),
        );
    }
    stream
}
