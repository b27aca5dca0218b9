//! Forks seen by git: cheap, independent, and shut against what their source keeps to itself.

use std::{collections::BTreeMap, os::unix::fs::MetadataExt as _, path::Path};

use serde_json::{Value, json};

use crate::support::{Remote, Server, User, Via, WorkingCopy};

/// Makes `path` a fork of `source`, with these further fields of `base_repo`.
fn forks(server: &Server, user: &User<'_>, source: &Remote, path: &str, fields: &Value) -> Remote {
    let (owner, name) = source.path.split_once('/').unwrap();
    let mut base = json!({"provider": "code", "owner": owner, "name": name, "operation": "fork"});
    for (field, value) in fields.as_object().unwrap() {
        base[field] = value.clone();
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let answer = agent
        .post(format!("{}/api/v1/repos?repo={path}", server.url()))
        .header("authorization", format!("Bearer {}", user.token))
        .send(json!({"base_repo": base}).to_string())
        .unwrap();
    assert_eq!(answer.status(), 201);
    Remote::new(path)
}

/// Bytes of all files below a folder, those with several names counted once.
fn bytes_on_disk(folder: &Path) -> u64 {
    fn collect(folder: &Path, files: &mut BTreeMap<u64, u64>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let metadata = entry.metadata().unwrap();
            match metadata.is_dir() {
                true => collect(&entry.path(), files),
                false => {
                    files.insert(metadata.ino(), metadata.len());
                }
            }
        }
    }
    let mut files = BTreeMap::new();
    collect(folder, &mut files);
    files.values().sum()
}

fn novel(alice: &User<'_>) -> (Remote, WorkingCopy) {
    let novel = alice.creates_repository("novel");
    let copy = alice.clones(&novel, Via::Http);
    copy.git("switch --quiet -c main").stderr();
    let mut noise = vec![0; 1 << 20];
    aws_lc_rs::rand::fill(&mut noise).unwrap();
    std::fs::write(copy.path.join("noise"), noise).unwrap();
    copy.git("add noise").succeeds();
    copy.commits("chapter-1.txt", "It was a dark and stormy night.\n");
    copy.commits_many(50);
    copy.git("push --quiet origin main").succeeds();
    (novel, copy)
}

#[test]
fn a_fork_takes_no_room_and_goes_its_own_way() {
    let server = Server::start();
    let alice = server.user("alice");
    let (novel, source) = novel(&alice);
    let repositories = server.data().join("repositories");
    let before = bytes_on_disk(&repositories);
    let copies: Vec<_> = (0..10)
        .map(|n| {
            forks(
                &server,
                &alice,
                &novel,
                &format!("alice/copy-{n}"),
                &json!({}),
            )
        })
        .collect();
    let grown = bytes_on_disk(&repositories) - before;
    assert!(
        before > 1 << 20 && grown < 10 << 10,
        "{before} grew by {grown}"
    );

    for via in Via::BOTH {
        let working = alice.clones(&copies[0], via);
        assert_eq!(working.head(), source.head());
        working.git("fsck --strict").succeeds();
        let mine = working.commits(&format!("{via:?}.txt"), "mine\n");
        working.git("push --quiet origin main").succeeds();
        assert_eq!(alice.clones(&copies[0], via).head(), mine);
        working
            .git("push --quiet --force origin HEAD~1:main")
            .succeeds();
    }
    for other in [&novel, &copies[1]] {
        assert_eq!(alice.clones(other, Via::Http).head(), source.head());
    }
    alice.admin(&["repo", "delete", &novel.path]).succeeds();
    for copy in &copies {
        let working = alice.clones(copy, Via::Ssh);
        assert_eq!(working.head(), source.head());
        working.git("fsck --strict").succeeds();
        alice.admin(&["repo", "delete", &copy.path]).succeeds();
    }
    assert!(bytes_on_disk(&repositories) < 1 << 10);
}

/// Attack: a fork of `main` shares the packs of its source, in which the branch `secret` lies, too. Its
/// owner wants the secret commit, tree and blob by id, and says that he has them, to learn whether they
/// are there.
#[test]
fn the_objects_of_a_source_that_a_fork_does_not_see_can_not_be_had() {
    let server = Server::start();
    let alice = server.user("alice");
    let (novel, source) = novel(&alice);
    source.git("switch --quiet -c secret").stderr();
    source.commits("treasure.txt", "Under the oak.\n");
    source.git("push --quiet origin secret").succeeds();
    let secrets = ["secret", "secret^{tree}", "secret:treasure.txt"]
        .map(|name| source.git(&format!("rev-parse {name}")).succeeds());
    let fork = forks(
        &server,
        &alice,
        &novel,
        "alice/copy",
        &json!({"ref": "main"}),
    );
    for via in Via::BOTH {
        let url = alice.url(&fork, via);
        assert!(
            !source
                .git_with(&["ls-remote", &url], b"")
                .succeeds()
                .contains("secret")
        );
        for version in ["0", "2"] {
            for secret in &secrets {
                let thief = WorkingCopy(alice.new_folder());
                thief.git("init --quiet .").succeeds();
                let protocol = format!("protocol.version={version}");
                thief
                    .git_with(&["-c", &protocol, "fetch", "--quiet", &url, secret], b"")
                    .fails_with("not our ref");
            }
        }
        // Whoever has the commit himself may push it, and must bring all of it.
        let trace = source.path.join(format!("trace-{via:?}"));
        let mut pusher = source.clone();
        pusher
            .0
            .environment
            .push(("GIT_TRACE_PACKET".to_owned(), trace.display().to_string()));
        pusher
            .git_with(&["fetch", "--quiet", &url, "main"], b"")
            .succeeds();
        let said = std::fs::read_to_string(trace).unwrap();
        assert!(!said.contains(&format!("< ACK {}", secrets[0])), "{said}");
    }
    let url = alice.url(&fork, Via::Http);
    source
        .git_with(&["push", "--quiet", &url, "secret"], b"")
        .succeeds();
    let clone = alice.clones(&fork, Via::Http);
    clone.git("switch --quiet secret").succeeds();
    assert_eq!(clone.reads("treasure.txt"), "Under the oak.\n");
    clone.git("fsck --strict").succeeds();
}
