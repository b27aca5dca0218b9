//! Running programs with an environment of their own, and showing all of it when one fails.

use std::{
    ffi::OsStr,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// A program that sees nothing of the developer's environment.
#[expect(
    clippy::disallowed_methods,
    reason = "the clients of the tests are programs; the server starts none"
)]
pub(crate) fn clean_command(program: impl AsRef<OsStr>, home: &Path) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", home)
        .env("LC_ALL", "C")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", home.join("gitconfig"))
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ASKPASS", "true")
        .env("GIT_AUTHOR_NAME", "A U Thor")
        .env("GIT_AUTHOR_EMAIL", "author@example.com")
        .env("GIT_AUTHOR_DATE", "1700000000 +0000")
        .env("GIT_COMMITTER_NAME", "C O Mitter")
        .env("GIT_COMMITTER_EMAIL", "committer@example.com")
        .env("GIT_COMMITTER_DATE", "1700000000 +0000");
    command
}

/// Something that `tests/run` has installed.
#[track_caller]
pub(crate) fn installed(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .with_file_name("clients")
        .join(name);
    assert!(
        path.exists(),
        "there is no {}: tests/run installs the clients of the tests",
        path.display()
    );
    path
}

/// What a program said and how it ended.
pub(crate) struct Finished {
    shown: String,
    output: Output,
}

impl Finished {
    pub(crate) fn run(mut command: Command, input: &[u8]) -> Self {
        let shown = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{shown}: {error}"));
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        // Fed from a thread of its own, or two full pipes would wait for each other.
        let feeder = std::thread::spawn(move || stdin.write_all(&input).ok());
        let output = child.wait_with_output().unwrap();
        feeder.join().unwrap();
        Self { shown, output }
    }

    /// What was run, and all that it said.
    pub(crate) fn everything(&self) -> String {
        format!(
            "{}\n{}\n--- stdout\n{}\n--- stderr\n{}",
            self.shown,
            self.output.status,
            String::from_utf8_lossy(&self.output.stdout),
            String::from_utf8_lossy(&self.output.stderr)
        )
    }

    /// Whether it did; for tests that expect either.
    pub(crate) fn succeeded(&self) -> bool {
        self.output.status.success()
    }

    /// Its stdout without the last line end.
    #[track_caller]
    pub(crate) fn succeeds(&self) -> String {
        assert!(
            self.output.status.success(),
            "should have succeeded: {}",
            self.everything()
        );
        String::from_utf8_lossy(&self.output.stdout)
            .trim_end()
            .to_owned()
    }

    /// Everything it said; it must have failed and said `words`.
    #[track_caller]
    pub(crate) fn fails_with(&self, words: &str) -> String {
        let everything = self.everything();
        assert!(
            !self.output.status.success(),
            "should have failed: {everything}"
        );
        assert!(
            everything.contains(words),
            "should have said {words:?}: {everything}"
        );
        everything
    }

    /// What it said on stdout, however it ended.
    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.output.stdout).into_owned()
    }

    /// What it said on stderr.
    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.output.stderr).into_owned()
    }

    /// Its stdout as it is.
    #[track_caller]
    pub(crate) fn bytes(self) -> Vec<u8> {
        assert!(
            self.output.status.success(),
            "should have succeeded: {}",
            self.everything()
        );
        self.output.stdout
    }
}

/// A git that is installed here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Git {
    pub(crate) program: PathBuf,
    /// Such as `(2, 47)`.
    pub(crate) version: (u32, u32),
}

impl Git {
    /// The one that is found first.
    pub(crate) fn usual() -> Self {
        Self::at(Path::new("git")).expect("git is installed")
    }

    /// One of each version: the usual one, those that systems have, and those that the variable
    /// `PACKHORSE_TEST_GITS` lists, separated by colons.
    pub(crate) fn each() -> Vec<Self> {
        let listed = std::env::var("PACKHORSE_TEST_GITS").unwrap_or_default();
        let listed: Vec<_> = listed.split(':').filter(|path| !path.is_empty()).collect();
        let mut gits = vec![Self::usual()];
        for path in ["/usr/bin/git", "/usr/local/bin/git"].iter().chain(&listed) {
            match Self::at(Path::new(path)) {
                Some(git) if gits.iter().all(|other| other.version != git.version) => {
                    gits.push(git);
                }
                Some(_) => {}
                None => assert!(!listed.contains(path), "{path} is no git"),
            }
        }
        gits
    }

    fn at(program: &Path) -> Option<Self> {
        let mut command = clean_command(program, Path::new("/"));
        let output = command.arg("--version").output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let mut numbers = text.strip_prefix("git version ")?.split('.');
        let mut number = || numbers.next()?.trim().parse().ok();
        Some(Self {
            program: program.to_owned(),
            version: (number()?, number()?),
        })
    }
}

/// A folder in which `git` is run with a fixed environment.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    pub(crate) program: PathBuf,
    pub(crate) path: PathBuf,
    pub(crate) home: PathBuf,
    pub(crate) environment: Vec<(String, String)>,
}

impl Folder {
    /// Runs `git` with these words, split at spaces.
    pub(crate) fn git(&self, words: &str) -> Finished {
        self.git_with(&words.split(' ').collect::<Vec<_>>(), b"")
    }

    /// Runs `git` with these arguments and this input.
    pub(crate) fn git_with(&self, arguments: &[&str], input: &[u8]) -> Finished {
        let mut command = clean_command(&self.program, &self.home);
        command
            .args(arguments)
            .current_dir(&self.path)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        Finished::run(command, input)
    }

    /// All objects reachable from all refs, sorted.
    #[track_caller]
    pub(crate) fn objects(&self) -> Vec<String> {
        let listed = self
            .git("rev-list --objects --all --no-object-names")
            .succeeds();
        let mut objects: Vec<String> = listed.lines().map(str::to_owned).collect();
        objects.sort_unstable();
        objects
    }

    /// All refs with their ids, but for what remotes were seen to have.
    #[track_caller]
    pub(crate) fn refs(&self) -> String {
        self.git_with(
            &[
                "for-each-ref",
                "--format=%(objectname) %(*objectname) %(refname)",
                "--exclude=refs/remotes",
            ],
            b"",
        )
        .succeeds()
    }

    /// Checks everything git can check.
    #[track_caller]
    pub(crate) fn is_sound(&self) {
        let fsck = self.git("fsck --strict --full");
        fsck.succeeds();
        assert_eq!(
            fsck.stderr()
                .lines()
                .filter(|line| line.contains("error"))
                .count(),
            0,
            "{}",
            fsck.everything()
        );
    }
}
