//! People with a token and a key, and what they clone.

use std::{
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use russh::keys::{PrivateKey, ssh_key};

use super::{
    git::{Finished, Folder, Git},
    server::Server,
};

/// How a client reaches the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Via {
    Http,
    Ssh,
}

impl Via {
    pub(crate) const BOTH: [Self; 2] = [Self::Http, Self::Ssh];
}

/// A repository on the server, by its path.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    pub(crate) path: String,
}

impl Remote {
    pub(crate) fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
        }
    }
}

/// Makes a key pair and writes both halves as OpenSSH does; returns the private half's path.
pub(crate) fn ed25519_key(folder: &Path, name: &str) -> PathBuf {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed).unwrap();
    let key = PrivateKey::from(ssh_key::private::Ed25519Keypair::from_seed(&seed));
    let path = folder.join(format!(
        "key-{name}-{}",
        MADE.fetch_add(1, Ordering::Relaxed)
    ));
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .unwrap();
    let text = key.to_openssh(ssh_key::LineEnding::LF).unwrap();
    std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
    let public = key.public_key().to_openssh().unwrap();
    std::fs::write(path.with_extension("pub"), format!("{public} {name}\n")).unwrap();
    path
}

/// Somebody with an account, a token and a key.
pub(crate) struct User<'s> {
    server: &'s Server,
    pub(crate) name: String,
    pub(crate) token: String,
    pub(crate) key: PathBuf,
    program: PathBuf,
}

impl<'s> User<'s> {
    pub(super) fn create(server: &'s Server, name: &str) -> Self {
        server.admin(&["user", "create", name]).succeeds();
        let token = server
            .admin(&["token", "create", "--user", name])
            .succeeds();
        let key = ed25519_key(server.scratch(), name);
        let public = key.with_extension("pub");
        server
            .admin(&["key", "add", "--user", name, public.to_str().unwrap()])
            .succeeds();
        Self {
            server,
            name: name.to_owned(),
            token,
            key,
            program: PathBuf::from("git"),
        }
    }

    /// The same person with another credential only.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self {
            server: self.server,
            name: self.name.clone(),
            token: token.to_owned(),
            key: self.key.clone(),
            program: self.program.clone(),
        }
    }

    /// The same person with another git.
    pub(crate) fn with_git(&self, git: &Git) -> Self {
        Self {
            program: git.program.clone(),
            ..self.with_token(&self.token)
        }
    }

    /// Runs `packhorse admin` with this person's token.
    pub(crate) fn admin(&self, arguments: &[&str]) -> Finished {
        self.server
            .admin(&[&["--token", &self.token], arguments].concat())
    }

    /// Makes a private repository in this person's namespace.
    pub(crate) fn creates_repository(&self, name: &str) -> Remote {
        self.creates_repository_with(name, &[])
    }

    /// Makes a repository with these flags of `repo create`.
    pub(crate) fn creates_repository_with(&self, name: &str, flags: &[&str]) -> Remote {
        let path = format!("{}/{name}", self.name);
        self.admin(&[&["repo", "create", &path], flags].concat())
            .succeeds();
        Remote::new(&path)
    }

    /// The URL of a repository with this person's token inside, or for SSH without any.
    pub(crate) fn url(&self, remote: &Remote, via: Via) -> String {
        match via {
            Via::Http => format!(
                "http://{}:{}@{}/{}.git",
                self.name,
                self.token,
                self.server.addresses.http.unwrap(),
                remote.path
            ),
            Via::Ssh => format!(
                "ssh://git@{}/{}.git",
                self.server.addresses.ssh.unwrap(),
                remote.path
            ),
        }
    }

    /// A folder in which git uses this person's key.
    pub(crate) fn folder(&self, path: PathBuf) -> Folder {
        std::fs::create_dir_all(&path).unwrap();
        Folder {
            program: self.program.clone(),
            path,
            home: self.server.home(),
            environment: vec![
                ("GIT_SSH_COMMAND".to_owned(), ssh_command(&self.key)),
                // Before 2.3, git ran a program here and knew of no command.
                ("GIT_SSH".to_owned(), ssh_program(&self.key)),
            ],
        }
    }

    /// A new empty folder.
    pub(crate) fn new_folder(&self) -> Folder {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        self.folder(
            self.server
                .scratch()
                .join(format!("{}-{number}", self.name)),
        )
    }

    /// Runs `git clone` with these flags and says how it went.
    pub(crate) fn tries_to_clone(
        &self,
        remote: &Remote,
        via: Via,
        flags: &[&str],
    ) -> (WorkingCopy, Finished) {
        let folder = self.new_folder();
        let url = self.url(remote, via);
        let finished = folder.git_with(&[&["clone"], flags, &[&url, "."]].concat(), b"");
        (WorkingCopy(folder), finished)
    }

    /// Clones.
    #[track_caller]
    pub(crate) fn clones(&self, remote: &Remote, via: Via) -> WorkingCopy {
        self.clones_with(remote, via, &[])
    }

    /// Clones with these flags.
    #[track_caller]
    pub(crate) fn clones_with(&self, remote: &Remote, via: Via, flags: &[&str]) -> WorkingCopy {
        let (copy, finished) = self.tries_to_clone(remote, via, flags);
        finished.succeeds();
        copy
    }
}

