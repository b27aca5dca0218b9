//! `strace` at a running server: what it asks of the kernel, and in which order; and a kill at an
//! exact place in it.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use super::git::clean_command;

/// How long strace may take until it holds every thread.
const ATTACHING: Duration = Duration::from_secs(60);

/// A running strace. It ends when its server does.
pub(crate) struct Strace {
    child: Child,
    log: PathBuf,
}

impl Strace {
    /// Follows all threads of the process from now on; `-y` puts the path behind each descriptor.
    pub(crate) fn attach(pid: u32, folder: &Path, arguments: &[&str]) -> Self {
        let log = folder.join("strace.log");
        std::fs::remove_file(&log).ok();
        let mut command = clean_command("strace", folder);
        command
            .args(["-f", "-y", "-s", "0", "-o"])
            .arg(&log)
            .args(["-p", &pid.to_string()])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stderr.take().unwrap());
        let (tell, told) = mpsc::channel();
        // Reads to the end, or strace would stop at a full pipe.
        std::thread::spawn(move || {
            for line in said.lines().map_while(Result::ok) {
                tell.send(line).ok();
            }
        });
        let line = told
            .recv_timeout(ATTACHING)
            .expect("strace says whether it is attached");
        assert!(line.contains("attached"), "{line}");
        Self { child, log }
    }

    /// Waits until a line holds all these words.
    #[track_caller]
    pub(crate) fn shows(&self, words: &[&str]) {
        let deadline = Instant::now() + ATTACHING;
        loop {
            let log = std::fs::read_to_string(&self.log).unwrap_or_default();
            if log
                .lines()
                .any(|line| words.iter().all(|word| line.contains(word)))
            {
                return;
            }
            assert!(Instant::now() < deadline, "no {words:?} in\n{log}");
            std::thread::yield_now();
        }
    }

    /// What it saw, once its server has ended.
    pub(crate) fn log(mut self) -> String {
        self.child.wait().unwrap();
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
