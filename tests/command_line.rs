//! `packhorse admin`: it prints the new id or token alone, and says what went wrong.

use crate::support::{Server, Via, ed25519_key};

#[test]
fn ids_and_tokens_are_printed_alone() {
    let server = Server::start();
    let is_id = |text: &str| text.parse::<u64>().is_ok();
    assert!(is_id(
        &server
            .admin(&["user", "create", "alice", "--email", "alice@example.com"])
            .succeeds()
    ));
    let token = server
        .admin(&[
            "token",
            "create",
            "--user",
            "alice",
            "--name",
            "laptop",
            "--scopes",
            "git:read,git:write",
            "--expires",
            "90d",
        ])
        .succeeds();
    assert!(
        token.starts_with("ph_") && !token.contains(char::is_whitespace),
        "{token}"
    );
    let key = ed25519_key(server.scratch(), "alice");
    let public = std::fs::read(key.with_extension("pub")).unwrap();
    assert!(is_id(
        &server
            .admin_with(&["key", "add", "--user", "alice", "-"], &public)
            .succeeds()
    ));
    assert!(is_id(
        &server
            .admin(&["repo", "create", "acme/novel", "--internal"])
            .succeeds()
    ));
    let listed = server.admin(&["repo", "list"]).succeeds();
    assert!(listed.contains("acme/novel"), "{listed}");
    let robot = ed25519_key(server.scratch(), "robot");
    let public = robot.with_extension("pub");
    let id = server
        .admin(&[
            "deploy-key",
            "add",
            "acme/novel",
            "--title",
            "robot",
            public.to_str().unwrap(),
        ])
        .succeeds();
    assert!(is_id(&id));
    assert!(
        server
            .admin(&["deploy-key", "list", "acme/novel"])
            .succeeds()
            .contains("robot")
    );
    server
        .admin(&["deploy-key", "delete", "acme/novel", &id])
        .succeeds();
    assert_eq!(
        server
            .admin(&["deploy-key", "list", "acme/novel"])
            .succeeds(),
        ""
    );
    server.admin(&["repo", "delete", "acme/novel"]).succeeds();
    assert!(
        !server
            .admin(&["repo", "list"])
            .succeeds()
            .contains("acme/novel")
    );
}

#[test]
fn mistakes_are_told_in_one_line() {
    let server = Server::start();
    server.admin(&["user", "create", "alice"]).succeeds();
    for (arguments, words) in [
        (&["user", "create", "alice"][..], "packhorse:"),
        (&["user", "create", "a/b"], "packhorse:"),
        (&["repo", "create", "api/x"], "packhorse:"),
        (&["repo", "delete", "acme/absent"], "packhorse:"),
        (&["token", "create", "--user", "nobody"], "packhorse:"),
        (
            &[
                "token",
                "create",
                "--user",
                "alice",
                "--scopes",
                "everything",
            ],
            "everything",
        ),
        (&["--token", "ph_wrong", "repo", "list"], "packhorse:"),
    ] {
        server.admin(arguments).fails_with(words);
    }
}

#[test]
fn a_password_opens_git_over_http() {
    let server = Server::start();
    server
        .admin_with(
            &["user", "create", "alice", "--password-stdin"],
            b"correct horse battery staple\n",
        )
        .succeeds();
    let mut alice = server
        .user("bob")
        .with_token("correct%20horse%20battery%20staple");
    alice.name = "alice".to_owned();
    server.admin(&["repo", "create", "alice/novel"]).succeeds();
    let remote = crate::support::Remote::new("alice/novel");
    alice.clones(&remote, Via::Http);
    let mut wrong = alice.with_token("incorrect");
    wrong.name = "alice".to_owned();
    let (_, refused) = wrong.tries_to_clone(&remote, Via::Http, &[]);
    refused.fails_with("Authentication failed");
}

#[test]
fn sha256_repositories_are_made_on_request() {
    let server = Server::start();
    let alice = server.user("alice");
    let remote = alice.creates_repository_with("novel", &["--object-format", "sha256"]);
    let copy = alice.clones(&remote, Via::Ssh);
    assert_eq!(
        copy.git("rev-parse --show-object-format").succeeds(),
        "sha256"
    );
}
