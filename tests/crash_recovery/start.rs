//! A first start, killed at each of its steps; the next start finishes it.

use crate::support::{Folder, Process, admin};

/// Calls that change what is on disk, and the first of each thread before which a kill is tried;
/// from there on every one up to the number that no first start reaches.
const CALLS: [(&str, usize); 6] = [
    ("mkdir", 1),
    ("ftruncate", 1),
    ("fdatasync", 1),
    ("fsync", 1),
    ("rename", 1),
    ("pwrite64", 1),
];

/// Kills at writes are placed at every one of the first few, then at every third.
fn next(call: &str, number: usize) -> usize {
    match call == "pwrite64" && number > 4 {
        true => number + 5,
        false => number + 1,
    }
}

#[test]
fn a_first_start_killed_at_any_step_is_finished_by_the_next() {
    let mut kills = 0;
    for (call, first) in CALLS {
        let mut number = first;
        loop {
            let folder = tempfile::tempdir().unwrap();
            let inject = format!("inject={call}:signal=KILL:when={number}");
            let log = folder.path().join("strace.log");
            let starter = [
                "strace",
                "-f",
                "-o",
                log.to_str().unwrap(),
                "-e",
                &format!("trace={call}"),
                "-e",
                &inject,
            ];
            if let Ok(unharmed) = Process::try_start_by(folder.path(), &starter) {
                unharmed.kill();
                break;
            }
            let log = std::fs::read_to_string(&log).unwrap();
            assert!(log.contains("+++ killed by SIGKILL +++"), "{log}");
            kills += 1;
            let server = Process::start(folder.path());
            admin(folder.path(), &["repo", "create", "admin/novel"]).succeeds();
            let token = std::fs::read_to_string(folder.path().join("data/admin-token")).unwrap();
            let client = Folder {
                program: "git".into(),
                path: folder.path().to_owned(),
                home: folder.path().to_owned(),
                environment: Vec::new(),
            };
            let address = server.addresses.http.unwrap();
            let url = format!(
                "http://admin:{}@{address}/admin/novel.git",
                token.trim_end()
            );
            client.git_with(&["ls-remote", &url], b"").succeeds();
            drop(server);
            number = next(call, number);
        }
    }
    assert!(kills >= 15, "only {kills} steps were found");
}
