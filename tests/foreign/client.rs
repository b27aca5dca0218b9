//! The clients that are programs, each behind the same three words: `clone`, `fetch`, `push`.
//!
//! Source: the files of `programs/`, one for each client; what they need `tests/run` puts into the
//! folder `clients` of cargo's target folder.

use std::{
    ffi::OsString,
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use crate::support::{
    Finished, Remote, User, Via, WorkingCopy, clean_command, installed, ssh_command,
};

/// What Debian calls the libraries that JGit needs.
const JARS: [&str; 5] = [
    "org.eclipse.jgit.jar",
    "javaewah.jar",
    "jsch.jar",
    "slf4j-api.jar",
    "slf4j-nop.jar",
];

/// A client that is not git.
#[derive(Debug, Clone, Copy)]
pub(super) enum Client {
    Dulwich,
    Pygit2,
    IsomorphicGit,
    JGit,
}

impl Client {
    /// Runs it as this user: a verb, then what the verb needs besides URL and folder.
    pub(super) fn run(
        self,
        user: &User<'_>,
        remote: &Remote,
        via: Via,
        words: &[&str],
        copy: &WorkingCopy,
    ) -> Finished {
        let program = self.program();
        let mut command = clean_command(&program[0], &copy.home);
        command
            .args(&program[1..])
            .args([words[0], &user.url(remote, via)])
            .arg(&copy.path)
            .args(&words[1..])
            .env("CLIENT_KEY", &user.key)
            .env("CLIENT_MODULES", installed("node_modules"))
            .env("GIT_SSH", ssh_program(user));
        Finished::run(command, b"")
    }

    fn program(self) -> Vec<OsString> {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/programs");
        let python = || installed("python/bin/python3").into();
        match self {
            Self::Dulwich => vec![python(), programs.join("dulwich_client.py").into()],
            Self::Pygit2 => vec![python(), programs.join("pygit2_client.py").into()],
            Self::IsomorphicGit => {
                vec![
                    "node".into(),
                    programs.join("isomorphic_git_client.mjs").into(),
                ]
            }
            Self::JGit => {
                let mut path = installed("java").into_os_string();
                for jar in JARS {
                    path.push(":/usr/share/java/");
                    path.push(jar);
                }
                let quick = [
                    "-Xmx256m",
                    "-XX:TieredStopAtLevel=1",
                    "-XX:+UseSerialGC",
                    "-cp",
                ];
                ["java"]
                    .into_iter()
                    .chain(quick)
                    .map(OsString::from)
                    .chain([path, "JGitClient".into()])
                    .collect()
            }
        }
    }

    /// What it makes of the answer to somebody who may read and not write.
    pub(super) fn word_of_refusal(self, via: Via) -> &'static str {
        match (self, via) {
            (Self::JGit, _) => "not permitted",
            (_, Via::Ssh) => "packhorse:",
            (_, Via::Http) => "403",
        }
    }
}

/// `ssh` with this user's key as a program without arguments of its own, which is all that `GIT_SSH` can name.
fn ssh_program(user: &User<'_>) -> PathBuf {
    let path = user.key.with_extension("ssh");
    if !path.exists() {
        let script = format!("#!/bin/sh\nexec {} \"$@\"\n", ssh_command(&user.key));
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    path
}
