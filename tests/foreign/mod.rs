//! Clients that are not git: each clones, fetches, pushes, makes and removes a branch, and is told when it may not.
//!
//! Bounds: SHA-1, the only hash that all of them know.
//! Invariant: a client that is not installed fails its test: `tests/run` installs all of them.
//! Not here: the stock git (`clone_fetch_push`) and gix, which is a library of ours to call (`gix`).

mod client;
mod gix;

use client::Client;

use crate::support::{Folder, Remote, Server, User, Via, WorkingCopy};

/// A history that is worth sending: tags of both kinds, a merge, files that make deltas.
fn published<'s>(owner: &User<'s>) -> (Remote, WorkingCopy) {
    let novel = owner.creates_repository_with("novel", &["--public"]);
    let source = WorkingCopy(owner.new_folder());
    source
        .git("init --quiet --initial-branch main .")
        .succeeds();
    for chapter in 1..=5 {
        let text: String = (0..200)
            .map(|line| format!("{chapter}.{line}: it was a dark night\n"))
            .collect();
        source.commits("chapters/all.txt", &text);
        source.commits(&format!("chapters/{chapter}.txt"), &text);
    }
    source.git("tag light").succeeds();
    source.git("tag -a -m Annotated v1").succeeds();
    source.git("switch --quiet -c side HEAD~3").succeeds();
    source.commits("side.txt", "aside\n");
    source.git("switch --quiet main").succeeds();
    source.git("merge --quiet --no-edit side").succeeds();
    source
        .git_with(
            &["remote", "add", "origin", &owner.url(&novel, Via::Http)],
            b"",
        )
        .succeeds();
    source.git("push --quiet --mirror origin").succeeds();
    (novel, source)
}

/// What the server says a ref is; empty if there is none.
fn served(source: &WorkingCopy, name: &str) -> String {
    let listed = source.git(&format!("ls-remote origin {name}")).succeeds();
    listed
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_owned()
}

#[track_caller]
fn has_everything(copy: &Folder, source: &WorkingCopy) {
    copy.is_sound();
    let (copied, all) = (copy.objects(), source.objects());
    let missing: Vec<_> = all.iter().filter(|id| !copied.contains(id)).collect();
    assert!(missing.is_empty(), "missing {missing:?}");
}

#[track_caller]
fn works_and_is_told(client: Client, via: Via) {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let (novel, source) = published(&alice);
    let copy = WorkingCopy(alice.new_folder());
    let run = |user: &User<'_>, words: &[&str]| client.run(user, &novel, via, words, &copy);

    run(&alice, &["clone"]).succeeds();
    assert_eq!(copy.head(), source.head());
    has_everything(&copy, &source);

    let newer = source.commits("chapters/6.txt", "and a stormy one\n");
    source.git("push --quiet origin main").succeeds();
    run(&alice, &["fetch"]).succeeds();
    assert_eq!(
        copy.git("rev-parse refs/remotes/origin/main").succeeds(),
        newer
    );
    has_everything(&copy, &source);

    copy.git("reset --quiet --hard refs/remotes/origin/main")
        .succeeds();
    let pushed = copy.commits("chapters/7.txt", "suddenly a shot rang out\n");
    run(&alice, &["push", "refs/heads/main:refs/heads/main"]).succeeds();
    assert_eq!(served(&source, "refs/heads/main"), pushed);

    run(&alice, &["push", "refs/heads/main:refs/heads/topic"]).succeeds();
    assert_eq!(served(&source, "refs/heads/topic"), pushed);
    run(&alice, &["push", ":refs/heads/topic"]).succeeds();
    assert_eq!(served(&source, "refs/heads/topic"), "");

    // A command that is refused, in a push that as such is allowed.
    run(&alice, &["push", ":refs/heads/main"]).fails_with("the default branch can't be deleted");
    copy.commits("chapters/8.txt", "never to be seen\n");
    // A push that is refused as a whole.
    run(&bob, &["push", "refs/heads/main:refs/heads/main"]).fails_with(client.word_of_refusal(via));
    assert_eq!(served(&source, "refs/heads/main"), pushed);

    source.git("fetch --quiet origin").succeeds();
    source.is_sound();
}

#[test]
fn dulwich_over_http() {
    works_and_is_told(Client::Dulwich, Via::Http);
}

/// Its SSH is paramiko's.
#[test]
fn dulwich_over_ssh() {
    works_and_is_told(Client::Dulwich, Via::Ssh);
}

#[test]
fn pygit2_over_http() {
    works_and_is_told(Client::Pygit2, Via::Http);
}

/// Its SSH is that of libssh2.
#[test]
fn pygit2_over_ssh() {
    works_and_is_told(Client::Pygit2, Via::Ssh);
}

#[test]
fn isomorphic_git_over_http() {
    works_and_is_told(Client::IsomorphicGit, Via::Http);
}

#[test]
fn jgit_over_http() {
    works_and_is_told(Client::JGit, Via::Http);
}

/// Its own SSH is too old for any server that is safe, so it runs OpenSSH.
#[test]
fn jgit_over_ssh() {
    works_and_is_told(Client::JGit, Via::Ssh);
}
