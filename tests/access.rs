//! Who may do what over the wire: visibility, scopes of tokens, JWTs of an issuer, TLS.

use serde_json::json;

use crate::support::{Remote, Server, User, Via, claims, issuer, key_file};

fn seeded<'s>(owner: &User<'s>, name: &str, flags: &[&str]) -> Remote {
    let remote = owner.creates_repository_with(name, flags);
    let copy = owner.clones(&remote, Via::Http);
    copy.git("switch --quiet -c main").stderr();
    copy.commits("one", "1\n");
    copy.git("push --quiet origin main").succeeds();
    remote
}

#[test]
fn a_reader_may_fetch_but_not_push() {
    let server = Server::start();
    let alice = server.user("alice");
    let bob = server.user("bob");
    let open = seeded(&alice, "open", &["--public"]);
    for via in Via::BOTH {
        let copy = bob.clones(&open, via);
        copy.commits("two", "2\n");
        let refused = copy.git("push origin main");
        refused.fails_with(if via == Via::Http {
            "403"
        } else {
            "packhorse:"
        });
    }
}

#[test]
fn a_token_does_what_its_scopes_say_whatever_its_owner_may() {
    let server = Server::start();
    let alice = server.user("alice");
    let novel = seeded(&alice, "novel", &[]);
    let scoped = |scopes: &str| {
        let token = server
            .admin(&["token", "create", "--user", "alice", "--scopes", scopes])
            .succeeds();
        alice.with_token(&token)
    };
    let reader = scoped("git:read");
    let copy = reader.clones(&novel, Via::Http);
    copy.commits("two", "2\n");
    copy.git("push origin main").fails_with("403");
    let writer = scoped("git:write");
    copy.git_with(
        &["push", "--quiet", &writer.url(&novel, Via::Http), "main"],
        b"",
    )
    .succeeds();
    let (_, refused) = scoped("org:read").tries_to_clone(&novel, Via::Http, &[]);
    refused.fails_with("403");
}

#[test]
fn a_jwt_of_the_issuer_opens_the_repository_it_names_and_no_other() {
    let server = Server::start();
    let alice = server.user("alice");
    issuer(&server, "acme");
    let novel = server.repository("acme/team/novel");
    server.repository("acme/other");
    let holder = |claims: &serde_json::Value| alice.with_jwt(claims);
    let writer = holder(&claims("team/novel", &["git:write"]));
    let copy = writer.clones(&novel, Via::Http);
    copy.git("switch --quiet -c main").stderr();
    copy.commits("one", "1\n");
    copy.git("push --quiet origin main").succeeds();
    // The namespace may be left out, as the issuer's own clients do.
    writer.clones(&Remote::new("team/novel"), Via::Http);
    let reader = holder(&claims("team/novel", &["git:read"]));
    let copy = reader.clones(&novel, Via::Http);
    copy.commits("two", "2\n");
    copy.git("push origin main").fails_with("403");
    let (_, refused) = reader.tries_to_clone(&Remote::new("acme/other"), Via::Http, &[]);
    refused.fails_with("403");

    let mut late = claims("team/novel", &["git:read"]);
    late["exp"] = json!(1_000_000_000);
    let (_, refused) = holder(&late).tries_to_clone(&novel, Via::Http, &[]);
    refused.fails_with("Authentication failed");
    let mut foreign = claims("team/novel", &["git:read"]);
    foreign["iss"] = json!("alice");
    let (_, refused) = holder(&foreign).tries_to_clone(&novel, Via::Http, &[]);
    refused.fails_with("Authentication failed");

    let mut guarded = claims("team/novel", &["git:write"]);
    guarded["refs"] = json!([["refs/heads/main", ["no-push"]]]);
    let guarded = holder(&guarded);
    let copy = guarded.clones(&novel, Via::Http);
    copy.commits("three", "3\n");
    copy.git("push origin HEAD:main")
        .fails_with("denied by policy");
    copy.git("push --quiet origin HEAD:side").succeeds();
}

#[test]
fn https_serves_the_same_with_one_and_with_two() {
    let server = Server::start_with(|settings| {
        settings.https = Some("127.0.0.1:0".to_owned());
        settings.tls_cert = Some(key_file("tls-cert.pem").into());
        settings.tls_key = Some(key_file("tls-key.pem").into());
    });
    let alice = server.user("alice");
    let novel = seeded(&alice, "novel", &[]);
    let url = format!(
        "https://alice:{}@localhost:{}/{}.git",
        alice.token,
        server.addresses.https.unwrap().port(),
        novel.path
    );
    for version in ["HTTP/1.1", "HTTP/2"] {
        let folder = alice.new_folder();
        let version = format!("http.version={version}");
        let trust = format!("http.sslCAInfo={}", key_file("tls-cert.pem"));
        folder
            .git_with(
                &["-c", &version, "-c", &trust, "clone", "--quiet", &url, "."],
                b"",
            )
            .succeeds();
        folder.is_sound();
        folder
            .git_with(&["switch", "--quiet", "-c", "side"], b"")
            .succeeds();
        folder
            .git_with(
                &[
                    "-c", &version, "-c", &trust, "push", "--quiet", "--force", "origin", "side",
                ],
                b"",
            )
            .succeeds();
    }
}