/// `ssh` with one key and nothing from the machine it runs on.
pub(crate) fn ssh_command(key: &Path) -> String {
    format!(
        "ssh -F /dev/null -i {} -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes \
         -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
        key.display()
    )
}

/// A program that does the same as [`ssh_command`].
fn ssh_program(key: &Path) -> String {
    let path = key.with_extension("ssh");
    if !path.exists() {
        let script = format!("#!/bin/sh\nexec {} \"$@\"\n", ssh_command(key));
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o700)
            .open(&path)
            .unwrap();
        std::io::Write::write_all(&mut file, script.as_bytes()).unwrap();
    }
    path.display().to_string()
}

/// A clone with files.
#[derive(Debug, Clone)]
pub(crate) struct WorkingCopy(pub(crate) Folder);

impl std::ops::Deref for WorkingCopy {
    type Target = Folder;

    fn deref(&self) -> &Folder {
        &self.0
    }
}

impl WorkingCopy {
    /// Writes a file and commits it; the new commit's id.
    #[track_caller]
    pub(crate) fn commits(&self, file: &str, content: &str) -> String {
        let path = self.path.join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
        self.git_with(&["add", "--", file], b"").succeeds();
        self.git_with(&["commit", "--quiet", "-m", &format!("Write {file}")], b"")
            .succeeds();
        self.head()
    }

    /// Adds this many commits to `main`, which must be checked out, all at once.
    #[track_caller]
    pub(crate) fn commits_many(&self, count: usize) {
        let first = self.head();
        let mut stream = String::new();
        for number in 0..count {
            let text = format!("{number} of {count} after {first}\n");
            stream += "commit refs/heads/main\n";
            stream +=
                "committer C O Mitter <committer@example.com> 1700000001 +0000\ndata 4\nLog\n";
            if number == 0 {
                stream += &format!("from {first}\n");
            }
            stream += &format!("M 100644 inline log.txt\ndata {}\n{text}\n", text.len());
        }
        self.git_with(&["fast-import", "--quiet"], stream.as_bytes())
            .succeeds();
        self.git("reset --quiet --hard").succeeds();
    }

    /// The commit checked out.
    #[track_caller]
    pub(crate) fn head(&self) -> String {
        self.git("rev-parse HEAD").succeeds()
    }

    /// The content of a file.
    #[track_caller]
    pub(crate) fn reads(&self, file: &str) -> String {
        std::fs::read_to_string(self.path.join(file)).unwrap()
    }
}
