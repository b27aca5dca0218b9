//! A disk that is full and a disk that fails: who is told what, and what is left.

use std::path::{Path, PathBuf};

use super::scene::Scene;
use crate::support::{Administrator, Process, Strace, Via};

const REPOSITORY: &str = "admin/novel";

/// What `/readyz` answers: its status and its words.
fn readiness(server: &Process) -> (u16, String) {
    let url = format!("http://{}/readyz", server.addresses.http.unwrap());
    let agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .new_agent();
    let mut answer = agent.get(url).call().unwrap();
    let words = answer.body_mut().read_to_string().unwrap();
    (answer.status().as_u16(), words)
}

/// A server whose data lie on a disk of its own, of so many MiB, which only it has mounted; and
/// where this process finds that disk.
fn start_on_small_disk(folder: &Path, mebibytes: usize) -> (Process, PathBuf) {
    let disk = folder.join("disk");
    std::fs::create_dir(&disk).unwrap();
    let data = folder.join("data");
    std::os::unix::fs::symlink("disk/data", &data).unwrap();
    let mount = format!(
        "mount -t tmpfs -o size={mebibytes}m none {0} && mkdir {0}/data && exec \"$@\"",
        disk.display()
    );
    let server = Process::start_by(
        folder,
        &[
            "unshare",
            "--mount",
            "--map-root-user",
            "sh",
            "-c",
            &mount,
            "sh",
        ],
    );
    let seen = PathBuf::from(format!("/proc/{}/root", server.addresses.pid))
        .join(disk.strip_prefix("/").unwrap());
    std::fs::remove_file(&data).unwrap();
    std::os::unix::fs::symlink(seen.join("data"), &data).unwrap();
    (server, seen)
}

#[test]
fn a_full_disk_refuses_pushes_and_then_rows_but_goes_on_serving() {
    const DISK: usize = 128;
    let folder = tempfile::tempdir().unwrap();
    let (server, disk) = start_on_small_disk(folder.path(), DISK);
    let administrator = Administrator::new(folder.path());
    let scene = Scene::over(folder, administrator, server, 9);
    scene.creates(REPOSITORY);
    scene
        .pushes(REPOSITORY, &scene.commit(8), Via::Http)
        .succeeds();
    let tip = scene.tip(REPOSITORY, "main");
    let fill = |mebibytes: usize| std::fs::write(disk.join("fill"), vec![1; mebibytes << 20]);

    // Less than 64 MiB are left once the pushes so far are on it: no room for packs, for rows there is.
    fill(60).unwrap();
    for (commit, via) in [(9, Via::Http), (9, Via::Ssh)] {
        scene
            .pushes(REPOSITORY, &scene.commit(commit), via)
            .fails_with("disk is full");
    }
    scene.creates("admin/other");
    assert_eq!(scene.tip(REPOSITORY, "main"), tip);
    scene.is_whole(REPOSITORY);

    // No room at all, and not a byte more for who is bold.
    assert!(fill(DISK).is_err());
    let delete = ["repo", "delete", "admin/other"];
    scene
        .administrator
        .admin(&delete)
        .fails_with("disk is full");
    scene
        .pushes(REPOSITORY, &scene.commit(9), Via::Http)
        .fails_with("disk is full");
    scene.is_whole(REPOSITORY);
    assert_eq!(readiness(scene.server.as_ref().unwrap()).0, 200);

    std::fs::remove_file(disk.join("fill")).unwrap();
    scene.administrator.admin(&delete).succeeds();
    scene
        .pushes(REPOSITORY, &scene.commit(9), Via::Ssh)
        .succeeds();
    assert_eq!(scene.tip(REPOSITORY, "main"), Some(scene.commit(9)));
    scene.is_whole(REPOSITORY);
}

#[test]
fn a_store_that_fails_is_told_to_monitors_and_is_whole_after_a_restart() {
    let mut scene = Scene::new(3);
    scene.creates(REPOSITORY);
    scene
        .pushes(REPOSITORY, &scene.commit(1), Via::Http)
        .succeeds();
    assert_eq!(
        readiness(scene.server.as_ref().unwrap()),
        (200, "ready\n".to_owned())
    );
    let strace = Strace::attach(
        scene.pid(),
        scene.path(),
        &["-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO"],
    );
    scene
        .pushes(REPOSITORY, &scene.commit(2), Via::Http)
        .fails_with("store has failed");
    drop(strace);
    let (status, words) = readiness(scene.server.as_ref().unwrap());
    assert_eq!(status, 503);
    assert!(words.contains("restart"), "{words}");
    scene.server.take().unwrap().kill();
    scene.restarts();
    let tip = scene.tip(REPOSITORY, "main");
    assert!(tip == Some(scene.commit(1)) || tip == Some(scene.commit(2)));
    scene
        .pushes(REPOSITORY, &scene.commit(3), Via::Http)
        .succeeds();
    scene.is_whole(REPOSITORY);
    assert_eq!(readiness(scene.server.as_ref().unwrap()).0, 200);
}
