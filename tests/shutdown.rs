//! The real program: start, ready file, one server a data folder, SIGTERM and what it leaves.

use crate::support::{Finished, Process, admin, binary, clean_command};

#[test]
fn a_server_starts_stops_and_starts_again_with_all_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let started = Process::start(folder.path());
    let addresses = started.addresses.clone();
    assert!(addresses.http.is_some() && addresses.ssh.is_some() && addresses.https.is_none());
    admin(folder.path(), &["repo", "create", "acme/novel"]).succeeds();
    assert!(started.terminate().success());

    let started = Process::start(folder.path());
    assert!(
        admin(folder.path(), &["repo", "list"])
            .succeeds()
            .contains("acme/novel")
    );
    assert!(started.terminate().success());
}

#[test]
fn one_server_a_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    let _started = Process::start(folder.path());
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
