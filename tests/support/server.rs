//! A server in this process, on ports of its own, with a data folder that goes with it.

use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    thread::JoinHandle,
};

use packhorse::{
    config::Settings,
    server::{Addresses, Listeners, Server as Packhorse},
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::{
    git::{Finished, clean_command},
    user::{Remote, User},
};

/// The real program, as cargo built it for this test run.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_packhorse"))
}

/// A running server.
pub(crate) struct Server {
    pub(crate) addresses: Addresses,
    folder: TempDir,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts one with default limits.
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// Starts one with other settings.
    pub(crate) fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let home = folder.path().join("home");
        std::fs::create_dir(&home).unwrap();
        std::fs::write(
            home.join("gitconfig"),
            "[init]\n\tdefaultBranch = main\n[protocol]\n\tversion = 2\n[advice]\n\tdetachedHead = false\n[gc]\n\tauto = 0\n",
        )
        .unwrap();
        let mut settings = Settings {
            data: Some(folder.path().join("data")),
            http: Some("127.0.0.1:0".to_owned()),
            ssh: Some("127.0.0.1:0".to_owned()),
            ..Settings::default()
        };
        change(&mut settings);
        let config = settings.check().unwrap();
        let stop = CancellationToken::new();
        let (ready, opened) = mpsc::channel();
        let thread = std::thread::spawn({
            let stop = stop.clone();
            move || {
                tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(2)
                    .enable_all()
                    .build()
                    .unwrap()
                    .block_on(async {
                        let server = Packhorse::open(config, Listeners::default()).await.unwrap();
                        ready.send(server.addresses().clone()).unwrap();
                        server.run(stop).await.unwrap();
                    });
            }
        });
        let addresses = opened.recv().expect("the server opens");
        let server = Self {
            addresses,
            folder,
            stop,
            thread: Some(thread),
        };
        // The file that `packhorse admin` reads is written once everything listens.
        while !server.data().join(Addresses::FILE).exists() {
            std::thread::yield_now();
        }
        server
    }

    /// Where everything of this server lies.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A place for what the test makes.
    pub(crate) fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// The home folder of the clients.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Base URL of the HTTP side.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addresses.http.unwrap())
    }

    /// Runs `packhorse admin` with these arguments.
    pub(crate) fn admin(&self, arguments: &[&str]) -> Finished {
        self.admin_with(arguments, b"")
    }

    /// Runs `packhorse admin` with these arguments and this input.
    pub(crate) fn admin_with(&self, arguments: &[&str], input: &[u8]) -> Finished {
        let mut command = clean_command(binary(), &self.home());
        command
            .arg("admin")
            .arg("--data")
            .arg(self.data())
            .args(arguments);
        Finished::run(command, input)
    }

    /// Makes a user with a token and an SSH key.
    pub(crate) fn user(&self, name: &str) -> User<'_> {
        User::create(self, name)
    }

    /// Makes a private repository that the server's administrator owns.
    pub(crate) fn repository(&self, path: &str) -> Remote {
        self.admin(&["repo", "create", path]).succeeds();
        Remote::new(path)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the server panicked");
        }
    }
}
