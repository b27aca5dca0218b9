//! Rights taken by a side door: a parameter that contradicts the route, a refusal hidden behind a permission.

use std::io::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{
    pack::Pack,
    scene::{NOTHING, PATIENCE, answer, commands},
};
use crate::support::{Server, Via, WorkingCopy};

/// An attacker who may read asks for what a reader may do, and does something else (CVE-2026-52810).
#[test]
fn a_parameter_gives_no_rights_that_the_route_does_not() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let novel = alice.creates_repository_with("novel", &["--public"]);
    let copy = WorkingCopy(alice.new_folder());
    copy.git("init --quiet -b main .").succeeds();
    let tip = copy.commits("one", "1\n");
    let url = alice.url(&novel, Via::Http);
    copy.git_with(&["push", "--quiet", &url, "main"], b"")
        .succeeds();
    let mut body = commands(&[(NOTHING, &tip, "refs/heads/evil")]);
    body.extend(Pack::new().finish());
    let credential = BASE64_STANDARD.encode(format!("bob:{}", bob.token));
    let authorized = format!("authorization: Basic {credential}\r\n");
    for (path, who, expected) in [
        (
            "git-receive-pack?service=git-upload-pack",
            authorized.as_str(),
            " 403 ",
        ),
        ("git-receive-pack?service=git-upload-pack", "", " 401 "),
        (
            "git-receive-pack/?service=git-upload-pack",
            &authorized,
            " 404 ",
        ),
        ("git-upload-pack/../git-receive-pack", &authorized, " 404 "),
        (
            "git-upload-pack%2f..%2fgit-receive-pack",
            &authorized,
            " 404 ",
        ),
        ("info/refs/git-receive-pack", &authorized, " 404 "),
        ("git-receive-pack;git-upload-pack", &authorized, " 404 "),
    ] {
        let mut stream = std::net::TcpStream::connect(server.addresses.http.unwrap()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let head = format!(
            "POST /alice/novel.git/{path} HTTP/1.1\r\nhost: victim\r\n{who}\
             content-type: application/x-git-receive-pack-request\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(&body).ok();
        let said = answer(stream);
        assert!(
            said.lines().next().unwrap().contains(expected),
            "{path}: {said}"
        );
    }
    let listed = copy.git_with(&["ls-remote", &url], b"").succeeds();
    assert!(!listed.contains("evil"), "{listed}");
}

/// Gitea once judged the first ref of a push and let the others through by the same answer (CVE-2026-27775).
#[test]
fn each_ref_of_a_push_is_judged_by_itself() {
    let server = Server::start();
    let alice = server.user("alice");
    let novel = alice.creates_repository("novel");
    let copy = WorkingCopy(alice.new_folder());
    copy.git("init --quiet -b main .").succeeds();
    copy.commits("one", "1\n");
    let (http, ssh) = (alice.url(&novel, Via::Http), alice.url(&novel, Via::Ssh));
    copy.git_with(&["push", "--quiet", &http, "main"], b"")
        .succeeds();
    let refs = || {
        copy.git_with(&["ls-remote", &http, "refs/*"], b"")
            .succeeds()
    };
    for (url, first, second) in [
        (&http, "main:refs/heads/a", ":refs/heads/main"),
        (&ssh, ":refs/heads/main", "main:refs/heads/b"),
        (&http, "main:refs/heads/c", "main:refs/pull/1/head"),
        (&ssh, "main:refs/internal/x", "main:refs/heads/d"),
    ] {
        let before = refs();
        copy.git_with(&["push", "--atomic", url, first, second], b"")
            .fails_with("rejected");
        assert_eq!(refs(), before, "{first} {second} together");
        copy.git_with(&["push", url, first, second], b"")
            .fails_with("rejected");
        assert_eq!(
            refs().lines().count(),
            before.lines().count() + 1,
            "{first} {second}"
        );
    }
    let left = refs();
    assert!(
        left.contains("refs/heads/main") && !left.contains("refs/pull"),
        "{left}"
    );
}
