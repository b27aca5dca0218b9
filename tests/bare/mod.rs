//! Plain folders: ordinary bare repositories, made by git and served by `packhorse upload-pack` and
//! its kin.

mod apache;
mod configuration;
mod fetch;
mod hooks;
mod http;
mod push;
mod ssh;

use std::{
    fs,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    path::{Path, PathBuf},
};

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
        bare.makes_origin();
        bare
    }

    fn makes_origin(&self) {
        let format = format!("--object-format={}", self.format);
        self.beside("")
            .git(&format!("init -q --bare -b main {format} origin.git"))
            .succeeds();
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

    /// A few commits, tags and branches that stock git put there: the older part in a pack, the rest loose;
    /// and the clone `work` that they were made in.
    fn with_history(self) -> Self {
        let template = template(self.format);
        for name in ["origin.git", "work"] {
            copy(&template.join(name), &self.folder.path().join(name));
        }
        self
    }

    /// Makes what [`Self::with_history`] copies.
    fn makes_history(&self) {
        let work = self.beside("work");
        let format = format!("--object-format={}", self.format);
        self.beside("")
            .git(&format!("init -q -b main {format} work"))
            .succeeds();
        for n in 1..=12 {
            let text: String = (0..200)
                .map(|line| format!("{line} {}\n", line * n / 7))
                .collect();
            fs::create_dir_all(work.path.join("deep/er")).unwrap();
            fs::write(work.path.join("story.txt"), &text).unwrap();
            fs::write(work.path.join(format!("deep/er/page{n}")), format!("{n}\n")).unwrap();
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

/// Where the history of this format lies: made by the first test that needs it, and made anew when this
/// file or git is another.
fn template(format: &'static str) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    include_str!("mod.rs").hash(&mut hasher);
    let version = clean_command("git", Path::new("/"))
        .arg("--version")
        .output();
    version.unwrap().stdout.hash(&mut hasher);
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = all.join(format!("history-{format}-{:x}", hasher.finish()));
    if !path.exists() {
        let folder = TempDir::new_in(all).unwrap();
        let made = Bare { folder, format };
        made.makes_origin();
        made.makes_history();
        let made = made.folder.keep();
        // Another test may have been faster.
        if fs::rename(&made, &path).is_err() {
            fs::remove_dir_all(made).unwrap();
        }
    }
    path
}

/// Copies a folder with all that is in it, over what is there.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            copy(&source, &target);
        } else {
            fs::copy(source, target).unwrap();
        }
    }
}

/// One pkt-line.
fn line(text: &str) -> String {
    format!("{:04x}{text}", text.len() + 4)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
