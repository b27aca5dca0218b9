//! Plain folders: ordinary bare repositories, made by git and served by `packhorse upload-pack` and
//! its kin.

mod configuration;
mod fetch;
mod hooks;
mod http;
mod push;
mod ssh;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::support::{Finished, Folder, binary, clean_command};

/// An ordinary bare repository and a place for clones of it.
struct Bare {
    folder: TempDir,
    format: &'static str,
}

impl Bare {
    fn new(format: &'static str) -> Self {
        let folder = TempDir::new().unwrap();
        let bare = Self { folder, format };
        let format = format!("--object-format={format}");
        let above = bare.beside("");
        above
            .git(&format!("init -q --bare -b main {format} origin.git"))
            .succeeds();
        bare
    }

    fn each() -> [Self; 2] {
        [Self::new("sha1"), Self::new("sha256")]
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("origin.git")
    }

    /// A folder beside the repository; `""` is the one above both.
    fn beside(&self, name: &str) -> Folder {
        Folder {
            program: PathBuf::from("git"),
            path: self.folder.path().join(name),
            home: self.folder.path().to_owned(),
            environment: Vec::new(),
        }
    }

    /// The repository itself, for stock git.
    fn origin(&self) -> Folder {
        self.beside("origin.git")
    }

    fn sets(&self, key: &str, value: &str) {
        let origin = self.origin();
        origin
            .git_with(&["config", "--add", key, value], b"")
            .succeeds();
    }

    /// Lets stock git put a few commits, tags and branches there: the older part in a pack, the rest
    /// loose.
    fn with_history(self) -> Self {
        let work = self.beside("work");
        let format = format!("--object-format={}", self.format);
        self.beside("")
            .git(&format!("init -q -b main {format} work"))
            .succeeds();
        for n in 1..=12 {
            let text: String = (0..200)
                .map(|line| format!("{line} {}\n", line * n / 7))
                .collect();
            std::fs::create_dir_all(work.path.join("deep/er")).unwrap();
            std::fs::write(work.path.join("story.txt"), &text).unwrap();
            std::fs::write(work.path.join(format!("deep/er/page{n}")), format!("{n}\n")).unwrap();
            work.git("add .").succeeds();
            let message = format!("Commit{n}");
            let date = format!("{} +0000", 1_700_000_000 + n * 1000);
            let mut dated = work.clone();
            dated.environment = ["GIT_AUTHOR_DATE", "GIT_COMMITTER_DATE"]
                .map(|name| (name.to_owned(), date.clone()))
                .to_vec();
            dated.git(&format!("commit -q -m {message}")).succeeds();
            if n == 8 {
                work.git("tag -a -m packed v1").succeeds();
                work.git("push -q ../origin.git main v1").succeeds();
                self.origin().git("gc -q").succeeds();
            }
        }
        work.git("tag -a -m loose v2").succeeds();
        work.git("branch side main~3").succeeds();
        work.git("push -q ../origin.git main side v2").succeeds();
        self
    }

    /// Runs a client's git so that our programs answer it.
    fn client(&self, words: &str) -> Finished {
        self.client_of(&self.beside(""), words)
    }

    fn client_of(&self, folder: &Folder, words: &str) -> Finished {
        let program = |name: &str| format!("{} {name}", binary().display());
        let words: Vec<String> = words
            .split(' ')
            .map(|word| match word {
                "UPLOAD" => format!("--upload-pack={}", program("upload-pack")),
                "RECEIVE" => format!("--receive-pack={}", program("receive-pack")),
                "ORIGIN" => format!("file://{}", self.path().display()),
                word => word.to_owned(),
            })
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        folder.git_with(&words, b"")
    }

    /// Runs one of our programs by hand.
    fn program(&self, arguments: &[&str], environment: &[(&str, &str)], input: &[u8]) -> Finished {
        let mut command = clean_command(binary(), self.folder.path());
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .envs(environment.iter().copied());
        Finished::run(command, input)
    }
}

/// One pkt-line.
fn line(text: &str) -> String {
    format!("{:04x}{text}", text.len() + 4)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
