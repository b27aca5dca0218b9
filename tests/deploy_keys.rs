//! Deploy keys: added by API they open at once what they should, and nothing once they are gone.

use crate::support::{Server, Via, ed25519_key};

#[test]
fn a_deploy_key_opens_its_repository_until_it_is_deleted() {
    let server = Server::start();
    let alice = server.user("alice");
    let novel = alice.creates_repository("novel");
    let draft = alice.clones(&novel, Via::Http);
    draft.git("switch --quiet -c main").stderr();
    draft.commits("one", "1\n");
    draft.git("push --quiet origin main").succeeds();
    let other = alice.creates_repository("other");

    let key = ed25519_key(server.scratch(), "robot");
    let public = key.with_extension("pub");
    let public = public.to_str().unwrap();
    let mut machine = alice.with_token("none");
    machine.key = key;

    let (_, before) = machine.tries_to_clone(&novel, Via::Ssh, &[]);
    before.fails_with("Permission denied");

    let reader = alice
        .admin(&["deploy-key", "add", &novel.path, public])
        .succeeds();
    let copy = machine.clones(&novel, Via::Ssh);
    assert_eq!(copy.reads("one"), "1\n");
    copy.commits("two", "2\n");
    copy.git("push origin main").fails_with("packhorse:");
    let (_, elsewhere) = machine.tries_to_clone(&other, Via::Ssh, &[]);
    elsewhere.fails_with("not found");

    alice
        .admin(&["deploy-key", "delete", &novel.path, &reader])
        .succeeds();
    copy.git("fetch origin").fails_with("Permission denied");

    let writer = alice
        .admin(&["deploy-key", "add", &novel.path, "--write", public])
        .succeeds();
    copy.git("push --quiet origin main").succeeds();
    // The same key in another repository with another mode.
    alice
        .admin(&["deploy-key", "add", &other.path, public])
        .succeeds();
    machine.clones(&other, Via::Ssh);
    copy.git_with(&["push", &machine.url(&other, Via::Ssh), "main"], b"")
        .fails_with("packhorse:");
    let listed = alice.admin(&["deploy-key", "list", &novel.path]).succeeds();
    assert!(listed.contains(&writer), "{listed}");

    alice
        .admin(&["deploy-key", "delete", &novel.path, &writer])
        .succeeds();
    copy.git("push origin main").fails_with("not found");
    machine.clones(&other, Via::Ssh);
}
