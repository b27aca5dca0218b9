//! gix as a client: it clones and fetches, in versions 2 and 0; it can't push yet, so stock git does that here.
//!
//! Bounds: SHA-1, and no checkout: what is asked is whether every object arrives.

use std::sync::atomic::AtomicBool;

use gix::{clone::PrepareFetch, create, open, progress::Discard, remote::Direction};

use super::{has_everything, published};
use crate::support::{Server, Via, ssh_command};

#[track_caller]
fn clones_and_fetches(via: Via, version: u8) {
    let server = Server::start();
    let alice = server.user("alice");
    let (novel, source) = published(&alice);
    let (copy, never) = (alice.new_folder(), AtomicBool::new(false));
    // It sends no password in the clear, but what it is told to send it does.
    let url = match via {
        Via::Http => format!("{}/{}.git", server.url(), novel.path),
        Via::Ssh => alice.url(&novel, via),
    };
    let with = [
        format!("http.extraHeader=Authorization: Bearer {}", alice.token),
        format!("core.sshCommand={}", ssh_command(&alice.key)),
        format!("protocol.version={version}"),
        "user.name=C O Mitter".to_owned(),
        "user.email=committer@example.com".to_owned(),
    ];
    let options = || open::Options::isolated().config_overrides(with.clone());

    PrepareFetch::new(
        url.as_str(),
        &copy.path,
        create::Kind::WithWorktree,
        create::Options::default(),
        options(),
    )
    .unwrap()
    .fetch_only(Discard, &never)
    .unwrap();
    has_everything(&copy, &source);

    let newer = source.commits("chapters/6.txt", "and a stormy one\n");
    source.git("push --quiet origin main").succeeds();
    let repository = options().open(&copy.path).unwrap().to_thread_local();
    let remote = repository.find_remote("origin").unwrap();
    let outcome = remote
        .connect(Direction::Fetch)
        .unwrap()
        .prepare_fetch(Discard, Default::default())
        .unwrap()
        .receive(Discard, &never)
        .unwrap();
    assert!(matches!(
        outcome.status,
        gix::remote::fetch::Status::Change { .. }
    ));
    assert_eq!(
        copy.git("rev-parse refs/remotes/origin/main").succeeds(),
        newer
    );
    has_everything(&copy, &source);
}

#[test]
fn gix_over_http_in_version_2() {
    clones_and_fetches(Via::Http, 2);
}

#[test]
fn gix_over_http_in_version_0() {
    clones_and_fetches(Via::Http, 0);
}

/// It runs OpenSSH.
#[test]
fn gix_over_ssh_in_version_2() {
    clones_and_fetches(Via::Ssh, 2);
}

#[test]
fn gix_over_ssh_in_version_0() {
    clones_and_fetches(Via::Ssh, 0);
}
