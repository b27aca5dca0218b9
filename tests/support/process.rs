//! The real program in a process of its own, over a data folder that outlives it.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use packhorse::server::Addresses;

use super::{
    git::{Finished, Folder, clean_command},
    server::binary,
    user::{Via, ed25519_key, ssh_command},
};

/// How long a start may take on a machine with much else to do.
const START: Duration = Duration::from_secs(60);

/// A started server; it is killed when its test is over.
pub(crate) struct Process {
    pub(crate) addresses: Addresses,
    child: Child,
}

impl Process {
    /// Starts a server over `folder/data` and waits until it is ready.
    pub(crate) fn start(folder: &Path) -> Self {
        Self::start_by(folder, &[])
    }

    /// As [`Process::start`], but by a program that starts its arguments, as `strace` does.
    pub(crate) fn start_by(folder: &Path, starter: &[&str]) -> Self {
        Self::try_start_by(folder, starter)
            .unwrap_or_else(|ended| panic!("the server ended before it was ready: {ended}"))
    }

    /// As [`Process::start_by`]; how it ended if it did not become ready.
    pub(crate) fn try_start_by(folder: &Path, starter: &[&str]) -> Result<Self, ExitStatus> {
        let ready = folder.join("ready.json");
        std::fs::remove_file(&ready).ok();
        let words = serve(folder, &ready);
        let words: Vec<&str> = starter
            .iter()
            .copied()
            .chain(words.iter().map(String::as_str))
            .collect();
        let mut command: Command = clean_command(words[0], folder);
        command
            .args(&words[1..])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let deadline = Instant::now() + START;
        loop {
            if let Ok(text) = std::fs::read_to_string(&ready) {
                let addresses = serde_json::from_str(&text).unwrap();
                return Ok(Self { addresses, child });
            }
            if let Some(ended) = child.try_wait().unwrap() {
                return Err(ended);
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                panic!("the server never became ready");
            }
            std::thread::yield_now();
        }
    }

    /// The most memory that it ever used.
    pub(crate) fn peak_kib(&self) -> u64 {
        let status = format!("/proc/{}/status", self.addresses.pid);
        let status = std::fs::read_to_string(status).expect("the server lives");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.unwrap().trim().trim_end_matches(" kB");
        number.parse().unwrap()
    }

    /// Ends it at once, as a power cut would, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.strike();
        self.child.wait().unwrap();
    }

    /// Kills it and does not wait until it is gone.
    pub(crate) fn strike(&self) {
        signal(self.addresses.pid, "-KILL");
    }

    /// Asks it to end and waits until it does.
    pub(crate) fn terminate(mut self) -> ExitStatus {
        signal(self.addresses.pid, "-TERM");
        self.child.wait().unwrap()
    }

    /// Waits until somebody else ended it.
    pub(crate) fn ends(mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            signal(self.addresses.pid, "-KILL");
            self.child.wait().unwrap();
        }
    }
}

fn serve(folder: &Path, ready: &Path) -> [String; 10] {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let listen = || "127.0.0.1:0".to_owned();
    [
        text(binary()),
        "serve".to_owned(),
        "--http".to_owned(),
        listen(),
        "--ssh".to_owned(),
        listen(),
        "--ready-file".to_owned(),
        text(ready),
        "--data".to_owned(),
        text(&folder.join("data")),
    ]
}

fn signal(pid: u32, which: &str) {
    let mut kill = clean_command("kill", Path::new("/"));
    kill.args([which, &pid.to_string()]);
    // It may have ended by itself a moment ago.
    drop(Finished::run(kill, b""));
}

/// The administrator of a data folder, whichever process serves it at the moment.
#[derive(Debug, Clone)]
pub(crate) struct Administrator {
    folder: PathBuf,
    key: PathBuf,
}

impl Administrator {
    /// Registers an SSH key with the running server.
    pub(crate) fn new(folder: &Path) -> Self {
        let key = ed25519_key(folder, "admin");
        let administrator = Self {
            folder: folder.to_owned(),
            key,
        };
        let public = administrator.key.with_extension("pub");
        administrator
            .admin(&["key", "add", "--user", "admin", public.to_str().unwrap()])
            .succeeds();
        administrator
    }

    /// Runs `packhorse admin`.
    pub(crate) fn admin(&self, arguments: &[&str]) -> Finished {
        admin(&self.folder, arguments)
    }

    /// Where the repositories of this data folder lie.
    pub(crate) fn repositories(&self) -> PathBuf {
        self.folder.join("data/repositories")
    }

    /// The URL of a repository at this server.
    pub(crate) fn url(&self, server: &Addresses, path: &str, via: Via) -> String {
        match via {
            Via::Http => {
                let token = std::fs::read_to_string(self.folder.join("data/admin-token")).unwrap();
                let address = server.http.unwrap();
                format!("http://admin:{}@{address}/{path}.git", token.trim_end())
            }
            Via::Ssh => format!("ssh://git@{}/{path}.git", server.ssh.unwrap()),
        }
    }

    /// An empty folder in which git uses the administrator's key.
    pub(crate) fn git_folder(&self, name: &str) -> Folder {
        let path = self.folder.join(name);
        std::fs::create_dir_all(&path).unwrap();
        Folder {
            program: "git".into(),
            path,
            home: self.folder.clone(),
            environment: vec![("GIT_SSH_COMMAND".to_owned(), ssh_command(&self.key))],
        }
    }
}

/// Runs `packhorse admin` for the server over `folder/data`.
pub(crate) fn admin(folder: &Path, arguments: &[&str]) -> Finished {
    let mut command = clean_command(binary(), folder);
    command
        .arg("admin")
        .arg("--data")
        .arg(folder.join("data"))
        .args(arguments);
    Finished::run(command, b"")
}
