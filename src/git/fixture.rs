//! Repositories made by stock git, to hold the engine's answers against.
//!
//! Invariant: dates, names and configuration are fixed, so equal scripts give equal ids.

use std::{
    ffi::OsStr,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use gix_hash::ObjectId;
use tempfile::TempDir;

use super::Repository;
use crate::model::{ObjectFormat, RefEntry, RefName, RefSnapshot};

/// A bare repository in a temporary folder, worked on by `git`.
pub(crate) struct Stock {
    folder: TempDir,
    format: ObjectFormat,
}

impl Stock {
    pub(crate) fn new(format: ObjectFormat) -> Self {
        let stock = Self {
            folder: TempDir::new().unwrap(),
            format,
        };
        let format = format!("--object-format={format}");
        stock.git(["init", "-q", "--bare", "-b", "main", &format, "."]);
        stock
    }

    /// Both formats, for tests that run once with each.
    pub(crate) fn each() -> [Self; 2] {
        [
            Self::new(ObjectFormat::Sha1),
            Self::new(ObjectFormat::Sha256),
        ]
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn format(&self) -> ObjectFormat {
        self.format
    }

    /// Runs git in the repository and returns what it prints; panics if it fails.
    pub(crate) fn git<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> String {
        let output = self.git_with_input(args, b"");
        String::from_utf8_lossy(&output).trim_end().to_owned()
    }

    /// As [`Self::git`] with bytes to read and bytes as answer.
    pub(crate) fn git_with_input<S: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = S>,
        input: &[u8],
    ) -> Vec<u8> {
        let args: Vec<_> = args
            .into_iter()
            .map(|arg| arg.as_ref().to_owned())
            .collect();
        #[expect(clippy::disallowed_methods, reason = "stock git is the judge in tests")]
        let mut child = Command::new("git")
            .args(&args)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_AUTHOR_NAME", "Ann")
            .env("GIT_AUTHOR_EMAIL", "ann@example.org")
            .env("GIT_AUTHOR_DATE", "1700000000 +0100")
            .env("GIT_COMMITTER_NAME", "Carl")
            .env("GIT_COMMITTER_EMAIL", "carl@example.org")
            .env("GIT_COMMITTER_DATE", "1700000000 +0100")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let output = std::thread::scope(|scope| {
            // git may end before it has read everything; its own status tells whether that is bad.
            scope.spawn(move || stdin.write_all(input).ok());
            child.wait_with_output().unwrap()
        });
        assert!(
            output.status.success(),
            "git {args:?} failed:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// Feeds a stream in the language of git-fast-import(1).
    pub(crate) fn import(&self, stream: &str) {
        self.git_with_input(["fast-import", "--quiet", "--force"], stream.as_bytes());
    }

    /// A history with merges, side branches, renames, folders, a large file, tags of tags and of
    /// trees, a gitlink, a symbolic link and an executable; `commits` long.
    pub(crate) fn with_history(self, commits: u32) -> Self {
        let mut stream = String::new();
        for n in 1..=commits {
            let branch = if n % 4 == 3 { "side" } else { "main" };
            let date = 1_700_000_000 + u64::from(n) * 60;
            let message = format!("Commit {n}\n\nBody of {n}.\n");
            stream += &format!("commit refs/heads/{branch}\nmark :{n}\n");
            stream += &format!("author Ann <ann@example.org> {date} +0100\n");
            stream += &format!("committer Carl <carl@example.org> {date} -0230\n");
            stream += &format!("data {}\n{message}", message.len());
            if n == 3 {
                stream += "from :1\n";
            }
            if n % 8 == 0 {
                stream += &format!("merge :{}\n", n - 1);
            }
            let mut file = |mode: &str, path: &str, text: &str| {
                stream += &format!("M {mode} inline {path}\ndata {}\n{text}\n", text.len());
            };
            let lines = |seed: u32, count: u32| -> String {
                (0..count)
                    .map(|line| format!("line {line} {}\n", (line * 31 + seed / 7) % 97))
                    .collect()
            };
            file(
                "100644",
                &format!("src/{branch}/file{}.txt", n % 13),
                &lines(n, 60),
            );
            file(
                "100644",
                "README",
                &format!("version {n}\n{}", lines(n / 5, 200)),
            );
            file(
                "100755",
                &format!("tools/deep/er/script{}", n % 5),
                &format!("#!/bin/sh\necho {n}\n"),
            );
            if n % 10 == 1 {
                file("100644", &format!("docs/page{n}.md"), &lines(n, 30));
                file("100644", "large.bin", &lines(n * 1000, 4000));
                file("120000", "link", &format!("docs/page{n}.md"));
            }
            if n % 10 == 5 && n > 10 {
                stream += &format!("R docs/page{}.md docs/old/page{}.md\n", n - 4, n - 4);
            }
            if n == 2 {
                let id = "1".repeat(self.format.kind().len_in_hex());
                stream += &format!("M 160000 {id} module\n");
            }
            stream += "\n";
        }
        for n in (1..=commits).step_by(10) {
            let message = format!("v{n:02}\n");
            stream += &format!(
                "tag v{n}\nfrom :{n}\ntagger Ann <ann@example.org> 1700000000 +0000\ndata {}\n{message}\n",
                message.len()
            );
        }
        self.import(&stream);
        self.git(["tag", "-a", "-m", "tag of a tag", "nested", "v1"]);
        self.git(["tag", "-a", "-m", "tag of a tree", "tree-tag", "main~2:src"]);
        self.git(["tag", "blob-tag", "main:README"]);
        self.git([
            "repack",
            "-q",
            "-a",
            "-d",
            "-f",
            "--depth=20",
            "--window=10",
        ]);
        self
    }

    /// Lets the objects of each `few` commits lie whole in a pack of their own, as small pushes leave
    /// them behind.
    pub(crate) fn in_small_packs(self, few: usize) -> Self {
        let together = self.indices();
        let list = self.git(["rev-list", "--topo-order", "--reverse", "main", "side"]);
        let commits: Vec<_> = list.lines().collect();
        let mut chunks: Vec<_> = commits.chunks(few).map(|few| few.join("\n")).collect();
        chunks.push(self.git(["for-each-ref", "--format=%(objectname)"]));
        let mut before = String::new();
        for chunk in chunks {
            let input = format!("{chunk}\n--not\n{before}");
            let args = "pack-objects -q --revs --window=0 --no-reuse-delta objects/pack/pack";
            self.git_with_input(args.split(' '), input.as_bytes());
            before += &format!("{chunk}\n");
        }
        for index in together {
            std::fs::remove_file(index.with_extension("pack")).unwrap();
            std::fs::remove_file(index).unwrap();
        }
        self.git(["fsck", "--connectivity-only"]);
        self
    }

    /// The id that a revision names.
    pub(crate) fn id(&self, revision: &str) -> ObjectId {
        self.git(["rev-parse", "--verify", revision])
            .parse()
            .unwrap()
    }

    /// All refs, as the store would hand them over.
    pub(crate) fn refs(&self) -> RefSnapshot {
        let format = "--format=%(refname) %(objectname) %(*objectname)";
        let text = self.git(["for-each-ref", format]);
        let entries = text.lines().map(|line| {
            let mut words = line.split(' ');
            let mut next = || words.next().filter(|word| !word.is_empty());
            let (name, id, tagged) = (next().unwrap(), next().unwrap(), next());
            RefEntry {
                name: name.parse().unwrap(),
                id: id.parse().unwrap(),
                peeled: tagged.map(|_| self.id(&format!("{name}^{{}}"))),
            }
        });
        RefSnapshot::new(1, RefName::branch("main").unwrap(), entries.collect())
    }

    /// The packs as they lie, opened by the engine.
    pub(crate) fn opened(&self) -> (TempDir, Repository) {
        let folder = TempDir::new().unwrap();
        let repository = Repository::create(folder.path(), self.format).unwrap();
        for index in self.indices() {
            let target = folder
                .path()
                .join("objects/pack")
                .join(index.file_name().unwrap());
            std::fs::copy(index.with_extension("pack"), target.with_extension("pack")).unwrap();
            std::fs::copy(&index, &target).unwrap();
            repository.add_pack(&target).unwrap();
        }
        (folder, repository)
    }

    /// Index files of all packs, sorted.
    pub(crate) fn indices(&self) -> Vec<PathBuf> {
        let mut paths: Vec<_> = std::fs::read_dir(self.path().join("objects/pack"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "idx"))
            .collect();
        paths.sort();
        paths
    }

    /// Ids of all objects in the repository.
    pub(crate) fn all_ids(&self) -> Vec<ObjectId> {
        self.git([
            "cat-file",
            "--batch-all-objects",
            "--batch-check=%(objectname)",
        ])
        .lines()
        .map(|line| line.parse().unwrap())
        .collect()
    }
}
