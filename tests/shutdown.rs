//! The real program: start, ready file, one server a data folder, SIGTERM and what it leaves.

use std::{
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use packhorse::server::Addresses;

use crate::support::{Finished, binary, clean_command};

/// A started program that ends with its test.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn start(folder: &Path) -> (Started, Addresses) {
    let ready = folder.join("ready.json");
    std::fs::remove_file(&ready).ok();
    let mut command = clean_command(binary(), folder);
    command
        .args([
            "serve",
            "--http",
            "127.0.0.1:0",
            "--ssh",
            "127.0.0.1:0",
            "--ready-file",
        ])
        .arg(&ready)
        .arg("--data")
        .arg(folder.join("data"))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = Started(command.spawn().unwrap());
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Ok(text) = std::fs::read_to_string(&ready) {
            return (child, serde_json::from_str(&text).unwrap());
        }
        assert!(
            child.0.try_wait().unwrap().is_none(),
            "the server ended before it was ready"
        );
        assert!(Instant::now() < deadline, "the server never became ready");
        std::thread::yield_now();
    }
}

fn end(mut started: Started) -> std::process::ExitStatus {
    let mut kill = clean_command("kill", Path::new("/"));
    kill.args(["-TERM", &started.0.id().to_string()]);
    Finished::run(kill, b"").succeeds();
    started.0.wait().unwrap()
}

fn admin(folder: &Path, arguments: &[&str]) -> Finished {
    let mut command = clean_command(binary(), folder);
    command
        .arg("admin")
        .arg("--data")
        .arg(folder.join("data"))
        .args(arguments);
    Finished::run(command, b"")
}

#[test]
fn a_server_starts_stops_and_starts_again_with_all_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let (started, addresses) = start(folder.path());
    assert_eq!(addresses.pid, started.0.id());
    assert!(addresses.http.is_some() && addresses.ssh.is_some() && addresses.https.is_none());
    admin(folder.path(), &["repo", "create", "acme/novel"]).succeeds();
    assert!(end(started).success());

    let (started, _) = start(folder.path());
    assert!(
        admin(folder.path(), &["repo", "list"])
            .succeeds()
            .contains("acme/novel")
    );
    assert!(end(started).success());
}

#[test]
fn one_server_a_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (_started, _) = start(folder.path());
    let mut second = clean_command(binary(), folder.path());
    second
        .args(["serve", "--http", "127.0.0.1:0", "--ssh", "off", "--data"])
        .arg(folder.path().join("data"));
    Finished::run(second, b"").fails_with("another packhorse");
}

#[test]
fn what_cannot_work_is_said_before_anything_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, words) in [
        (&["--http", "nonsense"][..], "not host:port"),
        (&["--https", "127.0.0.1:0"], "go together"),
        (&["--http", "off", "--ssh", "off"], "neither HTTP"),
        (&["--config", "absent.toml"], "absent.toml"),
    ] {
        let mut command = clean_command(binary(), folder.path());
        command
            .arg("serve")
            .args(arguments)
            .current_dir(folder.path());
        Finished::run(command, b"").fails_with(words);
    }
}
