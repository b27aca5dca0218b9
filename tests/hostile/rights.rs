//! Rights taken by a side door: a parameter that contradicts the route, a refusal hidden behind a permission.

use std::io::Write as _;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use gix_hash::ObjectId;
use gix_object::Kind;

use super::{
    pack::{self, Pack, replaces, tree},
    scene::{NOTHING, PATIENCE, answer, commands, lines},
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

/// An attacker with a repository of their own names objects of somebody else's: as a branch, as the base
/// of a delta, as an entry of a tree, as a parent, as a want (GitHub's "CFOR", and dedupe without proof).
#[test]
fn objects_of_another_repository_are_out_of_reach() {
    let server = Server::start();
    let (alice, mallory) = (server.user("alice"), server.user("mallory"));
    let secret = alice.creates_repository("secret");
    let source = alice.clones(&secret, Via::Http);
    let commit = source.commits("plan", "the whole plan\n");
    source.git("push --quiet origin main").succeeds();
    let id = |revision: &str| {
        let hex = source.git(&format!("rev-parse {revision}")).succeeds();
        ObjectId::from_hex(hex.as_bytes()).unwrap()
    };
    let (blob, folder) = (id("main:plan"), id("main^{tree}"));
    let own = mallory.creates_repository("own");
    let url = mallory.url(&own, Via::Http);
    let push = |new: &str, objects: Vec<u8>| {
        let mut body = commands(&[(NOTHING, new, "refs/heads/evil")]);
        body.extend(objects);
        posts(&url, "receive-pack", &body)
    };
    let person = "M <m@example.com> 1 +0000";
    let commit_of = |tree: &ObjectId, parent: &str| {
        format!("tree {tree}\n{parent}author {person}\ncommitter {person}\n\nx\n").into_bytes()
    };
    let listed = tree(&[("100644", "plan", blob)]);
    let stolen_tree = commit_of(&pack::id(Kind::Tree, &listed), "");
    let child = commit_of(&pack::id(Kind::Tree, b""), &format!("parent {commit}\n"));
    let copied = commit_of(&folder, "");
    for (name, new, objects, expected) in [
        (
            "a branch",
            commit.clone(),
            Pack::new().finish(),
            "missing necessary objects",
        ),
        (
            "the base of a delta",
            pack::id(Kind::Blob, b"the").to_string(),
            Pack::new()
                .on_id(blob.as_slice(), &replaces(15, b"the"))
                .finish(),
            "unresolved delta",
        ),
        (
            "an entry of a tree",
            pack::id(Kind::Commit, &stolen_tree).to_string(),
            Pack::new()
                .whole(Kind::Commit, &stolen_tree)
                .whole(Kind::Tree, &listed)
                .finish(),
            "missing",
        ),
        (
            "a parent",
            pack::id(Kind::Commit, &child).to_string(),
            Pack::new()
                .whole(Kind::Commit, &child)
                .whole(Kind::Tree, b"")
                .finish(),
            "missing",
        ),
        (
            "the tree of a commit",
            pack::id(Kind::Commit, &copied).to_string(),
            Pack::new().whole(Kind::Commit, &copied).finish(),
            "missing",
        ),
    ] {
        let said = push(&new, objects);
        assert!(said.contains(expected), "{name}: {said}");
    }
    for want in [commit, blob.to_string()] {
        let want = format!("want {want}");
        let fetch = lines(&["command=fetch", "object-format=sha1", "0001", &want, "done"]);
        let said = posts(&url, "upload-pack", &fetch);
        assert!(said.contains("not our ref"), "{said}");
    }
    let listed = source.git_with(&["ls-remote", &url], b"").succeeds();
    assert_eq!(listed, "");
}

/// GitHub once took a semicolon in the option of a push for the end of a field of its own, behind which
/// the pusher set who he was (CVE-2026-3854).
#[test]
fn options_of_a_push_say_nothing_about_the_pusher() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let novel = alice.creates_repository_with("novel", &["--public"]);
    let copy = WorkingCopy(alice.new_folder());
    copy.git("init --quiet -b main .").succeeds();
    copy.commits("one", "1\n");
    copy.git_with(
        &["push", "--quiet", &alice.url(&novel, Via::Http), "main"],
        b"",
    )
    .succeeds();
    let evil = [
        "x;principal=alice;role=owner",
        "x\rauthorization: Bearer admin",
        "{\"caller\":\"admin\",\"force\":true}",
        "--receive-pack=id",
        "$(id)",
        "\u{1b}[2J",
    ];
    for via in Via::BOTH {
        let (own, foreign) = (alice.url(&novel, via), bob.url(&novel, via));
        for (at, option) in evil.iter().enumerate() {
            let key = bob.folder(copy.path.clone());
            key.git_with(
                &["push", "-o", option, &foreign, "main:refs/heads/evil"],
                b"",
            )
            .fails_with(match via {
                Via::Http => "403",
                Via::Ssh => "this needs at least the role",
            });
            // Whoever may push is not hindered by what they mean nothing to.
            let target = format!("main:refs/heads/{at}-{via:?}");
            copy.git_with(&["push", "-o", option, &own, &target], b"")
                .succeeds();
        }
        let refs = copy.git_with(&["ls-remote", &own], b"").succeeds();
        assert!(
            refs.contains("refs/heads/5-") && !refs.contains("evil"),
            "{refs}"
        );
    }
    // Nothing of it got into what is kept of a push.
    let token = std::fs::read_to_string(server.data().join("admin-token")).unwrap();
    let mut audit = ureq::get(format!("{}/api/v1/admin/audit", server.url()))
        .header("Authorization", format!("Bearer {}", token.trim_end()))
        .call()
        .unwrap();
    let audit = audit.body_mut().read_to_string().unwrap();
    assert!(audit.contains("push"), "{audit}");
    for word in ["principal=", "Bearer admin", "u001b"] {
        assert!(!audit.contains(word), "{audit}");
    }
}

/// Sends one request in version 2 with the credential in the URL and reads the whole answer.
fn posts(url: &str, service: &str, body: &[u8]) -> String {
    let (credential, rest) = url
        .strip_prefix("http://")
        .unwrap()
        .split_once('@')
        .unwrap();
    let (address, path) = rest.split_once('/').unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let head = format!(
        "POST /{path}/git-{service} HTTP/1.1\r\nhost: victim\r\n\
         authorization: Basic {}\r\ngit-protocol: version=2\r\n\
         content-type: application/x-git-{service}-request\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n",
        BASE64_STANDARD.encode(credential),
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).ok();
    answer(stream)
}
